//! Every loop: intake, lanes, sender, recorder, scheduler, pruner.
//!
//! A publish goes through the door of intake, is stored in a batch, and only then answered. Its
//! deliveries go to their lanes in memory; a lane starts attempts at its destination's pace; what
//! they lead to is recorded in batches, which ride along with intake's commits. Whatever memory
//! does not hold, the scheduler claims from the store when it is due.
//!
//! Invariants:
//! - A caller hears success only after the commit that holds message and deliveries.
//! - Memory is the mark: nothing in the store says that a delivery is in someone's hands.
//! - A delivery is in one lane at most once, from claim or arrival until its outcome is durable.
//! - One destination fills its own lane and nobody else's.
//! - When the store cannot record, nothing new is sent.
#![warn(missing_docs)]

mod behind;
mod config;
mod connections;
mod destination;
mod dispatch;
mod expunge;
mod failing;
mod fan_out;
mod forward;
mod give_up;
mod gone;
mod in_hand;
mod intake;
mod jobs;
mod lane;
mod lanes;
mod listeners;
mod memory;
mod metrics;
mod operations;
mod pace;
mod patterns;
mod pruner;
mod publish;
mod recorder;
mod retry_after;
mod ring;
mod routing;
mod scheduler;
mod sender;
mod shared;
mod sign;
mod skew;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};
use std::time::Duration;

use domain::{ApplicationKey, EndpointKey, MessageKey, Timestamp};
use prometheus_client::registry::Registry;
use store::Receipt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use config::EngineConfig;
pub use forward::ForwardLimits;
pub use in_hand::{InHand, Suspects};
pub use listeners::Listener;
pub use publish::{MessageDraft, PublishAnswer, PublishError, PublishRequest, Published};
pub use shared::Dependencies;

use intake::{Door, Waiting};
use shared::{Notice, Shared};

/// The handle of the running engine; a clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    door: Arc<Door>,
}

/// The engine's loops, to be run on the runtimes of the caller's choice.
///
/// Intake and delivery on separate single-threaded runtimes beat one shared runtime.
pub struct Loops {
    shared: Arc<Shared>,
    /// Of the engine's handles, which may all be dropped before the loops end.
    door: Weak<Door>,
    waiting: mpsc::Receiver<Waiting>,
    notices: mpsc::Receiver<Notice>,
    stop: CancellationToken,
    finished: CancellationToken,
}

/// Stops the engine.
#[derive(Clone)]
pub struct Stop {
    shared: Arc<Shared>,
    stop: CancellationToken,
    finished: CancellationToken,
}

/// What the engine can say of its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The disk is full: publishing is refused and delivery waits.
    pub full: bool,
}

impl Engine {
    /// Becomes the owner of all shards, and makes the engine and its loops.
    pub async fn open(
        config: EngineConfig,
        dependencies: Dependencies,
    ) -> Result<(Self, Loops), store::Error> {
        const NOTICES: usize = 1_024;
        let owned = dependencies
            .store
            .take_shards(dependencies.clock.now())
            .await?;
        let (sender, notices) = mpsc::channel(NOTICES);
        dependencies.store.announce(config.operations.is_some());
        let shared = Arc::new(Shared::new(config, dependencies, owned, sender));
        let (door, waiting) = Door::new(&shared);
        let door = Arc::new(door);
        let loops = Loops {
            door: Arc::downgrade(&door),
            shared: Arc::clone(&shared),
            waiting,
            notices,
            stop: CancellationToken::new(),
            finished: CancellationToken::new(),
        };
        Ok((Self { shared, door }, loops))
    }

    /// Publishes; returns once the messages and their deliveries are durable.
    pub async fn publish(&self, request: PublishRequest) -> Result<PublishAnswer, PublishError> {
        let answer = self.door.publish(&self.shared, request).await;
        if let Err(error) = &answer {
            self.shared.refused(error);
        }
        answer
    }

    /// Stores what a source received; returns once the request, its messages and their deliveries
    /// are durable.
    pub async fn receive(&self, request: PublishRequest) -> Result<Receipt, PublishError> {
        let receipt = self.door.receive(&self.shared, request).await;
        if let Err(error) = &receipt {
            self.shared.refused(error);
        }
        receipt
    }

    /// Tells the engine that an endpoint (or the whole application, with `None`) was changed,
    /// created or deleted in the store. Call it after every such write, before answering.
    pub fn changed(&self, application: ApplicationKey, endpoint: Option<EndpointKey>) {
        self.shared.routing.forget(application);
        self.shared.announced.notify_one();
        self.tell(Notice::Changed(application, endpoint));
    }

    /// Tells the engine that a delivery of this destination became due (a resend).
    pub fn delivery_due(&self, endpoint: EndpointKey) {
        self.tell(Notice::Due(endpoint, self.shared.store.commit_number()));
    }

    /// Hears of an application's messages when they are durable, from now on.
    pub fn listen(&self, application: ApplicationKey) -> Listener {
        self.shared.listeners.listen(application)
    }

    /// Tells the engine that a job was created, resumed or changed otherwise.
    pub fn jobs_changed(&self) {
        self.shared.jobs_changed.notify_one();
    }

    /// Tells the engine that the payload of a message was erased: no further attempt begins.
    pub fn expunged(&self, message: MessageKey) {
        expunge::forget(&self.shared, vec![message]);
    }

    fn tell(&self, notice: Notice) {
        if let Err(mpsc::error::TrySendError::Full(notice)) = self.shared.notices.try_send(notice) {
            let notices = self.shared.notices.clone();
            tokio::spawn(async move {
                let _ = notices.send(notice).await;
            });
        }
    }

    /// Returns what the engine can say of its health.
    pub fn health(&self) -> Health {
        Health {
            full: self.shared.is_full(),
        }
    }

    /// Returns the time that due times are set by and compared with.
    pub fn schedule_now(&self) -> Timestamp {
        self.shared.schedule_now()
    }

    /// Says whether an attempt of this delivery is under way: sent, and its outcome not durable.
    ///
    /// This is what the state `sending` is derived from; the store never knows it.
    pub fn in_flight(&self, message: MessageKey, endpoint: EndpointKey) -> bool {
        self.shared.lanes().is_in_flight(endpoint, message)
    }

    /// Returns the messages that are [in flight](Self::in_flight) to an endpoint: as many as it
    /// has attempts at once, and those whose outcomes wait for the next commit.
    pub fn in_flight_to(&self, endpoint: EndpointKey) -> Vec<MessageKey> {
        self.shared.lanes().in_flight_of(endpoint)
    }

    /// Returns the payload bytes held in memory, with their overhead.
    pub fn payload_memory(&self) -> usize {
        self.shared.budget.used()
    }

    /// Makes the engine start nothing more, as if the process had ended.
    #[cfg(test)]
    pub(crate) fn halt(&self) {
        self.shared.lanes().stopping = true;
    }

    /// Adds the engine's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    /// Brings the gauges up to date; call it before the registry is read.
    pub fn refresh_metrics(&self) {
        self.shared.refresh_gauges();
    }
}

impl Loops {
    /// Returns what stops the loops.
    pub fn stop(&self) -> Stop {
        Stop {
            shared: Arc::clone(&self.shared),
            stop: self.stop.clone(),
            finished: self.finished.clone(),
        }
    }

    /// Splits into intake and delivery, each a future that runs until it is stopped.
    pub fn split(
        self,
    ) -> (
        impl Future<Output = ()> + Send + 'static,
        impl Future<Output = ()> + Send + 'static,
    ) {
        let Self {
            shared,
            door,
            waiting,
            notices,
            stop,
            finished,
        } = self;
        let intake = intake::run(Arc::clone(&shared), waiting);
        let delivery = async move {
            // Dropped, and so ended, when the recorder has nothing left to do.
            let _others = [
                AbortOnDropHandle::new(tokio::spawn(dispatch::run(Arc::clone(&shared), notices))),
                AbortOnDropHandle::new(tokio::spawn(scheduler::run(
                    Arc::clone(&shared),
                    stop.clone(),
                ))),
                AbortOnDropHandle::new(tokio::spawn(give_up::run(
                    Arc::clone(&shared),
                    stop.clone(),
                ))),
                AbortOnDropHandle::new(tokio::spawn(jobs::run(Arc::clone(&shared), stop.clone()))),
                AbortOnDropHandle::new(tokio::spawn(failing::run(
                    Arc::clone(&shared),
                    stop.clone(),
                ))),
                AbortOnDropHandle::new(tokio::spawn(operations::run(
                    Arc::clone(&shared),
                    door,
                    stop.clone(),
                ))),
                AbortOnDropHandle::new(tokio::spawn(pruner::run(
                    Arc::clone(&shared),
                    stop.clone(),
                ))),
                AbortOnDropHandle::new(tokio::spawn(pruner::watch_disk(
                    Arc::clone(&shared),
                    stop.clone(),
                ))),
                AbortOnDropHandle::new(tokio::spawn(fan_out::resume(Arc::clone(&shared)))),
            ];
            recorder::run(shared, finished).await;
        };
        (intake, delivery)
    }
}

impl Stop {
    /// Starts nothing new, lets attempts in flight end and be recorded, and returns when that is
    /// done or `deadline` has passed. What is still in flight then is sent again after a restart.
    ///
    /// Returns how many attempts were left in flight, or have ended and could not be recorded.
    pub async fn stop(&self, deadline: Duration) -> usize {
        const LOOK: Duration = Duration::from_millis(10);
        self.shared.lanes().stopping = true;
        self.stop.cancel();
        let end = tokio::time::Instant::now() + deadline;
        let left = loop {
            let (in_flight, unrecorded) = self.shared.lanes().in_hand();
            if in_flight + unrecorded == 0 || tokio::time::Instant::now() >= end {
                break in_flight + unrecorded;
            }
            tokio::time::sleep(LOOK).await;
        };
        self.finished.cancel();
        left
    }
}
