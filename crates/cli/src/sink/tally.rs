//! What a sink has seen so far, in numbers.

use std::collections::HashMap;
use std::fmt;

/// Counts over everything that a sink has received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were read to their end.
    pub received: u64,
    /// Deliveries: different `webhook-id`s, counted for each path.
    pub distinct: u64,
    /// Requests whose delivery had been received before.
    pub repeats: u64,
    /// Requests that were not answered with success.
    pub failures: u64,
    /// Requests whose signature was refused.
    pub refused: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            received,
            distinct,
            repeats,
            failures,
            refused,
        } = self;
        write!(
            f,
            "{received} received: {distinct} distinct, {repeats} repeats; {failures} not answered \
             with success, {refused} with a bad signature"
        )
    }
}

/// How many deliveries are remembered. Beyond it a repeat of a new one passes for new itself.
const REMEMBERED_MAX: usize = 1_000_000;

/// The counts, and how often each delivery was received.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) tally: Tally,
    seen: HashMap<(String, String), u32>,
    random: u64,
}

impl Memory {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            ..Self::default()
        }
    }

    /// Counts a request; how many of its delivery there have been with it.
    ///
    /// One without an id is the first of its own.
    pub(super) fn receive(&mut self, id: Option<&str>, path: &str) -> u32 {
        self.tally.received += 1;
        let Some(id) = id else { return 1 };
        let key = (id.to_owned(), path.to_owned());
        let count = self.seen.get(&key).map_or(1, |count| count + 1);
        if count > 1 || self.seen.len() < REMEMBERED_MAX {
            self.seen.insert(key, count);
        }
        if count == 1 {
            self.tally.distinct += 1;
        } else {
            self.tally.repeats += 1;
        }
        count
    }

    /// A number in `0.0..1.0`, from a sequence that the seed decides (SplitMix64).
    pub(super) fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("32 bits are left");
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_the_same_id_at_the_same_path() {
        let mut memory = Memory::new(1);

        assert_eq!(memory.receive(Some("msg_1"), "/a"), 1);
        assert_eq!(memory.receive(Some("msg_1"), "/b"), 1);
        assert_eq!(memory.receive(Some("msg_1"), "/a"), 2);
        assert_eq!(memory.receive(None, "/a"), 1);
        assert_eq!(memory.receive(None, "/a"), 1);

        let Tally {
            received,
            distinct,
            repeats,
            ..
        } = memory.tally;
        assert_eq!((received, distinct, repeats), (5, 2, 1));
    }

    #[test]
    fn chance_is_spread_evenly_and_the_seed_decides_it() {
        let draw = |seed| {
            let mut memory = Memory::new(seed);
            (0..10_000).map(|_| memory.chance()).collect::<Vec<_>>()
        };
        let drawn = draw(7);
        let low = drawn.iter().filter(|chance| **chance < 0.05).count();

        assert!(drawn.iter().all(|chance| (0.0..1.0).contains(chance)));
        assert!((400..600).contains(&low), "{low} of 10,000 below 5 %");
        assert_eq!(drawn, draw(7));
        assert_ne!(drawn, draw(8));
    }
}
