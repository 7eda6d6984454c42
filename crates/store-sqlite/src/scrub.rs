//! Overwrites what erased rows leave behind in the file, after an erasure on request.
//!
//! Where a row goes from a page that stays, SQLite puts zeros in its place (`secure_delete` is
//! FAST, which writes no page more). What that leaves, housekeeping finds in small steps: it takes
//! every free page into a table of zeros, clears in all others what is not in use
//! ([`crate::slack`]), gives the free pages back, and has the log cut. So an erasure costs a look
//! at every page, apart from everybody's way, and nothing else costs anything.

use std::sync::atomic::{AtomicU8, Ordering};

use rusqlite::{Connection, OptionalExtension, params};

use crate::slack::{self, Overflow};

/// What is left to do, as the counter `scrub` has it.
const NOTHING: i64 = 0;
const TAKE: i64 = 1;
const CLEAN: i64 = 2;
const GIVE_BACK: i64 = 3;
const CUT: i64 = 4;

/// From this number on, the number of a page can begin like a page of a tree (137 GB).
const AMBIGUOUS: u32 = 0x0200_0000;

/// Whether the log is to be cut, which happens between two transactions.
#[derive(Debug, Default)]
pub(crate) struct Cut(AtomicU8);

impl Cut {
    const WANTED: u8 = 1;
    const DONE: u8 = 2;

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::WANTED
    }

    pub(crate) fn done(&self) {
        self.0.store(Self::DONE, Ordering::Release);
    }

    fn want(&self) {
        self.0.store(Self::WANTED, Ordering::Release);
    }

    /// Says once that it was done; otherwise asks for it.
    fn is_done(&self) -> bool {
        let done = self.0.load(Ordering::Acquire) == Self::DONE;
        let next = if done { 0 } else { Self::WANTED };
        self.0.store(next, Ordering::Release);
        done
    }
}

/// Notes that something was erased on request.
pub(crate) fn want(connection: &Connection) -> rusqlite::Result<()> {
    set(connection, TAKE)
}

fn set(connection: &Connection, state: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE counter SET value = ?1 WHERE name = 'scrub' AND value <> ?1")?
        .execute([state])
        .map(drop)
}

/// Where the look at every page has come to. Forgetting it costs a look from the beginning.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    last: u32,
}

/// Goes on where it stopped, with about so many pages; returns how many it took, and whether
/// there is nothing left that could be done now. A store without a log has no `cut`.
pub(crate) fn step(
    connection: &Connection,
    walk: &mut Walk,
    cut: Option<&Cut>,
    pages: u64,
) -> rusqlite::Result<(u64, bool)> {
    let state: i64 = connection
        .prepare_cached("SELECT value FROM counter WHERE name = 'scrub'")?
        .query_row([], |row| row.get(0))?;
    let taken = match state {
        TAKE | CLEAN => {
            // What is freed meanwhile could be in use again before it is seen.
            overwrite_freed(connection, true)?;
            let taken = take(connection, pages)?;
            if state == TAKE && taken == 0 {
                *walk = Walk::default();
                set(connection, CLEAN)?;
            } else if taken == 0 {
                return Ok((clean(connection, walk, pages)?, false));
            }
            taken
        }
        GIVE_BACK => give_back(connection, cut, pages)?,
        CUT if cut.is_some_and(|cut| !cut.is_done()) => return Ok((0, true)),
        CUT => {
            set(connection, NOTHING)?;
            return Ok((0, true));
        }
        _ => return Ok((0, true)),
    };
    Ok((taken, false))
}

fn overwrite_freed(connection: &Connection, on: bool) -> rusqlite::Result<()> {
    let value = if on { "ON" } else { "FAST" };
    connection.pragma_update_and_check(None, "secure_delete", value, |_| Ok(()))
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    let value: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
    Ok(value.unsigned_abs())
}

/// Takes free pages; once there are none, all of them are in the table.
fn take(connection: &Connection, pages: u64) -> rusqlite::Result<u64> {
    let taken = number(connection, "freelist_count")?.min(pages);
    if taken == 0 {
        return Ok(0);
    }
    // An overflow page holds the number of the next one and then content: these are filled.
    let page = number(connection, "page_size")?;
    let bytes = taken * (page - 4) + slack::local_min(page);
    connection
        .prepare_cached("INSERT INTO scrub (body) VALUES (zeroblob(?1))")?
        .execute([bytes.cast_signed()])?;
    Ok(taken)
}

/// Clears what is not in use of some pages, of which none is free now.
fn clean(connection: &Connection, walk: &mut Walk, pages: u64) -> rusqlite::Result<u64> {
    let count = number(connection, "page_count")?;
    let mut looked = 0;
    while looked < pages {
        walk.last += 1;
        if u64::from(walk.last) > count || walk.last >= AMBIGUOUS {
            set(connection, GIVE_BACK)?;
            break;
        }
        looked += 1 + clean_page(connection, walk.last)?;
    }
    Ok(looked)
}

/// Clears one page, and the ends of what goes on elsewhere; returns how many others it read.
fn clean_page(connection: &Connection, number: u32) -> rusqlite::Result<u64> {
    let Some(page) = read(connection, number)? else {
        return Ok(0);
    };
    let Some(cleaned) = slack::clean(number, &page) else {
        return Ok(0);
    };
    if cleaned.page != page {
        write(connection, number, &cleaned.page)?;
    }
    let mut looked = 0;
    for overflow in cleaned.overflows {
        looked += clean_end(connection, overflow)?;
    }
    Ok(looked)
}

fn clean_end(connection: &Connection, overflow: Overflow) -> rusqlite::Result<u64> {
    let (mut number, mut left, mut looked) = (overflow.first, overflow.bytes, 0);
    while let Some(page) = read(connection, number)? {
        looked += 1;
        let room = page.len() as u64 - 4;
        if left <= room {
            let cleaned = slack::clean_tail(&page, left).filter(|cleaned| *cleaned != page);
            if let Some(cleaned) = cleaned {
                write(connection, number, &cleaned)?;
            }
            break;
        }
        left -= room;
        let next = page.first_chunk().expect("a page is longer than that");
        number = u32::from_be_bytes(*next);
    }
    Ok(looked)
}

fn read(connection: &Connection, number: u32) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()
}

fn write(connection: &Connection, number: u32, page: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE sqlite_dbpage SET data = ?2 WHERE pgno = ?1")?
        .execute(params![number, page])
        .map(drop)
}

fn give_back(connection: &Connection, cut: Option<&Cut>, pages: u64) -> rusqlite::Result<u64> {
    // They hold zeros already.
    overwrite_freed(connection, false)?;
    let deleted = connection
        .prepare_cached("DELETE FROM scrub WHERE id IN (SELECT id FROM scrub LIMIT 1)")?
        .execute([])?;
    if deleted == 0 {
        set(connection, CUT)?;
        if let Some(cut) = cut {
            cut.want();
        }
        return Ok(0);
    }
    // A row holds as many as one step took, or fewer.
    Ok(pages)
}
