//! What is still to arrive, kept in memory so that the lab knows when to stop waiting.
//!
//! The verdict does not rest on it: that comes from the ledgers.

use std::collections::HashMap;
use std::sync::Mutex;

use posthaste_bench::time::now_nanos;

use crate::message::{ENDPOINTS, Messages};

/// One bit per endpoint at which a message arrived …
const ARRIVED: u8 = (1 << ENDPOINTS) - 1;
/// … and one for its 202.
const ACCEPTED: u8 = 1 << ENDPOINTS;

/// Shared by producer, receiver and lab.
#[derive(Debug, Default)]
pub(crate) struct Tracker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    messages: HashMap<u64, u8>,
    counts: Counts,
    objections: Vec<String>,
}

/// Running totals. Times are nanoseconds since 1970, 0 for never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) arrivals: u64,
    /// Answers of 507, and how many of them had no `Retry-After`.
    pub(crate) full: u64,
    pub(crate) full_without_retry_after: u64,
    /// Accepted at the source; and how many of those were sent again afterwards.
    pub(crate) received: u64,
    pub(crate) received_again: u64,
    pub(crate) last_accepted: u64,
    /// The last arrival that was not a repeat.
    pub(crate) last_arrival: u64,
}

impl Tracker {
    pub(crate) fn accepted(&self, sequence: u64) {
        let mut state = self.lock();
        *state.messages.entry(sequence).or_default() |= ACCEPTED;
        state.counts.accepted += 1;
        state.counts.received += u64::from(Messages::is_received(sequence));
        state.counts.last_accepted = now_nanos();
    }

    pub(crate) fn arrived(&self, sequence: u64, endpoint: usize) {
        let mut state = self.lock();
        state.counts.arrivals += 1;
        let message = state.messages.entry(sequence).or_default();
        let bit = (1 << endpoint) & ARRIVED;
        if *message & bit == 0 {
            *message |= bit;
            state.counts.last_arrival = now_nanos();
        }
    }

    pub(crate) fn full(&self, has_retry_after: bool) {
        let mut state = self.lock();
        state.counts.full += 1;
        state.counts.full_without_retry_after += u64::from(!has_retry_after);
    }

    /// Notes what came of a webhook that was sent again, and what is wrong with it.
    pub(crate) fn received_again(&self, objection: Option<String>) {
        let mut state = self.lock();
        state.counts.received_again += 1;
        state.objections.extend(objection);
    }

    /// Takes what was found wrong.
    pub(crate) fn take_objections(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().objections)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Returns how many accepted messages have not arrived at every endpoint.
    pub(crate) fn missing(&self) -> usize {
        let state = self.lock();
        let is_missing =
            |message: &&u8| **message & ACCEPTED != 0 && **message & ARRIVED != ARRIVED;
        state.messages.values().filter(is_missing).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no thread panics while it holds this")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_missing_from_its_202_until_its_last_endpoint() {
        let tracker = Tracker::default();

        tracker.arrived(1, 0);
        assert_eq!(
            tracker.missing(),
            0,
            "nobody knows yet whether it was accepted"
        );
        tracker.accepted(1);
        tracker.arrived(1, 1);
        tracker.arrived(1, 1);
        assert_eq!(tracker.missing(), 1);
        tracker.arrived(1, 2);
        assert_eq!(tracker.missing(), 0);
        assert_eq!(tracker.counts().arrivals, 4);
    }
}
