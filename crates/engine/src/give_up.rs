//! Dead-letters what has waited behind an open breaker for longer than its whole schedule.

use std::sync::Arc;

use store::GiveUp;
use tokio_util::sync::CancellationToken;

use crate::destination::Destination;
use crate::shared::Shared;

/// Looks once per probe interval, until `stop` fires.
///
/// A loop of its own, because there may be thousands of such destinations and each is a write.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(shared.config.breaker_probe) => {}
        }
        if shared.is_full() {
            continue;
        }
        let unavailable = shared.lanes().unavailable();
        for destination in unavailable {
            if stop.is_cancelled() {
                return;
            }
            give_up(&shared, &destination).await;
        }
    }
}

async fn give_up(shared: &Shared, destination: &Destination) {
    let rows = shared.config.prune_rows;
    let give_up = GiveUp {
        now: shared.schedule_now(),
        destination: destination.key,
        shard: destination.shard,
        epoch: shared.epoch(destination.shard),
        first_due_before: shared
            .schedule_now()
            .minus(destination.schedule(&shared.config).patience()),
        reason: domain::FailReason::EndpointUnavailable,
        rows,
    };
    let id = destination.id;
    loop {
        match shared.store.give_up(give_up).await {
            Ok(0) => return,
            Ok(count) => {
                shared.metrics.dead_lettered.inc_by(count);
                tracing::warn!(endpoint.id = %id, count, "Endpoint unavailable: given up");
                let (commit, now) = (shared.store.commit_number(), shared.monotonic());
                let before = give_up.first_due_before;
                shared.lanes().gave_up(destination.key, before, commit, now);
                if count < u64::from(rows) {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(endpoint.id = %id, %error, "Giving up failed; trying again later");
                return;
            }
        }
    }
}
