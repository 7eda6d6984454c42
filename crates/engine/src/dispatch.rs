//! Brings deliveries to their lanes, and lanes to their turn.

use std::sync::Arc;

use domain::EndpointKey;
use store::Claim;
use tokio::sync::mpsc;

use crate::destination::Destination;
use crate::intake::Committed;
use crate::lane::Job;
use crate::lanes::Claiming;
use crate::sender;
use crate::shared::{Notice, Shared};

/// Takes notices until the engine is gone.
pub(crate) async fn run(shared: Arc<Shared>, mut notices: mpsc::Receiver<Notice>) {
    const AT_ONCE: usize = 64;
    let mut batch = Vec::with_capacity(AT_ONCE);
    while notices.recv_many(&mut batch, AT_ONCE).await > 0 {
        for notice in batch.drain(..) {
            match notice {
                Notice::Committed(committed) => arrive(&shared, committed),
                Notice::Changed(application, endpoint) => {
                    let keys = match endpoint {
                        Some(key) => vec![key],
                        None => shared.lanes().of_application(application),
                    };
                    reload(&shared, keys).await;
                }
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
        if message.destinations.len() > store::FAN_OUT_INLINE {
            let (id, destinations) = (message.id, message.destinations);
            let delayed = message.delayed;
            tokio::spawn(crate::fan_out::expand(
                Arc::clone(shared),
                crate::fan_out::Wide {
                    id,
                    envelope: message.envelope,
                    delayed,
                    destinations,
                },
            ));
            continue;
        }
        for destination in &message.destinations {
            if message.delayed {
                lanes.due_later(destination.key, message.due);
                continue;
            }
            let job = message
                .envelope
                .as_ref()
                .map(|envelope| Job::first(Arc::clone(envelope), message.due));
            lanes.arrive(destination, job, committed.commit, now);
        }
        if message.delayed {
            shared.times_moved.notify_one();
        }
    }
}

/// Starts every attempt and every claim that may start now.
pub(crate) fn pump(shared: &Arc<Shared>) {
    let (starts, claims, moved) = {
        let mut lanes = shared.lanes();
        let before = lanes.next_times();
        let starts = lanes.starts(shared.monotonic());
        let claims = lanes.claims();
        (starts, claims, lanes.next_times() != before)
    };
    for start in starts {
        tokio::spawn(sender::work(Arc::clone(shared), start));
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
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let commit = shared.store.commit_number();
    let now = shared.monotonic();
    shared
        .lanes()
        .claimed(destination.key, answer.ok(), commit, now);
    pump(&shared);
}

/// Reads changed endpoints again and lets their lanes adopt the change.
pub(crate) async fn reload(shared: &Arc<Shared>, keys: Vec<EndpointKey>) {
    const AT_ONCE: usize = 500;
    for keys in keys.chunks(AT_ONCE) {
        match shared.store.endpoints_by_key(keys).await {
            Ok(endpoints) => {
                let now = shared.monotonic();
                for endpoint in &endpoints {
                    let destination = Destination::new(endpoint, &shared.vault);
                    shared.lanes().adopt(destination, now);
                }
            }
            Err(error) => tracing::warn!(%error, "Changed endpoints cannot be read"),
        }
    }
    pump(shared);
}

/// Wakes the lanes of destinations that have something due in the store, reading those that are
/// not in memory.
pub(crate) async fn wake(shared: &Arc<Shared>, keys: &[EndpointKey], commit: u64) {
    const AT_ONCE: usize = 500;
    let now = shared.monotonic();
    let (known, unknown): (Vec<_>, Vec<_>) = {
        let lanes = shared.lanes();
        keys.iter()
            .map(|key| lanes.destination(*key).ok_or(*key))
            .partition(Result::is_ok)
    };
    for destination in known.into_iter().flatten() {
        shared.lanes().wake(&destination, commit, now);
    }
    let unknown: Vec<_> = unknown.into_iter().filter_map(Result::err).collect();
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
            // The sweep comes by again.
            Err(error) => tracing::warn!(%error, "Destinations with due work cannot be read"),
        }
    }
    pump(shared);
}

async fn due(shared: &Arc<Shared>, key: EndpointKey, commit: u64) {
    wake(shared, &[key], commit).await;
}
