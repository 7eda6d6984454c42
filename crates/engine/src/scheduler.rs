//! Brings back what is due: retries, delayed messages, leftovers.
//!
//! Memory knows the earliest due time of each destination, so this loop sleeps until the first
//! of them. A sweep over the store's index comes by now and then: whatever memory has lost sight
//! of costs one interval, never a delivery.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// The longest sleep, so that a step of the wall clock is noticed.
const POLL: Duration = Duration::from_secs(1);
/// How long a lane is kept that has nothing to do.
const FORGET_AFTER: Duration = Duration::from_mins(5);
/// Destinations read from the store at once.
const SWEEP_PAGE: u16 = 1_000;

/// Runs until `stop` fires.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    sweep(&shared, Duration::ZERO).await;
    let mut next_sweep = Instant::now() + shared.config.sweep_interval;
    loop {
        tick(&shared).await;
        if Instant::now() >= next_sweep {
            // What is due right now is in somebody's hands; look for what nobody took.
            sweep(&shared, POLL * 5).await;
            shared.connections.sweep(shared.monotonic());
            shared.lanes().forget_idle(FORGET_AFTER, shared.monotonic());
            next_sweep = Instant::now() + shared.config.sweep_interval;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = shared.times_moved.notified() => {}
            () = tokio::time::sleep(wait(&shared)) => {}
        }
    }
}

fn wait(shared: &Shared) -> Duration {
    let (wake, due) = shared.lanes().next_times();
    let until_wake = wake.map_or(POLL, |at| at.saturating_sub(shared.monotonic()));
    let until_due = due.map_or(POLL, |due| due.since(shared.schedule_now()));
    until_wake.min(until_due).min(POLL)
}

/// One round: wakes every lane whose time has come.
pub(crate) async fn tick(shared: &Arc<Shared>) {
    let unknown = {
        let mut lanes = shared.lanes();
        lanes.take_wakes(shared.monotonic());
        let commit = shared.store.commit_number();
        lanes.take_due(shared.schedule_now(), commit, shared.monotonic())
    };
    if unknown.is_empty() {
        crate::dispatch::pump(shared);
    } else {
        crate::dispatch::wake(shared, &unknown, shared.store.commit_number()).await;
    }
}

/// Looks through all destinations with unfinished deliveries: notes when they are due, and wakes
/// those that have been due for `overdue` without anybody knowing.
pub(crate) async fn sweep(shared: &Arc<Shared>, overdue: Duration) {
    let mut after = None;
    loop {
        let page = match shared.store.destinations_due(after, SWEEP_PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "The sweep failed; it comes by again");
                return;
            }
        };
        // Read once: what becomes due between two looks at the clock would be neither.
        let schedule = shared.schedule_now();
        let limit = schedule.minus(overdue);
        let mut forgotten = Vec::new();
        {
            let now = shared.monotonic();
            let mut lanes = shared.lanes();
            for found in &page {
                if found.due > schedule {
                    lanes.due_later(found.destination, found.due);
                } else if found.due <= limit && !lanes.knows(found.destination, now) {
                    forgotten.push(found.destination);
                }
            }
        }
        if !forgotten.is_empty() {
            crate::dispatch::wake(shared, &forgotten, shared.store.commit_number()).await;
        }
        let Some(last) = page
            .last()
            .filter(|_| page.len() == usize::from(SWEEP_PAGE))
        else {
            return;
        };
        after = Some(last.destination);
    }
}
