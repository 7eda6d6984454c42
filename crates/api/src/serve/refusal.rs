//! Answers that are written to a socket directly, because no request reached the router.

use crate::problem::{self, Code};
use crate::request_id;

/// Why a peer is turned away before, or instead of, an answer of the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The head is not HTTP that has one reading only.
    Malformed,
    /// The URL is longer than allowed.
    UrlTooLong,
    /// The headers are more or larger than allowed.
    HeadersTooLarge,
    /// The head did not come in time.
    Slow,
    /// The router did not answer in time.
    Unanswered,
    /// There are too many connections, from this peer or in all.
    TooManyConnections,
}

impl Refusal {
    const ALL: [Self; 6] = [
        Self::Malformed,
        Self::UrlTooLong,
        Self::HeadersTooLarge,
        Self::Slow,
        Self::Unanswered,
        Self::TooManyConnections,
    ];

    /// Returns a number for it, at least 1, to be kept in an atomic.
    pub(super) fn number(self) -> u8 {
        let position = Self::ALL.iter().position(|other| *other == self);
        u8::try_from(position.expect("every refusal is listed") + 1).expect("there are few")
    }

    /// Reads a number back; 0 is none.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    fn code(self) -> Code {
        match self {
            Self::Malformed => Code::MalformedRequest,
            Self::UrlTooLong => Code::UrlTooLong,
            Self::HeadersTooLarge => Code::HeadersTooLarge,
            Self::Slow => Code::RequestTimeout,
            Self::Unanswered => Code::TimedOut,
            Self::TooManyConnections => Code::TooManyConnections,
        }
    }

    /// Returns the whole answer, head and body; it ends the connection.
    pub(super) fn response(self) -> Vec<u8> {
        let code = self.code();
        let status = code.status();
        let body = problem::body(code, code.detail());
        let head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
             x-request-id: {}\r\nconnection: close\r\n\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
            request_id::next(),
        );
        [head.into_bytes(), body].concat()
    }
}
