//! What posthaste keeps, as one trait by use case and by batch.
//!
//! [`Store`] is the contract; `store-sqlite` is its default backend and `model` its oracle in
//! plain maps. The cases of `conformance` hold for each of them; every bullet of a method's
//! `# Contract` is one case. Both come with the feature `testing`.
//!
//! The rules all backends share:
//! - Each method is one transaction. Nobody outside sees a transaction.
//! - Time, ids and random numbers are arguments. No backend reads a clock.
//! - Secrets arrive sealed; a store never sees one in the clear.
//! - A claim is a read. What the owner of a shard does not hold in memory, it claims again.
#![warn(missing_docs)]

mod announcement;
mod application;
mod audit;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod delivery;
mod endpoint;
mod error;
mod event_type;
mod expunge;
mod housekeeping;
mod idempotency;
mod inbound;
#[cfg(any(test, feature = "testing"))]
pub mod intercept;
mod job;
mod key;
mod message;
#[cfg(any(test, feature = "testing"))]
pub mod model;
mod origin;
mod page;
mod publish;
mod record;
mod statistics;

pub use announcement::{
    Announced, AnnouncedAttempt, AnnouncedMessage, Announcement, DisableFailing, FAILING_ATTEMPT,
};
pub use application::{Application, ApplicationChange, ApplicationRef, NewApplication};
pub use audit::{
    AuditChange, AuditEnds, AuditEntry, AuditField, AuditFields, AuditFilter, AuditRow, AuditStore,
    AuditValues, Audited, Author, audit_changes, audit_hash,
};
pub use delivery::{
    AttemptCursor, AttemptFilter, AttemptRow, Claim, Claimed, DestinationDue, DueDelivery,
    EndpointMessage, EndpointMessageFilter, GiveUp, MessageDestination, Resend, Resent,
};
pub use endpoint::{
    Endpoint, EndpointChange, EndpointRef, NewEndpoint, Rotated, Rotation, Routes, Sealed,
    SealedSecret,
};
pub use error::Error;
pub use event_type::{EventTypeChange, EventTypeRow, NewEventType};
pub use expunge::Expunged;
pub use housekeeping::{Backup, Prune, Pruned, Stats};
pub use idempotency::{Idempotency, IdempotencyKind, Write};
pub use inbound::{
    Guard, InboundFilter, InboundMarks, InboundRow, InboundSearch, InboundStore, InboundVerdict,
    Mark, NewInbound, NewSource, PruneRequests, PrunedRequests, Receipt, Reception, ResealedSource,
    SecretChange, Source, SourceChange, SourceRef, SourceSecret, SourceToken, SourceTokens,
};
pub use job::{
    Job, JobAction, JobCriteria, JobFilter, JobKind, JobState, JobStep, JobStepped, NewJob,
    Preview, Previewed, ReplayOf, RequestCriteria, RequestJob, RequestReplay, RequestStep,
    RequestTally, RunningJob,
};
pub use key::{
    ApiKeyChange, ApiKeyRow, Capabilities, Capability, KeyQuota, KeyStore, NewApiKey,
    PortalSession, Resealed, Scope,
};
pub use message::{MessageFilter, MessageRef, MessageRow, Payload};
pub use origin::{Origin, header_lines};
pub use page::{BYTES_EXAMINED_MAX, Cursor, Order, Page, PageRequest, ROWS_EXAMINED_MAX};
pub use publish::{
    Appended, Expand, Expanded, FAN_OUT_INLINE, InLine, NewMessage, OnEventId, Publish,
    PublishOutcome, PublishedMessage, UnfinishedFanOut, Waits,
};
pub use record::{AfterAttempt, AttemptRecord, Recorded};
pub use statistics::{EndpointStats, Span};

use async_trait::async_trait;
use domain::{
    ApplicationKey, EndpointKey, Epoch, MessageId, MessageKey, OrganizationKey, ShardId, Timestamp,
};

/// Everything that posthaste keeps.
///
/// Held as `Arc<dyn Store>`. Every method may answer [`Error::Full`] (only those that write) or
/// [`Error::Failed`]; the contracts name the others.
#[async_trait]
pub trait Store: KeyStore + AuditStore + InboundStore {
    // ---- The way of a message -------------------------------------------------------------

    /// Stores a batch of publishes, each with its messages, deliveries and idempotency row.
    ///
    /// # Contract
    ///
    /// - Durable when it returns: message, deliveries and idempotency row together or not at all.
    /// - One outcome per publish, in order. A publish that is refused changes nothing and does
    ///   not disturb its neighbours.
    /// - `Stale` when the application's routing version is not the one given; nothing is stored.
    /// - `NoApplication` when the application does not exist (any more).
    /// - An event id that exists in the application answers `EventIdTaken` with the first message
    ///   (`OnEventId::Refuse`) or the first id marked as duplicate (`OnEventId::AnswerFirst`).
    ///   The same holds between two items of one batch.
    /// - A known idempotency key with the same fingerprint answers `Replayed` with the ids of the
    ///   first time; with another fingerprint `KeyReused`. Two equal keys in one batch are one
    ///   effect. A key is known for at least its kind's time and at most twice that.
    /// - Up to [`FAN_OUT_INLINE`] destinations become delivery rows at once; with more, the
    ///   message is stored with a durable fan-out cursor over exactly the destinations given.
    /// - Payload bytes are kept exactly.
    /// - Of the deliveries of one endpoint whose messages have the same ordering key, only the one
    ///   stored first is due; the others wait, and `in_line` names them. A message that has more
    ///   destinations than are made at once, or comes after such a one with the same key that is
    ///   not expanded yet, waits everywhere. Messages without a key are not touched by this.
    /// - A message id that exists, or one that is no UUIDv7, fails the whole call (`Conflict`)
    ///   before anything of it is stored: ids are drawn so that this does not happen.
    /// - `commit` rises with every commit, and a claim that begins after this returned sees it.
    /// - A publish with a reception stores the request too, and answers `Received`; or
    ///   `SourceChanged` when the source is deleted or has another version.
    /// - A message whose mark is known for its source is a duplicate of the one that has it, and is
    ///   not stored again; the same holds within one batch and one publish. Where all of them are,
    ///   the request is stored as a duplicate, with whether a body differs, or is refused
    ///   (`id_reused`) if that is asked for.
    /// - A mark counts until its window is over, counted from when it was stored.
    /// - A known seal marks a request, or refuses it (`replayed`) if that is asked for; one that is
    ///   a duplicate by its id is not looked at for it.
    async fn append(&self, batch: Vec<Publish>) -> Result<Appended, Error>;

    /// Makes the next deliveries of a message whose fan-out is wider than an append holds.
    ///
    /// # Contract
    ///
    /// - Makes at most `room` delivery rows, in the order of the destinations given at append, and
    ///   moves the cursor in the same transaction: never one twice, never one left out.
    /// - A destination that was disabled or deleted since the append gets a canceled delivery and
    ///   is left out of the answer.
    /// - Of messages with one ordering key, the earlier one is expanded first: until then the later
    ///   one is `done` with nothing made, and stays unfinished. What has to wait in line is left
    ///   out of the answer.
    /// - `done` once the last was made; the cursor is gone then. Expanding what is done already,
    ///   or was never wide, is `done` with nothing made.
    async fn expand(&self, expand: Expand) -> Result<Expanded, Error>;

    /// Lists wide messages whose fan-out is not finished, oldest first.
    async fn unfinished_fan_outs(&self, limit: u16) -> Result<Vec<UnfinishedFanOut>, Error>;

    /// Records how attempts ended and what follows, in one transaction.
    ///
    /// A backend may let a few records wait some milliseconds for a commit to share.
    ///
    /// # Contract
    ///
    /// - One answer per record, in order; `Fenced` when the epoch is not the shard's current one,
    ///   and then nothing of that record is stored.
    /// - Every accepted record stores its attempt, whatever the delivery's state.
    /// - `Success` ends the delivery as `success`, also when it had been canceled or had failed.
    /// - `RetryAt` sets its next due time; `Fail` dead-letters it with the reason.
    /// - A delivery that is no longer pending (canceled meanwhile, erased with its endpoint)
    ///   keeps its state after anything but a success.
    /// - A manual attempt that fails leaves the delivery as it was before the resend.
    /// - A delivery with an ordering key that ends, by success or dead-lettered, lets the next in
    ///   its line become due, not before `release`, and answers `Promoted`. One that is tried
    ///   again stays the head. A manual attempt of one that waits leaves the others waiting.
    /// - The endpoint's counters of the attempt's minute rise in the same transaction.
    /// - An attempt recorded already (same message, endpoint and number) stays as it was, and so
    ///   does its delivery: recording twice is recording once.
    async fn record(&self, batch: Vec<AttemptRecord>) -> Result<Vec<Recorded>, Error>;

    /// Reads up to `room` deliveries of a destination that are due at `now`, with their payloads.
    ///
    /// Only the owner of the destination's shard may ask. The caller drops what its lane holds
    /// already: memory is the mark, and nothing is written here.
    ///
    /// # Contract
    ///
    /// - Ordered by `(due, message)`, starting after `after` when given.
    /// - The same answer twice when nothing was recorded in between.
    /// - Costs the same however long the backlog is.
    /// - Stops early once the payloads read reach `bytes`, but reads at least one.
    /// - `more` says whether due deliveries were left out; `next_due` is the earliest due time
    ///   after `now`, if there is one.
    /// - Canceled deliveries (endpoint disabled or deleted, even when their rows still say
    ///   pending) are left out, and so is everything of a disabled, paused or deleted endpoint.
    /// - `as_of` is a commit number: the answer reflects at least all commits up to it.
    /// - `Fenced` when `epoch` is not the shard's current one.
    async fn claim(&self, claim: Claim) -> Result<Claimed, Error>;

    /// Dead-letters what has waited too long behind an unavailable destination, without an attempt.
    ///
    /// # Contract
    ///
    /// - Fails pending deliveries of the destination whose `first_due` lies before the time given
    ///   and whose next attempt is a scheduled one, at most `rows` of those that are due first;
    ///   returns how many. Looks at no more than [`ROWS_EXAMINED_MAX`]: what lies further back is
    ///   found once those before it are gone.
    /// - The next in line of each that had an ordering key becomes due, not before `now`; it
    ///   keeps the time that it was first due.
    /// - `Fenced` when `epoch` is not the shard's current one.
    async fn give_up(&self, give_up: GiveUp) -> Result<u64, Error>;

    /// Lists destinations that have unfinished deliveries, with the earliest due time of each.
    ///
    /// # Contract
    ///
    /// - Ordered by endpoint key, starting after `after`; at most `limit`.
    /// - One step of the index per destination, whatever the backlog.
    /// - Leaves out what a claim would leave out.
    async fn destinations_due(
        &self,
        after: Option<EndpointKey>,
        limit: u16,
    ) -> Result<Vec<DestinationDue>, Error>;

    /// Becomes the owner of all shards and returns the new epoch, one higher than any before.
    ///
    /// # Contract
    ///
    /// - Everything recorded or claimed with an earlier epoch is `Fenced` from then on.
    async fn take_shards(&self, now: Timestamp) -> Result<Vec<(ShardId, Epoch)>, Error>;

    /// Says whether an operator wants to be told of changes and failures, from the next commit on.
    /// Nobody is, unless this was called.
    fn announce(&self, on: bool);

    /// Lists what is to be told, oldest first.
    ///
    /// # Contract
    ///
    /// - Every change of an endpoint, every dead letter, the failure of an endpoint (the fourth
    ///   of a message) and its recovery are stored in the transaction of what they tell of, while
    ///   `announce` is on. Failing is told once until the endpoint recovers, is enabled, disabled
    ///   or gets another URL.
    /// - Ids and names are those of that moment.
    async fn announcements(&self, limit: u16) -> Result<Vec<Announcement>, Error>;

    /// Forgets what was told, up to this number; numbers are never used again.
    async fn forget_announcements(&self, through: u64) -> Result<(), Error>;

    /// Disables endpoints that have failed for long.
    ///
    /// # Contract
    ///
    /// - Those whose first failure since the last success is not later than `since`, if a delivery
    ///   of theirs was dead-lettered since that success; at most `rows`, the longest failing first.
    ///   Returns them as they are now.
    /// - As any disabling does, it cancels what is pending. The reason is stored, and since when
    ///   the endpoint failed.
    /// - Enabling, disabling or another URL begins anew.
    async fn disable_failing(&self, request: DisableFailing) -> Result<Vec<Endpoint>, Error>;

    /// Returns the current commit number: every commit up to it is visible to a claim from now on.
    fn commit_number(&self) -> u64;

    // ---- Routing --------------------------------------------------------------------------

    /// Reads an application with all its endpoints and its routing version.
    ///
    /// # Contract
    ///
    /// - One consistent snapshot; `None` when there is no such application or it is deleted.
    /// - Every change of the application's endpoints or of what routing reads raises the version.
    /// - Deleted endpoints are left out; disabled and paused ones are in.
    async fn routes(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
    ) -> Result<Option<Routes>, Error>;

    /// Reads endpoints by key, whatever their application; what does not exist is left out.
    async fn endpoints_by_key(&self, keys: &[EndpointKey]) -> Result<Vec<Endpoint>, Error>;

    // ---- Applications ---------------------------------------------------------------------

    /// Creates an application.
    ///
    /// # Contract
    ///
    /// - `Conflict` when the organization has an application with this uid.
    /// - `Limit` beyond `applications_max` live ones; nothing is left of it.
    /// - A known idempotency key answers `Write::Replayed` with the application as it is now.
    async fn create_application(&self, new: NewApplication) -> Result<Write<Application>, Error>;

    /// Reads one application; `None` when it does not exist or is deleted.
    async fn application(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
    ) -> Result<Option<Application>, Error>;

    /// Lists applications by id.
    async fn applications(
        &self,
        organization: OrganizationKey,
        page: PageRequest<domain::ApplicationId>,
    ) -> Result<Page<Application>, Error>;

    /// Changes an application; `NotFound` and `Conflict` (uid) as for creating.
    async fn update_application(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
        change: ApplicationChange,
    ) -> Result<Application, Error>;

    /// Deletes an application: invisible at once, its uid free at once, its rows erased later by
    /// [`Store::prune`].
    async fn delete_application(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
        now: Timestamp,
    ) -> Result<Application, Error>;

    // ---- Endpoints ------------------------------------------------------------------------

    /// Creates an endpoint.
    ///
    /// # Contract
    ///
    /// - `Conflict` for a taken uid, `Limit` beyond `endpoints_max`, `NotFound` without the
    ///   application.
    /// - Raises the application's routing version.
    async fn create_endpoint(&self, new: NewEndpoint) -> Result<Write<Endpoint>, Error>;

    /// Reads one endpoint of an application.
    async fn endpoint(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
    ) -> Result<Option<Endpoint>, Error>;

    /// Reads one endpoint by its id, whatever its application: for what is public of it.
    ///
    /// # Contract
    ///
    /// - A deleted one, and one of a deleted application, is none.
    async fn endpoint_by_id(&self, id: domain::EndpointId) -> Result<Option<Endpoint>, Error>;

    /// Lists endpoints of an application by id.
    async fn endpoints(
        &self,
        application: ApplicationKey,
        page: PageRequest<domain::EndpointId>,
    ) -> Result<Page<Endpoint>, Error>;

    /// Changes an endpoint.
    ///
    /// # Contract
    ///
    /// - Disabling cancels what is pending by one change of the endpoint's row: its deliveries
    ///   read as canceled at once, and a later enabling does not bring them back.
    /// - Raises the application's routing version and the endpoint's own.
    async fn update_endpoint(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        change: EndpointChange,
    ) -> Result<Endpoint, Error>;

    /// Deletes an endpoint: invisible at once, uid free at once, deliveries canceled at once and
    /// erased later by [`Store::prune`].
    async fn delete_endpoint(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        now: Timestamp,
    ) -> Result<Endpoint, Error>;

    /// Puts a new secret first and lets the earlier ones live until `rotation.old_expires`.
    ///
    /// # Contract
    ///
    /// - An earlier secret never lives longer than it did before the rotation.
    /// - `Limit` when more than `secrets_max` would be live at once.
    /// - A known idempotency key changes nothing and answers the secret of the first time, or
    ///   `NotFound` once that is gone.
    async fn rotate_secret(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        rotation: Rotation,
    ) -> Result<Write<Rotated>, Error>;

    // ---- Event types ----------------------------------------------------------------------

    /// Creates an event type; `Conflict` when the name exists (an archived one is revived).
    ///
    /// # Contract
    ///
    /// - `Limit` beyond `event_types_max`, archived ones counted; reviving one is no further one.
    async fn create_event_type(&self, new: NewEventType) -> Result<Write<EventTypeRow>, Error>;

    /// Reads one event type, archived or not.
    async fn event_type(
        &self,
        organization: OrganizationKey,
        name: &domain::EventType,
    ) -> Result<Option<EventTypeRow>, Error>;

    /// Lists event types by name.
    async fn event_types(
        &self,
        organization: OrganizationKey,
        archived: bool,
        page: PageRequest<domain::EventType>,
    ) -> Result<Page<EventTypeRow>, Error>;

    /// Returns the names of the event types whose messages must match a schema.
    ///
    /// # Contract
    ///
    /// - Archived ones are left out: nobody publishes by them any more.
    async fn enforced_event_types(
        &self,
        organization: OrganizationKey,
    ) -> Result<Vec<domain::EventType>, Error>;

    /// Changes an event type; `NotFound` when there is none.
    async fn update_event_type(
        &self,
        organization: OrganizationKey,
        name: &domain::EventType,
        change: EventTypeChange,
    ) -> Result<EventTypeRow, Error>;

    /// Archives an event type, or erases it when `expunge`; `NotFound` when there is none.
    async fn delete_event_type(
        &self,
        organization: OrganizationKey,
        name: &domain::EventType,
        expunge: bool,
        now: Timestamp,
    ) -> Result<(), Error>;

    // ---- Messages, deliveries, attempts ---------------------------------------------------

    /// Reads one message of an application by id or event id, with its payload.
    async fn message(
        &self,
        application: ApplicationKey,
        message: &MessageRef,
    ) -> Result<Option<MessageRow>, Error>;

    /// Lists messages of an application by time of publishing.
    ///
    /// # Contract
    ///
    /// - Examines at most [`ROWS_EXAMINED_MAX`] rows: a page may be short, even empty, with more
    ///   to come; `resume` says where.
    async fn messages(
        &self,
        application: ApplicationKey,
        filter: &MessageFilter,
        page: PageRequest<MessageKey>,
    ) -> Result<Page<MessageRow, MessageKey>, Error>;

    /// Lists where a message goes, with the state of each delivery, by endpoint.
    ///
    /// # Contract
    ///
    /// - A delivery of a disabled or deleted endpoint that was pending reads as canceled.
    /// - A delivered one reads as success although its row is gone.
    async fn message_destinations(
        &self,
        message: MessageId,
        page: PageRequest<EndpointKey>,
    ) -> Result<Page<MessageDestination>, Error>;

    /// Lists the messages that an endpoint of the application gets or got, by time of publishing.
    ///
    /// # Contract
    ///
    /// - A message is listed when the endpoint is one of its destinations, with the same row that
    ///   [`Store::message_destinations`] shows.
    /// - Filtered by what the message is, and by the state of its delivery.
    /// - Examines at most [`ROWS_EXAMINED_MAX`] rows, as [`Store::messages`] does.
    async fn endpoint_messages(
        &self,
        application: ApplicationKey,
        endpoint: EndpointKey,
        filter: &EndpointMessageFilter,
        page: PageRequest<MessageKey>,
    ) -> Result<Page<EndpointMessage, MessageKey>, Error>;

    /// Counts how an endpoint fares.
    ///
    /// # Contract
    ///
    /// - Attempts are counted by the whole minutes that the span touches, and stay counted when
    ///   they are erased.
    /// - Deliveries are counted as they stand now, of messages whose ids were drawn in the span;
    ///   of each state it examines at most [`ROWS_EXAMINED_MAX`], and counts no more.
    async fn endpoint_stats(
        &self,
        endpoint: EndpointKey,
        span: Span,
    ) -> Result<EndpointStats, Error>;

    /// Lists attempts of a message by time.
    async fn attempts_by_message(
        &self,
        message: MessageId,
        filter: &AttemptFilter,
        page: PageRequest<AttemptCursor>,
    ) -> Result<Page<AttemptRow, AttemptCursor>, Error>;

    /// Lists attempts to an endpoint by time.
    ///
    /// # Contract
    ///
    /// - Examines at most [`ROWS_EXAMINED_MAX`] rows, as [`Store::messages`] does.
    async fn attempts_by_endpoint(
        &self,
        endpoint: EndpointKey,
        filter: &AttemptFilter,
        page: PageRequest<AttemptCursor>,
    ) -> Result<Page<AttemptRow, AttemptCursor>, Error>;

    /// Reads the one attempt of a message whose derived id this is.
    async fn attempt(
        &self,
        message: MessageId,
        attempt: domain::AttemptId,
    ) -> Result<Option<AttemptRow>, Error>;

    /// Makes a delivery due now for one manual attempt, whatever its state.
    ///
    /// # Contract
    ///
    /// - Works for a destination that the message had no delivery to.
    /// - A payload that is erased answers `PayloadGone`, a disabled endpoint `EndpointDisabled`.
    /// - Asking again before the attempt was made changes nothing.
    async fn resend(&self, resend: Resend) -> Result<Resent, Error>;

    /// Erases the payload of a message, whatever its time.
    ///
    /// # Contract
    ///
    /// - Deliveries that are unfinished are canceled, a pending fan-out makes no more of them, and
    ///   what waited in line behind them goes on.
    /// - Nothing can be resent or replayed afterwards, and asking again changes nothing.
    /// - `NotFound` when the application has no such message.
    /// - Each call leaves an entry in the audit trail, and so does erasing an answer.
    async fn expunge_message(
        &self,
        application: ApplicationKey,
        message: MessageId,
        now: Timestamp,
    ) -> Result<Expunged, Error>;

    /// Erases the part of the answer that is kept with an attempt of a message of the application;
    /// `NotFound` without one.
    async fn expunge_attempt(
        &self,
        application: ApplicationKey,
        message: MessageId,
        attempt: domain::AttemptId,
        now: Timestamp,
    ) -> Result<(), Error>;

    // ---- Jobs -----------------------------------------------------------------------------

    /// Creates a job; one without endpoints goes through the application's messages once.
    ///
    /// # Contract
    ///
    /// - `NotFound` without the application, `Limit` when `jobs_max` of it are not ended.
    /// - A known idempotency key answers `Write::Replayed` with the job as it is now.
    async fn create_job(&self, new: NewJob) -> Result<Write<Job>, Error>;

    /// Reads one job of an organization; one of a deleted application is gone.
    async fn job(
        &self,
        organization: OrganizationKey,
        job: domain::JobId,
    ) -> Result<Option<Job>, Error>;

    /// Lists jobs by id; those of deleted applications are left out.
    ///
    /// # Contract
    ///
    /// - Examines at most [`ROWS_EXAMINED_MAX`] rows, as [`Store::messages`] does.
    async fn jobs(
        &self,
        organization: OrganizationKey,
        filter: &JobFilter,
        page: PageRequest<domain::JobId>,
    ) -> Result<Page<Job, domain::JobId>, Error>;

    /// Pauses, resumes or cancels a job; what does not apply changes nothing.
    ///
    /// # Contract
    ///
    /// - No step does anything once this has returned, unless the job is running.
    /// - `NotFound` when the organization has no such job.
    async fn change_job(
        &self,
        organization: OrganizationKey,
        job: domain::JobId,
        action: JobAction,
        now: Timestamp,
    ) -> Result<Job, Error>;

    /// Lists jobs that are running, by key, starting after `after`.
    async fn running_jobs(
        &self,
        after: Option<domain::JobKey>,
        limit: u16,
    ) -> Result<Vec<RunningJob>, Error>;

    /// Makes one step of a job, for the first of its targets after `after`, or the first of all.
    ///
    /// # Contract
    ///
    /// - What is done and how far the target is are one transaction: nothing is done twice, and
    ///   nothing is left out.
    /// - What a replay is about becomes a delivery that is due, with its whole schedule before it
    ///   and its attempts counted on; a delivery that waits for an attempt stays as it is.
    /// - An endpoint that is disabled or deleted is passed over.
    /// - Does nothing for an endpoint that has `busy` deliveries due.
    /// - The job is finished when its last target is.
    async fn step_job(&self, step: JobStep) -> Result<JobStepped, Error>;

    /// Counts what a replay would make due at one endpoint, as far as it looks.
    async fn preview(&self, preview: Preview) -> Result<Previewed, Error>;

    // ---- Requests that are one however often they come --------------------------------------

    /// Says whether a request has been noted as done, of those whose effect names no thing.
    ///
    /// # Contract
    ///
    /// - True for a key that [`Store::note_done`] was given, for as long as any key is known;
    ///   `KeyReused` when it came with another fingerprint, there or with any other write.
    async fn was_done(&self, idempotency: &Idempotency, now: Timestamp) -> Result<bool, Error>;

    /// Notes that a request is done. Noting it twice is noting it once.
    async fn note_done(&self, idempotency: Idempotency, now: Timestamp) -> Result<(), Error>;

    // ---- Housekeeping ---------------------------------------------------------------------

    /// Does one small batch of overdue housekeeping.
    ///
    /// # Contract
    ///
    /// - Erases payloads past their expiry whose deliveries are all finished, and no others;
    ///   a pending fan-out counts as unfinished.
    /// - Erases messages and attempts past `history` entirely.
    /// - Settles canceled deliveries of disabled endpoints, erases rows of deleted endpoints and
    ///   applications.
    /// - Drops idempotency buckets that are past their time, and an endpoint's counters of whole
    ///   hours past `statistics`.
    /// - Touches at most `rows` rows; `more` says whether to come again.
    async fn prune(&self, prune: Prune) -> Result<Pruned, Error>;

    /// Writes a consistent copy of everything to a file, while others go on writing.
    async fn backup(&self, backup: Backup) -> Result<(), Error>;

    /// Checks that the store can be written to, as `/readyz` wants to know.
    ///
    /// # Contract
    ///
    /// - Writes for real: `Full` while the disk is full, `Ok` again once it is not.
    async fn check_writable(&self, now: Timestamp) -> Result<(), Error>;

    /// Returns counts for metrics.
    async fn stats(&self) -> Result<Stats, Error>;
}
