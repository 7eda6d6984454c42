//! A store that answers late, out of step, or not at all, as a busy machine's store does.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ApiKeyId, ApplicationId, ApplicationKey, AttemptId, EndpointId, EndpointKey, Epoch, EventType,
    JobId, JobKey, MessageId, MessageKey, OrganizationId, OrganizationKey, ShardId, Timestamp,
};
use env::Entropy as _;
use env::testing::SeededEntropy;
use store::{
    ApiKeyChange, ApiKeyRow, Appended, Application, ApplicationChange, ApplicationRef,
    AttemptCursor, AttemptFilter, AttemptRecord, AttemptRow, AuditEnds, AuditFilter, AuditRow,
    AuditStore, Author, Backup, Claim, Claimed, DestinationDue, Endpoint, EndpointChange,
    EndpointMessage, EndpointMessageFilter, EndpointRef, EndpointStats, Error, EventTypeChange,
    EventTypeRow, Expand, Expanded, Expunged, GiveUp, Job, JobAction, JobFilter, JobStep,
    JobStepped, KeyStore, MessageDestination, MessageFilter, MessageRef, MessageRow, NewApiKey,
    NewApplication, NewEndpoint, NewEventType, NewJob, Page, PageRequest, PortalSession, Preview,
    Previewed, Prune, Pruned, Publish, Recorded, Resealed, Resend, Resent, Rotated, Rotation,
    Routes, RunningJob, Span, Stats, Store, UnfinishedFanOut, Write,
};

use super::harness::memory;

/// How one method behaves.
#[derive(Default)]
struct Manner {
    /// Waits before the work is done, then before it is answered; then what is left is for all.
    script: VecDeque<(Duration, Duration)>,
    /// Errors answered instead of doing the work.
    errors: VecDeque<Error>,
    /// The longest random waits before the work and before its answer.
    random: Option<(Duration, Duration)>,
    running: usize,
    most_running: usize,
}

/// The store in memory, with manners.
pub(crate) struct LateStore {
    inner: Arc<dyn Store>,
    manners: Mutex<HashMap<&'static str, Manner>>,
    entropy: SeededEntropy,
    full: AtomicBool,
    /// A message whose outcomes are refused, whatever else is in the batch.
    refused: Mutex<Option<domain::MessageKey>>,
}

impl LateStore {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: memory(),
            manners: Mutex::default(),
            entropy: SeededEntropy::new(seed),
            full: AtomicBool::new(false),
            refused: Mutex::default(),
        })
    }

    fn manner<T>(&self, method: &'static str, change: impl FnOnce(&mut Manner) -> T) -> T {
        let mut manners = self.manners.lock().expect("no panic while it is held");
        change(manners.entry(method).or_default())
    }

    /// Makes the next call that is not scripted yet wait before its work and before its answer.
    pub(crate) fn delay(&self, method: &'static str, before: Duration, after: Duration) {
        self.manner(method, |manner| manner.script.push_back((before, after)));
    }

    /// Makes every call wait for random times up to these.
    pub(crate) fn dither(&self, method: &'static str, before: Duration, after: Duration) {
        self.manner(method, |manner| manner.random = Some((before, after)));
    }

    /// Makes the next calls fail.
    pub(crate) fn fail(&self, method: &'static str, errors: impl IntoIterator<Item = Error>) {
        self.manner(method, |manner| manner.errors.extend(errors));
    }

    /// Makes every write fail as on a full disk, or work again.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Makes every batch of outcomes fail that has one of this message.
    pub(crate) fn refuse(&self, message: domain::MessageKey) {
        *self.refused.lock().expect("no panic while it is held") = Some(message);
    }

    pub(crate) fn most_running(&self, method: &'static str) -> usize {
        self.manner(method, |manner| manner.most_running)
    }

    fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64(self.entropy.next_f64())
    }

    async fn run<T>(
        &self,
        method: &'static str,
        writes: bool,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let (error, scripted, random) = self.manner(method, |manner| {
            manner.running += 1;
            manner.most_running = manner.most_running.max(manner.running);
            let error = manner.errors.pop_front();
            (error, manner.script.pop_front(), manner.random)
        });
        let (before, after) = scripted
            .or_else(|| random.map(|(before, after)| (self.up_to(before), self.up_to(after))))
            .unwrap_or_default();
        if before > Duration::ZERO {
            tokio::time::sleep(before).await;
        }
        let result = match error {
            Some(error) => Err(error),
            None if writes && self.full.load(Ordering::Relaxed) => Err(Error::Full),
            None => work.await,
        };
        if after > Duration::ZERO {
            tokio::time::sleep(after).await;
        }
        self.manner(method, |manner| manner.running -= 1);
        result
    }
}

#[async_trait]
impl AuditStore for LateStore {
    fn authored(&self, author: Author) -> Arc<dyn Store> {
        self.inner.authored(author)
    }

    async fn audit(
        &self,
        organization: OrganizationKey,
        filter: &AuditFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<AuditRow, i64>, Error> {
        self.inner.audit(organization, filter, page).await
    }

    async fn audit_ends(&self, organization: OrganizationKey) -> Result<AuditEnds, Error> {
        self.inner.audit_ends(organization).await
    }

    async fn prune_audit(&self, before: Timestamp, rows: u16) -> Result<u64, Error> {
        self.inner.prune_audit(before, rows).await
    }
}

/// Hands methods to the store in memory.
macro_rules! late {
    (
        $trait:ident $({ $($also:item)* })?:
        $($kind:ident $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+
    ) => {
        #[async_trait]
        impl $trait for LateStore {
            $($($also)*)?

            $(async fn $method(&self, $($argument: $type),*) -> Result<$answer, Error> {
                let writes = stringify!($kind) == "write";
                let work = self.inner.$method($($argument),*);
                self.run(stringify!($method), writes, work).await
            })+
        }
    };
}

late! {
    Store {
        async fn record(&self, batch: Vec<AttemptRecord>) -> Result<Vec<Recorded>, Error> {
            let refused = *self.refused.lock().expect("no panic while it is held");
            if batch.iter().any(|record| Some(record.message) == refused) {
                return Err(Error::Failed("a record that breaks a rule".into()));
            }
            let work = self.inner.record(batch);
            self.run("record", true, work).await
        }

        fn announce(&self, on: bool) {
            self.inner.announce(on);
        }

        fn commit_number(&self) -> u64 {
            self.inner.commit_number()
        }
    }:
    write append(batch: Vec<Publish>) -> Appended;
    read announcements(limit: u16) -> Vec<store::Announcement>;
    write forget_announcements(through: u64) -> ();
    write disable_failing(request: store::DisableFailing) -> Vec<Endpoint>;
    write expand(expand: Expand) -> Expanded;
    read unfinished_fan_outs(limit: u16) -> Vec<UnfinishedFanOut>;
    read claim(claim: Claim) -> Claimed;
    write give_up(give_up: GiveUp) -> u64;
    read destinations_due(after: Option<EndpointKey>, limit: u16) -> Vec<DestinationDue>;
    write take_shards(now: Timestamp) -> Vec<(ShardId, Epoch)>;
    read routes(organization: OrganizationKey, application: &ApplicationRef) -> Option<Routes>;
    read endpoint_by_id(id: EndpointId) -> Option<Endpoint>;
    read endpoints_by_key(keys: &[EndpointKey]) -> Vec<Endpoint>;
    write create_application(new: NewApplication) -> Write<Application>;
    read application(organization: OrganizationKey, application: &ApplicationRef)
        -> Option<Application>;
    read applications(organization: OrganizationKey, page: PageRequest<ApplicationId>)
        -> Page<Application>;
    write update_application(
        organization: OrganizationKey,
        application: &ApplicationRef,
        change: ApplicationChange
    ) -> Application;
    write delete_application(
        organization: OrganizationKey,
        application: &ApplicationRef,
        now: Timestamp
    ) -> Application;
    write create_endpoint(new: NewEndpoint) -> Write<Endpoint>;
    read endpoint(application: ApplicationKey, endpoint: &EndpointRef) -> Option<Endpoint>;
    read endpoints(application: ApplicationKey, page: PageRequest<EndpointId>) -> Page<Endpoint>;
    write update_endpoint(
        application: ApplicationKey,
        endpoint: &EndpointRef,
        change: EndpointChange
    ) -> Endpoint;
    write delete_endpoint(application: ApplicationKey, endpoint: &EndpointRef, now: Timestamp)
        -> Endpoint;
    write rotate_secret(application: ApplicationKey, endpoint: &EndpointRef, rotation: Rotation)
        -> Write<Rotated>;
    read enforced_event_types(organization: OrganizationKey) -> Vec<EventType>;
    write create_event_type(new: NewEventType) -> Write<EventTypeRow>;
    read event_type(organization: OrganizationKey, name: &EventType) -> Option<EventTypeRow>;
    read event_types(organization: OrganizationKey, archived: bool, page: PageRequest<EventType>)
        -> Page<EventTypeRow>;
    write update_event_type(
        organization: OrganizationKey,
        name: &EventType,
        change: EventTypeChange
    ) -> EventTypeRow;
    write delete_event_type(
        organization: OrganizationKey,
        name: &EventType,
        expunge: bool,
        now: Timestamp
    ) -> ();
    read message(application: ApplicationKey, message: &MessageRef) -> Option<MessageRow>;
    read messages(
        application: ApplicationKey,
        filter: &MessageFilter,
        page: PageRequest<MessageKey>
    ) -> Page<MessageRow, MessageKey>;
    read message_destinations(message: MessageId, page: PageRequest<EndpointKey>)
        -> Page<MessageDestination>;
    read endpoint_messages(
        application: ApplicationKey,
        endpoint: EndpointKey,
        filter: &EndpointMessageFilter,
        page: PageRequest<MessageKey>
    ) -> Page<EndpointMessage, MessageKey>;
    read endpoint_stats(endpoint: EndpointKey, span: Span) -> EndpointStats;
    read attempts_by_message(
        message: MessageId,
        filter: &AttemptFilter,
        page: PageRequest<AttemptCursor>
    ) -> Page<AttemptRow, AttemptCursor>;
    read attempts_by_endpoint(
        endpoint: EndpointKey,
        filter: &AttemptFilter,
        page: PageRequest<AttemptCursor>
    ) -> Page<AttemptRow, AttemptCursor>;
    read attempt(message: MessageId, attempt: AttemptId) -> Option<AttemptRow>;
    write resend(resend: Resend) -> Resent;
    write expunge_message(application: ApplicationKey, message: MessageId, now: Timestamp)
        -> Expunged;
    write expunge_attempt(message: MessageId, attempt: AttemptId) -> ();
    write create_job(new: NewJob) -> Write<Job>;
    read job(organization: OrganizationKey, job: JobId) -> Option<Job>;
    read jobs(organization: OrganizationKey, filter: &JobFilter, page: PageRequest<JobId>)
        -> Page<Job, JobId>;
    write change_job(
        organization: OrganizationKey,
        job: JobId,
        action: JobAction,
        now: Timestamp
    ) -> Job;
    read running_jobs(after: Option<JobKey>, limit: u16) -> Vec<RunningJob>;
    write step_job(step: JobStep) -> JobStepped;
    read preview(preview: Preview) -> Previewed;    write prune(prune: Prune) -> Pruned;
    read backup(backup: Backup) -> ();
    write check_writable(now: Timestamp) -> ();
    read stats() -> Stats;
}

late! {
    KeyStore:
    write ensure_organization(id: OrganizationId, now: Timestamp) -> OrganizationKey;
    write create_organization(id: OrganizationId, now: Timestamp) -> OrganizationKey;
    write create_api_key(new: NewApiKey) -> Write<ApiKeyRow>;
    read api_key(hash: &[u8; 32]) -> Option<ApiKeyRow>;
    read api_key_by_id(organization: OrganizationKey, id: ApiKeyId) -> Option<ApiKeyRow>;
    read portal_session(id: ApiKeyId) -> Option<PortalSession>;
    read api_keys(organization: OrganizationKey, page: PageRequest<ApiKeyId>) -> Page<ApiKeyRow>;
    read api_key_count() -> u64;
    write update_api_key(organization: OrganizationKey, id: ApiKeyId, change: ApiKeyChange)
        -> ApiKeyRow;
    write delete_api_key(organization: OrganizationKey, id: ApiKeyId, now: Timestamp) -> ();
    write expire_portal_tokens(
        application: ApplicationKey,
        sessions: Vec<String>,
        at: Timestamp,
        now: Timestamp
    ) -> u64;
    write note_key_uses(uses: Vec<(ApiKeyId, Timestamp)>) -> ();
    read endpoints_sealed(after: EndpointKey, limit: u16) -> Vec<Endpoint>;
    write reseal(resealed: Vec<Resealed>) -> u64;
    write erase_expired_tokens(now: Timestamp, rows: u16) -> u64;
}
