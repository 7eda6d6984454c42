//! Wide messages: makes the delivery rows that the append left to later.

use domain::{CancelReason, DeliveryState, EndpointKey, MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use store::{Expand, Expanded, UnfinishedFanOut};

use crate::codec;
use crate::delivery::{self, Back};
use crate::fault::Fault;
use crate::line;
use crate::writer::Tx;

struct FanOut {
    cursor: usize,
    generation: i64,
    due: Timestamp,
    destinations: Vec<EndpointKey>,
    /// The application and the ordering key of a message that has one.
    ordered: Option<(i64, String)>,
}

pub(crate) fn expand(tx: &mut Tx<'_>, expand: &Expand) -> Result<Expanded, Fault> {
    let Some(fan_out) = load(tx.connection, expand.message)? else {
        return Ok(Expanded {
            destinations: Vec::new(),
            due: Timestamp::default(),
            done: true,
            commit: tx.commit,
        });
    };
    let key = expand.message.key().0;
    if let Some((application, ordering_key)) = &fan_out.ordered
        && is_behind(tx.connection, (*application, ordering_key), key)?
    {
        return Ok(Expanded {
            destinations: Vec::new(),
            due: fan_out.due,
            done: true,
            commit: tx.commit,
        });
    }
    let end = fan_out.destinations.len();
    let next = end.min(fan_out.cursor + usize::from(expand.room));
    let mut made = Vec::with_capacity(next - fan_out.cursor);
    for destination in &fan_out.destinations[fan_out.cursor..next] {
        if deliver(tx, key, *destination, &fan_out)? {
            made.push(*destination);
        }
    }
    if next == end {
        forget(tx.connection, key)?;
    } else {
        let cursor = i64::try_from(next).expect("a list in memory");
        tx.connection
            .prepare_cached("UPDATE fan_out SET cursor = ?2 WHERE message = ?1")?
            .execute([key, cursor])?;
    }
    Ok(Expanded {
        destinations: made,
        due: fan_out.due,
        done: next == end,
        commit: tx.commit,
    })
}

/// Says whether an earlier message with the same key is still to be fanned out.
pub(crate) fn is_behind(
    connection: &Connection,
    (application, ordering_key): (i64, &str),
    message: i64,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM fan_out
              WHERE application = ?1 AND ordering_key = ?2 AND ordering_key IS NOT NULL
                AND message < ?3",
        )?
        .exists(params![application, ordering_key, message])
}

/// Erases the cursor of a message, if it has one.
pub(crate) fn forget(connection: &Connection, message: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM fan_out WHERE message = ?1")?
        .execute([message])?;
    connection
        .prepare_cached("DELETE FROM fan_out_destinations WHERE message = ?1")?
        .execute([message])?;
    Ok(())
}

fn load(connection: &Connection, message: MessageId) -> rusqlite::Result<Option<FanOut>> {
    connection
        .prepare_cached(
            "SELECT f.cursor, f.generation, f.due, d.destinations, f.application, f.ordering_key
               FROM fan_out f JOIN fan_out_destinations d ON d.message = f.message
               JOIN message m ON m.key = f.message
              WHERE f.message = ?1 AND m.rest = ?2",
        )?
        .query_row(params![message.key().0, codec::rest_of(message)], |row| {
            Ok(FanOut {
                cursor: codec::small(row, 0)?,
                generation: row.get(1)?,
                due: codec::time(row, 2)?,
                destinations: codec::destinations(codec::blob(row, 3)?.unwrap_or_default())?,
                ordered: match row.get(5)? {
                    None => None,
                    Some(key) => Some((row.get(4)?, key)),
                },
            })
        })
        .optional()
}

// A resend may have been faster. Its attempts count on, a success of it stands, and while it is
// still due it returns to this delivery. An endpoint that was erased gets no row, which nothing
// would ever erase again.
pub(crate) const INSERT: &str = "
    INSERT INTO delivery (message, endpoint, state, generation, due, attempts, scheduled, reason)
    SELECT ?1, ?2, ?5, ?3, ?4, coalesce(max(number), 0), coalesce(sum(manual = 0), 0), ?6
      FROM attempt WHERE message = ?1 AND endpoint = ?2
    HAVING coalesce(max(status = 0), 0) = 0 AND EXISTS (SELECT 1 FROM endpoint WHERE key = ?2)
        ON CONFLICT DO UPDATE SET back = 1, back_due = excluded.due, first_due = excluded.due
           WHERE back = 0 AND excluded.state = 1";

/// A resend that was canceled before it was tried: what it returns to is no row at all.
pub(crate) const ERASE_CANCELED: &str = "
    DELETE FROM delivery
     WHERE message = ?1 AND endpoint = ?2 AND state = 1 AND back = 0 AND generation < ?3";

/// Whether a delivery is one that can go straight to its lane: pending and never tried.
pub(crate) const FRESH: &str = "
    SELECT 1 FROM delivery d JOIN endpoint e ON e.key = d.endpoint
      JOIN application a ON a.key = e.application
     WHERE d.message = ?1 AND d.endpoint = ?2 AND d.state = 1 AND d.back IS NULL
       AND d.attempts = 0 AND e.deleted IS NULL AND a.deleted IS NULL";

/// Makes one delivery row; returns whether it can go straight to its lane.
fn deliver(
    tx: &Tx<'_>,
    message: i64,
    destination: EndpointKey,
    fan_out: &FanOut,
) -> rusqlite::Result<bool> {
    let generation = tx.memory.generation(destination);
    // Disabled since the append: what was pending then is canceled, this row included.
    let canceled = generation > fan_out.generation;
    let (state, reason) = if canceled {
        let reason = delivery::cancel_code(CancelReason::EndpointDisabled);
        (DeliveryState::Canceled, Some(reason))
    } else {
        (DeliveryState::Pending, None)
    };
    tx.connection
        .prepare_cached(ERASE_CANCELED)?
        .execute([message, destination.0, generation])?;
    tx.connection.prepare_cached(INSERT)?.execute(params![
        message,
        destination.0,
        generation,
        fan_out.due.as_micros(),
        state.code(),
        reason,
    ])?;
    if let (false, Some((_, key))) = (canceled, &fan_out.ordered) {
        line_up(tx.connection, (message, destination.0), generation, key)?;
    }
    tx.connection
        .prepare_cached(FRESH)?
        .exists([message, destination.0])
}

/// Puts a delivery that was made just now in its line.
fn line_up(
    connection: &Connection,
    (message, endpoint): (i64, i64),
    generation: i64,
    key: &str,
) -> rusqlite::Result<()> {
    let Some(mut row) = delivery::load(connection, message, endpoint)? else {
        return Ok(()); // A resend has delivered it, or the endpoint is erased.
    };
    let own = matches!(row.back, None | Some(Back::Pending { .. }));
    if row.state != DeliveryState::Pending || row.canceled.is_some() || !own {
        return Ok(());
    }
    if line::enter(connection, (message, endpoint), generation, key)? {
        return Ok(());
    }
    match &mut row.back {
        Some(Back::Pending { waiting, .. }) => *waiting = true,
        _ => row.waiting = true,
    }
    delivery::update(connection, message, endpoint, &row)
}

pub(crate) fn unfinished(
    connection: &Connection,
    limit: u16,
) -> Result<Vec<UnfinishedFanOut>, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT f.message, m.rest FROM fan_out f JOIN message m ON m.key = f.message
              ORDER BY f.message LIMIT ?1",
        )?
        .query_map([limit], |row| {
            Ok(UnfinishedFanOut {
                message: codec::message_id(row.get(0)?, row.get(1)?),
            })
        })?
        .collect::<rusqlite::Result<_>>()?)
}
