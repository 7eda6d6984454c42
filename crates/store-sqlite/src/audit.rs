//! The audit trail, written in the transaction of what it tells.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{ApiKeyId, ApplicationId, ApplicationKey, OrganizationKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use store::{
    AuditChange, AuditEnds, AuditEntry, AuditFields, AuditFilter, AuditRow, AuditStore,
    AuditValues, Audited, Author, Error, Page, PageRequest, Store,
};

use crate::SqliteStore;
use crate::codec;
use crate::fault::Fault;
use crate::page::Walk;
use crate::writer::Tx;

/// What is being done to which thing.
pub(crate) struct Change<'a> {
    pub(crate) at: Timestamp,
    pub(crate) action: &'a str,
    pub(crate) target: String,
    pub(crate) application: Option<ApplicationId>,
    pub(crate) before: Option<AuditFields>,
    pub(crate) after: Option<AuditFields>,
}

impl<'a> Change<'a> {
    pub(crate) fn new(at: Timestamp, action: &'a str, target: &impl ToString) -> Self {
        Self {
            at,
            action,
            target: target.to_string(),
            application: None,
            before: None,
            after: None,
        }
    }

    pub(crate) fn within(self, application: ApplicationId) -> Self {
        Self {
            application: Some(application),
            ..self
        }
    }

    pub(crate) fn from(self, before: &impl Audited) -> Self {
        Self {
            before: Some(before.audit_fields()),
            ..self
        }
    }

    pub(crate) fn to(self, after: &impl Audited) -> Self {
        Self {
            after: Some(after.audit_fields()),
            ..self
        }
    }
}

/// Notes a change, as part of the transaction that makes it.
pub(crate) fn note(
    tx: &Tx<'_>,
    organization: OrganizationKey,
    change: Change<'_>,
) -> rusqlite::Result<()> {
    let change = AuditChange {
        at: change.at,
        author: tx.author.as_deref().cloned().unwrap_or_default(),
        action: change.action,
        target: change.target,
        application: change.application,
        before: change.before,
        after: change.after,
    };
    let newest = ends(tx.connection, organization)?.newest;
    let row = AuditRow::of(newest, tx.seed, organization, change);
    insert(tx.connection, organization, &row)?;
    tx.connection
        .prepare_cached(
            "INSERT INTO audit_end (organization, erased, erased_hash, newest, newest_hash)
             VALUES (?1, 0, zeroblob(32), ?2, ?3)
             ON CONFLICT (organization) DO UPDATE SET newest = ?2, newest_hash = ?3",
        )?
        .execute(params![organization.0, row.number, row.hash])?;
    Ok(())
}

/// [`note`] for a thing of an application, whose organization and id are looked up.
pub(crate) fn note_in(
    tx: &Tx<'_>,
    application: ApplicationKey,
    change: Change<'_>,
) -> rusqlite::Result<()> {
    let (organization, id) = tx
        .connection
        .prepare_cached("SELECT organization, id FROM application WHERE key = ?1")?
        .query_row([application.0], |row| {
            Ok((OrganizationKey(row.get(0)?), codec::application_id(row, 1)?))
        })?;
    note(tx, organization, change.within(id))
}

fn insert(
    connection: &Connection,
    organization: OrganizationKey,
    row: &AuditRow,
) -> rusqlite::Result<()> {
    let entry = &row.entry;
    connection
        .prepare_cached(
            "INSERT INTO audit (organization, number, at, key, request, action, target,
                                application, digest, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            organization.0,
            row.number,
            entry.at.as_micros(),
            entry.author.key.map(|key| key.bits().to_be_bytes()),
            entry.author.request,
            entry.action,
            entry.target,
            entry.application.map(|id| id.bits().to_be_bytes()),
            entry.digest,
            row.hash,
        ])?;
    let Some(values) = &entry.values else {
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT INTO audit_values (organization, number, application, salt, before, after,
                                       changes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            organization.0,
            row.number,
            entry.application.map(|id| id.bits().to_be_bytes()),
            values.salt,
            values.before,
            values.after,
            values.changes,
        ])
        .map(drop)
}

/// Takes the values away from the entries about an application, at most `rows`; returns how many.
pub(crate) fn erase_values(
    connection: &Connection,
    application: i64,
    rows: u64,
) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM audit_values WHERE (organization, number) IN (
                SELECT organization, number FROM audit_values
                 WHERE application = (SELECT id FROM application WHERE key = ?1) LIMIT ?2)",
        )?
        .execute(params![application, rows.cast_signed()])
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    let key: Option<[u8; 16]> = row.get(2)?;
    let application: Option<[u8; 16]> = row.get(6)?;
    Ok(AuditRow {
        number: row.get(0)?,
        entry: AuditEntry {
            at: codec::time(row, 1)?,
            author: Author {
                key: key.map(|bytes| ApiKeyId::from_bits(u128::from_be_bytes(bytes))),
                request: row.get(3)?,
            },
            action: row.get(4)?,
            target: row.get(5)?,
            application: application
                .map(|bytes| ApplicationId::from_bits(u128::from_be_bytes(bytes))),
            digest: row.get(7)?,
            values: values(row)?,
        },
        hash: row.get(8)?,
    })
}

fn values(row: &Row<'_>) -> rusqlite::Result<Option<AuditValues>> {
    let Some(salt) = row.get(9)? else {
        return Ok(None);
    };
    Ok(Some(AuditValues {
        salt,
        before: row.get(10)?,
        after: row.get(11)?,
        changes: row.get(12)?,
    }))
}

fn list(
    connection: &Connection,
    organization: OrganizationKey,
    filter: &AuditFilter,
    page: &PageRequest<i64>,
) -> Result<Page<AuditRow, i64>, Fault> {
    let walk = Walk::of(page);
    let (low, high) = walk.range(page.cursor.as_ref(), (0, i64::MAX), |number| *number);
    let mut select = connection.prepare_cached(&format!(
        "SELECT a.number, a.at, a.key, a.request, a.action, a.target, a.application, a.digest,
                a.hash, v.salt, v.before, v.after, v.changes
           FROM audit a LEFT JOIN audit_values v
             ON v.organization = a.organization AND v.number = a.number
          WHERE a.organization = ?1 AND a.number > ?2 AND a.number < ?3
          ORDER BY a.number {}",
        walk.direction()
    ))?;
    let rows = select.query([organization.0, low, high])?;
    Ok(walk.collect(rows, |row| {
        let row = from_row(row)?;
        Ok((row.number, Some(row).filter(|row| filter.matches(row))))
    })?)
}

fn ends(connection: &Connection, organization: OrganizationKey) -> rusqlite::Result<AuditEnds> {
    let found = connection
        .prepare_cached(
            "SELECT erased, erased_hash, newest, newest_hash FROM audit_end
              WHERE organization = ?1",
        )?
        .query_row([organization.0], |row| {
            Ok(AuditEnds {
                erased: (row.get(0)?, row.get(1)?),
                newest: (row.get(2)?, row.get(3)?),
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn prune(tx: &Tx<'_>, before: Timestamp, rows: u16) -> Result<u64, Fault> {
    let connection = tx.connection;
    let organizations: Vec<i64> = connection
        .prepare_cached("SELECT organization FROM audit_end ORDER BY organization")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut left = i64::from(rows);
    for organization in organizations {
        // Times may step back; what is erased is a beginning of the chain all the same.
        let last: Option<(i64, [u8; 32])> = connection
            .prepare_cached(
                "SELECT number, hash FROM (
                    SELECT number, hash, at FROM audit WHERE organization = ?1
                     ORDER BY number LIMIT ?3)
                  WHERE at < ?2 ORDER BY number DESC LIMIT 1",
            )?
            .query_row(params![organization, before.as_micros(), left], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((number, hash)) = last else { continue };
        let erased = connection
            .prepare_cached("DELETE FROM audit WHERE organization = ?1 AND number <= ?2")?
            .execute([organization, number])?;
        connection
            .prepare_cached("DELETE FROM audit_values WHERE organization = ?1 AND number <= ?2")?
            .execute([organization, number])?;
        connection
            .prepare_cached(
                "UPDATE audit_end SET erased = ?2, erased_hash = ?3 WHERE organization = ?1",
            )?
            .execute(params![organization, number, hash])?;
        left -= i64::try_from(erased).unwrap_or(left);
    }
    Ok((i64::from(rows) - left).unsigned_abs())
}

#[async_trait]
impl AuditStore for SqliteStore {
    fn authored(&self, author: Author) -> Arc<dyn Store> {
        Arc::new(self.with_author(author))
    }

    async fn audit(
        &self,
        organization: OrganizationKey,
        filter: &AuditFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<AuditRow, i64>, Error> {
        let filter = filter.clone();
        self.read(move |c, _| list(c, organization, &filter, &page))
            .await
    }

    async fn audit_ends(&self, organization: OrganizationKey) -> Result<AuditEnds, Error> {
        self.read(move |c, _| Ok(ends(c, organization)?)).await
    }

    async fn prune_audit(&self, before: Timestamp, rows: u16) -> Result<u64, Error> {
        self.write(move |tx| prune(tx, before, rows)).await
    }
}
