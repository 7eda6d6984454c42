//! Organizations and API keys.

use domain::{ApiKeyId, OrganizationId, OrganizationKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use store::{ApiKeyRow, Error, NewApiKey, Scope};

use crate::codec::invalid;
use crate::fault::Fault;
use crate::writer::Tx;

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
    if let Some(key) = first {
        return Ok(OrganizationKey(key));
    }
    tx.connection
        .prepare_cached("INSERT INTO organization (id, created) VALUES (?1, ?2)")?
        .execute(params![id.bits().to_be_bytes(), now.as_micros()])?;
    Ok(OrganizationKey(tx.connection.last_insert_rowid()))
}

pub(crate) fn create(tx: &mut Tx<'_>, new: &NewApiKey) -> Result<(), Fault> {
    let inserted = tx
        .connection
        .prepare_cached(
            "INSERT OR IGNORE INTO api_key (id, organization, name, hash, scope, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            new.id.bits().to_be_bytes(),
            new.organization.0,
            new.name,
            new.hash,
            new.scope.slug(),
            new.now.as_micros(),
        ])?;
    if inserted == 0 {
        return Err(Error::Conflict("API key").into());
    }
    Ok(())
}

pub(crate) fn by_hash(
    connection: &Connection,
    hash: &[u8; 32],
) -> Result<Option<ApiKeyRow>, Fault> {
    Ok(connection
        .prepare_cached("SELECT id, organization, name, scope FROM api_key WHERE hash = ?1")?
        .query_row([hash], |row| {
            Ok(ApiKeyRow {
                id: ApiKeyId::from_bits(u128::from_be_bytes(row.get(0)?)),
                organization: OrganizationKey(row.get(1)?),
                name: row.get(2)?,
                hash: *hash,
                scope: Scope::from_slug(&row.get::<_, String>(3)?)
                    .ok_or_else(|| invalid("scope"))?,
            })
        })
        .optional()?)
}

pub(crate) fn count(connection: &Connection) -> Result<u64, Fault> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM api_key")?
        .query_row([], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}
