//! Expands messages with more destinations than one transaction should make deliveries for.
//!
//! A few are expanded at once, with what memory knows of them. The others wait in the store, as
//! those do that an earlier run left unfinished: one after the other, their deliveries go through
//! the store to their lanes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{EndpointKey, MessageId};
use store::{Expand, Expanded};

use crate::destination::Destination;
use crate::intake::CommittedMessage;
use crate::lane::Job;
use crate::memory::Envelope;
use crate::shared::Shared;

/// Wide messages that are expanded at once: each holds all its destinations in memory.
pub(crate) const AT_ONCE: usize = 4;
/// Deliveries made by one transaction.
const ROOM: u16 = 256;
/// How long to wait before a failed step is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What memory knows of a wide message; after a restart, nothing.
#[derive(Default)]
struct Known {
    envelope: Option<Arc<Envelope>>,
    destinations: HashMap<EndpointKey, Arc<Destination>>,
}

/// Makes the deliveries of a message that has just become durable, now or when it is its turn.
pub(crate) fn begin(shared: &Arc<Shared>, message: CommittedMessage) {
    let Ok(slot) = Arc::clone(&shared.fan_outs).try_acquire_owned() else {
        shared.fan_outs_wait.notify_one();
        return;
    };
    let destinations = message.destinations.into_iter();
    let known = Known {
        envelope: message.envelope,
        destinations: destinations.map(|one| (one.key, one)).collect(),
    };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        expand(&shared, message.id, known).await;
        drop(slot);
    });
}

/// Goes on with every fan-out that waits in the store.
pub(crate) async fn resume(shared: Arc<Shared>) {
    const LISTED: u16 = 64;
    loop {
        match shared.store.unfinished_fan_outs(LISTED).await {
            Ok(unfinished) if unfinished.is_empty() => shared.fan_outs_wait.notified().await,
            Ok(unfinished) => {
                for message in unfinished {
                    expand(&shared, message.message, Known::default()).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "Unfinished fan-outs cannot be read; trying again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

/// Makes the deliveries of one wide message, in bounded transactions.
async fn expand(shared: &Arc<Shared>, message: MessageId, known: Known) {
    loop {
        let room = ROOM;
        let expanded = match shared.store.expand(Expand { message, room }).await {
            Ok(expanded) => expanded,
            Err(error) => {
                if error == store::Error::Full {
                    shared.set_full(true);
                }
                tracing::warn!(message.id = %message, %error, "Fan-out waits");
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            }
        };
        deliver(shared, &expanded, &known).await;
        if expanded.done {
            return;
        }
    }
}

async fn deliver(shared: &Arc<Shared>, expanded: &Expanded, known: &Known) {
    let mut unknown = Vec::new();
    {
        let now = shared.monotonic();
        let delayed = expanded.due > shared.schedule_now();
        let mut lanes = shared.lanes();
        for key in &expanded.destinations {
            match known.destinations.get(key) {
                _ if delayed => lanes.due_later(*key, expanded.due),
                None => unknown.push(*key),
                Some(destination) => {
                    let envelope = known.envelope.clone();
                    let job = envelope.map(|envelope| Job::first(envelope, expanded.due));
                    lanes.arrive(destination, job, expanded.commit, now);
                }
            }
        }
    }
    if unknown.is_empty() {
        crate::dispatch::pump(shared);
    } else {
        crate::dispatch::wake(shared, &unknown, expanded.commit).await;
    }
}
