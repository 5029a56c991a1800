-- One row for each fire, written once and never touched again: the CHECK says that it has exactly one outcome, the unique
-- index that no occurrence of a schedule is fired twice, the triggers that nobody rewrites history.
CREATE TABLE deployment_runs (
    id            TEXT PRIMARY KEY,
    workspace_id  TEXT NOT NULL,
    deployment_id TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    scheduled_at  INTEGER,
    session_id    TEXT,
    error_type    TEXT,
    error_message TEXT,
    agent_id      TEXT NOT NULL,
    agent_version INTEGER NOT NULL,
    CHECK ((session_id IS NULL) <> (error_type IS NULL)),
    CHECK ((error_type IS NULL) = (error_message IS NULL))
);
CREATE UNIQUE INDEX deployment_runs_once ON deployment_runs (deployment_id, scheduled_at) WHERE scheduled_at IS NOT NULL;
CREATE INDEX deployment_runs_by_age ON deployment_runs (workspace_id, created_at, id);
CREATE INDEX deployment_runs_by_deployment ON deployment_runs (deployment_id, created_at, id);
CREATE INDEX deployment_runs_failed ON deployment_runs (workspace_id, created_at, id) WHERE session_id IS NULL;
CREATE INDEX deployment_runs_failed_by_deployment ON deployment_runs (deployment_id, created_at, id) WHERE session_id IS NULL;

-- only: sqlite
CREATE TRIGGER deployment_runs_no_update BEFORE UPDATE ON deployment_runs
BEGIN SELECT RAISE(ABORT, 'deployment runs are append-only'); END;
CREATE TRIGGER deployment_runs_no_delete BEFORE DELETE ON deployment_runs
BEGIN SELECT RAISE(ABORT, 'deployment runs are append-only'); END;

-- only: postgres
CREATE FUNCTION refuse_rewriting_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'deployment runs are append-only'; END $$;
CREATE TRIGGER deployment_runs_append_only BEFORE UPDATE OR DELETE ON deployment_runs
FOR EACH ROW EXECUTE FUNCTION refuse_rewriting_runs();
