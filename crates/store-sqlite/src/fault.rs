//! What went wrong inside a transaction, and what that means for the store.

use rusqlite::{Connection, ErrorCode};

use crate::errno::system_errno;

/// Why a unit of work did not come to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The store refuses, as its contract says; SQLite did all that it was asked.
    Refused(store::Error),
    /// SQLite answered an error.
    Sqlite(rusqlite::Error),
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// What an error of SQLite calls for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The disk is full: nothing of the transaction is kept, later ones may work again.
    Full,
    /// The file or the disk under it cannot be trusted any more.
    Fatal(String),
    /// Another connection holds the write lock.
    Busy,
    /// This statement failed; the store is sound.
    Statement(String),
}

impl Verdict {
    /// Judges an error right after it happened: the `errno` is that of the connection's last one.
    pub(crate) fn of(error: &rusqlite::Error, connection: &Connection) -> Self {
        let Some(sqlite) = error.sqlite_error() else {
            return Self::Statement(error.to_string());
        };
        match sqlite.code {
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::SystemIoFailure => Self::of_io(error, system_errno(connection)),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Fatal(error.to_string()),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            _ => Self::Statement(error.to_string()),
        }
    }

    fn of_io(error: &rusqlite::Error, errno: i32) -> Self {
        // SQLite itself says "full" for ENOSPC on a write, but not for a quota, nor when it is
        // the sync or the growing of the shared-memory file that finds no room.
        if errno == libc::ENOSPC || errno == libc::EDQUOT {
            Self::Full
        } else {
            Self::Fatal(format!("{error} (errno {errno})"))
        }
    }

    /// Returns what callers are answered.
    pub(crate) fn into_error(self) -> store::Error {
        match self {
            Self::Full => store::Error::Full,
            Self::Busy => store::Error::Busy,
            Self::Fatal(cause) | Self::Statement(cause) => store::Error::Failed(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_error() -> rusqlite::Error {
        let code = rusqlite::ffi::SQLITE_IOERR_FSYNC;
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn an_io_error_is_a_full_disk_by_its_errno_and_fatal_otherwise() {
        assert_eq!(Verdict::of_io(&io_error(), libc::ENOSPC), Verdict::Full);
        assert_eq!(Verdict::of_io(&io_error(), libc::EDQUOT), Verdict::Full);
        assert!(matches!(
            Verdict::of_io(&io_error(), libc::EIO),
            Verdict::Fatal(_)
        ));
    }
}
