-- A skill has the newest of its versions at hand; it has none only after an old client removed them one by one.
-- ``title`` is what the user calls it, null if they gave no name; clients of the dated beta may not give one twice.
CREATE TABLE skills (
    id                TEXT PRIMARY KEY,
    workspace_id      TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    title             TEXT,
    latest_version_id TEXT,
    body              TEXT NOT NULL
);
CREATE INDEX skills_by_age ON skills (workspace_id, created_at, id);
CREATE INDEX skills_by_title ON skills (workspace_id, title) WHERE title IS NOT NULL;

-- ``created_at`` is unlike that of every other version of the skill, because clients of the dated beta name a version by it.
-- ``location`` is where the archive lies; the index of its files is a column, so that lists need not read it.
CREATE TABLE skill_versions (
    id         TEXT PRIMARY KEY,
    skill_id   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    location   TEXT NOT NULL,
    body       TEXT NOT NULL,
    files      TEXT NOT NULL
);
CREATE UNIQUE INDEX skill_versions_by_age ON skill_versions (skill_id, created_at);

-- Whether an archive still belongs to a version, for the collection of those that do not.
CREATE UNIQUE INDEX skill_versions_by_location ON skill_versions (location);
