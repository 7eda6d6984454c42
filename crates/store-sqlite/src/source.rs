//! Sources: inbound URLs, with what their requests are verified by.

use domain::{ApplicationId, ApplicationKey, OrganizationKey, SourceId, SourceKey, Timestamp, Uid};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store::{
    Error, NewSource, Page, PageRequest, ResealedSource, Sealed, SecretChange, Source,
    SourceChange, SourceRef, SourceSecret, SourceToken, SourceTokens, Write,
};

use crate::audit::{self, Change};
use crate::codec;
use crate::fault::Fault;
use crate::idempotency;
use crate::page::{ID_ENDS, Walk};
use crate::writer::Tx;

const SELECT: &str = "
    SELECT s.key, s.application, s.id, s.uid, s.name, s.provider, s.settings, s.paused, s.awaits,
           s.token_hash, s.token, s.earlier_hash, s.earlier_until, s.version, s.created,
           s.updated, a.id, a.organization
      FROM source s CROSS JOIN application a ON a.key = s.application";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Source> {
    let earlier: Option<[u8; 32]> = row.get(11)?;
    Ok(Source {
        key: SourceKey(row.get(0)?),
        application: ApplicationKey(row.get(1)?),
        id: codec::source_id(row, 2)?,
        uid: codec::text(row, 3)?.and_then(codec::uid),
        name: row.get(4)?,
        provider: row.get(5)?,
        settings: row.get(6)?,
        paused: row.get(7)?,
        awaits_handshake: codec::time_or_none(row, 8)?,
        token: SourceToken {
            hash: row.get(9)?,
            sealed: Sealed(row.get(10)?),
        },
        earlier_token: earlier.zip(codec::time_or_none(row, 12)?),
        version: codec::small(row, 13)?,
        created: codec::time(row, 14)?,
        updated: codec::time(row, 15)?,
        application_id: codec::application_id(row, 16)?,
        organization: OrganizationKey(row.get(17)?),
        secrets: Vec::new(),
    })
}

fn with_secrets(connection: &Connection, mut source: Source) -> rusqlite::Result<Source> {
    source.secrets = connection
        .prepare_cached(
            "SELECT number, sealed, created, expires FROM source_secret
              WHERE source = ?1 ORDER BY number",
        )?
        .query_map([source.key.0], |row| {
            Ok(SourceSecret {
                number: row.get(0)?,
                sealed: Sealed(row.get(1)?),
                created: codec::time(row, 2)?,
                expires: codec::time_or_none(row, 3)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(source)
}

pub(crate) fn by_key(connection: &Connection, key: SourceKey) -> rusqlite::Result<Option<Source>> {
    connection
        .prepare_cached(&format!(
            "{SELECT} WHERE s.key = ?1 AND s.deleted IS NULL AND a.deleted IS NULL"
        ))?
        .query_row([key.0], from_row)
        .optional()?
        .map(|source| with_secrets(connection, source))
        .transpose()
}

pub(crate) fn load(
    connection: &Connection,
    application: ApplicationKey,
    source: &SourceRef,
) -> rusqlite::Result<Option<Source>> {
    let found = match source {
        SourceRef::Id(id) => connection
            .prepare_cached(&format!(
                "{SELECT} WHERE s.application = ?1 AND s.id = ?2 AND s.deleted IS NULL"
            ))?
            .query_row(params![application.0, id.bits().to_be_bytes()], from_row),
        SourceRef::Uid(uid) => connection
            .prepare_cached(&format!(
                "{SELECT} WHERE s.application = ?1 AND s.uid = ?2 AND s.deleted IS NULL"
            ))?
            .query_row(params![application.0, uid.as_str()], from_row),
    };
    let found = found.optional()?;
    found
        .map(|source| with_secrets(connection, source))
        .transpose()
}

fn get(
    connection: &Connection,
    application: ApplicationKey,
    source: &SourceRef,
) -> Result<Source, Fault> {
    load(connection, application, source)?.ok_or_else(|| Error::NotFound("source").into())
}

pub(crate) fn list(
    connection: &Connection,
    application: ApplicationKey,
    page: &PageRequest<SourceId>,
) -> Result<Page<Source>, Fault> {
    let walk = Walk::of(page);
    let ends = (ID_ENDS.0.to_vec(), ID_ENDS.1.to_vec());
    let (low, high) = walk.range(page.cursor.as_ref(), ends, |id| {
        id.bits().to_be_bytes().to_vec()
    });
    let mut select = connection.prepare_cached(&format!(
        "{SELECT} WHERE s.application = ?1 AND s.id > ?2 AND s.id < ?3 AND s.deleted IS NULL
          ORDER BY s.id {}",
        walk.direction()
    ))?;
    let rows = select.query(params![application.0, low, high])?;
    let read = |row: &Row<'_>| with_secrets(connection, from_row(row)?);
    Ok(walk.collect_all(rows, read)?)
}

pub(crate) fn tokens(
    connection: &Connection,
    after: SourceKey,
    limit: u16,
) -> Result<Vec<SourceTokens>, Fault> {
    let found = connection
        .prepare_cached(
            "SELECT s.key, s.token_hash, s.earlier_hash, s.earlier_until
               FROM source s CROSS JOIN application a ON a.key = s.application
              WHERE s.key > ?1 AND s.deleted IS NULL AND a.deleted IS NULL
              ORDER BY s.key LIMIT ?2",
        )?
        .query_map(params![after.0, limit], |row| {
            let earlier: Option<[u8; 32]> = row.get(2)?;
            Ok(SourceTokens {
                key: SourceKey(row.get(0)?),
                hash: row.get(1)?,
                earlier: earlier.zip(codec::time_or_none(row, 3)?),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

pub(crate) fn sealed(
    connection: &Connection,
    after: SourceKey,
    limit: u16,
) -> Result<Vec<Source>, Fault> {
    let mut select = connection.prepare_cached(&format!(
        "{SELECT} WHERE s.key > ?1 ORDER BY s.key LIMIT ?2"
    ))?;
    let rows = select.query_map(params![after.0, limit], from_row)?;
    let sources = rows.map(|row| with_secrets(connection, row?));
    Ok(sources.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn reseal(tx: &mut Tx<'_>, resealed: &[ResealedSource]) -> Result<u64, Fault> {
    let mut replaced = 0;
    for one in resealed {
        for sql in [
            "UPDATE source SET token = ?3 WHERE key = ?1 AND token = ?2",
            "UPDATE source_secret SET sealed = ?3 WHERE source = ?1 AND sealed = ?2",
        ] {
            replaced += tx.connection.prepare_cached(sql)?.execute(params![
                one.source.0,
                one.old.0,
                one.new.0
            ])? as u64;
        }
    }
    Ok(replaced)
}

fn check_room(connection: &Connection, new: &NewSource) -> Result<(), Fault> {
    let application = new.application.0;
    let exists = connection
        .prepare_cached("SELECT 1 FROM application WHERE key = ?1 AND deleted IS NULL")?
        .exists([application])?;
    if !exists {
        return Err(Error::NotFound("application").into());
    }
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM source WHERE application = ?1 AND deleted IS NULL")?
        .query_row([application], |row| row.get(0))?;
    if count.unsigned_abs() >= new.sources_max {
        return Err(Error::Limit {
            name: "sources_per_application",
            max: new.sources_max,
        }
        .into());
    }
    Ok(())
}

fn refuse_uid(
    connection: &Connection,
    application: ApplicationKey,
    uid: &Uid,
    own: Option<SourceKey>,
) -> Result<(), Fault> {
    let taken = connection
        .prepare_cached(
            "SELECT 1 FROM source
              WHERE application = ?1 AND uid = ?2 AND deleted IS NULL AND key IS NOT ?3",
        )?
        .exists(params![application.0, uid.as_str(), own.map(|key| key.0)])?;
    if taken {
        return Err(Error::Conflict("uid").into());
    }
    Ok(())
}

fn refuse_token(connection: &Connection, token: &SourceToken) -> Result<(), Fault> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM source WHERE token_hash = ?1 AND deleted IS NULL")?
        .exists([token.hash])?;
    if taken {
        return Err(Error::Conflict("token").into());
    }
    Ok(())
}

pub(crate) fn create(tx: &mut Tx<'_>, new: &NewSource) -> Result<Write<Source>, Fault> {
    let connection = tx.connection;
    let idempotency = new.idempotency.as_ref();
    if let Some(effect) = idempotency::effect(connection, idempotency, new.now)? {
        let key = SourceKey(idempotency::row_key(&effect)?);
        let found = by_key(connection, key)?.ok_or(Error::NotFound("source"))?;
        return Ok(Write::Replayed(found));
    }
    check_room(connection, new)?;
    if let Some(uid) = &new.uid {
        refuse_uid(connection, new.application, uid, None)?;
    }
    refuse_token(connection, &new.token)?;
    connection
        .prepare_cached(
            "INSERT INTO source (application, id, uid, name, provider, settings, paused, awaits,
                                 token_hash, token, secrets_ever, version, created, updated)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, ?10, 1, ?11, ?11)",
        )?
        .execute(params![
            new.application.0,
            new.id.bits().to_be_bytes(),
            new.uid.as_ref().map(Uid::as_str),
            new.name,
            new.provider,
            new.settings,
            new.awaits_handshake.map(Timestamp::as_micros),
            new.token.hash,
            new.token.sealed.0,
            i64::try_from(new.secrets.len()).expect("a few"),
            new.now.as_micros(),
        ])?;
    let key = SourceKey(connection.last_insert_rowid());
    for (number, secret) in (1..).zip(&new.secrets) {
        insert_secret(connection, key, number, secret, new.now)?;
    }
    idempotency::remember_if(connection, idempotency, new.now, &key.0.to_be_bytes())?;
    let created = by_key(connection, key)?.ok_or(Error::NotFound("source"))?;
    let change = Change::new(new.now, "source.create", &created.id);
    note(
        tx,
        created.organization,
        created.application_id,
        change.to(&created),
    )?;
    Ok(Write::Done(created))
}

fn insert_secret(
    connection: &Connection,
    source: SourceKey,
    number: i64,
    secret: &Sealed,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO source_secret (source, number, sealed, created) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![source.0, number, secret.0, now.as_micros()])
        .map(drop)
}

fn note(
    tx: &Tx<'_>,
    organization: OrganizationKey,
    application: ApplicationId,
    change: Change<'_>,
) -> rusqlite::Result<()> {
    audit::note(tx, organization, change.within(application))
}

pub(crate) fn update(
    tx: &mut Tx<'_>,
    application: ApplicationKey,
    source: &SourceRef,
    change: &SourceChange,
) -> Result<Source, Fault> {
    let connection = tx.connection;
    let before = get(connection, application, source)?;
    let idempotency = change.idempotency.as_ref();
    if let Some(effect) = idempotency::effect(connection, idempotency, change.now)? {
        // Another source may have the same uid by now.
        return if idempotency::row_key(&effect)? == before.key.0 {
            Ok(before)
        } else {
            Err(Error::NotFound("source").into())
        };
    }
    if change
        .version
        .is_some_and(|version| version != before.version)
    {
        return Err(Error::Refused("the source was changed meanwhile").into());
    }
    if let Some(Some(uid)) = &change.uid {
        refuse_uid(connection, application, uid, Some(before.key))?;
    }
    let mut changed = before.clone();
    if let Some((token, grace)) = &change.token {
        refuse_token(connection, token)?;
        changed.earlier_token = Some((before.token.hash, change.now.plus(*grace)));
        changed.token.clone_from(token);
    }
    apply(&mut changed, change);
    write(connection, &changed)?;
    if let Some(secrets) = &change.secrets {
        put_secrets(connection, changed.key, secrets, change.now)?;
    }
    let changed = with_secrets(connection, changed)?;
    let effect = changed.key.0.to_be_bytes();
    idempotency::remember_if(connection, idempotency, change.now, &effect)?;
    let name = match change.action {
        "" => "source.update".to_owned(),
        action => format!("source.{action}"),
    };
    let noted = Change::new(change.now, &name, &changed.id);
    let noted = noted.from(&before).to(&changed);
    note(tx, changed.organization, changed.application_id, noted)?;
    Ok(changed)
}

fn apply(source: &mut Source, change: &SourceChange) {
    fn set<T: Clone>(field: &mut T, new: Option<&T>) {
        if let Some(new) = new {
            field.clone_from(new);
        }
    }
    set(&mut source.uid, change.uid.as_ref());
    set(&mut source.name, change.name.as_ref());
    set(&mut source.provider, change.provider.as_ref());
    set(&mut source.settings, change.settings.as_ref());
    set(&mut source.paused, change.paused.as_ref());
    let awaits = change.awaits_handshake.as_ref();
    set(&mut source.awaits_handshake, awaits);
    source.version += 1;
    source.updated = change.now;
}

fn write(connection: &Connection, source: &Source) -> rusqlite::Result<()> {
    let (hash, until) = source.earlier_token.unzip();
    connection
        .prepare_cached(
            "UPDATE source SET uid = ?2, name = ?3, provider = ?4, settings = ?5, paused = ?6,
                    awaits = ?7, token_hash = ?8, token = ?9, earlier_hash = ?10,
                    earlier_until = ?11, version = version + 1, updated = ?12
              WHERE key = ?1",
        )?
        .execute(params![
            source.key.0,
            source.uid.as_ref().map(Uid::as_str),
            source.name,
            source.provider,
            source.settings,
            source.paused,
            source.awaits_handshake.map(Timestamp::as_micros),
            source.token.hash,
            source.token.sealed.0,
            hash,
            until.map(Timestamp::as_micros),
            source.updated.as_micros(),
        ])
        .map(drop)
}

fn put_secrets(
    connection: &Connection,
    source: SourceKey,
    change: &SecretChange,
    now: Timestamp,
) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "UPDATE source_secret SET expires = min(coalesce(expires, ?2), ?2) WHERE source = ?1",
        )?
        .execute([source.0, change.others_expire.as_micros()])?;
    connection
        .prepare_cached("DELETE FROM source_secret WHERE source = ?1 AND expires <= ?2")?
        .execute([source.0, now.as_micros()])?;
    let live: u64 = connection
        .prepare_cached("SELECT count(*) FROM source_secret WHERE source = ?1")?
        .query_row([source.0], |row| codec::small(row, 0))?;
    if live + change.added.len() as u64 > change.secrets_max {
        return Err(Error::Limit {
            name: "secrets_per_source",
            max: change.secrets_max,
        }
        .into());
    }
    for secret in &change.added {
        let number: i64 = connection
            .prepare_cached(
                "UPDATE source SET secrets_ever = secrets_ever + 1 WHERE key = ?1
              RETURNING secrets_ever",
            )?
            .query_row([source.0], |row| row.get(0))?;
        insert_secret(connection, source, number, secret, now)?;
    }
    Ok(())
}

pub(crate) fn delete(
    tx: &mut Tx<'_>,
    application: ApplicationKey,
    source: &SourceRef,
    now: Timestamp,
) -> Result<Source, Fault> {
    let deleted = get(tx.connection, application, source)?;
    tx.connection
        .prepare_cached("UPDATE source SET deleted = ?2, version = version + 1 WHERE key = ?1")?
        .execute([deleted.key.0, now.as_micros()])?;
    tx.connection
        .prepare_cached("DELETE FROM source_secret WHERE source = ?1")?
        .execute([deleted.key.0])?;
    let change = Change::new(now, "source.delete", &deleted.id).from(&deleted);
    note(tx, deleted.organization, deleted.application_id, change)?;
    Ok(deleted)
}

/// Erases sources of an application, or those deleted before a time; returns how many.
pub(crate) fn erase(
    connection: &Connection,
    application: Option<i64>,
    before: Timestamp,
    rows: u64,
) -> rusqlite::Result<u64> {
    let keys: Vec<i64> = match application {
        Some(application) => connection
            .prepare_cached("SELECT key FROM source WHERE application = ?1 LIMIT ?2")?
            .query_map([application, rows.cast_signed()], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?,
        None => connection
            .prepare_cached("SELECT key FROM source WHERE deleted < ?1 LIMIT ?2")?
            .query_map([before.as_micros(), rows.cast_signed()], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?,
    };
    for key in &keys {
        for sql in [
            "DELETE FROM source_secret WHERE source = ?1",
            "DELETE FROM source WHERE key = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([key])?;
        }
    }
    Ok(keys.len() as u64)
}
