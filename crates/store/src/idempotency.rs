//! Idempotency keys: a repeated request has one effect.

/// How long a key is kept, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdempotencyKind {
    /// Made by a client library for its own retries (`auto_…`): 1 hour.
    Automatic,
    /// Chosen by the caller: 24 hours.
    Chosen,
}

impl IdempotencyKind {
    /// Returns the length of a bucket in microseconds; a key lives for one to two buckets.
    pub const fn bucket_micros(self) -> i64 {
        match self {
            Self::Automatic => 3_600_000_000,
            Self::Chosen => 24 * 3_600_000_000,
        }
    }

    /// Returns the bucket of a time. A key is looked up in this bucket and the one before.
    pub fn bucket(self, at: domain::Timestamp) -> i64 {
        at.as_micros().div_euclid(self.bucket_micros())
    }

    /// Returns the stored number.
    pub const fn code(self) -> i64 {
        match self {
            Self::Automatic => 0,
            Self::Chosen => 1,
        }
    }
}

/// A request's idempotency key, hashed with the organization it counts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// How long it is kept.
    pub kind: IdempotencyKind,
    /// Hash of organization and key.
    pub key: [u8; 16],
    /// Hash of method, path and body: the same key must mean the same request.
    pub fingerprint: [u8; 16],
}

/// The answer of a write that may have happened before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write<T> {
    /// It happened now.
    Done(T),
    /// It happened before under the same idempotency key; this is the thing as it is today.
    Replayed(T),
}

impl<T> Write<T> {
    /// Returns the thing, however it came about.
    pub fn into_inner(self) -> T {
        match self {
            Self::Done(thing) | Self::Replayed(thing) => thing,
        }
    }
}
