//! Disables endpoints that have failed for so long that nobody can be waiting for them.

use std::sync::Arc;
use std::time::Duration;

use store::DisableFailing;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// How often it looks. The time is counted in days, so a minute more is nothing.
const LOOK: Duration = Duration::from_mins(1);
/// Endpoints disabled in one transaction.
const ROWS: u16 = 50;

/// Looks until `stop` fires.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let after = shared.config.disable_after;
    if after.is_zero() {
        return;
    }
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        while !shared.is_full() && look(&shared, after).await && !stop.is_cancelled() {}
    }
}

/// Returns whether there may be more.
async fn look(shared: &Arc<Shared>, after: Duration) -> bool {
    let now = shared.now();
    let request = DisableFailing {
        since: now.minus(after),
        now,
        rows: ROWS,
    };
    let disabled = match shared.store.disable_failing(request).await {
        Ok(disabled) => disabled,
        Err(error) => {
            tracing::warn!(%error, "Failing endpoints cannot be disabled; trying again later");
            return false;
        }
    };
    for endpoint in &disabled {
        tracing::warn!(endpoint.id = %endpoint.id, "Endpoint has failed for too long: disabled");
        shared.metrics.disabled.inc();
        shared.routing.forget(endpoint.application);
    }
    let keys: Vec<_> = disabled.iter().map(|endpoint| endpoint.key).collect();
    crate::dispatch::reload(shared, keys).await;
    disabled.len() == usize::from(ROWS)
}
