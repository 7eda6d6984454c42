//! Compares what was promised with what arrived.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::ledger::{Delivery, Publish, Published};
use crate::message::{ENDPOINTS, Messages, hash, is_signed};

/// How many offenders a violation names.
const NAMED: usize = 3;

/// The ledgers, read back.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) messages: Messages,
    pub(crate) publishes: Vec<Publish>,
    pub(crate) deliveries: Vec<Delivery>,
    /// In order.
    pub(crate) kills: Vec<Kill>,
}

/// A kill, from just before it to the readiness of the next process, in nanoseconds since 1970.
///
/// What the old process sent may be read in between, and noted with a time after the kill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    pub(crate) at: u64,
    pub(crate) ready: u64,
}

/// What is tolerated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) repeats_per_kill: u64,
    /// From a delivery's arrival until its outcome is sure to be recorded.
    pub(crate) unrecorded: Duration,
    /// Of all deliveries.
    pub(crate) repeats_share: f64,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) accepted: usize,
    pub(crate) deliveries: usize,
    /// Publishes without a key whose answer was lost; and how many of those arrived.
    pub(crate) unknown: usize,
    pub(crate) unknown_delivered: usize,
    /// Accepted messages that did not reach some endpoint.
    pub(crate) lost: usize,
    pub(crate) repeats: u64,
    /// The most repeats that go back to one kill.
    pub(crate) repeats_peak: u64,
    /// The longest time between a delivery that was repeated and the kill.
    pub(crate) unrecorded_peak: Duration,
    /// Everything that should not be, in words.
    pub(crate) violations: Vec<String>,
}

/// Judges a run that has come to rest.
pub(crate) fn judge(evidence: &Evidence, limits: Limits) -> Verdict {
    let mut verdict = Verdict {
        deliveries: evidence.deliveries.len(),
        ..Verdict::default()
    };
    let outcomes: HashMap<u64, &Published> = evidence
        .publishes
        .iter()
        .map(|publish| (publish.sequence, &publish.outcome))
        .collect();
    let arrived = by_sequence(&evidence.deliveries);
    accepted_arrived(&mut verdict, &outcomes, &arrived);
    nothing_else_arrived(&mut verdict, &outcomes, &arrived);
    bytes_are_those_published(&mut verdict, evidence);
    repeats_go_back_to_kills(&mut verdict, evidence, limits);
    verdict
}

/// Under each message's number: the ids it arrived under, and where.
type Arrived<'a> = BTreeMap<Option<u64>, BTreeMap<&'a str, BTreeSet<usize>>>;

fn by_sequence(deliveries: &[Delivery]) -> Arrived<'_> {
    let mut arrived = Arrived::new();
    for delivery in deliveries {
        let ids = arrived.entry(delivery.sequence).or_default();
        ids.entry(&delivery.id)
            .or_default()
            .insert(delivery.endpoint);
    }
    arrived
}

/// I1: what was accepted reached every endpoint, under the id of the answer.
fn accepted_arrived(
    verdict: &mut Verdict,
    outcomes: &HashMap<u64, &Published>,
    arrived: &Arrived<'_>,
) {
    let (mut lost, mut unanswered) = (Vec::new(), Vec::new());
    for (sequence, outcome) in outcomes {
        match outcome {
            Published::Accepted { id } => {
                verdict.accepted += 1;
                let places = arrived
                    .get(&Some(*sequence))
                    .and_then(|ids| ids.get(id.as_str()));
                if places.is_none_or(|places| places.len() < ENDPOINTS) {
                    lost.push(format!("{sequence} ({id})"));
                }
            }
            Published::Unanswered => unanswered.push(sequence.to_string()),
            Published::Unknown => {
                verdict.unknown += 1;
                verdict.unknown_delivered += usize::from(arrived.contains_key(&Some(*sequence)));
            }
            Published::Refused { .. } => {}
        }
    }
    verdict.lost = lost.len();
    verdict.object("accepted and not delivered to every endpoint", &lost);
    verdict.object("repeated under its key and never accepted", &unanswered);
}

/// I3: nothing arrives that was refused or never published; one publish is one message.
fn nothing_else_arrived(
    verdict: &mut Verdict,
    outcomes: &HashMap<u64, &Published>,
    arrived: &Arrived<'_>,
) {
    let (mut foreign, mut refused, mut twice) = (Vec::new(), Vec::new(), Vec::new());
    for (sequence, ids) in arrived {
        let name = ids.keys().copied().collect::<Vec<_>>().join(" ");
        match sequence.and_then(|sequence| outcomes.get(&sequence)) {
            None => foreign.push(name.clone()),
            Some(Published::Refused { status }) => refused.push(format!("{name} ({status})")),
            Some(_) => {}
        }
        if ids.len() > 1 {
            twice.push(name);
        }
    }
    verdict.object("delivered and never published", &foreign);
    verdict.object("delivered and yet refused", &refused);
    verdict.object("one publish that became several messages", &twice);
    let statuses: Vec<String> = outcomes
        .values()
        .filter_map(|outcome| match outcome {
            Published::Refused { status } if *status < 500 => Some(status.to_string()),
            _ => None,
        })
        .collect();
    verdict.object("refused as the publisher's fault", &statuses);
}

/// I2: the same bytes everywhere, which are those that were published, rightly signed.
fn bytes_are_those_published(verdict: &mut Verdict, evidence: &Evidence) {
    let (mut altered, mut unsigned, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    let mut owners: HashMap<&str, u64> = HashMap::new();
    for delivery in &evidence.deliveries {
        // One of unknown origin has been objected to already.
        let Some(sequence) = delivery.sequence else {
            continue;
        };
        if *owners.entry(&delivery.id).or_insert(sequence) != sequence {
            shared.push(delivery.id.clone());
        }
        let payload = evidence.messages.payload(sequence);
        if hash(&payload) != delivery.hash {
            altered.push(delivery.id.clone());
        }
        if !is_signed(
            &delivery.signature,
            &delivery.id,
            &delivery.timestamp,
            &payload,
        ) {
            unsigned.push(delivery.id.clone());
        }
    }
    verdict.object("delivered under the id of another message", &shared);
    verdict.object("delivered with other bytes", &altered);
    verdict.object("delivered with a wrong signature", &unsigned);
}

/// A repeat is explained by a kill between it and the delivery before it, if that delivery was
/// so recent that its outcome may not have been recorded.
fn repeats_go_back_to_kills(verdict: &mut Verdict, evidence: &Evidence, limits: Limits) {
    let mut last: HashMap<(&str, usize), u64> = HashMap::new();
    let mut per_kill: BTreeMap<usize, u64> = BTreeMap::new();
    let (mut unexplained, mut late) = (Vec::new(), Vec::new());
    for delivery in &evidence.deliveries {
        let earlier = last.insert((&delivery.id, delivery.endpoint), delivery.at);
        let Some(earlier) = earlier else { continue };
        verdict.repeats += 1;
        let name = || format!("{} at {}", delivery.id, delivery.endpoint);
        let index = evidence.kills.partition_point(|kill| kill.ready < earlier);
        let kill = evidence
            .kills
            .get(index)
            .filter(|kill| kill.at <= delivery.at);
        let Some(kill) = kill else {
            unexplained.push(name());
            continue;
        };
        *per_kill.entry(index).or_default() += 1;
        let unrecorded = Duration::from_nanos(kill.at.saturating_sub(earlier));
        verdict.unrecorded_peak = verdict.unrecorded_peak.max(unrecorded);
        if unrecorded > limits.unrecorded {
            late.push(name());
        }
    }
    verdict.repeats_peak = per_kill.values().copied().max().unwrap_or(0);
    verdict.object("repeated with no kill in between", &unexplained);
    verdict.object(
        &format!("repeated though {:?} had passed", limits.unrecorded),
        &late,
    );
    judge_counts(verdict, &per_kill, limits);
}

fn judge_counts(verdict: &mut Verdict, per_kill: &BTreeMap<usize, u64>, limits: Limits) {
    let most = limits.repeats_per_kill;
    let above = per_kill.values().filter(|count| **count > most);
    let above: Vec<String> = above.map(u64::to_string).collect();
    verdict.object(&format!("kills with more than {most} repeats"), &above);
    if verdict.repeats_share() > limits.repeats_share {
        let share = verdict.repeats_share() * 100.0;
        verdict
            .violations
            .push(format!("{share:.2} % of the deliveries were repeats"));
    }
}

impl Verdict {
    /// Returns the share of repeats among all deliveries.
    pub(crate) fn repeats_share(&self) -> f64 {
        let deliveries = u32::try_from(self.deliveries.max(1)).unwrap_or(u32::MAX);
        f64::from(u32::try_from(self.repeats).unwrap_or(u32::MAX)) / f64::from(deliveries)
    }

    fn object(&mut self, what: &str, offenders: &[String]) {
        if offenders.is_empty() {
            return;
        }
        let named = offenders
            .iter()
            .take(NAMED)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        self.violations
            .push(format!("{} {what}: {named}", offenders.len()));
    }
}

#[cfg(test)]
mod tests;
