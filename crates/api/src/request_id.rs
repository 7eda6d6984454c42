//! Names for requests: in the answer's header and in the log.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::HeaderName;
use service::RequestId;

/// The header that carries the name.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Told apart by process, in order within it. Not secret, and not for use as a key.
static PROCESS: LazyLock<u32> = LazyLock::new(|| {
    let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
});
static COUNT: AtomicU64 = AtomicU64::new(1);

/// Returns the next name, such as `5f2d09c1-00002a`.
pub(crate) fn next() -> RequestId {
    RequestId {
        process: *PROCESS,
        count: COUNT.fetch_add(1, Relaxed),
    }
}
