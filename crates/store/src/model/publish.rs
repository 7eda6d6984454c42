//! Publishing and fanning out.

use std::collections::BTreeSet;

use domain::{CancelReason, EndpointKey, MessageId, MessageKey, Timestamp};

use super::{Back, Delivery, Effect, FanOut, State, Status, StoredMessage};
use crate::{
    Appended, Error, Expand, Expanded, FAN_OUT_INLINE, InLine, MessageRow, NewMessage, OnEventId,
    Publish, PublishOutcome, PublishedMessage, UnfinishedFanOut, Waits,
};

impl Delivery {
    pub(super) fn new(due: Timestamp) -> Self {
        Self {
            status: Status::Pending,
            waiting: false,
            due,
            first_due: due,
            attempts: 0,
            scheduled: 0,
            back: None,
        }
    }
}

impl State {
    pub(super) fn append(&mut self, batch: &[Publish]) -> Result<Appended, Error> {
        let mut seen = BTreeSet::new();
        for message in batch.iter().flat_map(|publish| &publish.messages) {
            let bits = message.id.bits();
            let uuid = (bits >> 62) & 0b11 == 0b10;
            let key = message.id.key();
            if !uuid || !seen.insert(key) || self.messages.contains_key(&key) {
                return Err(Error::Conflict("message"));
            }
        }
        let mut in_line = Vec::new();
        let outcomes = batch
            .iter()
            .map(|publish| self.publish(publish, &mut in_line))
            .collect();
        Ok(Appended {
            outcomes,
            commit: self.commits,
            in_line,
        })
    }

    fn publish(&mut self, publish: &Publish, in_line: &mut Vec<InLine>) -> PublishOutcome {
        let idempotency = publish.idempotency.as_ref();
        match self.effect(idempotency, publish.now) {
            Err(_) => return PublishOutcome::KeyReused,
            Ok(Some(Effect::Published(messages))) => return PublishOutcome::Replayed(messages),
            Ok(_) => {}
        }
        match self.applications.get(&publish.application) {
            Some(application) if application.deleted.is_none() => {
                if application.version != publish.routing_version {
                    return PublishOutcome::Stale;
                }
            }
            _ => return PublishOutcome::NoApplication,
        }
        if let Some(reception) = &publish.reception {
            return self.receive(publish, reception, in_line);
        }
        let mut items: Vec<PublishedMessage> = Vec::new();
        for (index, message) in publish.messages.iter().enumerate() {
            let first = self.first_with_event_id(publish, index);
            if let (Some(first), OnEventId::Refuse) = (first, publish.on_event_id) {
                return PublishOutcome::EventIdTaken { index, first };
            }
            items.push(PublishedMessage {
                id: first.unwrap_or(message.id),
                duplicate: first.is_some(),
            });
        }
        for (message, item) in publish.messages.iter().zip(&items) {
            if !item.duplicate {
                let waits = self.store_message(publish, message);
                in_line.extend(waits.map(|waits| InLine {
                    message: message.id.key(),
                    waits,
                }));
            }
        }
        self.remember(idempotency, publish.now, Effect::Published(items.clone()));
        PublishOutcome::Stored(items)
    }

    /// Who had the event id of an item before it: a stored message or an earlier item.
    fn first_with_event_id(&self, publish: &Publish, index: usize) -> Option<MessageId> {
        let event_id = publish.messages[index].event_id.as_ref()?;
        let stored = self.messages.values().find(|message| {
            message.application == publish.application
                && message.row.event_id.as_ref() == Some(event_id)
        });
        let earlier = publish.messages[..index]
            .iter()
            .find(|message| message.event_id.as_ref() == Some(event_id));
        stored
            .map(|message| message.row.id)
            .or(earlier.map(|message| message.id))
    }

    pub(super) fn store_message(
        &mut self,
        publish: &Publish,
        message: &NewMessage,
    ) -> Option<Waits> {
        let key = message.id.key();
        self.messages.insert(
            key,
            StoredMessage {
                application: publish.application,
                row: MessageRow {
                    id: message.id,
                    event_type: message.event_type.clone(),
                    event_id: message.event_id.clone(),
                    channels: message.channels.clone(),
                    tags: message.tags.clone(),
                    at: message.at,
                    deliver_at: message.deliver_at,
                    ordering_key: message.ordering_key.clone(),
                    payload: Some(message.payload.clone()),
                },
                expires: message.expires,
                request: publish.reception.as_ref().map(|one| one.request.id.key()),
            },
        );
        let ordered = message.ordering_key.clone();
        let ordered = ordered.map(|key| (publish.application, key));
        let behind = ordered.is_some() && self.fan_outs.values().any(|one| one.ordered == ordered);
        if message.destinations.len() > FAN_OUT_INLINE || behind {
            let waits = ordered.is_some().then_some(Waits::Everywhere);
            self.fan_outs.insert(
                key,
                FanOut {
                    cursor: 0,
                    due: message.due,
                    destinations: message.destinations.clone(),
                    ordered,
                    canceled: Vec::new(),
                },
            );
            return waits;
        }
        let mut waits = Vec::new();
        for destination in &message.destinations {
            let delivery = Delivery::new(message.due);
            let before = self.deliveries.insert((key, *destination), delivery);
            if let (None, Some((_, ordering_key))) = (before, &ordered)
                && !self.enter(key, *destination, ordering_key)
            {
                waits.push(*destination);
            }
        }
        (!waits.is_empty()).then_some(Waits::At(waits))
    }

    pub(super) fn is_stored(&self, message: MessageId) -> bool {
        let stored = self.messages.get(&message.key());
        stored.is_some_and(|stored| stored.row.id == message)
    }

    pub(super) fn expand(&mut self, expand: &Expand) -> Expanded {
        let key = expand.message.key();
        let mut expanded = Expanded {
            destinations: Vec::new(),
            due: Timestamp::default(),
            done: true,
            commit: self.commits,
        };
        if !self.is_stored(expand.message) {
            return expanded;
        }
        let Some(mut fan_out) = self.fan_outs.remove(&key) else {
            return expanded;
        };
        expanded.due = fan_out.due;
        let earlier = self.fan_outs.range(..key);
        let mut earlier = earlier.filter(|(_, one)| one.ordered == fan_out.ordered);
        if fan_out.ordered.is_some() && earlier.next().is_some() {
            self.fan_outs.insert(key, fan_out);
            return expanded;
        }
        for _ in 0..expand.room {
            let Some(destination) = fan_out.destinations.get(fan_out.cursor).copied() else {
                break;
            };
            fan_out.cursor += 1;
            if self.make(key, destination, &fan_out) {
                expanded.destinations.push(destination);
            }
        }
        if fan_out.cursor < fan_out.destinations.len() {
            expanded.done = false;
            self.fan_outs.insert(key, fan_out);
        }
        expanded
    }

    /// Makes one delivery of a wide message; returns whether it can go straight to its lane.
    fn make(&mut self, message: MessageKey, to: EndpointKey, fan_out: &FanOut) -> bool {
        if !self.endpoints.contains_key(&to) {
            return false;
        }
        let (attempts, scheduled) = self.tried(message, to);
        let mut delivery = Delivery {
            attempts,
            scheduled,
            ..Delivery::new(fan_out.due)
        };
        let disabled = fan_out.canceled.contains(&to);
        if disabled {
            delivery.status = Status::Canceled(CancelReason::EndpointDisabled);
        } else if self.live(to).is_none() {
            delivery.status = Status::Canceled(CancelReason::EndpointDeleted);
        }
        match self.deliveries.get_mut(&(message, to)) {
            // A resend was faster: it now returns to this delivery.
            Some(before) if !disabled && before.back == Some(Back::Nothing) => {
                before.back = Some(Back::Pending {
                    due: fan_out.due,
                    waiting: false,
                });
                before.first_due = fan_out.due;
                if let Some((_, ordering_key)) = &fan_out.ordered
                    && self.live(to).is_some()
                {
                    self.enter(message, to, ordering_key);
                }
                false
            }
            Some(_) => false,
            None => {
                self.deliveries.insert((message, to), delivery);
                let pending = delivery.status == Status::Pending;
                let head = match &fan_out.ordered {
                    Some((_, ordering_key)) if pending => self.enter(message, to, ordering_key),
                    _ => true,
                };
                pending && head && attempts == 0
            }
        }
    }

    pub(super) fn unfinished(&self, limit: u16) -> Vec<UnfinishedFanOut> {
        let ids = self.fan_outs.keys().map(|key| self.messages[key].row.id);
        ids.take(limit.into())
            .map(|message| UnfinishedFanOut { message })
            .collect()
    }
}
