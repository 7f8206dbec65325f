-- The list of pictures on no board is answered by its index alone: the index holds the board as well, since the list asks for it.

DROP INDEX idx_gallery_loose;
CREATE INDEX idx_gallery_loose ON images (user_id, is_intermediate, starred, created_at, image_name, image_category, gallery_board)
WHERE gallery_board = '';

-- What is left of moves between subfolders that have ended would keep their pictures from being deleted.
DELETE FROM image_subfolder_move_items WHERE job_id IN (SELECT id FROM image_subfolder_move_jobs WHERE state IN ('committed', 'error'));
CREATE INDEX IF NOT EXISTS idx_image_subfolder_move_items_image_name ON image_subfolder_move_items (image_name);
