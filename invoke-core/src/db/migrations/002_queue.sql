-- The queue as this program keeps it: a batch's graph and workflow are stored once, beside them only what differs from session to
-- session; counts are kept as rows are written, so that the status of a long queue costs nothing; times come from the program's clock.

CREATE TABLE queue_batches (
    batch_row INTEGER PRIMARY KEY,
    graph TEXT NOT NULL,
    workflow TEXT
);

DROP TRIGGER tg_session_queue_completed_at;
DROP TRIGGER tg_session_queue_started_at;
DROP TRIGGER tg_session_queue_updated_at;

CREATE TABLE session_queue_new (
    item_id INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_id TEXT NOT NULL,
    queue_id TEXT NOT NULL,
    session_id TEXT NOT NULL UNIQUE,
    field_values TEXT,
    -- Null until the session has run: until then it follows from the batch's graph and the field values.
    session TEXT,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'in_progress', 'waiting', 'completed', 'failed', 'canceled')),
    priority INTEGER NOT NULL DEFAULT 0,
    error_traceback TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    started_at TEXT,
    completed_at TEXT,
    workflow TEXT,
    error_type TEXT,
    error_message TEXT,
    origin TEXT,
    destination TEXT,
    retried_from_item_id INTEGER,
    user_id TEXT NOT NULL DEFAULT 'system',
    status_sequence INTEGER NOT NULL DEFAULT 0,
    device TEXT,
    workflow_call_id TEXT,
    parent_item_id INTEGER,
    parent_session_id TEXT,
    root_item_id INTEGER,
    workflow_call_depth INTEGER,
    batch_row INTEGER REFERENCES queue_batches (batch_row)
);

INSERT INTO session_queue_new
SELECT item_id, batch_id, queue_id, session_id, field_values, session, status, priority, error_traceback, created_at, updated_at,
       started_at, completed_at, workflow, error_type, error_message, origin, destination, retried_from_item_id,
       COALESCE(user_id, 'system'), COALESCE(status_sequence, 0), device, workflow_call_id, parent_item_id, parent_session_id,
       root_item_id, workflow_call_depth, NULL
FROM session_queue;

DROP TABLE session_queue;
ALTER TABLE session_queue_new RENAME TO session_queue;

CREATE INDEX idx_session_queue_pending ON session_queue (priority DESC, item_id) WHERE status = 'pending';
CREATE INDEX idx_session_queue_pending_by_user ON session_queue (user_id, priority DESC, item_id) WHERE status = 'pending';
CREATE INDEX idx_session_queue_open ON session_queue (status, item_id) WHERE status IN ('in_progress', 'waiting');
CREATE INDEX idx_session_queue_user_started_at ON session_queue (user_id, started_at);
CREATE INDEX idx_session_queue_batch_id ON session_queue (batch_id, status);
CREATE INDEX idx_session_queue_destination ON session_queue (destination, status);
CREATE INDEX idx_session_queue_batch_row ON session_queue (batch_row);
CREATE INDEX idx_session_queue_created_at ON session_queue (queue_id, created_at, item_id);

CREATE TABLE queue_counts (
    queue_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    status TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (queue_id, user_id, status)
) WITHOUT ROWID;

INSERT INTO queue_counts SELECT queue_id, user_id, status, COUNT(*) FROM session_queue GROUP BY queue_id, user_id, status;

CREATE TRIGGER tg_queue_counts_insert AFTER INSERT ON session_queue FOR EACH ROW
BEGIN
    INSERT INTO queue_counts VALUES (NEW.queue_id, NEW.user_id, NEW.status, 1)
    ON CONFLICT (queue_id, user_id, status) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER tg_queue_counts_update AFTER UPDATE OF status ON session_queue FOR EACH ROW WHEN NEW.status <> OLD.status
BEGIN
    UPDATE queue_counts SET n = n - 1 WHERE queue_id = OLD.queue_id AND user_id = OLD.user_id AND status = OLD.status;
    INSERT INTO queue_counts VALUES (NEW.queue_id, NEW.user_id, NEW.status, 1)
    ON CONFLICT (queue_id, user_id, status) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER tg_queue_counts_delete AFTER DELETE ON session_queue FOR EACH ROW
BEGIN
    UPDATE queue_counts SET n = n - 1 WHERE queue_id = OLD.queue_id AND user_id = OLD.user_id AND status = OLD.status;
END;

-- A batch's graph goes with its last item.
CREATE TRIGGER tg_queue_batches_unused AFTER DELETE ON session_queue FOR EACH ROW WHEN OLD.batch_row IS NOT NULL
BEGIN
    DELETE FROM queue_batches
    WHERE batch_row = OLD.batch_row AND NOT EXISTS (SELECT 1 FROM session_queue WHERE batch_row = OLD.batch_row);
END;

-- The gallery: one user's pictures by date, and everybody's for administrators.
CREATE INDEX idx_images_gallery ON images (user_id, is_intermediate, starred DESC, created_at DESC, image_name);
