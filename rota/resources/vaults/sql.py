"""Where vaults, credentials and their secrets rest."""

import msgspec
from msgspec import Struct

from rota.base.clock import to_datetime, to_datetime_or_none
from rota.base.wire import Metadata, encode
from rota.resources.vaults.auth import Auth
from rota.resources.vaults.wire import Credential, Vault
from rota.store.sealed import SealedColumn
from rota.store.tx import Insert, Listing, Query, Row

_COLUMNS = "id, created_at, updated_at, archived_at, body"

INSERT = Insert(
    "Keep a new vault.",
    "vaults",
    {"id": "text", "workspace_id": "text", "created_at": "bigint", "updated_at": "bigint", "body": "text"},
)
GET = Query(
    "One vault of a workspace.", f"SELECT {_COLUMNS} FROM vaults WHERE id = :id AND workspace_id = :workspace_id"
)
GET_MANY = Query(
    "Vaults by id, for sets of runs and sessions.",
    "SELECT id, workspace_id, archived_at FROM vaults WHERE id = ANY(:ids)",
)
LIST = Listing(
    "Vaults of a workspace, newest first.",
    f"SELECT {_COLUMNS} FROM vaults WHERE workspace_id = :workspace_id",
    filters={"live": "archived_at IS NULL AND :live = 1"},
)
UPDATE = Query(
    "Replace a vault's changeable parts.",
    "UPDATE vaults SET updated_at = :updated_at, archived_at = :archived_at, body = :body WHERE id = :id",
)
DELETE = Query("Remove a vault.", "DELETE FROM vaults WHERE id = :id")

_CREDENTIAL_COLUMNS = "id, created_at, updated_at, archived_at, vault_id, revision, body"

INSERT_CREDENTIAL = Insert(
    "Keep a new credential.",
    "vault_credentials",
    {
        "id": "text",
        "vault_id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "target": "text",
        "revision": "bigint",
        "body": "text",
    },
)
GET_CREDENTIAL = Query(
    "One credential of a vault.",
    f"SELECT {_CREDENTIAL_COLUMNS} FROM vault_credentials WHERE id = :id AND vault_id = :vault_id",
)
LIST_CREDENTIALS = Listing(
    "Credentials of a vault, newest first.",
    f"SELECT {_CREDENTIAL_COLUMNS} FROM vault_credentials WHERE vault_id = :vault_id",
    filters={"live": "archived_at IS NULL AND :live = 1"},
)
ACTIVE_TARGETS = Query(
    "What the active credentials of a vault are for.",
    "SELECT target FROM vault_credentials WHERE vault_id = :vault_id AND archived_at IS NULL",
)
FOR_TARGETS = Query(
    "The active credentials of these vaults for these targets.",
    f"""SELECT {_CREDENTIAL_COLUMNS}, target FROM vault_credentials
        WHERE vault_id = ANY(:vault_ids) AND target = ANY(:targets) AND archived_at IS NULL""",
)
UPDATE_CREDENTIAL = Query(
    "Replace a credential's changeable parts.",
    """UPDATE vault_credentials SET updated_at = :updated_at, archived_at = :archived_at, revision = :revision, body = :body
       WHERE id = :id""",
)
ARCHIVE_CREDENTIALS = Query(
    "Archive the active credentials of a vault, at the instant at which it is.",
    """UPDATE vault_credentials SET archived_at = :now, updated_at = :now, revision = revision + 1
       WHERE vault_id = :vault_id AND archived_at IS NULL RETURNING id""",
)
DELETE_CREDENTIAL = Query("Remove a credential.", "DELETE FROM vault_credentials WHERE id = :id")
DELETE_CREDENTIALS = Query(
    "Remove the credentials of a vault.", "DELETE FROM vault_credentials WHERE vault_id = :vault_id RETURNING id"
)

SECRETS = SealedColumn("vault_secrets", "vault_id", "credential_id", "field")
KEEP_SECRETS = Insert(
    "Keep sealed secrets, over those that were there.",
    "vault_secrets",
    {"vault_id": "text", "credential_id": "text", "field": "text", "sealed": "bytea"},
    suffix="ON CONFLICT (vault_id, credential_id, field) DO UPDATE SET sealed = excluded.sealed",
)
GET_SECRETS = Query(
    "The sealed secrets of a credential.",
    "SELECT field, sealed FROM vault_secrets WHERE vault_id = :vault_id AND credential_id = :credential_id",
)
PURGE_SECRETS = Query(
    "Forget the secrets of a credential.",
    "DELETE FROM vault_secrets WHERE vault_id = :vault_id AND credential_id = :credential_id",
)
PURGE_ALL_SECRETS = Query("Forget the secrets of a vault.", "DELETE FROM vault_secrets WHERE vault_id = :vault_id")


class VaultBody(Struct, frozen=True, kw_only=True):
    """The fields of a vault that SQL never looks at."""

    display_name: str
    metadata: Metadata = {}


class CredentialBody(Struct, frozen=True, kw_only=True):
    """The fields of a credential that SQL never looks at."""

    auth: Auth
    display_name: str | None = None
    metadata: Metadata = {}


class Stored(Struct, frozen=True, kw_only=True):
    """A credential as it rests. ``revision`` counts the changes of its secrets; instants in microseconds UTC."""

    id: str
    vault_id: str
    created_at: int
    updated_at: int
    archived_at: int | None
    revision: int
    body: CredentialBody


_vault_body = msgspec.json.Decoder(VaultBody).decode
_credential_body = msgspec.json.Decoder(CredentialBody).decode


def to_vault(row: Row) -> Vault:
    """A row of ``GET`` or ``LIST`` as it goes out."""
    body = _vault_body(row[4])
    return Vault(
        id=row[0],
        display_name=body.display_name,
        metadata=body.metadata,
        created_at=to_datetime(row[1]),
        updated_at=to_datetime(row[2]),
        archived_at=to_datetime_or_none(row[3]),
    )


def vault_body(vault: Vault) -> str:
    """The ``body`` column of a vault."""
    return encode(VaultBody(display_name=vault.display_name, metadata=vault.metadata)).decode()


def to_stored(row: Row) -> Stored:
    """A row of ``GET_CREDENTIAL``, ``LIST_CREDENTIALS`` or ``FOR_TARGETS``."""
    return Stored(
        id=row[0],
        created_at=row[1],
        updated_at=row[2],
        archived_at=row[3],
        vault_id=row[4],
        revision=row[5],
        body=_credential_body(row[6]),
    )


def to_credential(stored: Stored) -> Credential:
    """A credential as it goes out."""
    return Credential(
        id=stored.id,
        vault_id=stored.vault_id,
        display_name=stored.body.display_name,
        auth=stored.body.auth,
        metadata=stored.body.metadata,
        created_at=to_datetime(stored.created_at),
        updated_at=to_datetime(stored.updated_at),
        archived_at=to_datetime_or_none(stored.archived_at),
    )


def credential_body(body: CredentialBody) -> str:
    """The ``body`` column of a credential."""
    return encode(body).decode()
