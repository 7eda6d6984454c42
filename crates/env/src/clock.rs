//! The wall clock, and the schedule clock that due times are compared with.

use std::sync::Mutex;
use std::time::Duration;

use domain::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the wall clock's time. It may jump, in both directions.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed moment. It never goes back.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// Starts the monotonic clock at zero.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the process reads the clock"
    )]
    pub fn new() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the process reads the clock"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp::from_micros(0).plus(since_epoch)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The clock that due times are set by and compared with.
///
/// It is the wall clock at the start plus monotonic time. It follows a forward step of the wall
/// clock, so that what is due after a suspend is due, and ignores a backward one, so that nothing
/// waits an hour longer because somebody corrected the clock by an hour.
#[derive(Debug)]
pub struct ScheduleClock {
    /// Schedule time less monotonic time, in microseconds; only ever rises.
    ahead: Mutex<i64>,
}

impl ScheduleClock {
    /// Starts from the wall clock.
    pub fn start(clock: &dyn Clock) -> Self {
        Self {
            ahead: Mutex::new(offset(clock)),
        }
    }

    /// Returns the schedule's time.
    pub fn now(&self, clock: &dyn Clock) -> Timestamp {
        let mut ahead = self.ahead.lock().expect("no panic while it is held");
        *ahead = (*ahead).max(offset(clock));
        Timestamp::from_micros(*ahead).plus(clock.monotonic())
    }
}

fn offset(clock: &dyn Clock) -> i64 {
    clock.now().minus(clock.monotonic()).as_micros()
}
