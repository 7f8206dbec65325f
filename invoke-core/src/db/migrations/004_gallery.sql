-- The gallery of hundreds of thousands of pictures: the board of a picture stands in its own row, so that one index answers a list from
-- end to end; counts are kept as rows are written. Triggers keep both, whichever program writes.

DROP INDEX idx_images_gallery;

-- The clock is the program's: a row's time of change is set here only where the writer did not set it.
DROP TRIGGER tg_images_updated_at;
DROP TRIGGER tg_boards_updated_at;

UPDATE images SET user_id = COALESCE(user_id, 'system'), is_intermediate = COALESCE(is_intermediate, FALSE), starred = COALESCE(starred, FALSE)
WHERE user_id IS NULL OR is_intermediate IS NULL OR starred IS NULL;
UPDATE boards SET user_id = 'system' WHERE user_id IS NULL;

-- Empty for a picture on no board.
ALTER TABLE images ADD COLUMN gallery_board TEXT NOT NULL DEFAULT '';
UPDATE images SET gallery_board = b.board_id FROM board_images b WHERE b.image_name = images.image_name;

CREATE TRIGGER tg_images_updated_at
AFTER UPDATE OF image_origin, image_category, width, height, session_id, node_id, metadata, is_intermediate, deleted_at, starred, has_workflow,
    user_id, image_subfolder ON images FOR EACH ROW WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE images SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE image_name = OLD.image_name;
END;

CREATE TRIGGER tg_boards_updated_at AFTER UPDATE ON boards FOR EACH ROW WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE boards SET updated_at = CURRENT_TIMESTAMP WHERE board_id = OLD.board_id;
END;

CREATE TRIGGER tg_board_images_put AFTER INSERT ON board_images FOR EACH ROW
BEGIN
    UPDATE images SET gallery_board = NEW.board_id WHERE image_name = NEW.image_name;
END;

CREATE TRIGGER tg_board_images_moved AFTER UPDATE OF board_id ON board_images FOR EACH ROW
BEGIN
    UPDATE images SET gallery_board = NEW.board_id WHERE image_name = NEW.image_name;
END;

CREATE TRIGGER tg_board_images_taken AFTER DELETE ON board_images FOR EACH ROW
BEGIN
    UPDATE images SET gallery_board = '' WHERE image_name = OLD.image_name AND gallery_board = OLD.board_id;
END;

-- Lists in order, each from one index: a user's pictures, a user's on no board, a board's, everybody's.
CREATE INDEX idx_gallery_user ON images (user_id, is_intermediate, starred, created_at, image_name, image_category, gallery_board);
CREATE INDEX idx_gallery_loose ON images (user_id, is_intermediate, starred, created_at, image_name, image_category) WHERE gallery_board = '';
CREATE INDEX idx_gallery_board ON images (gallery_board, is_intermediate, starred, created_at, image_name, image_category, user_id);
CREATE INDEX idx_gallery_all ON images (is_intermediate, starred, created_at, image_name, image_category, gallery_board);
-- A picture that goes is looked for among the boards' covers.
CREATE INDEX idx_boards_cover ON boards (cover_image_name);

CREATE TABLE gallery_counts (
    board_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    image_category TEXT NOT NULL,
    image_origin TEXT NOT NULL,
    is_intermediate INTEGER NOT NULL,
    starred INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (board_id, user_id, image_category, image_origin, is_intermediate, starred)
) WITHOUT ROWID;

CREATE INDEX idx_gallery_counts_user ON gallery_counts (user_id);

INSERT INTO gallery_counts
SELECT gallery_board, user_id, image_category, image_origin, is_intermediate, starred, COUNT(*) FROM images GROUP BY 1, 2, 3, 4, 5, 6;

-- What was made on each day, intermediates left out.
CREATE TABLE gallery_days (
    user_id TEXT NOT NULL,
    day TEXT NOT NULL,
    image_category TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (user_id, day, image_category)
) WITHOUT ROWID;

INSERT INTO gallery_days
SELECT user_id, SUBSTR(created_at, 1, 10), image_category, COUNT(*) FROM images WHERE NOT is_intermediate GROUP BY 1, 2, 3;

CREATE TRIGGER tg_gallery_insert AFTER INSERT ON images FOR EACH ROW
BEGIN
    INSERT INTO gallery_counts VALUES (NEW.gallery_board, NEW.user_id, NEW.image_category, NEW.image_origin, NEW.is_intermediate, NEW.starred, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
    INSERT INTO gallery_days SELECT NEW.user_id, SUBSTR(NEW.created_at, 1, 10), NEW.image_category, 1 WHERE NOT NEW.is_intermediate
    ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER tg_gallery_delete AFTER DELETE ON images FOR EACH ROW
BEGIN
    UPDATE gallery_counts SET n = n - 1
    WHERE board_id = OLD.gallery_board AND user_id = OLD.user_id AND image_category = OLD.image_category AND image_origin = OLD.image_origin
        AND is_intermediate = OLD.is_intermediate AND starred = OLD.starred;
    UPDATE gallery_days SET n = n - 1
    WHERE NOT OLD.is_intermediate AND user_id = OLD.user_id AND day = SUBSTR(OLD.created_at, 1, 10) AND image_category = OLD.image_category;
END;

CREATE TRIGGER tg_gallery_update
AFTER UPDATE OF gallery_board, user_id, image_category, image_origin, is_intermediate, starred, created_at ON images FOR EACH ROW
WHEN (NEW.gallery_board, NEW.user_id, NEW.image_category, NEW.image_origin, NEW.is_intermediate, NEW.starred, NEW.created_at)
    IS NOT (OLD.gallery_board, OLD.user_id, OLD.image_category, OLD.image_origin, OLD.is_intermediate, OLD.starred, OLD.created_at)
BEGIN
    UPDATE gallery_counts SET n = n - 1
    WHERE board_id = OLD.gallery_board AND user_id = OLD.user_id AND image_category = OLD.image_category AND image_origin = OLD.image_origin
        AND is_intermediate = OLD.is_intermediate AND starred = OLD.starred;
    UPDATE gallery_days SET n = n - 1
    WHERE NOT OLD.is_intermediate AND user_id = OLD.user_id AND day = SUBSTR(OLD.created_at, 1, 10) AND image_category = OLD.image_category;
    INSERT INTO gallery_counts VALUES (NEW.gallery_board, NEW.user_id, NEW.image_category, NEW.image_origin, NEW.is_intermediate, NEW.starred, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
    INSERT INTO gallery_days SELECT NEW.user_id, SUBSTR(NEW.created_at, 1, 10), NEW.image_category, 1 WHERE NOT NEW.is_intermediate
    ON CONFLICT DO UPDATE SET n = n + 1;
END;

-- By now a board's pictures are counted as lying on none.
CREATE TRIGGER tg_gallery_board_deleted AFTER DELETE ON boards FOR EACH ROW
BEGIN
    DELETE FROM gallery_counts WHERE board_id = OLD.board_id;
END;
