//! Dead-letters what waited too long behind a destination that is unavailable.

use domain::DeliveryState;
use rusqlite::{OptionalExtension, params};
use store::{Announced, Error, GiveUp, ROWS_EXAMINED_MAX};

use crate::announcement::{self, Details};
use crate::delivery;
use crate::fault::Fault;
use crate::line;
use crate::writer::Tx;

pub(crate) const PENDING: &str = "
    SELECT message, coalesce(first_due, due), back IS NULL FROM delivery
     WHERE endpoint = ?1 AND generation = ?2 AND state = 1
     ORDER BY due, message LIMIT ?3";

pub(crate) fn give_up(tx: &mut Tx<'_>, give_up: &GiveUp) -> Result<u64, Fault> {
    if tx.memory.epochs[usize::from(give_up.shard.number())] != give_up.epoch.0 {
        return Err(Error::Fenced.into());
    }
    let endpoint = give_up.destination.0;
    let generation: Option<i64> = tx
        .connection
        .prepare_cached(
            "SELECT e.generation FROM endpoint e JOIN application a ON a.key = e.application
              WHERE e.key = ?1 AND e.deleted IS NULL AND a.deleted IS NULL",
        )?
        .query_row([endpoint], |row| row.get(0))
        .optional()?;
    let Some(generation) = generation else {
        return Ok(0);
    };
    let mut messages: Vec<i64> = Vec::new();
    let mut select = tx.connection.prepare_cached(PENDING)?;
    let mut rows = select.query(params![
        endpoint,
        generation,
        ROWS_EXAMINED_MAX.cast_signed()
    ])?;
    while messages.len() < usize::from(give_up.rows) {
        let Some(row) = rows.next()? else { break };
        let first_due: i64 = row.get(1)?;
        if row.get(2)? && first_due < give_up.first_due_before.as_micros() {
            messages.push(row.get(0)?);
        }
    }
    drop(rows);
    let mut fail = tx.connection.prepare_cached(
        "UPDATE delivery SET state = ?3, reason = ?4 WHERE message = ?1 AND endpoint = ?2",
    )?;
    let reason = delivery::fail_code(give_up.reason);
    for message in &messages {
        fail.execute([*message, endpoint, DeliveryState::Fail.code(), reason])?;
        line::leave(tx.connection, (*message, endpoint), give_up.now)?;
        let details = Details {
            message: Some(*message),
            ..Details::default()
        };
        let what = Announced::Exhausted;
        announcement::announce(tx, endpoint, what, give_up.now, details)?;
    }
    Ok(messages.len() as u64)
}
