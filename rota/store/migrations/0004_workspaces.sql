-- Organizations, their workspaces, and the keys that open them.
CREATE TABLE organizations (
    id         TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    disabled   INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    name       TEXT NOT NULL
);

CREATE TABLE workspaces (
    id              TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    archived_at     INTEGER,
    is_default      INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    body            TEXT NOT NULL
);
CREATE INDEX workspaces_by_age ON workspaces (organization_id, created_at, id);
CREATE UNIQUE INDEX workspaces_default ON workspaces (organization_id) WHERE is_default = 1;

-- API keys, admin keys and environment keys. ``locator`` finds the row (it is part of the key's visible text), ``digest``
-- is SHA-256 of the whole key; the key itself is kept nowhere.
CREATE TABLE keys (
    id              TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    workspace_id    TEXT,
    environment_id  TEXT,
    scope           TEXT NOT NULL CHECK (scope IN ('workspace', 'admin', 'environment')),
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER,
    status          TEXT NOT NULL CHECK (status IN ('active', 'inactive', 'archived')),
    locator         TEXT NOT NULL,
    digest          TEXT NOT NULL,
    hint            TEXT NOT NULL,
    name            TEXT NOT NULL
);
CREATE UNIQUE INDEX keys_locator ON keys (locator);
CREATE INDEX keys_by_age ON keys (organization_id, created_at, id);

-- How many sessions an organization has created in one minute; used only while a limit is set.
CREATE TABLE session_creations (
    organization_id TEXT NOT NULL,
    minute          INTEGER NOT NULL,
    count           INTEGER NOT NULL,
    PRIMARY KEY (organization_id, minute)
);
