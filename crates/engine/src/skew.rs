//! Notices when clocks differ: ours, by which receivers judge signatures, and theirs.
//!
//! A signature counts for five minutes, so a clock that is off makes receivers refuse everything,
//! with nothing but their 401 to show for it. Every answer has a `Date`; one of them per second is
//! looked at. One receiver's clock may be wrong; the middle one of the last few hardly is.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use http::HeaderValue;

use crate::retry_after::http_date;

/// A look at one answer per so much time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Clocks that differ by more are told of: a fifth of what a signature's time may be off.
const DIFFERENCE_MAX: i64 = 60;
/// At most one warning per so much time.
const WARN_EVERY: Duration = Duration::from_mins(10);
/// So many answers are remembered.
const REMEMBERED: usize = 16;

/// What the last answers said about the time.
#[derive(Debug, Default)]
pub(crate) struct Skew {
    next_look: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By how many seconds receivers were ahead, in the order of their answers.
    seconds: VecDeque<i64>,
    next_warning: Duration,
}

impl Skew {
    /// Looks at an answer's `Date`, now and then; returns by how many seconds the receiver is
    /// ahead, when somebody should be warned.
    pub(crate) fn look(
        &self,
        date: Option<&HeaderValue>,
        now: Timestamp,
        monotonic: Duration,
    ) -> Option<i64> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if micros(monotonic) < self.next_look.load(Ordering::Relaxed) {
            return None;
        }
        let date = http_date(date?.to_str().ok()?)?;
        let next = micros(monotonic + LOOK_EVERY);
        self.next_look.store(next, Ordering::Relaxed);
        let ahead = (date.as_micros() - now.as_micros()) / 1_000_000;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.seconds.len() == REMEMBERED {
            seen.seconds.pop_front();
        }
        seen.seconds.push_back(ahead);
        let is_told = ahead.abs() > DIFFERENCE_MAX && monotonic >= seen.next_warning;
        if is_told {
            seen.next_warning = monotonic + WARN_EVERY;
        }
        is_told.then_some(ahead)
    }

    /// Returns by how many seconds the middle one of the last receivers was ahead.
    pub(crate) fn seconds(&self) -> i64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<i64> = seen.seconds.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06T08:49:37Z.
    const NOW: Timestamp = Timestamp::from_unix_seconds(784_111_777);
    const RIGHT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AHEAD: &str = "Sun, 06 Nov 1994 08:59:37 GMT";
    const BEHIND: &str = "Sun, 06 Nov 1994 08:39:37 GMT";

    fn look(skew: &Skew, date: &'static str, seconds: u64) -> Option<i64> {
        let date = HeaderValue::from_static(date);
        skew.look(Some(&date), NOW, Duration::from_secs(seconds))
    }

    #[test]
    fn a_receiver_whose_clock_differs_is_told_of_once_in_ten_minutes() {
        let skew = Skew::default();

        assert_eq!(look(&skew, RIGHT, 0), None);
        assert_eq!(look(&skew, AHEAD, 1), Some(600));
        assert_eq!(look(&skew, BEHIND, 2), None, "another one so soon");
        assert_eq!(look(&skew, BEHIND, 601), Some(-600));
    }

    #[test]
    fn a_minute_is_no_difference() {
        let skew = Skew::default();

        assert_eq!(look(&skew, "Sun, 06 Nov 1994 08:50:37 GMT", 0), None);
        assert_eq!(look(&skew, "Sun, 06 Nov 1994 08:50:38 GMT", 1), Some(61));
    }

    #[test]
    fn one_answer_per_second_is_looked_at() {
        let skew = Skew::default();
        look(&skew, RIGHT, 5);

        let date = HeaderValue::from_static(AHEAD);
        let soon = Duration::from_millis(5_999);

        assert_eq!(skew.look(Some(&date), NOW, soon), None);
        assert_eq!(look(&skew, AHEAD, 6), Some(600));
    }

    #[test]
    fn the_middle_of_many_stands_for_all() {
        let skew = Skew::default();
        for second in 0..40 {
            look(&skew, if second % 4 == 0 { AHEAD } else { RIGHT }, second);
        }
        assert_eq!(skew.seconds(), 0, "a few are wrong");

        for second in 40..60 {
            look(&skew, BEHIND, second);
        }
        assert_eq!(skew.seconds(), -600, "we are");
    }

    #[test]
    fn what_is_no_date_says_nothing() {
        let skew = Skew::default();

        for text in ["", "now", "Sun, 06 Nov 99999 08:49:37 GMT"] {
            assert_eq!(look(&skew, text, 0), None, "{text}");
        }
        assert_eq!(skew.look(None, NOW, Duration::ZERO), None);
        assert_eq!(skew.seconds(), 0);
    }
}
