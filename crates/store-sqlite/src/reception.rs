//! Receiving: a request with its messages, in the transaction of an append.
//!
//! Whether a message is new is decided here and nowhere else, between reading the rows that it is
//! deduplicated by and writing them: that is one transaction of the only writer.

use std::collections::HashMap;

use domain::{InboundId, MessageId, SourceKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use store::{InboundMarks, InboundVerdict, Mark, NewMessage, PublishedMessage, Receipt, Reception};

use crate::codec;
use crate::request::{self, Links};

/// A message and its request, as an earlier reception stored them.
#[derive(Clone, Copy)]
struct Earlier {
    message: MessageId,
    request: InboundId,
    body: [u8; 16],
}

/// What is decided of a reception before anything is written.
pub(crate) struct Decision {
    verdict: InboundVerdict,
    reason: Option<&'static str>,
    marks: InboundMarks,
    first: Option<InboundId>,
    pub(crate) messages: Vec<PublishedMessage>,
}

/// Returns the version of a source, or `None` once it is deleted.
pub(crate) fn source_version(
    connection: &Connection,
    source: SourceKey,
) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT version FROM source WHERE key = ?1 AND deleted IS NULL")?
        .query_row([source.0], |row| codec::small(row, 0))
        .optional()
}

/// Decides which messages are new, and what becomes of the request.
pub(crate) fn decide(
    connection: &Connection,
    reception: &Reception,
    messages: &[NewMessage],
    now: Timestamp,
) -> rusqlite::Result<Decision> {
    let request = &reception.request;
    let mut marks = request.marks;
    let mut first = None;
    let mut own: HashMap<[u8; 16], Earlier> = HashMap::new();
    let mut published = Vec::with_capacity(messages.len());
    for (message, mark) in messages.iter().zip(&reception.marks) {
        let earlier = match mark {
            None => None,
            Some(mark) => match own.get(&mark.id) {
                Some(earlier) => Some(*earlier),
                None => look_up(connection, request.source, &mark.id, now)?,
            },
        };
        if let (Some(mark), Some(earlier)) = (mark, earlier) {
            marks.body_differs |= mark.body != earlier.body;
            first = first.or(Some(earlier.request));
        } else if let Some(mark) = mark {
            let this = Earlier {
                message: message.id,
                request: request.id,
                body: mark.body,
            };
            own.insert(mark.id, this);
        }
        published.push(PublishedMessage {
            id: earlier.map_or(message.id, |earlier| earlier.message),
            duplicate: earlier.is_some(),
        });
    }
    let all = !published.is_empty() && published.iter().all(|one| one.duplicate);
    let mut decision = Decision {
        verdict: if all {
            InboundVerdict::Duplicate
        } else {
            request.verdict
        },
        reason: None,
        marks,
        first,
        messages: published,
    };
    if marks.body_differs && reception.refuses_conflicts {
        decision.refuse("id_reused");
    } else if !all {
        guard(connection, reception, now, &mut decision)?;
    }
    Ok(decision)
}

impl Decision {
    fn refuse(&mut self, reason: &'static str) {
        self.verdict = InboundVerdict::Rejected;
        self.reason = Some(reason);
    }

    /// Says whether a message is to be stored.
    pub(crate) fn stores(&self, message: &PublishedMessage) -> bool {
        self.verdict != InboundVerdict::Rejected && !message.duplicate
    }
}

/// Notices a replay under another id.
fn guard(
    connection: &Connection,
    reception: &Reception,
    now: Timestamp,
    decision: &mut Decision,
) -> rusqlite::Result<()> {
    let Some(guard) = &reception.guard else {
        return Ok(());
    };
    let source = reception.request.source;
    let Some(earlier) = look_up(connection, source, &guard.seal, now)? else {
        return Ok(());
    };
    decision.marks.replay_suspected = true;
    decision.first = decision.first.or(Some(earlier.request));
    if guard.refuses {
        decision.refuse("replayed");
    }
    Ok(())
}

fn look_up(
    connection: &Connection,
    source: SourceKey,
    id: &[u8; 16],
    now: Timestamp,
) -> rusqlite::Result<Option<Earlier>> {
    connection
        .prepare_cached(
            "SELECT message, message_rest, request, request_rest, body FROM deduplication
              WHERE source = ?1 AND id = ?2 AND until > ?3",
        )?
        .query_row(params![source.0, id, now.as_micros()], |row| {
            Ok(Earlier {
                message: codec::message_id(row.get(0)?, row.get(1)?),
                request: codec::inbound_id(row.get(2)?, row.get(3)?),
                body: row.get(4)?,
            })
        })
        .optional()
}

/// Stores the request and what it is deduplicated by, and says what became of it.
pub(crate) fn store(
    connection: &Connection,
    reception: &Reception,
    decision: Decision,
    now: Timestamp,
) -> rusqlite::Result<Receipt> {
    let request = &reception.request;
    let refused = decision.verdict == InboundVerdict::Rejected;
    if !refused {
        remember(connection, reception, &decision.messages, now)?;
    }
    let new = decision.messages.iter().find(|one| !one.duplicate);
    let stored = decision.messages.iter().filter(|one| !one.duplicate);
    let stored = u32::try_from(stored.count()).expect("a publish has some thousand at most");
    let links = Links {
        verdict: decision.verdict,
        reason: decision.reason.or(request.reason.as_deref()),
        marks: decision.marks,
        message: if refused {
            None
        } else {
            new.or(decision.messages.first()).map(|one| one.id)
        },
        messages: if refused { 0 } else { stored },
        first: decision.first,
        // That of a duplicate is the first one's, unless it differs.
        shares_body: reception.shares_body && !refused && !decision.marks.body_differs,
    };
    request::insert(connection, request, &links)?;
    Ok(Receipt {
        verdict: decision.verdict,
        reason: decision.reason,
        marks: decision.marks,
        messages: decision.messages,
    })
}

fn remember(
    connection: &Connection,
    reception: &Reception,
    messages: &[PublishedMessage],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let request = &reception.request;
    // What is there under the same id has had its time.
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO deduplication
                (source, id, body, until, message, message_rest, request, request_rest)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let mut put = |mark: &Mark, message: MessageId| {
        insert.execute(params![
            request.source.0,
            mark.id,
            mark.body,
            now.plus(reception.window).as_micros(),
            message.key().0,
            codec::rest_of(message),
            request.id.key().0,
            codec::inbound_rest(request.id),
        ])
    };
    for (mark, message) in reception.marks.iter().zip(messages) {
        if let Some(mark) = mark
            && !message.duplicate
        {
            put(mark, message.id)?;
        }
    }
    let new = messages.iter().find(|one| !one.duplicate);
    if let (Some(guard), Some(message)) = (&reception.guard, new) {
        let mark = Mark {
            id: guard.seal,
            body: guard.seal,
        };
        put(&mark, message.id)?;
    }
    Ok(())
}
