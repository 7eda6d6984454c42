//! What follows an attempt: nothing, another one later, or the dead letters.

use std::time::Duration;

use crate::{AttemptNumber, Timestamp};

/// Waits before each attempt: entry n, counted from 1, is the wait before attempt n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>); // Invariant: 1 to 50 entries, each at most 7 days.

/// Why a schedule was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// There must be at least one attempt, and not endlessly many.
    #[error("has {len} entries; 1 to 50 are allowed")]
    Length {
        /// Entries found.
        len: usize,
    },
    /// One wait is longer than a schedule may hold.
    #[error("entry {number} is longer than 7 days")]
    TooLong {
        /// The entry, counted from 1.
        number: usize,
    },
}

impl RetrySchedule {
    /// The most attempts a schedule can ask for.
    pub const ENTRIES_MAX: usize = 50;
    const ENTRY_MAX: Duration = Duration::from_hours(7 * 24);

    /// Checks the number of entries and the length of each.
    pub fn new(waits: Vec<Duration>) -> Result<Self, InvalidSchedule> {
        if waits.is_empty() || waits.len() > Self::ENTRIES_MAX {
            return Err(InvalidSchedule::Length { len: waits.len() });
        }
        match waits.iter().position(|wait| *wait > Self::ENTRY_MAX) {
            Some(index) => Err(InvalidSchedule::TooLong { number: index + 1 }),
            None => Ok(Self(waits)),
        }
    }

    /// Returns the waits in order.
    pub fn waits(&self) -> &[Duration] {
        &self.0
    }

    /// Returns the wait before attempt `number`, or `None` when there is no such attempt.
    pub fn wait_before(&self, number: AttemptNumber) -> Option<Duration> {
        self.0.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Returns the time from publishing to the last attempt, jitter not counted.
    pub fn length(&self) -> Duration {
        self.0.iter().sum()
    }

    /// Returns how long a delivery may wait behind an unavailable endpoint before it fails: the
    /// whole schedule and a tenth more, and at least a minute.
    pub fn patience(&self) -> Duration {
        self.length().mul_f64(1.1).max(Duration::from_mins(1))
    }
}

/// At once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h.
impl Default for RetrySchedule {
    fn default() -> Self {
        const SECONDS: [u64; 10] = [
            0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400,
        ];
        Self(SECONDS.into_iter().map(Duration::from_secs).collect())
    }
}

/// How an attempt ended, as far as it matters for what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered 200 to 299.
    Accepted,
    /// Answered something else; `retry_after` is the wait that the answer asked for.
    Rejected {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, already turned into a wait from now.
        retry_after: Option<Duration>,
    },
    /// No complete answer.
    NoResponse,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The delivery is done.
    Succeed,
    /// Another attempt at this time.
    RetryAt(Timestamp),
    /// The schedule is used up: dead-lettered.
    Exhaust,
    /// The destination is gone for good: the endpoint is to be disabled.
    Disable,
}

/// The rules by which attempts follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Waits before each attempt.
    pub schedule: RetrySchedule,
    /// How far `Retry-After` may stretch a wait that is shorter.
    pub retry_after_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            schedule: RetrySchedule::default(),
            retry_after_max: Duration::from_hours(1),
        }
    }
}

impl RetryPolicy {
    /// Decides what follows attempt `number`, counted from 1.
    ///
    /// `jitter` is in `0.0..=1.0` and adds up to a fifth to the wait, so a retry is never early.
    /// A `Retry-After` counts between the schedule's wait and the longer of it and
    /// `retry_after_max`.
    pub fn next(
        &self,
        number: AttemptNumber,
        outcome: Outcome,
        now: Timestamp,
        jitter: f64,
    ) -> Next {
        self.next_by(&self.schedule, number, outcome, now, jitter)
    }

    /// Decides as [`Self::next`] does, by a schedule that an endpoint set for itself.
    pub fn next_by(
        &self,
        schedule: &RetrySchedule,
        number: AttemptNumber,
        outcome: Outcome,
        now: Timestamp,
        jitter: f64,
    ) -> Next {
        debug_assert!(number >= 1, "attempts count from 1");
        let asked = match outcome {
            Outcome::Accepted => return Next::Succeed,
            // 410 Gone: the receiver asked never to be called again.
            Outcome::Rejected { status: 410, .. } => return Next::Disable,
            Outcome::Rejected { retry_after, .. } => retry_after.unwrap_or(Duration::ZERO),
            Outcome::NoResponse => Duration::ZERO,
        };
        let Some(scheduled) = schedule.wait_before(number.saturating_add(1)) else {
            return Next::Exhaust;
        };
        let wait = asked.clamp(scheduled, scheduled.max(self.retry_after_max));
        Next::RetryAt(now.plus(wait.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 5.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn rejected(status: u16, retry_after: Option<u64>) -> Outcome {
        Outcome::Rejected {
            status,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn the_default_schedule_lasts_75_hours_35_minutes_and_5_seconds() {
        let length = RetrySchedule::default().length();

        assert_eq!(length, Duration::from_secs(75 * 3_600 + 35 * 60 + 5));
    }

    #[test]
    fn a_success_ends_a_410_disables_and_the_last_failure_exhausts() {
        let policy = RetryPolicy::default();

        assert_eq!(policy.next(1, Outcome::Accepted, NOW, 0.5), Next::Succeed);
        assert_eq!(policy.next(1, rejected(410, None), NOW, 0.5), Next::Disable);
        assert_eq!(policy.next(9, Outcome::NoResponse, NOW, 0.0), {
            Next::RetryAt(NOW.plus(Duration::from_hours(24)))
        });
        assert_eq!(
            policy.next(10, Outcome::NoResponse, NOW, 0.5),
            Next::Exhaust
        );
    }

    #[test]
    fn retry_after_stretches_a_wait_up_to_its_maximum_and_never_shortens_it() {
        let policy = RetryPolicy::default();
        let wait = |number, seconds| match policy.next(number, rejected(503, seconds), NOW, 0.0) {
            Next::RetryAt(at) => at.since(NOW).as_secs(),
            other => panic!("{other:?}"),
        };

        assert_eq!(wait(1, None), 5);
        assert_eq!(wait(1, Some(1)), 5, "shorter than the schedule");
        assert_eq!(wait(1, Some(60)), 60);
        assert_eq!(wait(1, Some(86_400)), 3_600, "longer than the maximum");
        assert_eq!(
            wait(9, Some(99_999_999_999)),
            86_400,
            "the schedule is beyond the maximum"
        );
    }

    #[test]
    fn an_empty_or_endless_schedule_is_refused() {
        assert_eq!(
            RetrySchedule::new(vec![]),
            Err(InvalidSchedule::Length { len: 0 })
        );
        assert_eq!(
            RetrySchedule::new(vec![Duration::ZERO; 51]),
            Err(InvalidSchedule::Length { len: 51 })
        );
        assert_eq!(
            RetrySchedule::new(vec![Duration::ZERO, Duration::from_secs(604_801)]),
            Err(InvalidSchedule::TooLong { number: 2 })
        );
    }

    proptest! {
        #[test]
        fn a_retry_is_never_early_and_at_most_a_fifth_late(
            number in 1u16..10,
            jitter in 0.0..=1.0,
        ) {
            let policy = RetryPolicy::default();
            let wait = policy.schedule.wait_before(number + 1).expect("below the last");
            match policy.next(number, Outcome::NoResponse, NOW, jitter) {
                Next::RetryAt(at) => {
                    prop_assert!(NOW.plus(wait) <= at && at <= NOW.plus(wait * 6 / 5));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn any_retry_after_keeps_the_wait_within_its_bounds(seconds in any::<u64>()) {
            let next = RetryPolicy::default().next(1, rejected(429, Some(seconds)), NOW, 0.0);
            match next {
                Next::RetryAt(at) => prop_assert!((5..=3_600).contains(&at.since(NOW).as_secs())),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
