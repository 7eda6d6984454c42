//! Requests and answers over one connection.
//!
//! The HTTP library wants somebody to poll its connection. Usually that is a task per connection;
//! here it is whoever sends, for as long as an exchange lasts. Between exchanges nobody does, so
//! [`Connection::is_usable`] polls once to see whether the peer has closed in the meantime.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{AddressKind, ErrorClass, Phases, TargetUrl};
use env::{Connection, EgressError, OutboundRequest, OutboundResponse, ResponseLimits};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, DATE, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;
use crate::policy::SharedPolicy;
use crate::wire::{Meter, Wire};

/// A connection idle for longer than this is asked for a close by a system call.
///
/// Below, the runtime has had no chance to sleep through an event.
const PROBED_WHEN_IDLE_FOR: Duration = Duration::from_millis(5);

/// What a connection starts with.
pub(crate) struct Opened {
    pub(crate) wire: Wire,
    pub(crate) meter: Arc<Meter>,
    pub(crate) peer: SocketAddr,
    pub(crate) policy: SharedPolicy,
    pub(crate) policy_version: u64,
    pub(crate) age_max: Duration,
}

/// One HTTP/1.1 connection to one origin.
pub(crate) struct HttpConnection {
    /// `None` once it must not be used again.
    line: Option<Box<Line>>,
    meter: Arc<Meter>,
    peer: SocketAddr,
    peer_is_private: bool,
    policy: SharedPolicy,
    policy_version: u64,
    address: RequestAddress,
    expires: Instant,
    idle_since: Instant,
    /// How long the peer said it keeps an idle connection, less a margin.
    idle_max: Option<Duration>,
}

impl HttpConnection {
    pub(crate) async fn new(
        http: &http1::Builder,
        opened: Opened,
        target: &Arc<TargetUrl>,
    ) -> Result<Self, Failure> {
        let address = RequestAddress::new(target)?;
        let io = TokioIo::new(opened.wire);
        let (sender, connection) = http
            .handshake(io)
            .await
            .map_err(|error| Failure::exchanging(&error))?;
        let line = Line {
            sender,
            connection,
            ended: None,
        };
        let now = Instant::now();
        Ok(Self {
            line: Some(Box::new(line)),
            meter: opened.meter,
            peer: opened.peer,
            peer_is_private: AddressKind::of(opened.peer.ip()) != AddressKind::Public,
            policy: opened.policy,
            policy_version: opened.policy_version,
            address,
            expires: now + opened.age_max,
            idle_since: now,
            idle_max: None,
        })
    }

    /// Judges the peer again if the policy has been replaced.
    fn is_allowed(&mut self) -> bool {
        if self.policy.version() == self.policy_version {
            return true;
        }
        let (policy, version) = self.policy.load_with_version();
        self.policy_version = version;
        policy.check_url(&self.address.target).is_ok() && policy.check_socket(self.peer).is_ok()
    }

    /// Sends the request and reads the answer; says as well whether the connection is free again.
    async fn exchange(
        &self,
        line: &mut Line,
        request: Request<Full<Bytes>>,
        limits: ResponseLimits,
        progress: &mut Progress,
    ) -> Result<Answer, Failure> {
        let response = line.head(request).await?;
        progress.head_at = Some(Instant::now());
        let (head, mut body) = response.into_parts();
        let kept = if self.peer_is_private {
            limits.kept_private
        } else {
            limits.kept
        };
        let (body, is_whole) = line.body(&mut body, limits.read, kept).await?;
        Ok(Answer {
            idle_max: idle_max(&head.headers),
            response: OutboundResponse {
                status: head.status.as_u16(),
                retry_after: retry_after(&head.headers),
                date: head.headers.get(DATE).cloned(),
                body,
            },
            is_whole,
        })
    }

    fn prepare(&mut self, request: OutboundRequest) -> Result<Request<Full<Bytes>>, Failure> {
        if !Arc::ptr_eq(&request.target, &self.address.target) {
            if !request.target.same_origin(&self.address.target) {
                let detail = "the request is for another host than the connection";
                return Err(Failure::new(ErrorClass::Internal, detail));
            }
            self.address = RequestAddress::new(&request.target)?;
        }
        let mut headers = request.headers;
        // Only the library says how long the body is, and it says nothing of an empty one.
        headers.remove(TRANSFER_ENCODING);
        if request.body.is_empty() && request.method != Method::GET {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        } else {
            headers.remove(CONTENT_LENGTH);
        }
        headers.insert(HOST, self.address.host.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut prepared = Request::new(Full::new(request.body));
        *prepared.method_mut() = request.method;
        *prepared.uri_mut() = self.address.uri.clone();
        *prepared.headers_mut() = headers;
        Ok(prepared)
    }
}

#[async_trait]
impl Connection for HttpConnection {
    fn is_usable(&mut self, now: Instant) -> bool {
        let idle_for = now.saturating_duration_since(self.idle_since);
        let is_usable = now < self.expires
            && self.idle_max.is_none_or(|max| idle_for < max)
            && self.is_allowed();
        let is_open = self.line.as_mut().is_some_and(|line| {
            is_usable && line.is_free(&self.meter, idle_for > PROBED_WHEN_IDLE_FOR)
        });
        if !is_open {
            self.line = None;
        }
        is_open
    }

    async fn send(
        &mut self,
        request: OutboundRequest,
        limits: ResponseLimits,
        deadline: Instant,
        phases: &mut Phases,
    ) -> Result<OutboundResponse, EgressError> {
        let request = self
            .prepare(request)
            .map_err(|failure| failure.wrote(false))?;
        // Taken out for the time being: an exchange that is abandoned halfway closes it.
        let Some(mut line) = self.line.take() else {
            let detail = "the connection was closed before the request";
            let failure = Failure::new(ErrorClass::ConnectionReset, detail);
            return Err(failure.wrote(false));
        };
        let written_before = self.meter.written();
        let mut progress = Progress::start();

        let exchange = self.exchange(&mut line, request, limits, &mut progress);
        let exchanged = timeout_at(deadline, exchange).await;

        let now = progress.note(phases);
        let answer = match exchanged {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => return Err(failure.wrote(self.meter.written() > written_before)),
            Err(_) => {
                let failure = Failure::new(ErrorClass::Timeout, progress.what_was_missing());
                return Err(failure.wrote(self.meter.written() > written_before));
            }
        };
        if answer.is_whole {
            self.line = Some(line);
            self.idle_since = now;
            self.idle_max = answer.idle_max;
        }
        Ok(answer.response)
    }

    fn peer(&self) -> Option<SocketAddr> {
        Some(self.peer)
    }
}

/// An answer, and what follows from it for the connection.
struct Answer {
    response: OutboundResponse,
    is_whole: bool,
    idle_max: Option<Duration>,
}

/// A target in the form that goes into requests, made once and then shared.
struct RequestAddress {
    target: Arc<TargetUrl>,
    uri: Uri,
    host: HeaderValue,
}

impl RequestAddress {
    fn new(target: &Arc<TargetUrl>) -> Result<Self, Failure> {
        let unsendable = |_| Failure::new(ErrorClass::Internal, "the URL cannot be sent");
        let uri = Uri::try_from(target.path_and_query());
        let host = HeaderValue::from_str(target.host_header());
        Ok(Self {
            target: Arc::clone(target),
            uri: uri.map_err(|error| unsendable(http::Error::from(error)))?,
            host: host.map_err(|error| unsendable(http::Error::from(error)))?,
        })
    }
}

/// How far an exchange has come.
struct Progress {
    started_at: Instant,
    head_at: Option<Instant>,
}

impl Progress {
    fn start() -> Self {
        Self {
            started_at: Instant::now(),
            head_at: None,
        }
    }

    /// Notes how long the phases took, the one that did not complete included.
    fn note(&self, phases: &mut Phases) -> Instant {
        let now = Instant::now();
        phases.first_byte = Some(self.head_at.unwrap_or(now) - self.started_at);
        phases.body = self.head_at.map(|head_at| now - head_at);
        now
    }

    const fn what_was_missing(&self) -> &'static str {
        if self.head_at.is_some() {
            "the answer's body did not end in time"
        } else {
            "no answer in time"
        }
    }
}

/// Both ends of the HTTP library's connection.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    connection: http1::Connection<TokioIo<Wire>, Full<Bytes>>,
    /// How the connection ended. It must not be polled after that.
    ended: Option<Result<(), hyper::Error>>,
}

impl Line {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if self.ended.is_none()
            && let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(cx)
        {
            self.ended = Some(ended);
        }
    }

    /// Says whether the peer has neither closed the connection nor sent anything unasked.
    fn is_free(&mut self, meter: &Meter, probe: bool) -> bool {
        meter.set_probing(probe);
        self.drive(&mut quiet());
        meter.set_probing(false);
        self.ended.is_none() && self.sender.is_ready()
    }

    /// Sends the request and waits for the head of the final answer.
    async fn head(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let mut response = pin!(self.sender.send_request(request));
        std::future::poll_fn(|cx| {
            self.drive(cx);
            match response.as_mut().poll(&mut quiet()) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
                // The connection knows better why it ended than the request that it dropped.
                Poll::Ready(Err(error)) => Poll::Ready(Err(self.why_it_ended(Some(error)))),
                Poll::Pending if self.ended.is_some() => Poll::Ready(Err(self.why_it_ended(None))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Reads the body to its end, or to `read_max` bytes, and returns its first `kept_max`; says
    /// as well whether that was all.
    async fn body(
        &mut self,
        body: &mut Incoming,
        read_max: usize,
        kept_max: usize,
    ) -> Result<(Bytes, bool), Failure> {
        let mut kept = Vec::new();
        let mut read = 0;
        while !body.is_end_stream() {
            let Some(data) = self.frame(body).await? else {
                break;
            };
            read += data.len();
            // Copied: the bytes at hand keep a whole read buffer alive.
            let room = kept_max - kept.len();
            kept.extend_from_slice(&data[..room.min(data.len())]);
            if read >= read_max && !body.is_end_stream() {
                return Ok((kept.into(), false));
            }
        }
        Ok((kept.into(), true))
    }

    /// Returns the next bytes of the body, or `None` at its end.
    async fn frame(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
        let frame = std::future::poll_fn(|cx| {
            // Asked first, so that the connection knows that somebody wants more.
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut quiet()) {
                return Poll::Ready(Ok(frame));
            }
            self.drive(cx);
            match Pin::new(&mut *body).poll_frame(&mut quiet()) {
                Poll::Ready(frame) => Poll::Ready(Ok(frame)),
                Poll::Pending if self.ended.is_some() => Poll::Ready(Err(self.why_it_ended(None))),
                Poll::Pending => Poll::Pending,
            }
        });
        match frame.await? {
            None => Ok(None),
            // Trailers have no data, and nothing for us.
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(error)) => Err(Failure::exchanging(&error)),
        }
    }

    fn why_it_ended(&mut self, told: Option<hyper::Error>) -> Failure {
        let ended = self.ended.take();
        // Whatever it was, it stays ended.
        self.ended = Some(Ok(()));
        match (ended, told) {
            (Some(Err(error)), _) | (_, Some(error)) => Failure::exchanging(&error),
            (_, None) => Failure::new(
                ErrorClass::ConnectionReset,
                "the connection was closed before an answer",
            ),
        }
    }
}

/// A context that wakes nobody.
///
/// Answers come out of the connection, and whatever the connection waits for wakes the task.
/// Waking it a second time because an answer came would only have it polled in vain.
fn quiet() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Returns `Retry-After` as given, unless it is something that cannot be one.
fn retry_after(headers: &HeaderMap) -> Option<String> {
    const LEN_MAX: usize = 64;
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    (value.len() <= LEN_MAX).then(|| value.to_owned())
}

/// Returns for how long the connection may lie idle by what the peer says (`Keep-Alive:
/// timeout=5`), less a margin.
///
/// Many servers close idle connections after a few seconds. A request that is on its way just
/// then is lost, and nobody can say whether it was read.
fn idle_max(headers: &HeaderMap) -> Option<Duration> {
    const MARGIN: Duration = Duration::from_secs(1);
    static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    let value = headers.get(&KEEP_ALIVE)?.to_str().ok()?;
    let seconds = value
        .split(',')
        .find_map(|parameter| parameter.trim().strip_prefix("timeout="))?;
    let kept_for = Duration::from_secs(seconds.trim().parse::<u32>().ok()?.into());
    Some(kept_for.saturating_sub(MARGIN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_url_that_can_be_saved_can_be_sent(
            text in "https?://[a-z0-9é._-]{1,12}(:[0-9]{1,5})?(/\\PC{0,40})?(\\?\\PC{0,40})?",
        ) {
            if let Ok(target) = TargetUrl::parse(&text) {
                let address = RequestAddress::new(&Arc::new(target.clone())).unwrap();
                prop_assert_eq!(address.uri.to_string(), target.path_and_query());
            }
        }
    }

    fn keep_alive(value: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("keep-alive", HeaderValue::from_static(value));
        idle_max(&headers)
    }

    #[test]
    fn the_peers_idle_time_is_taken_with_a_margin() {
        assert_eq!(keep_alive("timeout=5"), Some(Duration::from_secs(4)));
        assert_eq!(
            keep_alive("max=100, timeout=15"),
            Some(Duration::from_secs(14))
        );
        assert_eq!(keep_alive("timeout=1"), Some(Duration::ZERO));
        for value in [
            "",
            "max=100",
            "timeout=",
            "timeout=-1",
            "timeout=99999999999",
            "soon",
        ] {
            assert_eq!(keep_alive(value), None, "{value}");
        }
    }
}
