//! What all request bodies together may hold in memory.
//!
//! A body counts as its bytes arrive, not as its head announces them: an announcement costs
//! whoever makes it nothing. It counts until its request is answered, as its handler works on
//! those very bytes. Small bodies that come in one piece are not counted; the bound on connections
//! bounds them, and nearly every publish is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::ApiError;
use crate::problem::Code;

/// Bodies of up to so many bytes that come in one piece are not counted.
pub(crate) const FREE: usize = 64 * 1024;

/// The bytes that bodies hold, and how many they may.
#[derive(Clone, Debug)]
pub(crate) struct BodyMemory(Arc<Used>);

#[derive(Debug)]
struct Used {
    bytes: AtomicUsize,
    most: usize,
}

/// One request's share, given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    of: Option<BodyMemory>,
    bytes: usize,
}

impl BodyMemory {
    pub(crate) fn new(most: usize) -> Self {
        let bytes = AtomicUsize::new(0);
        Self(Arc::new(Used { bytes, most }))
    }
}

impl Share {
    /// Begins a share of nothing; without a memory to share it never ends.
    pub(crate) fn of(memory: Option<&BodyMemory>) -> Self {
        Self {
            of: memory.cloned(),
            bytes: 0,
        }
    }

    /// Adds to the share, or says that the server is busy.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), ApiError> {
        let Some(BodyMemory(used)) = &self.of else {
            return Ok(());
        };
        let before = used.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > used.most {
            used.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(ApiError::of(Code::Busy));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(BodyMemory(used)) = &self.of {
            used.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_request_holds_others_cannot_until_it_is_done() {
        let memory = BodyMemory::new(100);
        let (mut one, mut other) = (Share::of(Some(&memory)), Share::of(Some(&memory)));

        one.take(60).unwrap();
        let refused = other.take(41).unwrap_err();
        other.take(40).unwrap();
        drop(one);
        other.take(60).unwrap();

        assert_eq!(refused.code(), Code::Busy);
        drop(other);
        assert_eq!(memory.0.bytes.load(Ordering::Relaxed), 0);
    }
}
