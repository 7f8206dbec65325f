-- What InvokeAI does not have: keys for programs, and a record of who signed in and who administered what.

CREATE TABLE api_keys (
    key_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- Of the whole key; the key itself is not kept.
    key_hash BLOB NOT NULL UNIQUE,
    scope TEXT NOT NULL CHECK (scope IN ('read', 'write')),
    created_at TEXT NOT NULL,
    expires_at TEXT,
    last_used_at TEXT
) STRICT;

CREATE INDEX idx_api_keys_user_id ON api_keys (user_id, created_at);

CREATE TABLE audit_log (
    entry_id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    -- Empty for nobody. No foreign key: what somebody did outlives their account.
    actor_id TEXT NOT NULL,
    door TEXT NOT NULL,
    act TEXT NOT NULL,
    subject_id TEXT,
    address TEXT,
    detail TEXT
) STRICT;

CREATE INDEX idx_audit_log_actor ON audit_log (actor_id, entry_id);
CREATE INDEX idx_audit_log_subject ON audit_log (subject_id, entry_id) WHERE subject_id IS NOT NULL;
