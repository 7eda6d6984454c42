//! The world of one seed: who publishes, what breaks, and when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain::{
    ApplicationId, EndpointId, EventType, OrderingKey, OrganizationId, OrganizationKey,
    RetryPolicy, RetrySchedule, SourceId, Subscription, TargetUrl, Timestamp, Tuning,
};
use engine::{Dependencies, Engine, EngineConfig, MessageDraft, PublishError, PublishRequest};
use env::testing::{SeededEntropy, TokioClock};
use env::{Clock as _, Entropy as _, Ids};
use store::intercept::Intercepted;
use store::{
    Application, ApplicationRef, Endpoint, EndpointChange, EndpointRef, Idempotency,
    IdempotencyKind, NewApplication, NewEndpoint, OnEventId, Payload, Sealed, Source, Store,
};
use store_sqlite::{Options, SqliteStore};
use tokio::task::JoinHandle;
use vault::{Binding, MasterKey, Vault};

use crate::Run;
use crate::gate::{Disk, Gate};
use crate::life::{Fuse, Life};
use crate::network::{Mood, Network, Receivers};
use crate::provider;
use crate::witness::{Bounds, SECRET, Witness};

/// How often something happens in the first phase.
const STEPS: usize = 60;
/// Endpoints that must get everything.
const HEALTHY: usize = 4;
/// One that never accepts anything, and gives up soon.
pub(crate) const DOOMED: &str = "https://receiver.example/doomed";
/// Attempts that it gets.
pub(crate) const DOOMED_ATTEMPTS: usize = 3;
/// How far the wall clock is moved in one step at the most, in milliseconds.
const CLOCK_STEP: u64 = 3 * 60 * 1_000;
/// In the second phase, everything must have come to its end by then.
const LIVENESS: Duration = Duration::from_mins(15);
/// What a message takes of the memory for payloads at the most.
const ENVELOPE: usize = 1_024;
/// How long a publisher waits before it asks again.
pub(crate) const AGAIN: Duration = Duration::from_millis(300);

/// What publishers know.
#[derive(Default)]
pub(crate) struct Ledger {
    /// The id that was answered for each body.
    pub(crate) accepted: BTreeMap<Bytes, String>,
    /// The bodies of publishes with an ordering key.
    pub(crate) lines: Vec<Vec<Bytes>>,
    /// What must never be delivered: repeats of a request, with other bytes.
    pub(crate) never: Vec<Bytes>,
    /// Publishes and requests that have no answer yet.
    pub(crate) open: usize,
}

pub(crate) struct World {
    pub(crate) run: Run,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) witness: Arc<Witness>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) deaths: usize,
    receivers: Arc<Receivers>,
    disk: Arc<Disk>,
    pub(crate) clock: Arc<TokioClock>,
    chance: SeededEntropy,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) ids: Arc<Ids>,
    vault: Arc<Vault>,
    organization: OrganizationKey,
    application: Application,
    pub(crate) source: Source,
    config: EngineConfig,
    pub(crate) current: Arc<Mutex<Arc<Life>>>,
    tasks: Vec<JoinHandle<()>>,
    /// The wall clock less the true time, in microseconds: now, and at the most so far.
    clock_off: (i64, i64),
    pub(crate) next_body: u64,
}

pub(crate) fn healthy() -> impl Iterator<Item = String> {
    (0..HEALTHY).map(|number| format!("https://receiver.example/{number}"))
}

fn schedule(waits: impl IntoIterator<Item = u64>) -> RetrySchedule {
    let waits = waits.into_iter().map(Duration::from_secs).collect();
    RetrySchedule::new(waits).expect("at most 50 waits, of minutes")
}

/// Small queues, so that they overflow; many attempts, so that none of the healthy ones gives up.
fn config() -> EngineConfig {
    let quick = (0..15).map(|number| number % 5);
    EngineConfig {
        lane_queue_max: 8,
        claim_room: 6,
        payload_memory: 16 * 1024,
        in_flight_max: 24,
        retry: RetryPolicy {
            schedule: schedule(quick.chain(std::iter::repeat_n(120, 35))),
            ..RetryPolicy::default()
        },
        ..EngineConfig::default()
    }
}

impl World {
    pub(crate) async fn new(run: Run) -> Self {
        let store = SqliteStore::open(Options::memory()).expect("memory can be opened");
        let store: Arc<dyn Store> = Arc::new(store);
        let config = config();
        let witness = Witness::new(Bounds {
            in_flight: config.in_flight_max,
            of_one: usize::from(config.concurrency_max),
            // Whoever takes a message asks before whether there is room: one of intake's and one
            // of each claim under way can each be the one that goes beyond.
            payload_memory: config.payload_memory + (1 + config.claims_max) * ENVELOPE,
        });
        let clock = Arc::new(TokioClock::new());
        let entropy = Arc::new(SeededEntropy::new(run.seed));
        let ids = Arc::new(Ids::default());
        let (organization, application) = tenant(&*store, &clock, &ids, &entropy).await;
        let id = SourceId::from_bits(ids.next(clock.now(), &*entropy));
        let source = provider::source(&*store, &application, id, &clock).await;
        let mut world = Self {
            run,
            store,
            witness,
            ledger: Arc::default(),
            endpoints: Vec::new(),
            deaths: 0,
            receivers: Arc::new(Receivers::new(run.seed)),
            disk: Arc::new(Disk::new(run.seed)),
            clock,
            chance: SeededEntropy::new(run.seed ^ 0x0063_6861_6e63_6500),
            entropy,
            ids,
            vault: Arc::new(Vault::new(MasterKey::from_random([7; 32]), Vec::new())),
            organization,
            application,
            source,
            config,
            current: Arc::new(Mutex::new(Arc::new(Life::new(0)))),
            tasks: Vec::new(),
            clock_off: (0, 0),
            next_body: 0,
        };
        for url in healthy() {
            world.endpoint(&url, Tuning::default()).await;
        }
        let soon = Tuning {
            retry_schedule: Some(schedule([0, 1, 2])),
            ..Tuning::default()
        };
        world.endpoint(DOOMED, soon).await;
        world.receivers.set(DOOMED, Mood::Status(500));
        world.start().await;
        world
    }

    async fn endpoint(&mut self, url: &str, tuning: Tuning) {
        let now = self.clock.now();
        let id = EndpointId::from_bits(self.ids.next(now, &*self.entropy));
        let binding = Binding::endpoint_secret(id);
        let new = NewEndpoint {
            application: self.application.key,
            id,
            uid: None,
            url: TargetUrl::parse(url).expect("it is a URL"),
            description: String::new(),
            disabled: None,
            subscription: Subscription::default(),
            throttle_rate: None,
            tuning,
            metadata: BTreeMap::new(),
            headers: None,
            secret: Sealed(self.vault.seal(SECRET.as_bytes(), &binding, [3; 12])),
            endpoints_max: 1_000,
            now,
            idempotency: None,
        };
        let created = self.store.create_endpoint(new).await;
        let endpoint = created.expect("nothing is in its way").into_inner();
        self.witness.endpoint(url, endpoint.key);
        self.endpoints.push(endpoint);
    }

    fn life(&self) -> Arc<Life> {
        now(&self.current)
    }

    /// Starts a process, after whatever the last one left behind.
    async fn start(&mut self) {
        let last = self.life();
        let life = Arc::new(Life::new(last.number + 1));
        let gate = Gate {
            life: Arc::clone(&life),
            disk: Arc::clone(&self.disk),
            witness: Arc::clone(&self.witness),
            canary: self.run.canary,
        };
        let network = Network {
            life: Arc::clone(&life),
            receivers: Arc::clone(&self.receivers),
            witness: Arc::clone(&self.witness),
        };
        let dependencies = Dependencies {
            store: Arc::new(Intercepted::new(Arc::clone(&self.store), gate)),
            egress: Arc::new(network),
            vault: Arc::clone(&self.vault),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            ids: Arc::clone(&self.ids),
            in_hand: None,
        };
        let opened = Engine::open(self.config.clone(), dependencies).await;
        let (engine, loops) = opened.expect("taking over is never refused here");
        life.has(engine);
        let (intake, delivery) = loops.split();
        self.tasks
            .extend([tokio::spawn(intake), tokio::spawn(delivery)]);
        *self.current.lock().expect("no panic while it is held") = life;
        last.succeed();
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.chance.next_u64() % bound
    }

    fn one_of_healthy(&self) -> usize {
        usize::try_from(self.below(HEALTHY as u64)).expect("it is small")
    }

    /// The first phase.
    pub(crate) async fn break_things(&mut self) {
        for _ in 0..STEPS {
            self.act().await;
            let time = Duration::from_millis(self.below(2_000));
            tokio::time::sleep(time).await;
            if self.life().is_dead() {
                self.deaths += 1;
                self.start().await;
            }
        }
    }

    async fn act(&mut self) {
        match self.below(20) {
            0 => self.light(Fuse::Before(self.writes())),
            1 => self.light(Fuse::After(self.writes())),
            2 => {
                self.witness.note("dies");
                self.life().die();
            }
            3..6 => {
                let url = self.endpoints[self.one_of_healthy()]
                    .url
                    .as_str()
                    .to_owned();
                let mood = match self.below(3) {
                    0 => Mood::Fickle,
                    _ => Receivers::drawn(self.below(1 << 32)),
                };
                self.witness.note(&format!("{url} is {mood:?}"));
                self.receivers.set(&url, mood);
            }
            6 => {
                let full = self.below(2) == 0;
                self.witness.note(&format!("the disk is full: {full}"));
                self.disk.set_full(full);
            }
            7 => self.disk.set_delay(Duration::from_millis(self.below(150))),
            8 => self.step_clock(),
            9 => self.tune().await,
            10..13 => self.receive(),
            _ => self.publish(),
        }
    }

    fn writes(&self) -> i64 {
        i64::try_from(self.below(8)).expect("it is small")
    }

    fn light(&self, fuse: Fuse) {
        let lingers = self.below(2) == 0;
        self.witness
            .note(&format!("{fuse:?} is lit, lingers: {lingers}"));
        self.life().light(fuse, lingers);
    }

    fn step_clock(&mut self) {
        let forward = self.below(2) == 0;
        let millis = self.below(CLOCK_STEP);
        let micros = i64::try_from(millis * 1_000).expect("it is minutes");
        let micros = if forward { micros } else { -micros };
        self.witness
            .note(&format!("the wall clock steps by {micros} us"));
        self.clock.step(micros);
        self.clock_off.0 += micros;
        self.clock_off.1 = self.clock_off.1.max(self.clock_off.0);
    }

    /// Changes an endpoint while deliveries to it are under way.
    async fn tune(&mut self) {
        let endpoint = self.one_of_healthy();
        let (paused, rate) = match self.below(4) {
            0 => (Some(true), None),
            1 => (Some(false), None),
            2 => (None, Some(3)),
            _ => (None, Some(50)),
        };
        self.change(endpoint, paused, rate).await;
    }

    async fn change(&self, index: usize, paused: Option<bool>, rate: Option<u16>) {
        let endpoint = &self.endpoints[index];
        self.witness.note(&format!(
            "{}: paused {paused:?}, rate {rate:?}",
            endpoint.url.as_str()
        ));
        let change = EndpointChange {
            paused,
            throttle_rate: Some(rate),
            now: self.clock.now(),
            ..EndpointChange::default()
        };
        let reference = EndpointRef::Id(endpoint.id);
        self.store
            .update_endpoint(endpoint.application, &reference, change)
            .await
            .expect("it exists");
        if let Some(engine) = self.life().engine() {
            engine.changed(endpoint.application, Some(endpoint.key));
        }
    }

    fn publish(&mut self) {
        let count = 1 + self.below(12);
        let padding = "x".repeat(usize::try_from(self.below(300)).expect("it is small"));
        let numbers = self.next_body..self.next_body + count;
        self.next_body += count;
        let bodies: Vec<_> = numbers
            .map(|number| Bytes::from(format!(r#"{{"n":{number},"p":"{padding}"}}"#)))
            .collect();
        let in_line = self.below(5) == 0;
        let late = (self.below(10) == 0).then(|| Duration::from_secs(self.below(60)));
        let key = (self.below(2) == 0).then(|| self.next_body.to_le_bytes());
        let request = self.request(&bodies, in_line, late, key);
        if in_line && late.is_none() {
            self.ledger().lines.push(bodies.clone());
        }
        self.witness.note(&format!(
            "publishes {count}, in line: {in_line}, key: {}",
            key.is_some()
        ));
        self.ledger().open += 1;
        let (current, ledger) = (Arc::clone(&self.current), Arc::clone(&self.ledger));
        let witness = Arc::clone(&self.witness);
        tokio::spawn(async move {
            publish(request, bodies, &current, &ledger, &witness).await;
            ledger.lock().expect("no panic while it is held").open -= 1;
        });
    }

    pub(crate) fn request(
        &self,
        bodies: &[Bytes],
        in_line: bool,
        late: Option<Duration>,
        key: Option<[u8; 8]>,
    ) -> PublishRequest {
        let line = in_line.then(|| OrderingKey::parse(&format!("line-{}", self.next_body % 3)));
        let line = line.transpose().expect("it is well-formed");
        let draft = |body: &Bytes| MessageDraft {
            event_type: EventType::parse("content.published").expect("it is well-formed"),
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            deliver_at: late.map(|wait| self.clock.now().plus(wait)),
            ordering_key: line.clone(),
            retention: None,
            payload: Payload {
                bytes: body.clone(),
                content_type: None,
            },
        };
        PublishRequest {
            endpoint: None,
            organization: self.organization,
            only: None,
            application: ApplicationRef::Id(self.application.id),
            messages: bodies.iter().map(draft).collect(),
            on_event_id: OnEventId::Refuse,
            reception: None,
            idempotency: key.map(|key| {
                let mut hash = [0; 16];
                hash[..8].copy_from_slice(&key);
                Idempotency {
                    kind: IdempotencyKind::Chosen,
                    key: hash,
                    fingerprint: hash,
                }
            }),
        }
    }

    pub(crate) fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no panic while it is held")
    }

    /// The second phase: nothing is wrong any more, and everything comes to its end in time.
    pub(crate) async fn heal(&mut self) {
        self.witness.note("all is healed");
        self.disk.set_full(false);
        self.disk.set_delay(Duration::ZERO);
        self.clock.step(self.clock_off.1 - self.clock_off.0);
        for index in 0..HEALTHY {
            let url = self.endpoints[index].url.as_str().to_owned();
            self.receivers.set(&url, Mood::Well);
            self.change(index, Some(false), None).await;
        }
        let life = self.life();
        // A fuse that still burns would break what is healed.
        life.light(Fuse::Before(i64::MAX), false);
        if life.is_dead() {
            self.deaths += 1;
            self.start().await;
        }
        let end = tokio::time::Instant::now() + LIVENESS;
        while !self.is_at_rest().await {
            if tokio::time::Instant::now() >= end {
                return self
                    .witness
                    .object("not at rest 15 minutes after all was healed");
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }

    async fn is_at_rest(&self) -> bool {
        if self.ledger().open > 0 {
            return false;
        }
        let due = self.store.destinations_due(None, 1).await;
        due.expect("it can be read").is_empty()
    }

    /// Ends the process, and says what came of it all.
    pub(crate) fn end(&mut self) {
        self.life().die();
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }

    pub(crate) fn payload_memory(&self) -> usize {
        self.life().engine().map_or(0, Engine::payload_memory)
    }
}

pub(crate) fn now(current: &Mutex<Arc<Life>>) -> Arc<Life> {
    Arc::clone(&current.lock().expect("no panic while it is held"))
}

async fn tenant(
    store: &dyn Store,
    clock: &TokioClock,
    ids: &Ids,
    entropy: &SeededEntropy,
) -> (OrganizationKey, Application) {
    let now: Timestamp = clock.now();
    let organization = store
        .ensure_organization(OrganizationId::from_bits(ids.next(now, entropy)), now)
        .await
        .expect("nothing is in its way");
    let new = NewApplication {
        organization,
        id: ApplicationId::from_bits(ids.next(now, entropy)),
        uid: None,
        name: "simulated".to_owned(),
        throttle_rate: None,
        metadata: BTreeMap::new(),
        applications_max: u64::MAX,
        now,
        idempotency: None,
    };
    let created = store.create_application(new).await;
    let application = created.expect("nothing is in its way").into_inner();
    (organization, application)
}

/// Publishes until there is an answer. Without an idempotency key, one whose answer was lost with
/// the process is not tried again: nobody knows what became of it.
async fn publish(
    request: PublishRequest,
    bodies: Vec<Bytes>,
    current: &Mutex<Arc<Life>>,
    ledger: &Mutex<Ledger>,
    witness: &Witness,
) {
    loop {
        let life = now(current);
        let Some(engine) = life.engine().filter(|_| !life.is_dead()) else {
            life.succession().await;
            continue;
        };
        let answer = tokio::select! {
            biased;
            () = life.death() => None,
            answer = engine.publish(request.clone()) => Some(answer),
        };
        match answer {
            Some(Ok(answer)) => {
                let mut ledger = ledger.lock().expect("no panic while it is held");
                for (body, message) in bodies.into_iter().zip(answer.messages) {
                    ledger.accepted.insert(body, message.id.to_string());
                }
                return witness.note("a publish is accepted");
            }
            Some(Err(PublishError::Busy | PublishError::Full)) => {
                tokio::time::sleep(AGAIN).await;
            }
            Some(Err(error)) => return witness.object(&format!("a publish was refused: {error}")),
            None if request.idempotency.is_none() => {
                return witness.note("the answer to a publish is lost");
            }
            None => {}
        }
    }
}
