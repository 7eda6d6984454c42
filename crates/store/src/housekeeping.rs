//! What keeps the store small, and what copies it.

use std::path::PathBuf;
use std::time::Duration;

use domain::Timestamp;

/// One small batch of housekeeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prune {
    /// Now.
    pub now: Timestamp,
    /// Messages and attempts older than this are erased entirely.
    pub history: Duration,
    /// Counters per endpoint and minute older than this are erased.
    pub statistics: Duration,
    /// At most so many rows.
    pub rows: u16,
}

/// What a batch of housekeeping did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Payloads erased.
    pub payloads: u64,
    /// Messages and attempts erased.
    pub history: u64,
    /// Deliveries settled or erased.
    pub deliveries: u64,
    /// Idempotency rows dropped.
    pub idempotency: u64,
    /// There is more to do right now.
    pub more: bool,
}

/// A consistent copy of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The file to write; it must not exist.
    pub to: PathBuf,
}

/// Counts for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Commits since start.
    pub commits: u64,
}
