//! The log of requests that sources received.

use bytes::Bytes;
use domain::{ApplicationKey, InboundId, InboundKey, MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store::{
    BYTES_EXAMINED_MAX, InboundFilter, InboundMarks, InboundRow, InboundVerdict, NewInbound, Page,
    PageRequest, PruneRequests, PrunedRequests, Sealed,
};

use crate::checksum;
use crate::codec;
use crate::fault::Fault;
use crate::page::Walk;
use crate::prune::MarkWalk;
use crate::source;
use crate::writer::Tx;

/// What a request became, and what it belongs to.
pub(crate) struct Links<'a> {
    pub(crate) verdict: InboundVerdict,
    pub(crate) reason: Option<&'a str>,
    pub(crate) marks: InboundMarks,
    pub(crate) message: Option<MessageId>,
    pub(crate) messages: u32,
    pub(crate) first: Option<InboundId>,
    /// The body is the payload of the message.
    pub(crate) shares_body: bool,
}

pub(crate) fn insert(
    connection: &Connection,
    request: &NewInbound,
    links: &Links<'_>,
) -> rusqlite::Result<()> {
    let body = (!links.shares_body).then_some(&request.body[..]);
    connection
        .prepare_cached(
            "INSERT INTO request (key, rest, application, source, verdict, reason, diagnosis,
                                  marks, message, message_rest, messages, first, first_rest,
                                  method, path, peer, provider_id, headers, credentials,
                                  body_len, body, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                     ?18, ?19, ?20, ?21, ?22)",
        )?
        .execute(params![
            request.id.key().0,
            codec::inbound_rest(request.id),
            request.application.0,
            request.source.0,
            links.verdict.code(),
            links.reason,
            request.diagnosis,
            links.marks.code(),
            links.message.map(|id| id.key().0),
            links.message.map(codec::rest_of),
            links.messages,
            links.first.map(|id| id.key().0),
            links.first.map(codec::inbound_rest),
            request.method,
            request.path,
            request.peer,
            request.provider_id,
            &request.headers[..],
            request.credentials.as_ref().map(|sealed| &sealed.0),
            request.body_len.cast_signed(),
            body,
            body.map(checksum::of),
        ])
        .map(drop)
}

/// Stores requests that cause nothing.
pub(crate) fn note(tx: &mut Tx<'_>, requests: &[NewInbound]) -> Result<(), Fault> {
    for request in requests {
        let live = tx
            .connection
            .prepare_cached("SELECT 1 FROM source WHERE key = ?1 AND deleted IS NULL")?
            .exists([request.source.0])?;
        if !live {
            continue;
        }
        let links = Links {
            verdict: request.verdict,
            reason: request.reason.as_deref(),
            marks: request.marks,
            message: None,
            messages: 0,
            first: None,
            shares_body: false,
        };
        insert(tx.connection, request, &links)?;
    }
    Ok(())
}

const COLUMNS: &str = "
    r.key, r.rest, s.id, r.verdict, r.reason, r.diagnosis, r.marks, r.message, r.message_rest,
    r.messages, r.first, r.first_rest, r.method, r.path, r.peer, r.headers, r.credentials,
    r.body_len, r.provider_id";

/// What is searched beside a row, behind its columns.
const CONTENT: &str = ", coalesce(r.body, m.payload), m.event_type";

fn from_row(row: &Row<'_>) -> rusqlite::Result<InboundRow> {
    let verdict = InboundVerdict::from_code(row.get(3)?);
    let credentials: Option<Vec<u8>> = row.get(16)?;
    let first = codec::message_id_or_none(row, 10)?;
    Ok(InboundRow {
        id: codec::inbound_id(row.get(0)?, row.get(1)?),
        source_id: codec::source_id(row, 2)?,
        verdict: verdict.ok_or_else(|| codec::invalid("verdict"))?,
        reason: row.get(4)?,
        diagnosis: row.get(5)?,
        marks: InboundMarks::from_code(row.get(6)?),
        message: codec::message_id_or_none(row, 7)?,
        messages: codec::small(row, 9)?,
        first: first.map(|id| InboundId::from_bits(id.bits())),
        method: row.get(12)?,
        path: row.get(13)?,
        peer: row.get(14)?,
        headers: bytes(codec::blob(row, 15)?),
        credentials: credentials.map(Sealed),
        body: None,
        body_len: codec::small(row, 17)?,
        provider_id: row.get(18)?,
    })
}

fn bytes(blob: Option<&[u8]>) -> Bytes {
    Bytes::copy_from_slice(blob.unwrap_or_default())
}

pub(crate) fn load(
    connection: &Connection,
    application: ApplicationKey,
    request: InboundId,
) -> Result<Option<InboundRow>, Fault> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, coalesce(r.body, m.payload)
               FROM request r CROSS JOIN source s ON s.key = r.source
               LEFT JOIN message m ON m.key = r.message AND r.body IS NULL
              WHERE r.key = ?1 AND r.rest = ?2 AND r.application = ?3"
        ))?
        .query_row(
            params![request.key().0, codec::inbound_rest(request), application.0],
            |row| {
                let body = codec::blob(row, 19)?.map(Bytes::copy_from_slice);
                Ok(InboundRow {
                    body,
                    ..from_row(row)?
                })
            },
        )
        .optional()?;
    Ok(found.filter(|found| found.id == request))
}

/// How much later than its own time a key can be, as for messages.
const CLOCK_STEP: std::time::Duration = std::time::Duration::from_mins(1);

pub(crate) fn list(
    connection: &Connection,
    application: ApplicationKey,
    filter: &InboundFilter,
    page: &PageRequest<InboundKey>,
) -> Result<Page<InboundRow, InboundKey>, Fault> {
    let walk = Walk::of(page);
    // A message's requests came with it or later.
    let message = filter.message.map(|id| id.at().minus(CLOCK_STEP));
    let after = filter.after.max(message);
    let low = after.map_or(i64::MIN, |after| InboundKey::first_at(after).0 - 1);
    let high = filter.before.map_or(i64::MAX, |before| {
        let before = before.plus(CLOCK_STEP);
        if before.as_unix_millis() >> 42 == 0 {
            InboundKey::first_at(before).0
        } else {
            i64::MAX
        }
    });
    let (low, high) = walk.range(page.cursor.as_ref(), (low, high), |key| key.0);
    let searched = filter.search.needs_content();
    let (content, join) = if searched {
        (CONTENT, "LEFT JOIN message m ON m.key = r.message")
    } else {
        ("", "")
    };
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}{content} FROM request r CROSS JOIN source s ON s.key = r.source {join}
          WHERE r.application = ?1 AND r.key > ?2 AND r.key < ?3 ORDER BY r.key {}",
        walk.direction()
    ))?;
    let rows = select.query(params![application.0, low, high])?;
    let mut examined = 0;
    Ok(walk.collect_within(rows, |row| {
        let found = from_row(row)?;
        let key = found.id.key();
        // What is in the row comes first: most bodies need not be looked through.
        let mut wanted = filter.matches(&found);
        if wanted && searched {
            let body = codec::blob(row, 19)?;
            examined += body.map_or(0, <[u8]>::len);
            wanted = filter.search.is_in_content(body, codec::text(row, 20)?);
        }
        let spent = examined >= BYTES_EXAMINED_MAX;
        Ok((key, wanted.then_some(found), spent))
    })?)
}

pub(crate) fn diagnose(tx: &mut Tx<'_>, request: InboundId, text: &str) -> Result<(), Fault> {
    tx.connection
        .prepare_cached("UPDATE request SET diagnosis = ?3 WHERE key = ?1 AND rest = ?2")?
        .execute(params![request.key().0, codec::inbound_rest(request), text])?;
    Ok(())
}

pub(crate) fn prune(tx: &mut Tx<'_>, prune: &PruneRequests) -> Result<PrunedRequests, Fault> {
    let connection = tx.connection;
    let mut left = i64::from(prune.rows.max(1));
    let before = InboundKey::first_at(prune.before).0;
    let requests = connection
        .prepare_cached(
            "DELETE FROM request WHERE key IN
                (SELECT key FROM request WHERE key < ?1 ORDER BY key LIMIT ?2)",
        )?
        .execute([before, left])?;
    let mut pruned = PrunedRequests {
        requests: requests as u64,
        ..PrunedRequests::default()
    };
    left -= i64::try_from(requests).unwrap_or(left);
    if left > 0 {
        let sources = source::erase(connection, None, prune.before, left.unsigned_abs())?;
        left -= sources.cast_signed();
    }
    if left > 0 {
        let walk = &mut tx.pruner.marks;
        pruned.marks = prune_marks(connection, walk, prune.now, &mut left)?;
    }
    pruned.more = left <= 0;
    Ok(pruned)
}

/// Walks what is deduplicated by, once an hour: an index by time would cost each request more.
fn prune_marks(
    connection: &Connection,
    walk: &mut MarkWalk,
    now: Timestamp,
    left: &mut i64,
) -> rusqlite::Result<u64> {
    const EVERY: std::time::Duration = std::time::Duration::from_hours(1);
    if walk.next.is_some_and(|next| now < next) {
        return Ok(0);
    }
    let (source, id) = (walk.source, &walk.id[..]);
    let rows: Vec<(i64, Vec<u8>, bool)> = connection
        .prepare_cached(
            "SELECT source, id, until <= ?3 FROM deduplication
              WHERE (source, id) > (?1, ?2) ORDER BY source, id LIMIT ?4",
        )?
        .query_map(params![source, id, now.as_micros(), *left], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut erased = 0;
    let mut delete =
        connection.prepare_cached("DELETE FROM deduplication WHERE source = ?1 AND id = ?2")?;
    for (source, id, _) in rows.iter().filter(|(_, _, over)| *over) {
        erased += delete.execute(params![source, id])? as u64;
    }
    *left -= i64::try_from(rows.len()).unwrap_or(*left);
    match rows.into_iter().next_back() {
        Some((source, id, _)) if *left <= 0 => {
            (walk.source, walk.id) = (source, id);
        }
        _ => {
            *walk = MarkWalk {
                next: Some(now.plus(EVERY)),
                ..MarkWalk::default()
            }
        }
    }
    Ok(erased)
}

/// Erases requests and sources of an application, at most so many rows; returns how many.
pub(crate) fn erase_of(
    connection: &Connection,
    application: i64,
    rows: u64,
) -> rusqlite::Result<u64> {
    let requests = connection
        .prepare_cached(
            "DELETE FROM request WHERE key IN
                (SELECT key FROM request WHERE application = ?1 LIMIT ?2)",
        )?
        .execute([application, rows.cast_signed()])? as u64;
    if requests == rows {
        return Ok(requests);
    }
    let sources = source::erase(
        connection,
        Some(application),
        Timestamp::default(),
        rows - requests,
    )?;
    Ok(requests + sources)
}
