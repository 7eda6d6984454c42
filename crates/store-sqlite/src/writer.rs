//! The one writer: merges whatever waits into one transaction.
//!
//! While one commit runs, the next batch collects by itself. Only outcomes that come alone wait:
//! nobody waits for their answer, so a few of them take up to [`COMPANY`] to find a commit that
//! they can share. Under load there always is one, which halves the commits. Units of work run one
//! after the other inside `BEGIN IMMEDIATE .. COMMIT` and are answered after the commit, so an
//! answer means that the work is durable.
//!
//! What keeps a bad unit from its neighbours:
//! - Appends and records check before they write, so a refusal leaves nothing behind.
//! - Everything else runs inside a savepoint of its own.
//! - A statement that fails all the same rolls the batch back, and each unit runs again alone.
//!
//! What is derived from the tables and kept in memory ([`Memory`]) is read again after every
//! rollback, so it never knows more than the file.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::OnFatal;
use crate::failing::{self, Failing};
use crate::fault::{Fault, Verdict};
use crate::fresh::{self, Fresh, SharedFresh};
use crate::prune::Pruner;
use crate::scrub::Cut;

/// A merged transaction takes no further unit once it has so many messages and records.
const MESSAGES_PER_COMMIT: usize = 4_096;
/// A merged transaction takes no further unit once it has so many payload bytes.
const BYTES_PER_COMMIT: usize = 16 * 1024 * 1024;
/// How long patient units of work wait for another one to share a commit with.
const COMPANY: Duration = Duration::from_millis(20);
/// So many messages and records are a commit of their own, however patient.
const COMPANY_ENOUGH: usize = 128;

/// What the writer remembers of the tables.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The current epoch of each shard.
    pub(crate) epochs: Vec<i64>,
    /// The generation of every endpoint that ever canceled deliveries.
    pub(crate) generations: HashMap<i64, i64>,
    /// The largest message key stored.
    pub(crate) newest: i64,
    /// Endpoints that have failed since their last success.
    pub(crate) failing: HashMap<i64, Failing>,
    /// Deliveries without rows; those who read rows look at it first.
    pub(crate) fresh: SharedFresh,
}

impl Memory {
    fn load(connection: &Connection, fresh: &SharedFresh) -> rusqlite::Result<Self> {
        *fresh::lock(fresh) = Fresh::load(connection)?;
        let epochs = connection
            .prepare_cached("SELECT epoch FROM shard ORDER BY id")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let generations = connection
            .prepare_cached("SELECT key, generation FROM endpoint WHERE generation > 0")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let newest = connection
            .prepare_cached("SELECT coalesce(max(key), 0) FROM message")?
            .query_row([], |row| row.get(0))?;
        Ok(Self {
            epochs,
            generations,
            newest,
            failing: failing::load(connection)?,
            fresh: Arc::clone(fresh),
        })
    }
}

/// What a unit of work may use.
pub(crate) struct Tx<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) memory: &'a mut Memory,
    /// Where housekeeping goes on.
    pub(crate) pruner: &'a mut Pruner,
    /// The number that this commit will have.
    pub(crate) commit: u64,
    /// Who makes the changes.
    pub(crate) author: Option<Arc<store::Author>>,
    /// An operator wants to be told of changes and failures.
    pub(crate) announces: bool,
    /// Salts of the audit trail are drawn from it.
    pub(crate) seed: &'a [u8; 32],
    /// Whether the log is to be cut; `None` without one.
    pub(crate) cut: Option<&'a Cut>,
}

/// How much of a merged transaction a unit of work takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// It may wait a little for others to share a commit with.
    pub(crate) patient: bool,
    /// It changes how things are stored and nothing that callers see.
    pub(crate) unseen: bool,
}

/// A unit of work that waits for the writer.
pub(crate) trait Job: Send {
    fn weight(&self) -> Weight;
    /// Whether it may write before it refuses, and so must be undone alone.
    fn wants_savepoint(&self) -> bool;
    /// Does the work; may be called again after a rollback.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault>;
    /// Forgets what it did and will answer this error.
    fn refuse(&mut self, error: store::Error);
    fn answer(self: Box<Self>);
}

/// The job made of a closure and the place where its answer is waited for.
pub(crate) struct Task<T, F> {
    pub(crate) work: F,
    pub(crate) weight: Weight,
    pub(crate) savepoint: bool,
    pub(crate) result: Result<T, store::Error>,
    pub(crate) reply: oneshot::Sender<Result<T, store::Error>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, Fault> + Send,
{
    fn weight(&self) -> Weight {
        self.weight
    }

    fn wants_savepoint(&self) -> bool {
        self.savepoint
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        self.result = Ok((self.work)(tx)?);
        Ok(())
    }

    fn refuse(&mut self, error: store::Error) {
        self.result = Err(error);
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone; the work is done all the same.
        let _ = self.reply.send(self.result);
    }
}

/// Executes batches; used by the writer thread, and directly when the store is inline.
pub(crate) struct Writer {
    connection: Connection,
    memory: Memory,
    pruner: Pruner,
    commits: Arc<AtomicU64>,
    announces: Arc<AtomicBool>,
    seed: [u8; 32],
    cut: Option<Arc<Cut>>,
    on_fatal: OnFatal,
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        commits: Arc<AtomicU64>,
        seed: [u8; 32],
        on_fatal: OnFatal,
    ) -> rusqlite::Result<Self> {
        let memory = Memory::load(&connection, &Arc::default())?;
        Ok(Self {
            connection,
            memory,
            pruner: Pruner::default(),
            commits,
            announces: Arc::default(),
            seed,
            cut: None,
            on_fatal,
        })
    }

    /// Shares whether the log is to be cut.
    pub(crate) fn watch_cut(&mut self, cut: Arc<Cut>) {
        self.cut = Some(cut);
    }

    /// Returns the switch of announcements.
    pub(crate) fn announces(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.announces)
    }

    /// Returns what is known of deliveries without rows.
    pub(crate) fn fresh(&self) -> SharedFresh {
        Arc::clone(&self.memory.fresh)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs until every sender is gone. `between` runs before each batch.
    pub(crate) fn run(&mut self, jobs: &Receiver<Box<dyn Job>>, between: impl Fn(&Connection)) {
        while let Some(batch) = gather(jobs) {
            between(&self.connection);
            self.execute(batch);
        }
    }

    /// Executes a batch in one transaction and answers every job of it.
    pub(crate) fn execute(&mut self, mut batch: Vec<Box<dyn Job>>) {
        match self.transact(&mut batch) {
            Ok(()) => {}
            Err(Verdict::Statement(cause)) if batch.len() > 1 => {
                tracing::warn!(%cause, "A batch was rolled back; its parts run again one by one");
                for job in batch {
                    self.execute(vec![job]);
                }
                return;
            }
            Err(verdict) => self.fail(&mut batch, verdict),
        }
        for job in batch {
            job.answer();
        }
    }

    fn fail(&self, batch: &mut [Box<dyn Job>], verdict: Verdict) {
        match &verdict {
            Verdict::Full => tracing::warn!("The disk is full; nothing can be stored"),
            Verdict::Fatal(cause) => {
                tracing::error!(%cause, "The store cannot be trusted any more");
                (self.on_fatal)(cause);
            }
            Verdict::Busy => tracing::warn!("Another process holds the store's write lock"),
            Verdict::Statement(cause) => tracing::error!(%cause, "A write failed"),
        }
        let error = verdict.into_error();
        for job in batch {
            job.refuse(error.clone());
        }
    }

    fn transact(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Verdict> {
        let outcome = self.attempt(batch);
        if outcome.is_err() {
            self.roll_back();
        }
        outcome
    }

    fn attempt(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Verdict> {
        self.statement("BEGIN IMMEDIATE")?;
        let commit = self.commits.load(Ordering::Relaxed) + 1;
        for job in batch.iter_mut() {
            self.run_one(job.as_mut(), commit)?;
        }
        self.of_fresh(Fresh::follow)?;
        self.statement("COMMIT")?;
        fresh::lock(&self.memory.fresh).committed();
        // Raised only now: whoever reads the number sees the rows.
        if !batch.iter().all(|job| job.weight().unseen) {
            self.commits.store(commit, Ordering::Release);
        }
        Ok(())
    }

    fn run_one(&mut self, job: &mut dyn Job, commit: u64) -> Result<(), Verdict> {
        let savepoint = job.wants_savepoint();
        if savepoint {
            self.of_fresh(Fresh::settle)?;
            self.statement("SAVEPOINT job")?;
        }
        let result = job.run(&mut Tx {
            connection: &self.connection,
            memory: &mut self.memory,
            pruner: &mut self.pruner,
            commit,
            author: None,
            announces: self.announces.load(Ordering::Relaxed),
            seed: &self.seed,
            cut: self.cut.as_deref(),
        });
        match result {
            Ok(()) => {}
            Err(Fault::Refused(error)) => {
                job.refuse(error);
                if savepoint {
                    self.undo()?;
                }
            }
            Err(Fault::Sqlite(error)) => match Verdict::of(&error, &self.connection) {
                Verdict::Statement(cause) if savepoint && !self.connection.is_autocommit() => {
                    tracing::error!(%cause, "A write failed");
                    job.refuse(store::Error::Failed(cause));
                    self.undo()?;
                }
                verdict => return Err(verdict),
            },
        }
        if savepoint {
            self.statement("RELEASE job")?;
        }
        Ok(())
    }

    fn undo(&mut self) -> Result<(), Verdict> {
        self.statement("ROLLBACK TO job")?;
        self.remember()
    }

    /// Ends a transaction that did not commit, whatever state its failure left it in.
    fn roll_back(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            (self.on_fatal)(&format!("cannot roll back: {error}"));
        }
        if let Err(Verdict::Fatal(cause)) = self.remember() {
            (self.on_fatal)(&cause);
        }
    }

    fn remember(&mut self) -> Result<(), Verdict> {
        self.pruner = Pruner::default();
        self.memory = Memory::load(&self.connection, &self.memory.fresh)
            .map_err(|error| Verdict::of(&error, &self.connection))?;
        Ok(())
    }

    fn of_fresh(
        &self,
        work: fn(&mut Fresh, &Connection, i64) -> rusqlite::Result<()>,
    ) -> Result<(), Verdict> {
        let mut fresh = fresh::lock(&self.memory.fresh);
        work(&mut fresh, &self.connection, self.memory.newest)
            .map_err(|error| Verdict::of(&error, &self.connection))
    }

    fn statement(&self, sql: &str) -> Result<(), Verdict> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(|error| Verdict::of(&error, &self.connection))
    }
}

/// Takes everything that waits, within the bounds of one commit; `None` once all senders are gone.
fn gather(jobs: &Receiver<Box<dyn Job>>) -> Option<Vec<Box<dyn Job>>> {
    let first = jobs.recv().ok()?;
    let mut weight = first.weight();
    let mut batch = vec![first];
    let mut company = None;
    while weight.messages < MESSAGES_PER_COMMIT && weight.bytes < BYTES_PER_COMMIT {
        let next = match jobs.try_recv() {
            Ok(job) => Some(job),
            Err(_) if weight.patient && weight.messages < COMPANY_ENOUGH => {
                // Counted from the first one: patience does not begin anew with each that comes.
                let until = *company.get_or_insert_with(|| now() + COMPANY);
                let left = until.saturating_duration_since(now());
                jobs.recv_timeout(left).ok()
            }
            Err(_) => None,
        };
        let Some(job) = next else { break };
        let more = job.weight();
        weight.messages += more.messages;
        weight.bytes += more.bytes;
        weight.patient &= more.patient;
        batch.push(job);
    }
    Some(batch)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long this thread has waited; it is neither stored nor seen by anybody"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
