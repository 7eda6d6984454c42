//! Publishing: what goes in as one transaction.

use domain::{
    ApplicationKey, Channel, EndpointKey, EventId, EventType, MessageId, MessageKey, OrderingKey,
    Tag, Timestamp,
};

use crate::{Idempotency, Payload, Receipt, Reception};

/// Up to so many destinations become delivery rows in the message's own transaction.
pub const FAN_OUT_INLINE: usize = 256;

/// What to do about an event id that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEventId {
    /// Refuse the publish.
    Refuse,
    /// Answer the first message's id for that item.
    AnswerFirst,
}

/// One publish request: one message, or the messages of a batch, stored all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Whose messages.
    pub application: ApplicationKey,
    /// The routing version that `destinations` were looked up in.
    pub routing_version: u64,
    /// The messages.
    pub messages: Vec<NewMessage>,
    /// What to do about event ids that exist.
    pub on_event_id: OnEventId,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
    /// The request that brought the messages, if a source received them.
    pub reception: Option<Box<Reception>>,
    /// Now.
    pub now: Timestamp,
}

/// A message to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
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
    /// When its payload may be erased.
    pub expires: Timestamp,
    /// What it must keep its order by.
    pub ordering_key: Option<OrderingKey>,
    /// Its bytes.
    pub payload: Payload,
    /// Where it goes, in order.
    pub destinations: Vec<EndpointKey>,
    /// When the deliveries are due: the schedule clock's now, or later.
    pub due: Timestamp,
}

/// The answer to an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// One outcome per publish, in order.
    pub outcomes: Vec<PublishOutcome>,
    /// The number of the commit that holds them.
    pub commit: u64,
    /// Messages with an ordering key of which something waits for an earlier one.
    pub in_line: Vec<InLine>,
}

/// A message that must not be sent at once, because of its ordering key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InLine {
    /// Which message.
    pub message: MessageKey,
    /// Where it waits.
    pub waits: Waits,
}

/// Where a message waits for an earlier one with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// At these destinations; at the others it is the head of its line.
    At(Vec<EndpointKey>),
    /// Everywhere: its deliveries are made later, as those of a wide message are.
    Everywhere,
}

/// What became of one publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// Stored, one entry per message.
    Stored(Vec<PublishedMessage>),
    /// The idempotency key had this effect before.
    Replayed(Vec<PublishedMessage>),
    /// The idempotency key came with another request before.
    KeyReused,
    /// Item `index` has an event id that exists.
    EventIdTaken {
        /// Which item of the publish.
        index: usize,
        /// The message that has the event id.
        first: MessageId,
    },
    /// The routing version is not the current one.
    Stale,
    /// There is no such application.
    NoApplication,
    /// The request was stored, with the messages that are new.
    Received(Box<Receipt>),
    /// The source is gone, or not as it was when the request was judged; nothing is stored.
    SourceChanged,
}

/// One message of a publish that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedMessage {
    /// Its id: the new one, or the first one's for a duplicate.
    pub id: MessageId,
    /// The event id existed already; nothing new was stored for this item.
    pub duplicate: bool,
}

/// A request to make the next deliveries of a wide message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expand {
    /// Which message.
    pub message: MessageId,
    /// At most so many deliveries.
    pub room: u16,
}

/// The deliveries just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// Their destinations, in order, without those that were disabled or deleted meanwhile.
    pub destinations: Vec<EndpointKey>,
    /// When they are due.
    pub due: Timestamp,
    /// Nothing is left to make.
    pub done: bool,
    /// The number of the commit that holds them.
    pub commit: u64,
}

/// A wide message whose fan-out was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfinishedFanOut {
    /// Which message.
    pub message: MessageId,
}
