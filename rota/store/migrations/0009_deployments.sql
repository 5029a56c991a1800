-- ``paused_error`` is null for a deployment that somebody paused, or the type of the run error that did.
CREATE TABLE deployments (
    id              TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    workspace_id    TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    archived_at     INTEGER,
    status          TEXT NOT NULL CHECK (status IN ('active', 'paused')),
    paused_error    TEXT,
    agent_id        TEXT NOT NULL,
    agent_version   INTEGER NOT NULL,
    environment_id  TEXT NOT NULL,
    scheduled       INTEGER NOT NULL CHECK (scheduled IN (0, 1)),
    last_run_at     INTEGER,
    body            TEXT NOT NULL,
    CHECK (paused_error IS NULL OR status = 'paused'),
    CHECK (archived_at IS NULL OR status = 'active')
);
CREATE INDEX deployments_by_age ON deployments (workspace_id, created_at, id);
CREATE INDEX deployments_by_agent ON deployments (agent_id) WHERE archived_at IS NULL;
CREATE INDEX deployments_scheduled ON deployments (organization_id) WHERE scheduled = 1 AND archived_at IS NULL;

-- Sealed tokens of a deployment's repositories, by the place of the repository in its list of resources.
CREATE TABLE deployment_tokens (
    deployment_id TEXT NOT NULL,
    position      INTEGER NOT NULL,
    sealed        BLOB NOT NULL,
    PRIMARY KEY (deployment_id, position)
) WITHOUT ROWID;
