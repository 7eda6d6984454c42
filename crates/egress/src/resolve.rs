//! Names to addresses.
//!
//! Not by the operating system's `getaddrinfo`: that blocks a thread per name, and one tenant's
//! name server that never answers would stall everybody's.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use tracing::warn;

/// Looks up the addresses of names.
///
/// Answers are trusted for nothing: every address is judged by the caller, which also sets a
/// limit of time.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// Returns **all** addresses of the name, IPv4 and IPv6, at least one.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError>;
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("the name has no address")]
    NotFound,
    /// No name server gave an answer.
    #[error("{0}")]
    Failed(String),
}

/// Asks the name servers of the system's configuration, and keeps answers for their time to live.
#[derive(Clone)]
pub struct SystemResolver {
    resolver: TokioResolver,
    searches: bool,
}

impl SystemResolver {
    /// Reads `/etc/resolv.conf` and `/etc/hosts`, once.
    ///
    /// Without a configuration it asks a name server on this machine, as the C library does.
    pub fn from_system() -> Self {
        let (config, opts) = match hickory_resolver::system_conf::read_system_conf() {
            Ok(found) => found,
            Err(error) => {
                warn!(%error, "No name servers are configured; asking one at 127.0.0.1");
                let local = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
                let config = ResolverConfig::from_name_servers(vec![local]);
                (config, ResolverOpts::default())
            }
        };
        Self::new(config, opts)
    }

    /// Asks these name servers, over UDP and where an answer is too long for it over TCP.
    pub fn with_name_servers(servers: &[SocketAddr]) -> Self {
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut c| {
                c.port = server.port();
                c
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        Self::new(config, ResolverOpts::default())
    }

    fn new(config: ResolverConfig, mut opts: ResolverOpts) -> Self {
        // Three tries fit into the default limit of 5 s for a look-up.
        const TRY_TIMEOUT_MAX: Duration = Duration::from_millis(1_500);
        const TRIES: usize = 2;
        // A moved destination is found, and a mended name works, within minutes.
        const POSITIVE_TTL_MAX: Duration = Duration::from_mins(5);
        const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(30);
        // Names whose server hangs must not use up the queries of all others.
        const QUERIES_IN_FLIGHT_MAX: usize = 1_024;
        opts.timeout = opts.timeout.min(TRY_TIMEOUT_MAX);
        opts.attempts = opts.attempts.min(TRIES);
        opts.positive_max_ttl = Some(POSITIVE_TTL_MAX);
        opts.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
        opts.max_active_requests = QUERIES_IN_FLIGHT_MAX;
        // Both, always: an address that is not asked for cannot be vetted.
        opts.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let searches = config.domain().is_some() || !config.search().is_empty();
        let provider = TokioRuntimeProvider::default();
        let resolver = TokioResolver::builder_with_config(config, provider)
            .with_options(opts)
            .build()
            .expect("only TLS to name servers can be configured wrongly, and there is none");
        Self { resolver, searches }
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        // Not by the library's own conversion of texts, which refuses underscores.
        let name = Name::from_ascii(name).map_err(|_| ResolveError::NotFound)?;
        let found = self.resolver.lookup_ip(name).await;
        let addresses: Vec<_> = found.map_err(|error| failure(&error))?.iter().collect();
        if addresses.is_empty() {
            return Err(ResolveError::NotFound);
        }
        Ok(addresses)
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if name.ends_with('.') {
            return self.look_up(name).await;
        }
        // As a full name first, whatever the configuration says: nearly every destination is one,
        // and each search domain would be asked in vain.
        match self.look_up(&format!("{name}.")).await {
            Err(ResolveError::NotFound) if self.searches => self.look_up(name).await,
            answer => answer,
        }
    }
}

fn failure(error: &NetError) -> ResolveError {
    if error.is_no_records_found() {
        ResolveError::NotFound
    } else {
        ResolveError::Failed(error.to_string())
    }
}
