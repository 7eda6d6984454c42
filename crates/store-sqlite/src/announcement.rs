//! What an operator is told of, stored with the change that it tells of.

use domain::{AttemptId, DisabledReason, OrganizationKey, Timestamp};
use rusqlite::{Connection, Row, params};
use store::{Announced, AnnouncedAttempt, AnnouncedMessage, Announcement};

use crate::codec;
use crate::fault::Fault;
use crate::writer::Tx;

/// What is told beside the endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Details {
    pub(crate) message: Option<i64>,
    pub(crate) disabled: Option<DisabledReason>,
    pub(crate) since: Option<i64>,
}

/// Stores an announcement, when somebody wants to know.
pub(crate) fn announce(
    tx: &Tx<'_>,
    endpoint: i64,
    what: Announced,
    at: Timestamp,
    details: Details,
) -> rusqlite::Result<()> {
    if !tx.announces {
        return Ok(());
    }
    tx.connection
        .prepare_cached(
            "INSERT INTO announcement (at, what, organization, application, application_uid,
                    endpoint, endpoint_uid, disabled, since, message, rest, event_id, attempt,
                    attempt_at, http_status)
             SELECT ?3, ?4, a.organization, a.id, a.uid, e.id, e.uid, ?5, ?6, m.key, m.rest,
                    m.event_id, t.number, t.at, t.http_status
               FROM endpoint e JOIN application a ON a.key = e.application
               LEFT JOIN message m ON m.key = ?2
               LEFT JOIN attempt t ON t.message = m.key AND t.endpoint = e.key
                    AND t.number = (SELECT max(number) FROM attempt
                                     WHERE message = ?2 AND endpoint = ?1)
              WHERE e.key = ?1 AND (?2 IS NULL OR m.key IS NOT NULL)",
        )?
        .execute(params![
            endpoint,
            details.message,
            at.as_micros(),
            what.event_type(),
            details.disabled.map(DisabledReason::slug),
            details.since,
        ])
        .map(drop)
}

pub(crate) fn list(connection: &Connection, limit: u16) -> Result<Vec<Announcement>, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT number, at, what, organization, application, application_uid, endpoint,
                    endpoint_uid, disabled, since, message, rest, event_id, attempt, attempt_at,
                    http_status
               FROM announcement ORDER BY number LIMIT ?1",
        )?
        .query_map([limit], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Announcement> {
    let what = codec::text(row, 2)?.and_then(|text| {
        Announced::ALL
            .into_iter()
            .find(|one| one.event_type() == text)
    });
    let endpoint = codec::endpoint_id(row, 6)?;
    let message = match row.get::<_, Option<i64>>(10)? {
        None => None,
        Some(key) => {
            let id = codec::message_id(key, row.get(11)?);
            let attempt = match codec::small_or_none(row, 13)? {
                None => None,
                Some(number) => {
                    let at = codec::time(row, 14)?;
                    Some(AnnouncedAttempt {
                        id: AttemptId::derive(id, endpoint, number, at),
                        http_status: codec::small_or_none(row, 15)?,
                        at,
                    })
                }
            };
            let event_id = codec::text(row, 12)?;
            Some(AnnouncedMessage {
                id,
                event_id: event_id.and_then(|text| domain::EventId::parse(text).ok()),
                attempt,
            })
        }
    };
    Ok(Announcement {
        number: row.get::<_, i64>(0)?.unsigned_abs(),
        at: codec::time(row, 1)?,
        what: what.ok_or_else(|| codec::invalid("announcement"))?,
        organization: OrganizationKey(row.get(3)?),
        application: codec::application_id(row, 4)?,
        application_uid: codec::text(row, 5)?.and_then(codec::uid),
        endpoint,
        endpoint_uid: codec::text(row, 7)?.and_then(codec::uid),
        disabled: codec::text(row, 8)?.and_then(DisabledReason::from_slug),
        failing_since: codec::time_or_none(row, 9)?,
        message,
    })
}

pub(crate) fn forget(tx: &mut Tx<'_>, through: u64) -> Result<(), Fault> {
    let through = i64::try_from(through).unwrap_or(i64::MAX);
    tx.connection
        .prepare_cached("DELETE FROM announcement WHERE number <= ?1")?
        .execute([through])?;
    Ok(())
}
