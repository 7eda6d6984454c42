//! Stand-ins for tests: a clock that follows paused tokio time, seeded entropy.

use std::sync::Mutex;
use std::time::Duration;

use domain::Timestamp;

use crate::{Clock, Entropy};

/// A wall clock that is a fixed epoch plus tokio's elapsed time, so pausing one pauses both.
#[derive(Debug)]
pub struct TokioClock {
    start: tokio::time::Instant,
    /// How far the wall clock was stepped, in microseconds.
    stepped: Mutex<i64>,
}

impl TokioClock {
    /// 2026-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp::from_unix_seconds(1_767_225_600);

    /// Starts at [`Self::EPOCH`]. Call it inside of a runtime.
    pub fn new() -> Self {
        Self {
            start: tokio::time::Instant::now(),
            stepped: Mutex::new(0),
        }
    }

    /// Steps the wall clock (not the monotonic one) by some microseconds.
    pub fn step(&self, micros: i64) {
        *self.stepped.lock().expect("no panic while it is held") += micros;
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let stepped = *self.stepped.lock().expect("no panic while it is held");
        Timestamp::from_micros(Self::EPOCH.plus(self.monotonic()).as_micros() + stepped)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Entropy that is a function of its seed (SplitMix64). For tests only: it is predictable.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// Starts from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().expect("no panic while it is held");
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut value = *state;
            value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            value ^= value >> 31;
            chunk.copy_from_slice(&value.to_le_bytes()[..chunk.len()]);
        }
    }
}
