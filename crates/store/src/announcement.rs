//! What an operator is told of: changes of endpoints, and how attempts fare.

use domain::{
    ApplicationId, AttemptId, DisabledReason, EndpointId, EventId, MessageId, OrganizationKey,
    Timestamp, Uid,
};

/// A fact that was stored together with the change that it tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Rises with each, and is never used twice.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub what: Announced,
    /// Whose application it is.
    pub organization: OrganizationKey,
    /// The endpoint's application.
    pub application: ApplicationId,
    /// The application's own name, as it was then.
    pub application_uid: Option<Uid>,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The endpoint's own name, as it was then.
    pub endpoint_uid: Option<Uid>,
    /// Why it was disabled, of [`Announced::Disabled`].
    pub disabled: Option<DisabledReason>,
    /// When its first failure since the last success was, of one that was disabled for failing.
    pub failing_since: Option<Timestamp>,
    /// The message, of what tells of attempts.
    pub message: Option<AnnouncedMessage>,
}

/// The message that an announcement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedMessage {
    /// Which.
    pub id: MessageId,
    /// The caller's own id.
    pub event_id: Option<EventId>,
    /// Its last attempt; `None` when it was given up without one.
    pub attempt: Option<AnnouncedAttempt>,
}

/// The last attempt of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncedAttempt {
    /// Its id.
    pub id: AttemptId,
    /// The answer's HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// When it began.
    pub at: Timestamp,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// An endpoint was created.
    Created,
    /// An endpoint was changed.
    Updated,
    /// An endpoint was deleted.
    Deleted,
    /// An endpoint was disabled.
    Disabled,
    /// An endpoint was enabled.
    Enabled,
    /// A delivery was dead-lettered.
    Exhausted,
    /// A message failed for the fourth time; once per endpoint until that recovers.
    Failing,
    /// An endpoint accepted a message after [`Announced::Failing`].
    Recovered,
}

impl Announced {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Updated,
        Self::Deleted,
        Self::Disabled,
        Self::Enabled,
        Self::Exhausted,
        Self::Failing,
        Self::Recovered,
    ];

    /// Returns the event type that it is published and stored as.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Created => "endpoint.created",
            Self::Updated => "endpoint.updated",
            Self::Deleted => "endpoint.deleted",
            Self::Disabled => "endpoint.disabled",
            Self::Enabled => "endpoint.enabled",
            Self::Exhausted => "message.attempt.exhausted",
            Self::Failing => "message.attempt.failing",
            Self::Recovered => "message.attempt.recovered",
        }
    }
}

/// The failure of a message by which its endpoint counts as failing.
pub const FAILING_ATTEMPT: domain::AttemptNumber = 4;

/// A request to disable endpoints that have failed for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisableFailing {
    /// Those whose first failure since the last success is not later than this.
    pub since: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// At most so many.
    pub rows: u16,
}
