//! What receiving costs: webhooks beside publishes, forgeries beside nothing, and a flood.
//!
//! Both go to the same server and application with one endpoint, in turns. A webhook is verified
//! (Standard Webhooks), deduplicated and durable before it is answered, as a publish is durable.
//!
//! A forgery is compared with a request to an inbound URL that nobody has: the same bytes come in,
//! and nothing is looked at but the URL.

use posthaste_bench::child::Role;
use posthaste_bench::latency::{Percentiles, millis};
use posthaste_bench::server::ADMIN_KEY;
use posthaste_bench::usage;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bed::{Kind, Lab, Side, drained, float, median};
use crate::report::{Section, count, rate};
use crate::role::load::{self, Job, Pace, Signature, What};
use crate::role::receiver::{self, Command, Listen};

/// Webhooks per second where it is latency that is measured.
const PER_SECOND: u32 = 500;
/// Connections of the flood: with them one core's worth of forgeries is made.
const FLOOD_CONNECTIONS: usize = 8;

/// What a turn measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Turn {
    Publishes,
    Webhooks,
    PacedWebhooks,
    WebhooksInFlood,
    UnknownUrl,
    Forgeries,
}

impl Turn {
    fn describe(self) -> String {
        match self {
            Self::Publishes => "publishes".into(),
            Self::Webhooks => "webhooks".into(),
            Self::PacedWebhooks => format!("{} webhooks per second", count(PER_SECOND.into())),
            Self::WebhooksInFlood => "the same beside a flood of forgeries".into(),
            Self::UnknownUrl => "to a URL that nobody has".into(),
            Self::Forgeries => "forgeries".into(),
        }
    }

    const fn pace(self) -> Pace {
        match self {
            Self::PacedWebhooks | Self::WebhooksInFlood => Pace::Open {
                per_second: PER_SECOND,
            },
            _ => Pace::Closed,
        }
    }

    fn what(self, path: &str) -> What {
        let webhook = |signature| What::Webhook {
            path: path.into(),
            signature,
        };
        match self {
            Self::Publishes => What::Publish,
            Self::Webhooks | Self::PacedWebhooks | Self::WebhooksInFlood => {
                webhook(Signature::Providers)
            }
            Self::UnknownUrl => What::Nowhere,
            Self::Forgeries => webhook(Signature::Forgers),
        }
    }

    /// A provider has no key of the API.
    fn token(self) -> String {
        match self {
            Self::Publishes => ADMIN_KEY.to_owned(),
            _ => String::new(),
        }
    }

    const fn delivers(self) -> bool {
        !matches!(self, Self::UnknownUrl | Self::Forgeries)
    }
}

/// What is taken in, by a server as it comes.
const TAKEN: &[Turn] = &[
    Turn::Publishes,
    Turn::Webhooks,
    Turn::PacedWebhooks,
    Turn::WebhooksInFlood,
];
/// What refusing costs, by a server that does not slow down whoever forges.
const COSTS: &[Turn] = &[Turn::UnknownUrl, Turn::Forgeries];
const AT_ONCE: [(&str, &str); 1] = [("POSTHASTE__LIMITS__REFUSAL_DELAY", "0s")];

#[derive(Debug, Serialize)]
struct Seen {
    turn: Turn,
    per_second: f64,
    answer: Percentiles,
    /// CPU seconds of the server per 1,000 requests of the turn.
    cpu: f64,
    /// Forgeries per second beside it.
    flood_per_second: f64,
    lost: u64,
    #[serde(skip)]
    complaint: Option<String>,
}

pub(super) fn run(lab: &mut Lab) -> anyhow::Result<Section> {
    let (mut receiver, listening) = Lab::receiver(Listen::default())?;
    let endpoints = [json!({ "url": format!("http://{}/e/0", listening.address) })];
    let mut all = Vec::new();
    for _ in 0..lab.options.rounds {
        for (settings, turns) in [(&[][..], TAKEN), (&AT_ONCE[..], COSTS)] {
            let side = lab.side(Kind::Server, "inbound", settings, &endpoints)?;
            let path = side.source()?;
            for turn in turns {
                all.push(measure(lab, &side, &mut receiver, &path, *turn)?);
            }
            side.end()?;
        }
    }
    Ok(section(lab, &all))
}

fn measure(
    lab: &mut Lab,
    side: &Side,
    receiver: &mut Role,
    path: &str,
    turn: Turn,
) -> anyhow::Result<Seen> {
    let first_sequence = lab.sequences();
    let _: receiver::Report = receiver.ask(&Command::Reset { first_sequence })?;
    let seconds = lab.options.seconds;
    let mut flood = Role::start("role-load")?;
    let floods = turn == Turn::WebhooksInFlood;
    if floods {
        flood.tell(&Job {
            what: Turn::Forgeries.what(path),
            token: String::new(),
            connections: FLOOD_CONNECTIONS,
            ..side.job(lab.sequences(), seconds)
        })?;
    }
    let before = usage::cpu_seconds(side.server.pid())?;
    let load: load::Report = Role::start("role-load")?.ask(&Job {
        what: turn.what(path),
        pace: turn.pace(),
        token: turn.token(),
        ..side.job(first_sequence, seconds)
    })?;
    let lost = if turn.delivers() {
        let seen = drained(receiver, load.accepted)?;
        load.accepted.saturating_sub(seen.distinct)
    } else {
        0
    };
    let cpu = usage::cpu_seconds(side.server.pid())? - before;
    let flood: Option<load::Report> = floods.then(|| flood.hear()).transpose()?;
    Ok(Seen {
        turn,
        per_second: per_second(&load),
        answer: load.latency,
        cpu: cpu / float(load.accepted.max(1)) * 1_000.0,
        flood_per_second: flood.as_ref().map_or(0.0, per_second),
        lost,
        complaint: load.complaint.or(flood.and_then(|flood| flood.complaint)),
    })
}

fn per_second(load: &load::Report) -> f64 {
    let nanos = load.ended_nanos.saturating_sub(load.started_nanos).max(1);
    float(load.accepted) / (float(nanos) / 1e9)
}

fn section(lab: &Lab, all: &[Seen]) -> Section {
    let of = |turn: Turn, figure: fn(&Seen) -> f64| {
        median(all.iter().filter(|seen| seen.turn == turn).map(figure))
    };
    let turns = TAKEN.iter().chain(COSTS);
    let rows = turns.map(|turn| row(*turn, all, &of)).collect();
    Section {
        name: "inbound",
        about: format!(
            "1 KiB, one endpoint, 32 connections; {} round(s) of {} s each, in turns; medians. \
             Beside the flood, the server's CPU is that of both.",
            lab.options.rounds, lab.options.seconds
        ),
        header: vec![
            "requests",
            "per second",
            "of the publish rate",
            "answered after ms p50/p90/p99/p99.9",
            "CPU s of the server per 1,000",
            "of that to a URL that nobody has",
            "forgeries/s beside",
            "lost",
        ],
        rows,
        figures: serde_json::to_value(all).unwrap_or(Value::Null),
        lost: all.iter().map(|seen| seen.lost).sum(),
        complaint: all.iter().find_map(|seen| seen.complaint.clone()),
    }
}

fn row(turn: Turn, all: &[Seen], of: &dyn Fn(Turn, fn(&Seen) -> f64) -> f64) -> Vec<String> {
    let own = || all.iter().filter(|seen| seen.turn == turn);
    let answer = |figure: fn(&Percentiles) -> u64| {
        let mut all: Vec<u64> = own().map(|seen| figure(&seen.answer)).collect();
        all.sort_unstable();
        millis(all[all.len() / 2])
    };
    let share = of(turn, |seen| seen.per_second) / of(Turn::Publishes, |seen| seen.per_second);
    let cpu = |turn| of(turn, |seen| seen.cpu);
    let flood = of(turn, |seen| seen.flood_per_second);
    let unless = |left_out: bool, text: String| if left_out { "–".into() } else { text };
    vec![
        turn.describe(),
        rate(of(turn, |seen| seen.per_second)),
        unless(turn != Turn::Webhooks, format!("{share:.2}")),
        format!(
            "{} / {} / {} / {}",
            answer(|all| all.p50),
            answer(|all| all.p90),
            answer(|all| all.p99),
            answer(|all| all.p999)
        ),
        format!("{:.3}", cpu(turn)),
        unless(
            turn != Turn::Forgeries,
            format!("{:.2}", cpu(turn) / cpu(Turn::UnknownUrl)),
        ),
        unless(flood == 0.0, rate(flood)),
        count(own().map(|seen| seen.lost).sum()),
    ]
}
