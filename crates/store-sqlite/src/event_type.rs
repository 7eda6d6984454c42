//! Event types.

use domain::{EventType, OrganizationKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store::{Error, EventTypeChange, EventTypeRow, NewEventType, Page, PageRequest, Write};

use crate::audit::{self, Change};
use crate::codec;
use crate::fault::Fault;
use crate::idempotency;
use crate::page::Walk;
use crate::writer::Tx;

// `feature_flag` holds all of them, joined by commas.
const COLUMNS: &str = "name, description, archived, deprecated, feature_flag, schemas, created,
    updated, enforced, group_name";

fn from_row(row: &Row<'_>) -> rusqlite::Result<EventTypeRow> {
    let name = codec::text(row, 0)?.and_then(codec::event_type);
    Ok(EventTypeRow {
        name: name.ok_or_else(|| codec::invalid("event type"))?,
        description: row.get(1)?,
        archived: row.get(2)?,
        deprecated: row.get(3)?,
        feature_flags: codec::split(codec::text(row, 4)?, |flag| Some(flag.to_owned()))?,
        schemas: row.get(5)?,
        created: codec::time(row, 6)?,
        updated: codec::time(row, 7)?,
        enforced: row.get(8)?,
        group: row.get(9)?,
    })
}

pub(crate) fn load(
    connection: &Connection,
    organization: OrganizationKey,
    name: &str,
) -> rusqlite::Result<Option<EventTypeRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM event_type WHERE organization = ?1 AND name = ?2"
        ))?
        .query_row(params![organization.0, name], from_row)
        .optional()
}

fn get(
    connection: &Connection,
    organization: OrganizationKey,
    name: &str,
) -> Result<EventTypeRow, Fault> {
    load(connection, organization, name)?.ok_or_else(|| Error::NotFound("event type").into())
}

pub(crate) fn list(
    connection: &Connection,
    organization: OrganizationKey,
    archived: bool,
    page: &PageRequest<EventType>,
) -> Result<Page<EventTypeRow>, Fault> {
    let walk = Walk::of(page);
    // Below and above every name, which are all ASCII and never empty.
    let ends = (String::new(), "\u{10ffff}".to_owned());
    let (low, high) = walk.range(page.cursor.as_ref(), ends, |name| name.as_str().to_owned());
    let mut select = connection.prepare_cached(&list_sql(&walk))?;
    let rows = select.query(params![organization.0, low, high, archived])?;
    Ok(walk.collect_all(rows, from_row)?)
}

pub(crate) fn list_sql(walk: &Walk) -> String {
    format!(
        "SELECT {COLUMNS} FROM event_type
          WHERE organization = ?1 AND name > ?2 AND name < ?3 AND (archived = 0 OR ?4)
          ORDER BY name {}",
        walk.direction()
    )
}

pub(crate) fn enforced(
    connection: &Connection,
    organization: OrganizationKey,
) -> rusqlite::Result<Vec<EventType>> {
    connection
        .prepare_cached(
            "SELECT name FROM event_type
              WHERE organization = ?1 AND enforced = 1 AND archived = 0 ORDER BY name",
        )?
        .query_map([organization.0], |row| {
            let name = codec::text(row, 0)?.and_then(codec::event_type);
            name.ok_or_else(|| codec::invalid("event type"))
        })?
        .collect()
}

fn check_room(connection: &Connection, new: &NewEventType) -> Result<(), Fault> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM event_type WHERE organization = ?1")?
        .query_row([new.organization.0], |row| row.get(0))?;
    if count.unsigned_abs() >= new.event_types_max {
        return Err(Error::Limit {
            name: "event_types",
            max: new.event_types_max,
        }
        .into());
    }
    Ok(())
}

pub(crate) fn create(tx: &mut Tx<'_>, new: &NewEventType) -> Result<Write<EventTypeRow>, Fault> {
    let connection = tx.connection;
    let idempotency = new.idempotency.as_ref();
    if let Some(effect) = idempotency::effect(connection, idempotency, new.now)? {
        let name = std::str::from_utf8(&effect).map_err(|_| codec::invalid("effect"))?;
        return Ok(Write::Replayed(get(connection, new.organization, name)?));
    }
    let before = load(connection, new.organization, new.name.as_str())?;
    if before.as_ref().is_some_and(|before| !before.archived) {
        return Err(Error::Conflict("event type").into());
    }
    if before.is_none() {
        check_room(connection, new)?;
    }
    let row = EventTypeRow {
        name: new.name.clone(),
        description: new.description.clone(),
        archived: new.archived,
        deprecated: new.deprecated,
        feature_flags: new.feature_flags.clone(),
        group: new.group.clone(),
        schemas: new.schemas.clone(),
        enforced: new.enforced,
        created: before.as_ref().map_or(new.now, |before| before.created),
        updated: new.now,
    };
    put(connection, new.organization, &row)?;
    let effect = new.name.as_str().as_bytes();
    idempotency::remember_if(connection, idempotency, new.now, effect)?;
    let change = Change::new(new.now, "event_type.create", &row.name);
    audit::note(tx, new.organization, change.to(&row))?;
    Ok(Write::Done(row))
}

fn put(
    connection: &Connection,
    organization: OrganizationKey,
    row: &EventTypeRow,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO event_type
                    (organization, name, description, archived, deprecated, feature_flag,
                     schemas, created, updated, enforced, group_name)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            organization.0,
            row.name.as_str(),
            row.description,
            row.archived,
            row.deprecated,
            codec::join(row.feature_flags.iter().map(String::as_str)),
            row.schemas,
            row.created.as_micros(),
            row.updated.as_micros(),
            row.enforced,
            row.group,
        ])
        .map(drop)
}

pub(crate) fn update(
    tx: &mut Tx<'_>,
    organization: OrganizationKey,
    name: &EventType,
    change: &EventTypeChange,
) -> Result<EventTypeRow, Fault> {
    let before = get(tx.connection, organization, name.as_str())?;
    let mut row = before.clone();
    if let Some(description) = &change.description {
        row.description.clone_from(description);
    }
    if let Some(archived) = change.archived {
        row.archived = archived;
    }
    if let Some(deprecated) = change.deprecated {
        row.deprecated = deprecated;
    }
    if let Some(feature_flags) = &change.feature_flags {
        row.feature_flags.clone_from(feature_flags);
    }
    if let Some(group) = &change.group {
        row.group.clone_from(group);
    }
    if let Some(schemas) = &change.schemas {
        row.schemas.clone_from(schemas);
    }
    if let Some(enforced) = change.enforced {
        row.enforced = enforced;
    }
    row.updated = change.now;
    put(tx.connection, organization, &row)?;
    let noted = Change::new(change.now, "event_type.update", name);
    audit::note(tx, organization, noted.from(&before).to(&row))?;
    Ok(row)
}

pub(crate) fn delete(
    tx: &mut Tx<'_>,
    organization: OrganizationKey,
    name: &EventType,
    expunge: bool,
    now: Timestamp,
) -> Result<(), Fault> {
    let before = get(tx.connection, organization, name.as_str())?;
    let mut row = before.clone();
    row.archived = true;
    row.updated = now;
    let noted = Change::new(now, "event_type.delete", name).from(&before);
    let noted = if expunge { noted } else { noted.to(&row) };
    audit::note(tx, organization, noted)?;
    if expunge {
        tx.connection
            .prepare_cached("DELETE FROM event_type WHERE organization = ?1 AND name = ?2")?
            .execute(params![organization.0, name.as_str()])?;
        return Ok(());
    }
    Ok(put(tx.connection, organization, &row)?)
}
