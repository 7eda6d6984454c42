//! Order per key: of each endpoint and key only the first unfinished delivery is due.
//!
//! The others wait in line, with a state that keeps them outside of the index of what is due.
//! Whoever leaves the head of a line lets the next one go in the same transaction, so there is
//! never a line whose head waits. Canceling all that is pending leaves whole lines behind, in an
//! earlier generation.

use domain::{DeliveryState, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::delivery::{self, Back};

/// Puts a delivery at the end of its line; returns whether it is the head.
pub(crate) fn enter(
    connection: &Connection,
    (message, endpoint): (i64, i64),
    generation: i64,
    key: &str,
) -> rusqlite::Result<bool> {
    let last: Option<i64> = connection
        .prepare_cached(
            "SELECT place FROM line WHERE endpoint = ?1 AND generation = ?2 AND key = ?3
              ORDER BY place DESC LIMIT 1",
        )?
        .query_row(params![endpoint, generation, key], |row| row.get(0))
        .optional()?;
    connection
        .prepare_cached(
            "INSERT INTO line (endpoint, generation, key, place, message)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            endpoint,
            generation,
            key,
            last.map_or(1, |last| last + 1),
            message
        ])?;
    Ok(last.is_none())
}

/// Takes a delivery out of its line, if it stands in one. When it was the head, the next one
/// becomes due, not before `release`; returns whether there was one.
pub(crate) fn leave(
    connection: &Connection,
    (message, endpoint): (i64, i64),
    release: Timestamp,
) -> rusqlite::Result<bool> {
    let left = connection
        .prepare_cached(
            "DELETE FROM line WHERE message = ?1 AND endpoint = ?2
             RETURNING generation, key, place",
        )?
        .query_row([message, endpoint], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((generation, key, place)): Option<(i64, String, i64)> = left else {
        return Ok(false);
    };
    let next: Option<(i64, i64)> = connection
        .prepare_cached(
            "SELECT message, place FROM line
              WHERE endpoint = ?1 AND generation = ?2 AND key = ?3 ORDER BY place LIMIT 1",
        )?
        .query_row(params![endpoint, generation, key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match next.filter(|(_, next)| *next > place) {
        Some((next, _)) => promote(connection, (next, endpoint), release.as_micros()),
        None => Ok(false),
    }
}

/// Takes a delivery out of its line without a look at who comes next: the line is canceled.
pub(crate) fn forget(connection: &Connection, message: i64, endpoint: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM line WHERE message = ?1 AND endpoint = ?2")?
        .execute([message, endpoint])
        .map(drop)
}

fn promote(
    connection: &Connection,
    (message, endpoint): (i64, i64),
    release: i64,
) -> rusqlite::Result<bool> {
    let Some(mut row) = delivery::load(connection, message, endpoint)? else {
        return Ok(false);
    };
    if row.canceled.is_some() || row.state != DeliveryState::Pending {
        return Ok(false);
    }
    row.first_due = row.first_due.or(Some(row.due));
    let due = match &mut row.back {
        // A manual attempt is due; the place in line is what it returns to.
        Some(Back::Pending { due, waiting }) if *waiting => {
            *waiting = false;
            due
        }
        None if row.waiting => {
            row.waiting = false;
            &mut row.due
        }
        _ => return Ok(false), // Sent again after its line was canceled: it waits for nobody.
    };
    *due = release.max(*due);
    delivery::update(connection, message, endpoint, &row)?;
    Ok(true)
}
