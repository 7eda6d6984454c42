//! Jobs, their steps, and erasing content on request.

use std::collections::BTreeMap;

use domain::{
    ApplicationKey, AttemptId, CancelReason, EndpointKey, InboundKey, JobId, JobKey, MessageId,
    MessageKey, OrganizationKey, Timestamp,
};

use super::audit::Sides;
use super::lists::page_of;
use super::{Back, Delivery, Effect, State, Status, StoredMessage};
use crate::{
    Error, Expunged, Job, JobAction, JobCriteria, JobFilter, JobKind, JobState, JobStep,
    JobStepped, NewJob, Page, PageRequest, Preview, Previewed, ReplayOf, RequestJob, RequestStep,
    RequestTally, RunningJob, Write,
};

#[derive(Debug)]
pub(super) struct StoredJob {
    organization: OrganizationKey,
    row: Job,
    /// Where it stands at each target; endpoint 0 is the messages themselves.
    targets: BTreeMap<EndpointKey, Option<MessageKey>>,
}

/// What a walk over messages found.
#[derive(Default)]
struct Found {
    matches: Vec<MessageKey>,
    examined: u64,
    next: Option<MessageKey>,
}

impl StoredJob {
    pub(super) const fn application(&self) -> ApplicationKey {
        self.row.application
    }

    pub(super) fn is_history(&self, before: Timestamp) -> bool {
        self.row.state.is_ended() && self.row.created < before
    }
}

impl State {
    fn live_job(&self, organization: OrganizationKey, id: JobId) -> Option<&StoredJob> {
        self.jobs
            .values()
            .find(|job| job.organization == organization && job.row.id == id && self.is_live(job))
    }

    fn is_live(&self, job: &StoredJob) -> bool {
        let application = self.applications.get(&job.row.application);
        application.is_some_and(|application| application.deleted.is_none())
    }

    pub(super) fn create_job(&mut self, new: &NewJob) -> Result<Write<Job>, Error> {
        let idempotency = new.idempotency.as_ref();
        if let Some(Effect::Job(key)) = self.effect(idempotency, new.now)? {
            let found = self.jobs.get(&key).filter(|job| self.is_live(job));
            return found
                .map(|job| Write::Replayed(job.row.clone()))
                .ok_or(Error::NotFound("job"));
        }
        let application = self.applications.get(&new.application);
        if application.is_none_or(|application| application.deleted.is_some()) {
            return Err(Error::NotFound("application"));
        }
        let of_application = |job: &&StoredJob| job.row.application == new.application;
        let unended = |job: &&StoredJob| !job.row.state.is_ended();
        let count = self.jobs.values().filter(of_application).filter(unended);
        if count.count() as u64 >= new.jobs_max {
            return Err(Error::Limit {
                name: "jobs_per_application",
                max: new.jobs_max,
            });
        }
        self.last_job += 1;
        let key = JobKey(self.last_job);
        let endpoints = new.endpoints.iter().copied();
        let mut targets: BTreeMap<_, _> = endpoints.map(|endpoint| (endpoint, None)).collect();
        if targets.is_empty() {
            targets.insert(EndpointKey(0), None);
        }
        let row = Job {
            key,
            id: new.id,
            application: new.application,
            kind: new.kind,
            state: JobState::Running,
            endpoint: new.endpoint,
            criteria: new.criteria.clone(),
            requests: new.requests.clone(),
            tally: RequestTally::default(),
            rate: new.rate,
            targets: targets.len() as u64,
            targets_done: 0,
            examined: 0,
            done: 0,
            created: new.now,
            updated: new.now,
        };
        let stored = StoredJob {
            organization: new.organization,
            row: row.clone(),
            targets,
        };
        self.jobs.insert(key, stored);
        self.remember(idempotency, new.now, Effect::Job(key));
        let named = (row.id.to_string(), self.id_of(new.application));
        let done = (new.now, "job.create");
        self.note(new.organization, done, named, (None, Some(&row)));
        Ok(Write::Done(row))
    }

    pub(super) fn find_job(&self, organization: OrganizationKey, id: JobId) -> Option<Job> {
        self.live_job(organization, id).map(|job| job.row.clone())
    }

    pub(super) fn list_jobs(
        &self,
        organization: OrganizationKey,
        filter: &JobFilter,
        page: &PageRequest<JobId>,
    ) -> Page<Job, JobId> {
        let application = filter.application;
        let mut rows: Vec<_> = self
            .jobs
            .values()
            .filter(|job| job.organization == organization && self.is_live(job))
            .filter(|job| application.is_none_or(|key| job.row.application == key))
            .collect();
        rows.sort_by_key(|job| job.row.id);
        page_of(
            rows,
            page,
            |job| job.row.id,
            |job| {
                let kinds = filter.kinds.as_ref();
                let states = filter.states.as_ref();
                let wanted = kinds.is_none_or(|kinds| kinds.contains(&job.row.kind))
                    && states.is_none_or(|states| states.contains(&job.row.state));
                wanted.then(|| job.row.clone())
            },
        )
    }

    pub(super) fn change_job(
        &mut self,
        organization: OrganizationKey,
        id: JobId,
        action: JobAction,
        now: Timestamp,
    ) -> Result<Job, Error> {
        let key = self.live_job(organization, id).map(|job| job.row.key);
        let key = key.ok_or(Error::NotFound("job"))?;
        let job = self.jobs.get_mut(&key).expect("found just now");
        let state = match (action, job.row.state) {
            (JobAction::Pause, JobState::Running) => JobState::Paused,
            (JobAction::Resume, JobState::Paused) => JobState::Running,
            (JobAction::Cancel, JobState::Running | JobState::Paused) => JobState::Canceled,
            _ => return Ok(job.row.clone()),
        };
        let before = job.row.clone();
        job.row.state = state;
        job.row.updated = now;
        let row = job.row.clone();
        let named = (row.id.to_string(), self.id_of(row.application));
        let sides: Sides<'_> = (Some(&before), Some(&row));
        self.note(organization, (now, "job.update"), named, sides);
        Ok(row)
    }

    pub(super) fn running_jobs(&self, after: Option<JobKey>, limit: u16) -> Vec<RunningJob> {
        let running = self.jobs.values().filter(|job| {
            job.row.state == JobState::Running && after.is_none_or(|after| job.row.key > after)
        });
        running
            .map(|job| RunningJob {
                key: job.row.key,
                kind: job.row.kind,
                rate: job.row.rate,
            })
            .take(limit.into())
            .collect()
    }

    pub(super) fn request_job(&self, key: JobKey) -> Option<RequestJob> {
        let job = self.jobs.get(&key).filter(|job| self.is_live(job))?;
        let running = job.row.state == JobState::Running;
        if !running || job.row.kind != JobKind::ReplayRequests {
            return None;
        }
        let since = job.row.criteria.since;
        let start = since.map_or(i64::MIN, |since| InboundKey::first_at(since).0 - 1);
        let cursor = job.targets.get(&EndpointKey(0))?;
        Some(RequestJob {
            job: job.row.clone(),
            organization: job.organization,
            application: self.id_of(job.row.application)?,
            after: InboundKey(cursor.map_or(start, |cursor| cursor.0)),
        })
    }

    pub(super) fn step_request_job(&mut self, step: &RequestStep) -> JobState {
        let Some(job) = self.jobs.get_mut(&step.job) else {
            return JobState::Canceled;
        };
        job.row.examined += step.examined;
        job.row.done += step.done;
        job.row.tally.duplicates += step.tally.duplicates;
        job.row.tally.refused += step.tally.refused;
        job.row.updated = step.now;
        if job.row.state.is_ended() {
            return job.row.state;
        }
        if let Some(after) = step.after {
            let cursor = Some(MessageKey(after.0));
            job.targets.insert(EndpointKey(0), cursor);
        } else {
            job.targets.clear();
            job.row.targets_done = job.row.targets;
            job.row.state = JobState::Finished;
        }
        job.row.state
    }

    pub(super) fn step_job(&mut self, step: &JobStep) -> JobStepped {
        let mut stepped = JobStepped {
            state: JobState::Canceled,
            target: None,
            done: 0,
            busy: false,
            canceled: Vec::new(),
            promoted: Vec::new(),
            commit: self.commits,
        };
        let Some(job) = self.jobs.get(&step.job).filter(|job| self.is_live(job)) else {
            return stepped;
        };
        stepped.state = job.row.state;
        if job.row.state != JobState::Running || job.row.kind == JobKind::ReplayRequests {
            return stepped;
        }
        let row = job.row.clone();
        let after = step.after.unwrap_or(EndpointKey(-1));
        let mut beyond = job.targets.range(after..).filter(|(key, _)| **key > after);
        let next = beyond.next().or_else(|| job.targets.first_key_value());
        if let Some((target, cursor)) = next.map(|(key, cursor)| (*key, *cursor)) {
            stepped.target = Some(target);
            let found = if row.kind == JobKind::PurgeContent {
                Some(self.purge(&row, cursor, step, &mut stepped))
            } else {
                let found = self.replay(&row, target, cursor, step);
                stepped.busy = found.is_none();
                found
            };
            let Some(found) = found else { return stepped };
            stepped.done = u16::try_from(found.matches.len()).expect("bounded by a room");
            self.move_on(step, target, &found);
        }
        let job = self.jobs.get_mut(&step.job).expect("found just now");
        if job.targets.is_empty() {
            job.row.state = JobState::Finished;
        }
        stepped.state = job.row.state;
        stepped
    }

    fn move_on(&mut self, step: &JobStep, target: EndpointKey, found: &Found) {
        let job = self.jobs.get_mut(&step.job).expect("found just now");
        job.row.examined += found.examined;
        job.row.done += found.matches.len() as u64;
        job.row.updated = step.now;
        if found.next.is_some() {
            job.targets.insert(target, found.next);
        } else {
            job.targets.remove(&target);
            job.row.targets_done += 1;
        }
    }

    /// `None` when the endpoint has enough to do.
    fn replay(
        &mut self,
        job: &Job,
        target: EndpointKey,
        after: Option<MessageKey>,
        step: &JobStep,
    ) -> Option<Found> {
        let open = self
            .live(target)
            .filter(|endpoint| endpoint.disabled.is_none());
        if open.is_none() {
            return Some(Found::default());
        }
        let due = |((_, to), delivery): &(&(MessageKey, EndpointKey), &Delivery)| {
            *to == target
                && delivery.status == Status::Pending
                && !delivery.waiting
                && delivery.due <= step.due
        };
        if self.deliveries.iter().filter(due).count() >= usize::from(step.busy) {
            return None;
        }
        let bounds = (after, step.rows, step.room);
        let found = self.find(job.application, target, &job.criteria, bounds);
        for message in &found.matches {
            let not_before = self.messages[message].row.deliver_at;
            let due = not_before.map_or(step.due, |at| at.max(step.due));
            let delivery = Delivery {
                attempts: self.tried(*message, target).0,
                ..Delivery::new(due)
            };
            self.deliveries.insert((*message, target), delivery);
        }
        Some(found)
    }

    fn find(
        &self,
        application: ApplicationKey,
        endpoint: EndpointKey,
        criteria: &JobCriteria,
        (after, rows, room): (Option<MessageKey>, u16, u16),
    ) -> Found {
        let mut found = Found::default();
        let mut last = None;
        for (key, stored) in &self.messages {
            let at = stored.row.at;
            let is_in_time = at < criteria.until && criteria.since.is_none_or(|since| at >= since);
            if stored.application != application
                || after.is_some_and(|after| *key <= after)
                || !is_in_time
            {
                continue;
            }
            if found.examined == u64::from(rows) || found.matches.len() == usize::from(room) {
                found.next = last;
                break;
            }
            last = Some(*key);
            found.examined += 1;
            if self.is_match(endpoint, criteria, *key, stored) {
                found.matches.push(*key);
            }
        }
        found
    }

    fn is_match(
        &self,
        endpoint: EndpointKey,
        criteria: &JobCriteria,
        key: MessageKey,
        stored: &StoredMessage,
    ) -> bool {
        let row = &stored.row;
        let types = criteria.event_types.as_ref();
        let (channel, tag) = (criteria.channel.as_ref(), criteria.tag.as_ref());
        let of = match self.deliveries.get(&(key, endpoint)).map(|one| one.status) {
            Some(Status::Success) => ReplayOf::Success,
            Some(Status::Fail(_)) => ReplayOf::Failed,
            Some(Status::Canceled(_)) => ReplayOf::Canceled,
            Some(Status::Pending) => return false,
            None => {
                let subscription = &self.endpoints[&endpoint].subscription;
                let belongs = subscription.matches(&row.event_type, &row.channels);
                if !belongs || self.fan_outs.contains_key(&key) {
                    return false;
                }
                ReplayOf::Missing
            }
        };
        let numbers = (key, endpoint, 0)..=(key, endpoint, u16::MAX);
        let last = self.attempts.range(numbers).next_back();
        let class = last.map(|(_, one)| one.http_status.map_or(0, |status| status / 100 * 100));
        criteria.of.contains(&of)
            && types.is_none_or(|types| types.contains(&row.event_type))
            && channel.is_none_or(|one| row.channels.contains(one))
            && tag.is_none_or(|one| row.tags.contains(one))
            && criteria
                .status_class
                .is_none_or(|wanted| class == Some(wanted))
            && row.payload.is_some()
    }

    pub(super) fn preview(&self, preview: &Preview) -> Previewed {
        let live = self.live(preview.endpoint);
        if live.is_none_or(|endpoint| endpoint.disabled.is_some()) {
            return Previewed {
                matched: 0,
                examined: 0,
                next: None,
            };
        }
        let bounds = (preview.after, preview.rows, u16::MAX);
        let found = self.find(
            preview.application,
            preview.endpoint,
            &preview.criteria,
            bounds,
        );
        Previewed {
            matched: found.matches.len() as u64,
            examined: found.examined,
            next: found.next,
        }
    }

    // ---- Erasing content ---------------------------------------------------------------------

    fn purge(
        &mut self,
        job: &Job,
        after: Option<MessageKey>,
        step: &JobStep,
        stepped: &mut JobStepped,
    ) -> Found {
        let of_application = |stored: &&StoredMessage| {
            stored.application == job.application
                && after.is_none_or(|after| stored.row.id.key() > after)
        };
        let rows = usize::from(step.rows.min(step.room));
        let messages = self.messages.values().filter(of_application).take(rows);
        let keys: Vec<_> = messages.map(|stored| stored.row.id.key()).collect();
        let mut found = Found {
            examined: keys.len() as u64,
            next: keys.last().copied().filter(|_| keys.len() == rows),
            ..Found::default()
        };
        for key in keys {
            let row = &self.messages[&key].row;
            if row.payload.is_some() && row.at < job.criteria.until {
                found.matches.push(key);
                let expunged = self.erase_content(key, step.due);
                if expunged.canceled {
                    stepped.canceled.push(key);
                }
                stepped.promoted.extend(expunged.promoted);
            }
        }
        found
    }

    fn erase_content(&mut self, message: MessageKey, now: Timestamp) -> Expunged {
        let mut left = Vec::new();
        self.deliveries.retain(|(of, to), delivery| {
            if *of != message || delivery.status != Status::Pending {
                return true;
            }
            left.push(*to);
            delivery.waiting = false;
            match delivery.back.take() {
                Some(Back::Nothing) => return false,
                Some(Back::Ended(status)) => delivery.status = status,
                Some(Back::Pending { .. }) | None => {
                    delivery.status = Status::Canceled(CancelReason::PayloadExpunged);
                }
            }
            true
        });
        let is_coming = self.fan_outs.remove(&message).is_some();
        let expunged = Expunged {
            canceled: is_coming || !left.is_empty(),
            promoted: left
                .into_iter()
                .filter(|to| self.leave(message, *to, now))
                .collect(),
        };
        let stored = self
            .messages
            .get_mut(&message)
            .expect("given by the caller");
        stored.row.payload = None;
        expunged
    }

    pub(super) fn expunge_message(
        &mut self,
        application: ApplicationKey,
        message: MessageId,
        now: Timestamp,
    ) -> Result<Expunged, Error> {
        let found = self.messages.get(&message.key());
        let exists =
            found.is_some_and(|one| one.application == application && one.row.id == message);
        if !exists {
            return Err(Error::NotFound("message"));
        }
        Ok(self.erase_content(message.key(), now))
    }

    pub(super) fn expunge_attempt(
        &mut self,
        message: MessageId,
        attempt: AttemptId,
    ) -> Result<(), Error> {
        let found = self.find_attempt(message, attempt);
        let row = found.ok_or(Error::NotFound("attempt"))?;
        let key = (message.key(), row.endpoint_key, row.number);
        let record = self.attempts.get_mut(&key).expect("found just now");
        record.response = bytes::Bytes::new();
        Ok(())
    }
}
