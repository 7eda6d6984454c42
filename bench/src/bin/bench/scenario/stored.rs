//! A store that holds many messages, beside an empty one: rates in turns, and the lists.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use posthaste_bench::child::Role;
use posthaste_bench::latency::{Latencies, Percentiles, millis};
use posthaste_bench::plain;
use posthaste_bench::server::ADMIN_KEY;
use posthaste_bench::usage;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bed::{self, Kind, Lab, Round, Side, float, median};
use crate::report::{Section, count, mebibytes, rate};
use crate::role::load::{self, Job, Stop};
use crate::role::receiver::{self, Listen};

const BATCH: u64 = 100;
/// How deep each list is read: pages of 50.
const PAGES: usize = 100;

#[derive(Debug, Serialize)]
struct Figures {
    stored: u64,
    filled_per_second: f64,
    empty: Vec<Round>,
    full: Vec<Round>,
    lists: Vec<(&'static str, Percentiles)>,
    resident_bytes: u64,
    disk_bytes_per_message: f64,
}

pub(super) fn run(lab: &mut Lab) -> anyhow::Result<Section> {
    let (mut receiver, listening) = Lab::receiver(Listen::default())?;
    let endpoints = [json!({ "url": format!("http://{}/e/0", listening.address) })];
    let empty = lab.side(Kind::Server, "stored-empty", &[], &endpoints)?;
    let full = lab.side(Kind::Server, "stored-full", &[], &endpoints)?;
    let filled_per_second = fill(lab, &full, &mut receiver)?;
    let stored = usage::stored_bytes(full.data())?;
    let (mut at_empty, mut at_full) = (Vec::new(), Vec::new());
    for _ in 0..lab.options.rounds {
        for (side, rounds) in [(&empty, &mut at_empty), (&full, &mut at_full)] {
            let job = side.job(lab.sequences(), lab.options.seconds);
            rounds.push(bed::round(side, &mut receiver, &job, 1)?);
        }
    }
    let figures = Figures {
        stored: lab.options.stored,
        filled_per_second,
        empty: at_empty,
        full: at_full,
        lists: lists(&full)?,
        resident_bytes: usage::resident_bytes(full.server.pid())?,
        disk_bytes_per_message: float(stored) / float(lab.options.stored.max(1)),
    };
    empty.end()?;
    full.end()?;
    Ok(section(&figures))
}

/// Publishes in batches, and waits until all is delivered.
pub(super) fn fill(lab: &mut Lab, side: &Side, receiver: &mut Role) -> anyhow::Result<f64> {
    let messages = lab.options.stored;
    let job = Job {
        batch: BATCH,
        connections: 4,
        payload_bytes: 256,
        stop: Stop::At { messages },
        ..side.job(lab.sequences(), 0.0)
    };
    let first_sequence = job.first_sequence;
    let _: receiver::Report = receiver.ask(&receiver::Command::Reset { first_sequence })?;
    let load: load::Report = Role::start("role-load")?.ask(&job)?;
    let seen = bed::drained(receiver, load.accepted)?;
    ensure!(seen.distinct >= load.accepted, "not all was delivered");
    let nanos = seen.last_nanos.saturating_sub(load.started_nanos).max(1);
    Ok(float(seen.distinct) / (float(nanos) / 1e9))
}

/// Reads each list page by page, newest first.
fn lists(side: &Side) -> anyhow::Result<Vec<(&'static str, Percentiles)>> {
    let application = format!("/api/v1/app/{}", side.application);
    let page = get(side, &format!("{application}/endpoint"))?;
    let endpoint = page["data"][0]["id"].as_str().context("no endpoint")?;
    [
        ("messages", format!("{application}/msg?limit=50")),
        (
            "attempts of an endpoint",
            format!("{application}/attempt/endpoint/{endpoint}?limit=50"),
        ),
        (
            "messages of an endpoint",
            format!("{application}/endpoint/{endpoint}/msg?limit=50"),
        ),
    ]
    .into_iter()
    .map(|(name, path)| Ok((name, read_list(side, &path)?)))
    .collect()
}

fn read_list(side: &Side, path: &str) -> anyhow::Result<Percentiles> {
    let (mut latencies, start) = (Latencies::default(), Instant::now());
    let nanos = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut iterator = String::new();
    for _ in 0..PAGES {
        let before = nanos();
        let page = get(side, &format!("{path}{iterator}"))?;
        latencies.add(before, nanos());
        if page["done"] == true {
            break;
        }
        let next = page["iterator"].as_str().context("no iterator")?;
        iterator = format!("&iterator={next}");
    }
    Ok(latencies.percentiles())
}

fn get(side: &Side, path: &str) -> anyhow::Result<Value> {
    let answer = plain::get_as(side.launch.address, path, ADMIN_KEY)?;
    let (status, body) = (answer.status, &answer.body);
    ensure!(status == 200, "{path} answered {status}: {body}");
    Ok(serde_json::from_str(body)?)
}

fn section(figures: &Figures) -> Section {
    let of = |rounds: &[Round], figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
    let [empty, full] = [&figures.empty, &figures.full]
        .map(|rounds| of(rounds, |round| round.deliveries_per_second));
    let lists = figures.lists.iter();
    let lists = lists.map(|(name, latency)| format!("{name} {}", millis(latency.p99)));
    let rounds = || figures.empty.iter().chain(&figures.full);
    Section {
        name: "stored",
        about: format!(
            "{} delivered messages of 256 B stored, then 1 KiB messages over 32 connections to one \
             endpoint, beside a store that began empty, in turns; medians.",
            count(figures.stored)
        ),
        header: vec![
            "filled/s",
            "deliveries/s: empty/full",
            "of empty",
            "list pages p99 ms",
            "RSS MiB",
            "disk B/message",
            "lost",
            "repeated",
        ],
        rows: vec![vec![
            rate(figures.filled_per_second),
            format!("{} / {}", rate(empty), rate(full)),
            format!("{:.2}", full / empty.max(1e-9)),
            lists.collect::<Vec<_>>().join(", "),
            mebibytes(figures.resident_bytes),
            rate(figures.disk_bytes_per_message),
            count(rounds().map(|round| round.lost).sum()),
            count(rounds().map(|round| round.repeated).sum()),
        ]],
        figures: serde_json::to_value(figures).unwrap_or(Value::Null),
        lost: rounds().map(|round| round.lost).sum(),
        complaint: rounds().find_map(|round| round.complaint.clone()),
    }
}
