-- Counts the changes of what lists of pictures show: for each owner, and under '' for everybody. A list that was read at the same count still holds.
CREATE TABLE gallery_changes (
    user_id TEXT NOT NULL PRIMARY KEY,
    n INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER tg_gallery_changes_insert AFTER INSERT ON images FOR EACH ROW
BEGIN
    INSERT INTO gallery_changes VALUES (NEW.user_id, 1), ('', 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER tg_gallery_changes_delete AFTER DELETE ON images FOR EACH ROW
BEGIN
    INSERT INTO gallery_changes VALUES (OLD.user_id, 1), ('', 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;

-- All columns that a list goes by.
CREATE TRIGGER tg_gallery_changes_update
AFTER UPDATE OF image_name, gallery_board, user_id, image_category, image_origin, is_intermediate, starred, created_at, metadata ON images FOR EACH ROW
WHEN (NEW.image_name, NEW.gallery_board, NEW.user_id, NEW.image_category, NEW.image_origin, NEW.is_intermediate, NEW.starred, NEW.created_at, NEW.metadata)
    IS NOT (OLD.image_name, OLD.gallery_board, OLD.user_id, OLD.image_category, OLD.image_origin, OLD.is_intermediate, OLD.starred, OLD.created_at, OLD.metadata)
BEGIN
    INSERT INTO gallery_changes VALUES (OLD.user_id, 1), (NEW.user_id, 1), ('', 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
