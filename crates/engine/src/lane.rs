//! One destination's queue: what it holds in memory, and what is left in the store.
//!
//! A lane is `behind` when the store has due deliveries that memory does not. A lane that is
//! behind takes nothing straight from intake, so nothing starves; it claims from the store until
//! a claim from the very start of its range shows that memory holds all that is due.
//!
//! Three things could make it hold a delivery twice, or lose sight of one. They are excluded so:
//! - A claim sees what memory holds already (queued, in flight, ended but not yet recorded):
//!   `held` drops it.
//! - A claim's answer is older than a record that was made meanwhile: what was recorded since the
//!   claim began is remembered in `recorded` and dropped from the answer.
//! - A commit is seen by a claim before intake hands it over: arrivals whose commit a complete
//!   claim covered (`covered`) are dropped, and around its edge `recorded` is asked once more.
//!
//! A complete claim is a chain of claims, from the very start of the destination's range to its
//! end. A delivery keeps its place in the range until its outcome is recorded, so such a chain
//! has met all that was committed before its first claim began.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::{AttemptNumber, MessageKey, Timestamp, Trigger};
use store::{Claimed, DueDelivery};

use crate::EngineConfig;
use crate::destination::Destination;
use crate::in_hand::Suspects;
use crate::memory::{Budget, Envelope};
use crate::pace::{Pace, Rate};

/// One delivery in memory.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) envelope: Arc<Envelope>,
    /// When it was first due, from which its patience counts.
    pub(crate) first_due: Timestamp,
    /// Attempts made so far, manual ones included.
    pub(crate) attempts: AttemptNumber,
    /// Those that count against the schedule.
    pub(crate) scheduled_attempts: AttemptNumber,
    pub(crate) trigger: Trigger,
    /// Others may wait behind it for the same ordering key.
    pub(crate) ordered: bool,
    /// What the store has of it is not what was published.
    pub(crate) damaged: bool,
}

impl Job {
    /// Makes the job of a delivery that was never tried.
    pub(crate) const fn first(envelope: Arc<Envelope>, due: Timestamp) -> Self {
        Self {
            envelope,
            first_due: due,
            attempts: 0,
            scheduled_attempts: 0,
            trigger: Trigger::Scheduled,
            ordered: false,
            damaged: false,
        }
    }

    pub(crate) fn key(&self) -> MessageKey {
        self.envelope.id.key()
    }
}

/// A claim that is to be made for a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClaimPlan {
    pub(crate) after: Option<(Timestamp, MessageKey)>,
    pub(crate) room: u16,
    pub(crate) bytes: usize,
}

/// The lines of lanes that could start an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Of those that answer.
    Proven,
    /// Of those whose attempts may well run out of time.
    Doubtful,
}

/// A lane that holds more payload bytes than this holds much.
const MUCH: usize = 64 * 1024;
/// What was recorded after a claim is remembered up to this count; a claim brings fewer.
const RECORDED_MAX: usize = 1_024;

/// One destination's queue.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) destination: Arc<Destination>,
    pub(crate) pace: Pace,
    pub(crate) rate: Option<Rate>,
    pub(crate) in_flight: u16,
    /// Where it stands in line for an attempt.
    pub(crate) line: Option<Line>,
    /// When it was last busy, on the monotonic clock.
    pub(crate) touched: Duration,
    /// The earliest due time in the store after now, as far as memory knows.
    pub(crate) next_due: Option<Timestamp>,
    queue: VecDeque<Job>,
    /// Queued, in flight, or ended and not yet recorded, with what each costs in memory.
    held: HashMap<MessageKey, usize>,
    held_bytes: usize,
    /// Payload bytes in the queue.
    bytes: usize,
    behind: bool,
    /// Where the next claim continues.
    cursor: Option<(Timestamp, MessageKey)>,
    claim: Option<ClaimPlan>,
    /// What the first claim of the chain under way has covered.
    chain: Option<u64>,
    /// Deliveries were left to the store since the claim under way began: its chain counts for
    /// nothing.
    broken: bool,
    /// Arrivals during a claim from the start.
    arrivals: Vec<(Job, u64)>,
    /// The highest commit of an arrival that was left to the store.
    dropped_commit: u64,
    /// Commits up to this one were covered by a complete claim.
    covered: u64,
    /// The attempts recorded since the last claim began, asked about what it brings and about
    /// arrivals up to `recorded_until`.
    recorded: HashMap<MessageKey, AttemptNumber>,
    recorded_until: u64,
    /// A manual attempt is due of what was held when a claim brought it.
    resent: HashSet<MessageKey>,
    /// What is suspected of crashing the process is not sent by itself.
    suspects: Suspects,
}

impl Lane {
    pub(crate) fn new(destination: Arc<Destination>, config: &EngineConfig, now: Duration) -> Self {
        let mut pace = Pace::new(config, now);
        pace.limit(destination.concurrency(config));
        Self {
            rate: destination.throttle_rate.map(Rate::new),
            destination,
            pace,
            in_flight: 0,
            line: None,
            touched: now,
            next_due: None,
            queue: VecDeque::new(),
            held: HashMap::new(),
            held_bytes: 0,
            bytes: 0,
            behind: false,
            cursor: None,
            claim: None,
            chain: None,
            broken: false,
            arrivals: Vec::new(),
            dropped_commit: 0,
            covered: 0,
            recorded: HashMap::new(),
            recorded_until: 0,
            resent: HashSet::new(),
            suspects: Arc::clone(&config.suspects),
        }
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) const fn is_behind(&self) -> bool {
        self.behind
    }

    pub(crate) const fn is_claiming(&self) -> bool {
        self.claim.is_some()
    }

    /// Says whether the lane can be forgotten: nothing but its pace would be lost.
    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.in_flight == 0 && !self.behind && self.claim.is_none()
    }

    /// Says whether an attempt is under way, or has ended and is not recorded yet: it is held and
    /// no longer queued. Looks through the queue, which is short, instead of keeping one more set.
    pub(crate) fn is_in_flight(&self, key: MessageKey) -> bool {
        self.held.contains_key(&key) && !self.queue.iter().any(|job| job.key() == key)
    }

    /// Returns what [`Self::is_in_flight`].
    pub(crate) fn in_flight(&self) -> Vec<MessageKey> {
        let queued: HashSet<_> = self.queue.iter().map(Job::key).collect();
        let held = self.held.keys().copied();
        held.filter(|key| !queued.contains(key)).collect()
    }

    fn has_room(&self, config: &EngineConfig, budget: &Budget) -> bool {
        let share = config.payload_memory / 8;
        self.queue.len() < self.queue_max(config)
            && self.bytes < share
            && budget.allows(self.takes_much())
    }

    /// Says whether it shares half of the memory with all others that hold much, or may hold it
    /// for long.
    pub(crate) const fn takes_much(&self) -> bool {
        self.bytes > MUCH || self.pace.is_doubtful()
    }

    /// A slow destination's deliveries wait in the store, where they cost no memory.
    fn queue_max(&self, config: &EngineConfig) -> usize {
        if self.pace.is_open() {
            1
        } else if self.pace.is_slow() {
            usize::from(self.pace.window()) * 2
        } else {
            config.lane_queue_max.min(self.queue_max_by_rate())
        }
    }

    /// What is sent in two seconds at the most.
    fn queue_max_by_rate(&self) -> usize {
        let destination = &self.destination;
        let rates = [destination.throttle_rate, destination.application_rate];
        let least = rates.into_iter().flatten().min();
        least.map_or(usize::MAX, |rate| usize::from(rate.max(1)) * 2)
    }

    /// Takes a delivery straight from intake, or leaves it to the store.
    pub(crate) fn arrive(&mut self, job: Job, commit: u64, config: &EngineConfig, budget: &Budget) {
        if self.destination.gone {
            return; // The store knows: it reads as canceled.
        }
        // What may be canceled, and what is held back, is the store's to know.
        if self.destination.paused || Some(job.key()) <= self.destination.canceled_through {
            self.leave(commit);
            return;
        }
        if let Some(claim) = self.claim.filter(|claim| claim.after.is_none()) {
            // The claim may or may not have seen this commit: decide when its answer is here.
            if self.arrivals.len() < usize::from(claim.room) && self.has_room(config, budget) {
                self.arrivals.push((job, commit));
                return;
            }
            self.leave(commit);
        } else if self.behind {
            self.leave(commit);
        } else if !self.is_known(&job, commit) {
            if self.has_room(config, budget) {
                self.push(job);
            } else {
                self.leave(commit);
            }
        }
    }

    /// Notes a commit whose delivery is in the store only.
    pub(crate) fn leave(&mut self, commit: u64) {
        self.fall_behind();
        self.dropped_commit = self.dropped_commit.max(commit);
    }

    /// Notes that the store has something due, as of this commit, that memory may not hold.
    pub(crate) fn wake(&mut self, commit: u64) {
        self.leave(commit);
        self.next_due = None;
    }

    /// What waits for a destination that is gone is canceled, so its lane has nothing to claim.
    fn fall_behind(&mut self) {
        self.behind = !self.destination.gone;
    }

    /// Makes the next claim one from the start, which alone finds what lies before the cursor.
    fn start_over(&mut self) {
        self.fall_behind();
        self.cursor = None;
        self.chain = None;
        self.broken = self.claim.is_some();
    }

    fn is_known(&self, job: &Job, commit: u64) -> bool {
        let key = job.key();
        commit <= self.covered
            || self.held.contains_key(&key)
            || (commit <= self.recorded_until && self.recorded.contains_key(&key))
    }

    fn push(&mut self, job: Job) {
        let held_back = self.suspects.contains(&(self.destination.key, job.key()));
        if held_back && job.trigger == Trigger::Scheduled {
            return;
        }
        let cost = job.envelope.cost();
        if self.held.insert(job.key(), cost).is_none() {
            self.held_bytes += cost;
            self.bytes += cost;
            self.queue.push_back(job);
        }
    }

    /// Begins a claim when one is due: the lane is behind and half empty. The caller sees to it
    /// that memory allows it.
    pub(crate) fn plan_claim(&mut self, config: &EngineConfig) -> Option<ClaimPlan> {
        let most = self.queue_max(config);
        let due = self.behind && self.claim.is_none() && self.queue.len() <= most / 2;
        if !due || self.destination.gone || self.destination.paused {
            return None;
        }
        // A claim from the start also reads what is held already, so it needs room for that.
        let (known, known_bytes) = if self.cursor.is_none() {
            (self.held.len(), self.held_bytes)
        } else {
            (0, 0)
        };
        let free = (most - self.queue.len()).min(usize::from(config.claim_room));
        let plan = ClaimPlan {
            after: self.cursor,
            room: u16::try_from(free + known).unwrap_or(u16::MAX),
            bytes: (config.payload_memory / 64).max(1) + known_bytes,
        };
        self.claim = Some(plan);
        self.recorded.clear();
        Some(plan)
    }

    /// Takes the answer to a claim. `commit` is the store's current commit number.
    pub(crate) fn claimed(
        &mut self,
        answer: Claimed,
        commit: u64,
        config: &EngineConfig,
        budget: &Arc<Budget>,
    ) {
        let Some(plan) = self.claim.take() else {
            return;
        };
        self.cursor = answer
            .deliveries
            .last()
            .map(|last| (last.due, last.message.key()));
        if plan.after.is_none() {
            self.chain = Some(answer.as_of);
        }
        if std::mem::take(&mut self.broken) {
            self.chain = None;
            self.cursor = None;
        }
        let all = self.take_claimed(answer.deliveries, plan.after, budget);
        self.next_due = earliest(self.next_due, answer.next_due);
        if all && !answer.more {
            self.cursor = None;
            if let Some(covered) = self.chain.take() {
                self.covered = covered;
                self.behind = self.dropped_commit > covered;
            }
        }
        self.recorded_until = commit;
        for (job, arrived) in std::mem::take(&mut self.arrivals) {
            if self.behind {
                self.leave(arrived);
            } else if !self.is_known(&job, arrived) {
                self.push(job);
            }
        }
        // The destination may have changed since the claim began.
        if self.destination.gone || self.destination.paused {
            self.shed(0);
        } else if self.pace.is_open() || self.pace.is_slow() {
            self.shed(self.queue_max(config));
        }
    }

    /// Takes what a claim found, as far as memory has room for it, but at least one: what was free
    /// when the claim began may have been taken by others meanwhile. Says whether that was all; if
    /// not, the next claim goes on where this one stopped.
    fn take_claimed(
        &mut self,
        found: Vec<DueDelivery>,
        after: Option<(Timestamp, MessageKey)>,
        budget: &Arc<Budget>,
    ) -> bool {
        let (mut last, mut took) = (after, false);
        for due in found {
            let at = (due.due, due.message.key());
            if self.is_in_hand(&due) {
                last = Some(at);
                continue;
            }
            if took && !budget.allows(false) {
                // Without a cursor the claims begin anew anyway.
                if self.cursor.is_some() {
                    self.cursor = last;
                }
                return false;
            }
            (last, took) = (Some(at), true);
            self.push(Job {
                envelope: budget.wrap(due.message, &due.payload, due.origin.as_ref()),
                first_due: due.first_due,
                attempts: due.attempts,
                scheduled_attempts: due.scheduled_attempts,
                trigger: due.trigger,
                ordered: due.ordered,
                damaged: due.damaged,
            });
        }
        true
    }

    /// Says whether a delivery that a claim found is in memory, or was until its outcome was
    /// recorded after the claim had begun.
    fn is_in_hand(&mut self, due: &DueDelivery) -> bool {
        let key = due.message.key();
        let manual = due.trigger == Trigger::Manual;
        if self.held.contains_key(&key) {
            if manual {
                self.resent.insert(key);
            }
            return true;
        }
        // With as many attempts as were recorded it is due again.
        let recorded = self.recorded.get(&key);
        let before = recorded.is_some_and(|number| due.attempts < *number);
        if before && manual {
            self.start_over();
        }
        before
    }

    /// Notes that a claim could not be made.
    pub(crate) fn claim_failed(&mut self) {
        self.claim = None;
        self.chain = None;
        self.cursor = None;
        self.broken = false;
        self.fall_behind();
        for (_, commit) in std::mem::take(&mut self.arrivals) {
            self.leave(commit);
        }
    }

    /// Takes the next job for an attempt.
    pub(crate) fn take(&mut self) -> Option<Job> {
        let job = self.queue.pop_front()?;
        self.bytes -= job.envelope.cost();
        Some(job)
    }

    /// Forgets a delivery, the outcome of whose attempt is durable.
    pub(crate) fn recorded(&mut self, key: MessageKey, number: AttemptNumber) {
        self.release(key);
        // What the last claim has seen beyond what it covers may not have arrived yet.
        let edge = self.covered < self.recorded_until && self.recorded.len() < RECORDED_MAX;
        if self.claim.is_some() || edge {
            self.recorded.insert(key, number);
        }
        if !self.resent.is_empty() && self.resent.remove(&key) {
            self.start_over();
        }
    }

    /// Leaves everything queued beyond `keep` to the store.
    pub(crate) fn shed(&mut self, keep: usize) {
        while self.queue.len() > keep {
            let Some(job) = self.queue.pop_back() else {
                break;
            };
            self.bytes -= job.envelope.cost();
            self.release(job.key());
            self.start_over();
        }
    }

    /// Forgets a job that was taken and is not sent.
    pub(crate) fn forget(&mut self, job: &Job) {
        self.release(job.key());
    }

    /// Drops what is queued of these messages: the store has canceled them.
    pub(crate) fn drop_queued(&mut self, messages: &HashSet<MessageKey>) {
        self.drop_where(|job| messages.contains(&job.key()));
    }

    /// Drops what is queued and was first due before a time: the store has given it up, or will
    /// hand it out again.
    pub(crate) fn give_up(&mut self, first_due_before: Timestamp) {
        self.drop_where(|job| job.first_due < first_due_before);
    }

    fn drop_where(&mut self, unwanted: impl Fn(&Job) -> bool) {
        let queue = std::mem::take(&mut self.queue);
        for job in queue {
            if unwanted(&job) {
                self.bytes -= job.envelope.cost();
                self.release(job.key());
            } else {
                self.queue.push_back(job);
            }
        }
        self.arrivals.retain(|(job, _)| !unwanted(job));
    }

    fn release(&mut self, key: MessageKey) {
        self.held_bytes -= self.held.remove(&key).unwrap_or_default();
    }

    /// Adopts changed settings, which the store has had since this commit or an earlier one.
    pub(crate) fn adopt(
        &mut self,
        destination: Arc<Destination>,
        commit: u64,
        config: &EngineConfig,
    ) {
        match (&mut self.rate, destination.throttle_rate) {
            (Some(rate), Some(per_second)) => rate.set(per_second),
            (rate, given) => *rate = given.map(Rate::new),
        }
        self.pace.limit(destination.concurrency(config));
        let canceled = destination.canceled_through != self.destination.canceled_through;
        if destination.gone || destination.paused || canceled {
            self.shed(0);
        }
        let changed = destination.version != self.destination.version;
        self.destination = destination;
        if self.destination.gone {
            self.behind = false;
            self.next_due = None;
        } else if changed {
            // Claims may have been told otherwise, and arrivals turned away, by what was before.
            self.leave(commit);
        }
    }
}

/// Returns the earlier of two times that may be unknown.
pub(crate) fn earliest<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
