//! Housekeeping, all of it at once.

use std::collections::BTreeSet;

use domain::{ApplicationKey, EndpointKey, MessageKey};

use super::{State, Status};
use crate::{IdempotencyKind, Prune, Pruned};

impl State {
    /// Does everything that is overdue, whatever `rows` says.
    pub(super) fn prune(&mut self, prune: &Prune) -> Pruned {
        let mut pruned = Pruned::default();
        let unfinished = self.unfinished_messages();
        for (key, message) in &mut self.messages {
            if message.expires <= prune.now && !unfinished.contains(key) {
                pruned.payloads += u64::from(message.row.payload.take().is_some());
            }
        }
        let cutoff = MessageKey::first_at(prune.now.minus(prune.history));
        let old: Vec<MessageKey> = self.messages.range(..cutoff).map(|(key, _)| *key).collect();
        for key in old.into_iter().filter(|key| !unfinished.contains(key)) {
            pruned.history += self.erase_message(key);
        }
        let keys = self.idempotency.len();
        for kind in [IdempotencyKind::Automatic, IdempotencyKind::Chosen] {
            let oldest_kept = kind.bucket(prune.now) - 1;
            self.idempotency
                .retain(|(of, bucket, _), _| *of != kind.code() || *bucket >= oldest_kept);
        }
        pruned.idempotency = (keys - self.idempotency.len()) as u64;
        let before = prune.now.minus(prune.history);
        self.jobs.retain(|_, job| !job.is_history(before));
        let hour = 3_600_000_000;
        let oldest = prune
            .now
            .minus(prune.statistics)
            .as_micros()
            .div_euclid(hour)
            * 60;
        self.minutes.retain(|(_, minute), _| *minute >= oldest);
        self.erase_deleted();
        pruned
    }

    fn unfinished_messages(&self) -> BTreeSet<MessageKey> {
        let pending = self
            .deliveries
            .iter()
            .filter(|((_, to), delivery)| {
                delivery.status == Status::Pending && self.live(*to).is_some()
            })
            .map(|((message, _), _)| *message);
        pending.chain(self.fan_outs.keys().copied()).collect()
    }

    fn erase_message(&mut self, key: MessageKey) -> u64 {
        let attempts = self.attempts.len();
        self.messages.remove(&key);
        self.fan_outs.remove(&key);
        for line in self.lines.values_mut() {
            line.retain(|message| *message != key);
        }
        self.lines.retain(|_, line| !line.is_empty());
        self.deliveries.retain(|(message, _), _| *message != key);
        self.attempts.retain(|(message, _, _), _| *message != key);
        1 + (attempts - self.attempts.len()) as u64
    }

    fn erase_deleted(&mut self) {
        let endpoints: BTreeSet<EndpointKey> = self
            .endpoints
            .values()
            .filter(|endpoint| self.deleted(endpoint).is_some())
            .map(|endpoint| endpoint.key)
            .collect();
        self.endpoints.retain(|key, _| !endpoints.contains(key));
        self.urls.retain(|_, (of, _)| !endpoints.contains(of));
        self.deliveries.retain(|(_, to), _| !endpoints.contains(to));
        self.lines.retain(|(of, _), _| !endpoints.contains(of));
        self.failing.retain(|of, _| !endpoints.contains(of));
        self.attempts
            .retain(|(_, to, _), _| !endpoints.contains(to));
        self.minutes.retain(|(of, _), _| !endpoints.contains(of));
        let applications: BTreeSet<ApplicationKey> = self
            .applications
            .values()
            .filter(|application| application.deleted.is_some())
            .map(|application| application.row.key)
            .collect();
        for application in &applications {
            self.erase_audit_values(self.applications[application].row.id);
        }
        self.applications
            .retain(|key, _| !applications.contains(key));
        self.requests
            .retain(|_, request| !applications.contains(&request.application));
        self.sources
            .retain(|_, source| !applications.contains(&source.row.application));
        self.jobs
            .retain(|_, job| !applications.contains(&job.application()));
        let messages: Vec<MessageKey> = self
            .messages
            .iter()
            .filter(|(_, message)| applications.contains(&message.application))
            .map(|(key, _)| *key)
            .collect();
        for key in messages {
            self.erase_message(key);
        }
    }
}
