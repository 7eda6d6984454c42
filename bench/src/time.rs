//! The one clock that several processes agree on.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the wall clock in nanoseconds since 1970.
///
/// A message is stamped in one process and arrives in another, so a process's own monotonic
/// clock would not do. A step of the wall clock spoils the run it happens in.
pub fn now_nanos() -> u64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is set past 1970");
    u64::try_from(elapsed.as_nanos()).expect("64 bits of nanoseconds last until 2554")
}
