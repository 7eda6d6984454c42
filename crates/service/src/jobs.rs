//! Replays and other jobs: checked, created, listed, changed by hand.

use std::time::Duration;

use domain::{Channel, EventType, JobId, Tag, Timestamp};
use store::{
    ApplicationRef, Endpoint, EndpointRef, Idempotency, Job, JobAction, JobCriteria, JobFilter,
    JobKind, NewJob, Page, PageRequest, Preview, ReplayOf,
};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;

/// A replay as a caller describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayInput {
    /// How it was asked for.
    pub kind: JobKind,
    /// At these endpoints, or at all that are not disabled.
    pub endpoints: Option<Vec<EndpointRef>>,
    /// Messages published then or later.
    pub since: Option<Timestamp>,
    /// Messages published before; now when not given.
    pub until: Option<Timestamp>,
    /// Of these event types.
    pub event_types: Option<Vec<EventType>>,
    /// With this channel.
    pub channel: Option<Channel>,
    /// With this tag.
    pub tag: Option<Tag>,
    /// Whose deliveries ended so.
    pub of: Vec<ReplayOf>,
    /// The last answer's status was of this hundred.
    pub status_class: Option<u16>,
    /// At most so many messages per second.
    pub rate: Option<u32>,
}

/// What a replay would be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayPreview {
    /// Deliveries found.
    pub matched: u64,
    /// Everything was looked at; otherwise there may be more of them.
    pub complete: bool,
}

impl Service {
    /// Begins a replay.
    pub async fn replay(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        input: ReplayInput,
        idempotency: Option<Idempotency>,
    ) -> Result<Job, Error> {
        const RATE_MAX: u32 = 100_000;
        let now = self.now();
        let mut fields = Fields::default();
        if input.rate.is_some_and(|rate| rate == 0 || rate > RATE_MAX) {
            fields.fault(&["rate"], format!("must be between 1 and {RATE_MAX}"));
        }
        let criteria = criteria(&mut fields, &input, now);
        fields.check()?;
        let application = self.application(caller, application).await?;
        let endpoints = self
            .replay_endpoints(caller, application.id, input.endpoints.as_deref())
            .await?;
        let new = NewJob {
            id: JobId::from_bits(self.fresh_id(now)),
            organization: caller.organization,
            application: application.key,
            kind: input.kind,
            endpoint: match (&input.endpoints, endpoints.as_slice()) {
                (Some(_), [only]) => Some(only.id),
                _ => None,
            },
            // An application without endpoints has nothing to replay, and key 0 is none of any.
            endpoints: endpoints.iter().map(|endpoint| endpoint.key).collect(),
            criteria,
            requests: None,
            rate: input.rate,
            jobs_max: self.limits().jobs_per_application as u64,
            now,
            idempotency,
        };
        self.begin_job(caller, new).await
    }

    pub(crate) async fn begin_job(&self, caller: Caller, new: NewJob) -> Result<Job, Error> {
        let store = self.store_as(caller);
        let job = store.create_job(new).await?.into_inner();
        self.jobs_changed();
        Ok(job)
    }

    fn jobs_changed(&self) {
        self.engine().jobs_changed();
        self.0.request_jobs.notify_one();
    }

    /// Finds the endpoints of a replay; one that is named must not be disabled.
    async fn replay_endpoints(
        &self,
        caller: Caller,
        application: domain::ApplicationId,
        named: Option<&[EndpointRef]>,
    ) -> Result<Vec<Endpoint>, Error> {
        let application = ApplicationRef::Id(application);
        let Some(named) = named else {
            let routes = self.store().routes(caller.organization, &application);
            let routes = routes.await?.ok_or(Error::NotFound("application"))?;
            let mut endpoints = routes.endpoints;
            endpoints.retain(|endpoint| endpoint.disabled.is_none());
            return Ok(endpoints);
        };
        let mut endpoints = Vec::with_capacity(named.len());
        for name in named {
            let endpoint = self.endpoint(caller, &application, name).await?;
            if endpoint.disabled.is_some() {
                return Err(Error::EndpointDisabled);
            }
            endpoints.push(endpoint);
        }
        Ok(endpoints)
    }

    /// Counts what a replay would be about, looking at a bounded number of messages.
    pub async fn preview_replay(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        input: &ReplayInput,
    ) -> Result<ReplayPreview, Error> {
        /// Messages looked at in all; each look at an endpoint counts as a few.
        const EXAMINED_MAX: u64 = 200_000;
        const ROWS: u16 = 2_000;
        const LOOK: u64 = 20;

        let mut fields = Fields::default();
        let criteria = criteria(&mut fields, input, self.now());
        fields.check()?;
        let application = self.application(caller, application).await?;
        let endpoints = self
            .replay_endpoints(caller, application.id, input.endpoints.as_deref())
            .await?;
        let (mut matched, mut examined) = (0, 0);
        for endpoint in endpoints {
            let mut preview = Preview {
                application: application.key,
                endpoint: endpoint.key,
                criteria: criteria.clone(),
                after: None,
                rows: ROWS,
            };
            loop {
                if examined >= EXAMINED_MAX {
                    let complete = false;
                    return Ok(ReplayPreview { matched, complete });
                }
                let found = self.store().preview(preview.clone()).await?;
                matched += found.matched;
                examined += found.examined + LOOK;
                preview.after = found.next;
                if found.next.is_none() {
                    break;
                }
            }
        }
        let complete = true;
        Ok(ReplayPreview { matched, complete })
    }

    /// Begins to erase the payloads of all messages that an application has now.
    pub async fn purge_content(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        idempotency: Option<Idempotency>,
    ) -> Result<Job, Error> {
        let now = self.now();
        let application = self.application(caller, application).await?;
        let new = NewJob {
            id: JobId::from_bits(self.fresh_id(now)),
            organization: caller.organization,
            application: application.key,
            kind: JobKind::PurgeContent,
            endpoints: Vec::new(),
            endpoint: None,
            criteria: JobCriteria {
                since: None,
                until: now.plus(Duration::from_millis(1)),
                event_types: None,
                channel: None,
                tag: None,
                of: Vec::new(),
                status_class: None,
            },
            requests: None,
            rate: None,
            jobs_max: self.limits().jobs_per_application as u64,
            now,
            idempotency,
        };
        self.begin_job(caller, new).await
    }

    /// Reads one job, of the application if one is given.
    pub async fn job(
        &self,
        caller: Caller,
        application: Option<&ApplicationRef>,
        job: JobId,
    ) -> Result<Job, Error> {
        let only = match application {
            None => caller.application,
            Some(application) => Some(self.application(caller, application).await?.key),
        };
        self.store()
            .job(caller.organization, job)
            .await?
            .filter(|job| only.is_none_or(|only| only == job.application))
            .ok_or(Error::NotFound("job"))
    }

    /// Lists jobs by id, of the application if one is given.
    pub async fn jobs(
        &self,
        caller: Caller,
        application: Option<&ApplicationRef>,
        mut filter: JobFilter,
        page: PageRequest<JobId>,
    ) -> Result<Page<Job, JobId>, Error> {
        filter.application = match application {
            None => caller.application,
            Some(application) => Some(self.application(caller, application).await?.key),
        };
        Ok(self
            .store()
            .jobs(caller.organization, &filter, page)
            .await?)
    }

    /// Pauses, resumes or cancels a job of an application.
    pub async fn change_job(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        job: JobId,
        action: JobAction,
    ) -> Result<Job, Error> {
        let found = self.job(caller, Some(application), job).await?;
        let changed = self
            .store_as(caller)
            .change_job(caller.organization, found.id, action, self.now())
            .await?;
        self.jobs_changed();
        Ok(changed)
    }
}

fn criteria(fields: &mut Fields, input: &ReplayInput, now: Timestamp) -> JobCriteria {
    // A message's time has whole milliseconds: what was published in this one is meant as well.
    let until = input.until.unwrap_or(now.plus(Duration::from_millis(1)));
    if input.since.is_some_and(|since| since >= until) {
        fields.fault(&["since"], "must be before `until`, or before now");
    }
    if let Some(class) = input.status_class
        && !matches!(class, 0 | 100 | 200 | 300 | 400 | 500)
    {
        let msg = "must be 0, 100, 200, 300, 400 or 500";
        fields.fault(&["statusCodeClass"], msg);
    }
    JobCriteria {
        since: input.since,
        until,
        event_types: input.event_types.clone(),
        channel: input.channel.clone(),
        tag: input.tag.clone(),
        of: input.of.clone(),
        status_class: input.status_class,
    }
}
