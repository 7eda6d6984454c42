//! Every error that the API can answer with, by the slug that names it for good.

use std::borrow::Cow;

use http::StatusCode;
use serde::Serialize;

/// What went wrong. Each has a slug that clients branch on, and a page under `docs/errors/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is not HTTP that has one reading only.
    MalformedRequest,
    /// The body is not JSON as it must be.
    MalformedJson,
    /// There is no API key, or not one that is known.
    AuthenticationFailed,
    /// The API key does not allow it.
    InsufficientPermissions,
    /// The API key has reached a limit of its own.
    RateLimited,
    /// The thing named does not exist.
    NotFound,
    /// The path is not one of the API's.
    UnknownRoute,
    /// The path has other methods.
    MethodNotAllowed,
    /// The request did not come in time.
    RequestTimeout,
    /// Something with this unique value exists.
    Conflict,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// The payload was erased.
    PayloadGone,
    /// The event type has no example.
    NoExample,
    /// The endpoint is disabled.
    EndpointDisabled,
    /// A named limit would be passed.
    LimitReached,
    /// The body or the payload is too large.
    PayloadTooLarge,
    /// The URL is too long.
    UrlTooLong,
    /// The body is of a type, or encoded in a way, that is not read.
    UnsupportedMediaType,
    /// Fields are not as they must be.
    Validation,
    /// The headers are too many or too large.
    HeadersTooLarge,
    /// A fault of ours.
    ServerError,
    /// Too much is going on.
    Busy,
    /// The server should not be sent requests now.
    NotReady,
    /// The server is shutting down.
    ShuttingDown,
    /// The server did not answer in time.
    TimedOut,
    /// There are too many connections.
    TooManyConnections,
    /// The disk is full.
    DiskFull,
    /// An inbound request is not the provider's, as far as can be told.
    VerificationFailed,
    /// An inbound request's address is not allowed.
    AddressNotAllowed,
    /// A question of a provider that is not to be answered.
    HandshakeRefused,
    /// The source is paused.
    SourcePaused,
    /// A certificate to verify with could not be fetched.
    KeyUnavailable,
    /// The message has come round too often.
    LoopDetected,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 33] = [
        Self::MalformedRequest,
        Self::MalformedJson,
        Self::AuthenticationFailed,
        Self::InsufficientPermissions,
        Self::RateLimited,
        Self::NotFound,
        Self::UnknownRoute,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::IdempotencyKeyReused,
        Self::PayloadGone,
        Self::NoExample,
        Self::EndpointDisabled,
        Self::LimitReached,
        Self::PayloadTooLarge,
        Self::UrlTooLong,
        Self::UnsupportedMediaType,
        Self::Validation,
        Self::HeadersTooLarge,
        Self::ServerError,
        Self::Busy,
        Self::NotReady,
        Self::ShuttingDown,
        Self::TimedOut,
        Self::TooManyConnections,
        Self::DiskFull,
        Self::VerificationFailed,
        Self::AddressNotAllowed,
        Self::HandshakeRefused,
        Self::SourcePaused,
        Self::KeyUnavailable,
        Self::LoopDetected,
    ];

    /// Returns the slug. It is never changed: clients branch on it.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed_request",
            Self::MalformedJson => "malformed_json",
            Self::AuthenticationFailed => "authentication_failed",
            Self::InsufficientPermissions => "insufficient_permissions",
            Self::RateLimited => "rate_limited",
            Self::NotFound => "not_found",
            Self::UnknownRoute => "unknown_route",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::Conflict => "conflict",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::PayloadGone => "payload_gone",
            Self::NoExample => "no_example",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::LimitReached => "limit_reached",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UrlTooLong => "url_too_long",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Validation => "validation",
            Self::HeadersTooLarge => "headers_too_large",
            Self::ServerError => "server_error",
            Self::Busy => "busy",
            Self::NotReady => "not_ready",
            Self::ShuttingDown => "shutting_down",
            Self::TimedOut => "timed_out",
            Self::TooManyConnections => "too_many_connections",
            Self::DiskFull => "disk_full",
            Self::VerificationFailed => "verification_failed",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::HandshakeRefused => "handshake_refused",
            Self::SourcePaused => "source_paused",
            Self::KeyUnavailable => "key_unavailable",
            Self::LoopDetected => "loop_detected",
        }
    }

    /// Returns the HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MalformedRequest | Self::MalformedJson => StatusCode::BAD_REQUEST,
            Self::AuthenticationFailed | Self::VerificationFailed => StatusCode::UNAUTHORIZED,
            Self::InsufficientPermissions | Self::AddressNotAllowed | Self::HandshakeRefused => {
                StatusCode::FORBIDDEN
            }
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound | Self::UnknownRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict
            | Self::IdempotencyKeyReused
            | Self::PayloadGone
            | Self::NoExample
            | Self::EndpointDisabled
            | Self::LimitReached => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UrlTooLong => StatusCode::URI_TOO_LONG,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Validation => StatusCode::UNPROCESSABLE_ENTITY,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy
            | Self::NotReady
            | Self::ShuttingDown
            | Self::TimedOut
            | Self::SourcePaused
            | Self::KeyUnavailable
            | Self::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::LoopDetected => StatusCode::LOOP_DETECTED,
        }
    }

    /// Returns what to say when there is nothing more exact.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::MalformedRequest => "The request is not well-formed HTTP/1.1.",
            Self::MalformedJson => "The body is not well-formed JSON.",
            Self::AuthenticationFailed => "There is no API key, or not one that is known.",
            Self::InsufficientPermissions => "The API key does not allow this.",
            Self::RateLimited => "The API key has reached its limit; try again later.",
            Self::NotFound => "There is no such thing.",
            Self::UnknownRoute => "The API has no such path.",
            Self::MethodNotAllowed => "The path does not have this method.",
            Self::RequestTimeout => "The request did not come in time.",
            Self::Conflict => "Something with this unique value exists.",
            Self::IdempotencyKeyReused => "The idempotency key was used for another request.",
            Self::PayloadGone => "The payload was erased, so there is nothing to send.",
            Self::NoExample => "The event type's schemas have no example to send.",
            Self::EndpointDisabled => "The endpoint is disabled.",
            Self::LimitReached => "A limit is reached.",
            Self::PayloadTooLarge => "The body is too large.",
            Self::UrlTooLong => "The URL is too long.",
            Self::UnsupportedMediaType => "The body must be JSON that is not compressed.",
            Self::Validation => "Fields are not as they must be.",
            Self::HeadersTooLarge => "The headers are too many or too large.",
            Self::ServerError => "Something went wrong on the server; its log says what.",
            Self::Busy => "The server is too busy; try again in a moment.",
            Self::NotReady => "The server is not ready.",
            Self::ShuttingDown => "The server is shutting down.",
            Self::TimedOut => "The server did not answer in time.",
            Self::TooManyConnections => "There are too many connections.",
            Self::DiskFull => "The server's disk is full; nothing was stored.",
            Self::VerificationFailed => "The request could not be verified.",
            Self::AddressNotAllowed => "Requests from this address are not taken here.",
            Self::HandshakeRefused => "This question is not answered here.",
            Self::SourcePaused => "The source takes nothing in for now.",
            Self::KeyUnavailable => {
                "What the request has to be verified with could not be fetched."
            }
            Self::LoopDetected => "The message has come round too often; nothing was stored.",
        }
    }

    /// Returns after how many seconds trying again may help, if it may.
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::Busy | Self::TooManyConnections => Some(1),
            Self::NotReady | Self::ShuttingDown | Self::TimedOut => Some(2),
            Self::SourcePaused => Some(60),
            Self::KeyUnavailable | Self::DiskFull => Some(10),
            _ => None,
        }
    }
}

/// One field that is not as it must be, on the wire.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fault {
    pub(crate) loc: Vec<String>,
    pub(crate) msg: String,
    #[serde(rename = "type")]
    pub(crate) kind: Cow<'static, str>,
}

#[derive(Serialize)]
struct Body<'a, D> {
    #[serde(rename = "type")]
    page: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: D,
}

/// Writes an error's body. `detail` is a sentence, or for [`Code::Validation`] a list of faults.
pub(crate) fn body<D: Serialize>(code: Code, detail: D) -> Vec<u8> {
    let body = Body {
        page: format!("/docs/errors/{}", code.slug()),
        title: code.status().canonical_reason().unwrap_or_default(),
        status: code.status().as_u16(),
        code: code.slug(),
        detail,
    };
    serde_json::to_vec(&body).expect("texts and numbers are JSON")
}
