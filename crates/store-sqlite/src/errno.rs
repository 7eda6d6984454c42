//! The operating system's error number behind an error of SQLite: the one unsafe call.

use rusqlite::{Connection, ffi};

/// Returns the `errno` of the connection's last I/O error.
#[expect(
    unsafe_code,
    reason = "rusqlite does not wrap sqlite3_system_errno, and a full disk is told by errno alone"
)]
pub(crate) fn system_errno(connection: &Connection) -> i32 {
    // SAFETY: the handle is live for as long as `connection` is borrowed, and the call reads one
    // integer of it.
    unsafe { ffi::sqlite3_system_errno(connection.handle()) }
}
