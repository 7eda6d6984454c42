//! Idempotency keys: rows in buckets of time that are dropped whole.

use domain::{MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use store::{Error, Idempotency, PublishedMessage};

use crate::codec::invalid;
use crate::fault::Fault;

/// What is known of a key.
pub(crate) enum Known {
    /// Nothing.
    New,
    /// It had this effect.
    Effect(Vec<u8>),
    /// It came with another request.
    Reused,
}

/// Looks a key up in the current bucket and its neighbours: the one before, which is not old
/// enough yet, and the one after, in case the clock was set back.
pub(crate) fn look_up(
    connection: &Connection,
    idempotency: &Idempotency,
    now: Timestamp,
) -> rusqlite::Result<Known> {
    let mut select = connection.prepare_cached(
        "SELECT fingerprint, effect FROM idempotency
          WHERE kind = ?1 AND bucket = ?2 AND key = ?3",
    )?;
    let kind = idempotency.kind;
    let bucket = kind.bucket(now);
    for bucket in [bucket, bucket - 1, bucket + 1] {
        let found: Option<([u8; 16], Vec<u8>)> = select
            .query_row(params![kind.code(), bucket, idempotency.key], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        if let Some((fingerprint, effect)) = found {
            return Ok(if fingerprint == idempotency.fingerprint {
                Known::Effect(effect)
            } else {
                Known::Reused
            });
        }
    }
    Ok(Known::New)
}

/// Remembers the effect of a key.
pub(crate) fn remember(
    connection: &Connection,
    idempotency: &Idempotency,
    now: Timestamp,
    effect: &[u8],
) -> rusqlite::Result<()> {
    let kind = idempotency.kind;
    connection
        .prepare_cached(
            "INSERT INTO idempotency (kind, bucket, key, fingerprint, effect)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            kind.code(),
            kind.bucket(now),
            idempotency.key,
            idempotency.fingerprint,
            effect
        ])
        .map(drop)
}

/// [`look_up`] for writes other than publishing: the effect, if there was one.
pub(crate) fn effect(
    connection: &Connection,
    idempotency: Option<&Idempotency>,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, Fault> {
    let Some(idempotency) = idempotency else {
        return Ok(None);
    };
    match look_up(connection, idempotency, now)? {
        Known::New => Ok(None),
        Known::Effect(effect) => Ok(Some(effect)),
        Known::Reused => Err(Error::KeyReused.into()),
    }
}

/// [`remember`] if there is a key.
pub(crate) fn remember_if(
    connection: &Connection,
    idempotency: Option<&Idempotency>,
    now: Timestamp,
    effect: &[u8],
) -> rusqlite::Result<()> {
    match idempotency {
        Some(idempotency) => remember(connection, idempotency, now, effect),
        None => Ok(()),
    }
}

/// Notes a request whose effect names no thing.
pub(crate) fn note_done(
    connection: &Connection,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Result<(), Fault> {
    if effect(connection, Some(idempotency), now)?.is_none() {
        remember(connection, idempotency, now, &[])?;
    }
    Ok(())
}

/// Reads the effect of a write that made one row: the row's key.
pub(crate) fn row_key(effect: &[u8]) -> rusqlite::Result<i64> {
    let bytes = effect.try_into().map_err(|_| invalid("effect"))?;
    Ok(i64::from_be_bytes(bytes))
}

/// The effect of a publish: per message 16 bytes of its id and one that says "duplicate".
pub(crate) fn put_published(messages: &[PublishedMessage]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(messages.len() * 17);
    for message in messages {
        bytes.extend_from_slice(&message.id.bits().to_be_bytes());
        bytes.push(u8::from(message.duplicate));
    }
    bytes
}

/// Reads back what [`put_published`] wrote.
pub(crate) fn published(bytes: &[u8]) -> rusqlite::Result<Vec<PublishedMessage>> {
    let (messages, []) = bytes.as_chunks::<17>() else {
        return Err(invalid("effect"));
    };
    Ok(messages
        .iter()
        .map(|[id @ .., duplicate]| PublishedMessage {
            id: MessageId::from_bits(u128::from_be_bytes(*id)),
            duplicate: *duplicate != 0,
        })
        .collect())
}
