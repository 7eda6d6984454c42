//! The store as plain maps: slow, obvious, and the oracle of property tests.
//!
//! It keeps every delivery with its state and writes each of them when something changes them
//! all, where a backend may get by with changing one row. What callers see must be the same.

mod admin;
mod audit;
mod inbound;
mod jobs;
mod keys;
mod line;
mod lists;
mod outcome;
mod prune;
mod publish;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::{
    ApiKeyId, ApplicationId, ApplicationKey, AttemptId, AttemptNumber, CancelReason, EndpointId,
    EndpointKey, Epoch, EventType, FailReason, InboundKey, JobId, JobKey, MessageId, MessageKey,
    OrderingKey, OrganizationId, OrganizationKey, ShardId, SourceKey, Timestamp, UrlKey,
};

use crate::{
    Announcement, ApiKeyRow, Appended, Application, ApplicationChange, ApplicationRef,
    AttemptCursor, AttemptFilter, AttemptRecord, AttemptRow, AuditEnds, AuditRow, Author, Backup,
    Claim, Claimed, DestinationDue, DisableFailing, Endpoint, EndpointChange, EndpointMessage,
    EndpointMessageFilter, EndpointRef, EndpointStats, Error, EventTypeChange, EventTypeRow,
    Expand, Expanded, Expunged, GiveUp, Idempotency, Job, JobAction, JobFilter, JobStep,
    JobStepped, MessageDestination, MessageFilter, MessageRef, MessageRow, NewApplication,
    NewEndpoint, NewEventType, NewJob, Page, PageRequest, Preview, Previewed, Prune, Pruned,
    Publish, PublishedMessage, Recorded, Resend, Resent, Rotated, Rotation, Routes, RunningJob,
    Sealed, Span, Stats, Store, UnfinishedFanOut, Write,
};

use jobs::StoredJob;

/// A store in memory.
#[derive(Debug, Default)]
pub struct Model {
    state: Arc<Mutex<State>>,
    /// Whose changes the audit trail notes.
    author: Author,
}

impl Model {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a write, which counts as a commit whether it changes anything or not.
    fn write<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        state.commits += 1;
        state.author.clone_from(&self.author);
        work(&mut state)
    }
}

/// A key with the code of its kind and its bucket before it.
type IdempotencyKey = (i64, i64, [u8; 16]);

/// Keys of an attempt: message, endpoint, number.
type AttemptKey = (MessageKey, EndpointKey, AttemptNumber);

#[derive(Debug, Default)]
struct State {
    commits: u64,
    epoch: i64,
    organizations: Vec<OrganizationId>,
    api_keys: Vec<ApiKeyRow>,
    applications: BTreeMap<ApplicationKey, StoredApplication>,
    last_application: i64,
    endpoints: BTreeMap<EndpointKey, Endpoint>,
    last_endpoint: i64,
    urls: BTreeMap<UrlKey, (EndpointKey, String)>,
    last_url: i64,
    event_types: BTreeMap<(OrganizationKey, EventType), EventTypeRow>,
    messages: BTreeMap<MessageKey, StoredMessage>,
    deliveries: BTreeMap<(MessageKey, EndpointKey), Delivery>,
    attempts: BTreeMap<AttemptKey, AttemptRecord>,
    /// Attempts that succeeded and that failed, by minute.
    minutes: BTreeMap<(EndpointKey, i64), (u64, u64)>,
    fan_outs: BTreeMap<MessageKey, FanOut>,
    failing: BTreeMap<EndpointKey, watch::Failing>,
    announces: bool,
    announcements: Vec<Announcement>,
    last_announcement: u64,
    /// Unfinished deliveries with an ordering key, the head first.
    lines: BTreeMap<(EndpointKey, OrderingKey), Vec<MessageKey>>,
    jobs: BTreeMap<JobKey, StoredJob>,
    last_job: i64,
    sources: BTreeMap<SourceKey, inbound::StoredSource>,
    last_source: i64,
    requests: BTreeMap<InboundKey, inbound::StoredRequest>,
    /// What requests are deduplicated by.
    marks: BTreeMap<(SourceKey, [u8; 16]), inbound::StoredMark>,
    idempotency: BTreeMap<IdempotencyKey, ([u8; 16], Effect)>,
    /// Who makes the change under way.
    author: Author,
    audit: BTreeMap<OrganizationKey, (AuditEnds, Vec<AuditRow>)>,
}

#[derive(Debug)]
struct StoredApplication {
    organization: OrganizationKey,
    row: Application,
    version: u64,
    deleted: Option<Timestamp>,
}

#[derive(Debug)]
struct StoredMessage {
    application: ApplicationKey,
    row: MessageRow,
    expires: Timestamp,
    /// The request that brought it.
    request: Option<domain::InboundKey>,
}

#[derive(Clone, Copy, Debug)]
struct Delivery {
    status: Status,
    /// Pending, but behind another one in line.
    waiting: bool,
    due: Timestamp,
    first_due: Timestamp,
    attempts: AttemptNumber,
    scheduled: AttemptNumber,
    /// A manual attempt is due; this is what it returns to when it fails.
    back: Option<Back>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Success,
    Pending,
    Fail(FailReason),
    Canceled(CancelReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    /// It was no delivery.
    Nothing,
    /// It was pending and due then, or waiting in line.
    Pending { due: Timestamp, waiting: bool },
    /// It had ended.
    Ended(Status),
}

#[derive(Debug)]
struct FanOut {
    cursor: usize,
    due: Timestamp,
    destinations: Vec<EndpointKey>,
    ordered: Option<(ApplicationKey, OrderingKey)>,
    /// Those that were disabled since the append.
    canceled: Vec<EndpointKey>,
}

/// What a write with an idempotency key did.
#[derive(Clone, Debug)]
enum Effect {
    Published(Vec<PublishedMessage>),
    Application(ApplicationKey),
    Endpoint(EndpointKey),
    EventType(EventType),
    ApiKey(ApiKeyId),
    Job(JobKey),
    Source(SourceKey),
    /// The endpoint and its new secret.
    Rotation(EndpointKey, Sealed),
    Resent,
    /// Something that has no name.
    Done,
}

impl State {
    /// Looks up what a key did: in its bucket, the one before, and the one after in case the
    /// clock was set back.
    fn effect(
        &self,
        idempotency: Option<&Idempotency>,
        now: Timestamp,
    ) -> Result<Option<Effect>, Error> {
        let Some(asked) = idempotency else {
            return Ok(None);
        };
        let bucket = asked.kind.bucket(now);
        for bucket in [bucket, bucket - 1, bucket + 1] {
            let key = (asked.kind.code(), bucket, asked.key);
            if let Some((fingerprint, effect)) = self.idempotency.get(&key) {
                if *fingerprint != asked.fingerprint {
                    return Err(Error::KeyReused);
                }
                return Ok(Some(effect.clone()));
            }
        }
        Ok(None)
    }

    fn remember(&mut self, idempotency: Option<&Idempotency>, now: Timestamp, effect: Effect) {
        if let Some(asked) = idempotency {
            let key = (asked.kind.code(), asked.kind.bucket(now), asked.key);
            self.idempotency.insert(key, (asked.fingerprint, effect));
        }
    }

    /// When the endpoint was deleted, itself or with its application.
    fn deleted(&self, endpoint: &Endpoint) -> Option<Timestamp> {
        let application = self.applications.get(&endpoint.application);
        endpoint
            .deleted
            .or(application.and_then(|application| application.deleted))
    }

    /// An endpoint that exists and is not deleted.
    fn live(&self, key: EndpointKey) -> Option<&Endpoint> {
        let endpoint = self.endpoints.get(&key)?;
        Some(endpoint).filter(|endpoint| self.deleted(endpoint).is_none())
    }

    /// Cancels what is pending for an endpoint. A manual attempt goes back to what was before,
    /// unless that was itself pending.
    fn cancel(&mut self, endpoint: EndpointKey, reason: CancelReason) {
        self.deliveries.retain(|(_, to), delivery| {
            if *to != endpoint || delivery.status != Status::Pending {
                return true;
            }
            match delivery.back.take() {
                Some(Back::Nothing) => return false,
                Some(Back::Ended(status)) => delivery.status = status,
                Some(Back::Pending { .. }) | None => delivery.status = Status::Canceled(reason),
            }
            true
        });
        self.lines.retain(|(of, _), _| *of != endpoint);
        for fan_out in self.fan_outs.values_mut() {
            fan_out.canceled.push(endpoint);
        }
    }

    fn fenced(&self, epoch: Epoch) -> Result<(), Error> {
        if epoch.0 == self.epoch {
            Ok(())
        } else {
            Err(Error::Fenced)
        }
    }
}

#[async_trait]
impl Store for Model {
    async fn append(&self, batch: Vec<Publish>) -> Result<Appended, Error> {
        self.write(|state| state.append(&batch))
    }

    async fn expand(&self, expand: Expand) -> Result<Expanded, Error> {
        self.write(|state| Ok(state.expand(&expand)))
    }

    async fn unfinished_fan_outs(&self, limit: u16) -> Result<Vec<UnfinishedFanOut>, Error> {
        Ok(self.state().unfinished(limit))
    }

    async fn record(&self, batch: Vec<AttemptRecord>) -> Result<Vec<Recorded>, Error> {
        self.write(|state| Ok(batch.into_iter().map(|one| state.record(one)).collect()))
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, Error> {
        self.state().claim(&claim)
    }

    async fn give_up(&self, give_up: GiveUp) -> Result<u64, Error> {
        self.write(|state| state.give_up(&give_up))
    }

    async fn destinations_due(
        &self,
        after: Option<EndpointKey>,
        limit: u16,
    ) -> Result<Vec<DestinationDue>, Error> {
        Ok(self.state().destinations_due(after, limit))
    }

    async fn take_shards(&self, _now: Timestamp) -> Result<Vec<(ShardId, Epoch)>, Error> {
        self.write(|state| {
            state.epoch += 1;
            let epoch = Epoch(state.epoch);
            Ok(ShardId::all().map(|shard| (shard, epoch)).collect())
        })
    }

    fn announce(&self, on: bool) {
        self.state().announces = on;
    }

    async fn announcements(&self, limit: u16) -> Result<Vec<Announcement>, Error> {
        let state = self.state();
        let first = state.announcements.iter().take(limit.into());
        Ok(first.cloned().collect())
    }

    async fn forget_announcements(&self, through: u64) -> Result<(), Error> {
        self.write(|state| state.announcements.retain(|one| one.number > through));
        Ok(())
    }

    async fn disable_failing(&self, request: DisableFailing) -> Result<Vec<Endpoint>, Error> {
        self.write(|state| Ok(state.disable_failing(&request)))
    }

    fn commit_number(&self) -> u64 {
        self.state().commits
    }

    async fn routes(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
    ) -> Result<Option<Routes>, Error> {
        Ok(self.state().routes(organization, application))
    }

    async fn endpoint_by_id(&self, id: EndpointId) -> Result<Option<Endpoint>, Error> {
        let state = self.state();
        let found = state.endpoints.values().find(|endpoint| endpoint.id == id);
        Ok(found
            .filter(|found| state.deleted(found).is_none())
            .cloned())
    }

    async fn endpoints_by_key(&self, keys: &[EndpointKey]) -> Result<Vec<Endpoint>, Error> {
        let state = self.state();
        Ok(keys.iter().filter_map(|key| state.by_key(*key)).collect())
    }

    async fn create_application(&self, new: NewApplication) -> Result<Write<Application>, Error> {
        self.write(|state| state.create_application(&new))
    }

    async fn application(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
    ) -> Result<Option<Application>, Error> {
        let state = self.state();
        let found = state.find_application(organization, application);
        Ok(found.map(|found| found.row.clone()))
    }

    async fn applications(
        &self,
        organization: OrganizationKey,
        page: PageRequest<ApplicationId>,
    ) -> Result<Page<Application>, Error> {
        Ok(self.state().list_applications(organization, &page))
    }

    async fn update_application(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
        change: ApplicationChange,
    ) -> Result<Application, Error> {
        self.write(|state| state.update_application(organization, application, &change))
    }

    async fn delete_application(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
        now: Timestamp,
    ) -> Result<Application, Error> {
        self.write(|state| state.delete_application(organization, application, now))
    }

    async fn create_endpoint(&self, new: NewEndpoint) -> Result<Write<Endpoint>, Error> {
        self.write(|state| state.create_endpoint(&new))
    }

    async fn endpoint(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
    ) -> Result<Option<Endpoint>, Error> {
        let state = self.state();
        Ok(state.find_endpoint(application, endpoint).cloned())
    }

    async fn endpoints(
        &self,
        application: ApplicationKey,
        page: PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint>, Error> {
        Ok(self.state().list_endpoints(application, &page))
    }

    async fn update_endpoint(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        change: EndpointChange,
    ) -> Result<Endpoint, Error> {
        self.write(|state| state.update_endpoint(application, endpoint, &change))
    }

    async fn delete_endpoint(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        now: Timestamp,
    ) -> Result<Endpoint, Error> {
        self.write(|state| state.delete_endpoint(application, endpoint, now))
    }

    async fn rotate_secret(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        rotation: Rotation,
    ) -> Result<Write<Rotated>, Error> {
        self.write(|state| state.rotate_secret(application, endpoint, &rotation))
    }

    async fn create_event_type(&self, new: NewEventType) -> Result<Write<EventTypeRow>, Error> {
        self.write(|state| state.create_event_type(&new))
    }

    async fn event_type(
        &self,
        organization: OrganizationKey,
        name: &EventType,
    ) -> Result<Option<EventTypeRow>, Error> {
        let state = self.state();
        Ok(state
            .event_types
            .get(&(organization, name.clone()))
            .cloned())
    }

    async fn event_types(
        &self,
        organization: OrganizationKey,
        archived: bool,
        page: PageRequest<EventType>,
    ) -> Result<Page<EventTypeRow>, Error> {
        Ok(self.state().list_event_types(organization, archived, &page))
    }

    async fn enforced_event_types(
        &self,
        organization: OrganizationKey,
    ) -> Result<Vec<EventType>, Error> {
        let state = self.state();
        let rows = state.event_types.iter();
        let enforced =
            rows.filter(|((of, _), row)| *of == organization && row.enforced && !row.archived);
        Ok(enforced.map(|((_, name), _)| name.clone()).collect())
    }

    async fn update_event_type(
        &self,
        organization: OrganizationKey,
        name: &EventType,
        change: EventTypeChange,
    ) -> Result<EventTypeRow, Error> {
        self.write(|state| state.update_event_type(organization, name, &change))
    }

    async fn delete_event_type(
        &self,
        organization: OrganizationKey,
        name: &EventType,
        expunge: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(|state| state.delete_event_type(organization, name, expunge, now))
    }

    async fn message(
        &self,
        application: ApplicationKey,
        message: &MessageRef,
    ) -> Result<Option<MessageRow>, Error> {
        Ok(self.state().find_message(application, message))
    }

    async fn messages(
        &self,
        application: ApplicationKey,
        filter: &MessageFilter,
        page: PageRequest<MessageKey>,
    ) -> Result<Page<MessageRow, MessageKey>, Error> {
        Ok(self.state().list_messages(application, filter, &page))
    }

    async fn message_destinations(
        &self,
        message: MessageId,
        page: PageRequest<EndpointKey>,
    ) -> Result<Page<MessageDestination>, Error> {
        Ok(self.state().list_destinations(message, &page))
    }

    async fn endpoint_messages(
        &self,
        application: ApplicationKey,
        endpoint: EndpointKey,
        filter: &EndpointMessageFilter,
        page: PageRequest<MessageKey>,
    ) -> Result<Page<EndpointMessage, MessageKey>, Error> {
        let state = self.state();
        Ok(state.list_endpoint_messages(application, endpoint, filter, &page))
    }

    async fn endpoint_stats(
        &self,
        endpoint: EndpointKey,
        span: Span,
    ) -> Result<EndpointStats, Error> {
        Ok(self.state().endpoint_stats(endpoint, span))
    }

    async fn attempts_by_message(
        &self,
        message: MessageId,
        filter: &AttemptFilter,
        page: PageRequest<AttemptCursor>,
    ) -> Result<Page<AttemptRow, AttemptCursor>, Error> {
        let state = self.state();
        let stored = state.is_stored(message);
        Ok(state.list_attempts(filter, &page, |attempt| {
            stored && attempt.message == message.key()
        }))
    }

    async fn attempts_by_endpoint(
        &self,
        endpoint: EndpointKey,
        filter: &AttemptFilter,
        page: PageRequest<AttemptCursor>,
    ) -> Result<Page<AttemptRow, AttemptCursor>, Error> {
        let state = self.state();
        Ok(state.list_attempts(filter, &page, |attempt| attempt.endpoint == endpoint))
    }

    async fn attempt(
        &self,
        message: MessageId,
        attempt: AttemptId,
    ) -> Result<Option<AttemptRow>, Error> {
        Ok(self.state().find_attempt(message, attempt))
    }

    async fn resend(&self, resend: Resend) -> Result<Resent, Error> {
        self.write(|state| state.resend(&resend))
    }

    async fn expunge_message(
        &self,
        application: ApplicationKey,
        message: MessageId,
        now: Timestamp,
    ) -> Result<Expunged, Error> {
        self.write(|state| {
            let expunged = state.expunge_message(application, message, now)?;
            state.note_expunge(application, (now, "message.expunge"), message.to_string());
            Ok(expunged)
        })
    }

    async fn expunge_attempt(
        &self,
        application: ApplicationKey,
        message: MessageId,
        attempt: AttemptId,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(|state| {
            state.expunge_attempt(message, attempt)?;
            state.note_expunge(application, (now, "attempt.expunge"), attempt.to_string());
            Ok(())
        })
    }

    async fn was_done(&self, idempotency: &Idempotency, now: Timestamp) -> Result<bool, Error> {
        let known = self.state().effect(Some(idempotency), now)?;
        Ok(known.is_some())
    }

    async fn note_done(&self, idempotency: Idempotency, now: Timestamp) -> Result<(), Error> {
        self.write(|state| {
            if state.effect(Some(&idempotency), now)?.is_none() {
                state.remember(Some(&idempotency), now, Effect::Done);
            }
            Ok(())
        })
    }

    async fn create_job(&self, new: NewJob) -> Result<Write<Job>, Error> {
        self.write(|state| state.create_job(&new))
    }

    async fn job(&self, organization: OrganizationKey, job: JobId) -> Result<Option<Job>, Error> {
        Ok(self.state().find_job(organization, job))
    }

    async fn jobs(
        &self,
        organization: OrganizationKey,
        filter: &JobFilter,
        page: PageRequest<JobId>,
    ) -> Result<Page<Job, JobId>, Error> {
        Ok(self.state().list_jobs(organization, filter, &page))
    }

    async fn change_job(
        &self,
        organization: OrganizationKey,
        job: JobId,
        action: JobAction,
        now: Timestamp,
    ) -> Result<Job, Error> {
        self.write(|state| state.change_job(organization, job, action, now))
    }

    async fn running_jobs(
        &self,
        after: Option<JobKey>,
        limit: u16,
    ) -> Result<Vec<RunningJob>, Error> {
        Ok(self.state().running_jobs(after, limit))
    }

    async fn step_job(&self, step: JobStep) -> Result<JobStepped, Error> {
        self.write(|state| Ok(state.step_job(&step)))
    }

    async fn preview(&self, preview: Preview) -> Result<Previewed, Error> {
        Ok(self.state().preview(&preview))
    }
    async fn prune(&self, prune: Prune) -> Result<Pruned, Error> {
        self.write(|state| Ok(state.prune(&prune)))
    }

    /// A model has nothing to copy.
    async fn backup(&self, _backup: Backup) -> Result<(), Error> {
        Err(Error::Failed("a model has no file".into()))
    }

    async fn check_writable(&self, _now: Timestamp) -> Result<(), Error> {
        self.write(|_| Ok(()))
    }

    async fn stats(&self) -> Result<Stats, Error> {
        Ok(Stats {
            commits: self.state().commits,
            ..Stats::default()
        })
    }
}
