//! Deliveries that have no row of their own yet.
//!
//! Nearly every delivery is made, goes to its lane in memory and succeeds within milliseconds.
//! Such a one never gets a row: its message names it, in the same row and transaction, and the
//! attempt that succeeded ends it. That spares an insert and a delete in a table and an index.
//!
//! The writer knows in memory which deliveries are fresh. They get their rows
//! - before any unit of work but publishing, recording, and the part of pruning that goes by age,
//! - before a query that reads rows of deliveries, if it could meet them,
//! - when an attempt leads to anything but a success,
//! - when so many later messages were published that finding them again would take long.
//!
//! So whatever reads or writes rows never has to know of them.
//!
//! After a crash they are found again: up to the counter `settled` no message has any, and beyond
//! it a delivery that a message names is fresh if it has neither a row nor an attempt. For that to
//! hold, a row without an attempt may be erased only where the counter has passed its message,
//! which is what the first of those rules is for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{DeliveryState, EndpointKey, MessageKey};
use rusqlite::{CachedStatement, Connection, params};

use crate::codec;

/// Beyond so many, a delivery gets its row at once.
const FRESH_MAX: usize = 4_096;
/// The counter follows after so many messages or payload bytes, whichever comes first.
const MESSAGES_UNSETTLED: usize = 4_096;
const BYTES_UNSETTLED: usize = 16 * 1024 * 1024;

/// What the writer shares with those who ask before they read.
pub(crate) type SharedFresh = Arc<Mutex<Fresh>>;

/// Which deliveries are to get rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    Message(MessageKey),
    /// Those of one endpoint. Who asks holds on to what is being recorded, so it need not wait
    /// for that.
    Endpoint(EndpointKey),
}

/// A message's deliveries without rows.
#[derive(Debug)]
struct Named {
    due: i64,
    /// Endpoints and the generation of each.
    endpoints: Vec<(i64, i64)>,
}

/// Deliveries without rows, and how far the counter is.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    messages: BTreeMap<i64, Named>,
    per_endpoint: HashMap<i64, usize>,
    count: usize,
    /// Messages up to this key have rows or are done, in the file.
    settled: i64,
    /// The newest message when the counter was last moved.
    mark: i64,
    unsettled_messages: usize,
    unsettled_bytes: usize,
    /// What this transaction has done, which others do not see before it commits.
    made_rows: bool,
    ended_some: bool,
}

/// Locks it; a panic of the writer ends the process, so what it left is never relied on.
pub(crate) fn lock(fresh: &Mutex<Fresh>) -> MutexGuard<'_, Fresh> {
    fresh.lock().unwrap_or_else(PoisonError::into_inner)
}

const INSERT_DELIVERY: &str = "
    INSERT OR IGNORE INTO delivery (message, endpoint, state, generation, due, attempts, scheduled)
    VALUES (?1, ?2, ?5, ?3, ?4, 0, 0)";

/// Inserts rows of deliveries that were never tried.
pub(crate) struct Rows<'c>(CachedStatement<'c>);

impl<'c> Rows<'c> {
    pub(crate) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self(connection.prepare_cached(INSERT_DELIVERY)?))
    }

    /// Inserts one, unless it is there: a destination named twice is one delivery.
    pub(crate) fn insert(
        &mut self,
        (message, endpoint): (i64, i64),
        generation: i64,
        due: i64,
    ) -> rusqlite::Result<bool> {
        let pending = DeliveryState::Pending.code();
        let inserted = self
            .0
            .execute(params![message, endpoint, generation, due, pending])?;
        Ok(inserted > 0)
    }
}

impl Fresh {
    /// Finds what is fresh in a file.
    pub(crate) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let settled = connection
            .prepare_cached("SELECT value FROM counter WHERE name = 'settled'")?
            .query_row([], |row| row.get(0))?;
        let mut fresh = Self {
            settled,
            mark: settled,
            ..Self::default()
        };
        let mut named = connection.prepare_cached(
            "SELECT key, fresh FROM message WHERE key > ?1 AND fresh IS NOT NULL",
        )?;
        let mut is_known = connection.prepare_cached(
            "SELECT 1 FROM attempt WHERE message = ?1 AND endpoint = ?2
             UNION ALL SELECT 1 FROM delivery WHERE message = ?1 AND endpoint = ?2",
        )?;
        let mut rows = named.query([settled])?;
        while let Some(row) = rows.next()? {
            let message: i64 = row.get(0)?;
            let (due, endpoints) = codec::fresh(codec::blob(row, 1)?.unwrap_or_default())?;
            let mut left = Vec::with_capacity(endpoints.len());
            for (endpoint, generation) in endpoints {
                if !is_known.exists([message, endpoint])? {
                    left.push((endpoint, generation));
                }
            }
            fresh.insert(message, due, left);
        }
        Ok(fresh)
    }

    /// Says whether a message has deliveries without rows.
    pub(crate) fn has(&self, message: i64) -> bool {
        self.messages.contains_key(&message)
    }

    /// Says whether a message's deliveries may go without rows.
    pub(crate) fn has_room(&self, deliveries: usize) -> bool {
        self.count + deliveries <= FRESH_MAX
    }

    /// Notes a message of this transaction.
    pub(crate) const fn published(&mut self, bytes: usize) {
        self.unsettled_messages += 1;
        self.unsettled_bytes += bytes;
    }

    /// Adds the deliveries of a message, whose key is greater than all that were stored.
    pub(crate) fn insert(&mut self, message: i64, due: i64, mut endpoints: Vec<(i64, i64)>) {
        endpoints.sort_unstable();
        endpoints.dedup_by_key(|(endpoint, _)| *endpoint);
        if endpoints.is_empty() {
            return;
        }
        self.count += endpoints.len();
        for (endpoint, _) in &endpoints {
            *self.per_endpoint.entry(*endpoint).or_default() += 1;
        }
        self.messages.insert(message, Named { due, endpoints });
    }

    fn forget(&mut self, endpoint: i64) {
        self.count -= 1;
        if let Some(count) = self.per_endpoint.get_mut(&endpoint) {
            *count -= 1;
            if *count == 0 {
                self.per_endpoint.remove(&endpoint);
            }
        }
    }

    /// Takes one delivery out; returns its generation and due time.
    fn take(&mut self, message: i64, endpoint: i64) -> Option<(i64, i64)> {
        let named = self.messages.get_mut(&message)?;
        let at = named
            .endpoints
            .iter()
            .position(|(one, _)| *one == endpoint)?;
        let (_, generation) = named.endpoints.swap_remove(at);
        let due = named.due;
        if named.endpoints.is_empty() {
            self.messages.remove(&message);
        }
        self.forget(endpoint);
        Some((generation, due))
    }

    /// Ends a delivery that succeeded; `false` when it has a row to erase, or is done already.
    pub(crate) fn succeed(&mut self, message: i64, endpoint: i64) -> bool {
        let ended = self.take(message, endpoint).is_some();
        self.ended_some |= ended;
        ended
    }

    /// Gives one delivery its row, if it is fresh.
    pub(crate) fn make_row(
        &mut self,
        connection: &Connection,
        message: i64,
        endpoint: i64,
    ) -> rusqlite::Result<()> {
        let Some((generation, due)) = self.take(message, endpoint) else {
            return Ok(());
        };
        self.made_rows = true;
        Rows::prepare(connection)?
            .insert((message, endpoint), generation, due)
            .map(drop)
    }

    /// Says whether a query could miss something: fresh deliveries, or what was fresh before
    /// changes that are not committed yet.
    pub(crate) fn concerns(&self, scope: Scope) -> bool {
        match scope {
            Scope::All => self.count > 0 || self.made_rows || self.ended_some,
            Scope::Message(key) => {
                self.made_rows || self.ended_some || self.messages.contains_key(&key.0)
            }
            Scope::Endpoint(key) => self.made_rows || self.per_endpoint.contains_key(&key.0),
        }
    }

    /// Gives deliveries their rows.
    pub(crate) fn make_rows(
        &mut self,
        connection: &Connection,
        scope: Scope,
    ) -> rusqlite::Result<()> {
        match scope {
            Scope::All => self.make_rows_through(connection, i64::MAX),
            Scope::Message(key) => {
                let Some(named) = self.messages.get(&key.0) else {
                    return Ok(());
                };
                for (endpoint, _) in named.endpoints.clone() {
                    self.make_row(connection, key.0, endpoint)?;
                }
                Ok(())
            }
            Scope::Endpoint(key) => {
                let all = self.messages.iter();
                let of_endpoint: Vec<_> = all
                    .filter(|(_, named)| named.endpoints.iter().any(|(one, _)| *one == key.0))
                    .map(|(message, _)| *message)
                    .collect();
                for message in of_endpoint {
                    self.make_row(connection, message, key.0)?;
                }
                Ok(())
            }
        }
    }

    fn make_rows_through(&mut self, connection: &Connection, last: i64) -> rusqlite::Result<()> {
        let mut rows = Rows::prepare(connection)?;
        while let Some(first) = self.messages.first_entry().filter(|one| *one.key() <= last) {
            let (message, named) = first.remove_entry();
            self.made_rows = true;
            for (endpoint, generation) in named.endpoints {
                rows.insert((message, endpoint), generation, named.due)?;
                self.forget(endpoint);
            }
        }
        Ok(())
    }

    /// Gives all deliveries their rows, for a unit of work that may touch rows.
    pub(crate) fn settle(&mut self, connection: &Connection, newest: i64) -> rusqlite::Result<()> {
        self.make_rows(connection, Scope::All)?;
        self.move_counter(connection, newest, newest)
    }

    /// Lets the counter follow at the end of a transaction, now and then: what was fresh the last
    /// time and still is gets its rows.
    pub(crate) fn follow(&mut self, connection: &Connection, newest: i64) -> rusqlite::Result<()> {
        if self.unsettled_messages < MESSAGES_UNSETTLED && self.unsettled_bytes < BYTES_UNSETTLED {
            return Ok(());
        }
        self.make_rows_through(connection, self.mark)?;
        let first = self.messages.first_key_value();
        let settled = first.map_or(newest, |(first, _)| first - 1);
        self.move_counter(connection, settled, newest)
    }

    fn move_counter(
        &mut self,
        connection: &Connection,
        settled: i64,
        newest: i64,
    ) -> rusqlite::Result<()> {
        self.mark = newest;
        self.unsettled_messages = 0;
        self.unsettled_bytes = 0;
        if settled <= self.settled {
            return Ok(());
        }
        self.settled = settled;
        connection
            .prepare_cached("UPDATE counter SET value = ?1 WHERE name = 'settled'")?
            .execute([settled])
            .map(drop)
    }

    /// What the transaction did shows from now on.
    pub(crate) const fn committed(&mut self) {
        self.made_rows = false;
        self.ended_some = false;
    }
}
