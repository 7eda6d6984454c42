//! Opens the file, its connections and the threads that use them.

use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;

use crate::checkpoint::{Checkpointer, LogWatch};
use crate::reader::Readers;
use crate::writer::{Job, Writer};
use crate::{
    Backend, OnFatal, OpenError, Options, QUEUE, SqliteStore, Threads, WriterThread, migrate,
};

/// Statements that a connection keeps prepared; more than there are texts.
const STATEMENTS: usize = 256;
/// How long a connection waits for a lock of another one, which none of ours holds for long.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Page cache of the writer and of each reader, in KiB.
const CACHE_WRITER: u32 = 16 * 1024;
const CACHE_READER: u32 = 4 * 1024;

pub(crate) fn open(options: Options) -> Result<SqliteStore, OpenError> {
    let commits = Arc::new(AtomicU64::new(0));
    let Some(path) = options.path.clone() else {
        let connection = Connection::open_in_memory()?;
        configure(&connection, CACHE_WRITER, options.durable)?;
        return inline(connection, commits, options);
    };
    let lock = lock(&path)?;
    let connection = Connection::open(&path)?;
    configure(&connection, CACHE_WRITER, options.durable)?;
    if options.inline {
        return inline(connection, commits, options);
    }
    migrate::migrate(&connection)?;
    let backend = threads(connection, &path, &options, Arc::clone(&commits), lock)?;
    Ok(SqliteStore {
        author: None,
        backend: Arc::new(Backend::Threads(backend)),
        commits,
        path: Some(path),
    })
}

fn inline(
    connection: Connection,
    commits: Arc<AtomicU64>,
    options: Options,
) -> Result<SqliteStore, OpenError> {
    migrate::migrate(&connection)?;
    let writer = Writer::new(
        connection,
        Arc::clone(&commits),
        options.seed,
        options.on_fatal,
    )?;
    Ok(SqliteStore {
        author: None,
        backend: Arc::new(Backend::Inline(Box::new(Mutex::new(writer)))),
        commits,
        path: options.path,
    })
}

/// Two writers would not know of each other's epochs and keys, so one process holds the file.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let file = File::create(PathBuf::from(name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn threads(
    mut connection: Connection,
    path: &Path,
    options: &Options,
    commits: Arc<AtomicU64>,
    lock: File,
) -> Result<Threads, OpenError> {
    let reader = || -> Result<Connection, OpenError> {
        let connection = Connection::open(path)?;
        configure(&connection, CACHE_READER, options.durable)?;
        connection.pragma_update(None, "query_only", 1)?;
        Ok(connection)
    };
    let readers = (0..options.readers.max(1))
        .map(|_| reader())
        .collect::<Result<Vec<_>, _>>()?;
    let copier = Connection::open(path)?;
    configure(&copier, CACHE_READER, options.durable)?;
    let (checkpointer, log) =
        Checkpointer::start(copier, &mut connection, Arc::clone(&options.on_fatal))?;
    let mut writer = Writer::new(
        connection,
        commits,
        options.seed,
        Arc::clone(&options.on_fatal),
    )?;
    writer.watch_cut(log.share_cut());
    Ok(Threads {
        announces: writer.announces(),
        fresh: writer.fresh(),
        writer: start_writer(writer, log, Arc::clone(&options.on_fatal))?,
        readers: Readers::start(readers)?,
        _checkpointer: checkpointer,
        _lock: lock,
    })
}

fn start_writer(
    mut writer: Writer,
    log: LogWatch,
    on_fatal: OnFatal,
) -> std::io::Result<WriterThread> {
    let (jobs, waiting) = sync_channel::<Box<dyn Job>>(QUEUE);
    let thread = std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || {
            let run = AssertUnwindSafe(|| {
                writer.run(&waiting, |connection| log.between_batches(connection));
            });
            // What it had in memory may be half done: there is no going on after a panic.
            if catch_unwind(run).is_err() {
                on_fatal("the store's writer panicked");
            }
        })?;
    Ok(WriterThread {
        jobs: Some(jobs),
        thread: Some(thread),
    })
}

fn configure(connection: &Connection, cache_kib: u32, durable: bool) -> Result<(), OpenError> {
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // The pragma answers the mode it chose: a store in memory has no log and says so.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "OFF" })?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    // What is deleted is overwritten where its page is written anyway: no write more.
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    // A log that had to grow further is cut to this once it starts anew.
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    Ok(())
}
