-- ``memories`` counts what a store holds, so that its limit costs no counting.
CREATE TABLE memory_stores (
    id           TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    archived_at  INTEGER,
    memories     INTEGER NOT NULL CHECK (memories >= 0),
    body         TEXT NOT NULL
);
CREATE INDEX memory_stores_by_age ON memory_stores (workspace_id, created_at, id);

-- What is there now. The content is that of the version named here, and is kept nowhere else. The unique index finds what is
-- at a path, above it and below it, and is what lists of one folder walk.
CREATE TABLE memories (
    id              TEXT PRIMARY KEY,
    memory_store_id TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    path            TEXT NOT NULL,
    version_id      TEXT NOT NULL,
    body            TEXT NOT NULL
);
CREATE UNIQUE INDEX memories_path ON memories (memory_store_id, path);
CREATE INDEX memories_by_age ON memories (memory_store_id, created_at, id);

-- What happened, one row a change. ``expires_at`` is set when a version is no longer among the newest of its memory, or when
-- the memory is deleted: from then on it may be removed. ``content`` comes last, so that lists without it never read it.
CREATE TABLE memory_versions (
    id              TEXT PRIMARY KEY,
    memory_store_id TEXT NOT NULL,
    memory_id       TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER,
    operation       TEXT NOT NULL CHECK (operation IN ('created', 'modified', 'deleted')),
    actor_type      TEXT NOT NULL
                    CHECK (actor_type IN ('session_actor', 'api_actor', 'user_actor', 'service_account_actor')),
    actor_id        TEXT NOT NULL,
    body            TEXT NOT NULL,
    content         TEXT
);
-- One for all versions of a store, one for a memory's, one for those of whoever made them, and one for what may be removed.
CREATE INDEX memory_versions_by_age ON memory_versions (memory_store_id, created_at, id);
CREATE INDEX memory_versions_by_memory ON memory_versions (memory_id, created_at, id);
CREATE INDEX memory_versions_by_actor ON memory_versions (memory_store_id, actor_id, created_at, id);
CREATE INDEX memory_versions_expiring ON memory_versions (expires_at) WHERE expires_at IS NOT NULL;

-- Stores that were deleted while they had more versions than one transaction should remove. Nothing leads to those rows any
-- more; housekeeping removes them, and then this note.
CREATE TABLE deleted_memory_stores (
    id TEXT PRIMARY KEY
);
