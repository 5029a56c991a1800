-- What sessions left under /mnt/session/outputs, and which file each was published as. ``mark`` says what the file on the disk
-- looked like then (inode, size, times); ``digest`` is that of its bytes, for when the marks no longer mean anything. A row whose
-- file somebody has deleted stays, so that the same output is not published again.
CREATE TABLE session_outputs (
    session_id   TEXT NOT NULL,
    path         TEXT NOT NULL,
    file_id      TEXT NOT NULL,
    published_at INTEGER NOT NULL,
    size         INTEGER NOT NULL,
    digest       TEXT NOT NULL,
    mark         TEXT NOT NULL,
    PRIMARY KEY (session_id, path)
);
