//! How fast a destination may be called: concurrency, breaker, rate. Pure decisions; `now` is
//! the monotonic time since the engine's start.

use std::time::Duration;

use crate::EngineConfig;

/// What an attempt says about the destination's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Accepted.
    Good,
    /// Refused with a status that asks to slow down: 429, 502, 503 or 504.
    Overloaded,
    /// Any other failure with an answer, or a connection that failed fast.
    Bad,
    /// Time ran out.
    TimedOut,
}

/// Whether an attempt may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// Now.
    Yes,
    /// When an attempt in flight has ended.
    WhenOneEnds,
    /// Not before this time.
    At(Duration),
}

/// The pace of one destination.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Attempts that may be in flight, by what its answers allowed so far.
    window: u16,
    /// What the window never exceeds: the endpoint's own number, or the server's.
    most: u16,
    /// Good answers since the window last grew.
    good_in_row: u16,
    /// When the ramp from one attempt at a time began, while it lasts.
    ramp_since: Option<Duration>,
    breaker: Breaker,
    /// The shortest time between attempts, after answers that asked to slow down.
    gap: Duration,
    /// No attempt before this time, by `gap`.
    not_before: Duration,
    /// Smoothed time that an attempt takes.
    latency: Duration,
    /// The last attempt ran out of time.
    slow: bool,
    /// Some attempt got an answer, or failed without running out of time.
    proven: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaker {
    /// Failures in a row, and when the first of them happened.
    Closed { failures: u32, since: Duration },
    /// One probe at a time, not before this time.
    Open { probe_at: Duration },
}

/// Answers slower than this make more concurrency worth while; faster ones saturate the
/// destination (or us) with what there is.
const GROW_ABOVE: Duration = Duration::from_millis(5);
/// Answers slower than this are not "fast": the window stays.
const GROW_BELOW: Duration = Duration::from_secs(1);
const GAP_FIRST: Duration = Duration::from_millis(10);
const GAP_MAX: Duration = Duration::from_secs(1);

impl Pace {
    pub(crate) fn new(config: &EngineConfig, now: Duration) -> Self {
        Self {
            // After an unclean end a quarter at first; it widens with every few good answers.
            window: if config.cautious {
                (config.concurrency_start / 4).max(1)
            } else {
                config.concurrency_start
            },
            most: config.concurrency_max,
            good_in_row: 0,
            ramp_since: None,
            breaker: Breaker::Closed {
                failures: 0,
                since: now,
            },
            gap: Duration::ZERO,
            not_before: Duration::ZERO,
            latency: Duration::ZERO,
            slow: false,
            proven: false,
        }
    }

    /// Sets how many attempts may be in flight at the very most.
    pub(crate) const fn limit(&mut self, most: u16) {
        self.most = most;
    }

    /// Says whether one more attempt may start beside those in flight.
    pub(crate) fn permit(&self, config: &EngineConfig, in_flight: u16, now: Duration) -> Permit {
        if let Breaker::Open { probe_at } = self.breaker {
            return match (in_flight, now >= probe_at) {
                (0, true) => Permit::Yes,
                (0, false) => Permit::At(probe_at),
                _ => Permit::WhenOneEnds,
            };
        }
        if in_flight >= self.window_at(config, now) {
            return match self.ramp_since {
                // The ramp widens with time alone, so look again before the attempts end.
                Some(since) if in_flight < self.window() => {
                    Permit::At(next_step(config, since, now))
                }
                _ => Permit::WhenOneEnds,
            };
        }
        if now < self.not_before {
            Permit::At(self.not_before)
        } else {
            Permit::Yes
        }
    }

    /// Notes that an attempt starts.
    pub(crate) fn started(&mut self, config: &EngineConfig, now: Duration) {
        self.not_before = now + self.gap;
        if let Breaker::Open { probe_at } = &mut self.breaker {
            *probe_at = now + config.breaker_probe;
        }
    }

    /// Notes how an attempt ended. Returns `true` when the breaker opened by it.
    pub(crate) fn ended(
        &mut self,
        config: &EngineConfig,
        health: Health,
        took: Duration,
        now: Duration,
    ) -> bool {
        self.latency = (self.latency * 7 + took) / 8;
        self.slow = health == Health::TimedOut;
        self.proven |= !self.slow;
        match health {
            Health::Good => {
                self.recovered(config, now);
                return false;
            }
            Health::Overloaded => {
                self.window = (self.window / 2).max(1);
                self.gap = (self.gap * 2).clamp(GAP_FIRST, GAP_MAX);
                self.not_before = self.not_before.max(now + self.gap);
            }
            Health::TimedOut => self.window = self.window.min(config.concurrency_start),
            Health::Bad => {}
        }
        self.good_in_row = 0;
        self.failed(config, now)
    }

    fn recovered(&mut self, config: &EngineConfig, now: Duration) {
        if self.is_open() {
            self.ramp_since = Some(now);
            self.window = config.concurrency_start;
        }
        if self
            .ramp_since
            .is_some_and(|since| now >= since + config.slow_start)
        {
            self.ramp_since = None;
        }
        self.breaker = Breaker::Closed {
            failures: 0,
            since: now,
        };
        self.gap = if self.gap <= GAP_FIRST {
            Duration::ZERO
        } else {
            self.gap / 2
        };
        self.good_in_row = self.good_in_row.saturating_add(1);
        let floor = self.window < config.concurrency_start;
        let worth_it = self.latency >= GROW_ABOVE && self.latency <= GROW_BELOW;
        let room = self.window < self.most;
        if self.good_in_row >= self.window && room && (floor || worth_it) {
            self.window += 1;
            self.good_in_row = 0;
        }
    }

    fn failed(&mut self, config: &EngineConfig, now: Duration) -> bool {
        let Breaker::Closed { failures, since } = &mut self.breaker else {
            return false;
        };
        if *failures == 0 {
            *since = now;
        }
        *failures = failures.saturating_add(1);
        let opens = *failures >= config.breaker_failures && now >= *since + config.breaker_after;
        if opens {
            self.breaker = Breaker::Open {
                probe_at: now + config.breaker_probe,
            };
        }
        opens
    }

    fn window_at(&self, config: &EngineConfig, now: Duration) -> u16 {
        let Some(since) = self.ramp_since else {
            return self.window();
        };
        let share = now.saturating_sub(since).as_secs_f64() / config.slow_start.as_secs_f64();
        if share >= 1.0 {
            return self.window();
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a small positive number"
        )]
        let ramped = (f64::from(self.window()) * share) as u16;
        ramped.max(1)
    }

    /// Says whether the breaker is open.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.breaker, Breaker::Open { .. })
    }

    /// Says whether the last attempt ran out of time.
    pub(crate) const fn is_slow(&self) -> bool {
        self.slow
    }

    /// Says whether attempts may well run out of time: the last one did, or nothing is known yet.
    ///
    /// Such lanes share half of all attempts, so that any number of destinations that hang leaves
    /// the other half to those that answer.
    pub(crate) const fn is_doubtful(&self) -> bool {
        self.slow || !self.proven
    }

    /// Returns how many attempts may be in flight at the most.
    pub(crate) fn window(&self) -> u16 {
        self.window.min(self.most)
    }
}

/// Returns when a ramp is looked at next: ten times in all, however often somebody asks.
fn next_step(config: &EngineConfig, since: Duration, now: Duration) -> Duration {
    let step = (config.slow_start / 10).max(Duration::from_millis(1));
    let made = now.saturating_sub(since).as_nanos() / step.as_nanos();
    since + step * u32::try_from(made + 1).unwrap_or(u32::MAX)
}

/// How far the attempts of a rate limit may run ahead of their even spacing.
const TOLERANCE: Duration = Duration::from_millis(10);

/// A rate limit by the generic cell rate algorithm (ITU-T I.371): a theoretical arrival time that
/// may run ahead of the clock by [`TOLERANCE`], so that timers that fire late cost nothing.
///
/// The steps are longer by as much as the tolerance lets through, so that no second ever sees more
/// than `per_second` attempts, wherever it begins; the price is one in a hundred.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: u16,
    arrival: Duration,
}

impl Rate {
    pub(crate) const fn new(per_second: u16) -> Self {
        Self {
            per_second,
            arrival: Duration::ZERO,
        }
    }

    /// Changes the rate; what was taken by the old one still counts.
    pub(crate) const fn set(&mut self, per_second: u16) {
        self.per_second = per_second;
    }

    fn step(&self) -> Duration {
        (Duration::from_secs(1) + TOLERANCE) / u32::from(self.per_second.max(1))
    }

    /// Returns the earliest time for the next attempt.
    pub(crate) fn ready_at(&self) -> Duration {
        self.arrival.saturating_sub(TOLERANCE)
    }

    /// Takes one attempt's worth.
    pub(crate) fn take(&mut self, now: Duration) {
        self.arrival = self.arrival.max(now) + self.step();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FAST: Duration = Duration::from_micros(500);

    fn pace() -> (EngineConfig, Pace) {
        let config = EngineConfig::default();
        let pace = Pace::new(&config, Duration::ZERO);
        (config, pace)
    }

    fn fail_until_open(config: &EngineConfig, pace: &mut Pace) -> Duration {
        for step in 0u32.. {
            let now = SECOND * step;
            if pace.ended(config, Health::Bad, FAST, now) {
                return now;
            }
            assert!(step < 100, "the breaker never opens");
        }
        unreachable!()
    }

    #[test]
    fn a_new_destination_gets_eight_at_once_and_not_nine() {
        let (config, pace) = pace();

        assert_eq!(pace.permit(&config, 7, Duration::ZERO), Permit::Yes);
        assert_eq!(pace.permit(&config, 8, Duration::ZERO), Permit::WhenOneEnds);
    }

    #[test]
    fn the_window_grows_to_its_maximum_when_each_answer_takes_a_while() {
        let (config, mut pace) = pace();
        for _ in 0..10_000 {
            pace.ended(&config, Health::Good, Duration::from_millis(50), SECOND);
        }

        assert_eq!(pace.window(), config.concurrency_max);
    }

    #[test]
    fn the_window_stays_when_answers_come_at_once() {
        let (config, mut pace) = pace();
        for _ in 0..10_000 {
            pace.ended(&config, Health::Good, FAST, SECOND);
        }

        assert_eq!(pace.window(), config.concurrency_start);
    }

    #[test]
    fn a_timeout_drops_a_wide_window_back_and_marks_the_destination_slow() {
        let (config, mut pace) = pace();
        for _ in 0..10_000 {
            pace.ended(&config, Health::Good, Duration::from_millis(50), SECOND);
        }

        pace.ended(&config, Health::TimedOut, 20 * SECOND, SECOND);

        assert_eq!(pace.window(), config.concurrency_start);
        assert!(pace.is_slow());
    }

    #[test]
    fn twenty_failures_within_ten_seconds_leave_the_breaker_closed() {
        let (config, mut pace) = pace();
        for _ in 0..1_000 {
            assert!(!pace.ended(&config, Health::Bad, FAST, 9 * SECOND));
        }

        assert!(!pace.is_open());
    }

    #[test]
    fn failures_in_a_row_over_ten_seconds_open_the_breaker_to_one_probe_per_interval() {
        let (config, mut pace) = pace();
        let opened = fail_until_open(&config, &mut pace);
        let probe = opened + config.breaker_probe;

        assert_eq!(opened, SECOND * 19);
        assert_eq!(pace.permit(&config, 0, opened), Permit::At(probe));
        assert_eq!(pace.permit(&config, 0, probe), Permit::Yes);
        pace.started(&config, probe);
        assert_eq!(pace.permit(&config, 1, probe), Permit::WhenOneEnds);
        pace.ended(&config, Health::Bad, FAST, probe);
        assert_eq!(
            pace.permit(&config, 0, probe),
            Permit::At(probe + config.breaker_probe)
        );
    }

    #[test]
    fn a_good_probe_closes_the_breaker_and_ramps_up_over_the_slow_start() {
        let (config, mut pace) = pace();
        let now = fail_until_open(&config, &mut pace) + config.breaker_probe;
        pace.started(&config, now);

        pace.ended(&config, Health::Good, FAST, now);

        assert!(!pace.is_open());
        assert_eq!(pace.permit(&config, 0, now), Permit::Yes);
        assert!(
            matches!(pace.permit(&config, 1, now), Permit::At(_)),
            "one at a time at first"
        );
        assert_eq!(
            pace.permit(&config, 3, now + config.slow_start / 2),
            Permit::Yes
        );
        assert_eq!(
            pace.permit(&config, 7, now + config.slow_start),
            Permit::Yes
        );
    }

    #[test]
    fn one_success_between_failures_starts_the_count_again() {
        let (config, mut pace) = pace();
        for step in 0..200u32 {
            let health = if step % 19 == 18 {
                Health::Good
            } else {
                Health::Bad
            };
            assert!(
                !pace.ended(&config, health, FAST, SECOND * step),
                "at {step}"
            );
        }
    }

    #[test]
    fn answers_that_ask_to_slow_down_halve_the_window_and_space_attempts_out() {
        let (config, mut pace) = pace();
        for _ in 0..3 {
            pace.ended(&config, Health::Overloaded, FAST, SECOND);
        }

        assert_eq!(pace.window(), 1);
        assert!(matches!(pace.permit(&config, 0, SECOND), Permit::At(at) if at > SECOND));
        for _ in 0..100 {
            pace.ended(&config, Health::Good, FAST, 2 * SECOND);
        }
        assert_eq!(pace.window(), config.concurrency_start, "it recovers");
        assert_eq!(pace.permit(&config, 0, 2 * SECOND), Permit::Yes);
    }

    #[test]
    fn a_rate_of_ten_per_second_lets_ten_through_in_each_second() {
        let mut rate = Rate::new(10);
        let mut now = SECOND;
        let mut taken = 0;
        while now < 3 * SECOND {
            if now >= rate.ready_at() {
                rate.take(now);
                taken += 1;
            }
            now += Duration::from_millis(1);
        }

        assert!((20..=21).contains(&taken), "{taken}");
    }

    #[test]
    fn no_second_sees_more_than_the_rate_wherever_it_begins() {
        for per_second in [1, 3, 10, 100, 999, 5_000] {
            let mut rate = Rate::new(per_second);
            let mut taken = std::collections::VecDeque::new();
            let mut all = 0;
            for tick in 0..50_000u32 {
                // Timers are late by now and then, and destinations are idle for a while.
                if tick % 7 == 3 || tick % 9_000 > 8_000 {
                    continue;
                }
                let now = Duration::from_micros(100) * tick;
                while rate.ready_at() <= now {
                    rate.take(now);
                    taken.push_back(now);
                    all += 1;
                }
                while taken.front().is_some_and(|first| *first + SECOND <= now) {
                    taken.pop_front();
                }
                assert!(
                    taken.len() <= usize::from(per_second),
                    "{per_second} at {now:?}"
                );
            }
            assert!(all >= u32::from(per_second) * 4, "{all} of {per_second}");
        }
    }

    #[test]
    fn a_rate_that_is_changed_forgets_nothing() {
        let mut rate = Rate::new(1);
        rate.take(SECOND);

        rate.set(2);

        assert!(rate.ready_at() > SECOND + SECOND / 2);
    }

    #[test]
    fn an_endpoints_own_concurrency_is_never_exceeded() {
        let (config, mut pace) = pace();
        pace.limit(3);

        assert_eq!(pace.permit(&config, 2, SECOND), Permit::Yes);
        assert_eq!(pace.permit(&config, 3, SECOND), Permit::WhenOneEnds);
        for _ in 0..10_000 {
            pace.ended(&config, Health::Good, Duration::from_millis(50), SECOND);
        }
        assert_eq!(pace.window(), 3);
        pace.limit(100);
        assert!(
            pace.window() <= config.concurrency_start,
            "it grew for nobody"
        );
    }

    #[test]
    fn a_destination_is_doubtful_until_it_answers_and_again_when_time_runs_out() {
        let (config, mut pace) = pace();
        assert!(pace.is_doubtful(), "nothing is known");

        pace.ended(&config, Health::Bad, FAST, SECOND);
        assert!(!pace.is_doubtful());

        pace.ended(&config, Health::TimedOut, 20 * SECOND, SECOND);
        assert!(pace.is_doubtful());
    }

    #[test]
    fn a_cautious_start_begins_with_a_quarter_and_widens_with_good_answers() {
        let config = EngineConfig {
            cautious: true,
            ..EngineConfig::default()
        };
        let mut pace = Pace::new(&config, SECOND);
        assert_eq!(pace.permit(&config, 1, SECOND), Permit::Yes);
        assert_eq!(pace.permit(&config, 2, SECOND), Permit::WhenOneEnds);

        for _ in 0..50 {
            pace.ended(&config, Health::Good, FAST, SECOND);
        }

        assert_eq!(pace.window(), config.concurrency_start);
    }
}
