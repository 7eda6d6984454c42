//! The budget of payload bytes held in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use domain::MessageId;
use store::{Origin, Payload};

/// Counts the payload bytes that lanes and attempts hold, against a maximum.
///
/// A payload is counted once, however many lanes share it, and given back when the last of them
/// drops it.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    max: usize,
}

/// What an envelope costs beside its payload: ids, headers, queue entries.
const OVERHEAD: usize = 512;

impl Budget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            max,
        })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Says whether a lane may take more.
    ///
    /// Lanes that hold much, or may hold it for long, share half of the budget; the other half is
    /// for those that hold little, so full lanes never keep the others from getting their first
    /// deliveries.
    pub(crate) fn allows(&self, much: bool) -> bool {
        let max = if much { self.max / 2 } else { self.max };
        self.used() < max
    }

    /// Wraps a message for its way through the lanes, if there is room for it.
    pub(crate) fn admit(
        self: &Arc<Self>,
        id: MessageId,
        payload: &Payload,
        origin: Option<&Arc<Origin>>,
    ) -> Option<Arc<Envelope>> {
        (self.used() < self.max).then(|| self.wrap(id, payload, origin))
    }

    /// Wraps a message whatever the budget says: the caller has asked `allows` before.
    pub(crate) fn wrap(
        self: &Arc<Self>,
        id: MessageId,
        payload: &Payload,
        origin: Option<&Arc<Origin>>,
    ) -> Arc<Envelope> {
        let of_origin = origin.map_or(0, |origin| origin.cost());
        let cost = payload.bytes.len() + of_origin + OVERHEAD;
        self.used.fetch_add(cost, Ordering::Relaxed);
        Arc::new(Envelope {
            id,
            body: payload.bytes.clone(),
            content_type: payload.content_type.clone(),
            origin: origin.cloned(),
            cost,
            budget: Arc::clone(self),
        })
    }
}

/// A message as its deliveries share it in memory.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) id: MessageId,
    pub(crate) body: Bytes,
    pub(crate) content_type: Option<Box<str>>,
    /// The request that brought it.
    pub(crate) origin: Option<Arc<Origin>>,
    cost: usize,
    budget: Arc<Budget>,
}

impl Envelope {
    /// Returns what this envelope counts against the budget.
    pub(crate) const fn cost(&self) -> usize {
        self.cost
    }
}

impl Drop for Envelope {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(len: usize) -> Payload {
        Payload {
            bytes: Bytes::from(vec![b' '; len]),
            content_type: None,
        }
    }

    #[test]
    fn a_shared_payload_counts_once_and_is_given_back_by_the_last_holder() {
        let budget = Budget::new(10_000);

        let first = budget
            .admit(MessageId::from_bits(1), &payload(1_000), None)
            .expect("room");
        let second = Arc::clone(&first);
        let used = budget.used();
        drop(first);

        assert_eq!(used, 1_000 + OVERHEAD);
        assert_eq!(budget.used(), used, "still held once");
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_full_budget_admits_nothing_and_half_of_it_is_kept_for_lanes_that_hold_little() {
        let budget = Budget::new(10_000);
        let held = budget
            .admit(MessageId::from_bits(1), &payload(5_000), None)
            .expect("room");

        assert!(!budget.allows(true), "a full lane stops at half");
        assert!(budget.allows(false));
        let rest = budget.admit(MessageId::from_bits(2), &payload(5_000), None);
        let one = |budget: &Arc<Budget>| budget.admit(MessageId::from_bits(3), &payload(1), None);
        assert!(one(&budget).is_none());
        drop((held, rest));
        assert!(one(&budget).is_some());
    }
}
