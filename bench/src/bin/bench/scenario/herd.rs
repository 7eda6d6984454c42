//! Many endpoints whose receiver is down while messages for them pile up, and then comes back:
//! what arrives must grow gently, and must not come in waves.

use std::thread;
use std::time::{Duration, Instant};

use posthaste_bench::child::Role;
use posthaste_bench::server::free_address;
use posthaste_bench::usage;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bed::{Kind, Lab, drained, float};
use crate::report::{Section, count, mebibytes, rate};
use crate::role::load::{self, Job, Stop};
use crate::role::receiver::{self, Listen};

const ENDPOINTS: u32 = 500;
const PER_ENDPOINT: u64 = 100;
const BATCH: u64 = 100;
/// How long the receiver stays down after the last publish, so that breakers are open.
const DOWN: Duration = Duration::from_secs(15);
/// Retries come back within seconds, so that what was tried in vain joins the others.
const SETTINGS: [(&str, &str); 3] = [
    (
        "POSTHASTE__DELIVERY__RETRY_SCHEDULE",
        "0s,2s,20s,20s,20s,20s,20s,20s,20s,20s",
    ),
    ("POSTHASTE__DELIVERY__BREAKER_PROBE", "5s"),
    ("POSTHASTE__DELIVERY__BREAKER_AFTER", "5s"),
];

#[derive(Debug, Serialize)]
struct Figures {
    endpoints: u32,
    accepted: u64,
    /// From the receiver's return to the first arrival.
    first_after_seconds: f64,
    /// From the first arrival until all were there.
    drained_seconds: f64,
    most_in_a_tenth: u64,
    connections_peak: u64,
    resident_bytes: u64,
    per_tenth: Vec<u64>,
    lost: u64,
    repeated: u64,
    #[serde(skip)]
    complaint: Option<String>,
}

pub(super) fn run(lab: &mut Lab) -> anyhow::Result<Section> {
    let short = lab.options.short;
    let endpoints = if short { 20 } else { ENDPOINTS };
    let messages = u64::from(endpoints) * if short { 10 } else { PER_ENDPOINT };
    let address = free_address()?;
    let wanted: Vec<Value> = (0..endpoints)
        .map(|n| json!({ "url": format!("http://{address}/e/{n}"), "eventTypes": [kind(n)] }))
        .collect();
    let side = lab.side(Kind::Server, "herd", &SETTINGS, &wanted)?;
    let first_sequence = lab.sequences();
    let load: load::Report = Role::start("role-load")?.ask(&Job {
        batch: BATCH,
        connections: 4,
        stop: Stop::At { messages },
        event_types: (0..endpoints).map(kind).collect(),
        ..side.job(first_sequence, 0.0)
    })?;
    thread::sleep(if short { Duration::from_secs(1) } else { DOWN });
    let listen = Listen {
        port: address.port(),
        first_sequence,
    };
    let (mut receiver, _) = Lab::receiver(listen)?;
    let (back, mut first_after) = (Instant::now(), None);
    while first_after.is_none() && back.elapsed() < Duration::from_mins(1) {
        let seen: receiver::Report = receiver.ask(&receiver::Command::Report)?;
        first_after = (seen.distinct > 0).then(|| back.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    let seen = drained(&mut receiver, load.accepted)?;
    let resident_bytes = usage::resident_bytes(side.server.pid())?;
    side.end()?;
    let nanos = seen.last_nanos.saturating_sub(seen.first_nanos).max(1);
    Ok(section(&Figures {
        endpoints,
        accepted: load.accepted,
        first_after_seconds: first_after.unwrap_or_default().as_secs_f64(),
        drained_seconds: float(nanos) / 1e9,
        most_in_a_tenth: seen.per_tenth.iter().copied().max().unwrap_or(0),
        connections_peak: seen.connections_peak,
        resident_bytes,
        lost: load.accepted.saturating_sub(seen.distinct),
        repeated: seen.accepted - seen.distinct,
        per_tenth: seen.per_tenth,
        complaint: load.complaint,
    }))
}

fn kind(endpoint: u32) -> String {
    format!("herd.{endpoint}")
}

fn section(figures: &Figures) -> Section {
    let seconds = figures.per_tenth.chunks(10);
    let seconds: Vec<String> = seconds.map(|second| count(second.iter().sum())).collect();
    Section {
        name: "herd",
        about: format!(
            "{} messages of 1 KiB for {} endpoints pile up while their receiver refuses \
             connections; then it comes back.",
            count(figures.accepted),
            figures.endpoints
        ),
        header: vec![
            "first arrival after s",
            "all there after s",
            "arrivals in each second",
            "mean/s",
            "most connections at once",
            "RSS MiB",
            "lost",
            "repeated",
        ],
        rows: vec![vec![
            format!("{:.1}", figures.first_after_seconds),
            format!("{:.1}", figures.drained_seconds),
            seconds.join(" "),
            rate(float(figures.accepted) / figures.drained_seconds),
            count(figures.connections_peak),
            mebibytes(figures.resident_bytes),
            count(figures.lost),
            count(figures.repeated),
        ]],
        figures: serde_json::to_value(figures).unwrap_or(Value::Null),
        lost: figures.lost,
        complaint: figures.complaint.clone(),
    }
}
