//! Messages, as read and listed.

use bytes::Bytes;
use domain::{
    ApplicationKey, DeliveryState, EndpointKey, EventType, MessageId, MessageKey, OrderingKey,
    Timestamp,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use store::{
    EndpointMessage, EndpointMessageFilter, MessageFilter, MessageRef, MessageRow, Page,
    PageRequest, Payload,
};

use crate::attempt::destination;
use crate::codec;
use crate::delivery;
use crate::fault::Fault;
use crate::page::Walk;

/// Columns of [`from_row`]: all but the payload, whose pages a list need not read.
const COLUMNS: &str = "
    key, rest, event_type, event_id, channels, tags, at, deliver_at, content_type, ordering_key";

fn from_row(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    let event_type = codec::text(row, 2)?.and_then(codec::event_type);
    let event_id = codec::text(row, 3)?;
    Ok(MessageRow {
        id: codec::message_id(row.get(0)?, row.get(1)?),
        event_type: event_type.ok_or_else(|| codec::invalid("event type"))?,
        event_id: event_id.and_then(|text| domain::EventId::parse(text).ok()),
        channels: codec::split(codec::text(row, 4)?, codec::channel)?,
        tags: codec::split(codec::text(row, 5)?, codec::tag)?,
        at: codec::time(row, 6)?,
        deliver_at: codec::time_or_none(row, 7)?,
        ordering_key: codec::text(row, 9)?.and_then(|text| OrderingKey::parse(text).ok()),
        payload: None,
    })
}

fn payload(
    select: &mut CachedStatement<'_>,
    key: i64,
    content_type: Option<Box<str>>,
) -> rusqlite::Result<Option<Payload>> {
    select.query_row([key], |row| {
        let bytes = codec::blob(row, 0)?.map(Bytes::copy_from_slice);
        Ok(bytes.map(|bytes| Payload {
            bytes,
            content_type,
        }))
    })
}

const PAYLOAD: &str = "SELECT payload FROM message WHERE key = ?1";

pub(crate) fn load(
    connection: &Connection,
    application: ApplicationKey,
    message: &MessageRef,
) -> Result<Option<MessageRow>, Fault> {
    let read = |row: &Row<'_>| {
        let content_type = codec::text(row, 8)?.map(Into::into);
        Ok((row.get::<_, i64>(0)?, from_row(row)?, content_type))
    };
    let found = match message {
        MessageRef::Id(id) => connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM message WHERE key = ?2 AND rest = ?3 AND application = ?1"
            ))?
            .query_row(
                params![application.0, id.key().0, codec::rest_of(*id)],
                read,
            ),
        MessageRef::EventId(event_id) => connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM message WHERE application = ?1 AND event_id = ?2"
            ))?
            .query_row(params![application.0, event_id.as_str()], read),
    };
    let Some((key, mut row, content_type)) = found.optional()? else {
        return Ok(None);
    };
    row.payload = payload(&mut connection.prepare_cached(PAYLOAD)?, key, content_type)?;
    // The variant bits are not stored: an id that differs there only is another id.
    let named = !matches!(message, MessageRef::Id(id) if *id != row.id);
    Ok(Some(row).filter(|_| named))
}

/// How much later than its own time a message's key can be: an id keeps to the last millisecond
/// drawn when the clock is set back, and a list filtered by time allows for this much.
const CLOCK_STEP: std::time::Duration = std::time::Duration::from_mins(1);

pub(crate) fn list(
    connection: &Connection,
    application: ApplicationKey,
    filter: &MessageFilter,
    page: &PageRequest<MessageKey>,
) -> Result<Page<MessageRow, MessageKey>, Fault> {
    let walk = Walk::of(page);
    let (low, high) = walk.range(page.cursor.as_ref(), ends(filter), |key| key.0);
    let mut select = connection.prepare_cached(&list_sql(&walk))?;
    let mut reader = Reader::new(connection, filter)?;
    let rows = select.query(params![application.0, low, high])?;
    let page = walk.collect(rows, |row| {
        let key: i64 = row.get(0)?;
        Ok((MessageKey(key), reader.wanted(row)?))
    })?;
    Ok(page)
}

/// Returns the keys between which, both excluded, all messages of the times asked for lie.
pub(crate) fn ends(filter: &MessageFilter) -> (i64, i64) {
    let low = filter
        .after
        .map_or(i64::MIN, |after| MessageKey::first_at(after).0 - 1);
    (low, filter.before.map_or(i64::MAX, keys_before))
}

/// Reads rows of messages as a list was asked to show them.
struct Reader<'c, 'f> {
    filter: &'f MessageFilter,
    select_payload: CachedStatement<'c>,
}

impl<'c, 'f> Reader<'c, 'f> {
    fn new(connection: &'c Connection, filter: &'f MessageFilter) -> rusqlite::Result<Self> {
        Ok(Self {
            filter,
            select_payload: connection.prepare_cached(PAYLOAD)?,
        })
    }

    /// Returns the message, unless it is filtered out.
    fn wanted(&mut self, row: &Row<'_>) -> rusqlite::Result<Option<MessageRow>> {
        if !matches(self.filter, row)? {
            return Ok(None);
        }
        let mut found = from_row(row)?;
        if self.filter.with_content {
            let content_type = codec::text(row, 8)?.map(Into::into);
            found.payload = payload(&mut self.select_payload, row.get(0)?, content_type)?;
        }
        Ok(Some(found))
    }
}

/// Lists messages together with their deliveries to one endpoint.
///
/// Dead letters and canceled deliveries have an index of their own. It serves as long as no
/// canceled one still says pending, which housekeeping sees to within seconds.
pub(crate) fn list_of_endpoint(
    connection: &Connection,
    application: ApplicationKey,
    endpoint: EndpointKey,
    filter: &EndpointMessageFilter,
    page: &PageRequest<MessageKey>,
) -> Result<Page<EndpointMessage, MessageKey>, Fault> {
    let walk = Walk::of(page);
    let ends = ends(&filter.messages);
    let (low, high) = walk.range(page.cursor.as_ref(), ends, |key| key.0);
    let states = filter.states.as_ref();
    let is_ended =
        |state: &DeliveryState| matches!(state, DeliveryState::Fail | DeliveryState::Canceled);
    let by_index = states.is_some_and(|states| states.iter().all(is_ended))
        && !delivery::is_unsettled(connection, endpoint)?;
    let (sql, first) = if by_index {
        (list_ended_sql(&walk), endpoint.0)
    } else {
        (list_sql(&walk), application.0)
    };
    let mut select = connection.prepare_cached(&sql)?;
    let mut reader = Reader::new(connection, &filter.messages)?;
    let rows = select.query(params![first, low, high])?;
    let page = walk.collect(rows, |row| {
        let key = MessageKey(row.get(0)?);
        let found = destination(connection, key.0, endpoint.0)?;
        let wanted = found.filter(|one| states.is_none_or(|states| states.contains(&one.state)));
        let Some(delivery) = wanted else {
            return Ok((key, None));
        };
        let message = reader.wanted(row)?;
        Ok((
            key,
            message.map(|message| EndpointMessage { message, delivery }),
        ))
    })?;
    Ok(page)
}

/// Walks what ended at an endpoint, two ranges of one index merged.
pub(crate) fn list_ended_sql(walk: &Walk) -> String {
    let direction = walk.direction();
    let of_state = |state: DeliveryState| {
        let columns = COLUMNS.replacen("key", "d.message", 1);
        format!(
            "SELECT {columns} FROM delivery d CROSS JOIN message m ON m.key = d.message
              WHERE d.endpoint = ?1 AND d.state = {} AND d.state <> 1
                AND d.message > ?2 AND d.message < ?3",
            state.code()
        )
    };
    format!(
        "{} UNION ALL {} ORDER BY 1 {direction}",
        of_state(DeliveryState::Fail),
        of_state(DeliveryState::Canceled),
    )
}

/// Returns a key beyond all messages published before a time.
fn keys_before(before: Timestamp) -> i64 {
    let before = before.plus(CLOCK_STEP);
    // Keys hold 42 bits of the millisecond; a time beyond them is beyond every key.
    if before.as_unix_millis() >> 42 == 0 {
        MessageKey::first_at(before).0
    } else {
        i64::MAX
    }
}

pub(crate) fn list_sql(walk: &Walk) -> String {
    format!(
        "SELECT {COLUMNS} FROM message
          WHERE application = ?1 AND key > ?2 AND key < ?3
          ORDER BY key {}",
        walk.direction()
    )
}

fn matches(filter: &MessageFilter, row: &Row<'_>) -> rusqlite::Result<bool> {
    let labels = Labels {
        event_type: codec::text(row, 2)?.unwrap_or_default(),
        channels: codec::text(row, 4)?,
        tags: codec::text(row, 5)?,
    };
    let at = codec::time(row, 6)?;
    Ok(labels.matches(&LabelFilter {
        event_types: filter.event_types.as_deref(),
        channel: filter.channel.as_ref().map(domain::Channel::as_str),
        tag: filter.tag.as_ref().map(domain::Tag::as_str),
    }) && within(at, filter.before, filter.after))
}

/// Says whether a time lies strictly between two that may be missing.
pub(crate) fn within(at: Timestamp, before: Option<Timestamp>, after: Option<Timestamp>) -> bool {
    before.is_none_or(|before| at < before) && after.is_none_or(|after| at > after)
}

/// What a message is labelled with, as stored.
pub(crate) struct Labels<'r> {
    pub(crate) event_type: &'r str,
    pub(crate) channels: Option<&'r str>,
    pub(crate) tags: Option<&'r str>,
}

/// Which labels are wanted.
#[derive(Default)]
pub(crate) struct LabelFilter<'f> {
    pub(crate) event_types: Option<&'f [EventType]>,
    pub(crate) channel: Option<&'f str>,
    pub(crate) tag: Option<&'f str>,
}

impl Labels<'_> {
    pub(crate) fn matches(&self, filter: &LabelFilter<'_>) -> bool {
        let has = |joined: Option<&str>, name: &str| {
            joined.is_some_and(|joined| joined.split(',').any(|one| one == name))
        };
        filter
            .event_types
            .is_none_or(|types| types.iter().any(|t| t.as_str() == self.event_type))
            && filter.channel.is_none_or(|name| has(self.channels, name))
            && filter.tag.is_none_or(|name| has(self.tags, name))
    }
}

/// Says whether the message is stored.
pub(crate) fn exists(connection: &Connection, message: MessageId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM message WHERE key = ?1 AND rest = ?2")?
        .exists(params![message.key().0, codec::rest_of(message)])
}
