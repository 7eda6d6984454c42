//! What must be true in the end.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::{AttemptStatus, DeliveryState, EndpointKey, MessageId};
use store::{AttemptFilter, Order, PageRequest};

use crate::History;
use crate::witness::Seen;
use crate::world::{DOOMED, DOOMED_ATTEMPTS, World, healthy};

/// More attempts than a message can have over all endpoints of a world.
const ATTEMPTS_MAX: u16 = 1_000;

impl World {
    /// Compares what publishers know, what receivers saw, and what the store says.
    pub(crate) async fn judge(mut self) -> History {
        let held = self.payload_memory();
        if held > 0 {
            self.witness
                .object(&format!("{held} bytes of payload are held for nothing"));
        }
        self.end();
        let seen = std::mem::take(&mut *self.witness.seen());
        let mut found = self.deliveries(&seen);
        found.extend(self.lines(&seen));
        found.extend(self.attempts(&seen).await);
        let mut violations = seen.violations;
        violations.extend(found);
        History {
            trace: seen.trace,
            violations,
            accepted: self.ledger().accepted.len(),
            requests: seen.requests,
            deaths: self.deaths,
        }
    }

    /// All or nothing: what was accepted, and what reached anybody, reached all.
    fn deliveries(&self, seen: &Seen) -> Vec<String> {
        let mut found = Vec::new();
        let ledger = self.ledger();
        for (body, id) in &ledger.accepted {
            if let Some(other) = seen.ids.get(body).filter(|other| *other != id) {
                found.push(format!("{id} was answered, and {other} delivered"));
            }
        }
        for body in ledger
            .never
            .iter()
            .filter(|body| seen.ids.contains_key(*body))
        {
            found.push(format!("a repeat with other bytes was delivered: {body:?}"));
        }
        let wanted: BTreeMap<&Bytes, &String> = ledger.accepted.iter().chain(&seen.ids).collect();
        for url in healthy() {
            let taken: std::collections::BTreeSet<_> =
                seen.taken.get(&url).into_iter().flatten().collect();
            for (body, id) in &wanted {
                if !taken.contains(body) {
                    found.push(format!("{id} never reached {url}"));
                }
            }
        }
        found
    }

    fn lines(&self, seen: &Seen) -> Vec<String> {
        let mut found = Vec::new();
        for line in &self.ledger().lines {
            for url in healthy() {
                let taken = seen.taken.get(&url).into_iter().flatten();
                let order: Vec<_> = taken.filter(|body| line.contains(body)).collect();
                if !order.is_sorted_by_key(|body| line.iter().position(|one| one == *body)) {
                    found.push(format!("{url} got messages out of their order: {order:?}"));
                }
            }
        }
        found
    }

    /// The store's attempts are those that were made.
    async fn attempts(&self, seen: &Seen) -> Vec<String> {
        let mut found = Vec::new();
        let mut known: BTreeMap<EndpointKey, usize> = BTreeMap::new();
        for id in seen.ids.values() {
            let Ok(message) = id.parse::<MessageId>() else {
                continue; // Said already.
            };
            self.attempts_of(message, &mut known, &mut found).await;
        }
        for (url, made) in &seen.tries {
            let endpoint = seen.endpoints[url];
            let known = known.get(&endpoint).copied().unwrap_or_default();
            let forgotten = seen.forgotten.get(&endpoint).copied().unwrap_or_default();
            if *made != known + forgotten {
                found.push(format!(
                    "{made} attempts to {url}, {known} of them stored, {forgotten} lost by deaths"
                ));
            }
        }
        found
    }

    async fn attempts_of(
        &self,
        message: MessageId,
        known: &mut BTreeMap<EndpointKey, usize>,
        found: &mut Vec<String>,
    ) {
        let filter = AttemptFilter::default();
        let attempts = self
            .store
            .attempts_by_message(message, &filter, page())
            .await
            .expect("it can be read")
            .items;
        let states = self.store.message_destinations(message, page()).await;
        let states = states.expect("it can be read").items;
        for endpoint in &self.endpoints {
            let (url, key) = (endpoint.url.as_str(), endpoint.key);
            let own = attempts
                .iter()
                .filter(|attempt| attempt.endpoint_key == key);
            let mut numbers: Vec<_> = own.clone().map(|attempt| attempt.number).collect();
            numbers.sort_unstable();
            if !numbers.iter().copied().eq((1..).take(numbers.len())) {
                found.push(format!("{message} has the attempts {numbers:?} to {url}"));
            }
            *known.entry(key).or_default() += numbers.len();
            let state = states.iter().find(|state| state.endpoint == key);
            let state = state.map(|state| state.state);
            let successes = own
                .filter(|one| one.status == AttemptStatus::Success)
                .count();
            let right = if url == DOOMED {
                state == Some(DeliveryState::Fail) && numbers.len() <= DOOMED_ATTEMPTS
            } else {
                state == Some(DeliveryState::Success) && successes == 1
            };
            if !right {
                found.push(format!(
                    "{message} to {url} is {state:?} with {numbers:?}, {successes} successes"
                ));
            }
        }
    }
}

fn page<C>() -> PageRequest<C> {
    PageRequest {
        limit: ATTEMPTS_MAX,
        order: Order::Ascending,
        cursor: None,
    }
}
