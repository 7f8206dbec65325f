//! The same rows for either server's database.

use std::path::Path;

use rusqlite::Connection;

/// How much is in a root.
pub(crate) struct Content {
    /// Pictures in the gallery.
    pub(crate) pictures: u64,
    /// Finished items in the queue.
    pub(crate) items: u64,
}

const BOARDS: u64 = 20;
/// Items of one batch.
const BATCH: u64 = 100;

/// A number that looks random.
fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x7fb5_d329_728e_a185);
    (n ^ (n >> 27)).wrapping_mul(0x81da_def4_bc2d_d44d) >> 20
}

/// A UUID-shaped text.
fn name(n: u64) -> String {
    let random = mixed(n);
    format!("{:08x}-{:04x}-4000-8000-{n:012x}", random & 0xffff_ffff, random >> 28 & 0xffff)
}

fn time(n: u64) -> String {
    let seconds = n * 137;
    format!(
        "2026-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
        1 + seconds / 2_592_000 % 12,
        1 + seconds / 86_400 % 28,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        n % 1000
    )
}

fn session(n: u64) -> String {
    format!("{{\"id\": \"{}\", \"graph\": {{\"nodes\": {{}}, \"edges\": []}}}}", name(n))
}

impl Content {
    /// Writes the rows into the database of a server that does not run; they belong to this user.
    ///
    /// # Errors
    /// The database cannot be written.
    pub(crate) fn write(&self, file: &Path, user: &str) -> rusqlite::Result<()> {
        let mut connection = Connection::open(file)?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        let transaction = connection.transaction()?;
        for board in 0..BOARDS {
            transaction.execute(
                "INSERT INTO boards (board_id, board_name, user_id) VALUES (?1, ?2, ?3)",
                (format!("board-{board}"), format!("Board {board}"), user),
            )?;
        }
        let metadata = format!("{{\"positive_prompt\": \"{}\"}}", "a red fox in the snow ".repeat(20));
        for n in 0..self.pictures {
            let name = format!("{}.png", name(n));
            transaction
                .prepare_cached(
                    "INSERT INTO images (image_name, image_origin, image_category, width, height, metadata, is_intermediate, created_at,
                                         updated_at, starred, user_id)
                     VALUES (?1, 'internal', 'general', 512, 512, ?2, ?3, ?4, ?4, ?5, ?6)",
                )?
                .execute((&name, &metadata, n % 20 == 0, time(n), n % 50 == 1, user))?;
            if n % 3 == 0 {
                transaction
                    .prepare_cached("INSERT INTO board_images (board_id, image_name) VALUES (?1, ?2)")?
                    .execute((format!("board-{}", mixed(n) % BOARDS), &name))?;
            }
        }
        if transaction
            .prepare("SELECT 1 FROM sqlite_schema WHERE name = 'queue_batches'")?
            .exists([])?
        {
            self.write_batches(&transaction, user)?;
        } else {
            self.write_items(&transaction, user)?;
        }
        transaction.commit()
    }

    /// The queue as InvokeAI keeps it.
    fn write_items(&self, transaction: &Connection, user: &str) -> rusqlite::Result<()> {
        for n in 0..self.items {
            transaction
                .prepare_cached(
                    "INSERT INTO session_queue (batch_id, queue_id, session_id, session, status, user_id, created_at, updated_at, started_at,
                                                completed_at)
                     VALUES (?1, 'default', ?2, ?3, 'completed', ?4, ?5, ?5, ?5, ?5)",
                )?
                .execute((format!("batch-{}", n / BATCH), name(n), session(n), user, time(n)))?;
        }
        Ok(())
    }

    /// The queue as this program keeps it.
    fn write_batches(&self, transaction: &Connection, user: &str) -> rusqlite::Result<()> {
        for n in 0..self.items {
            let row = n - n % BATCH + 1;
            if n % BATCH == 0 {
                let last = (n + BATCH).min(self.items);
                transaction
                    .prepare_cached(
                        "INSERT INTO queue_batches (batch_row, last_item, batch_id, queue_id, user_id, priority, created_at, cost, models, completed)
                         VALUES (?1, ?2, ?3, 'default', ?4, 0, ?5, 1, '[]', ?2 - ?1 + 1)",
                    )?
                    .execute((row, last, format!("batch-{}", n / BATCH), user, time(n)))?;
            }
            transaction
                .prepare_cached(
                    "INSERT INTO session_queue (item_id, batch_row, queue_id, session_id, session, status, user_id, updated_at, started_at, completed_at)
                     VALUES (?1, ?2, 'default', ?3, ?4, 'completed', ?5, ?6, ?6, ?6)",
                )?
                .execute((n + 1, row, name(n), session(n), user, time(n)))?;
        }
        for whose in [user, ""] {
            transaction.execute(
                "INSERT INTO queue_counts (queue_id, user_id, completed) VALUES ('default', ?1, ?2)",
                (whose, self.items),
            )?;
        }
        Ok(())
    }
}
