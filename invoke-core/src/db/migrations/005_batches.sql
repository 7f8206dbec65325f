-- What the items of a batch have in common is stored once: names, order of service, graph. An item's row holds its own values and how it went.
-- The items of a batch bear consecutive numbers, so that a batch needs no index to find them; its number is that of its first item.

CREATE TABLE batches (
    batch_row INTEGER PRIMARY KEY,
    last_item INTEGER NOT NULL,
    batch_id TEXT NOT NULL,
    queue_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    origin TEXT,
    destination TEXT,
    priority INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    -- A list of node and field for each of an item's values; null where items keep these beside their values, or have none.
    fields TEXT,
    -- What an item costs, in steps of a 512 by 512 picture of Stable Diffusion 1.
    cost REAL NOT NULL,
    -- Keys of the models that the graph names, a list.
    models TEXT NOT NULL,
    -- How many items stand where.
    pending INTEGER NOT NULL DEFAULT 0,
    in_progress INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    canceled INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE batch_graphs (
    batch_row INTEGER PRIMARY KEY,
    graph TEXT NOT NULL,
    workflow TEXT
);

CREATE TABLE items (
    item_id INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_row INTEGER NOT NULL,
    queue_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    -- Values of the batch's fields, or a list of node, field and value; null for none.
    field_values TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'in_progress', 'waiting', 'completed', 'failed', 'canceled')),
    status_sequence INTEGER NOT NULL DEFAULT 0,
    -- Null where it is the batch's.
    cost REAL,
    retried_from_item_id INTEGER,
    -- Null until the first change: till then it is the time of creation.
    updated_at TEXT,
    started_at TEXT,
    completed_at TEXT,
    device TEXT,
    error_type TEXT,
    error_message TEXT,
    error_traceback TEXT,
    workflow_call_id TEXT,
    parent_item_id INTEGER,
    parent_session_id TEXT,
    root_item_id INTEGER,
    workflow_call_depth INTEGER,
    workflow TEXT,
    -- Null until the session has run: until then it follows from the batch's graph and the item's values.
    session TEXT
);

CREATE TEMPORARY TABLE moved AS
SELECT item_id, batch_row AS graph_row,
       MIN(item_id) OVER (
           PARTITION BY batch_id, queue_id, user_id, origin, destination, priority, created_at, batch_row
       ) AS batch_row
FROM session_queue;

INSERT INTO items (item_id, batch_row, queue_id, user_id, session_id, field_values, status, status_sequence, retried_from_item_id, updated_at,
                   started_at, completed_at, device, error_type, error_message, error_traceback, workflow_call_id, parent_item_id,
                   parent_session_id, root_item_id, workflow_call_depth, workflow, session)
SELECT q.item_id, m.batch_row, q.queue_id, q.user_id, q.session_id, q.field_values, q.status, q.status_sequence, q.retried_from_item_id,
       q.updated_at, q.started_at, q.completed_at, q.device, q.error_type, q.error_message, q.error_traceback, q.workflow_call_id,
       q.parent_item_id, q.parent_session_id, q.root_item_id, q.workflow_call_depth, q.workflow, q.session
FROM session_queue q JOIN moved m ON m.item_id = q.item_id ORDER BY q.item_id;

INSERT INTO batches (batch_row, last_item, batch_id, queue_id, user_id, origin, destination, priority, created_at, fields, cost, models,
                     pending, in_progress, waiting, completed, failed, canceled)
SELECT m.batch_row, MAX(q.item_id), q.batch_id, q.queue_id, q.user_id, q.origin, q.destination, q.priority, q.created_at, NULL, 1, '[]',
       SUM(q.status = 'pending'), SUM(q.status = 'in_progress'), SUM(q.status = 'waiting'), SUM(q.status = 'completed'),
       SUM(q.status = 'failed'), SUM(q.status = 'canceled')
FROM session_queue q JOIN moved m ON m.item_id = q.item_id GROUP BY m.batch_row;

INSERT INTO batch_graphs
SELECT m.batch_row, b.graph, b.workflow
FROM (SELECT DISTINCT batch_row, graph_row FROM moved) m JOIN queue_batches b ON b.batch_row = m.graph_row;

DROP TABLE moved;
-- Numbers are not given twice, not even those of items that are gone.
INSERT INTO sqlite_sequence (name, seq) SELECT 'items', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'items');
UPDATE sqlite_sequence SET seq = MAX(seq, COALESCE((SELECT seq FROM sqlite_sequence WHERE name IN ('session_queue', 'session_queue_new') LIMIT 1), 0))
WHERE name = 'items';
DROP TABLE session_queue;
DROP TABLE queue_batches;
DROP TABLE queue_counts;
ALTER TABLE items RENAME TO session_queue;
ALTER TABLE batches RENAME TO queue_batches;
ALTER TABLE batch_graphs RENAME TO queue_graphs;

CREATE INDEX idx_session_queue_pending ON session_queue (item_id) WHERE status = 'pending';
CREATE INDEX idx_session_queue_running ON session_queue (item_id) WHERE status = 'in_progress';
CREATE INDEX idx_session_queue_suspended ON session_queue (item_id) WHERE status = 'waiting';
CREATE INDEX idx_session_queue_started ON session_queue (user_id, started_at) WHERE started_at IS NOT NULL;
CREATE INDEX idx_session_queue_calls ON session_queue (root_item_id) WHERE root_item_id IS NOT NULL;
CREATE INDEX idx_queue_batches_waiting ON queue_batches (priority DESC, batch_row) WHERE pending > 0;
CREATE INDEX idx_queue_batches_waiting_by_user ON queue_batches (user_id, priority DESC, batch_row) WHERE pending > 0;
CREATE INDEX idx_queue_batches_batch_id ON queue_batches (batch_id);
CREATE INDEX idx_queue_batches_destination ON queue_batches (destination);
CREATE INDEX idx_queue_batches_created_at ON queue_batches (queue_id, created_at, batch_row);
CREATE INDEX idx_queue_batches_user ON queue_batches (user_id);

-- Counts of one user's items, and of everybody's in the row without a user.
CREATE TABLE queue_counts (
    queue_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    pending INTEGER NOT NULL DEFAULT 0,
    in_progress INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    canceled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue_id, user_id)
) WITHOUT ROWID;

INSERT INTO queue_counts
SELECT queue_id, user_id, SUM(pending), SUM(in_progress), SUM(waiting), SUM(completed), SUM(failed), SUM(canceled)
FROM queue_batches GROUP BY queue_id, user_id;
INSERT INTO queue_counts
SELECT queue_id, '', SUM(pending), SUM(in_progress), SUM(waiting), SUM(completed), SUM(failed), SUM(canceled)
FROM queue_batches GROUP BY queue_id;

-- Whose turn it is: for each user the batch that is served first, when anything of theirs last began, and how much they were served.
CREATE TABLE queue_turns (
    user_id TEXT NOT NULL PRIMARY KEY,
    batch_row INTEGER,
    priority INTEGER,
    last_started TEXT,
    served REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX idx_queue_turns_waiting ON queue_turns (batch_row, priority, last_started, served) WHERE batch_row IS NOT NULL;

INSERT INTO queue_turns (user_id, batch_row, last_started)
SELECT user_id,
       (SELECT batch_row FROM queue_batches b WHERE b.user_id = u.user_id AND b.pending > 0 ORDER BY priority DESC, batch_row LIMIT 1),
       (SELECT MAX(started_at) FROM session_queue q WHERE q.user_id = u.user_id AND started_at IS NOT NULL)
FROM (SELECT DISTINCT user_id FROM queue_batches) u;
UPDATE queue_turns SET priority = (SELECT priority FROM queue_batches b WHERE b.batch_row = queue_turns.batch_row);

CREATE TRIGGER tg_session_queue_status AFTER UPDATE OF status ON session_queue FOR EACH ROW WHEN NEW.status <> OLD.status
BEGIN
    UPDATE queue_batches SET
        pending = pending + (NEW.status = 'pending') - (OLD.status = 'pending'),
        in_progress = in_progress + (NEW.status = 'in_progress') - (OLD.status = 'in_progress'),
        waiting = waiting + (NEW.status = 'waiting') - (OLD.status = 'waiting'),
        completed = completed + (NEW.status = 'completed') - (OLD.status = 'completed'),
        failed = failed + (NEW.status = 'failed') - (OLD.status = 'failed'),
        canceled = canceled + (NEW.status = 'canceled') - (OLD.status = 'canceled')
    WHERE batch_row = NEW.batch_row;
    UPDATE queue_counts SET
        pending = pending + (NEW.status = 'pending') - (OLD.status = 'pending'),
        in_progress = in_progress + (NEW.status = 'in_progress') - (OLD.status = 'in_progress'),
        waiting = waiting + (NEW.status = 'waiting') - (OLD.status = 'waiting'),
        completed = completed + (NEW.status = 'completed') - (OLD.status = 'completed'),
        failed = failed + (NEW.status = 'failed') - (OLD.status = 'failed'),
        canceled = canceled + (NEW.status = 'canceled') - (OLD.status = 'canceled')
    WHERE queue_id = NEW.queue_id AND user_id IN (NEW.user_id, '');
END;

CREATE TRIGGER tg_session_queue_started AFTER UPDATE OF started_at ON session_queue FOR EACH ROW WHEN NEW.started_at IS NOT OLD.started_at
BEGIN
    UPDATE queue_turns SET last_started = (SELECT MAX(started_at) FROM session_queue WHERE user_id = NEW.user_id AND started_at IS NOT NULL)
    WHERE user_id = NEW.user_id;
END;

CREATE TRIGGER tg_session_queue_deleted AFTER DELETE ON session_queue FOR EACH ROW
BEGIN
    UPDATE queue_batches SET
        pending = pending - (OLD.status = 'pending'),
        in_progress = in_progress - (OLD.status = 'in_progress'),
        waiting = waiting - (OLD.status = 'waiting'),
        completed = completed - (OLD.status = 'completed'),
        failed = failed - (OLD.status = 'failed'),
        canceled = canceled - (OLD.status = 'canceled')
    WHERE batch_row = OLD.batch_row;
    UPDATE queue_counts SET
        pending = pending - (OLD.status = 'pending'),
        in_progress = in_progress - (OLD.status = 'in_progress'),
        waiting = waiting - (OLD.status = 'waiting'),
        completed = completed - (OLD.status = 'completed'),
        failed = failed - (OLD.status = 'failed'),
        canceled = canceled - (OLD.status = 'canceled')
    WHERE queue_id = OLD.queue_id AND user_id IN (OLD.user_id, '');
    DELETE FROM queue_batches WHERE batch_row = OLD.batch_row AND pending + in_progress + waiting + completed + failed + canceled = 0;
    UPDATE queue_turns SET last_started = (SELECT MAX(started_at) FROM session_queue WHERE user_id = OLD.user_id AND started_at IS NOT NULL)
    WHERE user_id = OLD.user_id AND last_started = OLD.started_at;
END;

CREATE TRIGGER tg_queue_batches_waiting AFTER UPDATE OF pending ON queue_batches FOR EACH ROW WHEN (NEW.pending > 0) <> (OLD.pending > 0)
BEGIN
    UPDATE queue_turns SET (batch_row, priority) = (
        SELECT batch_row, priority FROM queue_batches WHERE user_id = NEW.user_id AND pending > 0 ORDER BY priority DESC, batch_row LIMIT 1
    )
    WHERE user_id = NEW.user_id;
END;

CREATE TRIGGER tg_queue_batches_deleted AFTER DELETE ON queue_batches FOR EACH ROW
BEGIN
    DELETE FROM queue_graphs WHERE batch_row = OLD.batch_row;
END;
