//! Organizations and API keys.

use domain::{ApiKeyId, ApplicationId, ApplicationKey, OrganizationId, OrganizationKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store::{
    ApiKeyChange, ApiKeyRow, Audited, Capabilities, Capability, Error, KeyQuota, NewApiKey, Page,
    PageRequest, PortalSession, Scope, Write,
};

use crate::audit::{self, Change};
use crate::codec::{self, invalid};
use crate::fault::Fault;
use crate::idempotency;
use crate::page::{ID_ENDS, Walk};
use crate::writer::Tx;

/// Columns of [`from_row`], from the key as `k` and its application as `a`.
const SELECT: &str = "
    SELECT k.id, k.organization, k.application, a.id, k.name, k.hash, k.prefix, k.scope,
           k.requests_per_second, k.burst, k.messages_per_day, k.capabilities, k.flags,
           k.session, k.created, k.expires, k.used
      FROM api_key k LEFT JOIN application a ON a.key = k.application";

fn from_row(row: &Row<'_>) -> rusqlite::Result<ApiKeyRow> {
    let application_id: Option<[u8; 16]> = row.get(3)?;
    let scope = codec::text(row, 7)?.and_then(Scope::from_slug);
    let id: [u8; 16] = row.get(0)?;
    Ok(ApiKeyRow {
        id: ApiKeyId::from_bits(u128::from_be_bytes(id)),
        organization: OrganizationKey(row.get(1)?),
        application: row.get::<_, Option<i64>>(2)?.map(ApplicationKey),
        application_id: application_id
            .map(|bytes| ApplicationId::from_bits(u128::from_be_bytes(bytes))),
        name: row.get(4)?,
        hash: row.get(5)?,
        prefix: row.get(6)?,
        scope: scope.ok_or_else(|| invalid("scope"))?,
        portal: portal(row)?,
        quota: KeyQuota {
            requests_per_second: codec::small_or_none(row, 8)?,
            burst: codec::small_or_none(row, 9)?,
            messages_per_day: codec::small_or_none(row, 10)?,
        },
        created: codec::time(row, 14)?,
        expires: codec::time_or_none(row, 15)?,
        used: codec::time_or_none(row, 16)?,
    })
}

fn portal(row: &Row<'_>) -> rusqlite::Result<Option<PortalSession>> {
    let Some(capabilities) = codec::text(row, 11)? else {
        return Ok(None);
    };
    let capabilities: Vec<_> = codec::split(Some(capabilities), Capability::from_name)?;
    Ok(Some(PortalSession {
        capabilities: capabilities.into_iter().collect(),
        feature_flags: codec::split(codec::text(row, 12)?, |flag| Some(flag.to_owned()))?,
        session: row.get(13)?,
    }))
}

fn capability_text(capabilities: Capabilities) -> String {
    codec::join(capabilities.iter().map(Capability::name)).unwrap_or_default()
}

pub(crate) fn ensure_organization(
    tx: &mut Tx<'_>,
    id: OrganizationId,
    now: Timestamp,
) -> Result<OrganizationKey, Fault> {
    let first: Option<i64> = tx
        .connection
        .prepare_cached("SELECT key FROM organization ORDER BY key LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    match first {
        Some(key) => Ok(OrganizationKey(key)),
        None => create_organization(tx, id, now),
    }
}

pub(crate) fn create_organization(
    tx: &mut Tx<'_>,
    id: OrganizationId,
    now: Timestamp,
) -> Result<OrganizationKey, Fault> {
    let inserted = tx
        .connection
        .prepare_cached("INSERT OR IGNORE INTO organization (id, created) VALUES (?1, ?2)")?
        .execute(params![id.bits().to_be_bytes(), now.as_micros()])?;
    if inserted == 0 {
        return Err(Error::Conflict("organization").into());
    }
    Ok(OrganizationKey(tx.connection.last_insert_rowid()))
}

pub(crate) fn create(tx: &mut Tx<'_>, new: &NewApiKey) -> Result<Write<ApiKeyRow>, Fault> {
    let connection = tx.connection;
    let asked = new.idempotency.as_ref();
    if let Some(effect) = idempotency::effect(connection, asked, new.now)? {
        let id: [u8; 16] = effect.try_into().map_err(|_| invalid("effect"))?;
        return Ok(Write::Replayed(get(connection, new.organization, id)?));
    }
    let id = new.id.bits().to_be_bytes();
    let known = connection
        .prepare_cached("SELECT 1 FROM api_key WHERE id = ?1 OR hash = ?2")?
        .exists(params![id, new.hash])?;
    if known {
        return Err(Error::Conflict("API key").into());
    }
    if let Some(application) = new.application {
        let exists = connection
            .prepare_cached(
                "SELECT 1 FROM application
                  WHERE key = ?1 AND organization = ?2 AND deleted IS NULL",
            )?
            .exists([application.0, new.organization.0])?;
        if !exists {
            return Err(Error::NotFound("application").into());
        }
    }
    check_room(connection, new)?;
    insert(connection, new)?;
    idempotency::remember_if(connection, asked, new.now, &id)?;
    let created = get(connection, new.organization, id)?;
    note(tx, new.now, "create", None, Some(&created))?;
    Ok(Write::Done(created))
}

fn check_room(connection: &Connection, new: &NewApiKey) -> Result<(), Fault> {
    if new.scope == Scope::Portal {
        return Ok(());
    }
    let count: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM api_key WHERE organization = ?1 AND scope <> 'portal'",
        )?
        .query_row([new.organization.0], |row| row.get(0))?;
    if count.unsigned_abs() >= new.keys_max {
        return Err(Error::Limit {
            name: "keys",
            max: new.keys_max,
        }
        .into());
    }
    Ok(())
}

fn insert(connection: &Connection, new: &NewApiKey) -> rusqlite::Result<()> {
    let portal = new.portal.as_ref();
    connection
        .prepare_cached(
            "INSERT INTO api_key (id, organization, application, name, hash, prefix, scope,
                                  requests_per_second, burst, messages_per_day, capabilities,
                                  flags, session, created, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            new.id.bits().to_be_bytes(),
            new.organization.0,
            new.application.map(|key| key.0),
            new.name,
            new.hash,
            new.prefix,
            new.scope.slug(),
            new.quota.requests_per_second,
            new.quota.burst,
            new.quota.messages_per_day,
            portal.map(|portal| capability_text(portal.capabilities)),
            portal.and_then(|portal| codec::join(portal.feature_flags.iter().map(String::as_str))),
            portal.and_then(|portal| portal.session.as_deref()),
            new.now.as_micros(),
            new.expires.map(Timestamp::as_micros),
        ])
        .map(drop)
}

/// Reads a key or a portal token of an organization.
fn get(
    connection: &Connection,
    organization: OrganizationKey,
    id: [u8; 16],
) -> Result<ApiKeyRow, Fault> {
    connection
        .prepare_cached(&format!("{SELECT} WHERE k.id = ?1 AND k.organization = ?2"))?
        .query_row(params![id, organization.0], from_row)
        .optional()?
        .ok_or_else(|| Error::NotFound("API key").into())
}

pub(crate) fn by_hash(
    connection: &Connection,
    hash: &[u8; 32],
) -> Result<Option<ApiKeyRow>, Fault> {
    Ok(connection
        .prepare_cached(&format!("{SELECT} WHERE k.hash = ?1"))?
        .query_row([hash], from_row)
        .optional()?)
}

pub(crate) fn by_id(
    connection: &Connection,
    organization: OrganizationKey,
    id: ApiKeyId,
) -> Result<Option<ApiKeyRow>, Fault> {
    match get(connection, organization, id.bits().to_be_bytes()) {
        Ok(row) => Ok(Some(row).filter(|row| row.scope != Scope::Portal)),
        Err(Fault::Refused(Error::NotFound(_))) => Ok(None),
        Err(fault) => Err(fault),
    }
}

pub(crate) fn portal_session(
    connection: &Connection,
    id: ApiKeyId,
) -> Result<Option<PortalSession>, Fault> {
    let found = connection
        .prepare_cached(&format!("{SELECT} WHERE k.id = ?1"))?
        .query_row([id.bits().to_be_bytes()], from_row)
        .optional()?;
    Ok(found.and_then(|row| row.portal))
}

pub(crate) fn list(
    connection: &Connection,
    organization: OrganizationKey,
    page: &PageRequest<ApiKeyId>,
) -> Result<Page<ApiKeyRow>, Fault> {
    let walk = Walk::of(page);
    let ends = (ID_ENDS.0.to_vec(), ID_ENDS.1.to_vec());
    let (low, high) = walk.range(page.cursor.as_ref(), ends, |id| {
        id.bits().to_be_bytes().to_vec()
    });
    let mut select = connection.prepare_cached(&format!(
        "{SELECT} WHERE k.organization = ?1 AND k.id > ?2 AND k.id < ?3 AND k.scope <> 'portal'
          ORDER BY k.id {}",
        walk.direction()
    ))?;
    let rows = select.query(params![organization.0, low, high])?;
    Ok(walk.collect_all(rows, from_row)?)
}

pub(crate) fn count(connection: &Connection) -> Result<u64, Fault> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM api_key")?
        .query_row([], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Refuses when no other admin key of the whole organization stays for ever.
fn refuse_last_admin(connection: &Connection, key: &ApiKeyRow) -> Result<(), Fault> {
    if key.scope != Scope::Admin || key.application.is_some() || key.expires.is_some() {
        return Ok(());
    }
    let another = connection
        .prepare_cached(
            "SELECT 1 FROM api_key
              WHERE organization = ?1 AND id <> ?2 AND scope = 'admin' AND scope <> 'portal'
                AND application IS NULL AND expires IS NULL",
        )?
        .exists(params![key.organization.0, key.id.bits().to_be_bytes()])?;
    if another {
        return Ok(());
    }
    let why = "this is the last admin key that does not expire; create another one first";
    Err(Error::Refused(why).into())
}

pub(crate) fn update(
    tx: &mut Tx<'_>,
    organization: OrganizationKey,
    id: ApiKeyId,
    change: &ApiKeyChange,
) -> Result<ApiKeyRow, Fault> {
    let connection = tx.connection;
    let bytes = id.bits().to_be_bytes();
    let before = get(connection, organization, bytes)?;
    let mut changed = before.clone();
    if changed.scope == Scope::Portal {
        return Err(Error::NotFound("API key").into());
    }
    if let Some(expires) = change.expires {
        if expires.is_some() {
            refuse_last_admin(connection, &changed)?;
        }
        changed.expires = expires;
    }
    if let Some(name) = &change.name {
        changed.name.clone_from(name);
    }
    changed.quota = change.quota.unwrap_or(changed.quota);
    connection
        .prepare_cached(
            "UPDATE api_key SET name = ?2, expires = ?3, requests_per_second = ?4, burst = ?5,
                    messages_per_day = ?6
              WHERE id = ?1",
        )?
        .execute(params![
            bytes,
            changed.name,
            changed.expires.map(Timestamp::as_micros),
            changed.quota.requests_per_second,
            changed.quota.burst,
            changed.quota.messages_per_day,
        ])?;
    note(tx, change.now, "update", Some(&before), Some(&changed))?;
    Ok(changed)
}

pub(crate) fn delete(
    tx: &mut Tx<'_>,
    organization: OrganizationKey,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<(), Fault> {
    let bytes = id.bits().to_be_bytes();
    let found = get(tx.connection, organization, bytes)?;
    refuse_last_admin(tx.connection, &found)?;
    tx.connection
        .prepare_cached("DELETE FROM api_key WHERE id = ?1")?
        .execute([bytes])?;
    note(tx, now, "delete", Some(&found), None)?;
    Ok(())
}

fn note(
    tx: &Tx<'_>,
    now: Timestamp,
    verb: &str,
    before: Option<&ApiKeyRow>,
    after: Option<&ApiKeyRow>,
) -> rusqlite::Result<()> {
    let Some(row) = after.or(before) else {
        return Ok(());
    };
    let noun = match row.scope {
        Scope::Portal => "portal_token",
        Scope::Admin | Scope::Read | Scope::Publish => "api_key",
    };
    let action = format!("{noun}.{verb}");
    let mut change = Change::new(now, &action, &row.id);
    change.application = row.application_id;
    change.before = before.map(Audited::audit_fields);
    change.after = after.map(Audited::audit_fields);
    audit::note(tx, row.organization, change)
}

/// Revokes whatever is held to an application that is being deleted.
pub(crate) fn delete_of(connection: &Connection, key: ApplicationKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM api_key WHERE application = ?1")?
        .execute([key.0])
        .map(drop)
}

pub(crate) fn expire_portal_tokens(
    tx: &mut Tx<'_>,
    application: ApplicationKey,
    sessions: &[String],
    at: Timestamp,
    now: Timestamp,
) -> Result<u64, Fault> {
    const ALL: &str = "UPDATE api_key SET expires = min(coalesce(expires, ?2), ?2)
                        WHERE application = ?1 AND scope = 'portal'";
    note_expiry(tx, application, now)?;
    if sessions.is_empty() {
        let count = tx
            .connection
            .prepare_cached(ALL)?
            .execute([application.0, at.as_micros()])?;
        return Ok(count as u64);
    }
    let mut update = tx
        .connection
        .prepare_cached(&format!("{ALL} AND session = ?3"))?;
    let mut count = 0;
    for session in sessions {
        count += update.execute(params![application.0, at.as_micros(), session])?;
    }
    Ok(count as u64)
}

fn note_expiry(tx: &Tx<'_>, application: ApplicationKey, now: Timestamp) -> rusqlite::Result<()> {
    let id: [u8; 16] = tx
        .connection
        .prepare_cached("SELECT id FROM application WHERE key = ?1")?
        .query_row([application.0], |row| row.get(0))?;
    let id = ApplicationId::from_bits(u128::from_be_bytes(id));
    let change = Change::new(now, "portal_token.expire_all", &id);
    audit::note_in(tx, application, change)
}

pub(crate) fn note_uses(tx: &mut Tx<'_>, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), Fault> {
    let mut update = tx
        .connection
        .prepare_cached("UPDATE api_key SET used = max(coalesce(used, ?2), ?2) WHERE id = ?1")?;
    for (id, at) in uses {
        update.execute(params![id.bits().to_be_bytes(), at.as_micros()])?;
    }
    Ok(())
}

pub(crate) fn erase_expired(tx: &mut Tx<'_>, now: Timestamp, rows: u16) -> Result<u64, Fault> {
    let erased = tx
        .connection
        .prepare_cached(
            "DELETE FROM api_key WHERE id IN (
                SELECT id FROM api_key WHERE scope = 'portal' AND expires <= ?1 LIMIT ?2)",
        )?
        .execute(params![now.as_micros(), rows])?;
    Ok(erased as u64)
}
