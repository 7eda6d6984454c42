//! What endpoints' failures lead to, and what an operator is told of.

use domain::{AttemptId, AttemptStatus, DisabledReason, EndpointKey, MessageKey, Timestamp};

use super::State;
use crate::{
    AfterAttempt, Announced, AnnouncedAttempt, AnnouncedMessage, Announcement, AttemptRecord,
    DisableFailing, Endpoint, EndpointChange, EndpointRef, FAILING_ATTEMPT,
};

/// An endpoint that has failed since its last success.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    since: Timestamp,
    exhausted: bool,
    announced: bool,
}

impl State {
    /// Notes what an attempt says about its endpoint; it is stored already.
    pub(super) fn note_attempt(&mut self, record: &AttemptRecord) {
        let key = record.endpoint;
        if record.status == AttemptStatus::Success {
            if self.failing.remove(&key).is_some_and(|one| one.announced) {
                self.tell(key, Announced::Recovered, record.at, Some(record.message));
            }
            return;
        }
        let known = self.endpoints.contains_key(&key);
        let mut failing = self.failing.get(&key).copied().unwrap_or(Failing {
            since: record.at,
            exhausted: false,
            announced: false,
        });
        if matches!(record.then, AfterAttempt::Fail(_)) {
            failing.exhausted = true;
            self.tell(key, Announced::Exhausted, record.at, Some(record.message));
        } else if !failing.announced && self.announces && record.number >= FAILING_ATTEMPT {
            failing.announced = true;
            self.tell(key, Announced::Failing, record.at, Some(record.message));
        }
        if known {
            self.failing.insert(key, failing);
        }
    }

    /// Announces something of an endpoint, and of a message if it is about one.
    pub(super) fn tell(
        &mut self,
        key: EndpointKey,
        what: Announced,
        at: Timestamp,
        message: Option<MessageKey>,
    ) {
        let Some(endpoint) = self.endpoints.get(&key).filter(|_| self.announces) else {
            return;
        };
        let Some(application) = self.applications.get(&endpoint.application) else {
            return;
        };
        let about = message.map(|message| self.announced_message(message, endpoint));
        if about.as_ref().is_some_and(Option::is_none) {
            return; // The message is erased.
        }
        self.last_announcement += 1;
        let disabled = endpoint.disabled.filter(|_| what == Announced::Disabled);
        self.announcements.push(Announcement {
            number: self.last_announcement,
            at,
            what,
            organization: application.organization,
            application: application.row.id,
            application_uid: application.row.uid.clone(),
            endpoint: endpoint.id,
            endpoint_uid: endpoint.uid.clone(),
            disabled,
            failing_since: endpoint.failing_since.filter(|_| disabled.is_some()),
            message: about.flatten(),
        });
    }

    fn announced_message(&self, key: MessageKey, to: &Endpoint) -> Option<AnnouncedMessage> {
        let row = &self.messages.get(&key)?.row;
        let of = (key, to.key, 0)..=(key, to.key, domain::AttemptNumber::MAX);
        let last = self.attempts.range(of).next_back();
        Some(AnnouncedMessage {
            id: row.id,
            event_id: row.event_id.clone(),
            attempt: last.map(|((_, _, number), record)| AnnouncedAttempt {
                id: AttemptId::derive(row.id, to.id, *number, record.at),
                http_status: record.http_status,
                at: record.at,
            }),
        })
    }

    /// Announces what a change of an endpoint was about.
    pub(super) fn tell_change(
        &mut self,
        before: Option<DisabledReason>,
        changed: &Endpoint,
        change: &EndpointChange,
    ) {
        let others = EndpointChange {
            disabled: None,
            now: Timestamp::default(),
            ..change.clone()
        };
        if others != EndpointChange::default() {
            self.tell(changed.key, Announced::Updated, change.now, None);
        }
        match (before, changed.disabled) {
            (None, Some(_)) => self.tell(changed.key, Announced::Disabled, change.now, None),
            (Some(_), None) => self.tell(changed.key, Announced::Enabled, change.now, None),
            _ => {}
        }
    }

    pub(super) fn disable_failing(&mut self, request: &DisableFailing) -> Vec<Endpoint> {
        let mut found: Vec<_> = self
            .failing
            .iter()
            .filter(|(_, one)| one.exhausted && one.since <= request.since)
            .map(|(key, one)| (one.since, *key))
            .collect();
        found.sort_unstable();
        found.truncate(request.rows.into());
        let mut disabled = Vec::new();
        for (since, key) in found {
            let live = self.live(key).filter(|one| one.disabled.is_none());
            let Some(endpoint) = live.cloned() else {
                self.failing.remove(&key);
                continue;
            };
            let change = EndpointChange {
                disabled: Some(Some(DisabledReason::Failing)),
                now: request.now,
                ..EndpointChange::default()
            };
            let named = EndpointRef::Id(endpoint.id);
            let changed = self.change(endpoint.application, &named, &change, Some(since));
            disabled.push(changed.expect("it is live"));
        }
        disabled
    }
}
