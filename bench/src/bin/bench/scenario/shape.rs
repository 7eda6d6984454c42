//! The scenarios that are one shape of load, relay and server in turns.

use posthaste_bench::child::Role;
use posthaste_bench::latency::Percentiles;
use serde_json::{Value, json};

use crate::bed::{self, Kind, Lab, Round, Side, median};
use crate::report::{Section, count, mebibytes, rate};
use crate::role::load::{Job, Pace};
use crate::role::receiver::{Listen, Listening};

/// How long each side runs before the first round counts.
const WARM_UP_SECONDS: f64 = 0.5;

/// A second attempt comes soon, or a round would last as long as the schedule.
const SCHEDULE: (&str, &str) = ("POSTHASTE__DELIVERY__RETRY_SCHEDULE", "0s,1s,1s,1s,1s");

const HEADER: [&str; 13] = [
    "load",
    "side",
    "messages/s",
    "deliveries/s",
    "of relay",
    "publish ms p50/p90/p99/p99.9",
    "publish to arrival ms p50/p90/p99/p99.9",
    "CPU s per 1,000: itself/publisher/receiver",
    "RSS MiB",
    "disk B/message",
    "flushes/s",
    "lost",
    "repeated",
];

#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) endpoints: u64,
    pub(super) connections: usize,
    pub(super) batch: u64,
    pub(super) payload_bytes: usize,
    pub(super) pace: Pace,
    /// The first part of the receiver's path.
    pub(super) behaviour: &'static str,
    /// Each endpoint takes an event type of its own, so that a message has one delivery.
    pub(super) filtered: bool,
}

impl Shape {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            endpoints: 1,
            connections: 32,
            batch: 1,
            payload_bytes: 1024,
            pace: Pace::Closed,
            behaviour: "e",
            filtered: false,
        }
    }

    fn describe(&self) -> String {
        let pace = match self.pace {
            Pace::Closed => format!("{} connections", self.connections),
            Pace::Open { per_second } => format!("{per_second} messages/s"),
        };
        let batch = if self.batch == 1 {
            String::new()
        } else {
            format!(" x {}", self.batch)
        };
        let filtered = if self.filtered { ", a type each" } else { "" };
        format!(
            "{} B{batch}, {pace}, {} endpoint(s){filtered}",
            self.payload_bytes, self.endpoints
        )
    }

    fn event_types(&self) -> Vec<String> {
        let types = if self.filtered { self.endpoints } else { 1 };
        (0..types).map(|n| format!("bench.event{n}")).collect()
    }

    fn endpoint(&self, receiver: &Listening, n: u64) -> Value {
        let url = format!("http://{}/{}/{n}", receiver.address, self.behaviour);
        if self.filtered {
            json!({ "url": url, "eventTypes": [format!("bench.event{n}")] })
        } else {
            json!({ "url": url })
        }
    }

    /// Returns how many deliveries a message has.
    fn deliveries(&self) -> u64 {
        if self.filtered { 1 } else { self.endpoints }
    }

    fn job(&self, side: &Side, first_sequence: u64, seconds: f64) -> Job {
        Job {
            pace: self.pace,
            connections: self.connections,
            batch: self.batch,
            payload_bytes: self.payload_bytes,
            event_types: self.event_types(),
            ..side.job(first_sequence, seconds)
        }
    }
}

pub(super) fn run(lab: &mut Lab, name: &'static str, shapes: &[Shape]) -> anyhow::Result<Section> {
    let mut section = Section {
        name,
        about: format!(
            "{} round(s) of {} s, relay and server in turns; medians.",
            lab.options.rounds, lab.options.seconds
        ),
        header: HEADER.to_vec(),
        rows: Vec::new(),
        figures: Value::Null,
        lost: 0,
        complaint: None,
    };
    let mut figures = Vec::new();
    for shape in shapes {
        let rounds = measure(lab, shape)?;
        for kind in [Kind::Relay, Kind::Server] {
            section.rows.extend(row(shape, kind, &rounds));
        }
        for round in rounds.iter().filter(|round| round.side == Kind::Server) {
            section.lost += round.lost;
            section.complaint = section.complaint.or_else(|| round.complaint.clone());
        }
        figures.push(json!({ "load": shape.describe(), "rounds": rounds }));
    }
    section.figures = Value::Array(figures);
    Ok(section)
}

fn measure(lab: &mut Lab, shape: &Shape) -> anyhow::Result<Vec<Round>> {
    let (mut receiver, listening) = Lab::receiver(Listen::default())?;
    let endpoints: Vec<Value> = (0..shape.endpoints)
        .map(|n| shape.endpoint(&listening, n))
        .collect();
    let mut sides = Vec::new();
    // The relay never tries twice and filters nothing, so it is no ceiling for either.
    if shape.behaviour == "e" && !shape.filtered {
        let name = format!("{}-relay", shape.name);
        sides.push(lab.side(Kind::Relay, &name, &[], &endpoints)?);
    }
    if !lab.options.relay_only {
        sides.push(lab.side(Kind::Server, shape.name, &[SCHEDULE], &endpoints)?);
    }
    let warm_up = WARM_UP_SECONDS.min(lab.options.seconds);
    for side in &sides {
        run_round(lab, shape, side, &mut receiver, warm_up)?;
    }
    let mut rounds = Vec::new();
    for _ in 0..lab.options.rounds {
        for side in &sides {
            let seconds = lab.options.seconds;
            rounds.push(run_round(lab, shape, side, &mut receiver, seconds)?);
        }
    }
    sides.into_iter().try_for_each(Side::end)?;
    Ok(rounds)
}

fn run_round(
    lab: &mut Lab,
    shape: &Shape,
    side: &Side,
    receiver: &mut Role,
    seconds: f64,
) -> anyhow::Result<Round> {
    let job = shape.job(side, lab.sequences(), seconds);
    bed::round(side, receiver, &job, shape.deliveries())
}

/// Writes one side's medians; `None` when that side did not run.
fn row(shape: &Shape, kind: Kind, rounds: &[Round]) -> Option<Vec<String>> {
    let own: Vec<&Round> = rounds.iter().filter(|round| round.side == kind).collect();
    if own.is_empty() {
        return None;
    }
    let of = |figure: fn(&Round) -> f64| median(own.iter().map(|round| figure(round)));
    let latency = |figure: fn(&Round) -> Percentiles| {
        let each: Vec<Percentiles> = own.iter().map(|round| figure(round)).collect();
        Percentiles::median(&each).cell()
    };
    let sum = |figure: fn(&Round) -> u64| count(own.iter().map(|round| figure(round)).sum());
    let cpu = [of(|r| r.cpu[0]), of(|r| r.cpu[1]), of(|r| r.cpu[2])];
    let flushes = own
        .iter()
        .filter_map(|round| round.flushes_per_second)
        .collect::<Vec<_>>();
    Some(vec![
        shape.describe(),
        if kind == Kind::Relay {
            "relay"
        } else {
            "server"
        }
        .into(),
        rate(of(|r| r.messages_per_second)),
        rate(of(|r| r.deliveries_per_second)),
        ratio(kind, rounds).map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}")),
        latency(|r| r.publish),
        latency(|r| r.arrival),
        cpu.map(|seconds| format!("{seconds:.3}")).join(" / "),
        mebibytes(
            own.iter()
                .map(|round| round.resident_bytes)
                .max()
                .unwrap_or(0),
        ),
        rate(of(|r| r.disk_bytes_per_message)),
        if flushes.is_empty() {
            "–".into()
        } else {
            rate(median(flushes))
        },
        sum(|r| r.lost),
        sum(|r| r.repeated),
    ])
}

/// Returns the median of the server's rate over that of the relay's round just before it.
fn ratio(kind: Kind, rounds: &[Round]) -> Option<f64> {
    let pairs = rounds.chunks_exact(2).filter_map(|pair| match pair {
        [relay, server] if relay.side == Kind::Relay && server.side == Kind::Server => {
            Some(server.deliveries_per_second / relay.deliveries_per_second)
        }
        _ => None,
    });
    let ratios: Vec<f64> = pairs.collect();
    (kind == Kind::Server && !ratios.is_empty()).then(|| median(ratios))
}
