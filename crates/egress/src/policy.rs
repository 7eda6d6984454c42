//! The address policy of this moment, shared by everything that connects.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use domain::AddressPolicy;

/// An [`AddressPolicy`] that can be replaced while connections are open.
///
/// Clones share the policy. A connection remembers the version that its peer was judged by, so
/// asking whether it still holds costs one load as long as nobody replaced the policy.
#[derive(Clone, Debug)]
pub struct SharedPolicy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    version: AtomicU64,
    current: RwLock<Arc<AddressPolicy>>,
}

impl SharedPolicy {
    /// Starts with this policy.
    pub fn new(policy: AddressPolicy) -> Self {
        Self(Arc::new(Inner {
            version: AtomicU64::new(0),
            current: RwLock::new(Arc::new(policy)),
        }))
    }

    /// Replaces the policy. It holds for every request that is sent from now on.
    pub fn replace(&self, policy: AddressPolicy) {
        let mut current = self
            .0
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(policy);
        // Still under the lock, so that a version never goes with an older policy.
        self.0.version.fetch_add(1, Ordering::Release);
    }

    /// Returns the policy.
    pub fn load(&self) -> Arc<AddressPolicy> {
        self.load_with_version().0
    }

    pub(crate) fn load_with_version(&self) -> (Arc<AddressPolicy>, u64) {
        let current = self
            .0
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&current), self.version())
    }

    pub(crate) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }
}
