//! One connection from its acceptance to its end.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use crate::inbound::Peer;

use super::framing::{Framing, Phase};
use super::guard::{Guard, Overdue, Shared};
use super::refusal::Refusal;
use super::stream::Stream;
use super::{Shutdown, Socket, SocketLimits};

/// Waits for the first byte, or shakes hands where connections speak TLS; `None` when that failed,
/// took too long or the server stopped.
///
/// Until then a connection has no buffers: thousands that say nothing cost a few megabytes.
pub(super) async fn begin(
    socket: Socket,
    acceptor: Option<TlsAcceptor>,
    deadline: Duration,
    shutdown: &Shutdown,
) -> Option<Stream> {
    let Some(acceptor) = acceptor else {
        // Only looked at: the runtime calls a new socket readable until somebody has tried.
        let mut byte = [0];
        let first = timeout(deadline, socket.peek(&mut byte));
        let first = shutdown.stop.run_until_cancelled(first).await;
        return matches!(first, Some(Ok(Ok(1)))).then_some(Stream::Plain(socket));
    };
    match timeout(deadline, Box::pin(acceptor.accept(socket))).await {
        Ok(Ok(stream)) => Some(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            debug!(%error, "A TLS handshake failed");
            None
        }
        Err(_) => {
            debug!("A TLS handshake took too long");
            None
        }
    }
}

/// Serves requests until the peer goes, misses a deadline or the server stops.
pub(super) async fn run(
    socket: Stream,
    peer: IpAddr,
    app: Router,
    limits: SocketLimits,
    shutdown: Shutdown,
) {
    let shared = Arc::new(Shared::new(limits.deadlines));
    let guard = Guard::new(socket, Framing::new(limits.head), Arc::clone(&shared));
    let handler = Handler {
        app,
        peer,
        shared: Arc::clone(&shared),
    };
    let mut connection = http1::Builder::new()
        // The guard's deadlines cover this one, and more.
        .header_read_timeout(None)
        .max_header_size(limits.head.bytes)
        .serve_connection(TokioIo::new(guard), handler);

    let mut watch = pin!(sleep(shared.look_again()));
    let mut stop = pin!(shutdown.stop.cancelled());
    let mut is_stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    debug!(%error, "A connection ended with an error");
                }
                break;
            }
            () = &mut stop, if !is_stopping => {
                is_stopping = true;
                // Closes an idle connection at once, any other after the answer in hand.
                Pin::new(&mut connection).graceful_shutdown();
            }
            () = shutdown.abandon.cancelled(), if is_stopping => return,
            () = &mut watch => {
                match shared.overdue() {
                    None => {}
                    Some(Overdue::Stall) => shared.stall(),
                    Some(Overdue::Close) => return,
                    Some(Overdue::Refuse(refusal)) => {
                        shared.refuse(refusal);
                        break;
                    }
                }
                watch.set(sleep(shared.look_again()));
            }
        }
    }
    close(connection.into_parts().io.into_inner().stream, &shared).await;
}

/// Says the last word, if there is one, and closes so that the peer can read it.
async fn close(mut socket: Stream, shared: &Shared) {
    /// How long a peer may take to read a last word, and how much of its own is read meanwhile.
    const LINGER: Duration = Duration::from_secs(1);
    const LINGER_BYTES: u64 = 1024 * 1024;

    let refusal = shared.refusal();
    // An answer of the handler may be half written; nothing may follow that.
    let may_speak = !shared.is_busy() || refusal == Some(Refusal::Unanswered);
    let farewell = async {
        if let Some(refusal) = refusal.filter(|_| may_speak) {
            socket.write_all(&refusal.response()).await?;
        }
        socket.shutdown().await?;
        if refusal.is_some() || shared.phase() != Phase::Between {
            // Closing with unread bytes resets the connection, and a reset overtakes the answer.
            let mut unread = (&mut socket).take(LINGER_BYTES);
            tokio::io::copy(&mut unread, &mut tokio::io::sink()).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    if let Ok(Err(error)) = timeout(LINGER, farewell).await {
        debug!(%error, "A connection could not be closed in order");
    }
}

/// Hands requests to the router and tells the watch about it.
struct Handler {
    app: Router,
    peer: IpAddr,
    shared: Arc<Shared>,
}

impl hyper::service::Service<Request<Incoming>> for Handler {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.shared.begin();
        request.extensions_mut().insert(Peer(self.peer));
        let answer = tower::Service::call(&mut self.app.clone(), request);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let answer = answer.await;
            shared.end();
            answer
        })
    }
}
