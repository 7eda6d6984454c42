//! Attempts and the state of deliveries, as read and listed.

use bytes::Bytes;
use domain::{
    AttemptId, AttemptStatus, DeliveryState, EndpointKey, ErrorClass, MessageId, MessageKey,
    Trigger,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store::{AttemptCursor, AttemptFilter, AttemptRow, MessageDestination, Page, PageRequest};

use crate::codec;
use crate::delivery::{self, Delivery, Effective};
use crate::fault::Fault;
use crate::message::{self, LabelFilter, Labels, within};
use crate::page::Walk;
use crate::record::status_code;

/// Columns of [`from_row`] and [`matches`].
const COLUMNS: &str = "
    message, endpoint, number, at, manual, status, url, duration, http_status, phases, error,
    error_detail, response";

fn cursor(row: &Row<'_>) -> rusqlite::Result<AttemptCursor> {
    Ok(AttemptCursor {
        message: MessageKey(row.get(0)?),
        endpoint: EndpointKey(row.get(1)?),
        number: codec::small(row, 2)?,
        at: codec::time(row, 3)?,
    })
}

/// Makes the row that callers see; `None` when its message or endpoint is erased.
fn from_row(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Option<AttemptRow>> {
    let at = cursor(row)?;
    let message: Option<i64> = connection
        .prepare_cached("SELECT rest FROM message WHERE key = ?1")?
        .query_row([at.message.0], |row| row.get(0))
        .optional()?;
    let endpoint = connection
        .prepare_cached("SELECT id FROM endpoint WHERE key = ?1")?
        .query_row([at.endpoint.0], |row| codec::endpoint_id(row, 0))
        .optional()?;
    let (Some(rest), Some(endpoint)) = (message, endpoint) else {
        return Ok(None);
    };
    let url: Option<String> = connection
        .prepare_cached("SELECT url FROM endpoint_url WHERE key = ?1")?
        .query_row([row.get::<_, i64>(6)?], |row| row.get(0))
        .optional()?;
    let message = codec::message_id(at.message.0, rest);
    let manual: bool = row.get(4)?;
    let success = row.get::<_, i64>(5)? == status_code(AttemptStatus::Success);
    Ok(Some(AttemptRow {
        id: AttemptId::derive(message, endpoint, at.number, at.at),
        message,
        endpoint_key: at.endpoint,
        endpoint,
        number: at.number,
        trigger: if manual {
            Trigger::Manual
        } else {
            Trigger::Scheduled
        },
        at: at.at,
        duration: codec::duration(row.get(7)?),
        phases: codec::phases(codec::blob(row, 9)?)?,
        url: url.unwrap_or_default(),
        status: if success {
            AttemptStatus::Success
        } else {
            AttemptStatus::Fail
        },
        http_status: codec::small_or_none(row, 8)?,
        error: codec::text(row, 10)?.and_then(ErrorClass::from_slug),
        error_detail: row.get(11)?,
        response: codec::blob(row, 12)?.map_or_else(Bytes::new, Bytes::copy_from_slice),
    }))
}

/// Says whether an attempt is wanted; looks at its message only if it must.
fn matches(
    connection: &Connection,
    filter: &AttemptFilter,
    row: &Row<'_>,
) -> rusqlite::Result<bool> {
    let http_status: Option<i64> = row.get(8)?;
    let class = http_status.map_or(0, |status| status / 100 * 100);
    let status: i64 = row.get(5)?;
    let endpoint: i64 = row.get(1)?;
    if filter.status.is_some_and(|s| status_code(s) != status)
        || filter.status_class.is_some_and(|c| i64::from(c) != class)
        || filter.endpoint.is_some_and(|e| e.0 != endpoint)
        || !within(codec::time(row, 3)?, filter.before, filter.after)
    {
        return Ok(false);
    }
    if filter.channel.is_none() && filter.tag.is_none() && filter.event_types.is_none() {
        return Ok(true);
    }
    let labelled = connection
        .prepare_cached("SELECT event_type, channels, tags FROM message WHERE key = ?1")?
        .query_row([row.get::<_, i64>(0)?], |row| {
            let labels = Labels {
                event_type: codec::text(row, 0)?.unwrap_or_default(),
                channels: codec::text(row, 1)?,
                tags: codec::text(row, 2)?,
            };
            Ok(labels.matches(&LabelFilter {
                event_types: filter.event_types.as_deref(),
                channel: filter.channel.as_ref().map(domain::Channel::as_str),
                tag: filter.tag.as_ref().map(domain::Tag::as_str),
            }))
        })
        .optional()?;
    Ok(labelled == Some(true))
}

type Listed = Page<AttemptRow, AttemptCursor>;

/// A point in the order of an endpoint's attempts.
type Point = (i64, i64, i64);

const FIRST: Point = (i64::MIN, i64::MIN, i64::MIN);
const LAST: Point = (i64::MAX, i64::MAX, i64::MAX);

pub(crate) fn list_by_endpoint(
    connection: &Connection,
    endpoint: EndpointKey,
    filter: &AttemptFilter,
    page: &PageRequest<AttemptCursor>,
) -> Result<Listed, Fault> {
    let walk = Walk::of(page);
    let low = filter
        .after
        .map_or(FIRST, |at| (at.as_micros(), LAST.1, LAST.2));
    let high = filter
        .before
        .map_or(LAST, |at| (at.as_micros(), FIRST.1, FIRST.2));
    let (low, high) = walk.range(page.cursor.as_ref(), (low, high), |at| {
        (at.at.as_micros(), at.message.0, at.number.into())
    });
    let mut select = connection.prepare_cached(&by_endpoint_sql(&walk))?;
    let rows = select.query(params![
        endpoint.0, low.0, low.1, low.2, high.0, high.1, high.2
    ])?;
    collect(connection, &walk, filter, rows)
}

pub(crate) fn by_endpoint_sql(walk: &Walk) -> String {
    let direction = walk.direction();
    format!(
        "SELECT {COLUMNS} FROM attempt
          WHERE endpoint = ?1 AND (at, message, number) > (?2, ?3, ?4)
            AND (at, message, number) < (?5, ?6, ?7)
          ORDER BY at {direction}, message {direction}, number {direction}"
    )
}

/// The attempts of one message lie together, by endpoint; they are sorted for each page, so that
/// the hot path need not keep an index for it.
pub(crate) fn list_by_message(
    connection: &Connection,
    message: MessageId,
    filter: &AttemptFilter,
    page: &PageRequest<AttemptCursor>,
) -> Result<Listed, Fault> {
    let walk = Walk::of(page);
    if !message::exists(connection, message)? {
        return Ok(Page {
            items: Vec::new(),
            done: true,
            resume: None,
        });
    }
    let (low, high) = walk.range(page.cursor.as_ref(), (FIRST, LAST), |at| {
        (at.at.as_micros(), at.endpoint.0, at.number.into())
    });
    let mut select = connection.prepare_cached(&by_message_sql(&walk))?;
    let rows = select.query(params![
        message.key().0,
        low.0,
        low.1,
        low.2,
        high.0,
        high.1,
        high.2
    ])?;
    collect(connection, &walk, filter, rows)
}

pub(crate) fn by_message_sql(walk: &Walk) -> String {
    let direction = walk.direction();
    format!(
        "SELECT {COLUMNS} FROM attempt
          WHERE message = ?1 AND (at, endpoint, number) > (?2, ?3, ?4)
            AND (at, endpoint, number) < (?5, ?6, ?7)
          ORDER BY at {direction}, endpoint {direction}, number {direction}"
    )
}

fn collect(
    connection: &Connection,
    walk: &Walk,
    filter: &AttemptFilter,
    rows: rusqlite::Rows<'_>,
) -> Result<Listed, Fault> {
    Ok(walk.collect(rows, |row| {
        let found = if matches(connection, filter, row)? {
            from_row(connection, row)?
        } else {
            None
        };
        Ok((cursor(row)?, found))
    })?)
}

pub(crate) fn by_id(
    connection: &Connection,
    message: MessageId,
    attempt: AttemptId,
) -> Result<Option<AttemptRow>, Fault> {
    if !message::exists(connection, message)? {
        return Ok(None);
    }
    // The id tells the millisecond, so few rows need to be derived and compared.
    let Ok(millis) = i64::try_from(attempt.bits() >> 80) else {
        return Ok(None);
    };
    let first = millis * 1_000;
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM attempt WHERE message = ?1 AND at >= ?2 AND at < ?3"
    ))?;
    let mut rows = select.query([message.key().0, first, first + 1_000])?;
    while let Some(row) = rows.next()? {
        let found = from_row(connection, row)?.filter(|found| found.id == attempt);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// What the attempts to one destination add up to.
struct Tried {
    attempts: u16,
    success: bool,
}

/// Walks the endpoints that have a delivery row or an attempt, one seek for each.
pub(crate) fn destinations(
    connection: &Connection,
    message: MessageId,
    page: &PageRequest<EndpointKey>,
) -> Result<Page<MessageDestination>, Fault> {
    let walk = Walk::of(page);
    let mut found = Vec::new();
    let limit = usize::from(page.limit);
    if message::exists(connection, message)? {
        let ends = (i64::MIN, i64::MAX);
        let (mut low, mut high) = walk.range(page.cursor.as_ref(), ends, |key| key.0);
        let mut next = connection.prepare_cached(&destination_sql(&walk))?;
        while found.len() <= limit {
            let key = message.key().0;
            let Some(endpoint) =
                next.query_row([key, low, high], |row| row.get::<_, Option<i64>>(0))?
            else {
                break;
            };
            if walk.ascending() {
                low = endpoint;
            } else {
                high = endpoint;
            }
            found.extend(destination(connection, key, endpoint)?);
        }
    }
    let done = found.len() <= limit;
    found.truncate(limit);
    Ok(walk.page(found, done))
}

pub(crate) fn destination_sql(walk: &Walk) -> String {
    let direction = walk.direction();
    let pick = if walk.ascending() { "min" } else { "max" };
    let from = |table: &str| {
        format!(
            "(SELECT endpoint FROM {table}
               WHERE message = ?1 AND endpoint > ?2 AND endpoint < ?3
               ORDER BY endpoint {direction} LIMIT 1)"
        )
    };
    let (delivery, attempt) = (from("delivery"), from("attempt"));
    // With NULL, `min` and `max` of two values are NULL; then whichever is there is next.
    format!("SELECT coalesce({pick}(d, t), d, t) FROM (SELECT {delivery} AS d, {attempt} AS t)")
}

/// Reads one destination; `None` when the endpoint is erased, or when all there was is a manual
/// attempt that failed.
pub(crate) fn destination(
    connection: &Connection,
    message: i64,
    endpoint: i64,
) -> rusqlite::Result<Option<MessageDestination>> {
    let known = connection
        .prepare_cached("SELECT 1 FROM endpoint WHERE key = ?1")?
        .exists([endpoint])?;
    if !known {
        return Ok(None);
    }
    let mut found = MessageDestination {
        endpoint: EndpointKey(endpoint),
        state: DeliveryState::Success,
        next_attempt: None,
        attempts: 0,
        fail_reason: None,
        cancel_reason: None,
    };
    let row = delivery::load(connection, message, endpoint)?;
    let effective = row
        .as_ref()
        .map_or(Ok(Effective::None), Delivery::effective)?;
    if let Some(row) = row {
        found.attempts = row.attempts;
        let due = domain::Timestamp::from_micros(row.due);
        found.next_attempt = (!row.waiting).then_some(due);
    }
    match effective {
        Effective::Pending => {
            found.state = DeliveryState::Pending;
            return Ok(Some(found));
        }
        Effective::Fail(reason) => {
            found.state = DeliveryState::Fail;
            found.fail_reason = Some(reason);
        }
        Effective::Canceled(reason) => {
            found.state = DeliveryState::Canceled;
            found.cancel_reason = Some(reason);
        }
        Effective::None => {
            let tried = tried(connection, message, endpoint)?;
            if !tried.success {
                return Ok(None);
            }
            found.attempts = tried.attempts;
        }
    }
    found.next_attempt = None;
    Ok(Some(found))
}

fn tried(connection: &Connection, message: i64, endpoint: i64) -> rusqlite::Result<Tried> {
    connection
        .prepare_cached(
            "SELECT coalesce(max(number), 0), coalesce(max(status = 0), 0) FROM attempt
              WHERE message = ?1 AND endpoint = ?2",
        )?
        .query_row([message, endpoint], |row| {
            Ok(Tried {
                attempts: codec::small(row, 0)?,
                success: row.get(1)?,
            })
        })
}
