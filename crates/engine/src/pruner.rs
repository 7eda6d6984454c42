//! Keeps the store small, in batches that delay nobody; and notices when a full disk has room.

use std::sync::Arc;
use std::time::Duration;

use store::Prune;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// Pause between two batches, so that intake gets its commits in between.
const BREATH: Duration = Duration::from_millis(20);
/// How often a full store is tried again.
const PROBE: Duration = Duration::from_millis(500);

/// Prunes until `stop` fires.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut pause = shared.config.prune_interval;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let prune = Prune {
            now: shared.now(),
            history: shared.config.history_retention,
            statistics: shared.config.statistics_retention,
            rows: shared.config.prune_rows,
        };
        pause = match shared.store.prune(prune).await {
            Ok(pruned) => {
                tracing::debug!(?pruned, "Pruned");
                shared.metrics.pruned(&pruned);
                if pruned.more {
                    BREATH
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
