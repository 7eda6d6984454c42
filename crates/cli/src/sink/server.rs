//! The receiver: accepts connections, reads requests, behaves.
//!
//! A sink is a tool for one machine. It listens by itself, because what it has to do to a
//! connection (leave it hanging, reset it, drip into it) is what the server's own accept loop is
//! there to prevent.

#![allow(
    clippy::disallowed_types,
    reason = "the sink is a listener of its own, see above"
)]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use domain::Timestamp;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use signature::{Refused, Verifier};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::behaviour::{Behaviour, Manner};
use super::tally::{Memory, Tally};
use crate::world;

/// The most bytes of a body that are read; the answer to more is 413.
const BODY_MAX: usize = 16 << 20;
/// The most connections at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 4_096;
/// How many bytes drip before an answer ends after all.
const DRIP_BYTES: usize = 3_600;

/// What a sink is to be.
#[derive(Debug)]
pub struct SinkOptions {
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
    /// The keys that sign what arrives; without one signatures are not looked at.
    pub verifier: Option<Verifier>,
    /// How far a signature's time may be from this clock.
    pub tolerance: Duration,
    /// What requests meet, unless their path says otherwise.
    pub behaviour: Behaviour,
    /// The pause between two bytes that drip.
    pub drip_interval: Duration,
    /// What decides which requests fail by chance.
    pub seed: u64,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            verifier: None,
            tolerance: Duration::from_mins(5),
            behaviour: Behaviour::default(),
            drip_interval: Duration::from_secs(1),
            seed: 0,
        }
    }
}

/// A request that a sink has received.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its last byte was read.
    pub at: Timestamp,
    /// `POST`, as a rule.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// All headers, names in lower case.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
    /// What became of its signature.
    pub verdict: Verdict,
    /// The status that it is answered with; none where it is left hanging or reset.
    pub status: Option<StatusCode>,
    /// How many requests of its delivery (`webhook-id` and path) there have been with this one.
    pub seen: u32,
}

impl Received {
    /// The value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What became of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The sink has no key.
    Unchecked,
    /// One of the keys has signed it.
    Verified,
    /// None has, or it is too old.
    Refused(Refused),
}

/// A receiver that behaves as badly as it is told to.
pub struct Sink {
    verifier: Option<Verifier>,
    tolerance: Duration,
    behaviour: Behaviour,
    drip_interval: Duration,
    memory: Mutex<Memory>,
    on_request: Box<dyn Fn(&Received) + Send + Sync>,
}

/// A sink that listens, until it is dropped or shut down.
pub struct RunningSink {
    addr: SocketAddr,
    sink: Arc<Sink>,
    task: JoinHandle<()>,
}

impl Sink {
    /// Starts to listen. `on_request` is called for each request once it was read, before it is
    /// answered; it must not block.
    pub async fn start(
        options: SinkOptions,
        on_request: impl Fn(&Received) + Send + Sync + 'static,
    ) -> io::Result<RunningSink> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let sink = Arc::new(Self {
            verifier: options.verifier,
            tolerance: options.tolerance,
            behaviour: options.behaviour,
            drip_interval: options.drip_interval,
            memory: Mutex::new(Memory::new(options.seed)),
            on_request: Box::new(on_request),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&sink)));
        Ok(RunningSink { addr, sink, task })
    }

    async fn serve(&self, request: Request<Incoming>) -> Served {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
            return Served::Answer(text(StatusCode::PAYLOAD_TOO_LARGE));
        };
        let (received, behaviour) = self.receive(head, body.to_bytes());
        (self.on_request)(&received);
        tokio::time::sleep(behaviour.latency).await;
        match (behaviour.manner, received.status) {
            (Manner::Hang, _) => Served::Hang,
            (Manner::Reset, _) | (_, None) => Served::Reset,
            (Manner::Drip, Some(status)) => Served::Answer(self.drip(status)),
            (Manner::Answer, Some(status)) => Served::Answer(text(status)),
        }
    }

    fn receive(&self, head: http::request::Parts, body: Bytes) -> (Received, Behaviour) {
        let at = world::now();
        let behaviour = self.behaviour.for_path(head.uri.path());
        let verdict = self.verdict(&head.headers, &body, at);
        let id = head
            .headers
            .get("webhook-id")
            .and_then(|id| id.to_str().ok());
        let mut memory = self.memory();
        let seen = memory.receive(id, head.uri.path());
        let status = behaviour.answer(seen, memory.chance());
        if !status.is_some_and(|status| status.is_success()) {
            memory.tally.failures += 1;
        }
        if matches!(verdict, Verdict::Refused(_)) {
            memory.tally.refused += 1;
        }
        drop(memory);
        let http::request::Parts {
            method,
            uri,
            headers,
            ..
        } = head;
        let received = Received {
            at,
            method,
            uri,
            headers,
            body,
            verdict,
            status,
            seen,
        };
        (received, behaviour)
    }

    fn verdict(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Verdict {
        let Some(verifier) = &self.verifier else {
            return Verdict::Unchecked;
        };
        let one = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let signatures = headers.get_all("webhook-signature");
        let signatures: Vec<&str> = signatures.iter().filter_map(|v| v.to_str().ok()).collect();
        let received = signature::Received {
            id: one("webhook-id"),
            timestamp: one("webhook-timestamp"),
            signatures: &signatures,
            body,
        };
        match verifier.verify(&received, now, self.tolerance) {
            Ok(()) => Verdict::Verified,
            Err(refused) => Verdict::Refused(refused),
        }
    }

    fn drip(&self, status: StatusCode) -> Response<AnswerBody> {
        let mut ticks = interval(self.drip_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut response = Response::new(Either::Right(Drip {
            ticks,
            left: DRIP_BYTES,
        }));
        *response.status_mut() = status;
        response
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Counting does not panic; and if it did, the counts are still the best there are.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningSink {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base of URLs that lead here, `http://127.0.0.1:8412`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it has seen so far.
    pub fn tally(&self) -> Tally {
        self.sink.memory().tally
    }

    /// Closes every connection, whatever is going on there, and returns the final counts.
    pub async fn shutdown(mut self) -> Tally {
        self.task.abort();
        // An error only says that the task was aborted.
        let _ = (&mut self.task).await;
        self.tally()
    }
}

impl Drop for RunningSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts for ever; the connections end with this task.
async fn accept(listener: TcpListener, sink: Arc<Sink>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let permit = Arc::clone(&room)
            .acquire_owned()
            .await
            .expect("it is never closed");
        match listener.accept().await {
            Ok((socket, _)) => {
                let sink = Arc::clone(&sink);
                connections.spawn(async move {
                    connection(socket, sink).await;
                    drop(permit);
                });
            }
            // No file descriptor left, as a rule: others close, and then there is one again.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(socket: TcpStream, sink: Arc<Sink>) {
    // Answers are single small writes; waiting for more to send would only delay them.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let reset = Arc::new(Notify::new());
    let service = service_fn(|request| {
        let (sink, reset) = (Arc::clone(&sink), Arc::clone(&reset));
        async move {
            match sink.serve(request).await {
                Served::Answer(response) => return Ok::<_, Infallible>(response),
                Served::Reset => reset.notify_one(),
                Served::Hang => {}
            }
            std::future::pending().await
        }
    });
    let mut http = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(socket), service);
    let is_reset = tokio::select! {
        biased;
        () = reset.notified() => true,
        // The peer went away, or spoke no HTTP: its business.
        _ = &mut http => false,
    };
    if is_reset {
        let socket = http.into_parts().io.into_inner();
        // Closing with no time to linger is what sends RST instead of FIN.
        socket.set_zero_linger().ok();
    }
}

/// How a request ends.
enum Served {
    Answer(Response<AnswerBody>),
    Hang,
    Reset,
}

type AnswerBody = Either<Full<Bytes>, Drip>;

fn text(status: StatusCode) -> Response<AnswerBody> {
    let reason = status.canonical_reason().unwrap_or("as you wish");
    let mut response = Response::new(Either::Left(Full::from(format!("{reason}\n"))));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// A body that comes byte by byte.
struct Drip {
    ticks: Interval,
    left: usize,
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        ready!(self.ticks.poll_tick(context));
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b".")))))
    }
}
