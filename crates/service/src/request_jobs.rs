//! Putting many requests in again, as a job.
//!
//! The store keeps which requests a job is about and where it stands; what a step does is done
//! here, because it is receiving: verification, deduplication, routing and all. Requests go in one
//! after the other, in the order in which they came.
//!
//! What a request makes of itself is stored under a key of job and request, so a step that was
//! repeated after a crash makes nothing twice, deduplicated or not. Losing a wake-up costs one
//! [`POLL`].

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use domain::{InboundId, InboundKey, JobId, JobKey, Timestamp};
use store::{
    ApplicationRef, Cursor, Idempotency, IdempotencyKind, InboundFilter, InboundVerdict, Job,
    JobCriteria, JobKind, JobState, NewJob, Order, PageRequest, RequestCriteria, RequestJob,
    RequestReplay, RequestStep, RequestTally, RunningJob, SourceRef,
};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;
use crate::idempotency::hash;
use crate::jobs::ReplayPreview;
use crate::live_sources::Bucket;

/// Which requests are put in again, and how, as a caller describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestsReplayInput {
    /// Of this source.
    pub source: Option<SourceRef>,
    /// With one of these verdicts; a handshake is never put in again.
    pub verdicts: Vec<InboundVerdict>,
    /// Refused for this reason.
    pub reason: Option<String>,
    /// That came then or later.
    pub since: Option<Timestamp>,
    /// That came before; now when not given.
    pub until: Option<Timestamp>,
    /// How.
    pub replay: RequestReplay,
    /// At most so many per second.
    pub rate: Option<u32>,
}

/// Requests that one step looks at and puts in.
const ROOM: u16 = 50;
/// Pause between two rounds, so that others get their commits in between.
const BREATH: Duration = Duration::from_millis(5);
/// How long to wait when every job waits for its rate.
const WAIT: Duration = Duration::from_millis(100);
/// How often to look for jobs when none is known.
const POLL: Duration = Duration::from_secs(30);
/// How long to wait when the store does not answer as it should.
const TROUBLE: Duration = Duration::from_secs(1);

impl Service {
    /// Begins to put requests in again.
    pub async fn replay_requests(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        input: RequestsReplayInput,
        idempotency: Option<Idempotency>,
    ) -> Result<Job, Error> {
        let now = self.now();
        let (application, criteria, requests) = self
            .check_requests(caller, application, &input, now)
            .await?;
        let new = NewJob {
            id: JobId::from_bits(self.fresh_id(now)),
            organization: caller.organization,
            application,
            kind: JobKind::ReplayRequests,
            endpoints: Vec::new(),
            endpoint: None,
            criteria,
            requests: Some(requests),
            rate: input.rate,
            jobs_max: self.limits().jobs_per_application as u64,
            now,
            idempotency,
        };
        self.begin_job(caller, new).await
    }

    /// Counts the requests that would be put in again, looking at a bounded number of them.
    pub async fn preview_requests(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        input: &RequestsReplayInput,
    ) -> Result<ReplayPreview, Error> {
        /// Pages looked at; each examines a bounded number of rows.
        const PAGES: usize = 200;
        const LIMIT: u16 = 1_000;
        let now = self.now();
        let (application, criteria, requests) =
            self.check_requests(caller, application, input, now).await?;
        let filter = filter_of(&criteria, &requests);
        let mut after = start(&criteria);
        let mut matched = 0;
        for _ in 0..PAGES {
            let page = ascending(after, LIMIT);
            let page = self.store().requests(application, &filter, page).await?;
            matched += page.items.len() as u64;
            if page.done {
                let complete = true;
                return Ok(ReplayPreview { matched, complete });
            }
            let last = page.items.last().map(|row| row.id.key());
            after = page.resume.or(last).unwrap_or(after);
        }
        let complete = false;
        Ok(ReplayPreview { matched, complete })
    }

    async fn check_requests(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        input: &RequestsReplayInput,
        now: Timestamp,
    ) -> Result<(domain::ApplicationKey, JobCriteria, RequestCriteria), Error> {
        const RATE_MAX: u32 = 100_000;
        let mut fields = Fields::default();
        if input.rate.is_some_and(|rate| rate == 0 || rate > RATE_MAX) {
            fields.fault(&["rate"], format!("must be between 1 and {RATE_MAX}"));
        }
        // A request's time has whole milliseconds: what came in this one is meant as well.
        let until = input.until.unwrap_or(now.plus(Duration::from_millis(1)));
        if input.since.is_some_and(|since| since >= until) {
            fields.fault(&["since"], "must be before `until`, or before now");
        }
        if input.verdicts.is_empty() || input.verdicts.contains(&InboundVerdict::Handshake) {
            let msg = "must be one or more of `accepted`, `duplicate`, `rejected`";
            fields.fault(&["verdicts"], msg);
        }
        fields.check()?;
        let application = self.application(caller, application).await?;
        let source = match &input.source {
            None => None,
            Some(named) => {
                let found = self.store().source(application.key, named).await?;
                Some(found.ok_or(Error::NotFound("source"))?.id)
            }
        };
        let criteria = JobCriteria {
            since: input.since,
            until,
            event_types: None,
            channel: None,
            tag: None,
            of: Vec::new(),
            status_class: None,
        };
        let requests = RequestCriteria {
            source,
            verdicts: input.verdicts.clone(),
            reason: input.reason.clone(),
            replay: input.replay,
        };
        Ok((application.key, criteria, requests))
    }

    /// Makes the steps of jobs that put requests in again, until `stop` is done.
    pub async fn run_request_jobs(&self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut rates = HashMap::new();
        loop {
            let pause = self.request_jobs_round(&mut rates).await;
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = self.0.request_jobs.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Makes a step of each running job, and returns how long to wait before the next round.
    async fn request_jobs_round(&self, rates: &mut HashMap<JobKey, Bucket>) -> Duration {
        let jobs = match self.running_request_jobs().await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::warn!(%error, "Jobs cannot be read; trying again");
                return TROUBLE;
            }
        };
        rates.retain(|key, _| jobs.iter().any(|job| job.key == *key));
        if jobs.is_empty() {
            return POLL;
        }
        let mut moved = false;
        for job in jobs {
            let bucket = rates.entry(job.key).or_default();
            match self.step_requests(&job, bucket).await {
                Ok(done) => moved |= done,
                Err(error) => {
                    let key = job.key.0;
                    tracing::warn!(job.key = key, %error, "A job's step failed; trying again");
                    return TROUBLE;
                }
            }
        }
        if moved { BREATH } else { WAIT }
    }

    async fn running_request_jobs(&self) -> Result<Vec<RunningJob>, Error> {
        const AT_ONCE: u16 = 250;
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.store().running_jobs(after, AT_ONCE).await?;
            let is_last = page.len() < usize::from(AT_ONCE);
            after = page.last().map(|job| job.key);
            let own = |job: &RunningJob| job.kind == JobKind::ReplayRequests;
            found.extend(page.into_iter().filter(own));
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Makes one step; says whether it moved anything.
    async fn step_requests(&self, running: &RunningJob, rate: &mut Bucket) -> Result<bool, Error> {
        let Some(found) = self.store().request_job(running.key).await? else {
            return Ok(false);
        };
        let Some(requests) = found.job.requests.clone() else {
            return Ok(false);
        };
        let filter = filter_of(&found.job.criteria, &requests);
        let page = ascending(found.after, ROOM);
        let page = self
            .store()
            .requests(found.job.application, &filter, page)
            .await?;
        let mut step = Step::new(found.job.key, found.after);
        let mut trouble = None;
        let mut held = false;
        for row in &page.items {
            let now = self.0.world.clock.monotonic();
            held = found
                .job
                .rate
                .is_some_and(|most| rate.take(most, 1, now).is_err());
            if held {
                break;
            }
            match self.put_in_again(&found, row.id, requests.replay).await {
                Ok(verdict) => step.count(row.id.key(), verdict),
                Err(error) => {
                    trouble = Some(error);
                    break;
                }
            }
        }
        if trouble.is_none() && !held {
            step.end_of_page(page.done, page.resume);
        }
        let moved = step.is_worth_noting();
        if moved {
            let state = self
                .store()
                .step_request_job(step.noted(self.now()))
                .await?;
            if state == JobState::Finished {
                tracing::info!(job.key = found.job.key.0, "Job finished");
            }
        }
        trouble.map_or(Ok(moved), Err)
    }

    /// Puts one request in; `None` when it cannot be, now or ever.
    async fn put_in_again(
        &self,
        found: &RequestJob,
        request: InboundId,
        replay: RequestReplay,
    ) -> Result<Option<InboundVerdict>, Error> {
        let caller = Caller::system(found.organization);
        let application = ApplicationRef::Id(found.application);
        let row = match self.request(caller, &application, request).await {
            Ok(view) => view.row,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let key = [
            &b"request job"[..],
            &found.job.id.bits().to_be_bytes(),
            &request.bits().to_be_bytes(),
        ];
        let once = Idempotency {
            kind: IdempotencyKind::Chosen,
            key: hash(&key),
            fingerprint: [0; 16],
        };
        match self
            .replay_row(caller, &application, row, replay, Some(once))
            .await
        {
            Ok(replayed) => Ok(Some(replayed.verdict)),
            // The source is gone, or the body was not kept whole.
            Err(Error::NotFound(_) | Error::PayloadGone) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What a step has done so far.
struct Step {
    job: JobKey,
    began: InboundKey,
    after: Option<InboundKey>,
    examined: u64,
    done: u64,
    tally: RequestTally,
}

impl Step {
    fn new(job: JobKey, after: InboundKey) -> Self {
        Self {
            job,
            began: after,
            after: Some(after),
            examined: 0,
            done: 0,
            tally: RequestTally::default(),
        }
    }

    fn count(&mut self, request: InboundKey, verdict: Option<InboundVerdict>) {
        self.after = Some(request);
        self.examined += 1;
        match verdict {
            Some(InboundVerdict::Accepted) => self.done += 1,
            Some(InboundVerdict::Duplicate) => self.tally.duplicates += 1,
            Some(InboundVerdict::Rejected | InboundVerdict::Handshake) | None => {
                self.tally.refused += 1;
            }
        }
    }

    fn end_of_page(&mut self, done: bool, resume: Option<InboundKey>) {
        if done {
            self.after = None;
        } else if resume.is_some() {
            self.after = resume;
        }
    }

    fn is_worth_noting(&self) -> bool {
        self.after != Some(self.began)
    }

    const fn noted(&self, now: Timestamp) -> RequestStep {
        RequestStep {
            job: self.job,
            after: self.after,
            examined: self.examined,
            done: self.done,
            tally: self.tally,
            now,
        }
    }
}

fn filter_of(criteria: &JobCriteria, requests: &RequestCriteria) -> InboundFilter {
    InboundFilter {
        verdicts: requests.verdicts.clone(),
        reason: requests.reason.clone(),
        source: requests.source,
        before: Some(criteria.until),
        // The filter leaves out what came at this very time.
        after: criteria
            .since
            .map(|since| since.minus(Duration::from_micros(1))),
        ..InboundFilter::default()
    }
}

fn start(criteria: &JobCriteria) -> InboundKey {
    let since = criteria.since;
    InboundKey(since.map_or(i64::MIN, |since| InboundKey::first_at(since).0 - 1))
}

const fn ascending(after: InboundKey, limit: u16) -> PageRequest<InboundKey> {
    PageRequest {
        limit,
        order: Order::Ascending,
        cursor: Some(Cursor::After(after)),
    }
}
