-- Files that were uploaded or written by an agent, and the copies that sessions have of them (``scope_id`` is the session).
-- ``blob`` names the bytes; it is null when they are gone because the file has expired.
CREATE TABLE files (
    id           TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    scope_id     TEXT,
    blob         TEXT,
    body         TEXT NOT NULL,
    CHECK (blob IS NOT NULL OR expires_at IS NOT NULL)
);
-- The plain list shows what no session owns; a session's list shows the rest.
CREATE INDEX files_by_age ON files (workspace_id, created_at, id) WHERE scope_id IS NULL;
CREATE INDEX files_by_scope ON files (scope_id, created_at, id) WHERE scope_id IS NOT NULL;
-- Whether anybody still needs some bytes.
CREATE INDEX files_by_blob ON files (blob) WHERE blob IS NOT NULL;
-- Housekeeping: whose bytes are to go, and which expired file has been shown long enough.
CREATE INDEX files_expiring ON files (expires_at) WHERE expires_at IS NOT NULL AND blob IS NOT NULL;
CREATE INDEX files_expired ON files (expires_at) WHERE blob IS NULL;

-- The bytes of files: once for each workspace, however many of its files have them. ``location`` is where they lie.
CREATE TABLE file_blobs (
    location     TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL,
    digest       TEXT NOT NULL,
    size         INTEGER NOT NULL
);
CREATE UNIQUE INDEX file_blobs_by_digest ON file_blobs (workspace_id, digest);

-- Objects that are to be removed, and for a while those that have been: no row may name one of them any more.
CREATE TABLE buried_objects (
    location   TEXT PRIMARY KEY,
    buried_at  INTEGER NOT NULL,
    removed_at INTEGER
);
CREATE INDEX buried_objects_waiting ON buried_objects (buried_at) WHERE removed_at IS NULL;
CREATE INDEX buried_objects_by_age ON buried_objects (removed_at) WHERE removed_at IS NOT NULL;
