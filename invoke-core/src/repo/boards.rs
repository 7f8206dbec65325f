//! Boards' records, and which images lie on them.

use rusqlite::{OptionalExtension, Row};

use crate::{
    authz::{BoardRights, FillsBoard, Permit, Scope, Sealed, Visibility, acts},
    db::{ReadTx, WriteTx},
    domain::{
        BoardId, ImageName, UserId,
        board::{Board, BoardChanges, BoardOrder},
        image::Image,
        page::Direction,
    },
    env::Timestamp,
};

/// What a [`Board`] is read from. The cover and the counts are single look-ups in indexes that are kept for them.
const BOARD: &str = "b.board_id, b.board_name, b.user_id, b.created_at, b.updated_at, b.archived, b.board_visibility,
    (SELECT i.image_name FROM images i INDEXED BY idx_gallery_board WHERE i.gallery_board = b.board_id AND i.is_intermediate = 0
     ORDER BY i.starred DESC, i.created_at DESC, i.image_name DESC LIMIT 1),
    (SELECT COALESCE(SUM(n), 0) FROM gallery_counts c WHERE c.board_id = b.board_id AND c.is_intermediate = 0 AND c.image_category = 'general'),
    (SELECT COALESCE(SUM(n), 0) FROM gallery_counts c WHERE c.board_id = b.board_id AND c.is_intermediate = 0 AND c.image_category <> 'general')";

fn visibility(text: &str) -> Visibility {
    // What cannot be read is kept from everybody else.
    text.parse().unwrap_or(Visibility::Private)
}

fn board(row: &Row<'_>) -> rusqlite::Result<Board> {
    let cover: Option<String> = row.get(7)?;
    Ok(Board {
        board_id: row.get(0)?,
        board_name: row.get(1)?,
        user_id: row.get::<_, Option<UserId>>(2)?.unwrap_or_else(UserId::system),
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
        archived: row.get::<_, Option<bool>>(5)?.unwrap_or(false),
        visibility: visibility(&row.get::<_, String>(6)?),
        cover: cover.and_then(|name| ImageName::parse(&name).ok()),
        image_count: row.get(8)?,
        asset_count: row.get(9)?,
        owner_name: None,
    })
}

/// This board, sealed.
pub fn find(tx: &ReadTx<'_>, board_id: &BoardId) -> rusqlite::Result<Sealed<Board>> {
    let found = tx
        .sql()
        .prepare_cached(&format!("SELECT {BOARD} FROM boards b WHERE b.board_id = ?1"))?
        .query_row([board_id], board)
        .optional()?;
    Ok(tx.seal(found))
}

/// What leave to use this board depends on, sealed.
pub fn rights(tx: &ReadTx<'_>, board_id: &BoardId) -> rusqlite::Result<Sealed<BoardRights>> {
    let found = tx
        .sql()
        .prepare_cached("SELECT user_id, board_visibility FROM boards WHERE board_id = ?1")?
        .query_row([board_id], |row| {
            Ok(BoardRights {
                board_id: board_id.clone(),
                user_id: row.get::<_, Option<UserId>>(0)?.unwrap_or_else(UserId::system),
                visibility: visibility(&row.get::<_, String>(1)?),
            })
        })
        .optional()?;
    Ok(tx.seal(found))
}

/// Which boards a list covers, and its order.
#[derive(Debug, Clone, Copy)]
pub struct BoardFilter {
    /// By this.
    pub order: BoardOrder,
    /// In this direction.
    pub direction: Direction,
    /// Archived ones as well.
    pub include_archived: bool,
    /// Whether upper and lower case of names are one.
    pub ignore_case: bool,
}

/// Boards in a scope: everybody's, or one's own with those that others share. With `owner_names`, each owner's
/// display name or e-mail is told. A negative limit is none.
pub fn list(
    tx: &ReadTx<'_>,
    scope: &Scope,
    filter: BoardFilter,
    owner_names: bool,
    offset: i64,
    limit: i64,
) -> rusqlite::Result<Vec<Board>> {
    let direction = filter.direction.sql();
    let column = match (filter.order, filter.ignore_case) {
        (BoardOrder::CreatedAt, _) => "b.created_at",
        (BoardOrder::Name, true) => "LOWER(b.board_name)",
        (BoardOrder::Name, false) => "b.board_name",
    };
    let sql = format!(
        "SELECT {BOARD}, COALESCE(NULLIF(u.display_name, ''), u.email) FROM boards b LEFT JOIN users u ON u.user_id = b.user_id AND ?3
         WHERE (?1 IS NULL OR b.user_id = ?1 OR b.board_visibility IN ('shared', 'public'))
           AND (?2 OR b.archived IS NOT TRUE) AND ?1 IS NOT char(0)
         ORDER BY {column} {direction}, b.rowid {direction} LIMIT ?5 OFFSET ?4"
    );
    tx.sql()
        .prepare_cached(&sql)?
        .query_map(
            (scope.owner_parameter(), filter.include_archived, owner_names, offset.max(0), limit),
            |row| {
                Ok(Board {
                    owner_name: row.get(10)?,
                    ..board(row)?
                })
            },
        )?
        .collect()
}

/// Adds a private board and returns it.
pub fn insert(
    tx: &mut WriteTx<'_>,
    _leave: &Permit<acts::UseServer, ()>,
    board_id: &BoardId,
    name: &str,
    owner: &UserId,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("INSERT INTO boards (board_id, board_name, user_id, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)")?
        .execute((board_id, name, owner, now.sql()))?;
    Ok(())
}

/// Changes a board. Its time of change is in whole seconds, as clients of the original have it.
pub fn update(
    tx: &mut WriteTx<'_>,
    board: &Permit<acts::UpdateBoard, Board>,
    changes: &BoardChanges,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "UPDATE boards SET board_name = COALESCE(?2, board_name), cover_image_name = COALESCE(?3, cover_image_name),
                    archived = COALESCE(?4, archived), board_visibility = COALESCE(?5, board_visibility), updated_at = ?6
             WHERE board_id = ?1",
        )?
        .execute((
            &board.board_id,
            &changes.board_name,
            &changes.cover_image_name,
            changes.archived,
            changes.board_visibility.map(Visibility::as_str),
            &now.sql()[..19],
        ))?;
    Ok(())
}

/// Deletes a board; what lay on it lies on none from then on.
pub fn delete(tx: &mut WriteTx<'_>, board: &Permit<acts::DeleteBoard, Board>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM boards WHERE board_id = ?1")?
        .execute([&board.board_id])?;
    Ok(())
}

/// Where an image lies.
#[derive(Debug)]
pub enum Whereabouts {
    /// There is no such image.
    Nowhere,
    /// On no board.
    Uncategorised,
    /// On this one.
    On(Sealed<BoardRights>),
}

/// The board that an image lies on.
pub fn of_image(tx: &ReadTx<'_>, name: &ImageName) -> rusqlite::Result<Whereabouts> {
    let board: Option<BoardId> = tx
        .sql()
        .prepare_cached("SELECT gallery_board FROM images WHERE image_name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(match board {
        None => Whereabouts::Nowhere,
        Some(board) if board.as_str().is_empty() => Whereabouts::Uncategorised,
        Some(board) => Whereabouts::On(rights(tx, &board)?),
    })
}

/// Puts a new image on a board.
pub fn put_image<A: FillsBoard>(
    tx: &mut WriteTx<'_>,
    board: &Permit<A, BoardRights>,
    image: &ImageName,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.uses(board);
    put(tx, &board.board_id, image, now)
}

/// Puts an image on a board, taking it off the one it was on.
pub fn move_image<A: FillsBoard>(
    tx: &mut WriteTx<'_>,
    board: &Permit<A, BoardRights>,
    image: &Permit<acts::MoveImage, Image>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    put(tx, &board.board_id, &image.image_name, now)
}

fn put(tx: &mut WriteTx<'_>, board: &BoardId, image: &ImageName, now: Timestamp) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO board_images (board_id, image_name, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT (image_name) DO UPDATE SET board_id = excluded.board_id",
        )?
        .execute((board, image, now.sql()))?;
    Ok(())
}

/// Takes an image off this board.
pub fn take_image(tx: &mut WriteTx<'_>, board: &Permit<acts::WriteBoard, BoardRights>, image: &ImageName) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM board_images WHERE board_id = ?1 AND image_name = ?2")?
        .execute((&board.board_id, image))?;
    Ok(())
}
