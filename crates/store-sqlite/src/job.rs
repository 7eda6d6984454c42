//! Jobs: created, listed, changed by hand.

use domain::{ApplicationKey, JobId, JobKey, OrganizationKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use store::{
    Error, Job, JobAction, JobCriteria, JobFilter, JobKind, JobState, NewJob, Page, PageRequest,
    ReplayOf, RequestTally, RunningJob, Write,
};

use crate::audit::{self, Change};
use crate::codec;
use crate::fault::Fault;
use crate::idempotency;
use crate::page::{ID_ENDS, Walk};
use crate::request_job;
use crate::writer::Tx;

/// Columns of [`from_row`].
const SELECT: &str = "
    SELECT j.key, j.id, j.application, j.kind, j.state, j.endpoint, j.since, j.until,
           j.event_types, j.channel, j.tag, j.replay_of, j.status_class, j.rate, j.targets,
           j.targets_done, j.examined, j.done, j.created, j.updated, j.requests, j.duplicates,
           j.refused
      FROM job j JOIN application a ON a.key = j.application AND a.deleted IS NULL";

pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Job> {
    let kind = codec::text(row, 3)?.and_then(JobKind::from_slug);
    let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    let event_types = match codec::text(row, 8)? {
        None => None,
        text => Some(codec::split(text, codec::event_type)?),
    };
    Ok(Job {
        key: JobKey(row.get(0)?),
        id: codec::job_id(row, 1)?,
        application: ApplicationKey(row.get(2)?),
        kind: kind.ok_or_else(|| codec::invalid("kind"))?,
        state: JobState::from_code(row.get(4)?).ok_or_else(|| codec::invalid("state"))?,
        endpoint: match row.get_ref(5)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(codec::endpoint_id(row, 5)?),
        },
        criteria: JobCriteria {
            since: codec::time_or_none(row, 6)?,
            until: codec::time(row, 7)?,
            event_types,
            channel: codec::text(row, 9)?.and_then(codec::channel),
            tag: codec::text(row, 10)?.and_then(codec::tag),
            of: codec::split(codec::text(row, 11)?, ReplayOf::from_slug)?,
            status_class: codec::small_or_none(row, 12)?,
        },
        requests: codec::text(row, 20)?
            .map(request_job::criteria)
            .transpose()?,
        tally: RequestTally {
            duplicates: count(21)?,
            refused: count(22)?,
        },
        rate: codec::small_or_none(row, 13)?,
        targets: count(14)?,
        targets_done: count(15)?,
        examined: count(16)?,
        done: count(17)?,
        created: codec::time(row, 18)?,
        updated: codec::time(row, 19)?,
    })
}

pub(crate) fn by_key(connection: &Connection, key: JobKey) -> rusqlite::Result<Option<Job>> {
    connection
        .prepare_cached(&format!("{SELECT} WHERE j.key = ?1"))?
        .query_row([key.0], from_row)
        .optional()
}

pub(crate) fn load(
    connection: &Connection,
    organization: OrganizationKey,
    id: JobId,
) -> rusqlite::Result<Option<Job>> {
    connection
        .prepare_cached(&format!("{SELECT} WHERE j.organization = ?1 AND j.id = ?2"))?
        .query_row(params![organization.0, id.bits().to_be_bytes()], from_row)
        .optional()
}

pub(crate) fn list(
    connection: &Connection,
    organization: OrganizationKey,
    filter: &JobFilter,
    page: &PageRequest<JobId>,
) -> Result<Page<Job, JobId>, Fault> {
    let walk = Walk::of(page);
    let ends = (ID_ENDS.0.to_vec(), ID_ENDS.1.to_vec());
    let (low, high) = walk.range(page.cursor.as_ref(), ends, |id| {
        id.bits().to_be_bytes().to_vec()
    });
    let mut select = connection.prepare_cached(&list_sql(&walk, filter.application.is_some()))?;
    let first = filter.application.map_or(organization.0, |key| key.0);
    let rows = select.query(params![first, low, high])?;
    let page = walk.collect(rows, |row| {
        let job = from_row(row)?;
        let kinds = filter.kinds.as_ref();
        let states = filter.states.as_ref();
        let wanted = kinds.is_none_or(|kinds| kinds.contains(&job.kind))
            && states.is_none_or(|states| states.contains(&job.state));
        Ok((job.id, wanted.then_some(job)))
    })?;
    Ok(page)
}

pub(crate) fn list_sql(walk: &Walk, of_application: bool) -> String {
    let column = if of_application {
        "application"
    } else {
        "organization"
    };
    let select = SELECT.replacen(" JOIN application", " CROSS JOIN application", 1);
    format!(
        "{select} WHERE j.{column} = ?1 AND j.id > ?2 AND j.id < ?3 ORDER BY j.id {}",
        walk.direction()
    )
}

pub(crate) fn create(tx: &mut Tx<'_>, new: &NewJob) -> Result<Write<Job>, Fault> {
    let connection = tx.connection;
    let idempotency = new.idempotency.as_ref();
    if let Some(effect) = idempotency::effect(connection, idempotency, new.now)? {
        let key = JobKey(idempotency::row_key(&effect)?);
        return Ok(Write::Replayed(get(connection, key)?));
    }
    check_room(connection, new)?;
    let key = insert(connection, new)?;
    // Before the first message that the job is about.
    let cursor = new
        .criteria
        .since
        .map_or(i64::MIN, |since| domain::MessageKey::first_at(since).0 - 1);
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO job_target (job, endpoint, cursor) VALUES (?1, ?2, ?3)",
    )?;
    for endpoint in new.endpoints.iter().map(|key| key.0) {
        insert.execute([key.0, endpoint, cursor])?;
    }
    if new.endpoints.is_empty() {
        insert.execute([key.0, 0, cursor])?;
    }
    connection
        .prepare_cached(
            "UPDATE job SET targets = (SELECT count(*) FROM job_target WHERE job = ?1)
              WHERE key = ?1",
        )?
        .execute([key.0])?;
    idempotency::remember_if(connection, idempotency, new.now, &key.0.to_be_bytes())?;
    let created = get(connection, key)?;
    let noted = Change::new(new.now, "job.create", &created.id).to(&created);
    audit::note_in(tx, new.application, noted)?;
    Ok(Write::Done(created))
}

fn get(connection: &Connection, key: JobKey) -> Result<Job, Fault> {
    by_key(connection, key)?.ok_or_else(|| Error::NotFound("job").into())
}

fn check_room(connection: &Connection, new: &NewJob) -> Result<(), Fault> {
    let exists = connection
        .prepare_cached("SELECT 1 FROM application WHERE key = ?1 AND deleted IS NULL")?
        .exists([new.application.0])?;
    if !exists {
        return Err(Error::NotFound("application").into());
    }
    let unended: i64 = connection
        .prepare_cached("SELECT count(*) FROM job WHERE application = ?1 AND state <= 2")?
        .query_row([new.application.0], |row| row.get(0))?;
    if unended.unsigned_abs() >= new.jobs_max {
        return Err(Error::Limit {
            name: "jobs_per_application",
            max: new.jobs_max,
        }
        .into());
    }
    Ok(())
}

fn insert(connection: &Connection, new: &NewJob) -> rusqlite::Result<JobKey> {
    let criteria = &new.criteria;
    let event_types = criteria.event_types.as_ref().map(|types| {
        let names = types.iter().map(domain::EventType::as_str);
        codec::join(names).unwrap_or_default()
    });
    connection
        .prepare_cached(
            "INSERT INTO job (id, organization, application, kind, state, endpoint, since, until,
                    event_types, channel, tag, replay_of, status_class, rate, targets,
                    targets_done, examined, done, created, updated, requests)
             VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0, 0, 0, 0,
                     ?14, ?14, ?15)",
        )?
        .execute(params![
            new.id.bits().to_be_bytes(),
            new.organization.0,
            new.application.0,
            new.kind.slug(),
            new.endpoint.map(|id| id.bits().to_be_bytes()),
            criteria.since.map(Timestamp::as_micros),
            criteria.until.as_micros(),
            event_types,
            criteria.channel.as_ref().map(domain::Channel::as_str),
            criteria.tag.as_ref().map(domain::Tag::as_str),
            codec::join(criteria.of.iter().map(|of| of.slug())).unwrap_or_default(),
            criteria.status_class,
            new.rate,
            new.now.as_micros(),
            new.requests.as_ref().map(request_job::text_of),
        ])?;
    Ok(JobKey(connection.last_insert_rowid()))
}

pub(crate) fn change(
    tx: &mut Tx<'_>,
    organization: OrganizationKey,
    id: JobId,
    action: JobAction,
    now: Timestamp,
) -> Result<Job, Fault> {
    let connection = tx.connection;
    let Some(job) = load(connection, organization, id)? else {
        return Err(Error::NotFound("job").into());
    };
    let state = match (action, job.state) {
        (JobAction::Pause, JobState::Running) => JobState::Paused,
        (JobAction::Resume, JobState::Paused) => JobState::Running,
        (JobAction::Cancel, JobState::Running | JobState::Paused) => JobState::Canceled,
        _ => return Ok(job),
    };
    connection
        .prepare_cached("UPDATE job SET state = ?2, updated = ?3 WHERE key = ?1")?
        .execute(params![job.key.0, state.code(), now.as_micros()])?;
    if state == JobState::Canceled {
        connection
            .prepare_cached("DELETE FROM job_target WHERE job = ?1")?
            .execute([job.key.0])?;
    }
    let changed = get(connection, job.key)?;
    let noted = Change::new(now, "job.update", &changed.id);
    audit::note_in(tx, job.application, noted.from(&job).to(&changed))?;
    Ok(changed)
}

pub(crate) fn running(
    connection: &Connection,
    after: Option<JobKey>,
    limit: u16,
) -> Result<Vec<RunningJob>, Fault> {
    Ok(connection
        .prepare_cached(RUNNING)?
        .query_map(params![after.map_or(0, |key| key.0), limit], |row| {
            Ok(RunningJob {
                key: JobKey(row.get(0)?),
                kind: codec::text(row, 2)?
                    .and_then(JobKind::from_slug)
                    .ok_or_else(|| codec::invalid("kind"))?,
                rate: codec::small_or_none(row, 1)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?)
}

pub(crate) const RUNNING: &str = "
    SELECT key, rate, kind FROM job
     WHERE state = 1 AND state <= 2 AND key > ?1 ORDER BY key LIMIT ?2";
