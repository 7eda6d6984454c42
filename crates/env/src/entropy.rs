//! Random bytes and fresh ids.

use std::sync::Mutex;

use domain::{IdSequence, Timestamp};

/// Gives random bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with random bytes fit for keys.
    fn fill(&self, bytes: &mut [u8]);

    /// Returns 64 random bits.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Returns 128 random bits.
    fn next_u128(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }

    /// Returns a number in `0.0..1.0`.
    fn next_f64(&self) -> f64 {
        // The 53 bits that a double holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let mantissa = (self.next_u64() >> 11) as f64;
        mantissa / 9_007_199_254_740_992.0
    }
}

/// The operating system's random numbers, through the generator of the crypto library.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the operating system gives random bytes");
    }
}

/// Makes ids from a clock's time and some entropy, strictly increasing.
#[derive(Debug, Default)]
pub struct Ids(Mutex<IdSequence>);

impl Ids {
    /// Returns the 128 bits of a fresh id.
    pub fn next(&self, now: Timestamp, entropy: &dyn Entropy) -> u128 {
        let random = entropy.next_u128();
        self.0
            .lock()
            .expect("no panic while it is held")
            .next(now, random)
    }
}
