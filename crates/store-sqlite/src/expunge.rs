//! Erasing content on request: a message's payload, an attempt's answer.

use domain::{ApplicationKey, AttemptId, EndpointKey, MessageId, Timestamp};
use rusqlite::{Connection, params};
use store::{Error, Expunged};

use crate::audit::{self, Change};
use crate::fault::Fault;
use crate::writer::Tx;
use crate::{attempt, codec, delivery, expand, line, scrub};

pub(crate) fn message(
    tx: &mut Tx<'_>,
    application: ApplicationKey,
    message: MessageId,
    now: Timestamp,
) -> Result<Expunged, Fault> {
    let key = message.key().0;
    let exists = tx
        .connection
        .prepare_cached("SELECT 1 FROM message WHERE key = ?1 AND rest = ?2 AND application = ?3")?
        .exists(params![key, codec::rest_of(message), application.0])?;
    if !exists {
        return Err(Error::NotFound("message").into());
    }
    let expunged = content(tx.connection, key, now)?;
    let change = Change::new(now, "message.expunge", &message);
    audit::note_in(tx, application, change)?;
    Ok(expunged)
}

/// Cancels what is unfinished and erases the payload.
pub(crate) fn content(
    connection: &Connection,
    message: i64,
    now: Timestamp,
) -> rusqlite::Result<Expunged> {
    let endpoints: Vec<i64> = connection
        .prepare_cached("SELECT endpoint FROM delivery WHERE message = ?1 AND state IN (1, 5)")?
        .query_map([message], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut expunged = Expunged::default();
    for endpoint in endpoints {
        expunged.canceled = true;
        let is_line_canceled = delivery::cancel(connection, message, endpoint)?;
        if is_line_canceled {
            line::forget(connection, message, endpoint)?;
        } else if line::leave(connection, (message, endpoint), now)? {
            expunged.promoted.push(EndpointKey(endpoint));
        }
    }
    let is_coming = connection
        .prepare_cached("SELECT 1 FROM fan_out WHERE message = ?1")?
        .exists([message])?;
    if is_coming {
        expand::forget(connection, message)?;
    }
    connection
        .prepare_cached("UPDATE message SET payload = NULL WHERE key = ?1")?
        .execute([message])?;
    expunged.canceled |= is_coming;
    scrub::want(connection)?;
    Ok(expunged)
}

pub(crate) fn answer(
    tx: &mut Tx<'_>,
    application: ApplicationKey,
    message: MessageId,
    (attempt, now): (AttemptId, Timestamp),
) -> Result<(), Fault> {
    let Some(row) = attempt::by_id(tx.connection, message, attempt)? else {
        return Err(Error::NotFound("attempt").into());
    };
    tx.connection
        .prepare_cached(
            "UPDATE attempt SET response = NULL
              WHERE message = ?1 AND endpoint = ?2 AND number = ?3",
        )?
        .execute(params![message.key().0, row.endpoint_key.0, row.number])?;
    scrub::want(tx.connection)?;
    let change = Change::new(now, "attempt.expunge", &attempt);
    audit::note_in(tx, application, change)?;
    Ok(())
}
