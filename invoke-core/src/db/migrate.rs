//! Bringing a database up to date.
//!
//! The file is InvokeAI's own (`databases/invokeai.db`), so that an installation can be taken over. InvokeAI refuses a file whose
//! migration tables hold rows it does not know; ours are therefore counted in a table of their own, `invoke_migrations`. Number 1
//! makes InvokeAI 6.14's schema on an empty file, and is taken as done on a file that InvokeAI 6.14 left.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::env::Timestamp;

/// Migrations in order; number 1 first.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001_base.sql"),
    include_str!("migrations/002_queue.sql"),
    include_str!("migrations/003_accounts.sql"),
    include_str!("migrations/004_gallery.sql"),
    include_str!("migrations/005_batches.sql"),
    include_str!("migrations/006_images.sql"),
    include_str!("migrations/007_gallery_changes.sql"),
    include_str!("migrations/008_keys_and_audit.sql"),
];

/// The last of InvokeAI's own migrations that this program knows.
const LAST_FOREIGN_MIGRATION: &str = "2026_08_08_demote_system_user";

/// Number of the newest migration.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Why a database cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer program wrote it.
    #[error(
        "it is newer than this program (its schema is version {found}, this program knows {known}); use the program that wrote it, or a newer one"
    )]
    Newer {
        /// Version of the file.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// An InvokeAI that we do not know wrote it.
    #[error("InvokeAI wrote it, but not version 6.14 (last migration: {found}); start InvokeAI 6.14.2 on it once, then try again")]
    UnknownInvokeAi {
        /// The last migration recorded in the file.
        found: String,
    },
    /// It holds tables of something else.
    #[error("it is neither empty nor a database of this program or InvokeAI")]
    Foreign,
    /// The copy that is kept before a change could not be made.
    #[error("the copy kept before an upgrade could not be made: {0}")]
    Backup(rusqlite::Error),
    /// SQLite failed; the file is unchanged.
    #[error("{0}")]
    Sql(#[from] rusqlite::Error),
}

/// Applies what is missing, in one transaction, after keeping a copy of a file that already held something.
pub(super) fn run(connection: &mut Connection, path: Option<&Path>, now: Timestamp) -> Result<(), MigrateError> {
    let mut version = current_version(connection)?;
    if version > SCHEMA_VERSION {
        return Err(MigrateError::Newer {
            found: version,
            known: SCHEMA_VERSION,
        });
    }
    if version == 0 && is_from_invokeai(connection)? {
        version = 1;
    } else if version == 0 && !is_empty(connection)? {
        return Err(MigrateError::Foreign);
    }
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    if let (Some(path), true) = (path, version > 0) {
        back_up(connection, path, now).map_err(MigrateError::Backup)?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction
        .execute_batch("CREATE TABLE IF NOT EXISTS invoke_migrations (version INTEGER PRIMARY KEY, migrated_at TEXT NOT NULL) STRICT")?;
    for number in 1..=SCHEMA_VERSION {
        if number > version {
            transaction.execute_batch(MIGRATIONS[number as usize - 1])?;
        }
        transaction.execute("INSERT OR IGNORE INTO invoke_migrations VALUES (?1, ?2)", (number, now.sql()))?;
    }
    transaction.commit()?;
    Ok(())
}

fn has_table(connection: &Connection, name: &str) -> Result<bool, rusqlite::Error> {
    connection
        .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?
        .exists([name])
}

fn is_empty(connection: &Connection) -> Result<bool, rusqlite::Error> {
    Ok(!connection
        .prepare("SELECT 1 FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")?
        .exists([])?)
}

fn current_version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    if !has_table(connection, "invoke_migrations")? {
        return Ok(0);
    }
    connection.query_row("SELECT COALESCE(MAX(version), 0) FROM invoke_migrations", [], |row| row.get(0))
}

fn is_from_invokeai(connection: &Connection) -> Result<bool, MigrateError> {
    if !has_table(connection, "applied_migrations")? && !has_table(connection, "migrations")? {
        return Ok(false);
    }
    let found: Option<String> = if has_table(connection, "applied_migrations")? {
        connection
            .query_row(
                "SELECT migration_id FROM applied_migrations ORDER BY rowid DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?
    } else {
        None
    };
    if found.as_deref() == Some(LAST_FOREIGN_MIGRATION) {
        return Ok(true);
    }
    Err(MigrateError::UnknownInvokeAi {
        found: found.unwrap_or_else(|| "before 6.14".into()),
    })
}

fn back_up(connection: &Connection, path: &Path, now: Timestamp) -> Result<(), rusqlite::Error> {
    let stamp: String = now
        .sql()
        .chars()
        .take(19)
        .map(|c| if c == ' ' { '-' } else { c })
        .filter(|c| c.is_ascii_digit() || *c == '-')
        .collect();
    let (date, time) = stamp.rsplit_once('-').unwrap_or((stamp.as_str(), ""));
    let name = format!("invokeai_backup_{}-{time}.db", date.replace('-', ""));
    let copy = path.with_file_name(name);
    connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn migrated() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, None, NOW).unwrap();
        connection
    }

    fn schema(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// A database as a past program left it.
    fn at_version(version: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        if version == 0 {
            return connection;
        }
        connection
            .execute_batch("CREATE TABLE IF NOT EXISTS invoke_migrations (version INTEGER PRIMARY KEY, migrated_at TEXT NOT NULL) STRICT")
            .unwrap();
        upgrade(&connection, 0..version);
        connection
    }

    /// Applies the migrations of these places in the list.
    fn upgrade(connection: &Connection, steps: std::ops::Range<usize>) {
        for index in steps {
            connection.execute_batch(MIGRATIONS[index]).unwrap();
            connection
                .execute("INSERT INTO invoke_migrations VALUES (?1, 'then')", [index as i64 + 1])
                .unwrap();
        }
    }

    #[test]
    fn every_past_version_reaches_the_same_schema() {
        let whole = schema(&migrated());
        for stop in 0..=MIGRATIONS.len() {
            let mut connection = at_version(stop);
            run(&mut connection, None, NOW).unwrap();
            assert_eq!(schema(&connection), whole, "from version {stop}");
        }
    }

    #[test]
    fn a_file_that_invokeai_left_is_taken_over() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection.execute("INSERT INTO images (image_name, image_origin, image_category, width, height) VALUES ('a.png', 'internal', 'general', 8, 8)", []).unwrap();
        run(&mut connection, None, NOW).unwrap();
        let n: i64 = connection.query_row("SELECT COUNT(*) FROM images", [], |row| row.get(0)).unwrap();
        assert_eq!((n, current_version(&connection).unwrap()), (1, SCHEMA_VERSION));
    }

    #[test]
    fn a_queue_keeps_its_items_when_its_tables_change() {
        let mut connection = at_version(1);
        connection
            .execute_batch(
                r#"INSERT INTO session_queue (batch_id, queue_id, session_id, session, field_values, status, priority, created_at, started_at, user_id, destination)
                   VALUES ('a', 'default', 's1', '{"id": "s1"}', '[{"node_path": "n", "field_name": "f", "value": 1}]', 'completed', 0, 't1', 't2', 'u', 'canvas'),
                          ('a', 'default', 's2', '{"id": "s2"}', NULL, 'pending', 0, 't1', NULL, 'u', 'canvas'),
                          ('b', 'default', 's3', '{"id": "s3"}', '[]', 'pending', 1, 't3', NULL, 'u', NULL),
                          ('c', 'default', 's4', '{"id": "s4"}', '[]', 'failed', 0, 't4', 't4', 'v', NULL)"#,
            )
            .unwrap();
        upgrade(&connection, 1..4);
        connection.execute("DELETE FROM session_queue WHERE session_id = 's4'", []).unwrap();
        run(&mut connection, None, NOW).unwrap();
        let all = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        assert_eq!(
            all("SELECT CONCAT_WS(' ', item_id, batch_row, session_id, status, session, field_values) FROM session_queue ORDER BY item_id"),
            [
                r#"1 1 s1 completed {"id": "s1"} [{"node_path": "n", "field_name": "f", "value": 1}]"#,
                r#"2 1 s2 pending {"id": "s2"}"#,
                r#"3 3 s3 pending {"id": "s3"} []"#,
            ]
        );
        assert_eq!(
            all(
                "SELECT CONCAT_WS(' ', batch_row, last_item, batch_id, priority, created_at, destination, pending, completed) FROM queue_batches ORDER BY 1"
            ),
            ["1 2 a 0 t1 canvas 1 1", "3 3 b 1 t3 1 0"]
        );
        assert_eq!(
            all("SELECT CONCAT_WS(' ', QUOTE(user_id), pending, completed, failed) FROM queue_counts ORDER BY 1"),
            ["'' 2 1 0", "'u' 2 1 0"]
        );
        assert_eq!(
            all("SELECT CONCAT_WS(' ', user_id, batch_row, priority, last_started) FROM queue_turns"),
            ["u 3 1 t2"]
        );
        assert_eq!(
            all("SELECT CAST(seq AS TEXT) FROM sqlite_sequence WHERE name = 'session_queue'"),
            ["4"]
        );
    }

    #[test]
    fn an_older_gallery_lists_uncategorised_pictures_from_one_index_after_the_upgrade() {
        let mut connection = at_version(4);
        connection
            .execute_batch(
                "INSERT INTO boards (board_id, board_name) VALUES ('b', 'b');
                 INSERT INTO images (image_name, image_origin, image_category, width, height) VALUES
                     ('on.png', 'internal', 'general', 8, 8), ('off.png', 'internal', 'general', 8, 8);
                 INSERT INTO board_images (board_id, image_name) VALUES ('b', 'on.png')",
            )
            .unwrap();
        run(&mut connection, None, NOW).unwrap();
        let list = "SELECT image_name FROM images INDEXED BY idx_gallery_loose
                    WHERE user_id = 'system' AND is_intermediate = 0 AND starred = 0 AND gallery_board = ''";
        let listed: Vec<String> = connection
            .prepare(list)
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(listed, ["off.png"]);
        let plan: String = connection
            .query_row(&format!("EXPLAIN QUERY PLAN {list}"), [], |row| row.get(3))
            .unwrap();
        assert!(plan.contains("COVERING INDEX idx_gallery_loose"), "{plan}");
    }

    #[test]
    fn changes_of_an_older_gallery_are_counted_after_the_upgrade() {
        let mut connection = at_version(6);
        let put = "INSERT INTO images (image_name, image_origin, image_category, width, height, user_id) VALUES";
        connection
            .execute_batch(&format!("{put} ('old.png', 'internal', 'general', 8, 8, 'u')"))
            .unwrap();
        run(&mut connection, None, NOW).unwrap();
        connection
            .execute_batch(&format!(
                "{put} ('new.png', 'internal', 'general', 8, 8, 'u');
                 UPDATE images SET starred = 1 WHERE image_name = 'old.png';
                 UPDATE images SET starred = 1, width = 9 WHERE image_name = 'old.png';
                 UPDATE images SET user_id = 'v' WHERE image_name = 'old.png';
                 DELETE FROM images WHERE image_name = 'old.png'"
            ))
            .unwrap();
        let mut statement = connection
            .prepare("SELECT user_id || ' ' || n FROM gallery_changes ORDER BY 1")
            .unwrap();
        let counts: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        // A change of one row may count twice; it only has to count.
        assert_eq!(counts, [" 4", "u 4", "v 2"]);
    }

    #[test]
    fn an_older_queue_and_record_go_on_after_the_upgrade() {
        let mut connection = at_version(7);
        connection
            .execute_batch(
                "INSERT INTO queue_batches (batch_row, last_item, batch_id, queue_id, user_id, priority, created_at, cost, models) VALUES (1, 1, 'b', 'q', 'u', 0, 't', 1, '[]');
                 INSERT INTO audit_log (at, actor_id, door, act) VALUES ('t', 'u', 'server', 'user.deleted'), ('t', 'u', 'server', 'login.refused')",
            )
            .unwrap();
        run(&mut connection, None, NOW).unwrap();
        let by_key: bool = connection
            .query_row("SELECT by_key FROM queue_batches", [], |row| row.get(0))
            .unwrap();
        assert!(!by_key);
        assert!(connection.execute("DELETE FROM audit_log", []).is_err());
        assert!(connection.execute("UPDATE audit_log SET act = 'login'", []).is_err());
        assert_eq!(
            connection.execute("DELETE FROM audit_log WHERE act = 'login.refused'", []).unwrap(),
            1
        );
    }

    #[test]
    fn a_newer_file_is_refused_and_left_alone() {
        let mut connection = migrated();
        connection
            .execute("INSERT INTO invoke_migrations VALUES (999, 'tomorrow')", [])
            .unwrap();
        let error = run(&mut connection, None, NOW).unwrap_err();
        assert!(matches!(error, MigrateError::Newer { found: 999, .. }), "{error}");
    }

    #[test]
    fn other_programs_files_are_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
        assert!(matches!(run(&mut connection, None, NOW), Err(MigrateError::Foreign)));
        connection
            .execute_batch("CREATE TABLE applied_migrations (migration_id TEXT); INSERT INTO applied_migrations VALUES ('migration_30')")
            .unwrap();
        assert!(matches!(run(&mut connection, None, NOW), Err(MigrateError::UnknownInvokeAi { .. })));
    }

    #[test]
    fn an_upgrade_keeps_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("invokeai.db");
        let mut connection = Connection::open(&path).unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        run(&mut connection, Some(&path), NOW).unwrap();
        assert!(dir.path().join("invokeai_backup_20260921-141320.db").exists());
    }
}
