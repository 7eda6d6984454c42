//! A server on a socket and peers that write bytes, for tests of the accept loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::serve::{Deadlines, ServeLimits, serve};

#[expect(
    clippy::disallowed_types,
    reason = "these are the peers of the accept loop"
)]
pub(super) type Socket = tokio::net::TcpStream;

/// Longer than any deadline of these tests: what takes so long never happens.
const NEVER: Duration = Duration::from_secs(20);

/// A server with an accept loop of its own.
pub(super) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
    pub(super) handler: Arc<Handler>,
}

/// What the handlers were asked, and how they are let go on.
#[derive(Debug, Default)]
pub(super) struct Handler {
    pub(super) requests: AtomicUsize,
    pub(super) entered: Notify,
    pub(super) go_on: Notify,
}

/// Deadlines that none of the tests reaches by accident.
pub(super) const PATIENT: Deadlines = Deadlines {
    first_byte: NEVER,
    head: NEVER,
    body_grace: NEVER,
    body_bytes_per_second: 1024,
    write: NEVER,
    idle: NEVER,
    answer: NEVER,
};

/// A deadline that a test waits for.
pub(super) const SHORT: Duration = Duration::from_millis(80);

pub(super) fn limits(deadlines: Deadlines) -> ServeLimits {
    ServeLimits {
        connections: 64,
        connections_per_peer: 64,
        deadlines,
        drain: NEVER * 3,
        ..ServeLimits::default()
    }
}

impl Server {
    pub(super) fn start(limits: ServeLimits) -> Self {
        Self::start_with(limits, None)
    }

    pub(super) fn start_with(
        limits: ServeLimits,
        certificates: Option<Arc<crate::Certificates>>,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let handler = Arc::new(Handler::default());
        let app = app(Arc::clone(&handler));
        let task = tokio::spawn(serve(listener, app, limits, certificates, stop.clone()));
        Self {
            address,
            stop,
            task,
            handler,
        }
    }

    pub(super) async fn connect(&self) -> Peer {
        Peer(self.socket().await)
    }

    pub(super) async fn socket(&self) -> Socket {
        Socket::connect(self.address).await.unwrap()
    }

    /// Sends bytes over a new connection and returns all that comes back until it is closed.
    pub(super) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut peer = self.connect().await;
        peer.send(bytes).await;
        peer.rest().await
    }

    pub(super) fn requests(&self) -> usize {
        self.handler.requests.load(Relaxed)
    }

    pub(super) fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub(super) async fn stopped(self) {
        timeout(NEVER, self.task)
            .await
            .expect("stops")
            .unwrap()
            .unwrap();
    }

    pub(super) async fn is_closed_to_newcomers(&self) -> bool {
        Socket::connect(self.address).await.is_err()
    }
}

/// `POST /echo` answers with the body, `GET /wait` when it is let go on, `GET /large` with 64 MiB,
/// `POST /refuse` without reading the body.
fn app(handler: Arc<Handler>) -> Router {
    let waiting = Arc::clone(&handler);
    let wait = move || {
        let handler = Arc::clone(&waiting);
        async move {
            handler.requests.fetch_add(1, Relaxed);
            handler.entered.notify_one();
            handler.go_on.notified().await;
            "waited"
        }
    };
    let reading = Arc::clone(&handler);
    let large = move || {
        reading.entered.notify_one();
        std::future::ready(vec![b'x'; 64 * 1024 * 1024])
    };
    let echo = move |request: Request| {
        let handler = Arc::clone(&handler);
        async move {
            handler.requests.fetch_add(1, Relaxed);
            let body = request.into_body().collect().await;
            body.map_or_else(|_| "broken".into(), http_body_util::Collected::to_bytes)
        }
    };
    let router = Router::new()
        .route("/echo", post(echo))
        .route("/wait", get(wait))
        .route("/large", get(large))
        .route("/refuse", post(|| std::future::ready("refused")));
    crate::enveloped(router)
}

/// The other end of a connection.
pub(super) struct Peer(Socket);

impl Peer {
    /// Sends bytes; a server that has hung up already is for the answer to show.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// Sends bytes in pieces to a server that must still take them.
    pub(super) async fn send_on(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(16 * 1024) {
            self.0
                .write_all(piece)
                .await
                .expect("the connection is open");
        }
    }

    /// Returns what comes until it contains `end`.
    pub(super) async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&text).contains(end) {
            let read = timeout(NEVER, self.0.read(&mut buffer)).await;
            let read = read.expect("an answer comes").unwrap();
            assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8(text).unwrap()
    }

    /// Returns what comes until the connection is closed.
    pub(super) async fn rest(&mut self) -> String {
        String::from_utf8_lossy(&self.rest_bytes().await).into_owned()
    }

    /// The same as bytes; what came before a reset counts as well.
    pub(super) async fn rest_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = timeout(NEVER, self.0.read_to_end(&mut bytes)).await;
        let _ = read.expect("the connection is closed");
        bytes
    }
}
