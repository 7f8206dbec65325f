//! Boards' records.

use rusqlite::OptionalExtension;

use crate::{
    authz::{BoardRights, Permit, Sealed, Visibility, acts},
    db::{ReadTx, WriteTx},
    domain::{BoardId, ImageName, UserId},
    env::Timestamp,
};

/// What leave to use this board depends on, sealed.
pub fn rights(tx: &ReadTx<'_>, board_id: &BoardId) -> rusqlite::Result<Sealed<BoardRights>> {
    let found = tx
        .sql()
        .prepare_cached("SELECT user_id, board_visibility FROM boards WHERE board_id = ?1")?
        .query_row([board_id], |row| {
            let visibility: String = row.get(1)?;
            Ok(BoardRights {
                board_id: board_id.clone(),
                user_id: row.get::<_, Option<UserId>>(0)?.unwrap_or_else(UserId::system),
                visibility: visibility.parse().unwrap_or(Visibility::Private),
            })
        })
        .optional()?;
    Ok(Sealed::new(found))
}

/// Puts an image on a board, taking it off the one it was on.
pub fn put_image(tx: &mut WriteTx<'_>, board: &Permit<acts::WriteBoard, BoardRights>, image: &ImageName, now: Timestamp) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO board_images (board_id, image_name, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT (image_name) DO UPDATE SET board_id = excluded.board_id",
        )?
        .execute((&board.board_id, image, now.sql()))?;
    Ok(())
}
