//! What is due: ranges of one index, however long the backlog is.
//!
//! The index `delivery_due (endpoint, generation, due, message)` holds pending deliveries only.
//! Canceling all that is pending raises the endpoint's generation, which leaves those rows outside
//! of every range that is read here.

use std::sync::Arc;

use bytes::Bytes;
use domain::{EndpointKey, Timestamp, Trigger};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store::{Claim, Claimed, DestinationDue, DueDelivery, Error, Origin, Payload};

use crate::checksum;
use crate::codec;
use crate::fault::Fault;

pub(crate) const CLAIM: &str = "
    SELECT d.message, m.rest, d.due, coalesce(d.first_due, d.due), d.attempts, d.scheduled,
           d.back IS NOT NULL, m.content_type, m.payload, typeof(m.ordering_key) = 'text',
           r.key, r.rest, r.method, r.path, r.peer, r.headers, iif(r.messages = 1, r.body, NULL),
           m.checksum, r.checksum
      FROM delivery d CROSS JOIN message m ON m.key = d.message
      LEFT JOIN request r ON r.key = m.request
     WHERE d.endpoint = ?1 AND d.generation = ?2 AND d.state = 1 AND d.due <= ?3
       AND (d.due, d.message) > (?4, ?5)
     ORDER BY d.due, d.message";

pub(crate) const NEXT_DUE: &str = "
    SELECT due FROM delivery
     WHERE endpoint = ?1 AND generation = ?2 AND state = 1 AND due > ?3
     ORDER BY due LIMIT 1";

/// The generation of an endpoint whose deliveries may go out.
pub(crate) const ACTIVE: &str = "
    SELECT e.generation FROM endpoint e JOIN application a ON a.key = e.application
     WHERE e.key = ?1 AND e.disabled IS NULL AND e.paused = 0 AND e.deleted IS NULL
       AND a.deleted IS NULL";

pub(crate) const NEXT_DESTINATION: &str = "
    SELECT endpoint FROM delivery WHERE state = 1 AND endpoint > ?1 ORDER BY endpoint LIMIT 1";

pub(crate) const EARLIEST_DUE: &str = "
    SELECT due FROM delivery
     WHERE endpoint = ?1 AND generation = ?2 AND state = 1
     ORDER BY due LIMIT 1";

pub(crate) fn claim(connection: &Connection, claim: &Claim, as_of: u64) -> Result<Claimed, Fault> {
    let epoch: i64 = connection
        .prepare_cached("SELECT epoch FROM shard WHERE id = ?1")?
        .query_row([claim.shard.number()], |row| row.get(0))?;
    if epoch != claim.epoch.0 {
        return Err(Error::Fenced.into());
    }
    let mut claimed = Claimed {
        deliveries: Vec::new(),
        more: false,
        next_due: None,
        as_of,
    };
    let Some(generation) = active(connection, claim.destination)? else {
        return Ok(claimed);
    };
    let now = claim.now.as_micros();
    let after = claim.after.map_or((i64::MIN, i64::MIN), |(due, message)| {
        (due.as_micros(), message.0)
    });
    let mut select = connection.prepare_cached(CLAIM)?;
    let mut rows = select.query(params![
        claim.destination.0,
        generation,
        now,
        after.0,
        after.1
    ])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let found = claimed.deliveries.len();
        if found == usize::from(claim.room) || (found > 0 && bytes >= claim.bytes) {
            claimed.more = true;
            break;
        }
        let delivery = due_delivery(row)?;
        let origin = delivery.origin.as_ref().map_or(0, |one| one.cost());
        bytes += delivery.payload.bytes.len() + origin;
        claimed.deliveries.push(delivery);
    }
    claimed.next_due = connection
        .prepare_cached(NEXT_DUE)?
        .query_row([claim.destination.0, generation, now], |row| {
            codec::time(row, 0)
        })
        .optional()?;
    Ok(claimed)
}

fn active(connection: &Connection, endpoint: EndpointKey) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(ACTIVE)?
        .query_row([endpoint.0], |row| row.get(0))
        .optional()
}

fn due_delivery(row: &Row<'_>) -> rusqlite::Result<DueDelivery> {
    let manual: bool = row.get(6)?;
    // What is unfinished has its payload, unless something has changed the file.
    let bytes = row.get_ref(8)?.as_blob().ok();
    let bytes = bytes.filter(|bytes| is_sound(row, bytes, 17));
    let of_request = codec::blob(row, 16)?;
    let damaged = bytes.is_none() || of_request.is_some_and(|bytes| !is_sound(row, bytes, 18));
    Ok(DueDelivery {
        message: codec::message_id(row.get(0)?, row.get(1)?),
        due: codec::time(row, 2)?,
        first_due: codec::time(row, 3)?,
        attempts: codec::small(row, 4)?,
        scheduled_attempts: codec::small(row, 5)?,
        trigger: if manual {
            Trigger::Manual
        } else {
            Trigger::Scheduled
        },
        ordered: row.get(9)?,
        payload: Payload {
            bytes: bytes.map(Bytes::copy_from_slice).unwrap_or_default(),
            content_type: codec::text(row, 7)?.map(Into::into),
        },
        damaged,
        origin: origin(row)?,
    })
}

/// Says whether bytes fit the checksum in a column; one that cannot be read fits nothing.
fn is_sound(row: &Row<'_>, bytes: &[u8], column: usize) -> bool {
    row.get(column)
        .is_ok_and(|stored| checksum::fits(bytes, stored))
}

/// The request that brought the message; nothing where there was none, or it is erased.
fn origin(row: &Row<'_>) -> rusqlite::Result<Option<Arc<Origin>>> {
    let Some(key) = row.get(10)? else {
        return Ok(None);
    };
    Ok(Some(Arc::new(Origin {
        request: codec::inbound_id(key, row.get(11)?),
        method: row.get(12)?,
        path: row.get(13)?,
        peer: row.get(14)?,
        headers: Bytes::copy_from_slice(codec::blob(row, 15)?.unwrap_or_default()),
        body: codec::blob(row, 16)?.map(Bytes::copy_from_slice),
    })))
}

/// One seek per destination: the next endpoint that has pending rows, then its earliest one.
pub(crate) fn destinations_due(
    connection: &Connection,
    after: Option<EndpointKey>,
    limit: u16,
) -> Result<Vec<DestinationDue>, Fault> {
    let mut next = connection.prepare_cached(NEXT_DESTINATION)?;
    let mut earliest = connection.prepare_cached(EARLIEST_DUE)?;
    let mut after = after.map_or(i64::MIN, |endpoint| endpoint.0);
    let mut found = Vec::new();
    while found.len() < usize::from(limit) {
        let Some(endpoint) = next.query_row([after], |row| row.get(0)).optional()? else {
            break;
        };
        after = endpoint;
        let destination = EndpointKey(endpoint);
        let Some(generation) = active(connection, destination)? else {
            continue;
        };
        let due: Option<Timestamp> = earliest
            .query_row([endpoint, generation], |row| codec::time(row, 0))
            .optional()?;
        if let Some(due) = due {
            found.push(DestinationDue { destination, due });
        }
    }
    Ok(found)
}
