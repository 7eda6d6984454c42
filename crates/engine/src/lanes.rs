//! All lanes, and which of them may start an attempt. Pure state: the loops around it do the I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::{ApplicationKey, EndpointKey, MessageKey, Timestamp};
use store::{AfterAttempt, AttemptRecord, Claimed};

use crate::EngineConfig;
use crate::destination::Destination;
use crate::lane::{ClaimPlan, Job, Lane, earliest};
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
    /// Destinations with work later on, of which nothing else is in memory.
    dormant: HashMap<EndpointKey, Timestamp>,
    application_rates: HashMap<ApplicationKey, Rate>,
    ring: Ring,
    /// Lanes whose attempts may well run out of time; they share half of all attempts.
    doubtful_ring: Ring,
    /// Lanes that may start an attempt at a known time, on the monotonic clock.
    wakes: BTreeSet<(Duration, EndpointKey)>,
    /// Destinations with something due in the store at a known time, on the schedule clock.
    dues: BTreeSet<(Timestamp, EndpointKey)>,
    /// Lanes that may want to claim.
    behind: BTreeSet<EndpointKey>,
    claims: usize,
    in_flight: usize,
    doubtful_in_flight: usize,
    /// Ended, not yet handed to the recorder.
    ended: Vec<AttemptRecord>,
    /// Ended, not yet durable; those handed to the recorder included.
    unrecorded: usize,
    /// When to look again for what has waited too long, on the monotonic clock.
    next_give_up: Duration,
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
            dormant: HashMap::new(),
            application_rates: HashMap::new(),
            ring: Ring::default(),
            doubtful_ring: Ring::default(),
            wakes: BTreeSet::new(),
            dues: BTreeSet::new(),
            behind: BTreeSet::new(),
            claims: 0,
            in_flight: 0,
            doubtful_in_flight: 0,
            ended: Vec::new(),
            unrecorded: 0,
            next_give_up: Duration::ZERO,
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
        match job {
            Some(job) => lane.arrive(job, commit, &config, &budget),
            None => lane.leave(commit),
        }
        self.consider(destination.key, now);
    }

    /// Makes the lane of a destination that has something due in the store.
    pub(crate) fn wake(&mut self, destination: &Arc<Destination>, commit: u64, now: Duration) {
        let lane = self.lane(destination, now);
        lane.wake();
        lane.leave(commit);
        self.consider(destination.key, now);
    }

    /// Notes work that is due later; its lane need not exist until then.
    pub(crate) fn due_later(&mut self, key: EndpointKey, due: Timestamp) {
        let before = match self.lanes.get_mut(&key) {
            Some(lane) => lane
                .next_due
                .replace(earliest(lane.next_due, Some(due)).unwrap_or(due)),
            None => {
                let before = self.dormant.get(&key).copied();
                self.dormant
                    .insert(key, earliest(before, Some(due)).unwrap_or(due));
                before
            }
        };
        if before.is_none_or(|before| due < before) {
            if let Some(before) = before {
                self.dues.remove(&(before, key));
            }
            self.dues.insert((due, key));
        }
    }

    /// Takes the destinations that became due. Those in memory are woken; the others are
    /// returned, to be read from the store and woken then.
    pub(crate) fn take_due(&mut self, schedule: Timestamp, now: Duration) -> Vec<EndpointKey> {
        let mut unknown = Vec::new();
        while let Some(&(due, key)) = self.dues.first().filter(|(due, _)| *due <= schedule) {
            self.dues.remove(&(due, key));
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.wake();
                self.consider(key, now);
            } else if self.dormant.remove(&key).is_some() {
                unknown.push(key);
            }
        }
        unknown
    }

    /// Says whether a destination needs no look at the store: its lane knows of its leftovers.
    pub(crate) fn knows(&self, key: EndpointKey) -> bool {
        self.lanes
            .get(&key)
            .is_some_and(|lane| lane.is_behind() || lane.is_claiming())
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

    /// Adopts changed settings of a destination that is in memory.
    pub(crate) fn adopt(&mut self, destination: Destination, now: Duration) {
        let key = destination.key;
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        if lane.destination.version > destination.version {
            return;
        }
        self.limit_application(&destination);
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        let held_back = lane.destination.paused && !destination.paused;
        lane.adopt(Arc::new(destination));
        if held_back {
            lane.wake();
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
                let known = self
                    .application_rates
                    .get(&application)
                    .map(Rate::per_second);
                if known != Some(rate) {
                    self.application_rates.insert(application, Rate::new(rate));
                }
            }
        }
    }

    fn lane(&mut self, destination: &Arc<Destination>, now: Duration) -> &mut Lane {
        let key = destination.key;
        if !self.lanes.contains_key(&key) {
            self.limit_application(destination);
        }
        let lane = self.lanes.entry(key).or_insert_with(|| {
            let mut lane = Lane::new(Arc::clone(destination), &self.config, now);
            lane.next_due = self.dormant.remove(&key);
            lane
        });
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

    fn doubtful_has_room(&self) -> bool {
        self.doubtful_in_flight < self.config.in_flight_max / 2
    }

    fn permit(&self, lane: &Lane, now: Duration) -> Permit {
        let permit = lane.pace.permit(&self.config, lane.in_flight, now);
        if permit != Permit::Yes {
            return permit;
        }
        let application = self.application_rates.get(&lane.destination.application);
        let ready = [lane.rate.as_ref(), application]
            .into_iter()
            .flatten()
            .map(Rate::ready_at);
        match ready.max() {
            Some(at) if at > now => Permit::At(at),
            _ => Permit::Yes,
        }
    }

    /// Puts a lane where its state says: in the ring, among the wakes, among those behind.
    fn consider(&mut self, key: EndpointKey, now: Duration) {
        let Some(lane) = self.lanes.get(&key) else {
            return;
        };
        if lane.is_behind() {
            self.behind.insert(key);
        }
        if let Some(due) = lane.next_due {
            self.dues.insert((due, key));
        }
        let (destination, doubtful) = (&lane.destination, lane.pace.is_doubtful());
        if lane.ringed || lane.queued() == 0 || destination.paused || destination.gone {
            return;
        }
        match self.permit(lane, now) {
            Permit::WhenOneEnds => {}
            Permit::At(at) => {
                self.wakes.insert((at, key));
            }
            Permit::Yes => {
                let ring = if doubtful {
                    &mut self.doubtful_ring
                } else {
                    &mut self.ring
                };
                ring.push(destination.application, key);
                self.lanes
                    .get_mut(&key)
                    .expect("it was there just now")
                    .ringed = true;
            }
        }
    }

    /// Looks again at lanes whose time to start an attempt has come.
    pub(crate) fn take_wakes(&mut self, now: Duration) {
        while let Some(&(at, key)) = self.wakes.first().filter(|(at, _)| *at <= now) {
            self.wakes.remove(&(at, key));
            self.consider(key, now);
        }
    }

    /// Returns the attempts that may start now, in fair order.
    pub(crate) fn starts(&mut self, now: Duration) -> Vec<Start> {
        let mut starts = Vec::new();
        while self.has_room() {
            let doubtful = self
                .doubtful_has_room()
                .then(|| self.doubtful_ring.pop())
                .flatten();
            let Some(key) = doubtful.or_else(|| self.ring.pop()) else {
                break;
            };
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.ringed = false;
            }
            if let Some(start) = self.start(key, now) {
                starts.push(start);
            }
            self.consider(key, now);
        }
        starts
    }

    fn start(&mut self, key: EndpointKey, now: Duration) -> Option<Start> {
        let lane = self.lanes.get(&key)?;
        if lane.destination.gone || lane.destination.paused || self.permit(lane, now) != Permit::Yes
        {
            return None;
        }
        let lane = self.lanes.get_mut(&key)?;
        let job = lane.take()?;
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
            self.behind.insert(key);
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
        let others_wait = !self.ring.is_empty() || !self.doubtful_ring.is_empty();
        let start = if others_wait || !self.has_room() {
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
    /// by whatever changes that. Only when memory is used up do all of them stay in line.
    pub(crate) fn claims(&mut self) -> Vec<Claiming> {
        let mut claims = Vec::new();
        while self.claims < self.config.claims_max
            && !self.stopping
            && !self.blocked
            && self.budget.allows(0)
        {
            let Some(key) = self.behind.pop_first() else {
                break;
            };
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            if let Some(plan) = lane.plan_claim(&self.config, &self.budget) {
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
            Some(answer) => lane.claimed(answer, commit, &self.budget),
            None => lane.claim_failed(),
        }
        self.consider(key, now);
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

    /// Forgets a delivery whose outcome is durable.
    pub(crate) fn recorded(
        &mut self,
        key: EndpointKey,
        message: MessageKey,
        then: AfterAttempt,
        now: Duration,
    ) {
        self.unrecorded -= 1;
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.recorded(message);
        }
        if let AfterAttempt::RetryAt(due) = then {
            self.due_later(key, due);
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
        (wake, self.dues.first().map(|(due, _)| *due))
    }

    /// Returns how many attempts are in flight, and how many outcomes are not durable yet.
    pub(crate) const fn in_hand(&self) -> (usize, usize) {
        (self.in_flight, self.unrecorded)
    }

    /// Returns destinations whose breaker is open, each once per probe interval: what has waited
    /// too long for them is given up.
    pub(crate) fn unavailable(&mut self, now: Duration) -> Vec<Arc<Destination>> {
        let mut unavailable = Vec::new();
        if now < self.next_give_up {
            return unavailable;
        }
        self.next_give_up = now + self.config.breaker_probe;
        let open = self.lanes.values().filter(|lane| lane.pace.is_open());
        unavailable.extend(open.map(|lane| Arc::clone(&lane.destination)));
        unavailable
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
