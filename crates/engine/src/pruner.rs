//! Keeps the store small, in batches that delay nobody; and notices when a full disk has room.

use std::sync::Arc;
use std::time::Duration;

use store::Prune;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// Pause between two batches while nobody publishes.
const BREATH: Duration = Duration::from_millis(20);
/// Pause between two batches while somebody does: they are so small that several may come by in
/// the time of a commit, and as each shares one, more often would gain nothing.
const SHORT_BREATH: Duration = Duration::from_millis(2);
/// For so long after the last publish, somebody publishes.
const QUIET_AFTER: Duration = Duration::from_millis(250);
/// The least that is erased at once while somebody publishes: a fifth of a millisecond's work.
const ROWS_LEAST: u64 = 16;
/// How often a full store is tried again.
const PROBE: Duration = Duration::from_millis(500);

/// Decides how much is erased at once, and how often.
///
/// A batch delays the publishes that share its commit by as long as it takes. So while somebody
/// publishes, a batch is about as many rows as were written since the last one and a few more:
/// what comes in goes out, and arrears shrink. While nobody does, nobody is delayed.
#[derive(Debug, Default)]
struct Pace {
    written: u64,
    /// When something was written last, as far as was noticed.
    last: Option<Duration>,
}

impl Pace {
    /// Returns the rows of the next batch and the pause after it; `written` counts rows since the
    /// start, `most` is what the settings allow.
    fn next(&mut self, written: u64, now: Duration, most: u16) -> (u16, Duration) {
        let new = written - self.written;
        self.written = written;
        if new > 0 {
            self.last = Some(now);
        }
        if self
            .last
            .is_none_or(|last| now.saturating_sub(last) >= QUIET_AFTER)
        {
            return (most, BREATH);
        }
        let rows = u16::try_from(new + new / 4 + ROWS_LEAST).unwrap_or(u16::MAX);
        (rows.min(most), SHORT_BREATH)
    }
}

/// Prunes until `stop` fires.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut pause = shared.config.prune_interval;
    let mut pace = Pace::default();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let metrics = &shared.metrics;
        let written = metrics.accepted.get() + metrics.succeeded.get();
        let most = shared.config.prune_rows;
        let (rows, breath) = pace.next(written, shared.monotonic(), most);
        let prune = Prune {
            now: shared.now(),
            history: shared.config.history_retention,
            statistics: shared.config.statistics_retention,
            rows,
        };
        pause = match shared.store.prune(prune).await {
            Ok(pruned) => {
                tracing::debug!(?pruned, "Pruned");
                shared.metrics.pruned(&pruned);
                if pruned.more {
                    breath
                } else {
                    shared.config.prune_interval
                }
            }
            Err(error) => {
                tracing::warn!(%error, "Pruning failed; it comes by again");
                shared.config.prune_interval
            }
        };
    }
}

/// While the disk is full, tries to write until it is not.
pub(crate) async fn watch_disk(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PROBE) => {}
        }
        if shared.is_full() && shared.store.check_writable(shared.now()).await.is_ok() {
            shared.set_full(false);
            crate::dispatch::pump(&shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u16 = 500;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn while_somebody_publishes_as_much_is_erased_as_comes_in_and_some_more() {
        let mut pace = Pace::default();

        let batches = [(10, 0), (110, 3), (110, 6), (100_000, 9)]
            .map(|(written, millis)| pace.next(written, at(millis), MOST));

        let rows = batches.map(|(rows, _)| rows);
        assert_eq!(rows, [28, 141, 16, MOST]);
        assert!(batches.iter().all(|(_, pause)| *pause == SHORT_BREATH));
    }

    #[test]
    fn while_nobody_does_batches_are_as_large_as_the_settings_allow() {
        let mut pace = Pace::default();
        let before = pace.next(0, at(0), MOST);
        pace.next(1, at(10), MOST);

        let (soon, later) = (pace.next(1, at(259), MOST), pace.next(1, at(260), MOST));

        assert_eq!(before, (MOST, BREATH));
        assert_eq!(soon, (16, SHORT_BREATH));
        assert_eq!(later, (MOST, BREATH));
    }
}
