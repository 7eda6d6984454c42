//! Readers: a few connections of their own, whose transactions are one page long.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

/// Queries that may wait before further ones are answered `Busy`.
const QUEUE: usize = 4_096;

type Query = Box<dyn FnOnce(&Connection) + Send>;

/// Threads that take queries from one queue.
pub(crate) struct Readers {
    queue: Option<SyncSender<Query>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn start(connections: Vec<Connection>) -> std::io::Result<Self> {
        let (queue, queries) = sync_channel::<Query>(QUEUE);
        let queries = Arc::new(Mutex::new(queries));
        let mut threads = Vec::with_capacity(connections.len());
        for connection in connections {
            let queries = Arc::clone(&queries);
            threads.push(
                std::thread::Builder::new()
                    .name("store-reader".into())
                    .spawn(move || run(&connection, &queries))?,
            );
        }
        Ok(Self {
            queue: Some(queue),
            threads,
        })
    }

    pub(crate) fn submit(&self, query: Query) -> Result<(), store::Error> {
        let queue = self.queue.as_ref().expect("taken only when dropped");
        queue.try_send(query).map_err(|error| match error {
            TrySendError::Full(_) => store::Error::Busy,
            TrySendError::Disconnected(_) => store::Error::Failed("the readers are gone".into()),
        })
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A reader that panicked has been answered for already.
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, queries: &Mutex<Receiver<Query>>) {
    loop {
        // The lock is held while waiting: one reader waits for a query, the others for the lock.
        let next = queries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(query) = next else { return };
        query(connection);
    }
}

/// Runs `query` in one read transaction.
pub(crate) fn read<T>(
    connection: &Connection,
    query: impl FnOnce(&Connection) -> Result<T, crate::fault::Fault>,
) -> Result<T, store::Error> {
    use crate::fault::{Fault, Verdict};
    let judge = |error: rusqlite::Error| {
        let verdict = Verdict::of(&error, connection);
        tracing::error!(%error, "A read failed");
        verdict.into_error()
    };
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([]);
    run("BEGIN").map_err(judge)?;
    let result = query(connection);
    let ended = run("COMMIT").map_err(judge);
    match result {
        Ok(found) => ended.map(|_| found),
        Err(Fault::Refused(error)) => Err(error),
        Err(Fault::Sqlite(error)) => Err(judge(error)),
    }
}
