//! What callers ask of intake, and what it answers.

use std::time::Duration;

use domain::{
    ApplicationKey, Channel, EndpointKey, EventId, EventType, MessageId, OrderingKey,
    OrganizationKey, Tag, Timestamp,
};
use store::{ApplicationRef, Idempotency, OnEventId, Payload, Reception};

/// One publish: a single message, or the messages of a batch, all or none.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// Whose application.
    pub organization: OrganizationKey,
    /// Which application.
    pub application: ApplicationRef,
    /// The one application that the caller may publish to; any other does not exist for it.
    pub only: Option<ApplicationKey>,
    /// Delivers to this endpoint alone, whatever it subscribed to.
    pub endpoint: Option<EndpointKey>,
    /// The messages, at least one.
    pub messages: Vec<MessageDraft>,
    /// What to do about event ids that exist.
    pub on_event_id: OnEventId,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
    /// The request that brought the messages, if a source received them; then there may be none.
    pub reception: Option<Box<Reception>>,
}

/// A message that was checked and has no id yet.
#[derive(Clone, Debug)]
pub struct MessageDraft {
    /// What kind of event it tells.
    pub event_type: EventType,
    /// The caller's own id.
    pub event_id: Option<EventId>,
    /// What endpoints may filter by.
    pub channels: Vec<Channel>,
    /// Labels for searching.
    pub tags: Vec<Tag>,
    /// When its first attempts are due, if later than now.
    pub deliver_at: Option<Timestamp>,
    /// What it must keep its order by.
    pub ordering_key: Option<OrderingKey>,
    /// How long the payload is kept; `None` is the default.
    pub retention: Option<Duration>,
    /// Its bytes.
    pub payload: Payload,
}

/// The answer to a publish that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishAnswer {
    /// One per message, in order.
    pub messages: Vec<Published>,
    /// The idempotency key had this effect before.
    pub replayed: bool,
}

/// One published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its id; the first one's for a duplicate.
    pub id: MessageId,
    /// When it was published (of a duplicate or a replay: as its id tells).
    pub at: Timestamp,
    /// The event id existed already.
    pub duplicate: bool,
}

/// Why a publish was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no such application.
    #[error("there is no such application")]
    NoApplication,
    /// A message has an event id that exists.
    #[error("message {index} has an event id that exists")]
    EventIdTaken {
        /// Which message of the request.
        index: usize,
        /// The message that has it.
        first: MessageId,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The source is gone, or was changed since the request was judged.
    #[error("the source was changed")]
    SourceChanged,
    /// Too much is waiting to be stored.
    #[error("too much is waiting to be stored")]
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
