//! A store that stands before another one: it delays, refuses or changes what goes through.
//!
//! For tests that want a slow store, a lying one, or one whose process dies between two steps.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    ApiKeyId, ApplicationId, ApplicationKey, AttemptId, EndpointId, EndpointKey, Epoch, EventType,
    InboundId, InboundKey, JobId, JobKey, MessageId, MessageKey, OrganizationId, OrganizationKey,
    ShardId, SourceId, SourceKey, Timestamp,
};

use crate::{
    Announcement, ApiKeyChange, ApiKeyRow, Appended, Application, ApplicationChange,
    ApplicationRef, AttemptCursor, AttemptFilter, AttemptRecord, AttemptRow, AuditEnds,
    AuditFilter, AuditRow, AuditStore, Author, Backup, Claim, Claimed, DestinationDue,
    DisableFailing, Endpoint, EndpointChange, EndpointMessage, EndpointMessageFilter, EndpointRef,
    EndpointStats, Error, EventTypeChange, EventTypeRow, Expand, Expanded, Expunged, GiveUp,
    Idempotency, InboundFilter, InboundRow, InboundStore, Job, JobAction, JobFilter, JobState,
    JobStep, JobStepped, KeyStore, MessageDestination, MessageFilter, MessageRef, MessageRow,
    NewApiKey, NewApplication, NewEndpoint, NewEventType, NewInbound, NewJob, NewSource, Page,
    PageRequest, PortalSession, Preview, Previewed, Prune, PruneRequests, Pruned, PrunedRequests,
    Publish, Recorded, RequestJob, RequestReplay, RequestStep, Resealed, ResealedSource, Resend,
    Resent, Rotated, Rotation, Routes, RunningJob, Source, SourceChange, SourceRef, SourceTokens,
    Span, Stats, Store, UnfinishedFanOut, Write,
};

/// What is done before, after and instead of the work of another store.
///
/// Methods that are left out let everything through.
#[async_trait]
pub trait Interceptor: Send + Sync + 'static {
    /// Runs before the work of a method, which may write or only reads; an error is answered
    /// instead of doing it.
    async fn before(&self, method: &'static str, writes: bool) -> Result<(), Error>;

    /// Runs once the work is done (or was refused), before it is answered.
    async fn after(&self, method: &'static str);

    /// Does the work of [`Store::append`].
    async fn append(&self, inner: &dyn Store, batch: Vec<Publish>) -> Result<Appended, Error> {
        inner.append(batch).await
    }

    /// Does the work of [`Store::record`].
    async fn record(
        &self,
        inner: &dyn Store,
        batch: Vec<AttemptRecord>,
    ) -> Result<Vec<Recorded>, Error> {
        inner.record(batch).await
    }

    /// Does the work of [`Store::claim`].
    async fn claim(&self, inner: &dyn Store, claim: Claim) -> Result<Claimed, Error> {
        inner.claim(claim).await
    }

    /// Does the work of [`Store::take_shards`].
    async fn take_shards(
        &self,
        inner: &dyn Store,
        now: Timestamp,
    ) -> Result<Vec<(ShardId, Epoch)>, Error> {
        inner.take_shards(now).await
    }
}

/// A store with an interceptor before it.
pub struct Intercepted<I> {
    inner: Arc<dyn Store>,
    interceptor: I,
}

impl<I: Interceptor> Intercepted<I> {
    /// Puts `interceptor` before `inner`.
    pub fn new(inner: Arc<dyn Store>, interceptor: I) -> Self {
        Self { inner, interceptor }
    }

    async fn run<T>(
        &self,
        method: &'static str,
        writes: bool,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let result = match self.interceptor.before(method, writes).await {
            Ok(()) => work.await,
            Err(error) => Err(error),
        };
        self.interceptor.after(method).await;
        result
    }
}

impl<I> Deref for Intercepted<I> {
    type Target = I;

    fn deref(&self) -> &I {
        &self.interceptor
    }
}

#[async_trait]
impl<I: Interceptor> AuditStore for Intercepted<I> {
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

/// Hands methods to the store behind.
macro_rules! intercepted {
    (
        $trait:ident $({ $($also:item)* })?:
        $($kind:ident $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+
    ) => {
        #[async_trait]
        impl<I: Interceptor> $trait for Intercepted<I> {
            $($($also)*)?

            $(async fn $method(&self, $($argument: $type),*) -> Result<$answer, Error> {
                let writes = stringify!($kind) == "write";
                let work = self.inner.$method($($argument),*);
                self.run(stringify!($method), writes, work).await
            })+
        }
    };
}

intercepted! {
    Store {
        async fn append(&self, batch: Vec<Publish>) -> Result<Appended, Error> {
            let work = self.interceptor.append(&*self.inner, batch);
            self.run("append", true, work).await
        }

        async fn record(&self, batch: Vec<AttemptRecord>) -> Result<Vec<Recorded>, Error> {
            let work = self.interceptor.record(&*self.inner, batch);
            self.run("record", true, work).await
        }

        async fn claim(&self, claim: Claim) -> Result<Claimed, Error> {
            let work = self.interceptor.claim(&*self.inner, claim);
            self.run("claim", false, work).await
        }

        async fn take_shards(&self, now: Timestamp) -> Result<Vec<(ShardId, Epoch)>, Error> {
            let work = self.interceptor.take_shards(&*self.inner, now);
            self.run("take_shards", true, work).await
        }

        fn announce(&self, on: bool) {
            self.inner.announce(on);
        }

        fn commit_number(&self) -> u64 {
            self.inner.commit_number()
        }
    }:
    read announcements(limit: u16) -> Vec<Announcement>;
    write forget_announcements(through: u64) -> ();
    write disable_failing(request: DisableFailing) -> Vec<Endpoint>;
    write expand(expand: Expand) -> Expanded;
    read unfinished_fan_outs(limit: u16) -> Vec<UnfinishedFanOut>;
    write give_up(give_up: GiveUp) -> u64;
    read destinations_due(after: Option<EndpointKey>, limit: u16) -> Vec<DestinationDue>;
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
    write expunge_attempt(
        application: ApplicationKey,
        message: MessageId,
        attempt: AttemptId,
        now: Timestamp
    ) -> ();
    read was_done(idempotency: &Idempotency, now: Timestamp) -> bool;
    write note_done(idempotency: Idempotency, now: Timestamp) -> ();
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
    read preview(preview: Preview) -> Previewed;
    write prune(prune: Prune) -> Pruned;
    read backup(backup: Backup) -> ();
    write check_writable(now: Timestamp) -> ();
    read stats() -> Stats;
}

intercepted! {
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

intercepted! {
    InboundStore:
    write create_source(new: NewSource) -> Write<Source>;
    read source(application: ApplicationKey, source: &SourceRef) -> Option<Source>;
    read source_by_key(key: SourceKey) -> Option<Source>;
    read sources(application: ApplicationKey, page: PageRequest<SourceId>) -> Page<Source>;
    read source_tokens(after: SourceKey, limit: u16) -> Vec<SourceTokens>;
    write update_source(
        application: ApplicationKey,
        source: &SourceRef,
        change: SourceChange
    ) -> Source;
    write delete_source(application: ApplicationKey, source: &SourceRef, now: Timestamp) -> Source;
    read sources_sealed(after: SourceKey, limit: u16) -> Vec<Source>;
    write reseal_sources(resealed: Vec<ResealedSource>) -> u64;
    write note_requests(requests: Vec<NewInbound>) -> ();
    read request(application: ApplicationKey, request: InboundId) -> Option<InboundRow>;
    read requests(
        application: ApplicationKey,
        filter: &InboundFilter,
        page: PageRequest<InboundKey>
    ) -> Page<InboundRow, InboundKey>;
    write note_replay(
        application: ApplicationKey,
        request: InboundId,
        replay: RequestReplay,
        now: Timestamp
    ) -> ();
    read request_job(job: JobKey) -> Option<RequestJob>;
    write step_request_job(step: RequestStep) -> JobState;
    write diagnose_request(request: InboundId, diagnosis: &str) -> ();
    write prune_requests(prune: PruneRequests) -> PrunedRequests;
}
