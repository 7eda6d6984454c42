//! All lanes, and which of them may start an attempt. Pure state: the loops around it do the I/O.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use domain::{ApplicationKey, AttemptNumber, EndpointKey, MessageKey, Timestamp};
use store::{AfterAttempt, AttemptRecord, Claimed};

use crate::EngineConfig;
use crate::behind::{Behind, Room};
use crate::destination::Destination;
use crate::lane::{ClaimPlan, Job, Lane, Line, earliest};
use crate::memory::Budget;
use crate::pace::{Health, Permit, Rate};
use crate::ring::Ring;

/// An attempt to make.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) destination: Arc<Destination>,
    pub(crate) job: Job,
    /// It counts among the doubtful ones until it ends.
    pub(crate) doubtful: bool,
}

/// An attempt that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) record: AttemptRecord,
    pub(crate) health: Health,
    /// What its start said.
    pub(crate) doubtful: bool,
}

/// An attempt whose outcome is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) endpoint: EndpointKey,
    pub(crate) message: MessageKey,
    pub(crate) number: AttemptNumber,
    pub(crate) then: AfterAttempt,
}

/// A claim to make.
#[derive(Debug)]
pub(crate) struct Claiming {
    pub(crate) destination: Arc<Destination>,
    pub(crate) plan: ClaimPlan,
}

/// Every lane, and the order of their turns.
#[derive(Debug)]
pub(crate) struct Lanes {
    config: Arc<EngineConfig>,
    budget: Arc<Budget>,
    lanes: HashMap<EndpointKey, Lane>,
    /// Settings that changed while there was no lane: what makes one may have read older ones.
    changed: HashMap<EndpointKey, Arc<Destination>>,
    /// Destinations with work later on, of which nothing else is in memory.
    dormant: HashMap<EndpointKey, Timestamp>,
    application_rates: HashMap<ApplicationKey, Rate>,
    ring: Ring,
    /// Lanes whose attempts may well run out of time; they share half of all attempts.
    doubtful_ring: Ring,
    /// Lanes that may start an attempt at a known time, on the monotonic clock.
    wakes: BTreeSet<(Duration, EndpointKey)>,
    /// Applications whose rate lets the next of their lanes start at a known time.
    rests: BTreeSet<(Duration, ApplicationKey)>,
    /// Destinations with something due in the store at a known time, on the schedule clock.
    dues: BTreeSet<(Timestamp, EndpointKey)>,
    /// The times that the scheduler was told last.
    told: (Option<Duration>, Option<Timestamp>),
    /// Lanes that may want to claim.
    behind: Behind,
    claims: usize,
    in_flight: usize,
    doubtful_in_flight: usize,
    /// Ended, not yet handed to the recorder.
    ended: Vec<AttemptRecord>,
    /// Ended, not yet durable; those handed to the recorder included.
    unrecorded: usize,
    /// Messages whose payloads were erased just now; what still brings them in is not sent.
    expunged: HashSet<MessageKey>,
    /// The store cannot record: nothing new is sent.
    pub(crate) blocked: bool,
    /// The engine is stopping: nothing new is sent.
    pub(crate) stopping: bool,
}

impl Lanes {
    pub(crate) fn new(config: Arc<EngineConfig>, budget: Arc<Budget>) -> Self {
        Self {
            config,
            budget,
            lanes: HashMap::new(),
            changed: HashMap::new(),
            dormant: HashMap::new(),
            application_rates: HashMap::new(),
            ring: Ring::default(),
            doubtful_ring: Ring::default(),
            wakes: BTreeSet::new(),
            rests: BTreeSet::new(),
            dues: BTreeSet::new(),
            told: (None, None),
            behind: Behind::new(),
            claims: 0,
            in_flight: 0,
            doubtful_in_flight: 0,
            ended: Vec::new(),
            unrecorded: 0,
            expunged: HashSet::new(),
            blocked: false,
            stopping: false,
        }
    }

    // ---- What comes in --------------------------------------------------------------------

    /// Takes a delivery straight from intake.
    pub(crate) fn arrive(
        &mut self,
        destination: &Arc<Destination>,
        job: Option<Job>,
        commit: u64,
        now: Duration,
    ) {
        let (config, budget) = (Arc::clone(&self.config), Arc::clone(&self.budget));
        let lane = self.lane(destination, now);
        if lane.destination.version < destination.version {
            lane.adopt(Arc::clone(destination), commit, &config);
        }
        match job {
            Some(job) => lane.arrive(job, commit, &config, &budget),
            None => lane.leave(commit),
        }
        self.consider(destination.key, now);
    }

    /// Makes the lane of a destination that has something due in the store.
    pub(crate) fn wake(&mut self, destination: &Arc<Destination>, commit: u64, now: Duration) {
        self.lane(destination, now).wake(commit);
        self.consider(destination.key, now);
    }

    /// Notes work that is due later; its lane need not exist until then.
    pub(crate) fn due_later(&mut self, key: EndpointKey, due: Timestamp) {
        let known = self.lanes.get(&key).map(|lane| lane.next_due);
        let before = known.unwrap_or_else(|| self.dormant.get(&key).copied());
        let first = earliest(before, Some(due)).unwrap_or(due);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.next_due = Some(first);
        } else {
            self.dormant.insert(key, first);
        }
        if before.is_none_or(|before| due < before) {
            if let Some(before) = before {
                self.dues.remove(&(before, key));
            }
            self.dues.insert((due, key));
        }
    }

    /// Takes the destinations that became due. Those in memory are woken; the others are
    /// returned, to be read from the store and woken then. `commit` is the store's current one.
    pub(crate) fn take_due(
        &mut self,
        schedule: Timestamp,
        commit: u64,
        now: Duration,
    ) -> Vec<EndpointKey> {
        let mut unknown = Vec::new();
        while let Some(&(due, key)) = self.dues.first().filter(|(due, _)| *due <= schedule) {
            self.dues.remove(&(due, key));
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.wake(commit);
                self.consider(key, now);
            } else if self.dormant.remove(&key).is_some() {
                unknown.push(key);
            }
        }
        unknown
    }

    /// Says whether a destination needs no look at the store: its lane knows of its leftovers,
    /// and gets another look here.
    pub(crate) fn knows(&mut self, key: EndpointKey, now: Duration) -> bool {
        let lane = self.lanes.get(&key);
        let knows = lane.is_some_and(|lane| lane.is_behind() || lane.is_claiming());
        self.consider(key, now);
        knows
    }

    /// Returns a destination's settings, if its lane is in memory.
    pub(crate) fn destination(&self, key: EndpointKey) -> Option<Arc<Destination>> {
        self.lanes
            .get(&key)
            .map(|lane| Arc::clone(&lane.destination))
    }

    /// Returns the destinations in memory that a change of an application touches.
    pub(crate) fn of_application(&self, application: ApplicationKey) -> Vec<EndpointKey> {
        self.lanes
            .values()
            .filter(|lane| lane.destination.application == application)
            .map(|lane| lane.destination.key)
            .collect()
    }

    /// Adopts changed settings of a destination, as of this commit or an earlier one.
    pub(crate) fn adopt(&mut self, destination: Destination, commit: u64, now: Duration) {
        const CHANGED_MAX: usize = 1_024;
        let (key, destination) = (destination.key, Arc::new(destination));
        let Some(lane) = self.lanes.get(&key) else {
            if self.changed.len() >= CHANGED_MAX {
                self.changed.clear();
            }
            self.changed.insert(key, destination);
            return;
        };
        if lane.destination.version > destination.version {
            return;
        }
        self.limit_application(&destination);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.adopt(destination, commit, &self.config);
        }
        self.consider(key, now);
    }

    /// Sets, changes or lifts the rate limit of a destination's whole application.
    fn limit_application(&mut self, destination: &Destination) {
        let application = destination.application;
        match destination.application_rate {
            None => {
                self.application_rates.remove(&application);
            }
            Some(rate) => {
                let known = self.application_rates.entry(application);
                known.or_insert_with(|| Rate::new(rate)).set(rate);
            }
        }
    }

    fn lane(&mut self, destination: &Arc<Destination>, now: Duration) -> &mut Lane {
        let key = destination.key;
        if !self.lanes.contains_key(&key) {
            let newer = self.changed.remove(&key);
            let newer = newer.filter(|changed| changed.version > destination.version);
            let destination = newer.unwrap_or_else(|| Arc::clone(destination));
            self.limit_application(&destination);
            let mut lane = Lane::new(destination, &self.config, now);
            lane.next_due = self.dormant.remove(&key);
            self.lanes.insert(key, lane);
        }
        let lane = self.lanes.get_mut(&key).expect("it was made just now");
        lane.touched = now;
        lane
    }

    // ---- What goes out --------------------------------------------------------------------

    /// Says whether one more attempt may be in flight at all.
    fn has_room(&self) -> bool {
        !self.blocked
            && !self.stopping
            && self.in_flight + self.unrecorded < self.config.in_flight_max
    }

    /// At least one attempt, or nothing would ever be known of a new destination.
    fn doubtful_has_room(&self) -> bool {
        self.doubtful_in_flight < self.config.in_flight_max.div_ceil(2)
    }

    fn permit(&self, lane: &Lane, now: Duration) -> Permit {
        let permit = lane.pace.permit(&self.config, lane.in_flight, now);
        match lane.rate.as_ref().map(Rate::ready_at) {
            Some(at) if permit == Permit::Yes && at > now => Permit::At(at),
            _ => permit,
        }
    }

    /// Returns when the rate of an application allows the next attempt, if that is later.
    fn rests_until(&self, application: ApplicationKey, now: Duration) -> Option<Duration> {
        let at = self.application_rates.get(&application)?.ready_at();
        (at > now).then_some(at)
    }

    /// Puts a lane where its state says: in a ring, among the wakes, among those behind.
    fn consider(&mut self, key: EndpointKey, now: Duration) {
        let Some(lane) = self.lanes.get(&key) else {
            return;
        };
        if lane.is_behind() {
            self.behind.insert(key, lane.takes_much());
        }
        if let Some(due) = lane.next_due {
            self.dues.insert((due, key));
        }
        let destination = &lane.destination;
        let line = if lane.pace.is_doubtful() {
            Line::Doubtful
        } else {
            Line::Proven
        };
        // One that has proven itself while it stood among the doubtful ones changes the line.
        let stands = lane.line == Some(line) || lane.line == Some(Line::Proven);
        if stands || lane.queued() == 0 || destination.paused || destination.gone {
            return;
        }
        match self.permit(lane, now) {
            Permit::WhenOneEnds => {}
            Permit::At(at) => {
                self.wakes.insert((at, key));
            }
            Permit::Yes => {
                let ring = match line {
                    Line::Doubtful => &mut self.doubtful_ring,
                    Line::Proven => &mut self.ring,
                };
                ring.push(destination.application, key);
                let lane = self.lanes.get_mut(&key);
                lane.expect("it was there just now").line = Some(line);
            }
        }
    }

    /// Looks again at lanes whose time to start an attempt has come.
    pub(crate) fn take_wakes(&mut self, now: Duration) {
        while let Some(&(at, key)) = self.wakes.first().filter(|(at, _)| *at <= now) {
            self.wakes.remove(&(at, key));
            self.consider(key, now);
        }
        while let Some(&(at, application)) = self.rests.first().filter(|(at, _)| *at <= now) {
            self.rests.remove(&(at, application));
            self.ring.resume(application);
            self.doubtful_ring.resume(application);
        }
    }

    /// Returns the attempts that may start now, in fair order.
    pub(crate) fn starts(&mut self, now: Duration) -> Vec<Start> {
        let mut starts = Vec::new();
        while self.has_room() {
            let Some((key, line)) = self.next_in_line(now) else {
                break;
            };
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            if lane.line != Some(line) {
                continue; // It stands in the other line by now, or has had its turn there.
            }
            lane.line = None;
            let doubtful = lane.pace.is_doubtful();
            if !doubtful || self.doubtful_has_room() {
                starts.extend(self.start(key, now));
            }
            self.consider(key, now);
        }
        starts
    }

    /// Takes the lane whose turn it is, passing by applications that must rest.
    fn next_in_line(&mut self, now: Duration) -> Option<(EndpointKey, Line)> {
        loop {
            let line = if self.doubtful_has_room() && !self.doubtful_ring.is_empty() {
                Line::Doubtful
            } else {
                Line::Proven
            };
            let ring = match line {
                Line::Doubtful => &self.doubtful_ring,
                Line::Proven => &self.ring,
            };
            let application = ring.next_application()?;
            let rest = self.rests_until(application, now);
            let ring = match line {
                Line::Doubtful => &mut self.doubtful_ring,
                Line::Proven => &mut self.ring,
            };
            match rest {
                None => return ring.pop().map(|key| (key, line)),
                Some(at) => {
                    ring.rest();
                    self.rests.insert((at, application));
                }
            }
        }
    }

    fn start(&mut self, key: EndpointKey, now: Duration) -> Option<Start> {
        let lane = self.lanes.get(&key)?;
        let destination = &lane.destination;
        if destination.gone || destination.paused || self.permit(lane, now) != Permit::Yes {
            return None;
        }
        if self.rests_until(destination.application, now).is_some() {
            return None;
        }
        let lane = self.lanes.get_mut(&key)?;
        let mut job = lane.take()?;
        while !self.expunged.is_empty() && self.expunged.contains(&job.key()) {
            lane.forget(&job);
            job = lane.take()?;
        }
        lane.in_flight += 1;
        lane.touched = now;
        lane.pace.started(&self.config, now);
        if let Some(rate) = &mut lane.rate {
            rate.take(now);
        }
        if let Some(rate) = self
            .application_rates
            .get_mut(&lane.destination.application)
        {
            rate.take(now);
        }
        self.in_flight += 1;
        let doubtful = lane.pace.is_doubtful();
        self.doubtful_in_flight += usize::from(doubtful);
        if lane.is_behind() {
            self.behind.insert(key, lane.takes_much());
        }
        Some(Start {
            destination: Arc::clone(&lane.destination),
            job,
            doubtful,
        })
    }

    /// Takes an attempt that ended, and returns the next one for the same connection, if it is
    /// this lane's turn.
    pub(crate) fn end(&mut self, ended: Ended, now: Duration) -> Option<Start> {
        let key = ended.record.endpoint;
        self.in_flight -= 1;
        self.unrecorded += 1;
        self.doubtful_in_flight -= usize::from(ended.doubtful);
        let took = ended.record.duration;
        self.ended.push(ended.record);
        let lane = self.lanes.get_mut(&key)?;
        lane.in_flight -= 1;
        let opened = lane.pace.ended(&self.config, ended.health, took, now);
        if opened {
            lane.shed(1);
        } else if lane.pace.is_slow() {
            lane.shed(usize::from(lane.pace.window()) * 2);
        }
        let doubtful = lane.pace.is_doubtful();
        let doubtful_room = self.doubtful_has_room();
        let others_wait =
            !self.ring.is_empty() || (doubtful_room && !self.doubtful_ring.is_empty());
        let start = if others_wait || !self.has_room() || (doubtful && !doubtful_room) {
            None
        } else {
            self.start(key, now)
        };
        if start.is_none() {
            self.consider(key, now);
        }
        start
    }

    /// Returns the claims that should be made now.
    ///
    /// A lane that is behind and gets none (a full queue, a claim under way) is considered again
    /// by whatever changes that. When memory is used up, they stay in line.
    pub(crate) fn claims(&mut self) -> Vec<Claiming> {
        let mut claims = Vec::new();
        while self.claims < self.config.claims_max && !self.stopping && !self.blocked {
            let room = Room {
                little: self.budget.allows(false),
                much: self.budget.allows(true),
            };
            let Some(key) = self.behind.next(room) else {
                break;
            };
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            if lane.takes_much() && !room.much {
                self.behind.insert(key, true);
                continue;
            }
            if let Some(plan) = lane.plan_claim(&self.config) {
                self.claims += 1;
                claims.push(Claiming {
                    destination: Arc::clone(&lane.destination),
                    plan,
                });
            }
        }
        claims
    }

    /// Takes the answer to a claim, or `None` when it could not be made.
    pub(crate) fn claimed(
        &mut self,
        key: EndpointKey,
        answer: Option<Claimed>,
        commit: u64,
        now: Duration,
    ) {
        self.claims -= 1;
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        match answer {
            Some(answer) => lane.claimed(answer, commit, &self.config, &self.budget),
            None => lane.claim_failed(),
        }
        self.consider(key, now);
    }

    // ---- Erased payloads ------------------------------------------------------------------

    /// Drops what is queued of these messages, and what may still come of them for a while.
    pub(crate) fn expunge(&mut self, messages: &[MessageKey], now: Duration) {
        self.expunged.extend(messages);
        self.drop_expunged();
        let keys: Vec<_> = self.lanes.keys().copied().collect();
        for key in keys {
            self.consider(key, now);
        }
    }

    /// Ends the while: whatever was on its way has arrived.
    pub(crate) fn expunged(&mut self, messages: &[MessageKey]) {
        self.drop_expunged();
        for message in messages {
            self.expunged.remove(message);
        }
    }

    fn drop_expunged(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.drop_queued(&self.expunged);
        }
    }

    // ---- Recording ------------------------------------------------------------------------

    /// Returns how many outcomes wait to be recorded.
    pub(crate) fn ended_count(&self) -> usize {
        self.ended.len()
    }

    /// Takes outcomes for the recorder.
    pub(crate) fn take_ended(&mut self, most: usize) -> Vec<AttemptRecord> {
        if self.ended.len() <= most {
            return std::mem::take(&mut self.ended);
        }
        let rest = self.ended.split_off(most);
        std::mem::replace(&mut self.ended, rest)
    }

    /// Forgets a delivery, the outcome of whose attempt is durable.
    pub(crate) fn recorded(&mut self, settled: Settled, now: Duration) {
        let key = settled.endpoint;
        self.unrecorded -= 1;
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.recorded(settled.message, settled.number);
        }
        if let AfterAttempt::RetryAt(due) = settled.then {
            self.due_later(key, due);
        }
        self.consider(key, now);
    }

    /// Gives up an outcome that cannot be recorded. Its lane holds the delivery for ever.
    pub(crate) const fn abandoned(&mut self) {
        self.unrecorded -= 1;
    }

    /// Notes that a delivery which waited in line became due in the store, as of this commit.
    pub(crate) fn promoted(
        &mut self,
        key: EndpointKey,
        commit: u64,
        due: Timestamp,
        now: Duration,
    ) {
        match self.lanes.get_mut(&key) {
            Some(lane) => lane.wake(commit),
            None => self.due_later(key, due),
        }
        self.consider(key, now);
    }

    /// Notes that the store has given up deliveries first due before a time, as of this commit;
    /// what waited in line behind them may be due now.
    pub(crate) fn gave_up(
        &mut self,
        key: EndpointKey,
        first_due_before: Timestamp,
        commit: u64,
        now: Duration,
    ) {
        match self.lanes.get_mut(&key) {
            Some(lane) => {
                lane.give_up(first_due_before);
                lane.wake(commit);
            }
            None => self.due_later(key, first_due_before),
        }
        self.consider(key, now);
    }

    // ---- Housekeeping ---------------------------------------------------------------------

    /// Forgets lanes that have had nothing to do for `idle`.
    pub(crate) fn forget_idle(&mut self, idle: Duration, now: Duration) {
        let Self { lanes, dormant, .. } = self;
        lanes.retain(|key, lane| {
            let forget = lane.is_idle() && !lane.pace.is_open() && now >= lane.touched + idle;
            if let Some(due) = lane.next_due.filter(|_| forget) {
                dormant.insert(*key, due);
            }
            !forget
        });
    }

    /// Returns the times of the next wake and the next due delivery.
    pub(crate) fn next_times(&self) -> (Option<Duration>, Option<Timestamp>) {
        let wake = self.wakes.first().map(|(at, _)| *at);
        let rest = self.rests.first().map(|(at, _)| *at);
        let due = self.dues.first().map(|(due, _)| *due);
        (earliest(wake, rest), due)
    }

    /// Says whether the scheduler must look again: one of its times is sooner than it was told.
    pub(crate) fn times_moved(&mut self) -> bool {
        let times = self.next_times();
        let told = std::mem::replace(&mut self.told, times);
        is_sooner(times.0, told.0) || is_sooner(times.1, told.1)
    }

    /// Returns how many attempts are in flight, and how many outcomes are not durable yet.
    pub(crate) const fn in_hand(&self) -> (usize, usize) {
        (self.in_flight, self.unrecorded)
    }

    /// Says whether an attempt of a delivery is under way, or its outcome is not durable yet.
    pub(crate) fn is_in_flight(&self, endpoint: EndpointKey, message: MessageKey) -> bool {
        let lane = self.lanes.get(&endpoint);
        lane.is_some_and(|lane| lane.is_in_flight(message))
    }

    /// Returns the messages of a destination of which [`Self::is_in_flight`] is true.
    pub(crate) fn in_flight_of(&self, endpoint: EndpointKey) -> Vec<MessageKey> {
        let lane = self.lanes.get(&endpoint);
        lane.map(Lane::in_flight).unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn wake_count(&self) -> usize {
        self.wakes.len()
    }

    /// Returns the destinations whose breaker is open, in the order of their keys: what follows
    /// from it is the same whenever the same has happened.
    pub(crate) fn unavailable(&self) -> Vec<Arc<Destination>> {
        let open = self.lanes.values().filter(|lane| lane.pace.is_open());
        let mut open: Vec<_> = open.map(|lane| Arc::clone(&lane.destination)).collect();
        open.sort_unstable_by_key(|destination| destination.key);
        open
    }

    /// Returns how many lanes exist, how many are behind, and how many have an open breaker.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let behind = self.lanes.values().filter(|lane| lane.is_behind()).count();
        let open = self
            .lanes
            .values()
            .filter(|lane| lane.pace.is_open())
            .count();
        (self.lanes.len(), behind, open)
    }
}

fn is_sooner<T: Ord>(time: Option<T>, told: Option<T>) -> bool {
    time.is_some_and(|time| told.is_none_or(|told| time < told))
}
