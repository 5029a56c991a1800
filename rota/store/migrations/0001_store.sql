-- What the store itself needs.

-- Facts about this installation that are made once, such as the key that cursors are signed with.
CREATE TABLE installation (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- A number for each topic that processes remember things about; it moves when the topic changes.
CREATE TABLE stamps (
    topic TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);
