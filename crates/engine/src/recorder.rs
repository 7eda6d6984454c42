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

/// Tries of a batch that the store refuses for a reason that another try may not cure.
const TRIES: u32 = 4;
/// Outcomes given up before the recorder believes that the store is at fault, and waits for it.
const ABANDONED_MAX: u64 = 1_000;

/// Records one batch, however often it has to be tried: what was sent must not be forgotten. Only
/// when the engine has to end, and the store still refuses, it is left to be sent again.
///
/// A batch that the store refuses again and again has an outcome in it that cannot be stored. It
/// is halved until that one is found and given up, so that the others are not held up by it.
async fn record(shared: &Arc<Shared>, batch: Vec<AttemptRecord>, finished: &CancellationToken) {
    let mut parts = vec![batch];
    let mut tries = TRIES;
    while let Some(mut part) = parts.pop() {
        // Halves of a refused batch are tried once, so that the search takes no time.
        let most = if part.len() > 1 { tries } else { TRIES };
        tries = 1;
        match try_record(shared, &part, most, finished).await {
            Ok(()) => {}
            Err(_) if part.len() > 1 => {
                let rest = part.split_off(part.len() / 2);
                parts.push(rest);
                parts.push(part);
            }
            Err(error) => abandon(shared, &part[0], &error),
        }
    }
}

/// Gives up one outcome. Its delivery stays in its lane's memory, so it is not sent again before
/// the next start.
fn abandon(shared: &Shared, record: &AttemptRecord, error: &store::Error) {
    shared.metrics.abandoned.inc();
    shared.lanes().abandoned();
    tracing::error!(
        message = ?record.message,
        endpoint = ?record.endpoint,
        attempt.number = record.number,
        %error,
        "The outcome of an attempt cannot be stored; it is sent again at the next start"
    );
}

/// Records, or returns the error of a batch that the store has refused `most` times.
async fn try_record(
    shared: &Arc<Shared>,
    batch: &[AttemptRecord],
    most: u32,
    finished: &CancellationToken,
) -> Result<(), store::Error> {
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
    let mut tries = 0;
    loop {
        // The batch is kept for another try; a record is small, its answer's body is shared.
        match shared.store.record(batch.to_vec()).await {
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
                return Ok(());
            }
            Err(error) => {
                if error == store::Error::Full {
                    shared.set_full(true);
                }
                tracing::warn!(%error, outcomes = batch.len(), "Recording failed; trying again");
                if finished.is_cancelled() {
                    return Ok(());
                }
                tries += 1;
                let for_ever = matches!(error, store::Error::Failed(_)) && tries >= most;
                if for_ever && shared.metrics.abandoned.get() < ABANDONED_MAX {
                    return Err(error);
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}
