-- ``wants_turn_at`` marks a session that the turn engine has yet to look at; ``run_epoch`` is the fence of its claims.
-- The agent's snapshot is (agent_id, agent_version), whose row never changes, unless ``body`` carries an override.
CREATE TABLE sessions (
    id             TEXT PRIMARY KEY,
    workspace_id   TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    archived_at    INTEGER,
    status         TEXT NOT NULL CHECK (status IN ('idle', 'running', 'rescheduling', 'terminated')),
    agent_id       TEXT NOT NULL,
    agent_version  INTEGER NOT NULL,
    environment_id TEXT NOT NULL,
    self_hosted    INTEGER NOT NULL CHECK (self_hosted IN (0, 1)),
    deployment_id  TEXT,
    wants_turn_at  INTEGER,
    run_epoch      INTEGER NOT NULL,
    body           TEXT NOT NULL
);
CREATE INDEX sessions_by_age ON sessions (workspace_id, created_at, id);
CREATE INDEX sessions_by_deployment ON sessions (deployment_id, created_at, id) WHERE deployment_id IS NOT NULL;
CREATE INDEX sessions_by_agent ON sessions (agent_id, created_at, id);
CREATE INDEX sessions_self_hosted ON sessions (environment_id) WHERE self_hosted = 1;
CREATE INDEX sessions_wanting ON sessions (wants_turn_at) WHERE wants_turn_at IS NOT NULL;

CREATE TABLE session_threads (
    session_id       TEXT NOT NULL,
    id               TEXT NOT NULL,
    parent_thread_id TEXT,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    archived_at      INTEGER,
    status           TEXT NOT NULL CHECK (status IN ('idle', 'running', 'rescheduling', 'terminated')),
    body             TEXT NOT NULL,
    PRIMARY KEY (session_id, created_at, id)
) WITHOUT ROWID;

-- The log. ``position`` is the order in which a session lists its events; ``thread_id`` is null for the primary thread and
-- the session itself; ``processed_at`` is null while an event waits for the engine.
CREATE TABLE session_events (
    session_id   TEXT NOT NULL,
    position     INTEGER NOT NULL,
    id           TEXT NOT NULL,
    thread_id    TEXT,
    type         TEXT NOT NULL,
    processed_at INTEGER,
    body         TEXT NOT NULL,
    PRIMARY KEY (session_id, position)
) WITHOUT ROWID;

-- Sealed tokens of a session's repositories.
CREATE TABLE session_tokens (
    session_id  TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    sealed      BLOB NOT NULL,
    PRIMARY KEY (session_id, resource_id)
) WITHOUT ROWID;

-- Which sessions have which memory store attached.
CREATE TABLE session_memory_stores (
    memory_store_id TEXT NOT NULL,
    session_id      TEXT NOT NULL,
    PRIMARY KEY (memory_store_id, session_id)
) WITHOUT ROWID;
