//! Makes outcomes durable, in batches.
//!
//! While one batch is being recorded, the next collects. A few outcomes alone are no reason for a
//! commit: the store lets them ride along with the next one. A delivery that ended and is not
//! durable yet stays in its lane's memory, so it is not sent again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use store::{AttemptRecord, Recorded};
use tokio_util::sync::CancellationToken;

use crate::lanes::Settled;
use crate::shared::Shared;

/// Outcomes in one batch at the most.
const BATCH_MAX: usize = 1_024;
/// How long the recorder waits before it tries a failed batch again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Records until `finished` fires and nothing is left.
pub(crate) async fn run(shared: Arc<Shared>, finished: CancellationToken) {
    loop {
        if shared.lanes().ended_count() == 0 {
            tokio::select! {
                biased;
                () = shared.ended.notified() => {}
                () = finished.cancelled() => {
                    if shared.lanes().ended_count() == 0 {
                        return;
                    }
                }
            }
        }
        let batch = shared.lanes().take_ended(BATCH_MAX);
        if !batch.is_empty() {
            record(&shared, batch, &finished).await;
        }
    }
}

/// Records one batch, however often it has to be tried: what was sent must not be forgotten. Only
/// when the engine has to end, and the store still refuses, it is left to be sent again.
async fn record(shared: &Arc<Shared>, batch: Vec<AttemptRecord>, finished: &CancellationToken) {
    let after: Vec<_> = batch
        .iter()
        .map(|record| Settled {
            endpoint: record.endpoint,
            message: record.message,
            number: record.number,
            then: record.then,
        })
        .collect();
    let gone: BTreeMap<_, _> = batch
        .iter()
        .filter(|record| record.http_status == Some(410))
        .map(|record| (record.endpoint, record.url))
        .collect();
    loop {
        // The batch is kept for another try; a record is small, its answer's body is shared.
        match shared.store.record(batch.clone()).await {
            Ok(answers) => {
                let now = shared.monotonic();
                let (commit, due) = (shared.store.commit_number(), shared.schedule_now());
                let mut lanes = shared.lanes();
                for (settled, answer) in after.into_iter().zip(answers) {
                    if answer == Recorded::Fenced {
                        tracing::warn!(endpoint = ?settled.endpoint, "Another owner has the shard");
                    }
                    lanes.recorded(settled, now);
                    if answer == Recorded::Promoted {
                        lanes.promoted(settled.endpoint, commit, due, now);
                    }
                }
                drop(lanes);
                for (endpoint, url) in gone {
                    tokio::spawn(crate::gone::disable(Arc::clone(shared), endpoint, url));
                }
                crate::dispatch::pump(shared);
                return;
            }
            Err(error) => {
                if error == store::Error::Full {
                    shared.set_full(true);
                }
                tracing::warn!(%error, outcomes = batch.len(), "Recording failed; trying again");
                if finished.is_cancelled() {
                    return;
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}
