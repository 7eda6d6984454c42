//! Housekeeping in small batches, inside the writer like any other write.
//!
//! One call touches at most so many rows and remembers where it stopped, so what cannot be erased
//! yet (a payload with unfinished deliveries) is passed over once per round and not at every call.
//! A round walks all phases once; `more` is true until it is over.

use std::collections::BTreeSet;

use domain::{EndpointKey, JobKey, MessageKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use store::{IdempotencyKind, Prune, Pruned};

use crate::delivery;
use crate::fault::Fault;
use crate::scrub::{self, Cut, Walk};
use crate::writer::{Memory, Tx, Weight};
use crate::{audit, codec, endpoint, expand, fresh, job_step, line, request};

/// Where housekeeping goes on. Forgetting it costs a walk from the beginning, nothing else.
#[derive(Debug, Default)]
pub(crate) struct Pruner {
    phase: Phase,
    /// Endpoints that may have canceled deliveries whose rows still say pending; `None` is "any
    /// that ever canceled".
    unsettled: Option<BTreeSet<i64>>,
    expiry: ExpiryWalk,
    history_key: i64,
    minutes: MinutesWalk,
    walk: Walk,
    pub(crate) marks: MarkWalk,
}

/// Counters are looked through once per hour that passes: there is an index of endpoints to walk.
#[derive(Debug, Default)]
struct MinutesWalk {
    /// The hour of the cutoff that everything was looked through for.
    hour: Option<i64>,
    endpoint: i64,
}

/// Where the walk over what requests are deduplicated by stands.
#[derive(Debug, Default)]
pub(crate) struct MarkWalk {
    pub(crate) source: i64,
    pub(crate) id: Vec<u8>,
    /// When the next walk begins.
    pub(crate) next: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Settle,
    Payloads,
    History,
    Idempotency,
    Jobs,
    Minutes,
    Deleted,
    Scrub,
}

impl Phase {
    const fn next(self) -> Option<Self> {
        match self {
            Self::Settle => Some(Self::Payloads),
            Self::Payloads => Some(Self::History),
            Self::History => Some(Self::Idempotency),
            Self::Idempotency => Some(Self::Jobs),
            Self::Jobs => Some(Self::Minutes),
            Self::Minutes => Some(Self::Deleted),
            Self::Deleted => Some(Self::Scrub),
            Self::Scrub => None,
        }
    }
}

/// Where the walk over `expiry`, and over the messages of one of its ranges, stands.
#[derive(Clone, Copy, Debug)]
struct ExpiryWalk {
    hour: i64,
    published: i64,
    /// The next key to look at; `None` at the beginning of a range.
    key: Option<i64>,
    /// Something of this range must be looked at again.
    kept: bool,
}

impl Default for ExpiryWalk {
    fn default() -> Self {
        Self {
            hour: i64::MIN,
            published: i64::MIN,
            key: None,
            kept: false,
        }
    }
}

impl Pruner {
    /// Notes that an endpoint canceled what was pending.
    pub(crate) fn canceled(&mut self, endpoint: EndpointKey) {
        if let Some(unsettled) = &mut self.unsettled {
            unsettled.insert(endpoint.0);
        }
    }
}

/// Says how much of a merged transaction a call takes. It shares a commit if it can: one of its
/// own would delay what comes meanwhile.
pub(crate) fn weight(prune: &Prune) -> Weight {
    Weight {
        messages: prune.rows.into(),
        patient: true,
        ..Weight::default()
    }
}

/// Does one batch. It never refuses, so it needs no savepoint; and it knows of deliveries without
/// rows, so it leaves them so.
pub(crate) fn prune(tx: &mut Tx<'_>, prune: &Prune) -> Result<Pruned, Fault> {
    let mut work = Work {
        connection: tx.connection,
        memory: tx.memory,
        now: prune.now,
        left: u64::from(prune.rows.max(1)),
        pruned: Pruned::default(),
    };
    let pruner = &mut *tx.pruner;
    loop {
        let done = match pruner.phase {
            Phase::Settle => work.settle(&mut pruner.unsettled)?,
            Phase::Payloads => work.erase_payloads(&mut pruner.expiry)?,
            Phase::History => {
                let cutoff = MessageKey::first_at(prune.now.minus(prune.history));
                work.erase_history(&mut pruner.history_key, cutoff.0)?
            }
            Phase::Idempotency => work.drop_keys()?,
            Phase::Jobs => work.erase_jobs(prune.now.minus(prune.history))?,
            Phase::Minutes => {
                let cutoff = prune.now.minus(prune.statistics);
                work.erase_minutes(&mut pruner.minutes, cutoff)?
            }
            Phase::Deleted => work.erase_deleted()?,
            Phase::Scrub => work.scrub(&mut pruner.walk, tx.cut)?,
        };
        if !done {
            work.pruned.more = true;
            return Ok(work.pruned);
        }
        let Some(next) = pruner.phase.next() else {
            pruner.phase = Phase::default();
            return Ok(work.pruned);
        };
        pruner.phase = next;
    }
}

struct Work<'a> {
    connection: &'a Connection,
    memory: &'a mut Memory,
    now: Timestamp,
    /// How many rows may still be touched.
    left: u64,
    pruned: Pruned,
}

/// Whether a phase came to its end before the rows ran out.
type Done = bool;

impl Work<'_> {
    fn spend(&mut self, rows: usize) {
        self.left = self.left.saturating_sub(rows as u64);
    }

    fn keys(&self, sql: &str, parameters: &[i64]) -> rusqlite::Result<Vec<i64>> {
        // The last parameter of each of these queries is its LIMIT.
        let limit = i64::try_from(self.left).expect("a budget of rows fits");
        let parameters: Vec<i64> = parameters.iter().copied().chain([limit]).collect();
        self.connection
            .prepare_cached(sql)?
            .query_map(rusqlite::params_from_iter(parameters), |row| row.get(0))?
            .collect()
    }

    /// Gives deliveries without rows theirs, before a phase that goes by rows.
    fn make_rows(&self) -> rusqlite::Result<()> {
        let mut fresh = fresh::lock(&self.memory.fresh);
        fresh.settle(self.connection, self.memory.newest)
    }

    // ---- Canceled deliveries -----------------------------------------------------------------

    fn settle(&mut self, unsettled: &mut Option<BTreeSet<i64>>) -> Result<Done, Fault> {
        let unsettled =
            unsettled.get_or_insert_with(|| self.memory.generations.keys().copied().collect());
        if !unsettled.is_empty() {
            self.make_rows()?;
        }
        while let Some(endpoint) = unsettled.first().copied() {
            let generation = self.memory.generation(EndpointKey(endpoint));
            let messages = self.keys(UNSETTLED, &[endpoint, generation])?;
            if messages.is_empty() {
                if self.settle_lines(endpoint, generation)? {
                    unsettled.remove(&endpoint);
                }
                if self.left == 0 {
                    return Ok(false);
                }
                continue;
            }
            self.spend(messages.len());
            self.pruned.deliveries += messages.len() as u64;
            for message in messages {
                delivery::settle(self.connection, message, endpoint)?;
            }
            if self.left == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Settles what waited in lines that were canceled as a whole.
    fn settle_lines(&mut self, endpoint: i64, generation: i64) -> Result<Done, Fault> {
        let messages = self.keys(UNSETTLED_LINES, &[endpoint, generation])?;
        let done = messages.is_empty();
        self.spend(messages.len());
        for message in messages {
            delivery::settle(self.connection, message, endpoint)?;
            line::forget(self.connection, message, endpoint)?;
        }
        Ok(done)
    }

    // ---- Payloads ----------------------------------------------------------------------------

    fn erase_payloads(&mut self, walk: &mut ExpiryWalk) -> Result<Done, Fault> {
        let hour = codec::hour_of(self.now);
        loop {
            let range: Option<(i64, i64, i64, i64)> = self
                .connection
                .prepare_cached(NEXT_EXPIRY)?
                .query_row([walk.hour, walk.published, hour], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()?;
            let Some((hour, published, first, last)) = range else {
                *walk = ExpiryWalk::default();
                return Ok(true);
            };
            walk.hour = hour;
            walk.published = published;
            if !self.erase_payloads_between(walk, walk.key.unwrap_or(first), last)? {
                return Ok(false);
            }
            if !walk.kept {
                self.connection
                    .prepare_cached("DELETE FROM expiry WHERE hour = ?1 AND published = ?2")?
                    .execute([hour, published])?;
            }
            *walk = ExpiryWalk {
                hour,
                published: published + 1,
                ..ExpiryWalk::default()
            };
        }
    }

    fn erase_payloads_between(
        &mut self,
        walk: &mut ExpiryWalk,
        first: i64,
        last: i64,
    ) -> Result<Done, Fault> {
        let limit = i64::try_from(self.left).expect("a budget of rows fits");
        let rows: Vec<(i64, i64, bool)> = self
            .connection
            .prepare_cached(
                "SELECT key, expires, typeof(payload) = 'null' FROM message
                  WHERE key >= ?1 AND key <= ?2 ORDER BY key LIMIT ?3",
            )?
            .query_map([first, last, limit], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        self.spend(rows.len());
        for (key, expires, erased) in &rows {
            let expires = Timestamp::from_micros(*expires);
            if *erased {
                continue;
            }
            if expires <= self.now && self.is_finished(*key)? {
                self.connection
                    .prepare_cached("UPDATE message SET payload = NULL WHERE key = ?1")?
                    .execute([key])?;
                self.pruned.payloads += 1;
            } else if codec::hour_of(expires) == walk.hour {
                walk.kept = true;
            }
        }
        if self.left == 0 {
            walk.key = Some(rows.last().map_or(first, |(key, _, _)| key + 1));
        }
        Ok(self.left > 0)
    }

    fn is_finished(&self, message: i64) -> rusqlite::Result<bool> {
        if fresh::lock(&self.memory.fresh).has(message) {
            return Ok(false);
        }
        let unfinished = self
            .connection
            .prepare_cached(UNFINISHED)?
            .exists([message])?;
        Ok(!unfinished)
    }

    // ---- History -----------------------------------------------------------------------------

    fn erase_history(&mut self, from: &mut i64, cutoff: i64) -> Result<Done, Fault> {
        loop {
            let messages = self.keys(
                "SELECT key FROM message WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
                &[*from, cutoff],
            )?;
            if messages.is_empty() {
                break;
            }
            for message in messages {
                if self.left == 0 {
                    return Ok(false);
                }
                *from = message + 1;
                self.spend(1);
                if self.is_finished(message)? {
                    self.erase_message(message)?;
                }
            }
            if self.left == 0 {
                return Ok(false);
            }
        }
        *from = 0;
        self.erase_orphans(cutoff)
    }

    fn erase_message(&mut self, message: i64) -> rusqlite::Result<()> {
        let delete = |sql: &str| self.connection.prepare_cached(sql)?.execute([message]);
        let deliveries = delete("DELETE FROM delivery WHERE message = ?1")?;
        delete("DELETE FROM line WHERE message = ?1")?;
        let attempts = delete("DELETE FROM attempt WHERE message = ?1")?;
        let messages = delete("DELETE FROM message WHERE key = ?1")?;
        expand::forget(self.connection, message)?;
        self.spend(deliveries + attempts);
        self.pruned.deliveries += deliveries as u64;
        self.pruned.history += (attempts + messages) as u64;
        Ok(())
    }

    /// Erases attempts that were recorded after their message was erased: they lie before the
    /// oldest message that is left.
    fn erase_orphans(&mut self, cutoff: i64) -> Result<Done, Fault> {
        let oldest: i64 = self
            .connection
            .prepare_cached("SELECT coalesce(min(key), ?1) FROM message")?
            .query_row([cutoff], |row| row.get(0))?;
        while self.left > 0 {
            let messages = self.keys(
                "SELECT message FROM attempt WHERE message < ?1 ORDER BY message LIMIT ?2",
                &[oldest.min(cutoff)],
            )?;
            let distinct: BTreeSet<i64> = messages.into_iter().collect();
            if distinct.is_empty() {
                return Ok(true);
            }
            for message in distinct {
                self.erase_message(message)?;
            }
        }
        Ok(false)
    }

    // ---- Idempotency keys --------------------------------------------------------------------

    fn drop_keys(&mut self) -> Result<Done, Fault> {
        for kind in [IdempotencyKind::Automatic, IdempotencyKind::Chosen] {
            let oldest_kept = kind.bucket(self.now) - 1;
            while let Some(bucket) = self
                .connection
                .prepare_cached(
                    "SELECT bucket FROM idempotency WHERE kind = ?1 AND bucket < ?2
                      ORDER BY bucket LIMIT 1",
                )?
                .query_row([kind.code(), oldest_kept], |row| row.get::<_, i64>(0))
                .optional()?
            {
                let dropped = self
                    .connection
                    .prepare_cached(
                        "DELETE FROM idempotency WHERE kind = ?1 AND bucket = ?2 AND key IN
                            (SELECT key FROM idempotency WHERE kind = ?1 AND bucket = ?2
                              LIMIT ?3)",
                    )?
                    .execute(params![kind.code(), bucket, self.left.cast_signed()])?;
                self.spend(dropped);
                self.pruned.idempotency += dropped as u64;
                if self.left == 0 {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    // ---- Jobs --------------------------------------------------------------------------------

    fn erase_jobs(&mut self, before: Timestamp) -> Result<Done, Fault> {
        let erased = job_step::erase_ended(self.connection, before, self.left)?;
        self.spend(erased);
        Ok(self.left > 0)
    }

    // ---- Statistics --------------------------------------------------------------------------

    fn erase_minutes(&mut self, walk: &mut MinutesWalk, cutoff: Timestamp) -> Result<Done, Fault> {
        let hour = codec::hour_of(cutoff);
        if walk.hour == Some(hour) {
            return Ok(true);
        }
        while self.left > 0 {
            let next: Option<i64> = self
                .connection
                .prepare_cached(
                    "SELECT endpoint FROM endpoint_minute WHERE endpoint >= ?1
                      ORDER BY endpoint LIMIT 1",
                )?
                .query_row([walk.endpoint], |row| row.get(0))
                .optional()?;
            let Some(endpoint) = next else {
                *walk = MinutesWalk {
                    hour: Some(hour),
                    endpoint: 0,
                };
                return Ok(true);
            };
            let erased = self
                .connection
                .prepare_cached(
                    "DELETE FROM endpoint_minute WHERE endpoint = ?1 AND minute IN
                        (SELECT minute FROM endpoint_minute
                          WHERE endpoint = ?1 AND minute < ?2 LIMIT ?3)",
                )?
                .execute([endpoint, hour * 60, self.left.cast_signed()])?;
            if (erased as u64) < self.left {
                walk.endpoint = endpoint + 1;
            }
            self.spend(erased + 1);
        }
        Ok(false)
    }

    // ---- Deleted endpoints and applications ----------------------------------------------------

    fn erase_deleted(&mut self) -> Result<Done, Fault> {
        if self.first(DELETED)?.is_some() {
            self.make_rows()?;
        }
        while let Some(endpoint) =
            self.first("SELECT key FROM endpoint WHERE deleted IS NOT NULL")?
        {
            if !self.erase_endpoint(endpoint)? {
                return Ok(false);
            }
        }
        while let Some(application) =
            self.first("SELECT key FROM application WHERE deleted IS NOT NULL")?
        {
            if !self.erase_application(application)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn first(&self, sql: &str) -> rusqlite::Result<Option<i64>> {
        self.connection
            .prepare_cached(sql)?
            .query_row([], |row| row.get(0))
            .optional()
    }

    fn erase_endpoint(&mut self, endpoint: i64) -> Result<Done, Fault> {
        for sql in [
            "SELECT message FROM delivery WHERE endpoint = ?1 AND state = 1 LIMIT ?2",
            "SELECT message FROM delivery WHERE endpoint = ?1 AND state <> 1 LIMIT ?2",
        ] {
            let messages = self.keys(sql, &[endpoint])?;
            self.spend(messages.len());
            self.pruned.deliveries += messages.len() as u64;
            for message in messages {
                delivery::erase(self.connection, message, endpoint)?;
                line::forget(self.connection, message, endpoint)?;
            }
            if self.left == 0 {
                return Ok(false);
            }
        }
        let attempts = self.keys(
            "SELECT message FROM attempt WHERE endpoint = ?1 LIMIT ?2",
            &[endpoint],
        )?;
        self.spend(attempts.len());
        for message in attempts {
            let erased = self
                .connection
                .prepare_cached("DELETE FROM attempt WHERE message = ?1 AND endpoint = ?2")?
                .execute([message, endpoint])?;
            self.pruned.history += erased as u64;
        }
        if self.left == 0 {
            return Ok(false);
        }
        endpoint::erase(self.connection, endpoint)?;
        scrub::want(self.connection)?;
        self.memory.generations.remove(&endpoint);
        self.memory.failing.remove(&endpoint);
        Ok(true)
    }

    fn erase_application(&mut self, application: i64) -> Result<Done, Fault> {
        loop {
            let endpoints = self.keys(
                "SELECT key FROM endpoint WHERE application = ?1 AND deleted IS NULL LIMIT ?2",
                &[application],
            )?;
            if endpoints.is_empty() {
                break;
            }
            for endpoint in endpoints {
                self.spend(1);
                if !self.erase_endpoint(endpoint)? {
                    return Ok(false);
                }
            }
        }
        let messages = self.keys(
            "SELECT key FROM message WHERE application = ?1 LIMIT ?2",
            &[application],
        )?;
        self.spend(messages.len());
        for message in messages {
            self.erase_message(message)?;
        }
        if self.left == 0 {
            return Ok(false);
        }
        if !self.erase_jobs_of(application)? {
            return Ok(false);
        }
        let values = audit::erase_values(self.connection, application, self.left)?;
        self.spend(values);
        if self.left == 0 {
            return Ok(false);
        }
        scrub::want(self.connection)?;
        let erased = request::erase_of(self.connection, application, self.left)?;
        self.spend(usize::try_from(erased).unwrap_or(usize::MAX));
        if self.left == 0 {
            return Ok(false);
        }
        self.connection
            .prepare_cached("DELETE FROM application WHERE key = ?1")?
            .execute([application])?;
        Ok(true)
    }

    // ---- What erased rows leave behind ---------------------------------------------------------

    fn scrub(&mut self, walk: &mut Walk, cut: Option<&Cut>) -> Result<Done, Fault> {
        loop {
            let (pages, is_done) = scrub::step(self.connection, walk, cut, self.left)?;
            if is_done {
                return Ok(true);
            }
            self.left = self.left.saturating_sub(pages);
            if self.left == 0 {
                return Ok(false);
            }
        }
    }

    fn erase_jobs_of(&mut self, application: i64) -> Result<Done, Fault> {
        let jobs = self.keys(
            "SELECT key FROM job WHERE application = ?1 LIMIT ?2",
            &[application],
        )?;
        for job in jobs {
            let targets = self
                .connection
                .prepare_cached(
                    "DELETE FROM job_target WHERE job = ?1 AND endpoint IN
                        (SELECT endpoint FROM job_target WHERE job = ?1 LIMIT ?2)",
                )?
                .execute([job, self.left.cast_signed()])?;
            self.spend(targets);
            if self.left == 0 {
                return Ok(false);
            }
            job_step::erase(self.connection, JobKey(job))?;
            self.spend(1);
        }
        Ok(self.left > 0)
    }
}

pub(crate) const DELETED: &str = "
    SELECT key FROM endpoint WHERE deleted IS NOT NULL
     UNION ALL
    SELECT key FROM application WHERE deleted IS NOT NULL LIMIT 1";

pub(crate) const UNSETTLED: &str = "
    SELECT message FROM delivery
     WHERE endpoint = ?1 AND generation < ?2 AND state = 1 LIMIT ?3";

pub(crate) const UNSETTLED_LINES: &str = "
    SELECT message FROM line WHERE endpoint = ?1 AND generation < ?2 LIMIT ?3";

pub(crate) const NEXT_EXPIRY: &str = "
    SELECT hour, published, first, last FROM expiry
     WHERE (hour, published) >= (?1, ?2) AND hour <= ?3
     ORDER BY hour, published LIMIT 1";

/// A message is unfinished while a delivery of it is pending or still to be made.
pub(crate) const UNFINISHED: &str = "
    SELECT 1 FROM fan_out WHERE message = ?1
     UNION ALL
    SELECT 1 FROM delivery d CROSS JOIN endpoint e ON e.key = d.endpoint
      CROSS JOIN application a ON a.key = e.application
     WHERE d.message = ?1 AND d.state IN (1, 5) AND d.generation >= e.generation
       AND e.deleted IS NULL AND a.deleted IS NULL";
