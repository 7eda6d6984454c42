//! The accept loop: connections with deadlines on everything a peer can delay, and caps.
//!
//! A peer that sends slowly, or not at all, or does not read, loses its connection after a time
//! with a name ([`Deadlines`]); so a slow peer holds one file and a few kilobytes for some
//! seconds, and [`ServeLimits`] bounds how many of them there are. Each connection is one task of
//! the current runtime.

mod admission;
mod connection;
mod framing;
mod guard;
mod refusal;
mod stream;
mod tls;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub use framing::HeadLimits;
pub use tls::{Certificates, InvalidCertificate};

use admission::Admission;
use refusal::Refusal;

#[expect(
    clippy::disallowed_types,
    reason = "this is the one place that accepts connections"
)]
type Listener = tokio::net::TcpListener;
#[expect(
    clippy::disallowed_types,
    reason = "this is the one place that accepts connections"
)]
type Socket = tokio::net::TcpStream;

/// How long a peer may take for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From accepting to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a request to the end of its headers.
    pub head: Duration,
    /// How long a body may take before its rate counts.
    pub body_grace: Duration,
    /// The rate below which a body is given up after the grace.
    pub body_bytes_per_second: u64,
    /// Without any progress in writing an answer.
    pub write: Duration,
    /// From an answer to the next request.
    pub idle: Duration,
    /// From a request to its answer; our own time, not the peer's.
    pub answer: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body_grace: Duration::from_secs(10),
            body_bytes_per_second: 1024,
            write: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            answer: Duration::from_mins(1),
        }
    }
}

/// Connections that may wait to be accepted, if the kernel's own limit (`somaxconn`) permits it.
///
/// The standard library asks for 128. Beyond, the kernel ignores a peer's first packet, which
/// comes again a second later.
const BACKLOG: i32 = 4_096;

/// What the accept loop allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address (of IPv6: one /64 network).
    pub connections_per_peer: usize,
    /// How large a request's head may be.
    pub head: HeadLimits,
    /// How long a peer may take.
    pub deadlines: Deadlines,
    /// How long requests in flight may take once the server stops.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: admission::connections_by_file_limit(),
            connections_per_peer: 256,
            head: HeadLimits::default(),
            deadlines: Deadlines::default(),
            drain: Duration::from_secs(25),
        }
    }
}

/// The part of the limits that each connection keeps.
#[derive(Clone, Copy, Debug)]
struct SocketLimits {
    head: HeadLimits,
    deadlines: Deadlines,
}

/// How the server stops: first gently, then at once.
#[derive(Clone, Debug)]
struct Shutdown {
    stop: CancellationToken,
    abandon: CancellationToken,
}

/// Accepts connections and serves `app` on them until `shutdown` fires.
///
/// Then nothing more is accepted, idle connections close, requests in flight are answered, and
/// what is not done within `limits.drain` is dropped. Returns when no connection is left. With
/// `certificates`, connections speak TLS and nothing else.
pub async fn serve(
    listener: std::net::TcpListener,
    app: Router,
    limits: ServeLimits,
    certificates: Option<Arc<Certificates>>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    let listener = Listener::from_std(listener)?;
    let admission = Admission::new(limits.connections, limits.connections_per_peer);
    let connections = TaskTracker::new();
    let stopping = Shutdown {
        stop: shutdown.clone(),
        abandon: CancellationToken::new(),
    };
    info!(connections_max = limits.connections, "Listening");

    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                after_accept_error(&error).await;
                continue;
            }
        };
        let Some(admitted) = admission.admit(address.ip()) else {
            if certificates.is_none() {
                turn_away(socket); // Over TLS the handshake would have to come first.
            }
            continue;
        };
        // Answers are written whole, so waiting for more to send only delays them.
        if let Err(error) = socket.set_nodelay(true) {
            debug!(%error, "A connection was gone before it was served");
            continue;
        }
        let socket_limits = SocketLimits {
            head: limits.head,
            deadlines: limits.deadlines,
        };
        let acceptor = certificates
            .as_ref()
            .map(|certificates| certificates.acceptor());
        let (app, stopping) = (app.clone(), stopping.clone());
        connections.spawn(async move {
            let within = socket_limits.deadlines.first_byte;
            let begun = connection::begin(socket, acceptor, within, &stopping).await;
            if let Some(stream) = begun {
                let run = connection::run(stream, address.ip(), app, socket_limits, stopping);
                Box::pin(run).await; // Large, and not needed before.
            }
            drop(admitted);
        });
    }

    drop(listener);
    drain(&connections, &stopping, limits.drain).await;
    Ok(())
}

/// Waits for the requests in flight, and drops those that take longer than `limit`.
async fn drain(connections: &TaskTracker, stopping: &Shutdown, limit: Duration) {
    connections.close();
    let left = connections.len();
    info!(connections = left, "Accepting has stopped");
    let ended = tokio::time::timeout(limit, connections.wait()).await;
    if ended.is_err() {
        let left = connections.len();
        warn!(
            connections = left,
            "Requests in flight took too long and are dropped"
        );
        stopping.abandon.cancel();
        connections.wait().await;
    }
}

/// Waits after an error that would come again at once, such as running out of files.
async fn after_accept_error(error: &io::Error) {
    const PAUSE: Duration = Duration::from_millis(100);
    let is_of_one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    );
    if !is_of_one_connection {
        warn!(%error, "A connection could not be accepted");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tells a peer in one write, which a fresh socket always has room for, and hangs up.
fn turn_away(socket: Socket) {
    debug!("A connection was refused: there are too many");
    // Through the standard library, because the runtime does not know yet that it is writable.
    let written = socket
        .into_std()
        .and_then(|mut socket| socket.write_all(&Refusal::TooManyConnections.response()));
    if let Err(error) = written {
        debug!(%error, "The refusal could not be written");
    }
}
