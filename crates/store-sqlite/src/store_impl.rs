//! The contract, method by method: each hands its arguments to the writer or to a reader.

use std::sync::PoisonError;

use async_trait::async_trait;
use domain::{
    ApplicationId, ApplicationKey, AttemptId, EndpointId, EndpointKey, Epoch, EventType, JobId,
    JobKey, MessageId, MessageKey, OrganizationKey, ShardId, Timestamp,
};
use rusqlite::Connection;
use store::{
    Announcement, Appended, Application, ApplicationChange, ApplicationRef, AttemptCursor,
    AttemptFilter, AttemptRecord, AttemptRow, Backup, Claim, Claimed, DestinationDue,
    DisableFailing, Endpoint, EndpointChange, EndpointMessage, EndpointMessageFilter, EndpointRef,
    EndpointStats, Error, EventTypeChange, EventTypeRow, Expand, Expanded, Expunged, GiveUp,
    Idempotency, Job, JobAction, JobFilter, JobStep, JobStepped, MessageDestination, MessageFilter,
    MessageRef, MessageRow, NewApplication, NewEndpoint, NewEventType, NewJob, Page, PageRequest,
    Preview, Previewed, Prune, Pruned, Publish, Recorded, Resend, Resent, Rotated, Rotation,
    Routes, RunningJob, Span, Stats, Store, UnfinishedFanOut, Write,
};
use tokio::sync::oneshot;

use crate::fresh::Scope;
use crate::{
    Backend, SqliteStore, announcement, append, application, attempt, backup, claim, endpoint,
    event_type, expand, expunge, failing, give_up, idempotency, job, job_step, message, prune,
    record, resend, shard, statistics,
};

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, batch: Vec<Publish>) -> Result<Appended, Error> {
        let weight = append::weight(&batch);
        self.write_checked(weight, move |tx| append::append(tx, &batch))
            .await
    }

    async fn expand(&self, expand: Expand) -> Result<Expanded, Error> {
        self.write(move |tx| expand::expand(tx, &expand)).await
    }

    async fn unfinished_fan_outs(&self, limit: u16) -> Result<Vec<UnfinishedFanOut>, Error> {
        self.read(move |c, _| expand::unfinished(c, limit)).await
    }

    async fn record(&self, batch: Vec<AttemptRecord>) -> Result<Vec<Recorded>, Error> {
        let weight = record::weight(&batch);
        self.write_checked(weight, move |tx| record::record(tx, &batch))
            .await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, Error> {
        // Read first: what is committed later may well stay without rows and be missed.
        let as_of = self.commits();
        self.settle(Scope::Endpoint(claim.destination)).await?;
        self.read(move |c, _| claim::claim(c, &claim, as_of)).await
    }

    async fn give_up(&self, give_up: GiveUp) -> Result<u64, Error> {
        self.write(move |tx| give_up::give_up(tx, &give_up)).await
    }

    async fn destinations_due(
        &self,
        after: Option<EndpointKey>,
        limit: u16,
    ) -> Result<Vec<DestinationDue>, Error> {
        self.settle(Scope::All).await?;
        self.read(move |c, _| claim::destinations_due(c, after, limit))
            .await
    }

    async fn take_shards(&self, _now: Timestamp) -> Result<Vec<(ShardId, Epoch)>, Error> {
        self.write(shard::take).await
    }

    fn announce(&self, on: bool) {
        self.set_announces(on);
    }

    async fn announcements(&self, limit: u16) -> Result<Vec<Announcement>, Error> {
        self.read(move |c, _| announcement::list(c, limit)).await
    }

    async fn forget_announcements(&self, through: u64) -> Result<(), Error> {
        self.write(move |tx| announcement::forget(tx, through))
            .await
    }

    async fn disable_failing(&self, request: DisableFailing) -> Result<Vec<Endpoint>, Error> {
        self.write(move |tx| failing::disable(tx, &request)).await
    }

    fn commit_number(&self) -> u64 {
        self.commits()
    }

    async fn routes(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
    ) -> Result<Option<Routes>, Error> {
        let application = application.clone();
        self.read(move |c, _| endpoint::routes(c, organization, &application))
            .await
    }

    async fn endpoint_by_id(&self, id: EndpointId) -> Result<Option<Endpoint>, Error> {
        self.read(move |c, _| Ok(endpoint::by_id(c, id)?)).await
    }

    async fn endpoints_by_key(&self, keys: &[EndpointKey]) -> Result<Vec<Endpoint>, Error> {
        let keys = keys.to_vec();
        self.read(move |c, _| endpoint::by_keys(c, &keys)).await
    }

    async fn create_application(&self, new: NewApplication) -> Result<Write<Application>, Error> {
        self.write(move |tx| application::create(tx, &new)).await
    }

    async fn application(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
    ) -> Result<Option<Application>, Error> {
        let application = application.clone();
        self.read(move |c, _| {
            Ok(application::load(c, organization, &application)?.map(|(found, _)| found))
        })
        .await
    }

    async fn applications(
        &self,
        organization: OrganizationKey,
        page: PageRequest<ApplicationId>,
    ) -> Result<Page<Application>, Error> {
        self.read(move |c, _| application::list(c, organization, &page))
            .await
    }

    async fn update_application(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
        change: ApplicationChange,
    ) -> Result<Application, Error> {
        let application = application.clone();
        self.write(move |tx| application::update(tx, organization, &application, &change))
            .await
    }

    async fn delete_application(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
        now: Timestamp,
    ) -> Result<Application, Error> {
        let application = application.clone();
        self.write(move |tx| application::delete(tx, organization, &application, now))
            .await
    }

    async fn create_endpoint(&self, new: NewEndpoint) -> Result<Write<Endpoint>, Error> {
        self.write(move |tx| endpoint::create(tx, &new)).await
    }

    async fn endpoint(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
    ) -> Result<Option<Endpoint>, Error> {
        let endpoint = endpoint.clone();
        self.read(move |c, _| Ok(endpoint::load(c, application, &endpoint)?))
            .await
    }

    async fn endpoints(
        &self,
        application: ApplicationKey,
        page: PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint>, Error> {
        self.read(move |c, _| endpoint::list(c, application, &page))
            .await
    }

    async fn update_endpoint(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        change: EndpointChange,
    ) -> Result<Endpoint, Error> {
        let endpoint = endpoint.clone();
        self.write(move |tx| endpoint::update(tx, application, &endpoint, &change))
            .await
    }

    async fn delete_endpoint(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        now: Timestamp,
    ) -> Result<Endpoint, Error> {
        let endpoint = endpoint.clone();
        self.write(move |tx| endpoint::delete(tx, application, &endpoint, now))
            .await
    }

    async fn rotate_secret(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        rotation: Rotation,
    ) -> Result<Write<Rotated>, Error> {
        let endpoint = endpoint.clone();
        self.write(move |tx| endpoint::rotate(tx, application, &endpoint, &rotation))
            .await
    }

    async fn create_event_type(&self, new: NewEventType) -> Result<Write<EventTypeRow>, Error> {
        self.write(move |tx| event_type::create(tx, &new)).await
    }

    async fn event_type(
        &self,
        organization: OrganizationKey,
        name: &EventType,
    ) -> Result<Option<EventTypeRow>, Error> {
        let name = name.clone();
        self.read(move |c, _| Ok(event_type::load(c, organization, name.as_str())?))
            .await
    }

    async fn event_types(
        &self,
        organization: OrganizationKey,
        archived: bool,
        page: PageRequest<EventType>,
    ) -> Result<Page<EventTypeRow>, Error> {
        self.read(move |c, _| event_type::list(c, organization, archived, &page))
            .await
    }

    async fn enforced_event_types(
        &self,
        organization: OrganizationKey,
    ) -> Result<Vec<EventType>, Error> {
        self.read(move |c, _| Ok(event_type::enforced(c, organization)?))
            .await
    }

    async fn update_event_type(
        &self,
        organization: OrganizationKey,
        name: &EventType,
        change: EventTypeChange,
    ) -> Result<EventTypeRow, Error> {
        let name = name.clone();
        self.write(move |tx| event_type::update(tx, organization, &name, &change))
            .await
    }

    async fn delete_event_type(
        &self,
        organization: OrganizationKey,
        name: &EventType,
        expunge: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        let name = name.clone();
        self.write(move |tx| event_type::delete(tx, organization, &name, expunge, now))
            .await
    }

    async fn message(
        &self,
        application: ApplicationKey,
        message: &MessageRef,
    ) -> Result<Option<MessageRow>, Error> {
        let message = message.clone();
        self.read(move |c, _| message::load(c, application, &message))
            .await
    }

    async fn messages(
        &self,
        application: ApplicationKey,
        filter: &MessageFilter,
        page: PageRequest<MessageKey>,
    ) -> Result<Page<MessageRow, MessageKey>, Error> {
        let filter = filter.clone();
        self.read(move |c, _| message::list(c, application, &filter, &page))
            .await
    }

    async fn message_destinations(
        &self,
        message: MessageId,
        page: PageRequest<EndpointKey>,
    ) -> Result<Page<MessageDestination>, Error> {
        self.settle(Scope::Message(message.key())).await?;
        self.read(move |c, _| attempt::destinations(c, message, &page))
            .await
    }

    async fn endpoint_messages(
        &self,
        application: ApplicationKey,
        endpoint: EndpointKey,
        filter: &EndpointMessageFilter,
        page: PageRequest<MessageKey>,
    ) -> Result<Page<EndpointMessage, MessageKey>, Error> {
        let filter = filter.clone();
        self.settle(Scope::All).await?;
        self.read(move |c, _| message::list_of_endpoint(c, application, endpoint, &filter, &page))
            .await
    }

    async fn endpoint_stats(
        &self,
        endpoint: EndpointKey,
        span: Span,
    ) -> Result<EndpointStats, Error> {
        self.settle(Scope::All).await?;
        self.read(move |c, _| statistics::of_endpoint(c, endpoint, span))
            .await
    }

    async fn attempts_by_message(
        &self,
        message: MessageId,
        filter: &AttemptFilter,
        page: PageRequest<AttemptCursor>,
    ) -> Result<Page<AttemptRow, AttemptCursor>, Error> {
        let filter = filter.clone();
        self.read(move |c, _| attempt::list_by_message(c, message, &filter, &page))
            .await
    }

    async fn attempts_by_endpoint(
        &self,
        endpoint: EndpointKey,
        filter: &AttemptFilter,
        page: PageRequest<AttemptCursor>,
    ) -> Result<Page<AttemptRow, AttemptCursor>, Error> {
        let filter = filter.clone();
        self.read(move |c, _| attempt::list_by_endpoint(c, endpoint, &filter, &page))
            .await
    }

    async fn attempt(
        &self,
        message: MessageId,
        attempt: AttemptId,
    ) -> Result<Option<AttemptRow>, Error> {
        self.read(move |c, _| attempt::by_id(c, message, attempt))
            .await
    }

    async fn resend(&self, resend: Resend) -> Result<Resent, Error> {
        self.write(move |tx| resend::resend(tx, &resend)).await
    }

    async fn expunge_message(
        &self,
        application: ApplicationKey,
        message: MessageId,
        now: Timestamp,
    ) -> Result<Expunged, Error> {
        self.write(move |tx| expunge::message(tx, application, message, now))
            .await
    }

    async fn expunge_attempt(
        &self,
        application: ApplicationKey,
        message: MessageId,
        attempt: AttemptId,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(move |tx| expunge::answer(tx, application, message, (attempt, now)))
            .await
    }

    async fn was_done(&self, idempotency: &Idempotency, now: Timestamp) -> Result<bool, Error> {
        let asked = idempotency.clone();
        self.read(move |c, _| Ok(idempotency::effect(c, Some(&asked), now)?.is_some()))
            .await
    }

    async fn note_done(&self, idempotency: Idempotency, now: Timestamp) -> Result<(), Error> {
        self.write(move |tx| idempotency::note_done(tx.connection, &idempotency, now))
            .await
    }

    async fn create_job(&self, new: NewJob) -> Result<Write<Job>, Error> {
        self.write(move |tx| job::create(tx, &new)).await
    }

    async fn job(&self, organization: OrganizationKey, job: JobId) -> Result<Option<Job>, Error> {
        self.read(move |c, _| Ok(job::load(c, organization, job)?))
            .await
    }

    async fn jobs(
        &self,
        organization: OrganizationKey,
        filter: &JobFilter,
        page: PageRequest<JobId>,
    ) -> Result<Page<Job, JobId>, Error> {
        let filter = filter.clone();
        self.read(move |c, _| job::list(c, organization, &filter, &page))
            .await
    }

    async fn change_job(
        &self,
        organization: OrganizationKey,
        job: JobId,
        action: JobAction,
        now: Timestamp,
    ) -> Result<Job, Error> {
        self.write(move |tx| job::change(tx, organization, job, action, now))
            .await
    }

    async fn running_jobs(
        &self,
        after: Option<JobKey>,
        limit: u16,
    ) -> Result<Vec<RunningJob>, Error> {
        self.read(move |c, _| job::running(c, after, limit)).await
    }

    async fn step_job(&self, step: JobStep) -> Result<JobStepped, Error> {
        self.write(move |tx| job_step::step(tx, &step)).await
    }

    async fn preview(&self, preview: Preview) -> Result<Previewed, Error> {
        self.settle(Scope::All).await?;
        self.read(move |c, _| job_step::preview(c, &preview)).await
    }
    async fn prune(&self, prune: Prune) -> Result<Pruned, Error> {
        self.write_checked(prune::weight(&prune), move |tx| prune::prune(tx, &prune))
            .await
    }

    async fn backup(&self, backup: Backup) -> Result<(), Error> {
        let Backend::Threads(_) = &*self.backend else {
            return self.copy_inline(&backup);
        };
        // A thread of its own: a copy takes longer than any reader may be busy.
        let path = self.path.clone().expect("a store with threads is a file");
        let (reply, answer) = oneshot::channel();
        std::thread::Builder::new()
            .name("store-backup".into())
            .spawn(move || {
                let copied = Connection::open(&path)
                    .map_err(|error| Error::Failed(error.to_string()))
                    .and_then(|connection| backup::copy(&connection, &backup.to));
                // Whoever asked may have gone; the copy is there all the same.
                let _ = reply.send(copied);
            })
            .map_err(|error| Error::Failed(error.to_string()))?;
        answer
            .await
            .unwrap_or_else(|_| Err(Error::Failed("the copy was not finished".into())))
    }

    async fn check_writable(&self, now: Timestamp) -> Result<(), Error> {
        self.write(move |tx| backup::probe(tx, now)).await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        let path = self.path.clone();
        let mut stats = self
            .read(move |c, _| backup::sizes(c, path.as_ref()))
            .await?;
        stats.commits = self.commits();
        Ok(stats)
    }
}

impl SqliteStore {
    fn copy_inline(&self, backup: &Backup) -> Result<(), Error> {
        let Backend::Inline(writer) = &*self.backend else {
            return Err(Error::Failed("the store has threads".into()));
        };
        let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        backup::copy(writer.connection(), &backup.to)
    }
}
