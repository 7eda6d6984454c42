//! Opens connections: name, vetting, TCP, vetting again, TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{AddressPolicy, ErrorClass, Phases, Refusal, TargetHost, TargetUrl, UrlScheme};
use env::{Connection, Egress, EgressError};
use hyper::client::conn::http1;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::connection::{HttpConnection, Opened};
use crate::dial;
use crate::failure::Failure;
use crate::policy::SharedPolicy;
use crate::resolve::{Resolve, ResolveError};
use crate::route::{Bind, Proxy, Route};
use crate::tls::{self, InvalidRoots};
use crate::wire::{Meter, Socket, Transport, Wire};

/// How a [`Client`] connects. [`Config::new`] has the defaults.
#[derive(Clone)]
pub struct Config {
    /// What may be called; shared, so that it can be replaced at any time.
    pub policy: SharedPolicy,
    /// Looks up names.
    pub resolver: Arc<dyn Resolve>,
    /// Certificates in PEM that are trusted as roots besides those of the platform.
    pub extra_roots_pem: Vec<u8>,
    /// How long a look-up may take.
    pub dns_timeout: Duration,
    /// How long connecting may take, the TLS handshake included.
    pub connect_timeout: Duration,
    /// How old a connection gets.
    pub connection_age_max: Duration,
    /// How many bytes the head of an answer may have, status line included.
    pub response_head_max: usize,
    /// The addresses to connect from.
    pub bind: Bind,
    /// What every destination is reached through, when there is one.
    pub proxy: Option<Proxy>,
}

impl Config {
    /// Starts from the defaults: 5 s to look up a name, 10 s to connect, connections that live
    /// for 5 minutes, 64 KiB of headers, straight from any address.
    pub fn new(policy: SharedPolicy, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            policy,
            resolver,
            extra_roots_pem: Vec::new(),
            dns_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            connection_age_max: Duration::from_mins(5),
            response_head_max: 64 * 1024,
            bind: Bind::default(),
            proxy: None,
        }
    }
}

/// Opens connections to destinations.
pub struct Client {
    config: Config,
    route: Route,
    tls: TlsConnector,
    http: http1::Builder,
}

impl Client {
    /// Reads the platform's root certificates, and makes a client.
    pub fn new(config: Config) -> Result<Self, InvalidRoots> {
        // Below this the HTTP library refuses to work.
        const RESPONSE_HEAD_MAX_LEAST: usize = 8 * 1024;
        let tls = tls::connector(&config.extra_roots_pem)?;
        let head_max = config.response_head_max.max(RESPONSE_HEAD_MAX_LEAST);
        let mut http = http1::Builder::new();
        http.max_header_size(head_max).max_buf_size(head_max);
        let route = Route {
            bind: config.bind,
            proxy: config.proxy.clone(),
            resolver: Arc::clone(&config.resolver),
        };
        Ok(Self {
            config,
            route,
            tls,
            http,
        })
    }

    async fn open(
        &self,
        target: &Arc<TargetUrl>,
        deadline: Instant,
        phases: &mut Phases,
    ) -> Result<HttpConnection, Failure> {
        let (policy, policy_version) = self.config.policy.load_with_version();
        policy.check_url(target)?;
        let addresses = self
            .vetted_addresses(target, &policy, deadline, phases)
            .await?;
        let deadline = deadline.min(Instant::now() + self.config.connect_timeout);

        let dialing = dial::connect(&self.route, addresses, target.port(), deadline);
        let (tcp, dialed) = timed(&mut phases.connect, dialing).await?;
        // The other end of a tunnel is what the proxy was asked for.
        let peer = match &self.route.proxy {
            Some(_) => dialed,
            None => vetted_peer(&tcp, &policy)?,
        };
        // A request is written at once; waiting to fill a packet would only delay its end.
        tcp.set_nodelay(true)
            .map_err(|error| Failure::connecting(&error))?;

        let meter = Arc::new(Meter::default());
        let socket = Socket::new(tcp, Arc::clone(&meter));
        let transport = match target.scheme() {
            UrlScheme::Http => Transport::Plain(socket),
            UrlScheme::Https => {
                let handshake = self.shake_hands(target.host(), socket, deadline);
                timed(&mut phases.tls, handshake).await?
            }
        };
        let opened = Opened {
            wire: Wire::new(transport),
            meter,
            peer,
            policy: self.config.policy.clone(),
            policy_version,
            age_max: self.config.connection_age_max,
        };
        HttpConnection::new(&self.http, opened, target).await
    }

    /// Returns the addresses of the host, each one allowed.
    ///
    /// One that is not refuses the name: whoever mixes them is trying which one is used.
    async fn vetted_addresses(
        &self,
        target: &TargetUrl,
        policy: &AddressPolicy,
        deadline: Instant,
        phases: &mut Phases,
    ) -> Result<Vec<IpAddr>, Failure> {
        let addresses = match target.host() {
            TargetHost::Ip(ip) => vec![*ip],
            TargetHost::Name(name) => {
                let deadline = deadline.min(Instant::now() + self.config.dns_timeout);
                timed(&mut phases.dns, self.look_up(name, deadline)).await?
            }
        };
        for ip in &addresses {
            let address = SocketAddr::new(*ip, target.port());
            policy.check_socket(address)?;
            if is_listened_at(policy, address) {
                return Err(Refusal::Own.into());
            }
        }
        Ok(addresses)
    }

    async fn look_up(&self, name: &str, deadline: Instant) -> Result<Vec<IpAddr>, Failure> {
        match timeout_at(deadline, self.config.resolver.resolve(name)).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(ResolveError::NotFound.into()),
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::new(
                ErrorClass::DnsFailed,
                "no name server answered in time",
            )),
        }
    }

    async fn shake_hands(
        &self,
        host: &TargetHost,
        socket: Socket,
        deadline: Instant,
    ) -> Result<Transport, Failure> {
        let handshake = tls::handshake(&self.tls, host, socket);
        match timeout_at(deadline, handshake).await {
            Ok(handshaken) => Ok(Transport::Tls(Box::new(handshaken?))),
            Err(_) => Err(Failure::new(
                ErrorClass::TlsFailed,
                "the TLS handshake did not complete in time",
            )),
        }
    }
}

#[async_trait]
impl Egress for Client {
    async fn connect(
        &self,
        target: &Arc<TargetUrl>,
        deadline: Instant,
        phases: &mut Phases,
    ) -> Result<Box<dyn Connection>, EgressError> {
        match self.open(target, deadline, phases).await {
            Ok(connection) => Ok(Box::new(connection)),
            Err(failure) => Err(failure.wrote(false)),
        }
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        let class = match error {
            ResolveError::NotFound => ErrorClass::DnsNotFound,
            ResolveError::Failed(_) => ErrorClass::DnsFailed,
        };
        Self::new(class, error.to_string())
    }
}

/// Judges who is really at the other end, which is what counts.
fn vetted_peer(tcp: &TcpStream, policy: &AddressPolicy) -> Result<SocketAddr, Failure> {
    let peer = tcp
        .peer_addr()
        .map_err(|error| Failure::connecting(&error))?;
    policy.check_socket(peer)?;
    Ok(peer)
}

/// Says whether this server listens there because it listens on every address of this machine.
fn is_listened_at(policy: &AddressPolicy, address: SocketAddr) -> bool {
    let everywhere = policy.own.as_ref().filter(|own| own.is_everywhere());
    everywhere.is_some_and(|own| own.listen.port() == address.port())
        // What can be bound is this machine's. Asked of few: the port is ours by chance only.
        && std::net::UdpSocket::bind((address.ip(), 0)).is_ok()
}

/// Notes how long it took, however it ended.
async fn timed<T>(took: &mut Option<Duration>, phase: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let output = phase.await;
    *took = Some(start.elapsed());
    output
}
