//! Deliveries and attempts, as claimed and as shown.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    AttemptId, AttemptNumber, AttemptStatus, CancelReason, DeliveryState, EndpointId, EndpointKey,
    Epoch, ErrorClass, EventType, FailReason, MessageId, MessageKey, Phases, ShardId, Timestamp,
    Trigger,
};

use crate::{MessageFilter, MessageRow, Payload};

/// A request for a destination's due deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose deliveries.
    pub destination: EndpointKey,
    /// The shard of the destination.
    pub shard: ShardId,
    /// The asker's epoch.
    pub epoch: Epoch,
    /// The schedule clock's now.
    pub now: Timestamp,
    /// Continue after this one.
    pub after: Option<(Timestamp, MessageKey)>,
    /// At most so many.
    pub room: u16,
    /// At most about so many payload bytes.
    pub bytes: usize,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// What is due, ordered by `(due, message)`.
    pub deliveries: Vec<DueDelivery>,
    /// Due deliveries were left out for want of room.
    pub more: bool,
    /// The earliest due time after `now`.
    pub next_due: Option<Timestamp>,
    /// All commits up to this one are reflected.
    pub as_of: u64,
}

/// One delivery that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    /// Which message.
    pub message: MessageId,
    /// Since when.
    pub due: Timestamp,
    /// When the delivery was first due, from which its patience counts.
    pub first_due: Timestamp,
    /// How many attempts were made so far, manual ones included.
    pub attempts: AttemptNumber,
    /// How many of them count against the schedule.
    pub scheduled_attempts: AttemptNumber,
    /// Whether the next attempt is a manual one.
    pub trigger: Trigger,
    /// Its message has an ordering key.
    pub ordered: bool,
    /// The bytes to send.
    pub payload: Payload,
    /// What the store holds is not what was published, so it must not be sent.
    pub damaged: bool,
    /// The request that brought the message, if a source received it and it is still kept.
    pub origin: Option<std::sync::Arc<crate::Origin>>,
}

/// A destination with unfinished deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationDue {
    /// Which.
    pub destination: EndpointKey,
    /// Its earliest due time.
    pub due: Timestamp,
}

/// A request to dead-letter what has waited too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiveUp {
    /// Whose deliveries.
    pub destination: EndpointKey,
    /// The shard of the destination.
    pub shard: ShardId,
    /// The asker's epoch.
    pub epoch: Epoch,
    /// Only those first due before this time.
    pub first_due_before: Timestamp,
    /// Why.
    pub reason: FailReason,
    /// The schedule clock's now.
    pub now: Timestamp,
    /// At most so many.
    pub rows: u16,
}

/// One endpoint that a message goes or went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageDestination {
    /// Which endpoint.
    pub endpoint: EndpointKey,
    /// The state of the delivery.
    pub state: DeliveryState,
    /// When the next attempt is due, while pending; `None` while it waits for an earlier message
    /// with the same ordering key.
    pub next_attempt: Option<Timestamp>,
    /// Attempts made.
    pub attempts: AttemptNumber,
    /// Why it failed.
    pub fail_reason: Option<FailReason>,
    /// Why it was canceled.
    pub cancel_reason: Option<CancelReason>,
}

/// A message that an endpoint gets or got, and how it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointMessage {
    /// The message.
    pub message: MessageRow,
    /// Its delivery to the endpoint.
    pub delivery: MessageDestination,
}

/// Which messages of an endpoint a list wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointMessageFilter {
    /// What is asked of the messages.
    pub messages: MessageFilter,
    /// Only those whose delivery is in one of these states.
    pub states: Option<Vec<DeliveryState>>,
}

/// Where an attempt stands in a list by time: the later key parts only break ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptCursor {
    /// When the attempt began.
    pub at: Timestamp,
    /// Its message.
    pub message: MessageKey,
    /// Its endpoint.
    pub endpoint: EndpointKey,
    /// Its number.
    pub number: AttemptNumber,
}

/// Which attempts a list wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// Only those that ended so.
    pub status: Option<AttemptStatus>,
    /// Only those whose HTTP status is of this hundred; 0 for those without an answer.
    pub status_class: Option<u16>,
    /// Only of messages with this channel.
    pub channel: Option<domain::Channel>,
    /// Only of messages with this tag.
    pub tag: Option<domain::Tag>,
    /// Only of messages of these event types.
    pub event_types: Option<Vec<EventType>>,
    /// Only to this endpoint.
    pub endpoint: Option<EndpointKey>,
    /// Only begun before.
    pub before: Option<Timestamp>,
    /// Only begun after.
    pub after: Option<Timestamp>,
}

/// An attempt as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Its derived id.
    pub id: AttemptId,
    /// Its message.
    pub message: MessageId,
    /// Its endpoint's row.
    pub endpoint_key: EndpointKey,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// Its number.
    pub number: AttemptNumber,
    /// Why it was made.
    pub trigger: Trigger,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How long its phases took.
    pub phases: Phases,
    /// The URL used.
    pub url: String,
    /// How it ended.
    pub status: AttemptStatus,
    /// The answer's HTTP status.
    pub http_status: Option<u16>,
    /// Why there was none.
    pub error: Option<ErrorClass>,
    /// The exact error, for operators.
    pub error_detail: Option<String>,
    /// The part of the answer's body that is kept.
    pub response: Bytes,
}

impl AttemptRow {
    /// Returns where this attempt stands in a list by time.
    pub fn cursor(&self) -> AttemptCursor {
        AttemptCursor {
            at: self.at,
            message: self.message.key(),
            endpoint: self.endpoint_key,
            number: self.number,
        }
    }
}

/// A request to send one delivery again by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resend {
    /// Which message.
    pub message: MessageId,
    /// To which endpoint.
    pub endpoint: EndpointKey,
    /// The schedule clock's now.
    pub due: Timestamp,
    /// The request's idempotency key.
    pub idempotency: Option<crate::Idempotency>,
    /// Now, wall clock.
    pub now: Timestamp,
}

/// The answer to a resend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resent {
    /// One manual attempt is due now; `commit` holds it.
    Due {
        /// The number of the commit.
        commit: u64,
    },
    /// The payload was erased; there is nothing to send.
    PayloadGone,
    /// The endpoint is disabled.
    EndpointDisabled,
}
