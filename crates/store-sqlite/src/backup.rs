//! Copies, sizes and the readiness check.

use std::fs::File;
use std::path::{Path, PathBuf};

use domain::Timestamp;
use rusqlite::{Connection, OpenFlags, params};
use store::{Error, Stats};

use crate::fault::{Fault, Verdict};
use crate::writer::Tx;

/// Writes a consistent copy to a file that does not exist yet, and syncs it.
///
/// The copy is read in one transaction, so the log is not started anew while it is made.
pub(crate) fn copy(connection: &Connection, to: &Path) -> Result<(), Error> {
    if to.exists() {
        return Err(Error::Conflict("file"));
    }
    let Some(name) = to.to_str() else {
        return Err(Error::Failed("the file's name is not UTF-8".into()));
    };
    if let Err(error) = connection.execute("VACUUM INTO ?1", [name]) {
        let verdict = Verdict::of(&error, connection);
        // Half a copy must not be taken for one; that it cannot be removed adds nothing.
        let _ = std::fs::remove_file(to);
        return Err(verdict.into_error());
    }
    sync(to).map_err(|error| Error::Failed(format!("cannot sync the copy: {error}")))
}

/// Copies a store's file, which another process may be using, to a file that does not exist yet.
pub fn backup(from: &Path, to: &Path) -> Result<(), Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags)
        .map_err(|error| Error::Failed(format!("cannot open {}: {error}", from.display())))?;
    copy(&connection, to)
}

fn sync(file: &Path) -> std::io::Result<()> {
    File::open(file)?.sync_all()?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Bytes of the probe: more than fit in the slack of a page.
const PROBE_BYTES: i64 = 16 * 1024;

/// Writes pages that have to be found and erases them again.
pub(crate) fn probe(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), Fault> {
    tx.connection
        .prepare_cached("INSERT INTO probe (id, at, body) VALUES (2, ?1, zeroblob(?2))")?
        .execute(params![now.as_micros(), PROBE_BYTES])?;
    tx.connection
        .prepare_cached("DELETE FROM probe WHERE id = 2")?
        .execute([])?;
    tx.connection
        .prepare_cached("UPDATE probe SET at = ?1 WHERE id = 1")?
        .execute([now.as_micros()])?;
    Ok(())
}

/// Sizes of the files; of a store in memory, of its pages.
pub(crate) fn sizes(connection: &Connection, path: Option<&PathBuf>) -> Result<Stats, Fault> {
    let mut stats = Stats::default();
    if let Some(path) = path {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let size = |file: &Path| std::fs::metadata(file).map_or(0, |found| found.len());
        stats.disk_bytes = size(path);
        stats.wal_bytes = size(&PathBuf::from(log));
    } else {
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        stats.disk_bytes = pages.unsigned_abs() * page.unsigned_abs();
    }
    Ok(stats)
}
