//! Counting how an endpoint fares.

use domain::{EndpointKey, MessageKey, Timestamp};
use rusqlite::Connection;
use store::{EndpointStats, ROWS_EXAMINED_MAX, Span};

use crate::delivery::{self, Effective};
use crate::fault::Fault;

pub(crate) fn of_endpoint(
    connection: &Connection,
    endpoint: EndpointKey,
    span: Span,
) -> Result<EndpointStats, Fault> {
    let minute = |at: Timestamp| at.as_micros().div_euclid(60_000_000);
    let mut stats: EndpointStats = connection
        .prepare_cached(
            "SELECT coalesce(sum(success), 0), coalesce(sum(fail), 0) FROM endpoint_minute
              WHERE endpoint = ?1 AND minute >= ?2 AND minute <= ?3",
        )?
        .query_row(
            [
                endpoint.0,
                span.since.map_or(i64::MIN, minute),
                span.until.map_or(i64::MAX, minute),
            ],
            |row| {
                Ok(EndpointStats {
                    success: row.get::<_, i64>(0)?.unsigned_abs(),
                    fail: row.get::<_, i64>(1)?.unsigned_abs(),
                    ..EndpointStats::default()
                })
            },
        )?;
    let first = |at: Timestamp| MessageKey::first_at(at).0;
    let low = span.since.map_or(i64::MIN, first);
    let high = span.until.map_or(i64::MAX, first);
    stats.pending = count(connection, PENDING, [endpoint.0, low, high])?;
    stats.canceled = count(connection, CANCELED, [endpoint.0, low, high])?;
    for message in unsettled(connection, endpoint)? {
        let is_in_span = (low..high).contains(&message);
        if is_in_span && is_canceled(connection, message, endpoint)? {
            stats.canceled += 1;
        }
    }
    Ok(stats)
}

fn count(connection: &Connection, sql: &str, ends: [i64; 3]) -> rusqlite::Result<u64> {
    let [endpoint, low, high] = ends;
    let most = i64::try_from(ROWS_EXAMINED_MAX).expect("a small number");
    connection
        .prepare_cached(sql)?
        .query_row([endpoint, low, high, most], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Canceled deliveries whose rows still say pending, and manual attempts of other ones.
fn unsettled(connection: &Connection, endpoint: EndpointKey) -> rusqlite::Result<Vec<i64>> {
    let most = i64::try_from(ROWS_EXAMINED_MAX).expect("a small number");
    connection
        .prepare_cached(
            "SELECT message FROM delivery
              WHERE endpoint = ?1 AND state = 1
                AND generation < (SELECT generation FROM endpoint WHERE key = ?1)
              UNION ALL
             SELECT message FROM delivery
              WHERE endpoint = ?1 AND state = 5 AND state <> 1
                AND generation < (SELECT generation FROM endpoint WHERE key = ?1) LIMIT ?2",
        )?
        .query_map([endpoint.0, most], |row| row.get(0))?
        .collect()
}

fn is_canceled(
    connection: &Connection,
    message: i64,
    endpoint: EndpointKey,
) -> rusqlite::Result<bool> {
    let row = delivery::load(connection, message, endpoint.0)?;
    let effective = row.map(|row| row.effective()).transpose()?;
    Ok(matches!(effective, Some(Effective::Canceled(_))))
}

/// The rows that lie first are examined, whatever their message.
const PENDING: &str = "
    SELECT coalesce(sum(message >= ?2 AND message < ?3), 0) FROM
        (SELECT message FROM delivery
          WHERE endpoint = ?1 AND state = 1
            AND generation >= (SELECT generation FROM endpoint WHERE key = ?1)
          UNION ALL
         SELECT message FROM delivery
          WHERE endpoint = ?1 AND state = 5 AND state <> 1
            AND generation >= (SELECT generation FROM endpoint WHERE key = ?1) LIMIT ?4)";

const CANCELED: &str = "
    SELECT count(*) FROM
        (SELECT 1 FROM delivery
          WHERE endpoint = ?1 AND state = 4 AND state <> 1
            AND message >= ?2 AND message < ?3 LIMIT ?4)";
