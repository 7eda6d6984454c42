//! Keeps the write-ahead log small.
//!
//! A passive checkpoint by a connection of its own copies pages while commits go on, so it hardly
//! ever reaches the end of a log that is being written. Hence two steps: this thread copies nearly
//! everything; then the writer copies the few pages that were added since, between two
//! transactions, and its next commit starts the log from the beginning.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::OnFatal;
use crate::fault::Verdict;
use crate::open::LOCK_WAIT;
use crate::scrub::Cut;

/// Pages of the log after which copying begins: 8 MiB.
const PAGES_BEGIN: u32 = 8 * 256;
/// Further pages of the log after which copying begins again, when the log could not start anew.
const PAGES_STEP: u32 = 4 * 256;
/// Pages of the log at which the writer copies whatever is left, however much it is: 36 MiB, so
/// that the largest merged transaction still fits into 64.
const PAGES_BOUND: u32 = 36 * 256;

#[derive(Default)]
struct Shared {
    /// Pages in the log after the last commit.
    pages: AtomicU32,
    /// How many there were when copying last began.
    copied: AtomicU32,
    /// The thread has copied nearly everything: the writer may finish.
    finish: AtomicBool,
    /// Held while the thread copies; SQLite turns a second checkpoint away instead of waiting.
    copying: Mutex<()>,
    wanted: Mutex<Wanted>,
    wake: Condvar,
}

#[derive(Default)]
struct Wanted {
    copy: bool,
    stop: bool,
}

/// The thread that copies, and what it shares with the writer.
pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The writer's half.
pub(crate) struct LogWatch {
    shared: Arc<Shared>,
    cut: Arc<Cut>,
    on_fatal: OnFatal,
}

impl Checkpointer {
    /// Starts the thread on `connection`, for the log that `writer` writes.
    pub(crate) fn start(
        connection: Connection,
        writer: &mut Connection,
        on_fatal: OnFatal,
    ) -> Result<(Self, LogWatch), crate::OpenError> {
        let shared = Arc::new(Shared::default());
        let hook = Arc::clone(&shared);
        writer.wal_hook(Some(move |_: &mut _, pages| {
            hook.committed(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }))?;
        let watch = LogWatch {
            shared: Arc::clone(&shared),
            cut: Arc::default(),
            on_fatal: Arc::clone(&on_fatal),
        };
        let run = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || run.copy_when_wanted(&connection, &on_fatal))?;
        Ok((
            Self {
                shared,
                thread: Some(thread),
            },
            watch,
        ))
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        lock(&self.shared.wanted).stop = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // It logs what goes wrong; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl LogWatch {
    /// Returns where it is said that the log is to be cut.
    pub(crate) fn share_cut(&self) -> Arc<Cut> {
        Arc::clone(&self.cut)
    }

    /// Copies all of the log and cuts it to nothing; if somebody reads in it, the next time.
    fn cut(&self, writer: &Connection) {
        let _alone = lock(&self.shared.copying);
        match cut(writer) {
            Ok(true) => self.cut.done(),
            Ok(false) => {}
            Err(error) => report(&error, writer, &self.on_fatal),
        }
    }

    /// Copies the end of the log when the thread is done, or all of it when it is at its bound.
    pub(crate) fn between_batches(&self, writer: &Connection) {
        if self.cut.is_wanted() {
            self.cut(writer);
        }
        let at_bound = self.shared.pages.load(Ordering::Relaxed) >= PAGES_BOUND;
        let finish = self.shared.finish.swap(false, Ordering::Acquire);
        let _alone = at_bound.then(|| lock(&self.shared.copying));
        if (finish || at_bound)
            && let Err(error) = checkpoint(writer)
        {
            report(&error, writer, &self.on_fatal);
        }
    }
}

fn cut(writer: &Connection) -> rusqlite::Result<bool> {
    // Not for a moment: a reader that is at work now is not in a while.
    writer.busy_timeout(Duration::ZERO)?;
    let busy = writer
        .prepare_cached("PRAGMA wal_checkpoint(TRUNCATE)")?
        .query_row([], |row| row.get::<_, i64>(0));
    writer.busy_timeout(LOCK_WAIT)?;
    Ok(busy? == 0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn committed(&self, pages: u32) {
        self.pages.store(pages, Ordering::Relaxed);
        let copied = self.copied.load(Ordering::Relaxed);
        let grown = pages < copied || pages - copied >= PAGES_STEP;
        if pages >= PAGES_BEGIN && grown {
            self.copied.store(pages, Ordering::Relaxed);
            let mut wanted = lock(&self.wanted);
            if !wanted.copy {
                wanted.copy = true;
                self.wake.notify_one();
            }
        }
    }

    fn copy_when_wanted(&self, connection: &Connection, on_fatal: &OnFatal) {
        loop {
            let mut wanted = lock(&self.wanted);
            while !wanted.copy && !wanted.stop {
                wanted = self
                    .wake
                    .wait(wanted)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if wanted.stop {
                return;
            }
            drop(wanted);
            let copied = {
                let _alone = lock(&self.copying);
                checkpoint(connection)
            };
            match copied {
                Ok(()) => self.finish.store(true, Ordering::Release),
                Err(error) => report(&error, connection, on_fatal),
            }
            lock(&self.wanted).copy = false;
        }
    }
}

fn report(error: &rusqlite::Error, connection: &Connection, on_fatal: &OnFatal) {
    match Verdict::of(error, connection) {
        Verdict::Fatal(cause) => {
            tracing::error!(%cause, "A checkpoint failed");
            on_fatal(&cause);
        }
        // The log keeps what could not be copied; the next commit asks again.
        Verdict::Full => tracing::warn!("A checkpoint found the disk full"),
        Verdict::Busy => {}
        Verdict::Statement(cause) => tracing::warn!(%cause, "A checkpoint failed"),
    }
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?
        .query_row([], |_| Ok(()))
}
