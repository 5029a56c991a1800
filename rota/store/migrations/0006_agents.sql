-- An agent is its latest version; versions never change once written.
CREATE TABLE agents (
    id           TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    archived_at  INTEGER,
    version      INTEGER NOT NULL
);
CREATE INDEX agents_by_age ON agents (workspace_id, created_at, id);

-- ``ref`` is ``<agent id>@<version>``, so that a set of versions can be fetched by one list of keys.
CREATE TABLE agent_versions (
    ref        TEXT PRIMARY KEY,
    agent_id   TEXT NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    body       TEXT NOT NULL
);
CREATE UNIQUE INDEX agent_versions_by_agent ON agent_versions (agent_id, version);
