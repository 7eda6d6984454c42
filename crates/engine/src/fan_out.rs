//! Expands messages with more destinations than one transaction should make deliveries for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{EndpointKey, MessageId};
use store::Expand;

use crate::destination::Destination;
use crate::lane::Job;
use crate::memory::Envelope;
use crate::shared::Shared;

/// A durable message whose deliveries are still to be made.
pub(crate) struct Wide {
    pub(crate) id: MessageId,
    pub(crate) envelope: Option<Arc<Envelope>>,
    pub(crate) delayed: bool,
    /// The destinations as routed; empty after a restart.
    pub(crate) destinations: Vec<Arc<Destination>>,
}

/// Deliveries made by one transaction.
const ROOM: u16 = 256;
/// How long to wait before a failed step is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Makes the deliveries of one wide message, in bounded transactions.
pub(crate) async fn expand(shared: Arc<Shared>, wide: Wide) {
    let by_key: HashMap<EndpointKey, &Arc<Destination>> = wide
        .destinations
        .iter()
        .map(|destination| (destination.key, destination))
        .collect();
    loop {
        let expanded = match shared
            .store
            .expand(Expand {
                message: wide.id,
                room: ROOM,
            })
            .await
        {
            Ok(expanded) => expanded,
            Err(error) => {
                shared.set_full(error == store::Error::Full);
                tracing::warn!(message.id = %wide.id, %error, "Fan-out waits");
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            }
        };
        let mut unknown = Vec::new();
        {
            let now = shared.monotonic();
            let mut lanes = shared.lanes();
            for key in &expanded.destinations {
                match by_key.get(key) {
                    _ if wide.delayed => lanes.due_later(*key, expanded.due),
                    None => unknown.push(*key),
                    Some(destination) => {
                        let envelope = wide.envelope.clone();
                        let job = envelope.map(|envelope| Job::first(envelope, expanded.due));
                        lanes.arrive(destination, job, expanded.commit, now);
                    }
                }
            }
        }
        shared.times_moved.notify_one();
        if unknown.is_empty() {
            crate::dispatch::pump(&shared);
        } else {
            crate::dispatch::wake(&shared, &unknown, expanded.commit).await;
        }
        if expanded.done {
            return;
        }
    }
}

/// Goes on with every fan-out that an earlier run left unfinished.
pub(crate) async fn resume(shared: Arc<Shared>) {
    const AT_ONCE: u16 = 64;
    loop {
        match shared.store.unfinished_fan_outs(AT_ONCE).await {
            Ok(unfinished) if unfinished.is_empty() => return,
            Ok(unfinished) => {
                for message in unfinished {
                    let (id, destinations) = (message.message, Vec::new());
                    let wide = Wide {
                        id,
                        envelope: None,
                        delayed: false,
                        destinations,
                    };
                    expand(Arc::clone(&shared), wide).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "Unfinished fan-outs cannot be read; trying again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}
