//! How many files the program may have open, sockets among them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Enough for ten thousand connections and whatever else opens files.
///
/// As many as systems permit, often half a million, would be too many: memory has to suffice for
/// all of them.
const WANTED: u64 = 16_384;

/// Raises the limit of this process to [`WANTED`], as far as the system permits.
///
/// Most systems start programs with 1,024 for the sake of those that still call `select(2)`.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let Some(raised) = raised(limit.current, limit.maximum) else {
        return;
    };
    let raised = Rlimit {
        current: Some(raised),
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "The limit of open files stays as it is");
    }
}

/// Returns what to raise a limit to; `None` when it is high enough or cannot be higher.
fn raised(current: Option<u64>, maximum: Option<u64>) -> Option<u64> {
    let wanted = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
    (wanted > current?).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_as_far_as_wanted_and_permitted_and_never_lowered() {
        assert_eq!(raised(Some(1_024), Some(524_288)), Some(WANTED));
        assert_eq!(raised(Some(1_024), None), Some(WANTED));
        assert_eq!(raised(Some(1_024), Some(4_096)), Some(4_096));
        assert_eq!(raised(Some(4_096), Some(4_096)), None);
        assert_eq!(raised(Some(65_536), Some(524_288)), None);
        assert_eq!(raised(None, None), None);
    }
}
