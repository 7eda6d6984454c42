//! Latencies by percentile.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Collects latencies in microseconds with three significant digits.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits are allowed"))
    }
}

impl Latencies {
    /// Adds the time from `start` to `end`, both in nanoseconds; a negative one counts as zero.
    pub fn add(&mut self, start: u64, end: u64) {
        let micros = end.saturating_sub(start) / 1_000;
        self.0
            .record(micros)
            .expect("the histogram grows to hold any value");
    }

    /// Returns the percentiles of what was added.
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Percentiles {
            count: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max(),
        }
    }
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

impl Percentiles {
    /// Takes, percentile by percentile, the median over several rounds.
    pub fn median(rounds: &[Self]) -> Self {
        let of = |field: fn(&Self) -> u64| {
            let mut values: Vec<u64> = rounds.iter().map(field).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        Self {
            count: rounds.iter().map(|round| round.count).sum(),
            p50: of(|p| p.p50),
            p90: of(|p| p.p90),
            p99: of(|p| p.p99),
            p999: of(|p| p.p999),
            max: rounds.iter().map(|round| round.max).max().unwrap_or(0),
        }
    }

    /// Writes `p50 / p90 / p99 / p99.9` in milliseconds, as a cell of a table.
    pub fn cell(&self) -> String {
        if self.count == 0 {
            return "–".into();
        }
        [self.p50, self.p90, self.p99, self.p999]
            .map(millis)
            .join(" / ")
    }
}

/// Writes microseconds as milliseconds with three significant digits.
pub fn millis(micros: u64) -> String {
    let value = Duration::from_micros(micros).as_secs_f64() * 1_000.0;
    match micros {
        0..10_000 => format!("{value:.2}"),
        10_000..100_000 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut latencies = Latencies::default();
        for micros in 1..=1_000 {
            latencies.add(0, micros * 1_000);
        }

        let found = latencies.percentiles();

        assert_eq!((found.count, found.p50, found.p99), (1_000, 500, 990));
        assert_eq!(found.cell(), "0.50 / 0.90 / 0.99 / 1.00");
    }

    #[test]
    fn seconds_are_kept_as_well_as_microseconds() {
        let mut latencies = Latencies::default();
        for seconds in [1, 2, 30] {
            latencies.add(0, seconds * 1_000_000_000);
        }

        let found = latencies.percentiles();

        assert!(found.p50.abs_diff(2_000_000) < 2_000, "{found:?}");
        assert!(found.max >= 30_000_000, "{found:?}");
    }

    #[test]
    fn a_round_that_went_astray_does_not_move_the_median() {
        let round = |p99| Percentiles {
            p99,
            ..Percentiles::default()
        };

        let median = Percentiles::median(&[round(2), round(900), round(3)]);

        assert_eq!(median.p99, 3);
    }
}
