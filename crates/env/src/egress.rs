//! The one way out: connections to destinations.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{ErrorClass, Phases, TargetUrl};
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::Instant;

/// Opens connections to destinations; every outbound connection of any feature comes from here.
#[async_trait]
pub trait Egress: Send + Sync + 'static {
    /// Opens a connection to the host of `target`, every resolved address vetted and pinned.
    ///
    /// Ends by `deadline` at the latest. On success `phases` has the look-up, connect and TLS
    /// times; on failure the error has what there was of them.
    async fn connect(
        &self,
        target: &Arc<TargetUrl>,
        deadline: Instant,
        phases: &mut Phases,
    ) -> Result<Box<dyn Connection>, EgressError>;
}

/// One HTTP/1.1 connection, used for one request after the other.
#[async_trait]
pub trait Connection: Send {
    /// Says whether the next request may go over this connection: the peer has not closed it,
    /// it is not too old, and its address is allowed by the policy of this moment.
    fn is_usable(&mut self, now: Instant) -> bool;

    /// Sends one request and reads the answer, at most `limits` of it.
    ///
    /// Ends by `deadline` at the latest, whatever the peer does. `phases.first_byte` and
    /// `phases.body` are filled as far as it came. After an error, or an answer that was not
    /// read to its end, [`Connection::is_usable`] says no.
    async fn send(
        &mut self,
        request: OutboundRequest,
        limits: ResponseLimits,
        deadline: Instant,
        phases: &mut Phases,
    ) -> Result<OutboundResponse, EgressError>;

    /// Returns the address at the other end, for operators.
    fn peer(&self) -> Option<SocketAddr>;
}

/// A request to a destination. `Host`, `Content-Length` and `Accept-Encoding: identity` are added.
#[derive(Clone, Debug)]
pub struct OutboundRequest {
    /// What is asked for: POST for a delivery.
    pub method: Method,
    /// Where to.
    pub target: Arc<TargetUrl>,
    /// Headers, in order.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// How much of an answer is read and handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of the body that are read; beyond, the connection is closed and the status decides.
    pub read: usize,
    /// Bytes of the body that are handed back.
    pub kept: usize,
    /// Bytes of the body that are handed back from a private address.
    pub kept_private: usize,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            read: 64 * 1024,
            kept: 16 * 1024,
            kept_private: 4 * 1024,
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundResponse {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After` as given, if it is ASCII and at most 64 bytes.
    pub retry_after: Option<String>,
    /// `Date` as given.
    pub date: Option<HeaderValue>,
    /// The first bytes of the body.
    pub body: Bytes,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressError {
    /// The class that a person can act on.
    pub class: ErrorClass,
    /// The exact error, for operators.
    pub detail: String,
    /// Whether any byte of the request may have reached the peer. When not, a reused connection
    /// may be replaced and the request sent again without counting an attempt.
    pub wrote: bool,
}
