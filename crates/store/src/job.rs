//! Jobs: what is done to many deliveries or messages, in bounded steps that survive a restart.
//!
//! A job has targets, one per endpoint, each with a cursor over messages. A step does one small
//! batch for one target and moves its cursor in the same transaction, so a crash repeats nothing
//! and leaves nothing out, and a target that is slow holds up no other.

use domain::{
    ApplicationId, ApplicationKey, Channel, EndpointId, EndpointKey, EventType, InboundKey, JobId,
    JobKey, MessageKey, OrganizationKey, SourceId, Tag, Timestamp,
};

use crate::{Idempotency, InboundVerdict};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobKind {
    /// Sends deliveries again, by whatever was asked for.
    Replay,
    /// Sends again what failed or was canceled at one endpoint.
    Recover,
    /// Sends what one endpoint never got.
    ReplayMissing,
    /// Sends again what one endpoint got or should have got.
    BulkReplay,
    /// Erases the payloads of an application's messages.
    PurgeContent,
    /// Puts in again what sources received. Its steps are the service's, and not made by
    /// [`crate::Store::step_job`].
    ReplayRequests,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Replay,
        Self::Recover,
        Self::ReplayMissing,
        Self::BulkReplay,
        Self::PurgeContent,
        Self::ReplayRequests,
    ];

    /// Returns the slug that is stored.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Recover => "recover",
            Self::ReplayMissing => "replay_missing",
            Self::BulkReplay => "bulk_replay",
            Self::PurgeContent => "purge_content",
            Self::ReplayRequests => "replay_requests",
        }
    }

    /// Reads a slug back.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.slug() == slug)
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobState {
    /// Steps are made.
    Running,
    /// No steps are made until it is resumed.
    Paused,
    /// Everything is done.
    Finished,
    /// It was ended by hand; what it did stays done.
    Canceled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Finished, Self::Canceled];

    /// Returns the number that is stored; ended states are the larger ones.
    pub const fn code(self) -> i64 {
        match self {
            Self::Running => 1,
            Self::Paused => 2,
            Self::Finished => 3,
            Self::Canceled => 4,
        }
    }

    /// Reads a stored number back.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Says whether nothing follows any more.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled)
    }
}

/// How a delivery must have ended to be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReplayOf {
    /// It was delivered.
    Success,
    /// It was dead-lettered.
    Failed,
    /// It was canceled.
    Canceled,
    /// It never was, although the endpoint subscribes to such messages now.
    Missing,
}

impl ReplayOf {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Success, Self::Failed, Self::Canceled, Self::Missing];

    /// Returns the slug that is stored and shown.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Missing => "missing",
        }
    }

    /// Reads a slug back.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.slug() == slug)
    }
}

/// Which messages a job is about. What waits for an attempt, and what has no payload, never is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCriteria {
    /// Published then or later.
    pub since: Option<Timestamp>,
    /// Published before.
    pub until: Timestamp,
    /// Of these event types.
    pub event_types: Option<Vec<EventType>>,
    /// With this channel.
    pub channel: Option<Channel>,
    /// With this tag.
    pub tag: Option<Tag>,
    /// Whose deliveries ended so, each at most once.
    pub of: Vec<ReplayOf>,
    /// The last attempt was answered with an HTTP status of this hundred; 0 for no answer.
    pub status_class: Option<u16>,
}

/// How a request is put in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestReplay {
    /// It is verified, by the clock of when it came and the secrets of today.
    pub verify: bool,
    /// What came before makes it a duplicate.
    pub deduplicate: bool,
}

/// Which requests a job puts in again, and how. When they came is said by [`JobCriteria`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestCriteria {
    /// Of this source.
    pub source: Option<SourceId>,
    /// With one of these verdicts.
    pub verdicts: Vec<InboundVerdict>,
    /// Refused for this reason.
    pub reason: Option<String>,
    /// How.
    pub replay: RequestReplay,
}

/// What became of requests that a job put in again, beside those that became messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestTally {
    /// They had come before.
    pub duplicates: u64,
    /// They were refused again, or are not there any more as they came.
    pub refused: u64,
}

/// A job that puts requests in again, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestJob {
    /// The job.
    pub job: Job,
    /// Whose it is.
    pub organization: OrganizationKey,
    /// Its application's id.
    pub application: ApplicationId,
    /// The last request that was done with.
    pub after: InboundKey,
}

/// What a step of a job that puts requests in again did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestStep {
    /// Which job.
    pub job: JobKey,
    /// The last request that was done with; `None` when there are no more.
    pub after: Option<InboundKey>,
    /// Requests looked at.
    pub examined: u64,
    /// Requests that became messages.
    pub done: u64,
    /// What became of the others.
    pub tally: RequestTally,
    /// Now.
    pub now: Timestamp,
}

/// A job to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Its public id.
    pub id: JobId,
    /// Whose it is.
    pub organization: OrganizationKey,
    /// Of which application.
    pub application: ApplicationKey,
    /// What it does.
    pub kind: JobKind,
    /// The endpoints to go through; none for a job that is about messages alone.
    pub endpoints: Vec<EndpointKey>,
    /// The endpoint, when it is only one.
    pub endpoint: Option<EndpointId>,
    /// About which messages.
    pub criteria: JobCriteria,
    /// About which requests, of [`JobKind::ReplayRequests`].
    pub requests: Option<RequestCriteria>,
    /// At most so many messages per second.
    pub rate: Option<u32>,
    /// `limits.jobs_per_application`: so many may be running or paused at once.
    pub jobs_max: u64,
    /// Now.
    pub now: Timestamp,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
}

/// A job as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its row.
    pub key: JobKey,
    /// Its public id.
    pub id: JobId,
    /// Of which application.
    pub application: ApplicationKey,
    /// What it does.
    pub kind: JobKind,
    /// How far it is.
    pub state: JobState,
    /// The endpoint, when it is only one.
    pub endpoint: Option<EndpointId>,
    /// About which messages.
    pub criteria: JobCriteria,
    /// About which requests, of [`JobKind::ReplayRequests`].
    pub requests: Option<RequestCriteria>,
    /// What became of requests.
    pub tally: RequestTally,
    /// At most so many messages per second.
    pub rate: Option<u32>,
    /// How many targets it began with.
    pub targets: u64,
    /// How many of them it has gone through.
    pub targets_done: u64,
    /// Messages looked at.
    pub examined: u64,
    /// Deliveries made due again, or payloads erased.
    pub done: u64,
    /// When it was created.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

/// Which jobs a list wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only of this application.
    pub application: Option<ApplicationKey>,
    /// Only of these kinds.
    pub kinds: Option<Vec<JobKind>>,
    /// Only in these states.
    pub states: Option<Vec<JobState>>,
}

/// What is done to a job by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobAction {
    /// Makes no further steps until it is resumed.
    Pause,
    /// Goes on.
    Resume,
    /// Ends it; what it did stays done.
    Cancel,
}

/// A job that wants steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningJob {
    /// Which.
    pub key: JobKey,
    /// What it does.
    pub kind: JobKind,
    /// At most so many messages per second.
    pub rate: Option<u32>,
}

/// A request to make one step of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobStep {
    /// Which.
    pub job: JobKey,
    /// Takes the target after this endpoint, or the first.
    pub after: Option<EndpointKey>,
    /// Does at most so much.
    pub room: u16,
    /// Looks at no more than about so many messages.
    pub rows: u16,
    /// Does nothing for an endpoint that has so many deliveries due.
    pub busy: u16,
    /// The schedule clock's now: what is made due is due then.
    pub due: Timestamp,
    /// Now, wall clock.
    pub now: Timestamp,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStepped {
    /// How far the job is now.
    pub state: JobState,
    /// The target that was taken.
    pub target: Option<EndpointKey>,
    /// How much was done: deliveries made due, or payloads erased.
    pub done: u16,
    /// The endpoint has enough to do, so nothing was looked at.
    pub busy: bool,
    /// Messages whose unfinished deliveries were canceled.
    pub canceled: Vec<MessageKey>,
    /// Endpoints whose next delivery in line is due because of that.
    pub promoted: Vec<EndpointKey>,
    /// The number of the commit.
    pub commit: u64,
}

/// A request to look at what a replay would be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Of which application.
    pub application: ApplicationKey,
    /// At which endpoint.
    pub endpoint: EndpointKey,
    /// About which messages.
    pub criteria: JobCriteria,
    /// Goes on after this message.
    pub after: Option<MessageKey>,
    /// Looks at no more than so many messages.
    pub rows: u16,
}

/// What a look at a replay found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previewed {
    /// Deliveries that would be made due.
    pub matched: u64,
    /// Messages looked at.
    pub examined: u64,
    /// Where to go on; `None` when everything was looked at.
    pub next: Option<MessageKey>,
}
