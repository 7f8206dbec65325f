-- What a program asked for with an API key runs with a key's rights, which are never an administrator's.
ALTER TABLE queue_batches ADD COLUMN by_key INTEGER NOT NULL DEFAULT 0;

-- Entries are added and never changed. Those of people signing in go after a while, since whoever guesses passwords adds one with each guess; what
-- administrators did stays.
CREATE INDEX idx_audit_log_sign_in ON audit_log (entry_id) WHERE act GLOB 'login*';
CREATE TRIGGER tg_audit_log_kept BEFORE DELETE ON audit_log FOR EACH ROW WHEN OLD.act NOT GLOB 'login*'
BEGIN
    SELECT RAISE(ABORT, 'the record of administration is kept');
END;
CREATE TRIGGER tg_audit_log_unchanged BEFORE UPDATE ON audit_log FOR EACH ROW
BEGIN
    SELECT RAISE(ABORT, 'entries of the record do not change');
END;
