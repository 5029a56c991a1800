-- The schedules of deployments, and when each is due. A narrow row beside the deployment, because it is all that a fire has to
-- move; ``expression`` is null for a deployment whose schedule was taken away.
-- ``due_at`` is the next occurrence to be dealt with and ``fire_at`` the moment to do so (later by the jitter, or because
-- firing came to nothing at ``stalled_at``); both are null while nothing is to be fired. Every occurrence up to
-- ``accounted_at`` has been dealt with. ``skipping`` tells that the last one was skipped. ``rewound_at`` is set while runs
-- of later occurrences exist than the clock shows, because the clock was set back. ``rules`` departs from the server's timing.
CREATE TABLE schedules (
    deployment_id TEXT PRIMARY KEY,
    expression    TEXT,
    timezone      TEXT,
    fire_at       INTEGER,
    due_at        INTEGER,
    accounted_at  INTEGER NOT NULL,
    last_run_at   INTEGER,
    stalled_at    INTEGER,
    rewound_at    INTEGER,
    skipping      INTEGER NOT NULL CHECK (skipping IN (0, 1)),
    rules         TEXT,
    CHECK ((expression IS NULL) = (timezone IS NULL)),
    CHECK ((fire_at IS NULL) = (due_at IS NULL)),
    CHECK (due_at IS NULL OR expression IS NOT NULL),
    CHECK (fire_at >= due_at),
    CHECK (due_at > accounted_at)
) WITHOUT ROWID;
-- What is due, in the order in which it became so.
CREATE INDEX schedules_due ON schedules (fire_at, deployment_id) WHERE fire_at IS NOT NULL;

-- Occurrences that did not fire: each row is a stretch of a schedule, from its first occurrence to its last.
CREATE TABLE lapses (
    deployment_id TEXT NOT NULL,
    last_at       INTEGER NOT NULL,
    first_at      INTEGER NOT NULL,
    count         INTEGER NOT NULL CHECK (count >= 1),
    kind          TEXT NOT NULL CHECK (kind IN ('missed', 'skipped')),
    reason        TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    expression    TEXT NOT NULL,
    timezone      TEXT NOT NULL,
    PRIMARY KEY (deployment_id, last_at),
    CHECK (first_at <= last_at)
) WITHOUT ROWID;

-- Whether a session of a deployment is running, without a look at those that have ended.
CREATE INDEX sessions_running ON sessions (deployment_id)
    WHERE deployment_id IS NOT NULL AND status IN ('running', 'rescheduling');

-- Deployments that had a schedule before there was anybody to fire it. The scheduler works out when they are due.
-- only: sqlite
INSERT INTO schedules (deployment_id, expression, timezone, accounted_at, last_run_at, skipping)
SELECT id, json_extract(body, '$.schedule.expression'), json_extract(body, '$.schedule.timezone'), 0, last_run_at, 0
FROM deployments WHERE scheduled = 1 OR last_run_at IS NOT NULL;

-- only: postgres
INSERT INTO schedules (deployment_id, expression, timezone, accounted_at, last_run_at, skipping)
SELECT id, body::json -> 'schedule' ->> 'expression', body::json -> 'schedule' ->> 'timezone', 0, last_run_at, 0
FROM deployments WHERE scheduled = 1 OR last_run_at IS NOT NULL;

ALTER TABLE deployments DROP COLUMN last_run_at;
