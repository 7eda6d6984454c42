//! Wires everything together and runs it until a signal.
//!
//! Intake (with the API) and delivery each have a single-threaded runtime of their own: that is
//! faster than one shared runtime, and a flood of requests cannot starve deliveries of a thread.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use domain::AddressPolicy;
use engine::{Engine, InHand, Loops};
use env::{Clock, Egress, Entropy as _, Ids, SystemClock, SystemEntropy};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use service::Service;
use store::Store;
use store_sqlite::SqliteStore;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use vault::Vault;

use crate::commands::say;
use crate::config::Config;
use crate::crash_loop;
use crate::data::DataDir;

/// Runs the server until it is told to stop.
pub(crate) fn run(config: &Config, admin_key: Option<String>) -> anyhow::Result<()> {
    crate::file_limit::raise();
    let data = DataDir::open(&config.store.data)?;
    if data.unclean {
        tracing::warn!("The last run did not end in order; what was in flight is sent again");
    }
    let address: SocketAddr = config.server.listen.parse().context("server.listen")?;
    let listener =
        TcpListener::bind(address).with_context(|| format!("could not listen on {address}"))?;
    let certificates = crate::tls::open(&config.server)?;
    let runtime = runtime()?;
    let listens = listener
        .local_addr()
        .context("could not read the listening address")?;
    let parts = runtime.block_on(open(config, &data, listens))?;
    let token = runtime.block_on(parts.service.bootstrap_admin_key(admin_key))?;
    if let Some(token) = token {
        say(&format!("Admin key (shown once, keep it): {token}"))?;
    }
    let left = runtime.block_on(serve(config, parts, listener, certificates))?;
    if left > 0 {
        tracing::warn!(
            attempts = left,
            "Stopped with attempts in flight; they are made again"
        );
    }
    data.close();
    tracing::info!("Stopped");
    // What still runs has had its time, and a hung attempt would keep the runtime from ending.
    runtime.shutdown_background();
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start a runtime")
}

struct Parts {
    engine: Engine,
    loops: Loops,
    service: Service,
    metrics: Arc<Mutex<Registry>>,
}

async fn open(config: &Config, data: &DataDir, listens: SocketAddr) -> anyhow::Result<Parts> {
    let entropy = Arc::new(SystemEntropy::default());
    let mut random = [0; 32];
    entropy.fill(&mut random);
    let vault: Arc<Vault> = Arc::new(data.vault(&config.secrets, random)?);
    let store: Arc<dyn Store> = Arc::new(open_store(config, data)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ids = Arc::new(Ids::default());
    let addresses = config.address_policy_at(listens);
    let addresses = addresses.map_err(anyhow::Error::msg)?;
    let egress: Arc<dyn Egress> = Arc::new(open_egress(config, addresses.clone())?);
    let mut settings = config.engine(data.unclean)?;
    let mut in_hand: Option<Arc<dyn InHand>> = None;
    if data.unclean {
        let after = crash_loop::after_crash(data.path(), clock.now())?;
        settings.suspects = after.suspects;
        in_hand = Some(after.in_hand);
    }
    let dependencies = engine::Dependencies {
        store: Arc::clone(&store),
        egress: Arc::clone(&egress),
        vault: Arc::clone(&vault),
        clock: Arc::clone(&clock),
        entropy: entropy.clone(),
        ids: Arc::clone(&ids),
        in_hand,
    };
    let (engine, loops) = Engine::open(settings, dependencies).await?;
    let mut metrics = Registry::default();
    engine.register_metrics(&mut metrics);
    let service = Service::new(service::Dependencies {
        store,
        engine: engine.clone(),
        vault,
        clock,
        entropy,
        ids,
        limits: config.limits.domain(),
        egress,
        proxies: config.trusted_proxies().map_err(anyhow::Error::msg)?,
        addresses,
        portal: config.portal(listens),
        quota: config.quota(),
    });
    service.register_metrics(&mut metrics);
    Ok(Parts {
        engine,
        loops,
        service,
        metrics: Arc::new(Mutex::new(metrics)),
    })
}

fn open_store(config: &Config, data: &DataDir) -> anyhow::Result<SqliteStore> {
    let mut seed = [0; 32];
    SystemEntropy::default().fill(&mut seed);
    let options = store_sqlite::Options {
        seed,
        readers: config.store.readers,
        ..store_sqlite::Options::file(data.database(), Arc::new(die))
    };
    SqliteStore::open(options).context("could not open the database")
}

/// Ends the process at once: a store that lies is worse than one that is down.
fn die(cause: &str) {
    tracing::error!(
        cause,
        "The database failed; ending so that nothing is lost or made up"
    );
    std::process::abort();
}

fn open_egress(config: &Config, policy: AddressPolicy) -> anyhow::Result<egress::Client> {
    let settings = &config.egress;
    let resolver = Arc::new(match settings.name_servers.0.as_slice() {
        [] => egress::SystemResolver::from_system(),
        servers => egress::SystemResolver::with_name_servers(servers),
    });
    let extra_roots_pem = match &settings.extra_ca {
        None => Vec::new(),
        Some(path) => std::fs::read(path)
            .with_context(|| format!("egress.extra_ca: could not read {}", path.display()))?,
    };
    let client = egress::Config {
        extra_roots_pem,
        dns_timeout: settings.dns_timeout.0,
        connect_timeout: settings.connect_timeout.0,
        connection_age_max: settings.connection_max_age.0,
        bind: settings.bind().map_err(anyhow::Error::msg)?,
        proxy: settings.proxy().map_err(anyhow::Error::msg)?,
        ..egress::Config::new(egress::SharedPolicy::new(policy), resolver)
    };
    egress::Client::new(client).context("egress.extra_ca")
}

/// Serves until a signal, then stops in order. Returns how many attempts were left in flight.
async fn serve(
    config: &Config,
    parts: Parts,
    listener: TcpListener,
    certificates: Option<Arc<api::Certificates>>,
) -> anyhow::Result<usize> {
    let Parts {
        engine,
        loops,
        service,
        metrics,
    } = parts;
    let stop = loops.stop();
    let timeout = config.server.shutdown_timeout.0;
    let (intake, delivery) = loops.split();
    let intake = tokio::spawn(intake);
    let delivery_thread = std::thread::Builder::new()
        .name("delivery".to_owned())
        .spawn(move || runtime().map(|runtime| runtime.block_on(delivery)))
        .context("could not start the delivery thread")?;

    let to_reseal = to_reseal(&metrics);
    let shutdown = CancellationToken::new();
    let router = router(engine, service.clone(), metrics);
    let address = listener.local_addr().context("no address")?;
    let server = tokio::spawn(api::serve(
        listener,
        router,
        serve_limits(config),
        certificates.clone(),
        shutdown.clone(),
    ));
    reload(certificates, config, &shutdown)?;
    let upkeep = tokio::spawn(upkeep(service.clone(), config, to_reseal, shutdown.clone()));
    say(&format!(
        "posthaste listens on {}://{address}",
        config.server.scheme()
    ))?;

    let mut stop_asked = StopAsked::new()?;
    stop_asked.wait().await;
    tracing::info!("Stopping: nothing new is accepted, what is in flight may end");
    service.begin_shutdown();
    shutdown.cancel();
    let orderly = async {
        let (served, left) = tokio::join!(server, stop.stop(timeout));
        if let Ok(Err(error)) = served {
            tracing::warn!(%error, "The listener failed");
        }
        left
    };
    let left = tokio::select! {
        left = orderly => left,
        // A second signal: whoever sends it does not want to wait.
        () = stop_asked.wait() => stop.stop(Duration::ZERO).await,
    };
    // It ends by itself, unless the store hangs.
    let _ = tokio::time::timeout(Duration::from_secs(1), upkeep).await;
    intake.abort();
    if left == 0 {
        let _ = delivery_thread.join();
    }
    Ok(left)
}

/// The signals that ask the process to end.
struct StopAsked {
    terminate: Signal,
    interrupt: Signal,
}

impl StopAsked {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("could not listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Returns at the next of them.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Follows the certificate's files, if there is one, until the shutdown.
fn reload(
    certificates: Option<Arc<api::Certificates>>,
    config: &Config,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(certificates) = certificates else {
        return Ok(());
    };
    let interval = config.server.tls_reload_interval.0;
    let hangup = signal(SignalKind::hangup()).context("could not listen for signals")?;
    let watch = crate::tls::watch(certificates, interval, hangup, shutdown.clone());
    tokio::spawn(watch);
    Ok(())
}

fn serve_limits(config: &Config) -> api::ServeLimits {
    let server = &config.server;
    let default = api::ServeLimits::default();
    api::ServeLimits {
        connections: if server.connections == 0 {
            default.connections
        } else {
            server.connections
        },
        connections_per_peer: server.connections_per_peer,
        drain: server.shutdown_timeout.0,
        deadlines: api::Deadlines {
            first_byte: server.header_timeout.0,
            head: server.header_timeout.0,
            idle: server.idle_timeout.0,
            write: server.write_timeout.0,
            body_bytes_per_second: server.body_rate.0 as u64,
            ..default.deadlines
        },
        ..default
    }
}

/// The API, with the documentation's pages beside it.
fn upkeep(
    service: Service,
    config: &Config,
    to_reseal: Gauge,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let kept = crate::upkeep::Kept {
        audit: config.retention.audit.0,
        requests: config.retention.requests.0,
    };
    crate::upkeep::run(service, kept, to_reseal, shutdown)
}

/// Shows how many secrets are still to be sealed anew.
fn to_reseal(metrics: &Mutex<Registry>) -> Gauge {
    let gauge = Gauge::default();
    let help = "Secrets and headers that an earlier master key has sealed";
    metrics.lock().expect("no panic while it is held").register(
        "posthaste_secrets_to_reseal",
        help,
        gauge.clone(),
    );
    gauge
}

fn router(engine: Engine, service: Service, metrics: Arc<Mutex<Registry>>) -> axum::Router {
    let pages = |description: &str| web::docs(description, api::not_found);
    let metrics = Arc::new(move || render(&engine, &metrics));
    api::router(service, metrics, pages)
}

/// Writes the metrics in Prometheus' text form.
fn render(engine: &Engine, metrics: &Mutex<Registry>) -> String {
    engine.refresh_metrics();
    let mut text = String::new();
    let registry = metrics.lock().expect("no panic while it is held");
    // Writing to a string cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}
