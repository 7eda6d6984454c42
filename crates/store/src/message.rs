//! Messages: immutable facts.

use bytes::Bytes;
use domain::{Channel, EventId, EventType, MessageId, OrderingKey, Tag, Timestamp};

/// Names a message in a path: its id or its event id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageRef {
    /// By id.
    Id(MessageId),
    /// By the caller's own id.
    EventId(EventId),
}

/// The bytes of a message, exactly as they were published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The bytes.
    pub bytes: Bytes,
    /// Their content type; `None` is `application/json`.
    pub content_type: Option<Box<str>>,
}

/// A message as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Its public id.
    pub id: MessageId,
    /// What kind of event it tells.
    pub event_type: EventType,
    /// The caller's own id.
    pub event_id: Option<EventId>,
    /// What endpoints may filter by.
    pub channels: Vec<Channel>,
    /// Labels for searching.
    pub tags: Vec<Tag>,
    /// When it was published.
    pub at: Timestamp,
    /// When its first attempts are due, if later.
    pub deliver_at: Option<Timestamp>,
    /// What it keeps its order by.
    pub ordering_key: Option<OrderingKey>,
    /// Its bytes; `None` once erased, or when a list was asked for without.
    pub payload: Option<Payload>,
}

/// Which messages a list wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Only with this channel.
    pub channel: Option<Channel>,
    /// Only with this tag.
    pub tag: Option<Tag>,
    /// Only of these event types.
    pub event_types: Option<Vec<EventType>>,
    /// Only published before.
    pub before: Option<Timestamp>,
    /// Only published after.
    pub after: Option<Timestamp>,
    /// With payloads.
    pub with_content: bool,
}
