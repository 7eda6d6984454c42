//! Applications.

use domain::{ApplicationKey, OrganizationKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store::{
    Application, ApplicationChange, ApplicationRef, Error, NewApplication, Page, PageRequest, Write,
};

use crate::audit::{self, Change};
use crate::codec;
use crate::fault::Fault;
use crate::idempotency;
use crate::key;
use crate::page::{ID_ENDS, Walk};
use crate::writer::Tx;

/// Columns of [`from_row`], with the routing version at the end.
pub(crate) const COLUMNS: &str = "
    key, id, uid, name, throttle_rate, metadata, created, updated, routing_version";

pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Application> {
    Ok(Application {
        key: ApplicationKey(row.get(0)?),
        id: codec::application_id(row, 1)?,
        uid: codec::text(row, 2)?.and_then(codec::uid),
        name: row.get(3)?,
        throttle_rate: codec::small_or_none(row, 4)?,
        metadata: codec::metadata(codec::text(row, 5)?.unwrap_or("{}"))?,
        created: codec::time(row, 6)?,
        updated: codec::time(row, 7)?,
    })
}

/// Reads a live application with its routing version.
pub(crate) fn load(
    connection: &Connection,
    organization: OrganizationKey,
    application: &ApplicationRef,
) -> rusqlite::Result<Option<(Application, u64)>> {
    let read = |row: &Row<'_>| Ok((from_row(row)?, row.get::<_, i64>(8)?.unsigned_abs()));
    match application {
        ApplicationRef::Id(id) => connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM application
                  WHERE organization = ?1 AND id = ?2 AND deleted IS NULL"
            ))?
            .query_row(params![organization.0, id.bits().to_be_bytes()], read),
        ApplicationRef::Uid(uid) => connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM application
                  WHERE organization = ?1 AND uid = ?2 AND deleted IS NULL"
            ))?
            .query_row(params![organization.0, uid.as_str()], read),
    }
    .optional()
}

fn load_by_key(connection: &Connection, key: i64) -> Result<Application, Fault> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM application WHERE key = ?1 AND deleted IS NULL"
        ))?
        .query_row([key], from_row)
        .optional()?
        .ok_or_else(|| Error::NotFound("application").into())
}

pub(crate) fn get(
    connection: &Connection,
    organization: OrganizationKey,
    application: &ApplicationRef,
) -> Result<Application, Fault> {
    match load(connection, organization, application)? {
        Some((found, _)) => Ok(found),
        None => Err(Error::NotFound("application").into()),
    }
}

pub(crate) fn list(
    connection: &Connection,
    organization: OrganizationKey,
    page: &PageRequest<domain::ApplicationId>,
) -> Result<Page<Application>, Fault> {
    let walk = Walk::of(page);
    let ends = (ID_ENDS.0.to_vec(), ID_ENDS.1.to_vec());
    let (low, high) = walk.range(page.cursor.as_ref(), ends, |id| {
        id.bits().to_be_bytes().to_vec()
    });
    let mut select = connection.prepare_cached(&list_sql(&walk))?;
    let rows = select.query(params![organization.0, low, high])?;
    Ok(walk.collect_all(rows, from_row)?)
}

pub(crate) fn list_sql(walk: &Walk) -> String {
    format!(
        "SELECT {COLUMNS} FROM application
          WHERE organization = ?1 AND id > ?2 AND id < ?3 AND deleted IS NULL
          ORDER BY id {}",
        walk.direction()
    )
}

pub(crate) fn create(tx: &mut Tx<'_>, new: &NewApplication) -> Result<Write<Application>, Fault> {
    let connection = tx.connection;
    let idempotency = new.idempotency.as_ref();
    if let Some(effect) = idempotency::effect(connection, idempotency, new.now)? {
        let key = idempotency::row_key(&effect)?;
        return Ok(Write::Replayed(load_by_key(connection, key)?));
    }
    if let Some(uid) = &new.uid {
        refuse_taken(connection, new.organization, uid, None)?;
    }
    check_room(connection, new)?;
    connection
        .prepare_cached(
            "INSERT INTO application (organization, id, uid, name, throttle_rate, metadata,
                                      routing_version, created, updated)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)",
        )?
        .execute(params![
            new.organization.0,
            new.id.bits().to_be_bytes(),
            new.uid.as_ref().map(domain::Uid::as_str),
            new.name,
            new.throttle_rate,
            codec::metadata_text(&new.metadata),
            new.now.as_micros(),
        ])?;
    let key = connection.last_insert_rowid();
    idempotency::remember_if(connection, idempotency, new.now, &key.to_be_bytes())?;
    let created = load_by_key(connection, key)?;
    let change = Change::new(new.now, "application.create", &created.id);
    let change = change.within(created.id).to(&created);
    audit::note(tx, new.organization, change)?;
    Ok(Write::Done(created))
}

fn check_room(connection: &Connection, new: &NewApplication) -> Result<(), Fault> {
    let count: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM application WHERE organization = ?1 AND deleted IS NULL",
        )?
        .query_row([new.organization.0], |row| row.get(0))?;
    if count.unsigned_abs() >= new.applications_max {
        return Err(Error::Limit {
            name: "applications",
            max: new.applications_max,
        }
        .into());
    }
    Ok(())
}

fn refuse_taken(
    connection: &Connection,
    organization: OrganizationKey,
    uid: &domain::Uid,
    own: Option<ApplicationKey>,
) -> Result<(), Fault> {
    let taken = connection
        .prepare_cached(
            "SELECT 1 FROM application
              WHERE organization = ?1 AND uid = ?2 AND deleted IS NULL AND key IS NOT ?3",
        )?
        .exists(params![organization.0, uid.as_str(), own.map(|key| key.0)])?;
    if taken {
        return Err(Error::Conflict("uid").into());
    }
    Ok(())
}

pub(crate) fn update(
    tx: &mut Tx<'_>,
    organization: OrganizationKey,
    application: &ApplicationRef,
    change: &ApplicationChange,
) -> Result<Application, Fault> {
    let connection = tx.connection;
    let before = get(connection, organization, application)?;
    let mut changed = before.clone();
    if let Some(uid) = &change.uid {
        if let Some(uid) = uid {
            refuse_taken(connection, organization, uid, Some(changed.key))?;
        }
        changed.uid.clone_from(uid);
    }
    if let Some(name) = &change.name {
        changed.name.clone_from(name);
    }
    if let Some(throttle_rate) = change.throttle_rate {
        changed.throttle_rate = throttle_rate;
    }
    if let Some(metadata) = &change.metadata {
        changed.metadata.clone_from(metadata);
    }
    changed.updated = change.now;
    connection
        .prepare_cached(
            "UPDATE application SET uid = ?2, name = ?3, throttle_rate = ?4, metadata = ?5,
                    updated = ?6, routing_version = routing_version + 1
              WHERE key = ?1",
        )?
        .execute(params![
            changed.key.0,
            changed.uid.as_ref().map(domain::Uid::as_str),
            changed.name,
            changed.throttle_rate,
            codec::metadata_text(&changed.metadata),
            changed.updated.as_micros(),
        ])?;
    let noted = Change::new(change.now, "application.update", &changed.id);
    let noted = noted.within(changed.id).from(&before).to(&changed);
    audit::note(tx, organization, noted)?;
    Ok(changed)
}

pub(crate) fn delete(
    tx: &mut Tx<'_>,
    organization: OrganizationKey,
    application: &ApplicationRef,
    now: Timestamp,
) -> Result<Application, Fault> {
    let deleted = get(tx.connection, organization, application)?;
    tx.connection
        .prepare_cached(
            "UPDATE application SET deleted = ?2, routing_version = routing_version + 1
              WHERE key = ?1",
        )?
        .execute(params![deleted.key.0, now.as_micros()])?;
    key::delete_of(tx.connection, deleted.key)?;
    let change = Change::new(now, "application.delete", &deleted.id);
    let change = change.within(deleted.id).from(&deleted);
    audit::note(tx, organization, change)?;
    Ok(deleted)
}

/// Says that what routing reads of an application has changed.
pub(crate) fn raise_version(connection: &Connection, key: ApplicationKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE application SET routing_version = routing_version + 1 WHERE key = ?1",
        )?
        .execute([key.0])
        .map(drop)
}
