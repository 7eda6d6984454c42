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
///
/// Small requests are served from a pool: each message asks for a few bytes, and a call into the
/// generator costs many times as much as the bytes.
pub struct SystemEntropy(Mutex<Pool>);

/// Random bytes not given out yet, from `next` on; those before it are zero again.
struct Pool {
    bytes: [u8; Self::LEN],
    next: usize,
}

impl Pool {
    const LEN: usize = 4096;
}

impl SystemEntropy {
    /// The largest request that the pool serves.
    const SMALL: usize = 64;
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self(Mutex::new(Pool {
            bytes: [0; Pool::LEN],
            next: Pool::LEN,
        }))
    }
}

impl std::fmt::Debug for SystemEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SystemEntropy")
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        const WORKS: &str = "the operating system gives random bytes";
        if bytes.len() > Self::SMALL {
            return aws_lc_rs::rand::fill(bytes).expect(WORKS);
        }
        let mut pool = self.0.lock().expect("no panic while it is held");
        if pool.next + bytes.len() > Pool::LEN {
            aws_lc_rs::rand::fill(&mut pool.bytes).expect(WORKS);
            pool.next = 0;
        }
        let (from, to) = (pool.next, pool.next + bytes.len());
        bytes.copy_from_slice(&pool.bytes[from..to]);
        // What was given out must not be found here later.
        pool.bytes[from..to].fill(0);
        pool.next = to;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_get_the_same_bytes_across_many_pools() {
        let entropy = SystemEntropy::default();
        let mut seen = std::collections::HashSet::new();

        for _ in 0..10_000 {
            assert!(seen.insert(entropy.next_u128()));
        }

        let pool = entropy.0.lock().expect("not poisoned");
        assert!(
            pool.bytes[..pool.next].iter().all(|byte| *byte == 0),
            "given out and forgotten"
        );
    }
}
