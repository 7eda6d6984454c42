//! The default backend: one SQLite file, nothing to install.
//!
//! One writer thread merges everything that waits into one transaction (`writer`), a few
//! readers answer queries one page at a time (`reader`), and a checkpointer keeps the
//! write-ahead log small (`checkpoint`). An answer to a write means that it is synced.
//!
//! Inline, everything runs on the calling thread through the same code that executes batches, for
//! tests with paused time: there, waiting for another thread would count as being idle.
//!
//! A full disk is answered as `Full` and heals by itself. Any other I/O error on the way to the
//! disk calls `on_fatal`, which is expected to end the process: what the file holds is unknown
//! from then on, and only a restart reads it again.
#![warn(missing_docs)]

mod announcement;
mod append;
mod application;
mod attempt;
mod audit;
mod backup;
mod checkpoint;
mod checksum;
mod claim;
mod codec;
mod delivery;
mod endpoint;
mod errno;
mod event_type;
mod expand;
mod expunge;
mod failing;
mod fault;
mod fresh;
mod give_up;
mod idempotency;
mod inbound_impl;
mod job;
mod job_step;
mod key;
mod key_impl;
mod line;
mod message;
mod migrate;
mod open;
mod page;
mod prune;
mod reader;
mod reception;
mod record;
mod request;
mod request_job;
mod resend;
mod scrub;
mod shard;
mod slack;
mod source;
mod statistics;
mod store_impl;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use store::{Author, Error};
use tokio::sync::oneshot;

use crate::checkpoint::Checkpointer;
use crate::fault::Fault;
use crate::fresh::{Scope, SharedFresh};
use crate::reader::Readers;
use crate::writer::{Job, Task, Tx, Weight, Writer};

pub use backup::backup;

/// Called with the cause when the store cannot be trusted any more; it should end the process.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Writes that may wait before further ones are answered `Busy`.
const QUEUE: usize = 4_096;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// The file; `None` is a store in memory, which is always inline.
    pub path: Option<PathBuf>,
    /// Everything runs on the calling thread.
    pub inline: bool,
    /// Reader threads, at least one; unused when inline.
    pub readers: usize,
    /// Sync every commit before it is answered; only tests may want to go without.
    pub durable: bool,
    /// Random and secret: salts of the audit trail are drawn from it. It is stored nowhere and may
    /// differ at each start; zeros, the default, are for tests.
    pub seed: [u8; 32],
    /// What to do when the store cannot be trusted any more.
    pub on_fatal: OnFatal,
}

impl Options {
    /// A file with threads of its own: what production uses.
    pub fn file(path: impl Into<PathBuf>, on_fatal: OnFatal) -> Self {
        Self {
            path: Some(path.into()),
            inline: false,
            readers: 2,
            durable: true,
            seed: [0; 32],
            on_fatal,
        }
    }

    /// A store in memory on the calling thread: for tests. A fatal error panics.
    pub fn memory() -> Self {
        Self {
            path: None,
            inline: true,
            readers: 0,
            durable: false,
            seed: [0; 32],
            on_fatal: Arc::new(|cause| panic!("the store failed: {cause}")),
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("another process has the store open")]
    InUse,
    /// A newer program has written it.
    #[error("the file has version {found} and this program knows version {known} and older")]
    Newer {
        /// The version of the file.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// A migration that ran is not the one that this program has.
    #[error("migration {version} is not the one that was applied to the file")]
    Changed {
        /// Its number.
        version: i64,
    },
    /// SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A store in one SQLite file.
pub struct SqliteStore {
    backend: Arc<Backend>,
    commits: Arc<AtomicU64>,
    path: Option<PathBuf>,
    /// Whose changes the audit trail notes; `None` is posthaste itself.
    author: Option<Arc<Author>>,
}

enum Backend {
    Threads(Threads),
    Inline(Box<Mutex<Writer>>),
}

/// Fields are dropped in order: the writer ends first, so that the log has seen its last commit.
struct Threads {
    announces: Arc<AtomicBool>,
    fresh: SharedFresh,
    writer: WriterThread,
    readers: Readers,
    _checkpointer: Checkpointer,
    /// Held for as long as the store is open.
    _lock: std::fs::File,
}

struct WriterThread {
    jobs: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl WriterThread {
    fn submit(&self, job: Box<dyn Job>) -> Result<(), Error> {
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::Busy,
            TrySendError::Disconnected(_) => Error::Failed("the writer is gone".into()),
        })
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It finishes what waits; a panic of its own was reported as fatal.
            let _ = thread.join();
        }
    }
}

impl SqliteStore {
    /// Opens or creates a store and brings its tables up to date.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        open::open(options)
    }

    /// Lets the file grow to so many pages of 4 KiB and no further; what does not fit is answered
    /// `Full`. `None` lifts the bound.
    pub async fn limit_pages(&self, pages: Option<u32>) -> Result<(), Error> {
        self.write(move |tx| {
            let pages = pages.unwrap_or(u32::MAX - 1);
            let sql = format!("PRAGMA max_page_count = {pages}");
            tx.connection.query_row(&sql, [], |_| Ok(()))?;
            Ok(())
        })
        .await
    }

    /// Returns the same store, with somebody else as the author of changes.
    fn with_author(&self, author: Author) -> Self {
        Self {
            backend: Arc::clone(&self.backend),
            commits: Arc::clone(&self.commits),
            path: self.path.clone(),
            author: Some(Arc::new(author)),
        }
    }

    fn set_announces(&self, on: bool) {
        let announces = match &*self.backend {
            Backend::Threads(threads) => Arc::clone(&threads.announces),
            Backend::Inline(writer) => {
                let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                writer.announces()
            }
        };
        announces.store(on, Ordering::Relaxed);
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Runs a unit of work in a savepoint of its own.
    async fn write<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let author = self.author.clone();
        let work = move |tx: &mut Tx<'_>| {
            tx.author.clone_from(&author);
            work(tx)
        };
        self.submit(work, Weight::default(), true).await
    }

    /// Runs a unit of work that refuses only before it writes.
    async fn write_checked<T: Send + 'static>(
        &self,
        weight: Weight,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        self.submit(work, weight, false).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
        weight: Weight,
        savepoint: bool,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job: Box<dyn Job> = Box::new(Task {
            work,
            weight,
            savepoint,
            result: Err(Error::Failed("the work did not run".into())),
            reply,
        });
        match &*self.backend {
            Backend::Threads(threads) => threads.writer.submit(job)?,
            Backend::Inline(writer) => writer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .execute(vec![job]),
        }
        answer
            .await
            .unwrap_or_else(|_| Err(Error::Failed("the writer is gone".into())))
    }

    /// Sees to it that deliveries which a query is about have rows.
    async fn settle(&self, scope: Scope) -> Result<(), Error> {
        let concerned = match &*self.backend {
            Backend::Threads(threads) => fresh::lock(&threads.fresh).concerns(scope),
            Backend::Inline(writer) => {
                let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                fresh::lock(&writer.fresh()).concerns(scope)
            }
        };
        if !concerned {
            return Ok(());
        }
        let work = move |tx: &mut Tx<'_>| {
            Ok(fresh::lock(&tx.memory.fresh).make_rows(tx.connection, scope)?)
        };
        let weight = Weight {
            unseen: true,
            ..Weight::default()
        };
        self.write_checked(weight, work).await
    }

    /// Runs a query in one read transaction; it is told a commit that it certainly sees.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection, u64) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        match &*self.backend {
            Backend::Threads(threads) => {
                let (reply, answer) = oneshot::channel();
                let commits = Arc::clone(&self.commits);
                threads.readers.submit(Box::new(move |connection| {
                    // Read before the transaction begins: it may see more, never less.
                    let as_of = commits.load(Ordering::Acquire);
                    let result = reader::read(connection, |c| query(c, as_of));
                    // Whoever asked may have gone.
                    let _ = reply.send(result);
                }))?;
                answer
                    .await
                    .unwrap_or_else(|_| Err(Error::Failed("the reader is gone".into())))
            }
            Backend::Inline(writer) => {
                let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                let as_of = self.commits();
                reader::read(writer.connection(), |c| query(c, as_of))
            }
        }
    }
}
