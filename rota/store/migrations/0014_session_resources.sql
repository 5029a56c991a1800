-- A session is given copies of up to 500 files, and each copy keeps its bytes alive. An index from bytes to copies would be
-- written in as many places for each run as there are files: more than all the rest of the run together. So copies are left
-- out of it. What a session was given at once is a set of bytes instead; the set is written down once, however many sessions
-- are given the same, and each session holds it by one row.
ALTER TABLE files ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;
DROP INDEX files_by_blob;
-- Whether anybody but holders of sets still needs some bytes.
CREATE INDEX files_by_blob ON files (blob) WHERE blob IS NOT NULL AND copied = 0;

-- ``id`` is the digest of the set.
CREATE TABLE file_sets (
    id TEXT PRIMARY KEY
);
CREATE TABLE file_set_blobs (
    location TEXT NOT NULL,
    set_id   TEXT NOT NULL,
    PRIMARY KEY (location, set_id)
) WITHOUT ROWID;
-- Forgetting a set that nobody holds any more.
CREATE INDEX file_set_blobs_by_set ON file_set_blobs (set_id);
CREATE TABLE file_set_holders (
    session_id TEXT NOT NULL,
    set_id     TEXT NOT NULL,
    PRIMARY KEY (session_id, set_id)
) WITHOUT ROWID;
-- Whether anybody still holds a set.
CREATE INDEX file_set_holders_by_set ON file_set_holders (set_id);
