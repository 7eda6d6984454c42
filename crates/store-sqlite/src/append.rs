//! Publishing: messages, their deliveries and idempotency rows in one transaction.
//!
//! This is the hot path: one insert per message, one per delivery, and whatever else is needed is
//! once per batch.

use std::collections::HashMap;

use domain::{EndpointKey, InboundKey, MessageId, MessageKey, OrderingKey, SourceKey};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use store::{
    Appended, Error, FAN_OUT_INLINE, InLine, NewMessage, OnEventId, Publish, PublishOutcome,
    PublishedMessage, Reception, Waits,
};

use crate::codec;
use crate::fault::Fault;
use crate::fresh::{self, Rows};
use crate::idempotency::{self, Known};
use crate::writer::{Memory, Tx, Weight};
use crate::{checksum, delivery, expand, line, reception};

/// Says how much of a merged transaction a batch takes.
pub(crate) fn weight(batch: &[Publish]) -> Weight {
    let messages = batch.iter().flat_map(|publish| &publish.messages);
    let weight = messages.fold(Weight::default(), |sum, message| Weight {
        messages: sum.messages + 1,
        bytes: sum.bytes + message.payload.bytes.len(),
        ..Weight::default()
    });
    let receptions = batch.iter().filter_map(|one| one.reception.as_ref());
    receptions.fold(weight, |sum, reception| Weight {
        messages: sum.messages + 1,
        bytes: sum.bytes + reception.request.body.len(),
        ..sum
    })
}

pub(crate) fn append(tx: &mut Tx<'_>, batch: &[Publish]) -> Result<Appended, Fault> {
    check_ids(tx, batch)?;
    let connection = tx.connection;
    let mut appender = Appender {
        connection,
        memory: tx.memory,
        insert_message: connection.prepare_cached(INSERT_MESSAGE)?,
        rows: Rows::prepare(connection)?,
        routing_versions: HashMap::new(),
        source_versions: HashMap::new(),
        expiries: HashMap::new(),
        in_line: Vec::new(),
    };
    let outcomes = batch
        .iter()
        .map(|publish| appender.publish(publish))
        .collect::<rusqlite::Result<_>>()?;
    appender.write_expiries()?;
    Ok(Appended {
        outcomes,
        commit: tx.commit,
        in_line: appender.in_line,
    })
}

const INSERT_MESSAGE: &str = "
    INSERT INTO message (key, rest, application, event_type, event_id, channels, tags, at,
                         deliver_at, expires, content_type, payload, ordering_key, fresh, request,
                         checksum)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

/// Refuses ids that cannot be stored, before anything is.
fn check_ids(tx: &Tx<'_>, batch: &[Publish]) -> Result<(), Fault> {
    // Keys nearly always rise, so one comparison settles it; only a key that is not beyond all
    // others needs a look.
    let mut newest = tx.memory.newest;
    let mut earlier = Vec::new();
    for message in batch.iter().flat_map(|publish| &publish.messages) {
        if !codec::is_storable(message.id) {
            return Err(Error::Conflict("message").into());
        }
        let key = message.id.key().0;
        if key > newest {
            newest = key;
        } else {
            earlier.push(key);
        }
    }
    if earlier.is_empty() {
        return Ok(());
    }
    let mut seen = std::collections::HashSet::new();
    let mut exists = tx
        .connection
        .prepare_cached("SELECT 1 FROM message WHERE key = ?1")?;
    for message in batch.iter().flat_map(|publish| &publish.messages) {
        if !seen.insert(message.id.key()) {
            return Err(Error::Conflict("message").into());
        }
    }
    for key in earlier {
        if exists.exists([key])? {
            return Err(Error::Conflict("message").into());
        }
    }
    Ok(())
}

struct Appender<'a> {
    connection: &'a Connection,
    memory: &'a mut Memory,
    insert_message: CachedStatement<'a>,
    rows: Rows<'a>,
    /// Per application of this batch; `None` when there is no such application.
    routing_versions: HashMap<i64, Option<i64>>,
    /// Per source of this batch; `None` when there is no such source.
    source_versions: HashMap<SourceKey, Option<u64>>,
    /// Ranges of keys by the hours of expiry and of publishing.
    expiries: HashMap<(i64, i64), (i64, i64)>,
    /// What waits for an earlier message with the same key.
    in_line: Vec<InLine>,
}

/// What one item of a publish becomes.
type Items = Vec<PublishedMessage>;

impl Appender<'_> {
    fn publish(&mut self, publish: &Publish) -> rusqlite::Result<PublishOutcome> {
        if let Some(idempotency) = &publish.idempotency {
            match idempotency::look_up(self.connection, idempotency, publish.now)? {
                Known::New => {}
                Known::Reused => return Ok(PublishOutcome::KeyReused),
                Known::Effect(effect) => {
                    return Ok(PublishOutcome::Replayed(idempotency::published(&effect)?));
                }
            }
        }
        match self.routing_version(publish.application.0)? {
            None => return Ok(PublishOutcome::NoApplication),
            Some(version) if version.unsigned_abs() != publish.routing_version => {
                return Ok(PublishOutcome::Stale);
            }
            Some(_) => {}
        }
        if let Some(reception) = &publish.reception {
            return self.receive(publish, reception);
        }
        let items = match self.items(publish)? {
            Ok(items) => items,
            Err(refused) => return Ok(refused),
        };
        for (message, item) in publish.messages.iter().zip(&items) {
            if !item.duplicate {
                self.insert(publish.application.0, message, None)?;
            }
        }
        if let Some(idempotency) = &publish.idempotency {
            let effect = idempotency::put_published(&items);
            idempotency::remember(self.connection, idempotency, publish.now, &effect)?;
        }
        Ok(PublishOutcome::Stored(items))
    }

    /// Stores a request, with those of its messages that are new.
    fn receive(
        &mut self,
        publish: &Publish,
        reception: &Reception,
    ) -> rusqlite::Result<PublishOutcome> {
        let source = reception.request.source;
        let version = match self.source_versions.get(&source) {
            Some(known) => *known,
            None => reception::source_version(self.connection, source)?,
        };
        self.source_versions.insert(source, version);
        if version != Some(reception.source_version) {
            return Ok(PublishOutcome::SourceChanged);
        }
        let (messages, now) = (&publish.messages, publish.now);
        let decision = reception::decide(self.connection, reception, messages, now)?;
        for (message, item) in publish.messages.iter().zip(&decision.messages) {
            if decision.stores(item) {
                let request = reception.request.id.key();
                self.insert(publish.application.0, message, Some(request))?;
            }
        }
        let receipt = reception::store(self.connection, reception, decision, now)?;
        if let Some(idempotency) = publish
            .idempotency
            .as_ref()
            .filter(|_| receipt.reason.is_none())
        {
            let effect = idempotency::put_published(&receipt.messages);
            idempotency::remember(self.connection, idempotency, now, &effect)?;
        }
        Ok(PublishOutcome::Received(Box::new(receipt)))
    }

    fn routing_version(&mut self, application: i64) -> rusqlite::Result<Option<i64>> {
        if let Some(known) = self.routing_versions.get(&application) {
            return Ok(*known);
        }
        let version = self
            .connection
            .prepare_cached(
                "SELECT routing_version FROM application WHERE key = ?1 AND deleted IS NULL",
            )?
            .query_row([application], |row| row.get(0))
            .optional()?;
        self.routing_versions.insert(application, version);
        Ok(version)
    }

    /// Decides for each item whether it is new; the publish as a whole may be refused.
    fn items(&self, publish: &Publish) -> rusqlite::Result<Result<Items, PublishOutcome>> {
        let mut items = Vec::with_capacity(publish.messages.len());
        let mut own: HashMap<&str, MessageId> = HashMap::new();
        for (index, message) in publish.messages.iter().enumerate() {
            let first = match &message.event_id {
                None => None,
                Some(event_id) => match own.get(event_id.as_str()) {
                    Some(first) => Some(*first),
                    None => self.with_event_id(publish.application.0, event_id.as_str())?,
                },
            };
            match (first, publish.on_event_id) {
                (None, _) => {
                    if let Some(event_id) = &message.event_id {
                        own.insert(event_id.as_str(), message.id);
                    }
                    items.push(PublishedMessage {
                        id: message.id,
                        duplicate: false,
                    });
                }
                (Some(first), OnEventId::Refuse) => {
                    return Ok(Err(PublishOutcome::EventIdTaken { index, first }));
                }
                (Some(first), OnEventId::AnswerFirst) => items.push(PublishedMessage {
                    id: first,
                    duplicate: true,
                }),
            }
        }
        Ok(Ok(items))
    }

    fn with_event_id(
        &self,
        application: i64,
        event_id: &str,
    ) -> rusqlite::Result<Option<MessageId>> {
        self.connection
            .prepare_cached(
                "SELECT key, rest FROM message WHERE application = ?1 AND event_id = ?2",
            )?
            .query_row(params![application, event_id], |row| {
                Ok(codec::message_id(row.get(0)?, row.get(1)?))
            })
            .optional()
    }

    /// Stores a message, and the request that brought it if there is one.
    fn insert(
        &mut self,
        application: i64,
        message: &NewMessage,
        request: Option<InboundKey>,
    ) -> rusqlite::Result<()> {
        let key = message.id.key();
        let fresh = self.fresh(message);
        self.insert_message.execute(params![
            key.0,
            codec::rest_of(message.id),
            application,
            message.event_type.as_str(),
            message.event_id.as_ref().map(domain::EventId::as_str),
            codec::join(message.channels.iter().map(domain::Channel::as_str)),
            codec::join(message.tags.iter().map(domain::Tag::as_str)),
            message.at.as_micros(),
            message.deliver_at.map(domain::Timestamp::as_micros),
            message.expires.as_micros(),
            message.payload.content_type.as_deref(),
            &message.payload.bytes[..],
            message.ordering_key.as_ref().map(OrderingKey::as_str),
            fresh.as_deref(),
            request.map(|key| key.0),
            checksum::of(&message.payload.bytes),
        ])?;
        self.memory.newest = self.memory.newest.max(key.0);
        self.will_expire(key, message);
        if fresh.is_some() {
            return Ok(());
        }
        if let Some(ordering_key) = &message.ordering_key {
            return self.insert_in_line(application, message, ordering_key);
        }
        if message.destinations.len() > FAN_OUT_INLINE {
            return self.insert_fan_out(key, message, None);
        }
        for destination in &message.destinations {
            let generation = self.memory.generation(*destination);
            let due = message.due.as_micros();
            self.rows.insert((key.0, destination.0), generation, due)?;
        }
        Ok(())
    }

    /// Notes the deliveries of a message that need no rows for now, and packs them for the
    /// message's own.
    ///
    /// A key that is not the newest may be one that the counter has passed.
    fn fresh(&self, message: &NewMessage) -> Option<Vec<u8>> {
        let key = message.id.key().0;
        let wanted = message.destinations.len();
        let mut fresh = fresh::lock(&self.memory.fresh);
        fresh.published(message.payload.bytes.len());
        if wanted == 0
            || wanted > FAN_OUT_INLINE
            || message.deliver_at.is_some()
            || message.ordering_key.is_some()
            || key <= self.memory.newest
            || !fresh.has_room(wanted)
        {
            return None;
        }
        let endpoint = |one: &EndpointKey| (one.0, self.memory.generation(*one));
        let endpoints: Vec<_> = message.destinations.iter().map(endpoint).collect();
        let due = message.due.as_micros();
        let packed = codec::put_fresh(due, &endpoints);
        fresh.insert(key, due, endpoints);
        Some(packed)
    }

    /// Makes the deliveries of a message with a key, each at the end of its line. What has more
    /// destinations than are made at once, or follows a message of which that is so, is fanned
    /// out later, one message after the other.
    fn insert_in_line(
        &mut self,
        application: i64,
        message: &NewMessage,
        ordering_key: &OrderingKey,
    ) -> rusqlite::Result<()> {
        let key = message.id.key();
        let ordered = (application, ordering_key.as_str());
        let wide = message.destinations.len() > FAN_OUT_INLINE;
        if wide || expand::is_behind(self.connection, ordered, i64::MAX)? {
            self.in_line.push(InLine {
                message: key,
                waits: Waits::Everywhere,
            });
            return self.insert_fan_out(key, message, Some(ordered));
        }
        let mut waits = Vec::new();
        for destination in &message.destinations {
            let generation = self.memory.generation(*destination);
            let due = message.due.as_micros();
            let delivery = (key.0, destination.0);
            if !self.rows.insert(delivery, generation, due)?
                || line::enter(self.connection, delivery, generation, ordering_key.as_str())?
            {
                continue;
            }
            delivery::hold(self.connection, delivery)?;
            waits.push(*destination);
        }
        if !waits.is_empty() {
            self.in_line.push(InLine {
                message: key,
                waits: Waits::At(waits),
            });
        }
        Ok(())
    }

    fn insert_fan_out(
        &self,
        key: MessageKey,
        message: &NewMessage,
        ordered: Option<(i64, &str)>,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO fan_out (message, cursor, generation, due, application, ordering_key)
                 SELECT ?1, 0, value, ?2, ?3, ?4 FROM counter WHERE name = 'generation'",
            )?
            .execute(params![
                key.0,
                message.due.as_micros(),
                ordered.map(|(application, _)| application),
                ordered.map(|(_, key)| key),
            ])?;
        self.connection
            .prepare_cached(
                "INSERT INTO fan_out_destinations (message, destinations) VALUES (?1, ?2)",
            )?
            .execute(params![
                key.0,
                codec::put_destinations(&message.destinations)
            ])?;
        Ok(())
    }

    fn will_expire(&mut self, key: MessageKey, message: &NewMessage) {
        let hours = (codec::hour_of(message.expires), codec::hour_of_key(key));
        let range = self.expiries.entry(hours).or_insert((key.0, key.0));
        range.0 = range.0.min(key.0);
        range.1 = range.1.max(key.0);
    }

    fn write_expiries(&self) -> rusqlite::Result<()> {
        if self.expiries.is_empty() {
            return Ok(());
        }
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO expiry (hour, published, first, last) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET first = min(first, excluded.first),
                                       last = max(last, excluded.last)",
        )?;
        for ((hour, published), (first, last)) in &self.expiries {
            upsert.execute(params![hour, published, first, last])?;
        }
        Ok(())
    }
}

impl Memory {
    /// The generation of an endpoint's new deliveries: 0 unless it canceled some before.
    pub(crate) fn generation(&self, endpoint: EndpointKey) -> i64 {
        self.generations.get(&endpoint.0).copied().unwrap_or(0)
    }
}
