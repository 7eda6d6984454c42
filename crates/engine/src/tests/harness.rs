//! A world for the engine: store in memory, scripted receivers, a clock that tests advance.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain::{
    ApplicationId, EndpointId, ErrorClass, EventType, MessageId, OrganizationId, OrganizationKey,
    Phases, Subscription, TargetUrl, Timestamp,
};
use env::testing::{SeededEntropy, TokioClock};
use env::{
    Clock as _, Connection, Egress, EgressError, Entropy as _, Ids, OutboundRequest,
    OutboundResponse, ResponseLimits,
};
use store::{
    Application, ApplicationRef, Endpoint, NewApplication, NewEndpoint, OnEventId, Payload, Sealed,
    Store,
};
use store_sqlite::{Options, SqliteStore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vault::{Binding, MasterKey, Vault};

use crate::{Dependencies, Engine, EngineConfig, MessageDraft, PublishRequest, Stop};

/// How a receiver answers one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    RetryAfter(u16, &'static str),
    /// After this time.
    Slow(Duration, u16),
    /// Never.
    Hang,
    Error(ErrorClass),
    Panic,
}

/// A request that a receiver got.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) url: String,
    pub(crate) id: String,
    pub(crate) timestamp: i64,
    pub(crate) signature: String,
    pub(crate) body: Bytes,
    pub(crate) content_type: String,
    /// Time since the world began.
    pub(crate) at: Duration,
}

#[derive(Default)]
struct Receivers {
    scripts: HashMap<String, VecDeque<Reply>>,
    otherwise: HashMap<String, Reply>,
    seen: Vec<Seen>,
    /// URL and message of each request that was answered 200, in the order of the answers.
    accepted: Vec<(String, String)>,
    in_flight: HashMap<String, usize>,
    most_in_flight: HashMap<String, usize>,
}

/// The network: every receiver answers by its script, then 200 unless told otherwise.
#[derive(Clone)]
pub(crate) struct Network {
    receivers: Arc<Mutex<Receivers>>,
    began: Instant,
}

impl Network {
    fn new() -> Self {
        Self {
            receivers: Arc::default(),
            began: Instant::now(),
        }
    }

    fn receivers(&self) -> std::sync::MutexGuard<'_, Receivers> {
        self.receivers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn script(&self, url: &str, replies: impl IntoIterator<Item = Reply>) {
        self.receivers()
            .scripts
            .entry(url.to_owned())
            .or_default()
            .extend(replies);
    }

    pub(crate) fn always(&self, url: &str, reply: Reply) {
        self.receivers().otherwise.insert(url.to_owned(), reply);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.receivers().seen.clone()
    }

    pub(crate) fn seen_by(&self, url: &str) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|seen| seen.url == url)
            .collect()
    }

    /// Returns the messages that a receiver accepted, in order.
    pub(crate) fn accepted_by(&self, url: &str) -> Vec<String> {
        let accepted = self.receivers().accepted.clone();
        let of = accepted.into_iter().filter(|(of, _)| of == url);
        of.map(|(_, id)| id).collect()
    }

    /// Returns how often each message was seen by a receiver.
    pub(crate) fn counts(&self, url: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for seen in self.seen_by(url) {
            *counts.entry(seen.id).or_default() += 1;
        }
        counts
    }

    pub(crate) fn most_in_flight(&self, url: &str) -> usize {
        self.receivers()
            .most_in_flight
            .get(url)
            .copied()
            .unwrap_or_default()
    }
}

/// Counts a request as in flight until it is dropped, however it ends.
struct InFlight(Network, String);

impl Drop for InFlight {
    fn drop(&mut self) {
        *self
            .0
            .receivers()
            .in_flight
            .entry(self.1.clone())
            .or_default() -= 1;
    }
}

#[async_trait::async_trait]
impl Egress for Network {
    async fn connect(
        &self,
        _: &Arc<TargetUrl>,
        _: Instant,
        _: &mut Phases,
    ) -> Result<Box<dyn Connection>, EgressError> {
        Ok(Box::new(Line(self.clone())))
    }
}

struct Line(Network);

#[async_trait::async_trait]
impl Connection for Line {
    fn is_usable(&mut self, _: Instant) -> bool {
        true
    }

    async fn send(
        &mut self,
        request: OutboundRequest,
        _: ResponseLimits,
        deadline: Instant,
        _: &mut Phases,
    ) -> Result<OutboundResponse, EgressError> {
        let url = request.target.as_str().to_owned();
        let (reply, _in_flight) = self.receive(&url, &request);
        let id = request.headers["webhook-id"]
            .to_str()
            .expect("it is ASCII")
            .to_owned();
        let answer = |status, retry_after: Option<&str>| {
            if status == 200 {
                let accepted = &mut self.0.receivers().accepted;
                accepted.push((url.clone(), id.clone()));
            }
            let retry_after = retry_after.map(str::to_owned);
            Ok(OutboundResponse {
                status,
                retry_after,
                date: None,
                body: Bytes::from_static(b"answer"),
            })
        };
        match reply {
            Reply::Status(status) => {
                tokio::task::yield_now().await;
                answer(status, None)
            }
            Reply::RetryAfter(status, text) => answer(status, Some(text)),
            Reply::Slow(wait, status) => {
                tokio::time::sleep(wait).await;
                answer(status, None)
            }
            Reply::Hang => {
                tokio::time::sleep_until(deadline).await;
                Err(error(ErrorClass::Timeout))
            }
            Reply::Error(class) => Err(error(class)),
            Reply::Panic => panic!("a receiver that makes the sender panic"),
        }
    }

    fn peer(&self) -> Option<std::net::SocketAddr> {
        None
    }
}

impl Line {
    fn receive(&self, url: &str, request: &OutboundRequest) -> (Reply, InFlight) {
        let header = |name: &str| {
            let value = request.headers.get(name).expect("every delivery has it");
            value.to_str().expect("it is ASCII").to_owned()
        };
        let seen = Seen {
            url: url.to_owned(),
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp").parse().expect("whole seconds"),
            signature: header("webhook-signature"),
            body: request.body.clone(),
            content_type: header("content-type"),
            at: self.0.began.elapsed(),
        };
        let mut receivers = self.0.receivers();
        receivers.seen.push(seen);
        let in_flight = receivers.in_flight.entry(url.to_owned()).or_default();
        *in_flight += 1;
        let now = *in_flight;
        let most = receivers.most_in_flight.entry(url.to_owned()).or_default();
        *most = now.max(*most);
        let scripted = receivers.scripts.get_mut(url).and_then(VecDeque::pop_front);
        let otherwise = receivers.otherwise.get(url).cloned();
        let reply = scripted.or(otherwise).unwrap_or(Reply::Status(200));
        (reply, InFlight(self.0.clone(), url.to_owned()))
    }
}

fn error(class: ErrorClass) -> EgressError {
    EgressError {
        class,
        detail: class.slug().to_owned(),
        wrote: true,
    }
}

/// The engine in its world.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) network: Network,
    pub(crate) clock: Arc<TokioClock>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) organization: OrganizationKey,
    pub(crate) application: Application,
    pub(crate) entropy: Arc<SeededEntropy>,
    ids: Arc<Ids>,
    pub(crate) config: EngineConfig,
    running: Option<Running>,
}

pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) stop: Stop,
    tasks: [JoinHandle<()>; 2],
}

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A store that runs on the calling thread, so that paused time holds still while it works.
pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(Options::memory()).expect("a store in memory"))
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(EngineConfig::default()).await
    }

    pub(crate) async fn with(config: EngineConfig) -> Self {
        let store: Arc<dyn Store> = memory();
        Self::over(store, config, 1).await
    }

    pub(crate) async fn over(store: Arc<dyn Store>, config: EngineConfig, seed: u64) -> Self {
        let clock = Arc::new(TokioClock::new());
        let entropy = Arc::new(SeededEntropy::new(seed));
        let ids = Arc::new(Ids::default());
        let now = clock.now();
        let organization = OrganizationId::from_bits(ids.next(now, &*entropy));
        let organization = store
            .ensure_organization(organization, now)
            .await
            .expect("stored");
        let new = NewApplication {
            organization,
            id: ApplicationId::from_bits(ids.next(now, &*entropy)),
            uid: None,
            name: "test".to_owned(),
            throttle_rate: None,
            metadata: BTreeMap::new(),
            applications_max: u64::MAX,
            now,
            idempotency: None,
        };
        let application = store
            .create_application(new)
            .await
            .expect("created")
            .into_inner();
        let vault = Arc::new(Vault::new(MasterKey::from_random([7; 32]), Vec::new()));
        let network = Network::new();
        let mut world = Self {
            store,
            network,
            clock,
            vault,
            organization,
            application,
            entropy,
            ids,
            config,
            running: None,
        };
        world.start().await;
        world
    }

    /// Starts an engine on the store as it is.
    pub(crate) async fn start(&mut self) {
        let dependencies = Dependencies {
            store: Arc::clone(&self.store),
            egress: Arc::new(self.network.clone()),
            vault: Arc::clone(&self.vault),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            ids: Arc::clone(&self.ids),
            in_hand: None,
        };
        let (engine, loops) = Engine::open(self.config.clone(), dependencies)
            .await
            .expect("opened");
        let stop = loops.stop();
        let (intake, delivery) = loops.split();
        let tasks = [tokio::spawn(intake), tokio::spawn(delivery)];
        self.running = Some(Running {
            engine,
            stop,
            tasks,
        });
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("an engine runs")
    }

    /// Ends the engine as a crash would: nothing of it goes on, nothing is tidied up.
    pub(crate) fn crash(&mut self) {
        let running = self.running.take().expect("an engine runs");
        running.engine.halt();
        for task in running.tasks {
            task.abort();
        }
    }

    /// Says whether the delivery loops have come to their end.
    pub(crate) fn delivery_has_ended(&self) -> bool {
        self.running().tasks[1].is_finished()
    }

    pub(crate) fn new_endpoint(&self, url: &str) -> NewEndpoint {
        let now = self.clock.now();
        let id = EndpointId::from_bits(self.ids.next(now, &*self.entropy));
        let sealed = self
            .vault
            .seal(SECRET.as_bytes(), &Binding::endpoint_secret(id), [3; 12]);
        NewEndpoint {
            application: self.application.key,
            id,
            uid: None,
            url: TargetUrl::parse(url).expect("a URL"),
            description: String::new(),
            disabled: None,
            subscription: Subscription::default(),
            throttle_rate: None,
            tuning: domain::Tuning::default(),
            metadata: BTreeMap::new(),
            headers: None,
            secret: Sealed(sealed),
            endpoints_max: 100_000,
            now,
            idempotency: None,
        }
    }

    pub(crate) async fn endpoint(&self, url: &str) -> Endpoint {
        self.create(self.new_endpoint(url)).await
    }

    pub(crate) async fn create(&self, new: NewEndpoint) -> Endpoint {
        let endpoint = self
            .store
            .create_endpoint(new)
            .await
            .expect("created")
            .into_inner();
        self.running()
            .engine
            .changed(endpoint.application, Some(endpoint.key));
        endpoint
    }

    pub(crate) fn request(&self, bodies: impl IntoIterator<Item = String>) -> PublishRequest {
        let draft = |body: String| MessageDraft {
            event_type: EventType::parse("content.published").expect("valid"),
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            deliver_at: None,
            ordering_key: None,
            retention: None,
            payload: Payload {
                bytes: Bytes::from(body),
                content_type: None,
            },
        };
        PublishRequest {
            endpoint: None,
            organization: self.organization,
            only: None,
            application: ApplicationRef::Id(self.application.id),
            messages: bodies.into_iter().map(draft).collect(),
            on_event_id: OnEventId::Refuse,
            idempotency: None,
            reception: None,
        }
    }

    pub(crate) async fn publish(&self, body: &str) -> MessageId {
        let request = self.request([body.to_owned()]);
        let answer = self
            .running()
            .engine
            .publish(request)
            .await
            .expect("published");
        answer.messages[0].id
    }

    pub(crate) async fn publish_many(&self, count: usize) -> Vec<MessageId> {
        let bodies = (0..count).map(|number| format!("{{\"number\":{number}}}"));
        let request = self.request(bodies);
        let answer = self
            .running()
            .engine
            .publish(request)
            .await
            .expect("published");
        answer
            .messages
            .into_iter()
            .map(|message| message.id)
            .collect()
    }

    /// Lets time pass; every timer on the way fires.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets everything happen that needs next to no time.
    pub(crate) async fn settle(&self) {
        self.pass(Duration::from_millis(100)).await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn random(&self, below: u64) -> u64 {
        self.entropy.next_u64() % below
    }
}
