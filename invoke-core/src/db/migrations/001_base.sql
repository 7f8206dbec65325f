-- The schema that InvokeAI 6.14 ends with, after all of its migrations, with its own bookkeeping, so that an installation can be
-- taken over and handed back.

CREATE TABLE migrations (
    version INTEGER PRIMARY KEY,
    migrated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW'))
);

CREATE TABLE applied_migrations (
    migration_id TEXT PRIMARY KEY,
    legacy_version INTEGER UNIQUE,
    migrated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW'))
);

WITH RECURSIVE n(v) AS (SELECT 0 UNION ALL SELECT v + 1 FROM n WHERE v < 33) INSERT INTO migrations (version) SELECT v FROM n;

WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 33)
INSERT INTO applied_migrations (migration_id, legacy_version) SELECT 'migration_' || v, v FROM n;

INSERT INTO applied_migrations (migration_id) VALUES
    ('2026_07_01_add_session_queue_device'),
    ('2026_07_01_add_videos_tables'),
    ('2026_07_01_add_workflow_call_queue_metadata'),
    ('2026_07_03_round_robin_indexes'),
    ('2026_07_10_create_system_prompts'),
    ('2026_07_31_add_user_token_epoch'),
    ('2026_08_08_demote_system_user');

CREATE TABLE users (
    user_id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    display_name TEXT,
    password_hash TEXT NOT NULL,
    is_admin BOOLEAN NOT NULL DEFAULT FALSE,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    last_login_at DATETIME,
    token_epoch INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX idx_users_email ON users (email);

CREATE INDEX idx_users_is_admin ON users (is_admin);

CREATE INDEX idx_users_is_active ON users (is_active);

CREATE TRIGGER tg_users_updated_at AFTER UPDATE ON users FOR EACH ROW
BEGIN
    UPDATE users SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE user_id = OLD.user_id;
END;

INSERT INTO users (user_id, email, display_name, password_hash, is_admin, is_active) VALUES ('system', 'system@system.invokeai', 'System', '', FALSE, TRUE);

CREATE TABLE user_sessions (
    session_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    token_hash TEXT NOT NULL,
    expires_at DATETIME NOT NULL,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    last_activity_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW'))
);

CREATE TABLE user_invitations (
    invitation_id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    invited_by TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    invitation_code TEXT NOT NULL UNIQUE,
    is_admin BOOLEAN NOT NULL DEFAULT FALSE,
    expires_at DATETIME NOT NULL,
    used_at DATETIME,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW'))
);

CREATE TABLE app_settings (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW'))
);

CREATE TRIGGER tg_app_settings_updated_at AFTER UPDATE ON app_settings FOR EACH ROW
BEGIN
    UPDATE app_settings SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE key = OLD.key;
END;

CREATE TABLE client_state (
    user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (user_id, key)
);

CREATE TRIGGER tg_client_state_updated_at AFTER UPDATE ON client_state FOR EACH ROW
BEGIN
    UPDATE client_state SET updated_at = CURRENT_TIMESTAMP WHERE user_id = OLD.user_id AND key = OLD.key;
END;

CREATE TABLE images (
    image_name TEXT NOT NULL PRIMARY KEY,
    image_origin TEXT NOT NULL,
    image_category TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    session_id TEXT,
    node_id TEXT,
    metadata TEXT,
    is_intermediate BOOLEAN DEFAULT FALSE,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    deleted_at DATETIME,
    starred BOOLEAN DEFAULT FALSE,
    has_workflow BOOLEAN DEFAULT FALSE,
    user_id TEXT DEFAULT 'system',
    image_subfolder TEXT NOT NULL DEFAULT ''
);

CREATE INDEX idx_images_image_origin ON images (image_origin);

CREATE INDEX idx_images_image_category ON images (image_category);

CREATE INDEX idx_images_created_at ON images (created_at);

CREATE INDEX idx_images_starred ON images (starred);

CREATE INDEX idx_images_user_id ON images (user_id);

CREATE TRIGGER tg_images_updated_at AFTER UPDATE ON images FOR EACH ROW
BEGIN
    UPDATE images SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE image_name = OLD.image_name;
END;

CREATE TABLE boards (
    board_id TEXT NOT NULL PRIMARY KEY,
    board_name TEXT NOT NULL,
    cover_image_name TEXT REFERENCES images (image_name) ON DELETE SET NULL,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    deleted_at DATETIME,
    archived BOOLEAN DEFAULT FALSE,
    user_id TEXT DEFAULT 'system',
    is_public BOOLEAN NOT NULL DEFAULT FALSE,
    board_visibility TEXT NOT NULL DEFAULT 'private'
);

CREATE INDEX idx_boards_created_at ON boards (created_at);

CREATE INDEX idx_boards_user_id ON boards (user_id);

CREATE INDEX idx_boards_board_visibility ON boards (board_visibility);

CREATE INDEX idx_boards_is_public ON boards (is_public);

CREATE TRIGGER tg_boards_updated_at AFTER UPDATE ON boards FOR EACH ROW
BEGIN
    UPDATE boards SET updated_at = CURRENT_TIMESTAMP WHERE board_id = OLD.board_id;
END;

CREATE TABLE shared_boards (
    board_id TEXT NOT NULL REFERENCES boards (board_id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    can_edit BOOLEAN NOT NULL DEFAULT FALSE,
    shared_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    PRIMARY KEY (board_id, user_id)
);

CREATE TABLE board_images (
    board_id TEXT NOT NULL REFERENCES boards (board_id) ON DELETE CASCADE,
    image_name TEXT NOT NULL PRIMARY KEY REFERENCES images (image_name) ON DELETE CASCADE,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    deleted_at DATETIME
);

CREATE INDEX idx_board_images_board_id ON board_images (board_id);
CREATE INDEX idx_board_images_board_id_created_at ON board_images (board_id, created_at);

CREATE TRIGGER tg_board_images_updated_at AFTER UPDATE ON board_images FOR EACH ROW
BEGIN
    UPDATE board_images SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE board_id = OLD.board_id AND image_name = OLD.image_name;
END;

CREATE TABLE videos (
    video_name TEXT NOT NULL PRIMARY KEY,
    video_origin TEXT NOT NULL,
    video_category TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    duration REAL NOT NULL DEFAULT 0.0,
    fps REAL,
    session_id TEXT,
    node_id TEXT,
    metadata TEXT,
    is_intermediate BOOLEAN DEFAULT FALSE,
    starred BOOLEAN DEFAULT FALSE,
    has_workflow BOOLEAN DEFAULT FALSE,
    user_id TEXT NOT NULL DEFAULT 'system',
    video_subfolder TEXT NOT NULL DEFAULT '',
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    deleted_at DATETIME
);

CREATE TRIGGER tg_videos_updated_at AFTER UPDATE ON videos FOR EACH ROW
BEGIN
    UPDATE videos SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE video_name = OLD.video_name;
END;

CREATE TABLE board_videos (
    board_id TEXT NOT NULL REFERENCES boards (board_id) ON DELETE CASCADE,
    video_name TEXT NOT NULL PRIMARY KEY REFERENCES videos (video_name) ON DELETE CASCADE,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    deleted_at DATETIME
);

CREATE TRIGGER tg_board_videos_updated_at AFTER UPDATE ON board_videos FOR EACH ROW
BEGIN
    UPDATE board_videos SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE board_id = OLD.board_id AND video_name = OLD.video_name;
END;

CREATE TABLE image_subfolder_move_jobs (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('planned', 'moving', 'moved', 'committed', 'error')),
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    error_message TEXT
);

CREATE TABLE image_subfolder_move_items (
    job_id INTEGER NOT NULL REFERENCES image_subfolder_move_jobs (id) ON DELETE CASCADE,
    image_name TEXT NOT NULL REFERENCES images (image_name),
    old_subfolder TEXT NOT NULL,
    new_subfolder TEXT NOT NULL,
    is_intermediate BOOLEAN NOT NULL DEFAULT FALSE,
    old_path TEXT NOT NULL,
    new_path TEXT NOT NULL,
    old_thumbnail_path TEXT NOT NULL,
    new_thumbnail_path TEXT NOT NULL,
    state TEXT NOT NULL,
    error_message TEXT,
    PRIMARY KEY (job_id, image_name)
);

CREATE TABLE workflow_library (
    workflow_id TEXT NOT NULL PRIMARY KEY,
    workflow TEXT NOT NULL,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    opened_at DATETIME,
    user_id TEXT DEFAULT 'system',
    is_public BOOLEAN NOT NULL DEFAULT FALSE,
    category TEXT GENERATED ALWAYS AS (json_extract(workflow, '$.meta.category')) VIRTUAL NOT NULL,
    name TEXT GENERATED ALWAYS AS (json_extract(workflow, '$.name')) VIRTUAL NOT NULL,
    description TEXT GENERATED ALWAYS AS (json_extract(workflow, '$.description')) VIRTUAL NOT NULL,
    tags TEXT GENERATED ALWAYS AS (json_extract(workflow, '$.tags')) VIRTUAL
);

CREATE TRIGGER tg_workflow_library_updated_at AFTER UPDATE ON workflow_library FOR EACH ROW
BEGIN
    UPDATE workflow_library SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE workflow_id = OLD.workflow_id;
END;

CREATE TABLE style_presets (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    preset_data TEXT NOT NULL,
    type TEXT NOT NULL DEFAULT 'user',
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    user_id TEXT DEFAULT 'system',
    is_public BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE TRIGGER style_presets_updated_at AFTER UPDATE ON style_presets FOR EACH ROW
BEGIN
    UPDATE style_presets SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE id = OLD.id;
END;

CREATE TABLE system_prompts (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    user_id TEXT NOT NULL DEFAULT 'system',
    is_public BOOLEAN NOT NULL DEFAULT FALSE,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW'))
);

CREATE TRIGGER tg_system_prompts_updated_at AFTER UPDATE ON system_prompts FOR EACH ROW
BEGIN
    UPDATE system_prompts SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE id = OLD.id;
END;

CREATE TABLE models (
    id TEXT NOT NULL PRIMARY KEY,
    config TEXT NOT NULL,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    hash TEXT GENERATED ALWAYS AS (json_extract(config, '$.hash')) VIRTUAL NOT NULL,
    base TEXT GENERATED ALWAYS AS (json_extract(config, '$.base')) VIRTUAL NOT NULL,
    type TEXT GENERATED ALWAYS AS (json_extract(config, '$.type')) VIRTUAL NOT NULL,
    path TEXT GENERATED ALWAYS AS (json_extract(config, '$.path')) VIRTUAL NOT NULL UNIQUE,
    format TEXT GENERATED ALWAYS AS (json_extract(config, '$.format')) VIRTUAL NOT NULL,
    name TEXT GENERATED ALWAYS AS (json_extract(config, '$.name')) VIRTUAL NOT NULL,
    source TEXT GENERATED ALWAYS AS (json_extract(config, '$.source')) VIRTUAL NOT NULL,
    source_type TEXT GENERATED ALWAYS AS (json_extract(config, '$.source_type')) VIRTUAL NOT NULL,
    file_size INTEGER GENERATED ALWAYS AS (json_extract(config, '$.file_size')) VIRTUAL NOT NULL,
    description TEXT GENERATED ALWAYS AS (json_extract(config, '$.description')) VIRTUAL,
    source_api_response TEXT GENERATED ALWAYS AS (json_extract(config, '$.source_api_response')) VIRTUAL,
    trigger_phrases TEXT GENERATED ALWAYS AS (json_extract(config, '$.trigger_phrases')) VIRTUAL
);

CREATE INDEX idx_models_base ON models (base);

CREATE INDEX idx_models_type ON models (type);

CREATE INDEX idx_models_name ON models (name);

CREATE TRIGGER tg_models_updated_at AFTER UPDATE ON models FOR EACH ROW
BEGIN
    UPDATE models SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE id = OLD.id;
END;

CREATE TABLE model_relationships (
    model_key_1 TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    model_key_2 TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    PRIMARY KEY (model_key_1, model_key_2)
);

CREATE TABLE session_queue (
    item_id INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_id TEXT NOT NULL,
    queue_id TEXT NOT NULL,
    session_id TEXT NOT NULL UNIQUE,
    field_values TEXT,
    session TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    priority INTEGER NOT NULL DEFAULT 0,
    error_traceback TEXT,
    created_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    updated_at DATETIME NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')),
    started_at DATETIME,
    completed_at DATETIME,
    workflow TEXT,
    error_type TEXT,
    error_message TEXT,
    origin TEXT,
    destination TEXT,
    retried_from_item_id INTEGER,
    user_id TEXT DEFAULT 'system',
    status_sequence INTEGER DEFAULT 0,
    device TEXT,
    workflow_call_id TEXT,
    parent_item_id INTEGER,
    parent_session_id TEXT,
    root_item_id INTEGER,
    workflow_call_depth INTEGER
);

CREATE INDEX idx_session_queue_round_robin_pending ON session_queue (status, user_id, priority DESC, item_id ASC);
CREATE INDEX idx_session_queue_user_started_at ON session_queue (user_id, started_at);

CREATE TRIGGER tg_session_queue_completed_at AFTER UPDATE OF status ON session_queue FOR EACH ROW
WHEN NEW.status IN ('completed', 'failed', 'canceled')
BEGIN
    UPDATE session_queue SET completed_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE item_id = NEW.item_id;
END;

CREATE TRIGGER tg_session_queue_started_at AFTER UPDATE OF status ON session_queue FOR EACH ROW
WHEN NEW.status = 'in_progress'
BEGIN
    UPDATE session_queue SET started_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE item_id = NEW.item_id;
END;

CREATE TRIGGER tg_session_queue_updated_at AFTER UPDATE ON session_queue FOR EACH ROW
BEGIN
    UPDATE session_queue SET updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE item_id = OLD.item_id;
END;
