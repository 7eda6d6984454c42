//! Settings in layers: defaults, then the file, then the environment, then flags.
//!
//! Every setting is a field of one of the sections below, read once at the start, checked all at
//! once, and handed on as plain values; nothing reads it later. A fault names the setting, where
//! it came from, and what is wrong; all faults are listed together.

mod layers;
mod limits;
mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use domain::{
    AddressPolicy, Cidr, OwnAddress, RetryPolicy, RetrySchedule, TargetUrl, TrustedProxies,
};
use engine::EngineConfig;
use serde::{Deserialize, Serialize};

pub(crate) use layers::{Layers, Setting};
use limits::Limits;
pub(crate) use values::{Hidden, List, ProxyUrl, Size, Span};

/// All settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) store: Store,
    pub(crate) delivery: Delivery,
    pub(crate) engine: Engine,
    pub(crate) operations: Operations,
    pub(crate) egress: Egress,
    pub(crate) limits: Limits,
    pub(crate) retention: Retention,
    pub(crate) secrets: Secrets,
    pub(crate) portal: Portal,
    pub(crate) keys: Keys,
    pub(crate) log: Log,
}

/// How the server listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// Address and port; loopback unless it is changed.
    pub(crate) listen: String,
    /// The server's address as others see it, in links; `http://` and `listen` when not set.
    pub(crate) public_url: Option<String>,
    /// A PEM file with the certificate chain; with `tls_key`, connections speak TLS.
    pub(crate) tls_cert: Option<PathBuf>,
    /// A PEM file with the certificate's private key.
    pub(crate) tls_key: Option<PathBuf>,
    /// How often the two files are looked at; new ones count for new connections.
    pub(crate) tls_reload_interval: Span,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: List<String>,
    /// Connections at once; 0 is 80 % of the process's file limit, which the start raises to
    /// 16,384 if the system permits.
    pub(crate) connections: usize,
    /// Connections at once from one address.
    pub(crate) connections_per_peer: usize,
    /// For a request's headers, and for the first byte of a connection.
    pub(crate) header_timeout: Span,
    /// How long an idle connection is kept.
    pub(crate) idle_timeout: Span,
    /// Bytes per second that a request's body must reach after ten seconds.
    pub(crate) body_rate: Size,
    /// For writing an answer.
    pub(crate) write_timeout: Span,
    /// From the signal to the exit, whatever is in flight.
    pub(crate) shutdown_timeout: Span,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8411".to_owned(),
            public_url: None,
            tls_cert: None,
            tls_key: None,
            tls_reload_interval: Span::seconds(30),
            trusted_proxies: List(Vec::new()),
            connections: 0,
            connections_per_peer: 256,
            header_timeout: Span::seconds(10),
            idle_timeout: Span::seconds(75),
            body_rate: Size(1024),
            write_timeout: Span::seconds(30),
            shutdown_timeout: Span::seconds(25),
        }
    }
}

impl Server {
    /// Returns what the listener's URLs begin with.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() {
            "https"
        } else {
            "http"
        }
    }
}

/// Where things are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// The directory of the database and its key file.
    pub(crate) data: PathBuf,
    /// Connections that read.
    pub(crate) readers: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            data: PathBuf::from("posthaste-data"),
            readers: 3,
        }
    }
}

/// How destinations are called.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Delivery {
    /// The wait before each attempt; as many attempts as entries.
    pub(crate) retry_schedule: List<Span>,
    /// How far `Retry-After` may stretch a shorter wait.
    pub(crate) retry_after_max: Span,
    /// For one attempt, from name look-up to the end of the answer.
    pub(crate) timeout: Span,
    /// Attempts in flight at once to a destination that nothing is known about.
    pub(crate) concurrency_start: u16,
    /// Attempts in flight at once to a destination that answers fast.
    pub(crate) concurrency_max: u16,
    /// How long a recovered destination is ramped up.
    pub(crate) slow_start: Span,
    /// Failures in a row that open the breaker, …
    pub(crate) breaker_failures: u32,
    /// … once they have lasted this long.
    pub(crate) breaker_after: Span,
    /// How long an endpoint may fail, with a delivery given up, before it is disabled; 0 is never.
    pub(crate) disable_after: Span,
    /// Between probes of a destination whose breaker is open.
    pub(crate) breaker_probe: Span,
    /// Bytes of an answer that are read.
    pub(crate) response_read: Size,
    /// Bytes of an answer that are kept.
    pub(crate) response_kept: Size,
    /// Bytes of an answer from a private address that are kept.
    pub(crate) response_kept_private: Size,
    /// Headers of a received request that are passed on with its messages.
    pub(crate) forwarded_headers: usize,
    /// Bytes of their names and values.
    pub(crate) forwarded_header_bytes: Size,
}

impl Default for Delivery {
    fn default() -> Self {
        let engine = EngineConfig::default();
        Self {
            retry_schedule: List(
                engine
                    .retry
                    .schedule
                    .waits()
                    .iter()
                    .map(|w| Span(*w))
                    .collect(),
            ),
            retry_after_max: Span(engine.retry.retry_after_max),
            timeout: Span(engine.attempt_deadline),
            concurrency_start: engine.concurrency_start,
            concurrency_max: engine.concurrency_max,
            slow_start: Span(engine.slow_start),
            breaker_failures: engine.breaker_failures,
            breaker_after: Span(engine.breaker_after),
            disable_after: Span(engine.disable_after),
            breaker_probe: Span(engine.breaker_probe),
            response_read: Size(engine.response.read),
            response_kept: Size(engine.response.kept),
            response_kept_private: Size(engine.response.kept_private),
            forwarded_headers: engine.forward.headers,
            forwarded_header_bytes: Size(engine.forward.header_bytes),
        }
    }
}

/// What the operator is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Operations {
    /// The uid or id of the application that operational messages are published to; one with this
    /// uid is created when the first of them comes.
    pub(crate) application: Option<String>,
}

impl Operations {
    fn application(&self) -> Result<Option<store::ApplicationRef>, String> {
        let Some(name) = &self.application else {
            return Ok(None);
        };
        if let Ok(id) = name.parse::<domain::ApplicationId>() {
            return Ok(Some(store::ApplicationRef::Id(id)));
        }
        let uid = domain::Uid::parse_unlike(name, domain::ApplicationId::looks_like);
        let uid = uid.map_err(|error| error.to_string())?;
        Ok(Some(store::ApplicationRef::Uid(uid)))
    }
}

/// What the engine holds and how it batches.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Engine {
    /// Payload bytes in memory, over everything that waits or is in flight.
    pub(crate) payload_memory: Size,
    /// Deliveries that one lane holds in memory.
    pub(crate) lane_queue: usize,
    /// Attempts in flight and outcomes not yet recorded.
    pub(crate) in_flight: usize,
    /// Publishes that wait to be stored.
    pub(crate) waiting: usize,
    /// Payload bytes that wait to be stored.
    pub(crate) waiting_bytes: Size,
    /// Idle connections to destinations.
    pub(crate) idle_connections: usize,
    /// How often the store is asked for work that memory has lost sight of.
    pub(crate) sweep_interval: Span,
}

impl Default for Engine {
    fn default() -> Self {
        let engine = EngineConfig::default();
        Self {
            payload_memory: Size(engine.payload_memory),
            lane_queue: engine.lane_queue_max,
            in_flight: engine.in_flight_max,
            waiting: engine.intake_waiting_max,
            waiting_bytes: Size(engine.intake_waiting_bytes),
            idle_connections: engine.idle_connections_max,
            sweep_interval: Span(engine.sweep_interval),
        }
    }
}

/// Which addresses may be called.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
pub(crate) struct Egress {
    /// Allow private and loopback addresses, and `http://`.
    pub(crate) allow_private: bool,
    /// Allow `http://`.
    pub(crate) allow_http: bool,
    /// Address ranges that are allowed besides public ones, as CIDR.
    pub(crate) allow: List<String>,
    /// The network translates `64:ff9b::/96` to IPv4.
    pub(crate) nat64: bool,
    /// For opening a TCP connection and its TLS handshake.
    pub(crate) connect_timeout: Span,
    /// For looking up a name.
    pub(crate) dns_timeout: Span,
    /// Name servers to ask, `address:port`, instead of the system's.
    pub(crate) name_servers: List<SocketAddr>,
    /// The longest life of a connection.
    pub(crate) connection_max_age: Span,
    /// A PEM file of certificates to trust besides the platform's.
    pub(crate) extra_ca: Option<PathBuf>,
    /// The address to connect from; one of each family can be given.
    pub(crate) bind: List<std::net::IpAddr>,
    /// An HTTP proxy for all destinations, `http://user:password@host:port`.
    pub(crate) proxy: Option<ProxyUrl>,
    /// Allow the server's own address as a destination.
    pub(crate) allow_self: bool,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            allow_private: false,
            allow_http: false,
            allow: List(Vec::new()),
            nat64: false,
            connect_timeout: Span::seconds(10),
            dns_timeout: Span::seconds(5),
            name_servers: List(Vec::new()),
            connection_max_age: Span::seconds(300),
            extra_ca: None,
            bind: List(Vec::new()),
            proxy: None,
            allow_self: false,
        }
    }
}

impl Egress {
    /// Returns the addresses to connect from.
    pub(crate) fn bind(&self) -> Result<egress::Bind, String> {
        let mut bind = egress::Bind::default();
        for address in &self.bind.0 {
            let earlier = match address {
                IpAddr::V4(ip) => bind.v4.replace(*ip).map(IpAddr::V4),
                IpAddr::V6(ip) => bind.v6.replace(*ip).map(IpAddr::V6),
            };
            if let Some(earlier) = earlier {
                return Err(format!(
                    "has {earlier} and {address}; give one of each family"
                ));
            }
        }
        Ok(bind)
    }

    /// Returns the proxy. A fault never has the text, which may hold a password.
    pub(crate) fn proxy(&self) -> Result<Option<egress::Proxy>, String> {
        let url = self.proxy.as_ref();
        let proxy = url.map(|url| egress::Proxy::parse(&url.0)).transpose();
        proxy.map_err(|fault| fault.to_string())
    }
}

/// How long things are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    /// Payloads, when the publisher did not say.
    pub(crate) payload: Span,
    /// Messages and attempts.
    pub(crate) history: Span,
    /// Counters per endpoint and minute, which statistics are made of.
    pub(crate) statistics: Span,
    /// Entries of the audit trail.
    pub(crate) audit: Span,
    /// Inbound requests, refused ones included.
    pub(crate) requests: Span,
    /// How often the pruner looks.
    pub(crate) interval: Span,
    /// Rows that one pruning transaction touches.
    pub(crate) rows: u16,
}

impl Default for Retention {
    fn default() -> Self {
        let engine = EngineConfig::default();
        Self {
            payload: Span(engine.payload_retention),
            history: Span(engine.history_retention),
            statistics: Span(engine.statistics_retention),
            audit: Span::seconds(365 * 24 * 3_600),
            requests: Span::seconds(30 * 24 * 3_600),
            interval: Span(engine.prune_interval),
            rows: engine.prune_rows,
        }
    }
}

/// The key that seals endpoints' secrets. Without a setting it lies beside the data.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Secrets {
    /// The key itself, `phk_…`.
    pub(crate) master_key: Option<Hidden>,
    /// A file that holds it.
    pub(crate) master_key_file: Option<PathBuf>,
    /// Earlier keys, which still open what they sealed.
    pub(crate) earlier_keys: List<Hidden>,
}

/// How much API keys may do that say nothing else themselves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    /// Requests per second, and messages of a batch; 0 is no limit.
    pub(crate) requests_per_second: u32,
    /// So many at once after a pause; 0 is as many as per second.
    pub(crate) burst: u32,
    /// Messages per day, UTC; 0 is no limit.
    pub(crate) messages_per_day: u32,
}

/// The pages that your customers see.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Portal {
    /// How long a token for the portal lives when the request does not say.
    pub(crate) token_ttl: Span,
}

impl Default for Portal {
    fn default() -> Self {
        Self {
            token_ttl: Span(service::PortalSettings::default().token_ttl),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `text` or `json`.
    pub(crate) format: LogFormat,
    /// A level, or filters such as `info,posthaste_engine=debug`.
    pub(crate) level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

fn networks(texts: &List<String>) -> Result<Vec<Cidr>, String> {
    let parse = |text: &String| text.parse().map_err(|error| format!("{text}: {error}"));
    texts.0.iter().map(parse).collect()
}

impl Config {
    /// Returns what is wrong with values that are each well-formed, as `setting: what`.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |setting: &str, result: Result<(), String>| {
            if let Err(what) = result {
                faults.push(format!("{setting}: {what}"));
            }
        };
        check(
            "server.listen",
            self.server
                .listen
                .parse::<std::net::SocketAddr>()
                .map(|_| ())
                .map_err(|_| "is not an address and port such as 127.0.0.1:8411".to_owned()),
        );
        let public_url = self.server.public_url.as_deref();
        let has_scheme = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        check(
            "server.public_url",
            if public_url.is_none_or(has_scheme) {
                Ok(())
            } else {
                Err("must begin with https:// or http://".to_owned())
            },
        );
        check(
            "server.tls_cert",
            if self.server.tls_cert.is_some() == self.server.tls_key.is_some() {
                Ok(())
            } else {
                Err("goes with server.tls_key; give both or neither".to_owned())
            },
        );
        check("delivery.retry_schedule", self.schedule().map(|_| ()));
        check(
            "operations.application",
            self.operations.application().map(|_| ()),
        );
        check("server.trusted_proxies", self.trusted_proxies().map(|_| ()));
        check("egress.allow", self.address_policy().map(|_| ()));
        check("egress.bind", self.egress.bind().map(|_| ()));
        check("egress.proxy", self.egress.proxy().map(|_| ()));
        check("limits.bodies", self.limits.check_bodies());
        for (setting, zero, what) in self.zeroes() {
            check(setting, if zero { Err(what.to_owned()) } else { Ok(()) });
        }
        if self.secrets.master_key.is_some() && self.secrets.master_key_file.is_some() {
            faults.push("secrets.master_key: is given together with its file; give one".to_owned());
        }
        faults
    }

    /// Returns the settings that must not be zero, whether they are, and what to say then.
    fn zeroes(&self) -> Vec<(&'static str, bool, &'static str)> {
        let counts = [
            ("store.readers", self.store.readers),
            (
                "delivery.concurrency_start",
                usize::from(self.delivery.concurrency_start),
            ),
            (
                "delivery.concurrency_max",
                usize::from(self.delivery.concurrency_max),
            ),
            ("engine.lane_queue", self.engine.lane_queue),
            ("engine.in_flight", self.engine.in_flight),
            ("engine.waiting", self.engine.waiting),
            ("engine.payload_memory", self.engine.payload_memory.0),
            ("retention.rows", usize::from(self.retention.rows)),
            (
                "server.connections_per_peer",
                self.server.connections_per_peer,
            ),
        ];
        let spans = [
            ("delivery.timeout", self.delivery.timeout),
            ("delivery.slow_start", self.delivery.slow_start),
            ("delivery.breaker_probe", self.delivery.breaker_probe),
            ("engine.sweep_interval", self.engine.sweep_interval),
            ("retention.interval", self.retention.interval),
            ("portal.token_ttl", self.portal.token_ttl),
            ("server.header_timeout", self.server.header_timeout),
        ];
        let counts = counts
            .map(|(setting, count)| (setting, count == 0, "must be at least 1"))
            .into_iter();
        let spans =
            spans.map(|(setting, span)| (setting, span.0.is_zero(), "must be longer than 0s"));
        counts.chain(spans).collect()
    }

    fn schedule(&self) -> Result<RetrySchedule, String> {
        let waits = self
            .delivery
            .retry_schedule
            .0
            .iter()
            .map(|span| span.0)
            .collect();
        RetrySchedule::new(waits).map_err(|error| error.to_string())
    }

    /// Returns which addresses may be called.
    pub(crate) fn address_policy(&self) -> Result<AddressPolicy, String> {
        let egress = &self.egress;
        let allow = networks(&egress.allow)?;
        Ok(AddressPolicy {
            allow_private: egress.allow_private,
            allow_http: egress.allow_http || egress.allow_private,
            nat64: egress.nat64,
            allow,
            own: None,
        })
    }

    /// Returns whose word is taken for where a request came from.
    pub(crate) fn trusted_proxies(&self) -> Result<TrustedProxies, String> {
        Ok(TrustedProxies(networks(&self.server.trusted_proxies)?))
    }

    /// Returns which addresses may be called by a server that listens here.
    pub(crate) fn address_policy_at(&self, listen: SocketAddr) -> Result<AddressPolicy, String> {
        let public = self.server.public_url.as_deref();
        let own = OwnAddress {
            listen,
            public: public.and_then(|url| TargetUrl::parse(url).ok()),
        };
        Ok(AddressPolicy {
            own: (!self.egress.allow_self).then_some(own),
            ..self.address_policy()?
        })
    }

    /// Returns how much keys may do that say nothing else.
    pub(crate) fn quota(&self) -> service::Quota {
        service::Quota {
            requests_per_second: self.keys.requests_per_second,
            burst: self.keys.burst,
            messages_per_day: self.keys.messages_per_day,
        }
    }

    /// Returns where the portal is and how long its tokens live. `listens` is the address that was
    /// bound, whose port is another than the one that was set if that was 0.
    pub(crate) fn portal(&self, listens: SocketAddr) -> service::PortalSettings {
        let scheme = self.server.scheme();
        let listen = || format!("{scheme}://{listens}");
        let public_url = self.server.public_url.clone().unwrap_or_else(listen);
        service::PortalSettings {
            public_url: public_url.trim_end_matches('/').to_owned(),
            token_ttl: self.portal.token_ttl.0,
        }
    }

    /// Returns the engine's settings. The faults must have been looked at before.
    pub(crate) fn engine(&self, cautious: bool) -> anyhow::Result<EngineConfig> {
        let (delivery, engine) = (&self.delivery, &self.engine);
        Ok(EngineConfig {
            payload_memory: engine.payload_memory.0,
            lane_queue_max: engine.lane_queue,
            in_flight_max: engine.in_flight,
            concurrency_start: delivery.concurrency_start,
            concurrency_max: delivery.concurrency_max.max(delivery.concurrency_start),
            slow_start: delivery.slow_start.0,
            attempt_deadline: delivery.timeout.0,
            response: env::ResponseLimits {
                read: delivery.response_read.0,
                kept: delivery.response_kept.0,
                kept_private: delivery.response_kept_private.0,
            },
            forward: engine::ForwardLimits {
                headers: delivery.forwarded_headers,
                header_bytes: delivery.forwarded_header_bytes.0,
            },
            retry: RetryPolicy {
                schedule: self.schedule().map_err(anyhow::Error::msg)?,
                retry_after_max: delivery.retry_after_max.0,
            },
            breaker_failures: delivery.breaker_failures,
            breaker_after: delivery.breaker_after.0,
            breaker_probe: delivery.breaker_probe.0,
            disable_after: delivery.disable_after.0,
            operations: self.operations.application().map_err(anyhow::Error::msg)?,
            idle_connections_max: engine.idle_connections,
            intake_waiting_max: engine.waiting,
            intake_waiting_bytes: engine.waiting_bytes.0,
            sweep_interval: engine.sweep_interval.0,
            prune_interval: self.retention.interval.0,
            prune_rows: self.retention.rows,
            payload_retention: self.retention.payload.0,
            history_retention: self.retention.history.0,
            statistics_retention: self.retention.statistics.0,
            cautious,
            ..EngineConfig::default()
        })
    }
}
