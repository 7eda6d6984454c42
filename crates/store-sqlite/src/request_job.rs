//! Jobs that put requests in again: where they stand. What they do is the service's.

use domain::{ApplicationKey, InboundId, InboundKey, JobKey, OrganizationKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};
use store::{
    InboundVerdict, JobKind, JobState, RequestCriteria, RequestJob, RequestReplay, RequestStep,
};

use crate::audit::{self, Change};
use crate::codec;
use crate::fault::Fault;
use crate::job;
use crate::writer::Tx;

/// Writes down which requests a job is about.
pub(crate) fn text_of(criteria: &RequestCriteria) -> String {
    let verdicts = criteria.verdicts.iter();
    json!({
        "source": criteria.source.map(|id| id.to_string()),
        "verdicts": verdicts.map(|one| one.slug()).collect::<Vec<_>>(),
        "reason": criteria.reason,
        "verify": criteria.replay.verify,
        "deduplicate": criteria.replay.deduplicate,
    })
    .to_string()
}

/// Reads back what [`text_of`] wrote.
pub(crate) fn criteria(text: &str) -> rusqlite::Result<RequestCriteria> {
    let invalid = || codec::invalid("criteria of requests");
    let value: Value = serde_json::from_str(text).map_err(|_| invalid())?;
    let source = match value["source"].as_str() {
        None => None,
        Some(id) => Some(id.parse().map_err(|_| invalid())?),
    };
    let verdicts = value["verdicts"].as_array().ok_or_else(invalid)?.iter();
    let verdict = |one: &Value| InboundVerdict::from_slug(one.as_str()?);
    let flag = |name: &str| value[name].as_bool().ok_or_else(invalid);
    Ok(RequestCriteria {
        source,
        verdicts: verdicts
            .map(|one| verdict(one).ok_or_else(invalid))
            .collect::<rusqlite::Result<_>>()?,
        reason: value["reason"].as_str().map(str::to_owned),
        replay: RequestReplay {
            verify: flag("verify")?,
            deduplicate: flag("deduplicate")?,
        },
    })
}

pub(crate) fn load(connection: &Connection, key: JobKey) -> Result<Option<RequestJob>, Fault> {
    let Some(job) = job::by_key(connection, key)? else {
        return Ok(None);
    };
    if job.state != JobState::Running || job.kind != JobKind::ReplayRequests {
        return Ok(None);
    }
    Ok(connection
        .prepare_cached(
            "SELECT t.cursor, a.organization, a.id
               FROM job_target t JOIN application a ON a.key = ?2
              WHERE t.job = ?1 AND t.endpoint = 0",
        )?
        .query_row([key.0, job.application.0], |row| {
            Ok((
                InboundKey(row.get(0)?),
                OrganizationKey(row.get(1)?),
                codec::application_id(row, 2)?,
            ))
        })
        .optional()?
        .map(|(after, organization, application)| RequestJob {
            job,
            organization,
            application,
            after,
        }))
}

pub(crate) fn step(tx: &mut Tx<'_>, step: &RequestStep) -> Result<JobState, Fault> {
    let connection = tx.connection;
    let key = step.job.0;
    connection
        .prepare_cached(
            "UPDATE job SET examined = examined + ?2, done = done + ?3,
                    duplicates = duplicates + ?4, refused = refused + ?5, updated = ?6
              WHERE key = ?1",
        )?
        .execute(params![
            key,
            step.examined.cast_signed(),
            step.done.cast_signed(),
            step.tally.duplicates.cast_signed(),
            step.tally.refused.cast_signed(),
            step.now.as_micros(),
        ])?;
    let Some(job) = job::by_key(connection, step.job)? else {
        return Ok(JobState::Canceled); // Erased with its application.
    };
    if job.state.is_ended() {
        return Ok(job.state);
    }
    if let Some(after) = step.after {
        connection
            .prepare_cached("UPDATE job_target SET cursor = ?2 WHERE job = ?1 AND endpoint = 0")?
            .execute([key, after.0])?;
        return Ok(job.state);
    }
    connection
        .prepare_cached("DELETE FROM job_target WHERE job = ?1")?
        .execute([key])?;
    let state = JobState::Finished;
    connection
        .prepare_cached("UPDATE job SET state = ?2, targets_done = targets WHERE key = ?1")?
        .execute([key, state.code()])?;
    Ok(state)
}

pub(crate) fn note_replay(
    tx: &Tx<'_>,
    application: ApplicationKey,
    request: InboundId,
    replay: RequestReplay,
    now: Timestamp,
) -> Result<(), Fault> {
    let noted = Change::new(now, "request.replay", &request).to(&replay);
    Ok(audit::note_in(tx, application, noted)?)
}
