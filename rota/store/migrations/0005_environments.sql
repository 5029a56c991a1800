CREATE TABLE environments (
    id           TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    archived_at  INTEGER,
    name         TEXT NOT NULL,
    body         TEXT NOT NULL
);
CREATE INDEX environments_by_age ON environments (workspace_id, created_at, id);
CREATE UNIQUE INDEX environments_name ON environments (workspace_id, name) WHERE archived_at IS NULL;
