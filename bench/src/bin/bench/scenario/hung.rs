//! One endpoint that never answers, at 200 messages/s, beside 99 that share 300 messages/s.
//!
//! Each endpoint takes one event type, so that a message has one delivery. Rounds with and
//! without the bad neighbour alternate.

use posthaste_bench::child::Role;
use posthaste_bench::latency::millis;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bed::{Kind, Lab, Side, drained, float, median};
use crate::report::{Section, count};
use crate::role::load::{self, Job, Pace};
use crate::role::receiver::{self, Command, Listen};

const HEALTHY: u32 = 99;
const HEALTHY_PER_SECOND: u32 = 300;
const HUNG_PER_SECOND: u32 = 200;

#[derive(Debug, Serialize)]
struct Phase {
    with_hung: bool,
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

pub(super) fn run(lab: &mut Lab) -> anyhow::Result<Section> {
    let (mut receiver, listening) = Lab::receiver(Listen::default())?;
    let url = |path: &str| format!("http://{}/{path}", listening.address);
    let mut endpoints = vec![json!({ "url": url("hang/0"), "eventTypes": ["hung"] })];
    endpoints.extend(
        (1..=HEALTHY).map(
            |n| json!({ "url": url(&format!("e/{n}")), "eventTypes": [format!("healthy.{n}")] }),
        ),
    );
    let mut phases = Vec::new();
    for _ in 0..lab.options.rounds {
        for with_hung in [false, true] {
            // A server of its own: what hung in one round would still hang in the next.
            let side = lab.side(Kind::Server, "hung", &[], &endpoints)?;
            phases.push(phase(lab, &side, &mut receiver, with_hung)?);
            side.end()?;
        }
    }
    Ok(section(lab, &phases))
}

fn phase(
    lab: &mut Lab,
    side: &Side,
    receiver: &mut Role,
    with_hung: bool,
) -> anyhow::Result<Phase> {
    let seconds = lab.options.seconds;
    let job = |per_second, event_types, first_sequence| Job {
        pace: Pace::Open { per_second },
        event_types,
        ..side.job(first_sequence, seconds)
    };
    let first_sequence = lab.sequences();
    let _: receiver::Report = receiver.ask(&Command::Reset { first_sequence })?;
    let types = (1..=HEALTHY).map(|n| format!("healthy.{n}")).collect();
    let mut healthy = Role::start("role-load")?;
    let mut hung = Role::start("role-load")?;
    if with_hung {
        hung.tell(&job(HUNG_PER_SECOND, vec!["hung".into()], lab.sequences()))?;
    }
    let load: load::Report = healthy.ask(&job(HEALTHY_PER_SECOND, types, first_sequence))?;
    let hung: Option<load::Report> = with_hung.then(|| hung.hear()).transpose()?;
    let seen = drained(receiver, load.accepted)?;
    let elapsed = float(seen.last_nanos.saturating_sub(load.started_nanos).max(1)) / 1e9;
    Ok(Phase {
        with_hung,
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

fn section(lab: &Lab, phases: &[Phase]) -> Section {
    let rows = [false, true].map(|with_hung| {
        let own = || {
            phases
                .iter()
                .filter(move |phase| phase.with_hung == with_hung)
        };
        let micros = |figure: fn(&Phase) -> u64| {
            let mut all: Vec<u64> = own().map(figure).collect();
            all.sort_unstable();
            millis(all[all.len() / 2])
        };
        vec![
            if with_hung {
                "beside a hung one"
            } else {
                "alone"
            }
            .into(),
            micros(|phase| phase.healthy_p50),
            micros(|phase| phase.healthy_p99),
            format!(
                "{:.1}",
                median(own().map(|phase| phase.delivered_per_second))
            ),
            count(own().map(|phase| phase.hung_peak).max().unwrap_or(0)),
            count(own().map(|phase| phase.lost).sum()),
            count(own().map(|phase| phase.repeated).sum()),
        ]
    });
    Section {
        name: "hung",
        about: format!(
            "{HEALTHY} healthy endpoints share {HEALTHY_PER_SECOND} messages/s, alone and beside \
             one that never answers and gets {HUNG_PER_SECOND} messages/s; {} round(s) of {} s \
             each, in turns; medians.",
            lab.options.rounds, lab.options.seconds
        ),
        header: vec![
            "99 healthy endpoints",
            "publish to arrival p50 ms",
            "p99 ms",
            "delivered/s",
            "most requests that hung at once",
            "lost",
            "repeated",
        ],
        rows: rows.to_vec(),
        figures: serde_json::to_value(phases).unwrap_or(Value::Null),
        lost: phases.iter().map(|phase| phase.lost).sum(),
        complaint: phases.iter().find_map(|phase| phase.complaint.clone()),
    }
}
