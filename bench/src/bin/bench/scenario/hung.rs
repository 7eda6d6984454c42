//! Bad endpoints that get 200 messages/s, beside 99 healthy ones that share 300 messages/s.
//!
//! Each endpoint takes one event type, so that a message has one delivery. Rounds with and
//! without the bad neighbour alternate.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use posthaste_bench::child::Role;
use posthaste_bench::latency::millis;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bed::{Kind, Lab, Side, drained, float, median};
use crate::report::{Section, count};
use crate::role::load::{self, Job, Pace, Stop};
use crate::role::receiver::{self, Command, Listen};

const HEALTHY: u32 = 99;
const HEALTHY_PER_SECOND: u32 = 300;
const HUNG_PER_SECOND: u32 = 200;

/// How the bad ones are bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Bad {
    Hangs,
    Drips,
    Resets,
    /// Takes the connection and never says a word of TLS.
    Mute,
    /// Has a name whose server never answers.
    Nameless,
}

impl Bad {
    const ALL: [Self; 5] = [
        Self::Hangs,
        Self::Drips,
        Self::Resets,
        Self::Mute,
        Self::Nameless,
    ];

    const fn describe(self) -> &'static str {
        match self {
            Self::Hangs => "beside one that never answers",
            Self::Drips => "beside one that answers a byte at a time",
            Self::Resets => "beside one that breaks each connection",
            Self::Mute => "beside one whose TLS handshake never ends",
            Self::Nameless => "beside one whose name is never resolved",
        }
    }
}

#[derive(Debug, Serialize)]
struct Phase {
    beside: Option<Bad>,
    /// How long the first publish of all took: it reads the endpoints.
    first_publish: u64,
    healthy_p50: u64,
    healthy_p99: u64,
    healthy_accepted: u64,
    lost: u64,
    repeated: u64,
    /// Deliveries per second to the healthy ones, over the time until all were there.
    delivered_per_second: f64,
    hung_peak: u64,
    #[serde(skip)]
    complaint: Option<String>,
}

/// Who stands beside the healthy ones.
struct Neighbours {
    name: &'static str,
    kinds: Vec<Bad>,
    count: u32,
}

/// One that never answers.
pub(super) fn one(lab: &mut Lab) -> anyhow::Result<Section> {
    let kinds = vec![Bad::Hangs];
    run(
        lab,
        &Neighbours {
            name: "hung",
            kinds,
            count: 1,
        },
    )
}

/// One of each kind, one after the other.
pub(super) fn each(lab: &mut Lab) -> anyhow::Result<Section> {
    let kinds = Bad::ALL.to_vec();
    run(
        lab,
        &Neighbours {
            name: "bad",
            kinds,
            count: 1,
        },
    )
}

/// As many that never answer as an application may have beside the healthy ones.
pub(super) fn many(lab: &mut Lab) -> anyhow::Result<Section> {
    let count = if lab.options.short { 50 } else { 9_900 };
    let kinds = vec![Bad::Hangs];
    run(
        lab,
        &Neighbours {
            name: "hung-many",
            kinds,
            count,
        },
    )
}

fn run(lab: &mut Lab, bad: &Neighbours) -> anyhow::Result<Section> {
    let (mut receiver, listening) = Lab::receiver(Listen::default())?;
    // Never accepted from: the kernel takes the connection, and nobody ever answers.
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mute = mute.local_addr().map(|address| (mute, address))?;
    // A name server that reads nothing.
    let names = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let names = names.local_addr().map(|address| (names, address))?;
    let url = |path: &str| format!("http://{}/{path}", listening.address);
    let healthy = (1..=HEALTHY)
        .map(|n| json!({ "url": url(&format!("e/{n}")), "eventTypes": [format!("healthy.{n}")] }));
    let healthy: Vec<Value> = healthy.collect();
    let mut phases = Vec::new();
    for _ in 0..lab.options.rounds {
        for beside in std::iter::once(None).chain(bad.kinds.iter().copied().map(Some)) {
            let target = |kind: Bad, n: u32| match kind {
                Bad::Hangs => url(&format!("hang/{n}")),
                Bad::Drips => url(&format!("drip/{n}")),
                Bad::Resets => url(&format!("reset/{n}")),
                Bad::Mute => format!("https://{}/{n}", mute.1),
                Bad::Nameless => format!("http://n{n}.nameless.test/{n}"),
            };
            let mut endpoints = healthy.clone();
            if let Some(kind) = beside {
                endpoints.extend((0..bad.count).map(
                    |n| json!({ "url": target(kind, n), "eventTypes": [format!("hung.{n}")] }),
                ));
            }
            // A server of its own: what hung in one round would still hang in the next.
            let settings = [("POSTHASTE__EGRESS__NAME_SERVERS", &*names.1.to_string())];
            let side = lab.side(Kind::Server, bad.name, &settings, &endpoints)?;
            phases.push(phase(lab, &side, &mut receiver, beside, bad.count)?);
            side.end()?;
        }
    }
    Ok(section(lab, bad, &phases))
}

fn phase(
    lab: &mut Lab,
    side: &Side,
    receiver: &mut Role,
    beside: Option<Bad>,
    bad: u32,
) -> anyhow::Result<Phase> {
    let seconds = lab.options.seconds;
    let job = |per_second, event_types, first_sequence| Job {
        pace: Pace::Open { per_second },
        event_types,
        ..side.job(first_sequence, seconds)
    };
    // The first publish reads all endpoints, which is another matter than what is measured here.
    let first: load::Report = Role::start("role-load")?.ask(&Job {
        stop: Stop::At { messages: 1 },
        event_types: vec!["nobody.wants.it".into()],
        ..side.job(lab.sequences(), 0.0)
    })?;
    let first_sequence = lab.sequences();
    let _: receiver::Report = receiver.ask(&Command::Reset { first_sequence })?;
    let types = (1..=HEALTHY).map(|n| format!("healthy.{n}")).collect();
    let mut healthy = Role::start("role-load")?;
    let mut hung = Role::start("role-load")?;
    if beside.is_some() {
        let types = (0..bad).map(|n| format!("hung.{n}")).collect();
        hung.tell(&job(HUNG_PER_SECOND, types, lab.sequences()))?;
    }
    let load: load::Report = healthy.ask(&job(HEALTHY_PER_SECOND, types, first_sequence))?;
    let hung: Option<load::Report> = beside.map(|_| hung.hear()).transpose()?;
    let seen = drained(receiver, load.accepted)?;
    let elapsed = float(seen.last_nanos.saturating_sub(load.started_nanos).max(1)) / 1e9;
    Ok(Phase {
        beside,
        first_publish: first.latency.p50,
        healthy_p50: seen.latency.p50,
        healthy_p99: seen.latency.p99,
        healthy_accepted: load.accepted,
        lost: load.accepted.saturating_sub(seen.distinct),
        repeated: seen.accepted - seen.distinct,
        delivered_per_second: float(seen.distinct) / elapsed,
        hung_peak: seen.hung_peak,
        complaint: load.complaint.or(hung.and_then(|report| report.complaint)),
    })
}

fn section(lab: &Lab, bad: &Neighbours, phases: &[Phase]) -> Section {
    let kinds = std::iter::once(None).chain(bad.kinds.iter().copied().map(Some));
    let rows = kinds.map(|beside| row(beside, bad.count, phases)).collect();
    Section {
        name: bad.name,
        about: format!(
            "{HEALTHY} healthy endpoints share {HEALTHY_PER_SECOND} messages/s, alone and beside \
             {} bad one(s) that get {HUNG_PER_SECOND} messages/s; {} round(s) of {} s each, in \
             turns; medians.",
            bad.count, lab.options.rounds, lab.options.seconds
        ),
        header: vec![
            "99 healthy endpoints",
            "publish to arrival p50 ms",
            "p99 ms",
            "delivered/s",
            "most requests that hung at once",
            "first publish ms",
            "lost",
            "repeated",
        ],
        rows,
        figures: serde_json::to_value(phases).unwrap_or(Value::Null),
        lost: phases.iter().map(|phase| phase.lost).sum(),
        complaint: phases.iter().find_map(|phase| phase.complaint.clone()),
    }
}

fn row(beside: Option<Bad>, bad: u32, phases: &[Phase]) -> Vec<String> {
    let own = || phases.iter().filter(move |phase| phase.beside == beside);
    let micros = |figure: fn(&Phase) -> u64| {
        let mut all: Vec<u64> = own().map(figure).collect();
        all.sort_unstable();
        millis(all[all.len() / 2])
    };
    let who = match beside {
        None => "alone".into(),
        Some(kind) if bad == 1 => kind.describe().into(),
        Some(_) => format!("beside {} that never answer", count(bad.into())),
    };
    vec![
        who,
        micros(|phase| phase.healthy_p50),
        micros(|phase| phase.healthy_p99),
        format!(
            "{:.1}",
            median(own().map(|phase| phase.delivered_per_second))
        ),
        count(own().map(|phase| phase.hung_peak).max().unwrap_or(0)),
        micros(|phase| phase.first_publish),
        count(own().map(|phase| phase.lost).sum()),
        count(own().map(|phase| phase.repeated).sum()),
    ]
}
