//! Endpoints that have failed since their last success.
//!
//! The writer remembers them, so a success of an endpoint that does not fail costs one look into
//! a map that is nearly always empty.

use domain::{AttemptStatus, DisabledReason, EndpointKey, Timestamp};
use rusqlite::{Connection, params};
use store::{
    AfterAttempt, Announced, AttemptRecord, DisableFailing, EndpointChange, EndpointRef,
    FAILING_ATTEMPT,
};

use crate::announcement::{self, Details};
use crate::endpoint;
use crate::fault::Fault;
use crate::writer::Tx;

/// What is known of an endpoint that fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failing {
    since: i64,
    /// A delivery was dead-lettered since.
    exhausted: bool,
    /// The operator was told that it fails.
    announced: bool,
}

/// Reads all of them.
pub(crate) fn load(
    connection: &Connection,
) -> rusqlite::Result<std::collections::HashMap<i64, Failing>> {
    connection
        .prepare_cached("SELECT endpoint, since, exhausted, announced FROM endpoint_failing")?
        .query_map([], |row| {
            Ok((
                row.get(0)?,
                Failing {
                    since: row.get(1)?,
                    exhausted: row.get(2)?,
                    announced: row.get(3)?,
                },
            ))
        })?
        .collect()
}

/// Notes what an attempt that was recorded just now says about its endpoint.
pub(crate) fn note(tx: &mut Tx<'_>, record: &AttemptRecord) -> rusqlite::Result<()> {
    let endpoint = record.endpoint.0;
    if record.status == AttemptStatus::Success {
        if !tx.memory.failing.contains_key(&endpoint) {
            return Ok(());
        }
        let announced = forget(tx, record.endpoint)?;
        return if announced {
            tell(tx, record, Announced::Recovered)
        } else {
            Ok(())
        };
    }
    let before = tx.memory.failing.get(&endpoint).copied();
    let mut now = before.unwrap_or(Failing {
        since: record.at.as_micros(),
        exhausted: false,
        announced: false,
    });
    if matches!(record.then, AfterAttempt::Fail(_)) {
        now.exhausted = true;
        tell(tx, record, Announced::Exhausted)?;
    } else if !now.announced && tx.announces && record.number >= FAILING_ATTEMPT {
        now.announced = true;
        tell(tx, record, Announced::Failing)?;
    }
    let same = before.is_some_and(|before| {
        (before.exhausted, before.announced) == (now.exhausted, now.announced)
    });
    if same {
        return Ok(());
    }
    let stored = tx
        .connection
        .prepare_cached(
            "INSERT INTO endpoint_failing (endpoint, since, exhausted, announced)
             SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM endpoint WHERE key = ?1)
                 ON CONFLICT DO UPDATE SET exhausted = excluded.exhausted,
                                           announced = excluded.announced",
        )?
        .execute(params![endpoint, now.since, now.exhausted, now.announced])?;
    if stored > 0 {
        tx.memory.failing.insert(endpoint, now);
    }
    Ok(())
}

fn tell(tx: &Tx<'_>, record: &AttemptRecord, what: Announced) -> rusqlite::Result<()> {
    let details = Details {
        message: Some(record.message.0),
        ..Details::default()
    };
    announcement::announce(tx, record.endpoint.0, what, record.at, details)
}

/// Begins anew with an endpoint; returns whether the operator was told that it fails.
pub(crate) fn forget(tx: &mut Tx<'_>, endpoint: EndpointKey) -> rusqlite::Result<bool> {
    let Some(failing) = tx.memory.failing.remove(&endpoint.0) else {
        return Ok(false);
    };
    tx.connection
        .prepare_cached("DELETE FROM endpoint_failing WHERE endpoint = ?1")?
        .execute([endpoint.0])?;
    Ok(failing.announced)
}

/// Disables what has failed for long and given up a delivery.
pub(crate) fn disable(
    tx: &mut Tx<'_>,
    request: &DisableFailing,
) -> Result<Vec<store::Endpoint>, Fault> {
    let found: Vec<(i64, i64)> = tx
        .connection
        .prepare_cached(
            "SELECT endpoint, since FROM endpoint_failing
              WHERE exhausted = 1 AND since <= ?1 ORDER BY since, endpoint LIMIT ?2",
        )?
        .query_map(params![request.since.as_micros(), request.rows], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut disabled = Vec::new();
    for (key, since) in found {
        let key = EndpointKey(key);
        let endpoint = endpoint::by_key(tx.connection, key)?;
        let live = endpoint.filter(|one| one.deleted.is_none() && one.disabled.is_none());
        let Some(endpoint) = live else {
            forget(tx, key)?;
            continue;
        };
        let change = EndpointChange {
            disabled: Some(Some(DisabledReason::Failing)),
            now: request.now,
            ..EndpointChange::default()
        };
        let named = EndpointRef::Id(endpoint.id);
        let since = Some(Timestamp::from_micros(since));
        let changed = endpoint::change(tx, endpoint.application, &named, &change, since)?;
        disabled.push(changed);
    }
    Ok(disabled)
}
