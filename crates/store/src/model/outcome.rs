//! Claiming, recording, resending and giving up.

use std::sync::Arc;

use domain::{AttemptNumber, AttemptStatus, EndpointKey, MessageKey, Trigger};

use super::{Back, Delivery, Effect, State, Status};
use crate::{
    AfterAttempt, Announced, AttemptRecord, Claim, Claimed, DestinationDue, DueDelivery, Error,
    GiveUp, ROWS_EXAMINED_MAX, Recorded, Resend, Resent,
};

impl State {
    pub(super) fn record(&mut self, record: AttemptRecord) -> Recorded {
        if self.fenced(record.epoch).is_err() {
            return Recorded::Fenced;
        }
        let key = (record.message, record.endpoint, record.number);
        if self.attempts.contains_key(&key) {
            return Recorded::Stored;
        }
        let to = (record.message, record.endpoint);
        if record.then == AfterAttempt::Success {
            let mut delivery = Delivery::new(record.at);
            delivery.status = Status::Success;
            delivery.attempts = record.number;
            self.deliveries.insert(to, delivery);
        } else if let Some(before) = self.deliveries.remove(&to)
            && let Some(after) = after(before, &record)
        {
            self.deliveries.insert(to, after);
        }
        self.count(&record);
        let ends = matches!(record.then, AfterAttempt::Success | AfterAttempt::Fail(_));
        let release = record.release.filter(|_| ends);
        let noted = record.clone();
        self.attempts.insert(key, record);
        self.note_attempt(&noted);
        match release {
            Some(release) if self.leave(to.0, to.1, release) => Recorded::Promoted,
            _ => Recorded::Stored,
        }
    }

    fn count(&mut self, record: &AttemptRecord) {
        let minute = record.at.as_micros().div_euclid(60_000_000);
        let (success, fail) = self.minutes.entry((record.endpoint, minute)).or_default();
        match record.status {
            AttemptStatus::Success => *success += 1,
            AttemptStatus::Fail => *fail += 1,
        }
    }

    /// Pending deliveries of an endpoint in the order in which they are due.
    fn pending(&self, endpoint: EndpointKey) -> Vec<(MessageKey, Delivery)> {
        let mut pending: Vec<_> = self
            .deliveries
            .iter()
            .filter(|((_, to), delivery)| *to == endpoint && delivery.is_due())
            .map(|((message, _), delivery)| (*message, *delivery))
            .collect();
        pending.sort_by_key(|(message, delivery)| (delivery.due, *message));
        pending
    }

    fn may_go_out(&self, endpoint: EndpointKey) -> bool {
        self.live(endpoint)
            .is_some_and(|endpoint| endpoint.disabled.is_none() && !endpoint.paused)
    }

    pub(super) fn claim(&self, claim: &Claim) -> Result<Claimed, Error> {
        self.fenced(claim.epoch)?;
        let mut claimed = Claimed {
            deliveries: Vec::new(),
            more: false,
            next_due: None,
            as_of: self.commits,
        };
        if !self.may_go_out(claim.destination) {
            return Ok(claimed);
        }
        let mut bytes = 0;
        for (message, delivery) in self.pending(claim.destination) {
            if delivery.due > claim.now {
                claimed.next_due = Some(delivery.due);
                break;
            }
            if claim
                .after
                .is_some_and(|after| (delivery.due, message) <= after)
            {
                continue;
            }
            let found = claimed.deliveries.len();
            if found == usize::from(claim.room) || (found > 0 && bytes >= claim.bytes) {
                claimed.more = true;
                continue;
            }
            let stored = &self.messages[&message];
            let payload = stored.row.payload.clone();
            let payload = payload.expect("unfinished deliveries keep their payload");
            let origin = self.origin_of(stored).map(Arc::new);
            bytes += payload.bytes.len() + origin.as_ref().map_or(0, |one| one.cost());
            claimed.deliveries.push(DueDelivery {
                message: stored.row.id,
                due: delivery.due,
                first_due: delivery.first_due,
                attempts: delivery.attempts,
                scheduled_attempts: delivery.scheduled,
                trigger: if delivery.back.is_some() {
                    Trigger::Manual
                } else {
                    Trigger::Scheduled
                },
                ordered: stored.row.ordering_key.is_some(),
                payload,
                damaged: false,
                origin,
            });
        }
        Ok(claimed)
    }

    pub(super) fn destinations_due(
        &self,
        after: Option<EndpointKey>,
        limit: u16,
    ) -> Vec<DestinationDue> {
        self.endpoints
            .keys()
            .filter(|key| after.is_none_or(|after| **key > after) && self.may_go_out(**key))
            .filter_map(|key| {
                let (_, first) = *self.pending(*key).first()?;
                Some(DestinationDue {
                    destination: *key,
                    due: first.due,
                })
            })
            .take(limit.into())
            .collect()
    }

    pub(super) fn give_up(&mut self, give_up: &GiveUp) -> Result<u64, Error> {
        self.fenced(give_up.epoch)?;
        if self.live(give_up.destination).is_none() {
            return Ok(0);
        }
        let chosen: Vec<MessageKey> = self
            .pending(give_up.destination)
            .into_iter()
            .take(ROWS_EXAMINED_MAX)
            .filter(|(_, delivery)| {
                delivery.back.is_none() && delivery.first_due < give_up.first_due_before
            })
            .map(|(message, _)| message)
            .take(give_up.rows.into())
            .collect();
        for message in &chosen {
            let delivery = self.deliveries.get_mut(&(*message, give_up.destination));
            delivery.expect("listed just now").status = Status::Fail(give_up.reason);
            self.leave(*message, give_up.destination, give_up.now);
            let what = Announced::Exhausted;
            self.tell(give_up.destination, what, give_up.now, Some(*message));
        }
        Ok(chosen.len() as u64)
    }

    pub(super) fn resend(&mut self, resend: &Resend) -> Result<Resent, Error> {
        let due = Resent::Due {
            commit: self.commits,
        };
        let idempotency = resend.idempotency.as_ref();
        if self.effect(idempotency, resend.now)?.is_some() {
            return Ok(due);
        }
        let key = resend.message.key();
        let message = self
            .messages
            .get(&key)
            .filter(|message| message.row.id == resend.message)
            .ok_or(Error::NotFound("message"))?;
        if message.row.payload.is_none() {
            return Ok(Resent::PayloadGone);
        }
        let endpoint = self
            .live(resend.endpoint)
            .filter(|endpoint| endpoint.application == message.application)
            .ok_or(Error::NotFound("endpoint"))?;
        if endpoint.disabled.is_some() {
            return Ok(Resent::EndpointDisabled);
        }
        let to = (key, resend.endpoint);
        let tried = self.tried(key, resend.endpoint);
        let delivery = self.deliveries.entry(to).or_insert_with(|| Delivery {
            attempts: tried.0,
            scheduled: tried.1,
            back: Some(Back::Nothing),
            ..Delivery::new(resend.due)
        });
        if delivery.back.is_none() {
            if delivery.status == Status::Success {
                // What began anew after a success counts its time anew.
                delivery.first_due = resend.due;
                delivery.attempts = tried.0;
                delivery.scheduled = tried.1;
            }
            delivery.back = Some(match delivery.status {
                Status::Pending => Back::Pending {
                    due: delivery.due,
                    waiting: delivery.waiting,
                },
                ended => Back::Ended(ended),
            });
            delivery.status = Status::Pending;
            delivery.waiting = false;
            delivery.due = resend.due;
        }
        self.remember(idempotency, resend.now, Effect::Resent);
        Ok(due)
    }

    /// The last attempt's number and how many were scheduled.
    pub(super) fn tried(
        &self,
        message: MessageKey,
        endpoint: EndpointKey,
    ) -> (AttemptNumber, AttemptNumber) {
        let numbers = (message, endpoint, 0)..=(message, endpoint, AttemptNumber::MAX);
        self.attempts
            .range(numbers)
            .fold((0, 0), |(_, scheduled), ((_, _, number), attempt)| {
                let counts = attempt.trigger == Trigger::Scheduled;
                (*number, scheduled + AttemptNumber::from(counts))
            })
    }
}

impl Delivery {
    /// Pending, and not behind another one in line.
    fn is_due(&self) -> bool {
        self.status == Status::Pending && !self.waiting
    }
}

/// Decides what a delivery becomes after anything but a success; `None` is no delivery.
fn after(mut delivery: Delivery, record: &AttemptRecord) -> Option<Delivery> {
    delivery.attempts = delivery.attempts.max(record.number);
    let scheduled = record.trigger == Trigger::Scheduled;
    if delivery.status == Status::Success {
        return Some(delivery);
    }
    if scheduled {
        delivery.scheduled += 1;
    }
    if delivery.status != Status::Pending {
        return Some(delivery);
    }
    match (record.then, delivery.back) {
        (AfterAttempt::AsBefore, Some(back)) => {
            delivery.back = None;
            match back {
                Back::Nothing => return None,
                Back::Pending { due, waiting } => {
                    delivery.due = due;
                    delivery.waiting = waiting;
                }
                Back::Ended(status) => delivery.status = status,
            }
        }
        (AfterAttempt::Success | AfterAttempt::AsBefore, _) => {}
        // A scheduled attempt was under way when the manual one was asked for.
        (AfterAttempt::RetryAt(due), Some(Back::Pending { waiting, .. })) if scheduled => {
            delivery.back = Some(Back::Pending { due, waiting });
        }
        (AfterAttempt::Fail(reason), Some(Back::Pending { .. })) if scheduled => {
            delivery.back = Some(Back::Ended(Status::Fail(reason)));
        }
        (_, Some(_)) if scheduled => {}
        (AfterAttempt::RetryAt(due), _) => {
            delivery.back = None;
            delivery.due = due;
        }
        (AfterAttempt::Fail(reason), _) => {
            delivery.back = None;
            delivery.status = Status::Fail(reason);
        }
    }
    Some(delivery)
}
