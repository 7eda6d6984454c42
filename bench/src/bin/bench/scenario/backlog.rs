//! Messages that pile up while their receiver refuses connections, and what that costs.
//!
//! Memory and intake are looked at with an empty store, at a tenth of the backlog, at the whole
//! of it, and while it drains.

use std::thread;
use std::time::Duration;

use posthaste_bench::child::Role;
use posthaste_bench::latency::{Percentiles, millis};
use posthaste_bench::server::free_address;
use posthaste_bench::usage;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bed::{Kind, Lab, Side, drained, float};
use crate::report::{Section, count, mebibytes, rate};
use crate::role::load::{self, Job, Pace, Stop};
use crate::role::receiver::{self, Listen};

/// Soon due again and never exhausted, however long the receiver is down.
const SCHEDULE_TAIL: &str = ",20s";
/// With the first two, the 50 that a schedule may have.
const SCHEDULE_TAIL_REPEATS: usize = 48;
const PROBE_PER_SECOND: u32 = 200;
const BATCH: u64 = 100;

#[derive(Debug, Serialize)]
struct Figures {
    messages: u64,
    resident_at_tenth: u64,
    resident_at_whole: u64,
    resident_peak_draining: u64,
    intake_empty: Percentiles,
    intake_at_tenth: Percentiles,
    intake_at_whole: Percentiles,
    intake_draining: Percentiles,
    drained_per_second: f64,
    drained_slowest: Option<u64>,
    per_tenth: Vec<u64>,
    lost: u64,
    repeated: u64,
    #[serde(skip)]
    complaint: Option<String>,
}

pub(super) fn run(lab: &mut Lab) -> anyhow::Result<Section> {
    let address = free_address()?;
    let schedule = format!("0s,2s{}", SCHEDULE_TAIL.repeat(SCHEDULE_TAIL_REPEATS));
    let settings = [
        ("POSTHASTE__DELIVERY__RETRY_SCHEDULE", schedule.as_str()),
        ("POSTHASTE__DELIVERY__BREAKER_PROBE", "1s"),
    ];
    let endpoint = json!({ "url": format!("http://{address}/e/0") });
    let side = lab.side(Kind::Server, "backlog", &settings, &[endpoint])?;
    let mut pile = Pile {
        first: lab.sequences(),
        next: 0,
        seconds: lab.options.seconds,
    };

    let messages = lab.options.backlog;
    let empty = pile.probe(&side)?;
    let mut loads = vec![pile.grow(&side, messages / 10)?];
    let resident_at_tenth = usage::resident_bytes(side.server.pid())?;
    let at_tenth = pile.probe(&side)?;
    loads.push(pile.grow(&side, messages - messages / 10)?);
    let resident_at_whole = usage::resident_bytes(side.server.pid())?;
    let at_whole = pile.probe(&side)?;
    let listen = Listen {
        port: address.port(),
        first_sequence: pile.first,
    };
    let (mut receiver, _) = Lab::receiver(listen)?;
    let draining = pile.probe(&side)?;
    loads.extend([&empty, &at_tenth, &at_whole, &draining].map(Clone::clone));
    let accepted: u64 = loads.iter().map(|load| load.accepted).sum();
    let (seen, resident_peak_draining) = watch(&side, &mut receiver, accepted)?;
    let (drained_per_second, drained_slowest) = drain(&seen);
    side.end()?;

    Ok(section(&Figures {
        messages: accepted,
        resident_at_tenth,
        resident_at_whole,
        resident_peak_draining,
        intake_empty: empty.latency,
        intake_at_tenth: at_tenth.latency,
        intake_at_whole: at_whole.latency,
        intake_draining: draining.latency,
        drained_per_second,
        drained_slowest,
        lost: accepted.saturating_sub(seen.distinct),
        repeated: seen.accepted - seen.distinct,
        per_tenth: seen.per_tenth,
        complaint: loads.into_iter().find_map(|load| load.complaint),
    }))
}

/// Hands out the numbers of one long round, published in parts.
struct Pile {
    first: u64,
    next: u64,
    seconds: f64,
}

impl Pile {
    fn publish(&mut self, job: &Job) -> anyhow::Result<load::Report> {
        let report: load::Report = Role::start("role-load")?.ask(job)?;
        self.next += report.accepted + report.failed;
        Ok(report)
    }

    /// Adds messages as fast as they are taken.
    fn grow(&mut self, side: &Side, messages: u64) -> anyhow::Result<load::Report> {
        let basic = side.job(self.first + self.next, self.seconds);
        self.publish(&Job {
            batch: BATCH,
            connections: 4,
            stop: Stop::At { messages },
            ..basic
        })
    }

    /// Publishes at a quiet rate, for the latency.
    fn probe(&mut self, side: &Side) -> anyhow::Result<load::Report> {
        let basic = side.job(self.first + self.next, self.seconds);
        self.publish(&Job {
            pace: Pace::Open {
                per_second: PROBE_PER_SECOND,
            },
            ..basic
        })
    }
}

/// Waits for the drain in steps, and looks at the memory at each.
fn watch(
    side: &Side,
    receiver: &mut Role,
    expected: u64,
) -> anyhow::Result<(receiver::Report, u64)> {
    let mut peak = 0;
    // The breaker's next probe may be most of a minute away.
    for _ in 0..600 {
        peak = peak.max(usage::resident_bytes(side.server.pid())?);
        let seen: receiver::Report = receiver.ask(&receiver::Command::Report)?;
        if seen.distinct > 0 && seen.distinct * 10 >= expected * 9 {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok((drained(receiver, expected)?, peak))
}

/// Returns the arrivals per second until nine tenths were there, and those of the slowest whole
/// second among them.
///
/// It reckons from the first arrival, so how long the receiver was down does not count; nor does
/// the end, when the few that were tried while it was down wait for their next due time.
fn drain(seen: &receiver::Report) -> (f64, Option<u64>) {
    let (mut sum, mut tenths) = (0, 0);
    while sum * 10 < seen.distinct * 9 {
        sum += seen.per_tenth[tenths];
        tenths += 1;
    }
    let seconds = seen.per_tenth[..tenths].chunks_exact(10);
    let slowest = seconds.map(|second| second.iter().sum()).min();
    let tenths = u32::try_from(tenths.max(1)).expect("a run is shorter than 2^32 tenths");
    (float(sum) * 10.0 / f64::from(tenths), slowest)
}

fn section(figures: &Figures) -> Section {
    let intake = [
        figures.intake_empty,
        figures.intake_at_tenth,
        figures.intake_at_whole,
        figures.intake_draining,
    ];
    let resident = [
        figures.resident_at_tenth,
        figures.resident_at_whole,
        figures.resident_peak_draining,
    ];
    Section {
        name: "backlog",
        about: format!(
            "{} messages of 1 KiB pile up while the receiver refuses connections, then drain.",
            count(figures.messages)
        ),
        header: vec![
            "RSS MiB at a tenth/at the whole/draining",
            "publish p99 ms at 200/s: empty/at a tenth/at the whole/draining",
            "drained/s",
            "slowest whole second",
            "lost",
            "repeated",
        ],
        rows: vec![vec![
            resident.map(mebibytes).join(" / "),
            intake.map(|latency| millis(latency.p99)).join(" / "),
            rate(figures.drained_per_second),
            figures.drained_slowest.map_or_else(|| "–".into(), count),
            count(figures.lost),
            count(figures.repeated),
        ]],
        figures: serde_json::to_value(figures).unwrap_or(Value::Null),
        lost: figures.lost,
        complaint: figures.complaint.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_reckoned_until_nine_tenths_are_there() {
        let mut per_tenth = vec![10; 9];
        per_tenth.extend([0, 5, 0, 5]);
        let seen = receiver::Report {
            distinct: 100,
            per_tenth,
            ..receiver::Report::default()
        };
        let slow = receiver::Report {
            distinct: 30,
            per_tenth: vec![1; 30],
            ..seen.clone()
        };

        assert_eq!(drain(&seen), (100.0, None));
        assert_eq!(drain(&slow), (10.0, Some(10)));
    }

    #[test]
    fn nothing_that_arrived_is_no_rate() {
        assert_eq!(drain(&receiver::Report::default()), (0.0, None));
    }
}
