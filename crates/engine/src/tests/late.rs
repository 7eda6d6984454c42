//! A store that answers late, out of step, or not at all, as a busy machine's store does.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use env::Entropy as _;
use env::testing::SeededEntropy;
use store::intercept::{Intercepted, Interceptor};
use store::{AttemptRecord, Error, Recorded, Store};

use super::harness::memory;

/// How one method behaves.
#[derive(Default)]
struct Manner {
    /// Waits before the work is done, then before it is answered; then what is left is for all.
    script: VecDeque<(Duration, Duration)>,
    /// Errors answered instead of doing the work.
    errors: VecDeque<Error>,
    /// The longest random waits before the work and before its answer.
    random: Option<(Duration, Duration)>,
    /// How long each of the calls that run waits before its answer.
    then: VecDeque<Duration>,
    running: usize,
    most_running: usize,
}

/// The store in memory, with manners.
pub(crate) type LateStore = Intercepted<Late>;

/// Makes a store in memory that has manners.
pub(crate) fn late_store(seed: u64) -> Arc<LateStore> {
    Arc::new(Intercepted::new(memory(), Late::new(seed)))
}

/// The manners.
pub(crate) struct Late {
    manners: Mutex<HashMap<&'static str, Manner>>,
    entropy: SeededEntropy,
    full: AtomicBool,
    /// A message whose outcomes are refused, whatever else is in the batch.
    refused: Mutex<Option<domain::MessageKey>>,
}

impl Late {
    fn new(seed: u64) -> Self {
        Self {
            manners: Mutex::default(),
            entropy: SeededEntropy::new(seed),
            full: AtomicBool::new(false),
            refused: Mutex::default(),
        }
    }

    fn manner<T>(&self, method: &'static str, change: impl FnOnce(&mut Manner) -> T) -> T {
        let mut manners = self.manners.lock().expect("no panic while it is held");
        change(manners.entry(method).or_default())
    }

    /// Makes the next call that is not scripted yet wait before its work and before its answer.
    pub(crate) fn delay(&self, method: &'static str, before: Duration, after: Duration) {
        self.manner(method, |manner| manner.script.push_back((before, after)));
    }

    /// Makes every call wait for random times up to these.
    pub(crate) fn dither(&self, method: &'static str, before: Duration, after: Duration) {
        self.manner(method, |manner| manner.random = Some((before, after)));
    }

    /// Makes the next calls fail.
    pub(crate) fn fail(&self, method: &'static str, errors: impl IntoIterator<Item = Error>) {
        self.manner(method, |manner| manner.errors.extend(errors));
    }

    /// Makes every write fail as on a full disk, or work again.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Makes every batch of outcomes fail that has one of this message.
    pub(crate) fn refuse(&self, message: domain::MessageKey) {
        *self.refused.lock().expect("no panic while it is held") = Some(message);
    }

    pub(crate) fn most_running(&self, method: &'static str) -> usize {
        self.manner(method, |manner| manner.most_running)
    }

    fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64(self.entropy.next_f64())
    }
}

#[async_trait]
impl Interceptor for Late {
    async fn before(&self, method: &'static str, writes: bool) -> Result<(), Error> {
        let (error, scripted, random) = self.manner(method, |manner| {
            manner.running += 1;
            manner.most_running = manner.most_running.max(manner.running);
            let error = manner.errors.pop_front();
            (error, manner.script.pop_front(), manner.random)
        });
        let (before, after) = scripted
            .or_else(|| random.map(|(before, after)| (self.up_to(before), self.up_to(after))))
            .unwrap_or_default();
        self.manner(method, |manner| manner.then.push_back(after));
        if before > Duration::ZERO {
            tokio::time::sleep(before).await;
        }
        match error {
            Some(error) => Err(error),
            None if writes && self.full.load(Ordering::Relaxed) => Err(Error::Full),
            None => Ok(()),
        }
    }

    async fn after(&self, method: &'static str) {
        let after = self.manner(method, |manner| manner.then.pop_front());
        if let Some(after) = after.filter(|after| *after > Duration::ZERO) {
            tokio::time::sleep(after).await;
        }
        self.manner(method, |manner| manner.running -= 1);
    }

    async fn record(
        &self,
        inner: &dyn Store,
        batch: Vec<AttemptRecord>,
    ) -> Result<Vec<Recorded>, Error> {
        let refused = *self.refused.lock().expect("no panic while it is held");
        if batch.iter().any(|record| Some(record.message) == refused) {
            return Err(Error::Failed("a record that breaks a rule".into()));
        }
        inner.record(batch).await
    }
}
