-- What workers of self-hosted environments are to take up: one row each time that a session wants a worker. ``queued_at`` is
-- since when it waits, ``delivered_at`` when it was last handed out since then, and ``lease_until`` when whoever has it loses
-- it; after that the row stands for a queued item again, whatever its ``state`` says. Of an item that was stopped,
-- ``lease_until`` is when its credentials end. ``again`` tells that the session got more to do after the item was handed out.
CREATE TABLE work (
    id             TEXT PRIMARY KEY,
    workspace_id   TEXT NOT NULL,
    environment_id TEXT NOT NULL,
    session_id     TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('queued', 'starting', 'active', 'stopping', 'stopped')),
    queued_at      INTEGER NOT NULL,
    delivered_at   INTEGER,
    lease_until    INTEGER,
    again          INTEGER NOT NULL CHECK (again IN (0, 1)),
    body           TEXT NOT NULL,
    CHECK (state = 'queued' OR lease_until IS NOT NULL),
    CHECK (delivered_at IS NULL OR lease_until IS NOT NULL)
);
-- A session has one live item at most, whoever asks for one at the same time.
CREATE UNIQUE INDEX work_live ON work (session_id) WHERE state <> 'stopped';
CREATE INDEX work_queue ON work (environment_id, queued_at, id) WHERE state <> 'stopped';
CREATE INDEX work_by_age ON work (environment_id, created_at, id);
CREATE INDEX work_of_session ON work (session_id, created_at);
CREATE INDEX work_ended ON work (lease_until) WHERE state = 'stopped';

-- Each hand-out has a sessions token of its own. ``digest`` is SHA-256 of it; the token itself is kept nowhere. ``round``
-- tells since which queueing of the item it was handed out.
CREATE TABLE work_tokens (
    id         TEXT PRIMARY KEY,
    work_id    TEXT NOT NULL,
    round      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    digest     TEXT NOT NULL
);
CREATE INDEX work_tokens_of_item ON work_tokens (work_id, created_at);

-- Workers that asked for work lately.
CREATE TABLE work_pollers (
    environment_id TEXT NOT NULL,
    worker_id      TEXT NOT NULL,
    seen_at        INTEGER NOT NULL,
    PRIMARY KEY (environment_id, worker_id)
) WITHOUT ROWID;
