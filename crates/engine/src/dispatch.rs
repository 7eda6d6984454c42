//! Brings deliveries to their lanes, and lanes to their turn.

use std::sync::Arc;
use std::time::Duration;

use domain::{ApplicationKey, EndpointKey};
use store::Claim;
use tokio::sync::mpsc;

use crate::destination::Destination;
use crate::fan_out;
use crate::intake::Committed;
use crate::lane::Job;
use crate::lanes::Claiming;
use crate::sender;
use crate::shared::{Notice, Shared};

/// Endpoints read from the store at once.
const AT_ONCE: usize = 500;
/// How long to wait before what could not be read is read again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Takes notices until the engine is gone.
pub(crate) async fn run(shared: Arc<Shared>, mut notices: mpsc::Receiver<Notice>) {
    const NOTICES: usize = 64;
    let mut batch = Vec::with_capacity(NOTICES);
    while notices.recv_many(&mut batch, NOTICES).await > 0 {
        for notice in batch.drain(..) {
            match notice {
                Notice::Committed(committed) => arrive(&shared, committed),
                Notice::Changed(application, endpoint) => match endpoint {
                    Some(key) => reload(&shared, vec![key]).await,
                    None => reload_application(&shared, application).await,
                },
                Notice::Due(key, commit) => due(&shared, key, commit).await,
            }
        }
        pump(&shared);
    }
}

fn arrive(shared: &Arc<Shared>, committed: Committed) {
    let now = shared.monotonic();
    let mut lanes = shared.lanes();
    for message in committed.messages {
        if message.waits {
            shared.fan_outs_wait.notify_one();
            continue;
        }
        if message.destinations.len() > store::FAN_OUT_INLINE {
            fan_out::begin(shared, message);
            continue;
        }
        for destination in &message.destinations {
            if message.delayed {
                lanes.due_later(destination.key, message.due);
                continue;
            }
            let job = message.envelope.as_ref().map(|envelope| Job {
                ordered: message.ordered,
                ..Job::first(Arc::clone(envelope), message.due)
            });
            lanes.arrive(destination, job, committed.commit, now);
        }
    }
}

/// Starts every attempt and every claim that may start now.
pub(crate) fn pump(shared: &Arc<Shared>) {
    let (starts, claims, moved) = {
        let mut lanes = shared.lanes();
        let starts = lanes.starts(shared.monotonic());
        let claims = lanes.claims();
        (starts, claims, lanes.times_moved())
    };
    for start in starts {
        // Boxed, because spawning copies what it is given, and this is some kilobytes.
        tokio::spawn(Box::pin(sender::work(Arc::clone(shared), start)));
    }
    for claiming in claims {
        tokio::spawn(claim(Arc::clone(shared), claiming));
    }
    if moved {
        shared.times_moved.notify_one();
    }
}

async fn claim(shared: Arc<Shared>, claiming: Claiming) {
    let Claiming { destination, plan } = claiming;
    let claim = Claim {
        destination: destination.key,
        shard: destination.shard,
        epoch: shared.epoch(destination.shard),
        now: shared.schedule_now(),
        after: plan.after,
        room: plan.room,
        bytes: plan.bytes,
    };
    let answer = shared.store.claim(claim).await;
    if let Err(error) = &answer {
        tracing::warn!(endpoint.id = %destination.id, %error, "Due deliveries cannot be read");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    let commit = shared.store.commit_number();
    let now = shared.monotonic();
    shared
        .lanes()
        .claimed(destination.key, answer.ok(), commit, now);
    pump(&shared);
}

/// Reads the endpoints of a changed application again, now and a moment later: a publish that was
/// on its way may bring a lane to life with what was so before.
async fn reload_application(shared: &Arc<Shared>, application: ApplicationKey) {
    const ONCE_MORE_AFTER: Duration = Duration::from_millis(500);
    let keys = shared.lanes().of_application(application);
    reload(shared, keys).await;
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::time::sleep(ONCE_MORE_AFTER).await;
        let keys = shared.lanes().of_application(application);
        reload(&shared, keys).await;
    });
}

/// Reads changed endpoints again and lets their lanes adopt the change, however often it has to
/// be tried.
pub(crate) async fn reload(shared: &Arc<Shared>, keys: Vec<EndpointKey>) {
    let mut left = read_again(shared, keys).await;
    if left.is_empty() {
        return;
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        while !left.is_empty() {
            tokio::time::sleep(AGAIN_AFTER).await;
            left = read_again(&shared, left).await;
        }
    });
}

/// Returns those that could not be read.
async fn read_again(shared: &Arc<Shared>, keys: Vec<EndpointKey>) -> Vec<EndpointKey> {
    let mut left = Vec::new();
    for keys in keys.chunks(AT_ONCE) {
        // What is read now has every commit up to this one.
        let commit = shared.store.commit_number();
        match shared.store.endpoints_by_key(keys).await {
            Ok(endpoints) => {
                let now = shared.monotonic();
                for endpoint in &endpoints {
                    let destination = Destination::new(endpoint, &shared.vault);
                    shared.lanes().adopt(destination, commit, now);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "Changed endpoints cannot be read; trying again");
                left.extend_from_slice(keys);
            }
        }
    }
    pump(shared);
    left
}

/// Wakes the lanes of destinations that have something due in the store, reading those that are
/// not in memory.
pub(crate) async fn wake(shared: &Arc<Shared>, keys: &[EndpointKey], commit: u64) {
    let now = shared.monotonic();
    let mut unknown = Vec::new();
    {
        let mut lanes = shared.lanes();
        for key in keys {
            match lanes.destination(*key) {
                Some(destination) => lanes.wake(&destination, commit, now),
                None => unknown.push(*key),
            }
        }
    }
    for keys in unknown.chunks(AT_ONCE) {
        match shared.store.endpoints_by_key(keys).await {
            Ok(endpoints) => {
                for endpoint in &endpoints {
                    let destination = Arc::new(Destination::new(endpoint, &shared.vault));
                    if !destination.gone {
                        shared.lanes().wake(&destination, commit, now);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "Destinations with due work cannot be read; trying again");
                let again = shared.schedule_now().plus(AGAIN_AFTER);
                let mut lanes = shared.lanes();
                for key in keys {
                    lanes.due_later(*key, again);
                }
            }
        }
    }
    pump(shared);
}

async fn due(shared: &Arc<Shared>, key: EndpointKey, commit: u64) {
    wake(shared, &[key], commit).await;
}
