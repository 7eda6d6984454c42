//! The way of one process into the store: where it is slow, full, cut off, or lied to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Epoch, ShardId, Timestamp};
use env::Entropy as _;
use env::testing::SeededEntropy;
use store::intercept::Interceptor;
use store::{
    AfterAttempt, Appended, AttemptRecord, Claim, Claimed, Error, Publish, Recorded, Store,
};

use crate::Canary;
use crate::life::Life;
use crate::witness::Witness;

/// What is the matter with the disk; shared by all lives.
pub(crate) struct Disk {
    full: AtomicBool,
    /// The longest wait of a call, in microseconds.
    delay: AtomicU64,
    entropy: SeededEntropy,
    /// The newest epoch, for the canary that hands it to everybody.
    epochs: Mutex<Vec<(ShardId, Epoch)>>,
    /// Calls of the kinds that canaries count.
    counted: AtomicU64,
}

impl Disk {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            full: AtomicBool::new(false),
            delay: AtomicU64::new(0),
            entropy: SeededEntropy::new(seed ^ 0x6469_736b),
            epochs: Mutex::default(),
            counted: AtomicU64::new(0),
        }
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    pub(crate) fn set_delay(&self, most: Duration) {
        let micros = u64::try_from(most.as_micros()).expect("a delay is short");
        self.delay.store(micros, Ordering::Relaxed);
    }

    async fn dawdle(&self) {
        let most = self.delay.load(Ordering::Relaxed);
        if most > 0 {
            let micros = self.entropy.next_u64() % most;
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
    }

    /// Says of every `nth` call that it is one.
    fn every(&self, nth: u64) -> bool {
        self.counted.fetch_add(1, Ordering::Relaxed) % nth == nth - 1
    }
}

/// One process's way into the store.
pub(crate) struct Gate {
    pub(crate) life: Arc<Life>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) witness: Arc<Witness>,
    pub(crate) canary: Option<Canary>,
}

#[async_trait]
impl Interceptor for Gate {
    async fn before(&self, method: &'static str, writes: bool) -> Result<(), Error> {
        if self.life.is_dead() {
            std::future::pending::<()>().await;
        }
        self.disk.dawdle().await;
        if is_step(method) && !self.life.is_dead() && self.life.begins_write() {
            self.witness.note(&format!("dies before {method}"));
        }
        if self.life.is_dead() {
            self.life.linger().await;
            self.witness
                .note(&format!("{method} of {} comes late", self.life.number));
        }
        if writes && method != "take_shards" && self.disk.full.load(Ordering::Relaxed) {
            return Err(Error::Full);
        }
        Ok(())
    }

    async fn after(&self, method: &'static str) {
        self.disk.dawdle().await;
        if is_step(method) && !self.life.is_dead() && self.life.ends_write() {
            self.witness.note(&format!("dies after {method}"));
        }
        if self.life.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    async fn append(&self, inner: &dyn Store, mut batch: Vec<Publish>) -> Result<Appended, Error> {
        if self.canary == Some(Canary::LostDelivery) && self.disk.every(3) {
            let first = batch.first_mut().and_then(|one| one.messages.first_mut());
            first.map(|message| message.destinations.pop());
        }
        if self.canary == Some(Canary::ForgottenMark) {
            let receptions = batch.iter_mut().filter_map(|one| one.reception.as_mut());
            receptions.for_each(|reception| reception.marks.fill(None));
        }
        self.witness.note(&format!("append {}", batch.len()));
        inner.append(batch).await
    }

    async fn record(
        &self,
        inner: &dyn Store,
        mut batch: Vec<AttemptRecord>,
    ) -> Result<Vec<Recorded>, Error> {
        let asked = batch.clone();
        self.plant(&mut batch);
        let answers = if self.canary == Some(Canary::ForgottenSuccess) && self.disk.every(3) {
            batch.retain(|record| record.then != AfterAttempt::Success);
            inner.record(batch).await?;
            vec![Recorded::Stored; asked.len()]
        } else {
            inner.record(batch).await?
        };
        for (record, answer) in asked.iter().zip(&answers) {
            self.witness.recorded(&self.life, record, *answer);
        }
        Ok(answers)
    }

    async fn claim(&self, inner: &dyn Store, claim: Claim) -> Result<Claimed, Error> {
        let mut claimed = inner.claim(claim).await?;
        if self.canary == Some(Canary::ChangedByte)
            && let Some(delivery) = claimed.deliveries.first_mut()
        {
            let mut bytes = delivery.payload.bytes.to_vec();
            bytes[0] ^= 1;
            delivery.payload.bytes = bytes.into();
        }
        Ok(claimed)
    }

    async fn take_shards(
        &self,
        inner: &dyn Store,
        now: Timestamp,
    ) -> Result<Vec<(ShardId, Epoch)>, Error> {
        let taken = inner.take_shards(now).await?;
        self.disk.epochs().clone_from(&taken);
        self.witness.takes_over(self.life.number);
        Ok(taken)
    }
}

/// Says whether a process may die of this write.
fn is_step(method: &str) -> bool {
    matches!(method, "append" | "record" | "expand" | "give_up")
}

impl Disk {
    fn epochs(&self) -> std::sync::MutexGuard<'_, Vec<(ShardId, Epoch)>> {
        self.epochs.lock().expect("no panic while it is held")
    }
}

impl Gate {
    /// Changes outcomes as the canary wants it.
    fn plant(&self, batch: &mut [AttemptRecord]) {
        for record in batch {
            match self.canary {
                Some(Canary::KeptEpoch) => {
                    let epochs = self.disk.epochs();
                    let newest = epochs.iter().find(|(shard, _)| *shard == record.shard);
                    record.epoch = newest.expect("all shards were taken").1;
                }
                Some(Canary::EarlyRetry) => {
                    if let AfterAttempt::RetryAt(at) = &mut record.then {
                        *at = Timestamp::from_micros(0);
                    }
                }
                _ => {}
            }
        }
    }
}
