//! Endpoints, their secrets and URLs.

use std::time::Duration;

use domain::{
    ApplicationKey, DeliverAs, DisabledReason, EndpointKey, HeaderFilter, MessageKey,
    OrganizationKey, RetrySchedule, Subscription, TargetUrl, Timestamp, Tuning, Uid, UrlKey,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store::{
    Announced, ApplicationRef, Endpoint, EndpointChange, EndpointRef, Error, NewEndpoint, Page,
    PageRequest, Resealed, Rotated, Rotation, Routes, Sealed, SealedSecret, Write,
};

use crate::announcement::{self, Details};
use crate::application;
use crate::audit::{self, Change};
use crate::codec;
use crate::failing;
use crate::fault::Fault;
use crate::idempotency;
use crate::page::{ID_ENDS, Walk};
use crate::writer::Tx;

/// Everything of endpoints but their secrets. An endpoint is deleted with its application.
const SELECT: &str = "
    SELECT e.key, e.application, a.id, e.id, e.uid, u.url, e.url, e.description, e.disabled,
           e.paused, e.event_types, e.channels, e.throttle_rate, e.metadata, e.headers,
           e.canceled_through, e.version, e.created, e.updated, coalesce(e.deleted, a.deleted),
           a.throttle_rate, e.retry_schedule, e.timeout, e.concurrency, e.svix_headers,
           e.disabled_at, e.failing_since, e.deliver_as, e.forward_headers
      FROM endpoint e JOIN application a ON a.key = e.application
      JOIN endpoint_url u ON u.key = e.url";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    let url = codec::text(row, 5)?.and_then(|text| TargetUrl::parse(text).ok());
    let disabled = match codec::text(row, 8)? {
        None => None,
        Some(slug) => {
            Some(DisabledReason::from_slug(slug).ok_or_else(|| codec::invalid("reason"))?)
        }
    };
    Ok(Endpoint {
        key: EndpointKey(row.get(0)?),
        application: ApplicationKey(row.get(1)?),
        application_id: codec::application_id(row, 2)?,
        id: codec::endpoint_id(row, 3)?,
        uid: codec::text(row, 4)?.and_then(codec::uid),
        url: url.ok_or_else(|| codec::invalid("URL"))?,
        url_key: UrlKey(row.get(6)?),
        description: row.get(7)?,
        disabled,
        paused: row.get(9)?,
        subscription: Subscription {
            event_types: names(row, 10, codec::event_type_filter)?,
            channels: names(row, 11, codec::channel)?,
        },
        throttle_rate: codec::small_or_none(row, 12)?,
        metadata: codec::metadata(codec::text(row, 13)?.unwrap_or("{}"))?,
        headers: row.get::<_, Option<Vec<u8>>>(14)?.map(Sealed),
        secrets: Vec::new(),
        canceled_through: row.get::<_, Option<i64>>(15)?.map(MessageKey),
        version: row.get::<_, i64>(16)?.unsigned_abs(),
        created: codec::time(row, 17)?,
        updated: codec::time(row, 18)?,
        deleted: codec::time_or_none(row, 19)?,
        application_throttle_rate: codec::small_or_none(row, 20)?,
        tuning: tuning(row)?,
        disabled_at: codec::time_or_none(row, 25)?,
        failing_since: codec::time_or_none(row, 26)?,
    })
}

fn tuning(row: &Row<'_>) -> rusqlite::Result<Tuning> {
    let wait = |text: &str| text.parse().map(Duration::from_micros).ok();
    let retry_schedule = match codec::text(row, 21)? {
        None => None,
        waits => {
            let schedule = RetrySchedule::new(codec::split(waits, wait)?);
            Some(schedule.map_err(|_| codec::invalid("retry schedule"))?)
        }
    };
    let timeout: Option<i64> = row.get(22)?;
    let deliver_as = match codec::text(row, 27)? {
        None => Some(DeliverAs::Message),
        Some(slug) => DeliverAs::from_slug(slug),
    };
    Ok(Tuning {
        retry_schedule,
        timeout: timeout.map(|micros| Duration::from_micros(micros.unsigned_abs())),
        concurrency: codec::small_or_none(row, 23)?,
        svix_headers: row.get(24)?,
        deliver_as: deliver_as.ok_or_else(|| codec::invalid("form of deliveries"))?,
        forward_headers: forward_headers(row, 28)?,
    })
}

fn forward_headers(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<HeaderFilter>> {
    let Some(names) = names(row, column, |name| Some(name.to_owned()))? else {
        return Ok(None);
    };
    let filter = HeaderFilter::parse(&names);
    filter.map(Some).map_err(|_| codec::invalid("header"))
}

/// A form that is not the usual one.
fn unusual_form(tuning: &Tuning) -> Option<&'static str> {
    let form = tuning.deliver_as;
    (form != DeliverAs::default()).then(|| form.slug())
}

fn header_names(tuning: &Tuning) -> Option<String> {
    let filter = tuning.forward_headers.as_ref()?;
    Some(codec::join(filter.names()).unwrap_or_default())
}

fn retry_schedule(tuning: &Tuning) -> Option<String> {
    let waits = tuning.retry_schedule.as_ref()?.waits().iter();
    let waits: Vec<String> = waits.map(|wait| codec::micros(*wait).to_string()).collect();
    codec::join(waits.iter().map(String::as_str))
}

/// NULL is no filter; the empty text is a filter that lets nothing through.
fn names<T>(
    row: &Row<'_>,
    column: usize,
    parse: fn(&str) -> Option<T>,
) -> rusqlite::Result<Option<Vec<T>>> {
    match codec::text(row, column)? {
        None => Ok(None),
        text => codec::split(text, parse).map(Some),
    }
}

fn secrets(connection: &Connection, endpoint: EndpointKey) -> rusqlite::Result<Vec<SealedSecret>> {
    connection
        .prepare_cached(
            "SELECT sealed, expires FROM endpoint_secret WHERE endpoint = ?1 ORDER BY number DESC",
        )?
        .query_map([endpoint.0], |row| {
            Ok(SealedSecret {
                sealed: Sealed(row.get(0)?),
                expires: codec::time_or_none(row, 1)?,
            })
        })?
        .collect()
}

fn with_secrets(connection: &Connection, mut endpoint: Endpoint) -> rusqlite::Result<Endpoint> {
    endpoint.secrets = secrets(connection, endpoint.key)?;
    Ok(endpoint)
}

pub(crate) fn by_key(
    connection: &Connection,
    key: EndpointKey,
) -> rusqlite::Result<Option<Endpoint>> {
    connection
        .prepare_cached(&format!("{SELECT} WHERE e.key = ?1"))?
        .query_row([key.0], from_row)
        .optional()?
        .map(|endpoint| with_secrets(connection, endpoint))
        .transpose()
}

pub(crate) fn by_id(
    connection: &Connection,
    id: domain::EndpointId,
) -> rusqlite::Result<Option<Endpoint>> {
    connection
        .prepare_cached(&format!(
            "{SELECT} WHERE e.id = ?1 AND e.deleted IS NULL AND a.deleted IS NULL"
        ))?
        .query_row([id.bits().to_be_bytes()], from_row)
        .optional()?
        .map(|endpoint| with_secrets(connection, endpoint))
        .transpose()
}

pub(crate) fn by_keys(
    connection: &Connection,
    keys: &[EndpointKey],
) -> Result<Vec<Endpoint>, Fault> {
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        found.extend(by_key(connection, *key)?);
    }
    Ok(found)
}

/// Reads endpoints of all applications in the order of their keys.
pub(crate) fn after(
    connection: &Connection,
    after: EndpointKey,
    limit: u16,
) -> Result<Vec<Endpoint>, Fault> {
    let endpoints = connection
        .prepare_cached(&format!(
            "{SELECT} WHERE e.key > ?1 ORDER BY e.key LIMIT ?2"
        ))?
        .query_map(params![after.0, limit], from_row)?
        .map(|endpoint| with_secrets(connection, endpoint?))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(endpoints)
}

pub(crate) fn reseal(tx: &mut Tx<'_>, resealed: &[Resealed]) -> Result<u64, Fault> {
    let mut count = 0;
    for sql in [
        "UPDATE endpoint_secret SET sealed = ?3 WHERE endpoint = ?1 AND sealed = ?2",
        "UPDATE endpoint SET headers = ?3 WHERE key = ?1 AND headers = ?2",
    ] {
        let mut update = tx.connection.prepare_cached(sql)?;
        for one in resealed {
            count += update.execute(params![one.endpoint.0, one.old.0, one.new.0])?;
        }
    }
    Ok(count as u64)
}

pub(crate) fn load(
    connection: &Connection,
    application: ApplicationKey,
    endpoint: &EndpointRef,
) -> rusqlite::Result<Option<Endpoint>> {
    const LIVE: &str = "e.application = ?1 AND e.deleted IS NULL AND a.deleted IS NULL";
    match endpoint {
        EndpointRef::Id(id) => connection
            .prepare_cached(&format!("{SELECT} WHERE {LIVE} AND e.id = ?2"))?
            .query_row(params![application.0, id.bits().to_be_bytes()], from_row),
        EndpointRef::Uid(uid) => connection
            .prepare_cached(&format!("{SELECT} WHERE {LIVE} AND e.uid = ?2"))?
            .query_row(params![application.0, uid.as_str()], from_row),
    }
    .optional()?
    .map(|endpoint| with_secrets(connection, endpoint))
    .transpose()
}

fn get(
    connection: &Connection,
    application: ApplicationKey,
    endpoint: &EndpointRef,
) -> Result<Endpoint, Fault> {
    load(connection, application, endpoint)?.ok_or_else(|| Error::NotFound("endpoint").into())
}

pub(crate) fn list(
    connection: &Connection,
    application: ApplicationKey,
    page: &PageRequest<domain::EndpointId>,
) -> Result<Page<Endpoint>, Fault> {
    let walk = Walk::of(page);
    let ends = (ID_ENDS.0.to_vec(), ID_ENDS.1.to_vec());
    let (low, high) = walk.range(page.cursor.as_ref(), ends, |id| {
        id.bits().to_be_bytes().to_vec()
    });
    let mut select = connection.prepare_cached(&list_sql(&walk))?;
    let rows = select.query(params![application.0, low, high])?;
    Ok(walk.collect_all(rows, |row| with_secrets(connection, from_row(row)?))?)
}

pub(crate) fn list_sql(walk: &Walk) -> String {
    format!(
        "{SELECT} WHERE e.application = ?1 AND e.id > ?2 AND e.id < ?3
            AND e.deleted IS NULL AND a.deleted IS NULL
          ORDER BY e.id {}",
        walk.direction()
    )
}

pub(crate) fn routes(
    connection: &Connection,
    organization: OrganizationKey,
    application: &ApplicationRef,
) -> Result<Option<Routes>, Fault> {
    let Some((application, version)) = application::load(connection, organization, application)?
    else {
        return Ok(None);
    };
    let endpoints = connection
        .prepare_cached(&format!(
            "{SELECT} WHERE e.application = ?1 AND e.deleted IS NULL"
        ))?
        .query_map([application.key.0], from_row)?
        .map(|endpoint| with_secrets(connection, endpoint?))
        .collect::<rusqlite::Result<Vec<_>>>();
    let mut endpoints = endpoints?;
    endpoints.sort_unstable_by_key(|endpoint| endpoint.key);
    Ok(Some(Routes {
        application,
        version,
        endpoints,
    }))
}

pub(crate) fn create(tx: &mut Tx<'_>, new: &NewEndpoint) -> Result<Write<Endpoint>, Fault> {
    let connection = tx.connection;
    let idempotency = new.idempotency.as_ref();
    if let Some(effect) = idempotency::effect(connection, idempotency, new.now)? {
        let key = EndpointKey(idempotency::row_key(&effect)?);
        return Ok(Write::Replayed(live_by_key(connection, key)?));
    }
    check_room(connection, new)?;
    if let Some(uid) = &new.uid {
        refuse_taken(connection, new.application, uid, None)?;
    }
    // The row and its URL name each other; the URL comes second.
    connection
        .prepare_cached(
            "INSERT INTO endpoint (application, id, uid, url, description, disabled, paused,
                    event_types, channels, throttle_rate, metadata, headers, generation, version,
                    created, updated, retry_schedule, timeout, concurrency, svix_headers,
                    disabled_at, deliver_as, forward_headers)
             VALUES (?1, ?2, ?3, 0, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?10, 0, 1, ?11, ?11, ?12, ?13,
                     ?14, ?15, ?16, ?17, ?18)",
        )?
        .execute(params![
            new.application.0,
            new.id.bits().to_be_bytes(),
            new.uid.as_ref().map(Uid::as_str),
            new.description,
            new.disabled.map(DisabledReason::slug),
            event_types(&new.subscription),
            channels(&new.subscription),
            new.throttle_rate,
            codec::metadata_text(&new.metadata),
            new.headers.as_ref().map(|headers| &headers.0),
            new.now.as_micros(),
            retry_schedule(&new.tuning),
            new.tuning.timeout.map(codec::micros),
            new.tuning.concurrency,
            new.tuning.svix_headers,
            new.disabled.map(|_| new.now.as_micros()),
            unusual_form(&new.tuning),
            header_names(&new.tuning),
        ])?;
    let key = EndpointKey(connection.last_insert_rowid());
    let url = insert_url(connection, key, &new.url)?;
    connection
        .prepare_cached("UPDATE endpoint SET url = ?2 WHERE key = ?1")?
        .execute([key.0, url.0])?;
    insert_secret(connection, key, 1, &new.secret)?;
    application::raise_version(connection, new.application)?;
    idempotency::remember_if(connection, idempotency, new.now, &key.0.to_be_bytes())?;
    announce(tx, key, Announced::Created, new.now)?;
    let created = live_by_key(connection, key)?;
    let change = Change::new(new.now, "endpoint.create", &created.id).to(&created);
    note(tx, &created, change)?;
    Ok(Write::Done(created))
}

fn live_by_key(connection: &Connection, key: EndpointKey) -> Result<Endpoint, Fault> {
    by_key(connection, key)?
        .filter(|endpoint| endpoint.deleted.is_none())
        .ok_or_else(|| Error::NotFound("endpoint").into())
}

fn check_room(connection: &Connection, new: &NewEndpoint) -> Result<(), Fault> {
    let application = new.application.0;
    let exists = connection
        .prepare_cached("SELECT 1 FROM application WHERE key = ?1 AND deleted IS NULL")?
        .exists([application])?;
    if !exists {
        return Err(Error::NotFound("application").into());
    }
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM endpoint WHERE application = ?1 AND deleted IS NULL")?
        .query_row([application], |row| row.get(0))?;
    if count.unsigned_abs() >= new.endpoints_max {
        return Err(Error::Limit {
            name: "endpoints_per_application",
            max: new.endpoints_max,
        }
        .into());
    }
    Ok(())
}

fn refuse_taken(
    connection: &Connection,
    application: ApplicationKey,
    uid: &Uid,
    own: Option<EndpointKey>,
) -> Result<(), Fault> {
    let taken = connection
        .prepare_cached(
            "SELECT 1 FROM endpoint
              WHERE application = ?1 AND uid = ?2 AND deleted IS NULL AND key IS NOT ?3",
        )?
        .exists(params![application.0, uid.as_str(), own.map(|key| key.0)])?;
    if taken {
        return Err(Error::Conflict("uid").into());
    }
    Ok(())
}

fn insert_url(
    connection: &Connection,
    endpoint: EndpointKey,
    url: &TargetUrl,
) -> rusqlite::Result<UrlKey> {
    connection
        .prepare_cached("INSERT INTO endpoint_url (endpoint, url) VALUES (?1, ?2)")?
        .execute(params![endpoint.0, url.as_str()])?;
    Ok(UrlKey(connection.last_insert_rowid()))
}

fn insert_secret(
    connection: &Connection,
    endpoint: EndpointKey,
    number: i64,
    secret: &Sealed,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO endpoint_secret (endpoint, number, sealed) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![endpoint.0, number, secret.0])
        .map(drop)
}

fn event_types(subscription: &Subscription) -> Option<String> {
    let names = subscription.event_types.as_ref()?;
    let names = names.iter().map(domain::EventTypeFilter::as_str);
    Some(codec::join(names).unwrap_or_default())
}

fn channels(subscription: &Subscription) -> Option<String> {
    let names = subscription.channels.as_ref()?;
    let names = names.iter().map(domain::Channel::as_str);
    Some(codec::join(names).unwrap_or_default())
}

pub(crate) fn update(
    tx: &mut Tx<'_>,
    application: ApplicationKey,
    endpoint: &EndpointRef,
    change: &EndpointChange,
) -> Result<Endpoint, Fault> {
    self::change(tx, application, endpoint, change, None)
}

/// Changes an endpoint; one that is disabled for failing tells since when it does.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    application: ApplicationKey,
    endpoint: &EndpointRef,
    change: &EndpointChange,
    failing_since: Option<Timestamp>,
) -> Result<Endpoint, Fault> {
    let connection = tx.connection;
    let before = get(connection, application, endpoint)?;
    let mut changed = before.clone();
    if let Some(Some(uid)) = &change.uid {
        refuse_taken(connection, application, uid, Some(changed.key))?;
    }
    if let Some(url) = &change.url
        && *url != changed.url
    {
        changed.url_key = insert_url(connection, changed.key, url)?;
    }
    if let Some(Some(_)) = change.disabled {
        cancel_pending(tx, &mut changed)?;
    }
    if change.disabled.is_some() || change.url.as_ref().is_some_and(|url| *url != changed.url) {
        failing::forget(tx, changed.key)?;
    }
    apply(&mut changed, change);
    if let Some(disabled) = change.disabled {
        let since = changed.disabled_at.filter(|_| before.disabled.is_some());
        changed.disabled_at = disabled.map(|_| since.unwrap_or(change.now));
        changed.failing_since = failing_since;
    }
    write(connection, &changed)?;
    application::raise_version(connection, application)?;
    let noted = Change::new(change.now, "endpoint.update", &changed.id);
    note(tx, &changed, noted.from(&before).to(&changed))?;
    tell(tx, before.disabled, &changed, change)?;
    Ok(changed)
}

/// Announces what a change was about.
fn tell(
    tx: &Tx<'_>,
    before: Option<DisabledReason>,
    changed: &Endpoint,
    change: &EndpointChange,
) -> rusqlite::Result<()> {
    let others = EndpointChange {
        disabled: None,
        now: Timestamp::default(),
        ..change.clone()
    };
    if others != EndpointChange::default() {
        announce(tx, changed.key, Announced::Updated, change.now)?;
    }
    match (before, changed.disabled) {
        (None, Some(reason)) => {
            let details = Details {
                disabled: Some(reason),
                since: changed.failing_since.map(Timestamp::as_micros),
                message: None,
            };
            let what = Announced::Disabled;
            announcement::announce(tx, changed.key.0, what, change.now, details)
        }
        (Some(_), None) => announce(tx, changed.key, Announced::Enabled, change.now),
        _ => Ok(()),
    }
}

fn announce(tx: &Tx<'_>, key: EndpointKey, what: Announced, at: Timestamp) -> rusqlite::Result<()> {
    announcement::announce(tx, key.0, what, at, Details::default())
}

fn apply(endpoint: &mut Endpoint, change: &EndpointChange) {
    fn set<T: Clone>(field: &mut T, new: Option<&T>) {
        if let Some(new) = new {
            field.clone_from(new);
        }
    }
    set(&mut endpoint.uid, change.uid.as_ref());
    set(&mut endpoint.url, change.url.as_ref());
    set(&mut endpoint.description, change.description.as_ref());
    set(&mut endpoint.disabled, change.disabled.as_ref());
    set(&mut endpoint.paused, change.paused.as_ref());
    set(&mut endpoint.subscription, change.subscription.as_ref());
    set(&mut endpoint.throttle_rate, change.throttle_rate.as_ref());
    set(&mut endpoint.tuning, change.tuning.as_ref());
    set(&mut endpoint.metadata, change.metadata.as_ref());
    set(&mut endpoint.headers, change.headers.as_ref());
    endpoint.version += 1;
    endpoint.updated = change.now;
}

fn write(connection: &Connection, endpoint: &Endpoint) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE endpoint SET uid = ?2, url = ?3, description = ?4, disabled = ?5, paused = ?6,
                    event_types = ?7, channels = ?8, throttle_rate = ?9, metadata = ?10,
                    headers = ?11, version = version + 1, updated = ?12,
                    retry_schedule = ?13, timeout = ?14, concurrency = ?15,
                    svix_headers = ?16, disabled_at = ?17, failing_since = ?18,
                    deliver_as = ?19, forward_headers = ?20
              WHERE key = ?1",
        )?
        .execute(params![
            endpoint.key.0,
            endpoint.uid.as_ref().map(Uid::as_str),
            endpoint.url_key.0,
            endpoint.description,
            endpoint.disabled.map(DisabledReason::slug),
            endpoint.paused,
            event_types(&endpoint.subscription),
            channels(&endpoint.subscription),
            endpoint.throttle_rate,
            codec::metadata_text(&endpoint.metadata),
            endpoint.headers.as_ref().map(|headers| &headers.0),
            endpoint.updated.as_micros(),
            retry_schedule(&endpoint.tuning),
            endpoint.tuning.timeout.map(codec::micros),
            endpoint.tuning.concurrency,
            endpoint.tuning.svix_headers,
            endpoint.disabled_at.map(Timestamp::as_micros),
            endpoint.failing_since.map(Timestamp::as_micros),
            unusual_form(&endpoint.tuning),
            header_names(&endpoint.tuning),
        ])
        .map(drop)
}

/// Cancels what is pending by giving the endpoint the next generation.
fn cancel_pending(tx: &mut Tx<'_>, endpoint: &mut Endpoint) -> rusqlite::Result<()> {
    let generation: i64 = tx
        .connection
        .prepare_cached(
            "UPDATE counter SET value = value + 1 WHERE name = 'generation' RETURNING value",
        )?
        .query_row([], |row| row.get(0))?;
    cancel_through(tx.connection, endpoint)?;
    tx.connection
        .prepare_cached("UPDATE endpoint SET generation = ?2 WHERE key = ?1")?
        .execute([endpoint.key.0, generation])?;
    tx.memory.generations.insert(endpoint.key.0, generation);
    tx.pruner.canceled(endpoint.key);
    Ok(())
}

/// Tells lanes which messages are canceled: all that are stored.
fn cancel_through(connection: &Connection, endpoint: &mut Endpoint) -> rusqlite::Result<()> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(key) FROM message")?
        .query_row([], |row| row.get(0))?;
    endpoint.canceled_through = endpoint.canceled_through.max(newest.map(MessageKey));
    connection
        .prepare_cached("UPDATE endpoint SET canceled_through = ?2 WHERE key = ?1")?
        .execute(params![
            endpoint.key.0,
            endpoint.canceled_through.map(|key| key.0)
        ])
        .map(drop)
}

pub(crate) fn delete(
    tx: &mut Tx<'_>,
    application: ApplicationKey,
    endpoint: &EndpointRef,
    now: Timestamp,
) -> Result<Endpoint, Fault> {
    let mut deleted = get(tx.connection, application, endpoint)?;
    cancel_through(tx.connection, &mut deleted)?;
    tx.connection
        .prepare_cached("UPDATE endpoint SET deleted = ?2, version = version + 1 WHERE key = ?1")?
        .execute(params![deleted.key.0, now.as_micros()])?;
    application::raise_version(tx.connection, application)?;
    let change = Change::new(now, "endpoint.delete", &deleted.id).from(&deleted);
    note(tx, &deleted, change)?;
    failing::forget(tx, deleted.key)?;
    announce(tx, deleted.key, Announced::Deleted, now)?;
    deleted.deleted = Some(now);
    deleted.version += 1;
    Ok(deleted)
}

pub(crate) fn rotate(
    tx: &mut Tx<'_>,
    application: ApplicationKey,
    endpoint: &EndpointRef,
    rotation: &Rotation,
) -> Result<Write<Rotated>, Fault> {
    let connection = tx.connection;
    let before = get(connection, application, endpoint)?;
    let mut rotated = before.clone();
    let key = rotated.key.0;
    let idempotency = rotation.idempotency.as_ref();
    if let Some(effect) = idempotency::effect(connection, idempotency, rotation.now)? {
        return replayed_rotation(connection, rotated, &effect);
    }
    connection
        .prepare_cached(
            "UPDATE endpoint_secret SET expires = min(coalesce(expires, ?2), ?2)
              WHERE endpoint = ?1",
        )?
        .execute(params![key, rotation.old_expires.as_micros()])?;
    connection
        .prepare_cached("DELETE FROM endpoint_secret WHERE endpoint = ?1 AND expires <= ?2")?
        .execute(params![key, rotation.now.as_micros()])?;
    let (live, last): (i64, i64) = connection
        .prepare_cached(
            "SELECT count(*), coalesce(max(number), 0) FROM endpoint_secret WHERE endpoint = ?1",
        )?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if live.unsigned_abs() >= rotation.secrets_max {
        return Err(Error::Limit {
            name: "secrets_per_endpoint",
            max: rotation.secrets_max,
        }
        .into());
    }
    insert_secret(connection, rotated.key, last + 1, &rotation.secret)?;
    rotated.version += 1;
    rotated.updated = rotation.now;
    write(connection, &rotated)?;
    application::raise_version(connection, application)?;
    announce(tx, rotated.key, Announced::Updated, rotation.now)?;
    let number = last + 1;
    let effect = [key.to_be_bytes(), number.to_be_bytes()].concat();
    idempotency::remember_if(connection, idempotency, rotation.now, &effect)?;
    let rotated = with_secrets(connection, rotated)?;
    let change = Change::new(rotation.now, "endpoint.rotate_secret", &rotated.id);
    note(tx, &rotated, change.from(&before).to(&rotated))?;
    Ok(Write::Done(Rotated {
        endpoint: rotated,
        secret: rotation.secret.clone(),
    }))
}

fn note(tx: &Tx<'_>, endpoint: &Endpoint, change: Change<'_>) -> rusqlite::Result<()> {
    let change = change.within(endpoint.application_id);
    audit::note_in(tx, endpoint.application, change)
}

/// Reads the secret that an earlier rotation put first, whatever came after it.
fn replayed_rotation(
    connection: &Connection,
    endpoint: Endpoint,
    effect: &[u8],
) -> Result<Write<Rotated>, Fault> {
    let (key, number) = effect.split_at_checked(8).unwrap_or_default();
    let (key, number) = (idempotency::row_key(key)?, idempotency::row_key(number)?);
    let secret: Option<Vec<u8>> = connection
        .prepare_cached("SELECT sealed FROM endpoint_secret WHERE endpoint = ?1 AND number = ?2")?
        .query_row([key, number], |row| row.get(0))
        .optional()?;
    // Another endpoint may have the same uid by now.
    let secret = secret.filter(|_| key == endpoint.key.0);
    let secret = secret.ok_or(Error::NotFound("secret"))?;
    Ok(Write::Replayed(Rotated {
        endpoint,
        secret: Sealed(secret),
    }))
}

/// Erases what belongs to an endpoint and is not history; the last part of pruning it.
pub(crate) fn erase(connection: &Connection, key: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM endpoint_secret WHERE endpoint = ?1",
        "DELETE FROM endpoint_url WHERE endpoint = ?1",
        "DELETE FROM endpoint_minute WHERE endpoint = ?1",
        "DELETE FROM endpoint_failing WHERE endpoint = ?1",
        "DELETE FROM endpoint WHERE key = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([key])?;
    }
    Ok(())
}
