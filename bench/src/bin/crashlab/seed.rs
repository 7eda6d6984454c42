//! Numbers that follow from one seed.

use std::time::Duration;

/// SplitMix64: the whole sequence follows from the first number.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a count fits");
        usize::try_from(self.next() % bound).expect("it is less than a count")
    }

    /// Draws a wait of `least` to `most` milliseconds, both included.
    pub(crate) fn wait(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.next() % (most - least + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_waits_within_their_bounds() {
        let waits = |seed| {
            let mut numbers = Numbers::new(seed);
            (0..100)
                .map(|_| numbers.wait(50, 2_000).as_millis())
                .collect::<Vec<_>>()
        };

        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
        assert!(waits(7).iter().all(|wait| (50..=2_000).contains(wait)));
    }
}
