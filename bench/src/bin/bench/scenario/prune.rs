//! Intake while everything stored is erased by retention, in turns with the same store at rest.
//!
//! The full store is started anew for each of its rounds: with the default retention, so that
//! nothing is erased, and with one that erases all of it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use posthaste_bench::child::Role;
use posthaste_bench::latency::{Percentiles, millis};
use posthaste_bench::plain;
use posthaste_bench::server::Server;
use serde::Serialize;
use serde_json::{Value, json};

use super::stored;
use crate::bed::{Kind, Lab, Side, drained, float, median};
use crate::report::{Section, count, rate};
use crate::role::load::{self, Job, Pace};
use crate::role::receiver::{self, Command, Listen};

const PER_SECOND: u32 = 1_000;
const READY_LIMIT: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Erases whatever is older than the round.
const ERASES: [(&str, &str); 2] = [
    ("POSTHASTE__RETENTION__HISTORY", "1s"),
    ("POSTHASTE__RETENTION__INTERVAL", "100ms"),
];

/// Who was published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Store {
    Full,
    Pruning,
}

#[derive(Debug, Serialize)]
struct Turn {
    store: Store,
    publish: Percentiles,
    /// Messages and attempts erased per second of the round.
    pruned_per_second: f64,
    lost: u64,
    #[serde(skip)]
    complaint: Option<String>,
}

pub(super) fn run(lab: &mut Lab) -> anyhow::Result<Section> {
    let (mut receiver, listening) = Lab::receiver(Listen::default())?;
    let endpoints = [json!({ "url": format!("http://{}/e/0", listening.address) })];
    let mut side = lab.side(Kind::Server, "prune", &[], &endpoints)?;
    stored::fill(lab, &side, &mut receiver)?;
    let mut turns = Vec::new();
    for _ in 0..lab.options.rounds {
        for store in [Store::Full, Store::Pruning] {
            side = restart(side, store)?;
            turns.push(turn(lab, &side, &mut receiver, store)?);
        }
    }
    side.end()?;
    Ok(section(lab, &turns))
}

/// Ends the server and starts it on the same data, with what the round asks.
fn restart(side: Side, store: Store) -> anyhow::Result<Side> {
    let Side {
        kind,
        server,
        mut launch,
        application,
    } = side;
    server.terminate(READY_LIMIT)?;
    let names = ERASES.map(|(name, _)| name);
    launch
        .settings
        .retain(|(name, _)| !names.contains(&name.as_str()));
    if store == Store::Pruning {
        let own = ERASES.map(|(name, value)| (name.to_owned(), value.to_owned()));
        launch.settings.extend(own);
    }
    let mut server = Server::start(&launch)?;
    server.wait_ready(READY_LIMIT)?;
    let side = Side {
        kind,
        server,
        launch,
        application,
    };
    let began = Instant::now();
    while store == Store::Pruning && erased(&side)? == 0 {
        ensure!(began.elapsed() < PATIENCE, "nothing is pruned");
        thread::sleep(POLL);
    }
    Ok(side)
}

fn turn(lab: &mut Lab, side: &Side, receiver: &mut Role, store: Store) -> anyhow::Result<Turn> {
    let job = Job {
        pace: Pace::Open {
            per_second: PER_SECOND,
        },
        ..side.job(lab.sequences(), lab.options.seconds)
    };
    let first_sequence = job.first_sequence;
    let _: receiver::Report = receiver.ask(&Command::Reset { first_sequence })?;
    let before = erased(side)?;
    let load: load::Report = Role::start("role-load")?.ask(&job)?;
    let after = erased(side)?;
    let seen = drained(receiver, load.accepted)?;
    let nanos = load.ended_nanos.saturating_sub(load.started_nanos).max(1);
    Ok(Turn {
        store,
        publish: load.latency,
        pruned_per_second: float(after - before) / (float(nanos) / 1e9),
        lost: load.accepted.saturating_sub(seen.distinct),
        complaint: load.complaint,
    })
}

/// Returns how many messages and attempts the server has erased since its start.
fn erased(side: &Side) -> anyhow::Result<u64> {
    let answer = plain::get(side.launch.address, "/metrics")?;
    let line = answer
        .body
        .lines()
        .find_map(|line| line.strip_prefix(r#"posthaste_pruned_total{kind="history"} "#));
    let count = line.unwrap_or("0").parse();
    count.context("a count of another shape")
}

fn section(lab: &Lab, turns: &[Turn]) -> Section {
    let of = |store: Store| turns.iter().filter(move |turn| turn.store == store);
    let latency = |store: Store| {
        let each: Vec<Percentiles> = of(store).map(|turn| turn.publish).collect();
        Percentiles::median(&each)
    };
    let (full, pruning) = (latency(Store::Full), latency(Store::Pruning));
    let p99s = |store: Store| {
        let all: Vec<String> = of(store).map(|turn| millis(turn.publish.p99)).collect();
        all.join(" ")
    };
    let pruned = median(of(Store::Pruning).map(|turn| turn.pruned_per_second));
    Section {
        name: "prune",
        about: format!(
            "{} delivered messages of 256 B; {PER_SECOND} messages/s of 1 KiB are published for \
             {} s while nothing is erased, and while retention erases them; {} round(s) in turns; \
             medians.",
            count(lab.options.stored),
            lab.options.seconds,
            lab.options.rounds
        ),
        header: vec![
            "publish ms p50/p90/p99/p99.9 at rest",
            "while pruning",
            "p99 of the rounds at rest",
            "while pruning",
            "rows pruned/s",
            "lost",
        ],
        rows: vec![vec![
            full.cell(),
            pruning.cell(),
            p99s(Store::Full),
            p99s(Store::Pruning),
            rate(pruned),
            count(turns.iter().map(|turn| turn.lost).sum()),
        ]],
        figures: serde_json::to_value(turns).unwrap_or(Value::Null),
        lost: turns.iter().map(|turn| turn.lost).sum(),
        complaint: turns.iter().find_map(|turn| turn.complaint.clone()),
    }
}
