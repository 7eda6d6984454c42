//! Something that comes true once, and wakes who waits for it in the order of their coming.
//!
//! Tokio's `watch` wakes in an order drawn by lot, which no seed decides.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Flag {
    raised: AtomicBool,
    waiting: Notify,
}

impl Flag {
    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::Relaxed);
        self.waiting.notify_waiters();
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    pub(crate) async fn wait(&self) {
        let notified = self.waiting.notified();
        // Nothing runs between the call above and this look: one thread.
        if !self.is_raised() {
            notified.await;
        }
    }
}
