//! What every loop of the engine works with.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use domain::{ApplicationKey, EndpointKey, Epoch, ShardId, Timestamp};
use env::{Clock, Egress, Entropy, Ids, ScheduleClock};
use store::Store;
use tokio::sync::{Notify, Semaphore, mpsc};
use vault::Vault;

use crate::EngineConfig;
use crate::connections::Connections;
use crate::in_hand::InHand;
use crate::intake::Committed;
use crate::lanes::Lanes;
use crate::listeners::Listeners;
use crate::memory::Budget;
use crate::metrics::Metrics;
use crate::routing::RoutingTable;
use crate::skew::Skew;

/// The world the engine lives in.
#[derive(Clone)]
pub struct Dependencies {
    /// What it keeps.
    pub store: Arc<dyn Store>,
    /// The way out.
    pub egress: Arc<dyn Egress>,
    /// Opens secrets.
    pub vault: Arc<Vault>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random numbers.
    pub entropy: Arc<dyn Entropy>,
    /// Makes ids.
    pub ids: Arc<Ids>,
    /// Told what is in hand, after an unclean start.
    pub in_hand: Option<Arc<dyn InHand>>,
}

/// What the lanes' loop is told.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Messages are durable, with their deliveries.
    Committed(Committed),
    /// Settings changed in the store.
    Changed(ApplicationKey, Option<EndpointKey>),
    /// A destination has something due, as of this commit.
    Due(EndpointKey, u64),
}

pub(crate) struct Shared {
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) egress: Arc<dyn Egress>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) in_hand: Option<Arc<dyn InHand>>,
    pub(crate) schedule: ScheduleClock,
    pub(crate) budget: Arc<Budget>,
    pub(crate) routing: RoutingTable,
    pub(crate) metrics: Metrics,
    /// What receivers say about the time.
    pub(crate) skew: Skew,
    pub(crate) connections: Connections,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) notices: mpsc::Sender<Notice>,
    lanes: Mutex<Lanes>,
    /// The epoch of each shard that this node owns.
    epochs: Vec<Epoch>,
    /// Outcomes wait to be recorded.
    pub(crate) ended: Notify,
    /// The times that the scheduler waits for may have moved forward.
    pub(crate) times_moved: Notify,
    /// Wide messages that may be expanded at once.
    pub(crate) fan_outs: Arc<Semaphore>,
    /// One more of them waits in the store.
    pub(crate) fan_outs_wait: Notify,
    /// There may be jobs to run.
    pub(crate) jobs_changed: Notify,
    /// There may be something to tell the operator.
    pub(crate) announced: Notify,
    /// The store refused a write for want of room.
    full: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        config: EngineConfig,
        dependencies: Dependencies,
        owned: Vec<(ShardId, Epoch)>,
        notices: mpsc::Sender<Notice>,
    ) -> Self {
        let config = Arc::new(config);
        let budget = Budget::new(config.payload_memory);
        let mut epochs = vec![Epoch::default(); usize::from(domain::SHARD_COUNT)];
        for (shard, epoch) in owned {
            epochs[usize::from(shard.number())] = epoch;
        }
        Self {
            skew: Skew::default(),
            schedule: ScheduleClock::start(&*dependencies.clock),
            lanes: Mutex::new(Lanes::new(Arc::clone(&config), Arc::clone(&budget))),
            routing: RoutingTable::default(),
            metrics: Metrics::default(),
            connections: Connections::new(&config),
            listeners: Arc::default(),
            config,
            budget,
            store: dependencies.store,
            egress: dependencies.egress,
            vault: dependencies.vault,
            clock: dependencies.clock,
            entropy: dependencies.entropy,
            ids: dependencies.ids,
            in_hand: dependencies.in_hand,
            notices,
            epochs,
            ended: Notify::new(),
            times_moved: Notify::new(),
            fan_outs: Arc::new(Semaphore::new(crate::fan_out::AT_ONCE)),
            fan_outs_wait: Notify::new(),
            jobs_changed: Notify::new(),
            announced: Notify::new(),
            full: AtomicBool::new(false),
        }
    }

    pub(crate) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes
            .lock()
            .expect("no code panics while it holds the lanes")
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock that due times are compared with.
    pub(crate) fn schedule_now(&self) -> Timestamp {
        self.schedule.now(&*self.clock)
    }

    /// Monotonic time, for paces and rates.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(crate) fn epoch(&self, shard: ShardId) -> Epoch {
        self.epochs[usize::from(shard.number())]
    }

    /// Notes whether the store takes writes. While it does not, nothing new is sent: an attempt
    /// that cannot be recorded would be made again and again.
    pub(crate) fn set_full(&self, full: bool) {
        {
            // Under the lock, or two threads with different news could leave the two apart.
            let mut lanes = self.lanes();
            if lanes.blocked == full {
                return;
            }
            lanes.blocked = full;
            self.full.store(full, Ordering::Relaxed);
        }
        if full {
            tracing::error!("The disk is full: publishing is refused and delivery waits");
        } else {
            tracing::info!("The disk has room again: publishing and delivery go on");
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}
