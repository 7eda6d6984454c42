//! What the service can answer instead of success.

use std::fmt;

use engine::PublishError;

use crate::quota::Standing;

/// One field that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where, from the object that was given down to the field: names, and positions in lists.
    pub loc: Vec<String>,
    /// What is wrong, in words that finish the sentence "this value …".
    pub msg: String,
    /// The kind of fault, such as `value_error`.
    pub kind: &'static str,
}

impl FieldError {
    /// Makes the usual kind: a value that is not allowed.
    pub fn value(loc: Vec<String>, msg: impl fmt::Display) -> Self {
        Self {
            loc,
            msg: msg.to_string(),
            kind: "value_error",
        }
    }
}

/// Everything a caller would handle differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fields that are not as they must be, at least one.
    #[error("{} fields are not valid", .0.len())]
    Invalid(Vec<FieldError>),
    /// The bytes are not JSON that can be passed on.
    #[error("{0}")]
    BadJson(String),
    /// A payload is larger than allowed.
    #[error("the payload has {bytes} bytes; at most {max} are allowed")]
    PayloadTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The key is missing, unknown or revoked.
    #[error("the API key is not known")]
    Unauthenticated,
    /// The key has done as much as it may for now.
    #[error("the API key has reached its limit; try again in {} s", .0.retry_after)]
    RateLimited(Standing),
    /// The key does not allow it.
    #[error("the API key does not allow this")]
    Forbidden,
    /// The thing named does not exist.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Something with this unique value exists.
    #[error("{0}")]
    Conflict(String),
    /// An idempotency key came back with another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A named limit would be passed.
    #[error("the limit {name} of {max} is reached")]
    Limit {
        /// The limit's name.
        name: &'static str,
        /// Its value.
        max: u64,
    },
    /// The payload was erased; there is nothing to send.
    #[error("the payload was erased")]
    PayloadGone,
    /// The event type has no example to send.
    #[error("the event type's schemas have no example")]
    NoExample,
    /// The endpoint is disabled.
    #[error("the endpoint is disabled")]
    EndpointDisabled,
    /// Too much is going on.
    #[error("the server is too busy")]
    Busy,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// Anything else; the cause is for the log only.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// Makes the error of a single field.
    pub fn field(loc: &[&str], msg: impl fmt::Display) -> Self {
        let loc = loc.iter().map(|&part| part.to_owned()).collect();
        Self::Invalid(vec![FieldError::value(loc, msg)])
    }
}

impl From<store::Error> for Error {
    // No `_` arm: a new store error must be thought about here.
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NotFound(what) => Self::NotFound(what),
            store::Error::Conflict(what) => Self::Conflict(format!("this {what} already exists")),
            store::Error::KeyReused => Self::KeyReused,
            store::Error::Limit { name, max } => Self::Limit { name, max },
            store::Error::Refused(why) => Self::Conflict(why.to_owned()),
            store::Error::Busy => Self::Busy,
            store::Error::Full => Self::Full,
            store::Error::Fenced => Self::Failed("another owner has taken the shard".into()),
            store::Error::Failed(cause) => Self::Failed(cause),
        }
    }
}

impl From<PublishError> for Error {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::NoApplication => Self::NotFound("application"),
            PublishError::EventIdTaken { index, first } => Self::Conflict(format!(
                "message {index} has an event id that exists: {first} has it"
            )),
            PublishError::KeyReused => Self::KeyReused,
            PublishError::SourceChanged | PublishError::Busy => Self::Busy,
            PublishError::Full => Self::Full,
            PublishError::ShuttingDown => Self::ShuttingDown,
            PublishError::Failed(cause) => Self::Failed(cause),
        }
    }
}
