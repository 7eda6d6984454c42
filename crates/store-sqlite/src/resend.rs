//! Resending by hand: one manual attempt of a delivery, whatever its state.

use domain::{CancelReason, DeliveryState};
use rusqlite::{Connection, OptionalExtension, params};
use store::{Error, Resend, Resent};

use crate::codec;
use crate::delivery::{self, Back, Delivery, Effective};
use crate::fault::Fault;
use crate::idempotency;
use crate::writer::Tx;

pub(crate) fn resend(tx: &mut Tx<'_>, resend: &Resend) -> Result<Resent, Fault> {
    let connection = tx.connection;
    let due = Resent::Due { commit: tx.commit };
    let idempotency = resend.idempotency.as_ref();
    if idempotency::effect(connection, idempotency, resend.now)?.is_some() {
        return Ok(due);
    }
    let message = resend.message.key().0;
    let application = match payload(connection, resend)? {
        None => return Err(Error::NotFound("message").into()),
        Some((_, true)) => return Ok(Resent::PayloadGone),
        Some((application, false)) => application,
    };
    match disabled(connection, resend, application)? {
        None => return Err(Error::NotFound("endpoint").into()),
        Some(true) => return Ok(Resent::EndpointDisabled),
        Some(false) => {}
    }
    let endpoint = resend.endpoint.0;
    let now_due = resend.due.as_micros();
    let generation = tx.memory.generation(resend.endpoint);
    match delivery::load(connection, message, endpoint)? {
        None => insert(connection, message, endpoint, (now_due, generation))?,
        Some(before) => {
            if before.effective()? != Effective::Pending || before.back.is_none() {
                let after = manual(before, now_due)?;
                delivery::update(connection, message, endpoint, &after)?;
                connection
                    .prepare_cached(
                        "UPDATE delivery SET generation = ?3 WHERE message = ?1 AND endpoint = ?2",
                    )?
                    .execute([message, endpoint, generation])?;
            }
        }
    }
    idempotency::remember_if(connection, idempotency, resend.now, &[])?;
    Ok(due)
}

/// The message's application and whether its payload is erased.
fn payload(connection: &Connection, resend: &Resend) -> rusqlite::Result<Option<(i64, bool)>> {
    connection
        .prepare_cached(
            "SELECT application, typeof(payload) = 'null' FROM message
              WHERE key = ?1 AND rest = ?2",
        )?
        .query_row(
            params![resend.message.key().0, codec::rest_of(resend.message)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
}

/// Whether the endpoint is disabled; `None` when the application has no such endpoint.
fn disabled(
    connection: &Connection,
    resend: &Resend,
    application: i64,
) -> rusqlite::Result<Option<bool>> {
    connection
        .prepare_cached(
            "SELECT e.disabled IS NOT NULL
               FROM endpoint e JOIN application a ON a.key = e.application
              WHERE e.key = ?1 AND e.application = ?2
                AND e.deleted IS NULL AND a.deleted IS NULL",
        )?
        .query_row([resend.endpoint.0, application], |row| row.get(0))
        .optional()
}

fn manual(before: Delivery, due: i64) -> rusqlite::Result<Delivery> {
    let mut after = before;
    let back = match before.effective()? {
        Effective::None => Back::Nothing,
        Effective::Pending => Back::Pending {
            due: before.due,
            waiting: before.waiting,
        },
        Effective::Fail(reason) => {
            after.reason = Some(delivery::fail_code(reason));
            Back::Ended(DeliveryState::Fail)
        }
        Effective::Canceled(reason) => {
            after.reason = Some(delivery::cancel_code(reason));
            Back::Ended(DeliveryState::Canceled)
        }
    };
    debug_assert!(
        before.canceled != Some(CancelReason::EndpointDeleted),
        "a deleted endpoint is not found"
    );
    after.first_due = before.first_due.or(Some(before.due));
    after.back = Some(back);
    after.state = DeliveryState::Pending;
    after.waiting = false; // A resend is outside of the order.
    after.due = due;
    Ok(after)
}

/// A delivery that has no row: delivered before, or never made. Its attempts count on.
fn insert(
    connection: &Connection,
    message: i64,
    endpoint: i64,
    (due, generation): (i64, i64),
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO delivery (message, endpoint, state, generation, due, attempts, scheduled,
                                   back)
             SELECT ?1, ?2, 1, ?4, ?3, coalesce(max(number), 0),
                    coalesce(sum(manual = 0), 0), 0
               FROM attempt WHERE message = ?1 AND endpoint = ?2",
        )?
        .execute([message, endpoint, due, generation])
        .map(drop)
}
