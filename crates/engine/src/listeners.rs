//! Who wants to hear that messages of an application are durable.
//!
//! A listener reads messages from the store; here it only learns that there is something to read,
//! and from where on. While nobody listens, a commit costs one look at a counter.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use domain::{ApplicationKey, MessageKey};
use tokio::sync::Notify;

/// The listeners of all applications.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    count: AtomicUsize,
    of: Mutex<HashMap<ApplicationKey, Vec<Arc<Slot>>>>,
}

/// What one listener has not looked at yet.
#[derive(Debug, Default)]
struct Slot {
    /// The smallest of the messages that were committed since. Batches may be committed in
    /// another order than their ids: one may lie before what was read already.
    first: Mutex<Option<MessageKey>>,
    woken: Notify,
}

/// Hears of an application's commits until it is dropped.
#[derive(Debug)]
pub struct Listener {
    listeners: Arc<Listeners>,
    application: ApplicationKey,
    slot: Arc<Slot>,
}

impl Listeners {
    pub(crate) fn listen(self: &Arc<Self>, application: ApplicationKey) -> Listener {
        let slot = Arc::new(Slot::default());
        let mut of = self.lock();
        of.entry(application).or_default().push(Arc::clone(&slot));
        self.count.fetch_add(1, Ordering::SeqCst);
        drop(of);
        Listener {
            listeners: Arc::clone(self),
            application,
            slot,
        }
    }

    /// Tells of a commit. `first` is the smallest key in it.
    pub(crate) fn committed(&self, application: ApplicationKey, first: MessageKey) {
        // Ordered after the commit and, at a listener, before its first look at the store: one of
        // the two sees the other.
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let of = self.lock();
        for slot in of.get(&application).into_iter().flatten() {
            let mut known = slot.lock();
            *known = Some(known.map_or(first, |known| known.min(first)));
            slot.woken.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ApplicationKey, Vec<Arc<Slot>>>> {
        self.of.lock().expect("no panic while it is held")
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<MessageKey>> {
        self.first.lock().expect("no panic while it is held")
    }
}

impl Listener {
    /// Waits until something was committed that was not taken yet.
    pub async fn woken(&self) {
        self.slot.woken.notified().await;
    }

    /// Takes the smallest key that was committed since the last time, if anything was.
    pub fn take(&self) -> Option<MessageKey> {
        self.slot.lock().take()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut of = self.listeners.lock();
        if let Some(slots) = of.get_mut(&self.application) {
            slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
            if slots.is_empty() {
                of.remove(&self.application);
            }
        }
        self.listeners.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: ApplicationKey = ApplicationKey(1);

    #[tokio::test]
    async fn a_listener_hears_of_its_application_and_keeps_the_smallest_key() {
        let listeners = Arc::new(Listeners::default());
        let listener = listeners.listen(APP);

        listeners.committed(ApplicationKey(2), MessageKey(1));
        assert_eq!(listener.take(), None);
        listeners.committed(APP, MessageKey(7));
        listeners.committed(APP, MessageKey(5));
        listeners.committed(APP, MessageKey(9));

        listener.woken().await;
        assert_eq!(listener.take(), Some(MessageKey(5)));
        assert_eq!(listener.take(), None);
    }

    #[test]
    fn nothing_is_left_of_a_listener_that_is_gone() {
        let listeners = Arc::new(Listeners::default());

        drop((listeners.listen(APP), listeners.listen(APP)));

        assert_eq!(listeners.count.load(Ordering::SeqCst), 0);
        assert!(listeners.lock().is_empty());
    }
}
