//! One try of a delivery and how it ended.

use std::time::Duration;

/// The number of an attempt within its delivery, counted from 1.
pub type AttemptNumber = u16;

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// By the retry schedule, the first attempt included.
    Scheduled,
    /// By hand: a resend or a recovery.
    Manual,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptStatus {
    /// The destination answered 200 to 299.
    Success,
    /// Anything else, no answer included.
    Fail,
}

/// Why an attempt got no answer that could be judged, in classes that a person can act on.
///
/// The slug is stored and shown; it is never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorClass {
    /// What is stored of the payload is not what was published; nothing was sent.
    PayloadDamaged,
    /// The address is one that posthaste refuses to call.
    DestinationNotAllowed,
    /// The name does not exist.
    DnsNotFound,
    /// The resolver failed or did not answer in time.
    DnsFailed,
    /// The destination's host refused the connection.
    ConnectionRefused,
    /// The connection could not be opened in time.
    ConnectTimeout,
    /// The connection could not be opened for another reason.
    ConnectFailed,
    /// The certificate is expired, of another host, or of an unknown issuer.
    TlsCertificate,
    /// The TLS handshake failed for another reason, or took too long.
    TlsFailed,
    /// The connection ended before the answer was complete.
    ConnectionReset,
    /// No complete answer came before the attempt's deadline.
    Timeout,
    /// What came back is not HTTP that we can read.
    InvalidResponse,
    /// The answer's headers are larger than we read.
    ResponseTooLarge,
    /// A fault of our own, such as a panic, caught and counted as a failure.
    Internal,
}

impl ErrorClass {
    /// Every class, in the order of a connection's life.
    pub const ALL: [Self; 14] = [
        Self::PayloadDamaged,
        Self::DestinationNotAllowed,
        Self::DnsNotFound,
        Self::DnsFailed,
        Self::ConnectionRefused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::TlsCertificate,
        Self::TlsFailed,
        Self::ConnectionReset,
        Self::Timeout,
        Self::InvalidResponse,
        Self::ResponseTooLarge,
        Self::Internal,
    ];

    /// Returns the slug that is stored and shown.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::DestinationNotAllowed => "destination_not_allowed",
            Self::DnsNotFound => "dns_not_found",
            Self::DnsFailed => "dns_failed",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::TlsCertificate => "tls_certificate",
            Self::TlsFailed => "tls_failed",
            Self::ConnectionReset => "connection_reset",
            Self::Timeout => "timeout",
            Self::InvalidResponse => "invalid_response",
            Self::ResponseTooLarge => "response_too_large",
            Self::PayloadDamaged => "payload_damaged",
            Self::Internal => "internal",
        }
    }

    /// Reads a slug back.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.slug() == slug)
    }

    /// Says whether time ran out, which is what makes a destination slow rather than broken.
    pub const fn is_timeout(self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::Timeout)
    }
}

/// How long each phase of an attempt took; `None` for a phase that did not happen.
///
/// A reused connection has no name look-up, connect or TLS phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Looking up the name.
    pub dns: Option<Duration>,
    /// Opening the TCP connection.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the request's first byte to the answer's header.
    pub first_byte: Option<Duration>,
    /// Reading the answer's body.
    pub body: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_class_reads_back_from_its_slug() {
        for class in ErrorClass::ALL {
            assert_eq!(ErrorClass::from_slug(class.slug()), Some(class));
        }
        assert_eq!(ErrorClass::from_slug("unknown"), None);
    }
}
