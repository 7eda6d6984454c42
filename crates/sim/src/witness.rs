//! Watches everything that leaves the engine, and says what must not happen.
//!
//! At once, for every request and every outcome:
//! - a message has one id and one body wherever and however often it arrives, rightly signed;
//! - no attempt before its time, nor after its success was stored;
//! - a process that was replaced records nothing;
//! - requests under way stay within the engine's limits, of one destination and over all.
//!
//! And at the end, in `verdict`:
//! - every message whose publish was answered reached every endpoint, and a publish repeated under
//!   its idempotency key is one message;
//! - the attempts that the store knows are numbered 1, 2, 3 …, and are as many as were made, less
//!   those that a death left unrecorded;
//! - messages of one publish and one ordering key were taken in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use domain::{EndpointKey, MessageId, MessageKey, Timestamp};
use signature::{Received, Secret, Verifier, VerifyingKey};
use store::{AfterAttempt, AttemptRecord, Recorded};
use tokio::time::Instant;

use crate::life::Life;

/// The signing secret of every endpoint.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request as a receiver sees it.
pub(crate) struct Arrival {
    pub(crate) url: String,
    pub(crate) id: String,
    pub(crate) timestamp: String,
    pub(crate) signature: String,
    pub(crate) body: Bytes,
}

/// What must be kept to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) in_flight: usize,
    pub(crate) of_one: usize,
    pub(crate) payload_memory: usize,
}

/// Everything that was seen.
pub struct Witness {
    began: Instant,
    bounds: Bounds,
    verifier: Verifier,
    seen: Mutex<Seen>,
}

/// What was seen, for the verdict.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) trace: Vec<String>,
    pub(crate) violations: Vec<String>,
    pub(crate) endpoints: BTreeMap<String, EndpointKey>,
    /// The id under which each body came.
    pub(crate) ids: BTreeMap<Bytes, String>,
    bodies: BTreeMap<String, Bytes>,
    /// Deliveries that receivers took, in the order of their first time: URL and body.
    pub(crate) taken: BTreeMap<String, Vec<Bytes>>,
    took: BTreeSet<(String, Bytes)>,
    /// When the next attempt may be made.
    not_before: BTreeMap<(MessageKey, EndpointKey), Timestamp>,
    settled: BTreeSet<(MessageKey, EndpointKey)>,
    /// Attempts made, to each destination: requests and failed connections.
    pub(crate) tries: BTreeMap<String, usize>,
    /// Those of the current life whose outcome is not stored.
    unrecorded: BTreeMap<EndpointKey, usize>,
    /// Those that were not when their life ended.
    pub(crate) forgotten: BTreeMap<EndpointKey, usize>,
    owner: usize,
    under_way: BTreeMap<String, usize>,
    pub(crate) requests: usize,
}

/// A request that is under way until this is dropped.
pub(crate) struct UnderWay(Arc<Witness>, String);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        if let Some(count) = seen.under_way.get_mut(&self.1) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Witness {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        let secret = Secret::parse(SECRET).expect("it is well-formed");
        Arc::new(Self {
            began: Instant::now(),
            bounds,
            verifier: Verifier::new([VerifyingKey::from(&secret)]),
            seen: Mutex::default(),
        })
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic while it is held")
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, what: &str) {
        let line = format!("{:>12.6} {what}", self.began.elapsed().as_secs_f64());
        self.seen().trace.push(line);
    }

    pub(crate) fn object(&self, what: &str) {
        self.note(&format!("VIOLATION {what}"));
        self.seen().violations.push(what.to_owned());
    }

    pub(crate) fn endpoint(&self, url: &str, key: EndpointKey) {
        self.seen().endpoints.insert(url.to_owned(), key);
    }

    /// A process owns all shards from now on; what the last one left unrecorded stays so.
    pub(crate) fn takes_over(&self, life: usize) {
        self.note(&format!("life {life} takes over"));
        let mut seen = self.seen();
        seen.owner = life;
        seen.under_way.clear();
        let left = std::mem::take(&mut seen.unrecorded);
        for (endpoint, count) in left {
            *seen.forgotten.entry(endpoint).or_default() += count;
        }
    }

    /// A connection to a destination could not be opened.
    pub(crate) fn unreachable(&self, life: &Life, url: &str) {
        self.note(&format!("{}: {url} is unreachable", life.number));
        self.tried(url);
    }

    fn tried(&self, url: &str) {
        let mut seen = self.seen();
        *seen.tries.entry(url.to_owned()).or_default() += 1;
        if let Some(endpoint) = seen.endpoints.get(url).copied() {
            *seen.unrecorded.entry(endpoint).or_default() += 1;
        }
    }

    /// A request reached a receiver.
    pub(crate) fn arrived(self: &Arc<Self>, life: &Life, arrival: &Arrival) -> UnderWay {
        let Arrival { url, id, body, .. } = arrival;
        let shown = String::from_utf8_lossy(body);
        self.note(&format!("{}: {url} gets {id} {shown}", life.number));
        self.tried(url);
        self.check_bytes(arrival);
        self.check_time(life, arrival);
        let mut seen = self.seen();
        seen.requests += 1;
        *seen.under_way.entry(url.clone()).or_default() += 1;
        let (of_one, all) = (seen.under_way[url], seen.under_way.values().sum::<usize>());
        drop(seen);
        if of_one > self.bounds.of_one || all > self.bounds.in_flight {
            self.object(&format!("{of_one} under way to {url}, {all} in all"));
        }
        let held = life.engine().map_or(0, engine::Engine::payload_memory);
        if held > self.bounds.payload_memory {
            self.object(&format!("{held} bytes of payload in memory"));
        }
        UnderWay(Arc::clone(self), url.clone())
    }

    fn check_bytes(&self, arrival: &Arrival) {
        let Arrival { url, id, body, .. } = arrival;
        let mut seen = self.seen();
        let same_body = seen.bodies.entry(id.clone()).or_insert(body.clone()) == body;
        let same_id = seen.ids.entry(body.clone()).or_insert(id.clone()) == id;
        drop(seen);
        if !same_body {
            self.object(&format!("{id} came to {url} with another body"));
        }
        if !same_id {
            self.object(&format!("one message has two ids, {id} among them"));
        }
        let received = Received {
            id: Some(id),
            timestamp: Some(&arrival.timestamp),
            signatures: &[&arrival.signature],
            body,
        };
        let signed = arrival.timestamp.parse().unwrap_or_default();
        let signed = Timestamp::from_unix_seconds(signed);
        if let Err(why) = self.verifier.verify(&received, signed, Duration::ZERO) {
            self.object(&format!("{id} is not rightly signed: {why}"));
        }
    }

    fn check_time(&self, life: &Life, arrival: &Arrival) {
        let seen = self.seen();
        let (Some(endpoint), Ok(message)) = (
            seen.endpoints.get(&arrival.url).copied(),
            arrival.id.parse::<MessageId>(),
        ) else {
            drop(seen);
            return self.object(&format!("{} has no id of ours", arrival.url));
        };
        let key = (message.key(), endpoint);
        let (due, settled) = (
            seen.not_before.get(&key).copied(),
            seen.settled.contains(&key),
        );
        drop(seen);
        if settled {
            self.object(&format!(
                "{} is sent after its success was stored",
                arrival.id
            ));
        }
        let now = life.engine().map(engine::Engine::schedule_now);
        if let (Some(due), Some(now)) = (due, now)
            && now < due
        {
            let early = due.since(now);
            self.object(&format!("{} is sent {early:?} before its time", arrival.id));
        }
    }

    /// A receiver took a delivery.
    pub(crate) fn took(&self, arrival: &Arrival) {
        let mut seen = self.seen();
        let key = (arrival.url.clone(), arrival.body.clone());
        if seen.took.insert(key) {
            let taken = seen.taken.entry(arrival.url.clone()).or_default();
            taken.push(arrival.body.clone());
        }
    }

    /// An outcome was answered by the store.
    pub(crate) fn recorded(&self, life: &Life, record: &AttemptRecord, answer: Recorded) {
        let key = (record.message, record.endpoint);
        let line = format!(
            "{}: attempt {} of {key:?}: {:?}, {answer:?}",
            life.number, record.number, record.then
        );
        self.note(&line);
        if answer == Recorded::Fenced {
            return;
        }
        let mut seen = self.seen();
        let owner = seen.owner;
        match record.then {
            AfterAttempt::Success => {
                seen.settled.insert(key);
            }
            AfterAttempt::RetryAt(at) => {
                seen.not_before.insert(key, at);
            }
            AfterAttempt::Fail(_) | AfterAttempt::AsBefore => {}
        }
        if let Some(count) = seen.unrecorded.get_mut(&record.endpoint) {
            *count = count.saturating_sub(1);
        }
        drop(seen);
        if owner != life.number {
            self.object(&format!(
                "life {} recorded after {owner} took over",
                life.number
            ));
        }
    }
}
