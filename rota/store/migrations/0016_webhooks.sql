-- Endpoints that are told what happens; ``workspace_id`` is null for one of the whole organization. ``failures`` and
-- ``failing_since`` count what went wrong since the endpoint last took something.
CREATE TABLE webhook_endpoints (
    id              TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    workspace_id    TEXT,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('enabled', 'disabled')),
    failures        INTEGER NOT NULL,
    failing_since   INTEGER,
    body            TEXT NOT NULL
);
CREATE INDEX webhook_endpoints_of_organization ON webhook_endpoints (organization_id, created_at, id) WHERE workspace_id IS NULL;
CREATE INDEX webhook_endpoints_of_workspace ON webhook_endpoints (workspace_id, created_at, id) WHERE workspace_id IS NOT NULL;

-- What deliveries are signed with, sealed. A secret that was replaced stays until ``expires_at``, so that both are valid.
CREATE TABLE webhook_secrets (
    endpoint_id TEXT NOT NULL,
    id          TEXT NOT NULL,
    expires_at  INTEGER,
    sealed      BLOB NOT NULL,
    PRIMARY KEY (endpoint_id, id)
) WITHOUT ROWID;

-- One row for each event that an endpoint is to be told. ``due_at`` is when the next attempt may begin, null once there will
-- be none; whoever takes a delivery moves ``due_at`` to where the lease ends and leaves its mark in ``claim``, the fence.
CREATE TABLE webhook_deliveries (
    id          TEXT PRIMARY KEY,
    endpoint_id TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'dropped')),
    due_at      INTEGER,
    claim       TEXT,
    attempts    INTEGER NOT NULL,
    body        TEXT NOT NULL,
    CHECK ((state = 'pending') = (due_at IS NOT NULL))
);
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (endpoint_id, created_at, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_old ON webhook_deliveries (created_at) WHERE due_at IS NULL;
