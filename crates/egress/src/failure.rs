//! What went wrong, in the classes that people act on.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use domain::{ErrorClass, Refusal};
use env::EgressError;

/// A failed look-up, connect, handshake or exchange.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(class: ErrorClass, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { class, detail }
    }

    /// Adds whether the peer may have seen any byte of the request.
    pub(crate) fn wrote(self, wrote: bool) -> EgressError {
        EgressError {
            class: self.class,
            detail: self.detail,
            wrote,
        }
    }

    /// A connection that could not be opened.
    pub(crate) fn connecting(error: &io::Error) -> Self {
        let class = match error.kind() {
            io::ErrorKind::ConnectionRefused => ErrorClass::ConnectionRefused,
            // The operating system's own limit, should it be below ours.
            io::ErrorKind::TimedOut => ErrorClass::ConnectTimeout,
            _ => ErrorClass::ConnectFailed,
        };
        Self::new(class, chain(error))
    }

    /// A TLS handshake that did not complete.
    pub(crate) fn handshaking(error: &io::Error) -> Self {
        let class = match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                ErrorClass::TlsCertificate
            }
            _ => ErrorClass::TlsFailed,
        };
        Self::new(class, chain(error))
    }

    /// A request that was not answered.
    pub(crate) fn exchanging(error: &hyper::Error) -> Self {
        let class = if error.is_parse_too_large() {
            ErrorClass::ResponseTooLarge
        } else if error.is_parse() {
            ErrorClass::InvalidResponse
        } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            ErrorClass::ConnectionReset
        } else if let Some(error) = io_error(error) {
            class_of_transfer(error)
        } else if error.is_user() {
            ErrorClass::Internal
        } else {
            // What is left is an answer that nobody asked for.
            ErrorClass::InvalidResponse
        };
        Self::new(class, chain(error))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(ErrorClass::DestinationNotAllowed, refusal.to_string())
    }
}

/// Tells a connection that broke from bytes that make no sense.
fn class_of_transfer(error: &io::Error) -> ErrorClass {
    match error.kind() {
        _ if tls_error(error).is_some() => ErrorClass::TlsFailed,
        // How a body with a bad chunk shows, and a head that `wire` refused.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => ErrorClass::InvalidResponse,
        _ => ErrorClass::ConnectionReset,
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// Writes an error with its causes, each one once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            write!(text, ": {cause_text}").expect("writing to a string never fails");
        }
        source = cause.source();
    }
    text
}
