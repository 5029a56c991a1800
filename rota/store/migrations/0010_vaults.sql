CREATE TABLE vaults (
    id           TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    archived_at  INTEGER,
    body         TEXT NOT NULL
);
CREATE INDEX vaults_by_age ON vaults (workspace_id, created_at, id);

-- ``target`` is what a credential is for, in one spelling: the URL of an MCP server, or the name of a variable.
-- ``revision`` counts the changes of its secrets: whoever talked to another host meanwhile saves only over what it had read.
CREATE TABLE vault_credentials (
    id          TEXT PRIMARY KEY,
    vault_id    TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    archived_at INTEGER,
    target      TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    body        TEXT NOT NULL
);
CREATE INDEX vault_credentials_by_age ON vault_credentials (vault_id, created_at, id);
-- One active credential a target, and the way to find it.
CREATE UNIQUE INDEX vault_credentials_target ON vault_credentials (vault_id, target) WHERE archived_at IS NULL;

-- Sealed secrets of credentials, a row a field. Archiving a credential takes its rows away and leaves the credential.
CREATE TABLE vault_secrets (
    vault_id      TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    field         TEXT NOT NULL,
    sealed        BLOB NOT NULL,
    PRIMARY KEY (vault_id, credential_id, field)
) WITHOUT ROWID;

-- What an announcement tells beside the id of its resource (a credential's vault): a JSON object, or null.
ALTER TABLE outbox ADD COLUMN data TEXT;
