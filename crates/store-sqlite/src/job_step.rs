//! Steps of jobs: finds what a job is about, does it, and moves the cursor, in one transaction.
//!
//! What failed or was canceled at an endpoint is found by the index of ended deliveries; whatever
//! else a replay is about, by walking the application's messages.

use domain::{ApplicationKey, DeliveryState, EndpointKey, JobKey, MessageKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store::{
    Endpoint, Job, JobCriteria, JobKind, JobState, JobStep, JobStepped, MessageFilter, Preview,
    Previewed, ReplayOf,
};

use crate::fault::Fault;
use crate::message::{self, LabelFilter, Labels};
use crate::page::Walk;
use crate::writer::Tx;
use crate::{attempt, codec, delivery, endpoint, expunge, job, line};

/// What a walk over messages found.
#[derive(Default)]
struct Found {
    /// Messages to act on, with the time before which they must not be delivered.
    matches: Vec<(i64, Option<Timestamp>)>,
    examined: u64,
    /// Where to go on; `None` at the end.
    next: Option<i64>,
}

/// How far a walk may go.
#[derive(Clone, Copy)]
struct Bounds {
    after: i64,
    rows: u16,
    room: u16,
}

pub(crate) fn step(tx: &mut Tx<'_>, step: &JobStep) -> Result<JobStepped, Fault> {
    let mut stepped = JobStepped {
        state: JobState::Canceled,
        target: None,
        done: 0,
        busy: false,
        canceled: Vec::new(),
        promoted: Vec::new(),
        commit: tx.commit,
    };
    let Some(job) = job::by_key(tx.connection, step.job)? else {
        return Ok(stepped); // Erased with its application.
    };
    stepped.state = job.state;
    if job.state != JobState::Running || job.kind == JobKind::ReplayRequests {
        return Ok(stepped);
    }
    let Some((target, after)) = next_target(tx.connection, step)? else {
        stepped.state = finish(tx.connection, &job, step.now)?;
        return Ok(stepped);
    };
    stepped.target = Some(target);
    let bounds = Bounds {
        after,
        rows: step.rows,
        room: step.room,
    };
    let found = if job.kind == JobKind::PurgeContent {
        purge(tx, &job, bounds, step.due, &mut stepped)?
    } else {
        replay(tx, &job, target, step, bounds, &mut stepped)?
    };
    if let Some(found) = found {
        let last = move_on(tx.connection, &job, target, &found, step.now)?;
        if last {
            stepped.state = finish(tx.connection, &job, step.now)?;
        }
    }
    Ok(stepped)
}

fn next_target(
    connection: &Connection,
    step: &JobStep,
) -> rusqlite::Result<Option<(EndpointKey, i64)>> {
    let mut select = connection.prepare_cached(
        "SELECT endpoint, cursor FROM job_target WHERE job = ?1 AND endpoint > ?2
          ORDER BY endpoint LIMIT 1",
    )?;
    let mut next = |after: i64| {
        select
            .query_row([step.job.0, after], |row| {
                Ok((EndpointKey(row.get(0)?), row.get(1)?))
            })
            .optional()
    };
    if let Some(after) = step.after
        && let Some(found) = next(after.0)?
    {
        return Ok(Some(found));
    }
    next(-1)
}

/// Moves the target's cursor, or takes it away at its end; says whether it was the last one.
fn move_on(
    connection: &Connection,
    job: &Job,
    target: EndpointKey,
    found: &Found,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let key = job.key.0;
    match found.next {
        Some(next) => connection
            .prepare_cached("UPDATE job_target SET cursor = ?3 WHERE job = ?1 AND endpoint = ?2")?
            .execute([key, target.0, next])?,
        None => connection
            .prepare_cached("DELETE FROM job_target WHERE job = ?1 AND endpoint = ?2")?
            .execute([key, target.0])?,
    };
    connection
        .prepare_cached(
            "UPDATE job SET examined = examined + ?2, done = done + ?3,
                    targets_done = targets_done + ?4, updated = ?5
              WHERE key = ?1",
        )?
        .execute(params![
            key,
            found.examined.cast_signed(),
            i64::try_from(found.matches.len()).expect("bounded by a room"),
            found.next.is_none(),
            now.as_micros(),
        ])?;
    if found.next.is_some() {
        return Ok(false);
    }
    let left = connection
        .prepare_cached("SELECT 1 FROM job_target WHERE job = ?1 LIMIT 1")?
        .exists([key])?;
    Ok(!left)
}

fn finish(connection: &Connection, job: &Job, now: Timestamp) -> rusqlite::Result<JobState> {
    let state = JobState::Finished;
    connection
        .prepare_cached("UPDATE job SET state = ?2, updated = ?3 WHERE key = ?1")?
        .execute(params![job.key.0, state.code(), now.as_micros()])?;
    Ok(state)
}

// ---- Replays ---------------------------------------------------------------------------------

/// Makes deliveries due again; `None` when the endpoint has enough to do.
fn replay(
    tx: &mut Tx<'_>,
    job: &Job,
    target: EndpointKey,
    step: &JobStep,
    bounds: Bounds,
    stepped: &mut JobStepped,
) -> Result<Option<Found>, Fault> {
    let endpoint = endpoint::by_key(tx.connection, target)?;
    let open = endpoint.filter(|one| one.deleted.is_none() && one.disabled.is_none());
    let Some(endpoint) = open else {
        return Ok(Some(Found::default()));
    };
    let generation = tx.memory.generation(target);
    if is_busy(tx.connection, target, generation, step)? {
        stepped.busy = true;
        return Ok(None);
    }
    let found = find(
        tx.connection,
        job.application,
        &endpoint,
        &job.criteria,
        bounds,
    )?;
    for (message, not_before) in &found.matches {
        let due = not_before.map_or(step.due, |at| at.max(step.due));
        revive(tx.connection, *message, target, due, generation)?;
    }
    stepped.done = u16::try_from(found.matches.len()).expect("bounded by a room");
    Ok(Some(found))
}

fn is_busy(
    connection: &Connection,
    endpoint: EndpointKey,
    generation: i64,
    step: &JobStep,
) -> rusqlite::Result<bool> {
    let due: i64 = connection.prepare_cached(BUSY)?.query_row(
        params![endpoint.0, generation, step.due.as_micros(), step.busy],
        |row| row.get(0),
    )?;
    Ok(due >= i64::from(step.busy))
}

pub(crate) const BUSY: &str = "
    SELECT count(*) FROM
        (SELECT 1 FROM delivery
          WHERE endpoint = ?1 AND state = 1 AND generation = ?2 AND due <= ?3 LIMIT ?4)";

/// Walks messages after a key and returns those that the criteria fit.
fn find(
    connection: &Connection,
    application: ApplicationKey,
    endpoint: &Endpoint,
    criteria: &JobCriteria,
    bounds: Bounds,
) -> Result<Found, Fault> {
    let walk = Walk::ascending_from_start();
    let is_ended = |of: &ReplayOf| matches!(of, ReplayOf::Failed | ReplayOf::Canceled);
    let by_index =
        criteria.of.iter().all(is_ended) && !delivery::is_unsettled(connection, endpoint.key)?;
    let (sql, first) = if by_index {
        (message::list_ended_sql(&walk), endpoint.key.0)
    } else {
        (message::list_sql(&walk), application.0)
    };
    let mut select = connection.prepare_cached(&sql)?;
    let high = message::ends(&MessageFilter {
        before: Some(criteria.until),
        ..MessageFilter::default()
    });
    let mut rows = select.query([first, bounds.after, high.1])?;
    let mut found = Found::default();
    let mut last = bounds.after;
    while let Some(row) = rows.next()? {
        if found.examined == u64::from(bounds.rows)
            || found.matches.len() == usize::from(bounds.room)
        {
            found.next = Some(last);
            break;
        }
        last = row.get(0)?;
        found.examined += 1;
        if is_match(connection, endpoint, criteria, row)? {
            found.matches.push((last, codec::time_or_none(row, 7)?));
        }
    }
    Ok(found)
}

fn is_match(
    connection: &Connection,
    endpoint: &Endpoint,
    criteria: &JobCriteria,
    row: &Row<'_>,
) -> rusqlite::Result<bool> {
    let at = codec::time(row, 6)?;
    let labels = Labels {
        event_type: codec::text(row, 2)?.unwrap_or_default(),
        channels: codec::text(row, 4)?,
        tags: codec::text(row, 5)?,
    };
    let wanted = LabelFilter {
        event_types: criteria.event_types.as_deref(),
        channel: criteria.channel.as_ref().map(domain::Channel::as_str),
        tag: criteria.tag.as_ref().map(domain::Tag::as_str),
    };
    let is_in_time = at < criteria.until && criteria.since.is_none_or(|since| at >= since);
    if !is_in_time || !labels.matches(&wanted) {
        return Ok(false);
    }
    let message: i64 = row.get(0)?;
    let Some(of) = ended_as(connection, endpoint, message, row)? else {
        return Ok(false);
    };
    Ok(criteria.of.contains(&of)
        && has_class(connection, message, endpoint.key, criteria.status_class)?
        && has_payload(connection, message)?)
}

/// Says how the delivery ended; `None` while it waits, and where none belongs.
fn ended_as(
    connection: &Connection,
    endpoint: &Endpoint,
    message: i64,
    row: &Row<'_>,
) -> rusqlite::Result<Option<ReplayOf>> {
    let found = attempt::destination(connection, message, endpoint.key.0)?;
    Ok(match found.map(|found| found.state) {
        Some(DeliveryState::Success) => Some(ReplayOf::Success),
        Some(DeliveryState::Fail) => Some(ReplayOf::Failed),
        Some(DeliveryState::Canceled) => Some(ReplayOf::Canceled),
        Some(DeliveryState::Pending) => None,
        None => {
            let event_type = codec::text(row, 2)?.and_then(codec::event_type);
            let event_type = event_type.ok_or_else(|| codec::invalid("event type"))?;
            let channels = codec::split(codec::text(row, 4)?, codec::channel)?;
            let belongs = endpoint.subscription.matches(&event_type, &channels);
            let is_coming = connection
                .prepare_cached("SELECT 1 FROM fan_out WHERE message = ?1")?
                .exists([message])?;
            (belongs && !is_coming).then_some(ReplayOf::Missing)
        }
    })
}

/// Says whether the last attempt was answered with a status of this hundred.
fn has_class(
    connection: &Connection,
    message: i64,
    endpoint: EndpointKey,
    class: Option<u16>,
) -> rusqlite::Result<bool> {
    let Some(class) = class else { return Ok(true) };
    let status: Option<Option<i64>> = connection
        .prepare_cached(
            "SELECT http_status FROM attempt WHERE message = ?1 AND endpoint = ?2
              ORDER BY number DESC LIMIT 1",
        )?
        .query_row([message, endpoint.0], |row| row.get(0))
        .optional()?;
    Ok(status
        .is_some_and(|status| status.map_or(0, |status| status / 100 * 100) == i64::from(class)))
}

fn has_payload(connection: &Connection, message: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM message WHERE key = ?1 AND payload IS NOT NULL")?
        .exists([message])
}

/// Makes a delivery due that has its whole schedule before it; its attempts count on. Like what is
/// sent by hand, it is outside of the order of its ordering key.
fn revive(
    connection: &Connection,
    message: i64,
    endpoint: EndpointKey,
    due: Timestamp,
    generation: i64,
) -> rusqlite::Result<()> {
    // It may stand in a line that was canceled and is not settled yet.
    line::forget(connection, message, endpoint.0)?;
    let values = [message, endpoint.0, due.as_micros(), generation];
    let changed = connection
        .prepare_cached(
            "UPDATE delivery SET state = 1, generation = ?4, due = ?3, first_due = NULL,
                    scheduled = 0, back = NULL, back_due = NULL, reason = NULL
              WHERE message = ?1 AND endpoint = ?2",
        )?
        .execute(values)?;
    if changed > 0 {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO delivery (message, endpoint, state, generation, due, attempts, scheduled)
             SELECT ?1, ?2, 1, ?4, ?3, coalesce(max(number), 0), 0
               FROM attempt WHERE message = ?1 AND endpoint = ?2",
        )?
        .execute(values)
        .map(drop)
}

pub(crate) fn preview(connection: &Connection, preview: &Preview) -> Result<Previewed, Fault> {
    let endpoint = endpoint::by_key(connection, preview.endpoint)?;
    let open = endpoint.filter(|one| one.deleted.is_none() && one.disabled.is_none());
    let since = preview.criteria.since;
    let start = since.map_or(i64::MIN, |since| MessageKey::first_at(since).0 - 1);
    let bounds = Bounds {
        after: preview.after.map_or(start, |key| key.0),
        rows: preview.rows,
        room: u16::MAX,
    };
    let found = match open {
        None => Found::default(),
        Some(endpoint) => find(
            connection,
            preview.application,
            &endpoint,
            &preview.criteria,
            bounds,
        )?,
    };
    Ok(Previewed {
        matched: found.matches.len() as u64,
        examined: found.examined,
        next: found.next.map(MessageKey),
    })
}

// ---- Erasing content -------------------------------------------------------------------------

fn purge(
    tx: &mut Tx<'_>,
    job: &Job,
    bounds: Bounds,
    now: Timestamp,
    stepped: &mut JobStepped,
) -> Result<Option<Found>, Fault> {
    let rows = bounds.rows.min(bounds.room);
    let (_, high) = message::ends(&MessageFilter {
        before: Some(job.criteria.until),
        ..MessageFilter::default()
    });
    let messages: Vec<(i64, bool)> = tx
        .connection
        .prepare_cached(
            "SELECT key, payload IS NOT NULL AND at < ?4 FROM message
              WHERE application = ?1 AND key > ?2 AND key < ?3 ORDER BY key LIMIT ?5",
        )?
        .query_map(
            params![
                job.application.0,
                bounds.after,
                high,
                job.criteria.until.as_micros(),
                rows
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let mut found = Found {
        examined: messages.len() as u64,
        ..Found::default()
    };
    if messages.len() == usize::from(rows) {
        found.next = messages.last().map(|(key, _)| *key);
    }
    for (key, has_payload) in messages {
        if has_payload {
            found.matches.push((key, None));
            let expunged = expunge::content(tx.connection, key, now)?;
            if expunged.canceled {
                stepped.canceled.push(MessageKey(key));
            }
            stepped.promoted.extend(expunged.promoted);
        }
    }
    stepped.done = u16::try_from(found.matches.len()).expect("bounded by a room");
    Ok(Some(found))
}

/// Erases ended jobs that were created before, and says how many.
pub(crate) fn erase_ended(
    connection: &Connection,
    before: Timestamp,
    limit: u64,
) -> rusqlite::Result<usize> {
    let keys: Vec<i64> = connection
        .prepare_cached(
            "SELECT key FROM job WHERE created < ?1 AND state > 2 ORDER BY key LIMIT ?2",
        )?
        .query_map(params![before.as_micros(), limit.cast_signed()], |row| {
            row.get(0)
        })?
        .collect::<rusqlite::Result<_>>()?;
    for key in &keys {
        erase(connection, JobKey(*key))?;
    }
    Ok(keys.len())
}

/// Erases a job that has no targets left.
pub(crate) fn erase(connection: &Connection, job: JobKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM job WHERE key = ?1")?
        .execute([job.0])
        .map(drop)
}
