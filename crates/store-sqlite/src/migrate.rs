//! Brings a file's tables to the version that this program knows.
//!
//! Migrations are numbered, only go forward, and are part of the program. What ran is recorded
//! with a checksum, so a file whose history differs from ours is refused instead of guessed at.

use rusqlite::{Connection, OptionalExtension, params};

use crate::OpenError;

struct Migration {
    version: i64,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sql: include_str!("../migrations/0001_start.sql"),
    },
    Migration {
        version: 2,
        sql: include_str!("../migrations/0002_endpoint_tuning.sql"),
    },
    Migration {
        version: 3,
        sql: include_str!("../migrations/0003_keys.sql"),
    },
    Migration {
        version: 4,
        sql: include_str!("../migrations/0004_ordering_key.sql"),
    },
    Migration {
        version: 5,
        sql: include_str!("../migrations/0005_schemas_and_headers.sql"),
    },
    Migration {
        version: 6,
        sql: include_str!("../migrations/0006_job.sql"),
    },
    Migration {
        version: 7,
        sql: include_str!("../migrations/0007_audit.sql"),
    },
    Migration {
        version: 8,
        sql: include_str!("../migrations/0008_failing.sql"),
    },
    Migration {
        version: 9,
        sql: include_str!("../migrations/0009_fresh.sql"),
    },
    Migration {
        version: 10,
        sql: include_str!("../migrations/0010_erasure.sql"),
    },
    Migration {
        version: 11,
        sql: include_str!("../migrations/0011_inbound.sql"),
    },
    Migration {
        version: 12,
        sql: include_str!("../migrations/0012_event_type_group.sql"),
    },
    Migration {
        version: 13,
        sql: include_str!("../migrations/0013_origin.sql"),
    },
    Migration {
        version: 14,
        sql: include_str!("../migrations/0014_request_jobs.sql"),
    },
    Migration {
        version: 15,
        sql: include_str!("../migrations/0015_checksum.sql"),
    },
];

/// Applies what is missing, each migration in its own transaction.
pub(crate) fn migrate(connection: &Connection) -> Result<(), OpenError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (
             version  INTEGER PRIMARY KEY,
             checksum INTEGER NOT NULL
         ) STRICT",
    )?;
    let newest: i64 = connection.query_row(
        "SELECT coalesce(max(version), 0) FROM schema_version",
        [],
        |row| row.get(0),
    )?;
    let known = MIGRATIONS.last().map_or(0, |last| last.version);
    if newest > known {
        return Err(OpenError::Newer {
            found: newest,
            known,
        });
    }
    for migration in MIGRATIONS {
        apply(connection, migration)?;
    }
    Ok(())
}

fn apply(connection: &Connection, migration: &Migration) -> Result<(), OpenError> {
    let checksum = checksum(migration.sql);
    let applied: Option<i64> = connection
        .query_row(
            "SELECT checksum FROM schema_version WHERE version = ?1",
            [migration.version],
            |row| row.get(0),
        )
        .optional()?;
    match applied {
        Some(found) if found == checksum => return Ok(()),
        Some(_) => {
            return Err(OpenError::Changed {
                version: migration.version,
            });
        }
        None => {}
    }
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(migration.sql)?;
    transaction.execute(
        "INSERT INTO schema_version (version, checksum) VALUES (?1, ?2)",
        params![migration.version, checksum],
    )?;
    transaction.commit()?;
    Ok(())
}

/// FNV-1a (64 bit) over the text: it tells an edit, which is all that it is for.
fn checksum(sql: &str) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in sql.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    i64::from_ne_bytes(hash.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_apply_from_empty_and_again_change_nothing() {
        let connection = Connection::open_in_memory().expect("memory");

        migrate(&connection).expect("from empty");
        migrate(&connection).expect("again");

        let tables: i64 = connection
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'message'",
                [],
                |row| row.get(0),
            )
            .expect("readable");
        assert_eq!(tables, 1);
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let connection = Connection::open_in_memory().expect("memory");
        migrate(&connection).expect("from empty");
        connection
            .execute("INSERT INTO schema_version VALUES (999, 0)", [])
            .expect("writable");

        let refused = migrate(&connection).expect_err("newer");

        let known = MIGRATIONS.last().expect("at least one").version;
        assert_eq!(
            refused.to_string(),
            format!("the file has version 999 and this program knows version {known} and older")
        );
    }

    #[test]
    fn a_migration_that_differs_from_the_one_applied_is_refused() {
        let connection = Connection::open_in_memory().expect("memory");
        migrate(&connection).expect("from empty");
        connection
            .execute("UPDATE schema_version SET checksum = 1", [])
            .expect("writable");

        let refused = migrate(&connection).expect_err("changed");

        assert!(matches!(refused, OpenError::Changed { version: 1 }));
    }

    #[test]
    fn migrations_are_numbered_from_one_without_gaps() {
        let numbers: Vec<i64> = MIGRATIONS.iter().map(|m| m.version).collect();

        let expected: Vec<i64> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected);
    }
}
