//! Waiting for something to become so.

use std::time::Duration;

use tokio::time::Instant;

/// Between two looks. Short beside what tests wait for, long beside what a look costs.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until it is so; panics when it is not within `limit`.
pub async fn eventually(what: &str, limit: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    eventually_some(what, limit, async || is_so().await.then_some(())).await;
}

/// Looks until there is something; panics when there is nothing within `limit`.
pub async fn eventually_some<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
