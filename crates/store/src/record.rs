//! Recording how attempts ended.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    AttemptNumber, AttemptStatus, EndpointKey, Epoch, ErrorClass, FailReason, MessageKey, Phases,
    ShardId, Timestamp, Trigger, UrlKey,
};

/// One attempt that ended, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Which message.
    pub message: MessageKey,
    /// To which endpoint.
    pub endpoint: EndpointKey,
    /// The shard of the endpoint.
    pub shard: ShardId,
    /// The epoch under which the attempt was made.
    pub epoch: Epoch,
    /// The attempt's number within its delivery.
    pub number: AttemptNumber,
    /// Why it was made.
    pub trigger: Trigger,
    /// When it began, wall clock.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How long its phases took.
    pub phases: Phases,
    /// The URL used.
    pub url: UrlKey,
    /// How it ended.
    pub status: AttemptStatus,
    /// The answer's HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// Why there was none.
    pub error: Option<ErrorClass>,
    /// The exact error, for operators.
    pub error_detail: Option<Box<str>>,
    /// The part of the answer's body that is kept.
    pub response: Bytes,
    /// What follows.
    pub then: AfterAttempt,
    /// Of a message with an ordering key: the schedule clock's now, before which the next in its
    /// line is not due. `None` of all others.
    pub release: Option<Timestamp>,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAttempt {
    /// The delivery is done.
    Success,
    /// Another attempt, due at this time of the schedule clock.
    RetryAt(Timestamp),
    /// Dead-lettered.
    Fail(FailReason),
    /// A manual attempt failed: back to what it was before.
    AsBefore,
}

/// The answer to one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Durable.
    Stored,
    /// Durable, and the delivery that waited behind it in line is due now.
    Promoted,
    /// The epoch is not the shard's current one; nothing was stored.
    Fenced,
}
