-- What happened, waiting to be delivered to subscribers outside.
CREATE TABLE outbox (
    id              TEXT PRIMARY KEY,
    created_at      INTEGER NOT NULL,
    organization_id TEXT NOT NULL,
    workspace_id    TEXT NOT NULL,
    event           TEXT NOT NULL,
    resource_id     TEXT NOT NULL
);
CREATE INDEX outbox_age ON outbox (created_at);
