//! Forgets messages whose payloads were erased, wherever memory holds them.
//!
//! The store knows that they are canceled. What is queued is dropped at once; what is just on its
//! way into a lane (a claim that began before, an arrival) is dropped when it would be sent, and
//! looked for once more when it must have arrived.

use std::sync::Arc;
use std::time::Duration;

use domain::MessageKey;

use crate::shared::Shared;

/// How long something may be on its way into a lane.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// Sees to it that no further attempt of these messages begins.
pub(crate) fn forget(shared: &Arc<Shared>, messages: Vec<MessageKey>) {
    let now = shared.monotonic();
    shared.lanes().expunge(&messages, now);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::time::sleep(ON_ITS_WAY).await;
        shared.lanes().expunged(&messages);
    });
}
