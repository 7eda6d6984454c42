//! Recording outcomes: attempts, delivery states and counters in one transaction.
//!
//! A success, which is nearly every outcome, is one insert; there is a row to delete only if the
//! delivery was no longer fresh. Whatever else follows
//! from an attempt reads the delivery first and writes it back.

use std::collections::HashMap;

use domain::{AttemptStatus, DeliveryState, Trigger};
use rusqlite::{Connection, params};
use store::{AfterAttempt, AttemptRecord, Recorded};

use crate::codec;
use crate::delivery::{self, Back, Delivery};
use crate::failing;
use crate::fault::Fault;
use crate::fresh;
use crate::line;
use crate::writer::{Tx, Weight};

/// Says how much of a merged transaction a batch takes.
pub(crate) fn weight(batch: &[AttemptRecord]) -> Weight {
    Weight {
        messages: batch.len(),
        bytes: batch.iter().map(|record| record.response.len()).sum(),
        patient: true,
        unseen: false,
    }
}

const INSERT_ATTEMPT: &str = "
    INSERT OR IGNORE INTO attempt (message, endpoint, number, at, manual, status, url, duration,
                                   http_status, phases, error, error_detail, response)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

#[derive(Default)]
struct Minute {
    success: i64,
    fail: i64,
    duration: i64,
}

pub(crate) fn record(tx: &mut Tx<'_>, batch: &[AttemptRecord]) -> Result<Vec<Recorded>, Fault> {
    let connection = tx.connection;
    let mut insert = connection.prepare_cached(INSERT_ATTEMPT)?;
    let mut erase =
        connection.prepare_cached("DELETE FROM delivery WHERE message = ?1 AND endpoint = ?2")?;
    let mut minutes: HashMap<(i64, i64), Minute> = HashMap::new();
    let mut phases = [0; 51];
    let mut answers = Vec::with_capacity(batch.len());
    for record in batch {
        if tx.memory.epochs[usize::from(record.shard.number())] != record.epoch.0 {
            answers.push(Recorded::Fenced);
            continue;
        }
        answers.push(Recorded::Stored);
        let length = codec::put_phases(&record.phases, &mut phases);
        let inserted = insert.execute(params![
            record.message.0,
            record.endpoint.0,
            record.number,
            record.at.as_micros(),
            record.trigger == Trigger::Manual,
            status_code(record.status),
            record.url.0,
            codec::micros(record.duration),
            record.http_status,
            Some(&phases[..length]).filter(|bytes| !bytes.is_empty()),
            record.error.map(domain::ErrorClass::slug),
            record.error_detail.as_deref(),
            Some(&record.response[..]).filter(|bytes| !bytes.is_empty()),
        ])?;
        if inserted == 0 {
            continue; // Recorded before, and so is what followed.
        }
        count(&mut minutes, record);
        failing::note(tx, record)?;
        if record.then == AfterAttempt::Success {
            let (message, endpoint) = (record.message.0, record.endpoint.0);
            if !fresh::lock(&tx.memory.fresh).succeed(message, endpoint) {
                erase.execute([message, endpoint])?;
            }
        } else {
            let (message, endpoint) = (record.message.0, record.endpoint.0);
            fresh::lock(&tx.memory.fresh).make_row(connection, message, endpoint)?;
            follow(connection, record)?;
        }
        if let Some(release) = record.release
            && matches!(record.then, AfterAttempt::Success | AfterAttempt::Fail(_))
            && line::leave(connection, (record.message.0, record.endpoint.0), release)?
        {
            answers.pop();
            answers.push(Recorded::Promoted);
        }
    }
    write_minutes(connection, &minutes)?;
    Ok(answers)
}

/// The stored form of an attempt's status, which is that of the delivery state it leads to.
pub(crate) const fn status_code(status: AttemptStatus) -> i64 {
    match status {
        AttemptStatus::Success => DeliveryState::Success.code(),
        AttemptStatus::Fail => DeliveryState::Fail.code(),
    }
}

fn count(minutes: &mut HashMap<(i64, i64), Minute>, record: &AttemptRecord) {
    let minute = record.at.as_micros().div_euclid(60_000_000);
    let counters = minutes.entry((record.endpoint.0, minute)).or_default();
    match record.status {
        AttemptStatus::Success => counters.success += 1,
        AttemptStatus::Fail => counters.fail += 1,
    }
    let duration = codec::micros(record.duration);
    counters.duration = counters.duration.saturating_add(duration);
}

fn write_minutes(
    connection: &Connection,
    minutes: &HashMap<(i64, i64), Minute>,
) -> rusqlite::Result<()> {
    if minutes.is_empty() {
        return Ok(());
    }
    let mut upsert = connection.prepare_cached(
        "INSERT INTO endpoint_minute (endpoint, minute, success, fail, duration)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET success = success + excluded.success,
                                   fail = fail + excluded.fail,
                                   duration = duration + excluded.duration",
    )?;
    for ((endpoint, minute), counters) in minutes {
        upsert.execute(params![
            endpoint,
            minute,
            counters.success,
            counters.fail,
            counters.duration
        ])?;
    }
    Ok(())
}

/// Moves the delivery on after anything but a success.
fn follow(connection: &Connection, record: &AttemptRecord) -> rusqlite::Result<()> {
    let (message, endpoint) = (record.message.0, record.endpoint.0);
    let Some(before) = delivery::load(connection, message, endpoint)? else {
        return Ok(()); // Delivered, or erased with its endpoint.
    };
    match after(&before, record) {
        Some(after) => delivery::update(connection, message, endpoint, &after),
        None => delivery::erase(connection, message, endpoint),
    }
}

/// Decides what a delivery becomes; `None` is no row at all.
fn after(before: &Delivery, record: &AttemptRecord) -> Option<Delivery> {
    let mut after = *before;
    after.attempts = before.attempts.max(record.number);
    if record.trigger == Trigger::Scheduled {
        after.scheduled = before.scheduled.saturating_add(1);
    }
    if before.state != DeliveryState::Pending || before.canceled.is_some() {
        return Some(after); // No longer pending: it keeps its state.
    }
    match (record.then, before.back) {
        (AfterAttempt::AsBefore, Some(back)) => return restore(after, back),
        (AfterAttempt::Success, _) | (AfterAttempt::AsBefore, None) => {}
        (then, Some(back)) if record.trigger == Trigger::Scheduled => {
            // It was under way when the manual attempt was asked for, which is still due. What
            // that one returns to moves on, if it was pending.
            if matches!(back, Back::Pending { .. }) {
                move_back(&mut after, then);
            }
        }
        (then, _) => {
            after.back = None;
            move_on(&mut after, then);
        }
    }
    Some(after)
}

/// What was before a manual attempt that failed.
pub(crate) fn restore(mut delivery: Delivery, back: Back) -> Option<Delivery> {
    delivery.back = None;
    match back {
        Back::Nothing => return None,
        Back::Pending { due, waiting } => {
            delivery.due = due;
            delivery.waiting = waiting;
        }
        Back::Ended(state) => delivery.state = state,
    }
    Some(delivery)
}

fn move_on(delivery: &mut Delivery, then: AfterAttempt) {
    match then {
        AfterAttempt::RetryAt(due) => {
            delivery.first_due = delivery.first_due.or(Some(delivery.due));
            delivery.due = due.as_micros();
        }
        AfterAttempt::Fail(reason) => {
            delivery.state = DeliveryState::Fail;
            delivery.reason = Some(delivery::fail_code(reason));
        }
        AfterAttempt::Success | AfterAttempt::AsBefore => {}
    }
}

fn move_back(delivery: &mut Delivery, then: AfterAttempt) {
    match then {
        AfterAttempt::RetryAt(due) => {
            let waiting = matches!(delivery.back, Some(Back::Pending { waiting: true, .. }));
            delivery.back = Some(Back::Pending {
                due: due.as_micros(),
                waiting,
            });
        }
        AfterAttempt::Fail(reason) => {
            delivery.back = Some(Back::Ended(DeliveryState::Fail));
            delivery.reason = Some(delivery::fail_code(reason));
        }
        AfterAttempt::Success | AfterAttempt::AsBefore => {}
    }
}
