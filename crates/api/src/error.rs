//! What handlers and extractors answer instead of success.

use std::borrow::Cow;
use std::sync::Arc;

use aide::OperationOutput;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use service::{FieldError, Standing};

use crate::problem::{self, Code, Fault};

/// An error of the API.
#[derive(Clone, Debug)]
pub(crate) enum ApiError {
    /// Fields that are not as they must be, each with its place in the request.
    Invalid(Vec<Fault>),
    /// Anything that a sentence says.
    Plain(Code, Cow<'static, str>),
    /// The key has done as much as it may for now.
    Limited(Standing),
    /// A fault of ours; the cause goes to the log, and never out.
    Internal(Arc<str>),
}

/// The cause of a 5xx, for the log; it rides on the answer to where that is written.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) Arc<str>);

impl ApiError {
    /// Makes an error that says what its code says.
    pub(crate) const fn of(code: Code) -> Self {
        Self::Plain(code, Cow::Borrowed(code.detail()))
    }

    /// Makes the error of one field of the query or the path.
    pub(crate) fn field(loc: &[&str], msg: impl std::fmt::Display) -> Self {
        Self::Invalid(vec![Fault {
            loc: loc.iter().map(|&part| part.to_owned()).collect(),
            msg: msg.to_string(),
            kind: Cow::Borrowed("value_error"),
        }])
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::Validation,
            Self::Plain(code, _) => *code,
            Self::Limited(_) => Code::RateLimited,
            Self::Internal(_) => Code::ServerError,
        }
    }
}

/// Begins with a capital and ends with a full stop, as what is shown to people does.
fn sentence(text: &str) -> Cow<'static, str> {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return Cow::Borrowed("");
    };
    Cow::Owned(format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

/// Places a fault of the service: it counts from the body, unless it says otherwise.
fn placed(error: FieldError) -> Fault {
    let mut loc = error.loc;
    if loc
        .first()
        .is_none_or(|first| first != "header" && first != "query")
    {
        loc.insert(0, "body".to_owned());
    }
    Fault {
        loc,
        msg: error.msg,
        kind: Cow::Borrowed(error.kind),
    }
}

impl From<service::Error> for ApiError {
    // No `_` arm: a new error of the service must be thought about here.
    fn from(error: service::Error) -> Self {
        use service::Error;
        let code = match error {
            Error::Invalid(faults) => {
                return Self::Invalid(faults.into_iter().map(placed).collect());
            }
            Error::Failed(cause) => return Self::Internal(cause.into()),
            Error::Busy => return Self::of(Code::Busy),
            Error::Full => return Self::of(Code::DiskFull),
            Error::ShuttingDown => return Self::of(Code::ShuttingDown),
            Error::RateLimited(standing) => return Self::Limited(standing),
            Error::Forbidden => return Self::of(Code::InsufficientPermissions),
            Error::Unauthenticated => return Self::of(Code::AuthenticationFailed),
            Error::BadJson(_) => Code::MalformedJson,
            Error::PayloadTooLarge { .. } => Code::PayloadTooLarge,
            Error::NotFound(_) => Code::NotFound,
            Error::Conflict(_) => Code::Conflict,
            Error::KeyReused => Code::IdempotencyKeyReused,
            Error::Limit { .. } => Code::LimitReached,
            Error::PayloadGone => Code::PayloadGone,
            Error::NoExample => Code::NoExample,
            Error::EndpointDisabled => Code::EndpointDisabled,
        };
        Self::Plain(code, sentence(&error.to_string()))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = self.code();
        let body = match &self {
            Self::Invalid(faults) => problem::body(code, faults),
            Self::Plain(_, detail) => problem::body(code, detail),
            Self::Limited(_) | Self::Internal(_) => problem::body(code, code.detail()),
        };
        let mut response = (code.status(), body).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = code.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if code == Code::AuthenticationFailed {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        match self {
            Self::Internal(cause) => {
                response.extensions_mut().insert(Cause(cause));
            }
            Self::Limited(standing) => {
                response.extensions_mut().insert(standing);
            }
            Self::Invalid(_) | Self::Plain(..) => {}
        }
        response
    }
}

// What an operation can answer with is described by `error_docs`, for all of them alike.
impl OperationOutput for ApiError {
    type Inner = Self;
}
