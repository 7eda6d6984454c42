//! Makes attempts: signs, sends, and says how it ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{
    AttemptStatus, DeliverAs, ErrorClass, FailReason, Next, Outcome, Phases, Timestamp, Trigger,
};
use env::{Connection, EgressError, OutboundRequest, OutboundResponse};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use store::{AfterAttempt, AttemptRecord};
use tokio::time::Instant;

use crate::destination::Destination;
use crate::forward;
use crate::lane::Job;
use crate::lanes::{Ended, Start};
use crate::metrics::OutcomeLabel;
use crate::pace::Health;
use crate::retry_after::retry_after;
use crate::shared::Shared;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// How many deliveries a message is the effect of, this one included. Who publishes because of a
/// delivery passes it on, one higher; a publish with too many is refused.
const WEBHOOK_HOPS: HeaderName = HeaderName::from_static("webhook-hops");
/// The names under which the standard's headers were known before there was one.
const SVIX: [HeaderName; 3] = [
    HeaderName::from_static("svix-id"),
    HeaderName::from_static("svix-timestamp"),
    HeaderName::from_static("svix-signature"),
];
const JSON: HeaderValue = HeaderValue::from_static("application/json");

type Slot = Option<Box<dyn Connection>>;
type Answer = Result<OutboundResponse, EgressError>;

/// Makes attempts for one lane over one connection, one after the other, for as long as it is
/// the lane's turn.
pub(crate) async fn work(shared: Arc<Shared>, start: Start) {
    let lane = start.destination.key;
    let mut slot = shared.connections.take(lane);
    let mut next = Some(start);
    while let Some(start) = next {
        let ended = attempt(&shared, start, &mut slot).await;
        let mut lanes = shared.lanes();
        next = lanes.end(ended, shared.monotonic());
        drop(lanes);
        shared.ended.notify_one();
    }
    // Where the answer said that it was the last one, the file would stay open for nothing.
    if let Some(connection) = slot.filter_map_usable() {
        shared
            .connections
            .park(lane, connection, shared.monotonic());
    }
    crate::dispatch::pump(&shared);
}

async fn attempt(shared: &Arc<Shared>, start: Start, slot: &mut Slot) -> Ended {
    let Start {
        destination,
        job,
        doubtful,
    } = start;
    let at = shared.now();
    let began = Instant::now();
    let mut phases = Phases::default();
    if let Some(in_hand) = &shared.in_hand {
        in_hand.begin(destination.key, job.key());
    }
    let answer = AssertUnwindSafe(send(shared, &destination, &job, slot, at, &mut phases))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            *slot = None;
            Err(fault())
        });
    if let Some(in_hand) = &shared.in_hand {
        in_hand.end(destination.key, job.key());
    }
    let took = began.elapsed();
    let end = |answer| {
        let tried = Tried {
            at,
            took,
            phases,
            answer,
        };
        Ended {
            health: tried.health(),
            record: tried.record(shared, &destination, &job),
            doubtful,
        }
    };
    // What is made of an answer is shielded too: a destination chooses it.
    shielded(|| end(answer), || end(Err(fault())))
}

/// Does the work, or what is to be done when it panics: an attempt that vanished would keep its
/// delivery, and a place among those in flight, for ever.
fn shielded<T>(work: impl FnOnce() -> T, otherwise: impl FnOnce() -> T) -> T {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| otherwise())
}

fn fault() -> EgressError {
    internal("a fault in posthaste; the log has it".to_owned())
}

async fn send(
    shared: &Shared,
    destination: &Destination,
    job: &Job,
    slot: &mut Slot,
    at: Timestamp,
    phases: &mut Phases,
) -> Answer {
    if job.damaged {
        return Err(damaged(job));
    }
    let deadline = Instant::now() + destination.timeout(&shared.config);
    let request = request(shared, destination, job, at).map_err(internal)?;
    if let Some(mut reused) = slot.take().filter_map_usable() {
        let answer = reused
            .send(request.clone(), shared.config.response, deadline, phases)
            .await;
        match answer {
            // The peer had closed it while it was idle. Nothing was sent, so it is no attempt.
            Err(error) if !error.wrote => {}
            answer => {
                *slot = Some(reused); // Looked at once more before it is used again.
                return answer;
            }
        }
    }
    *phases = Phases::default();
    let mut fresh = shared
        .egress
        .connect(&destination.target, deadline, phases)
        .await?;
    let answer = fresh
        .send(request, shared.config.response, deadline, phases)
        .await;
    *slot = Some(fresh);
    answer
}

/// Reports damage once per attempt: whoever runs this should look at the disk.
fn damaged(job: &Job) -> EgressError {
    tracing::error!(
        message.id = %job.envelope.id,
        "The stored payload is not what was published: it is not sent. Check the disk"
    );
    EgressError {
        class: ErrorClass::PayloadDamaged,
        detail: "the stored payload does not fit its checksum".to_owned(),
        wrote: false,
    }
}

trait Usable {
    fn filter_map_usable(self) -> Self;
}

impl Usable for Slot {
    /// Drops a connection that cannot take the next request.
    fn filter_map_usable(self) -> Self {
        self.and_then(|mut connection| connection.is_usable(Instant::now()).then_some(connection))
    }
}

fn internal(detail: String) -> EgressError {
    EgressError {
        class: ErrorClass::Internal,
        detail,
        wrote: false,
    }
}

fn request(
    shared: &Shared,
    destination: &Destination,
    job: &Job,
    at: Timestamp,
) -> Result<OutboundRequest, String> {
    let signer = destination.signer.as_ref().map_err(Clone::clone)?;
    let envelope = &job.envelope;
    let origin = envelope.origin.as_deref();
    let tuning = &destination.tuning;
    let passed_on = origin.filter(|_| tuning.deliver_as == DeliverAs::Request);
    let body = passed_on
        .and_then(|origin| origin.body.as_ref())
        .unwrap_or(&envelope.body);
    let id = envelope.id.to_string();
    let signed = Signed {
        signature: value(signer.sign(&id, at, body))?,
        id: value(id)?,
        timestamp: HeaderValue::from(at.as_unix_seconds()),
    };
    let content_type = match &envelope.content_type {
        None => JSON,
        Some(name) => value(name.to_string())?,
    };
    let (limits, agent) = (shared.config.forward, &shared.config.user_agent);
    let filter = tuning.forward_headers.as_ref();
    let mut headers = match passed_on {
        None => HeaderMap::with_capacity(9 + destination.headers.len()),
        Some(origin) => forward::as_it_came(origin, filter, limits),
    };
    forward::fill_in(&mut headers, &content_type, agent);
    // The endpoint's own headers may replace those above, never those below.
    for (name, given) in &destination.headers {
        headers.insert(name, given.clone());
    }
    headers.insert(WEBHOOK_HOPS, HeaderValue::from(forward::hops(origin)));
    if let Some(origin) = origin {
        headers.insert(forward::REQUEST, value(origin.request.to_string())?);
        if passed_on.is_none() {
            forward::add_beside(&mut headers, origin, filter, limits);
        }
    }
    signed.put(&mut headers, passed_on.is_some(), tuning.svix_headers);
    let target = match passed_on {
        None => Arc::clone(&destination.target),
        Some(origin) => forward::target(&destination.target, origin)?,
    };
    Ok(OutboundRequest {
        method: passed_on.map_or(Method::POST, forward::method),
        target,
        headers,
        body: body.clone(),
    })
}

fn value(text: String) -> Result<HeaderValue, String> {
    HeaderValue::try_from(text).map_err(|error| error.to_string())
}

/// What a receiver verifies an attempt by.
struct Signed {
    id: HeaderValue,
    timestamp: HeaderValue,
    signature: HeaderValue,
}

impl Signed {
    fn put(self, headers: &mut HeaderMap, beside_another: bool, also_svix: bool) {
        let values = [self.id, self.timestamp, self.signature];
        let names = if beside_another {
            [forward::ID, forward::TIMESTAMP, forward::SIGNATURE]
        } else {
            [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE]
        };
        if also_svix && !beside_another {
            for (name, value) in SVIX.into_iter().zip(values.clone()) {
                headers.insert(name, value);
            }
        }
        for (name, value) in names.into_iter().zip(values) {
            headers.insert(name, value);
        }
    }
}

/// An attempt that was made.
struct Tried {
    at: Timestamp,
    took: Duration,
    phases: Phases,
    answer: Answer,
}

impl Tried {
    fn health(&self) -> Health {
        match &self.answer {
            Ok(answer) => match answer.status {
                200..=299 => Health::Good,
                429 | 502 | 503 | 504 => Health::Overloaded,
                _ => Health::Bad,
            },
            Err(error) if error.class.is_timeout() => Health::TimedOut,
            Err(_) => Health::Bad,
        }
    }

    fn outcome(&self, wall_now: Timestamp) -> Outcome {
        match &self.answer {
            Ok(answer) if (200..300).contains(&answer.status) => Outcome::Accepted,
            Ok(answer) => Outcome::Rejected {
                status: answer.status,
                retry_after: answer
                    .retry_after
                    .as_deref()
                    .and_then(|text| retry_after(text, wall_now)),
            },
            Err(_) => Outcome::NoResponse,
        }
    }

    fn record(self, shared: &Shared, destination: &Destination, job: &Job) -> AttemptRecord {
        let wall_now = shared.now();
        let outcome = self.outcome(wall_now);
        let date = self
            .answer
            .as_ref()
            .ok()
            .and_then(|answer| answer.date.as_ref());
        if let Some(seconds) = shared.skew.look(date, wall_now, shared.monotonic()) {
            tracing::warn!(
                endpoint.id = %destination.id,
                receiver.ahead_s = seconds,
                "A receiver's clock differs from ours; if many do, ours is wrong, and receivers \
                 refuse our signatures"
            );
        }
        let then = follow(shared, destination, job, outcome);
        shared.count(&self, job, then);
        let (http_status, error, error_detail, response) = match self.answer {
            Ok(answer) => (Some(answer.status), None, None, answer.body),
            Err(error) => (
                None,
                Some(error.class),
                Some(error.detail.into()),
                Bytes::new(),
            ),
        };
        AttemptRecord {
            message: job.key(),
            endpoint: destination.key,
            shard: destination.shard,
            epoch: shared.epoch(destination.shard),
            number: job.attempts.saturating_add(1),
            trigger: job.trigger,
            at: self.at,
            duration: self.took,
            phases: self.phases,
            url: destination.url_key,
            status: match outcome {
                Outcome::Accepted => AttemptStatus::Success,
                Outcome::Rejected { .. } | Outcome::NoResponse => AttemptStatus::Fail,
            },
            http_status,
            error,
            error_detail,
            response,
            then,
            release: job.ordered.then(|| shared.schedule_now()),
        }
    }
}

/// Decides what follows an attempt, in the store's words.
fn follow(shared: &Shared, destination: &Destination, job: &Job, outcome: Outcome) -> AfterAttempt {
    if outcome == Outcome::Accepted {
        return AfterAttempt::Success;
    }
    if job.trigger == Trigger::Manual {
        return AfterAttempt::AsBefore;
    }
    let number = job.scheduled_attempts.saturating_add(1);
    let jitter = shared.entropy.next_f64();
    let (policy, now) = (&shared.config.retry, shared.schedule_now());
    let schedule = destination.schedule(&shared.config);
    match policy.next_by(schedule, number, outcome, now, jitter) {
        Next::Succeed => AfterAttempt::Success,
        Next::RetryAt(due) => AfterAttempt::RetryAt(due),
        // The one delivery that was told so has failed; disabling cancels the others.
        Next::Exhaust | Next::Disable => AfterAttempt::Fail(FailReason::Exhausted),
    }
}

impl Shared {
    fn count(&self, tried: &Tried, job: &Job, then: AfterAttempt) {
        let outcome = match &tried.answer {
            Ok(answer) if (200..300).contains(&answer.status) => "success".to_owned(),
            Ok(answer) => format!("status_{}xx", answer.status / 100),
            Err(error) => error.class.slug().to_owned(),
        };
        self.metrics
            .attempts
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
        self.metrics.duration.observe(tried.took.as_secs_f64());
        if job.attempts == 0 {
            let lag = self
                .schedule_now()
                .since(job.first_due)
                .saturating_sub(tried.took);
            self.metrics.lag.observe(lag.as_secs_f64());
        }
        match then {
            AfterAttempt::Success => {
                self.metrics.succeeded.inc();
            }
            AfterAttempt::Fail(_) => {
                self.metrics.dead_lettered.inc();
            }
            AfterAttempt::RetryAt(_) | AfterAttempt::AsBefore => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_an_answer_has_another_end() {
        let end = shielded(|| panic!("over an answer"), || "a failed attempt");

        assert_eq!(end, "a failed attempt");
        assert_eq!(shielded(|| 1, || 2), 1);
    }
}
