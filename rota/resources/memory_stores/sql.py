"""Where memory stores, memories and their versions rest. A content is kept once, in the version that wrote it."""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET, Struct

from rota.base.clock import to_datetime, to_datetime_or_none
from rota.base.wire import Metadata, encode
from rota.resources.memory_stores.wire import (
    Actor,
    ApiActor,
    Memory,
    MemoryStore,
    MemoryVersion,
    ServiceAccountActor,
    SessionActor,
    UserActor,
)
from rota.store.tx import Insert, Listing, Query, Row, Tx

_STORE = "id, created_at, updated_at, archived_at, memories, body"
_MEMORY = "id, created_at, updated_at, memory_store_id, path, version_id, body"
_VERSION = "id, created_at, memory_store_id, memory_id, operation, actor_type, actor_id, body"

# Stores

INSERT = Insert(
    "Keep a new memory store.",
    "memory_stores",
    {
        "id": "text",
        "workspace_id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "memories": "bigint",
        "body": "text",
    },
)
GET = Query(
    "One memory store of a workspace.",
    f"SELECT {_STORE} FROM memory_stores WHERE id = :id AND workspace_id = :workspace_id",
)
GET_MANY = Query(
    "Memory stores by id, for sets of runs and sessions.",
    "SELECT id, workspace_id, archived_at, body FROM memory_stores WHERE id = ANY(:ids)",
)
LIST = Listing(
    "Memory stores of a workspace, newest first.",
    f"SELECT {_STORE} FROM memory_stores WHERE workspace_id = :workspace_id",
    filters={
        "live": "archived_at IS NULL AND :live = 1",
        "created_at_gte": "created_at >= :created_at_gte",
        "created_at_lte": "created_at <= :created_at_lte",
    },
)
UPDATE = Query(
    "Replace a memory store's changeable parts.",
    "UPDATE memory_stores SET updated_at = :updated_at, archived_at = :archived_at, body = :body WHERE id = :id",
)
COUNT = Query(
    "Count a memory more in a store, or one less.",
    "UPDATE memory_stores SET memories = memories + :more WHERE id = :id",
)
DELETE = Query("Remove a memory store.", "DELETE FROM memory_stores WHERE id = :id")
DELETE_MEMORIES = Query(
    "Remove all memories of a store.", "DELETE FROM memories WHERE memory_store_id = :memory_store_id"
)
DELETE_SOME_VERSIONS = Query(
    "Remove versions of a deleted store, so many at most.",
    """DELETE FROM memory_versions WHERE id IN
       (SELECT id FROM memory_versions WHERE memory_store_id = :memory_store_id LIMIT :limit)""",
)
NOTE_DELETED = Insert(
    "Note that a deleted store has versions left to be removed.", "deleted_memory_stores", {"id": "text"}
)
NEXT_DELETED = Query(
    "A deleted store that has versions left to be removed.", "SELECT id FROM deleted_memory_stores ORDER BY id LIMIT 1"
)
DROP_DELETED = Query("A deleted store has nothing left.", "DELETE FROM deleted_memory_stores WHERE id = :id")

# Memories

INSERT_MEMORY = Insert(
    "Keep a new memory.",
    "memories",
    {
        "id": "text",
        "memory_store_id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "path": "text",
        "version_id": "text",
        "body": "text",
    },
)
GET_MEMORY = Query(
    "One memory of a store.",
    f"SELECT {_MEMORY} FROM memories WHERE id = :id AND memory_store_id = :memory_store_id",
)
GET_MEMORIES = Query("Memories by id, for a page of a folder.", f"SELECT {_MEMORY} FROM memories WHERE id = ANY(:ids)")
AT_PATHS = Query(
    "Memories at any of these paths: where a new one wants to be, and above.",
    """SELECT id, path FROM memories WHERE memory_store_id = :memory_store_id AND path = ANY(:paths) AND id <> :id
       ORDER BY path LIMIT 1""",
)
BELOW_PATH = Query(
    "The first memory below a path.",
    """SELECT id, path FROM memories
       WHERE memory_store_id = :memory_store_id AND path >= :path_from AND path < :path_before AND id <> :id
       ORDER BY path LIMIT 1""",
)
IN_PATH_ORDER = Query(
    "Paths from one on, in their order, so many at most.",
    """SELECT path, id FROM memories
       WHERE memory_store_id = :memory_store_id AND path >= :path_from AND path < :path_before
       ORDER BY path LIMIT :limit""",
)
LIST_MEMORIES = Listing(
    "Memories of a store, newest first.",
    f"SELECT {_MEMORY} FROM memories WHERE memory_store_id = :memory_store_id",
    filters={"path_from": "path >= :path_from", "path_before": "path < :path_before"},
)
UPDATE_MEMORY = Query(
    "Give a memory another version.",
    "UPDATE memories SET updated_at = :updated_at, path = :path, version_id = :version_id, body = :body WHERE id = :id",
)
DELETE_MEMORY = Query("Remove a memory.", "DELETE FROM memories WHERE id = :id")

# Versions

INSERT_VERSION = Insert(
    "Keep a new version of a memory.",
    "memory_versions",
    {
        "id": "text",
        "memory_store_id": "text",
        "memory_id": "text",
        "created_at": "bigint",
        "operation": "text",
        "actor_type": "text",
        "actor_id": "text",
        "body": "text",
        "content": "text",
    },
)
GET_VERSION = Query(
    "One version of a store.",
    f"SELECT {_VERSION} FROM memory_versions WHERE id = :id AND memory_store_id = :memory_store_id",
)
CONTENTS = Query("The contents of versions.", "SELECT id, content FROM memory_versions WHERE id = ANY(:ids)")
LIST_VERSIONS = Listing(
    "Versions of a store's memories, newest first.",
    f"SELECT {_VERSION} FROM memory_versions WHERE memory_store_id = :memory_store_id",
    filters={
        "memory_id": "memory_id = :memory_id",
        "operation": "operation = :operation",
        "session_id": "actor_id = :session_id AND actor_type = 'session_actor'",
        "api_key_id": "actor_id = :api_key_id AND actor_type = 'api_actor'",
        "service_account_id": "actor_id = :service_account_id AND actor_type = 'service_account_actor'",
        "created_at_gte": "created_at >= :created_at_gte",
        "created_at_lte": "created_at <= :created_at_lte",
    },
)
REDACT = Query(
    "Take the content out of a version.", "UPDATE memory_versions SET body = :body, content = NULL WHERE id = :id"
)
LET_ONE_EXPIRE = Query(
    "Let the version expire that is no longer among the newest so many of its memory.",
    """UPDATE memory_versions SET expires_at = created_at + :kept WHERE id =
       (SELECT id FROM memory_versions WHERE memory_id = :memory_id ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET :newest)""",
)
LET_ALL_EXPIRE = Query(
    "Let all versions of a memory expire that do not yet.",
    "UPDATE memory_versions SET expires_at = :expires_at WHERE memory_id = :memory_id AND expires_at IS NULL",
)
DELETE_EXPIRED = Query(
    "Remove versions whose time is over, so many at most.",
    """DELETE FROM memory_versions WHERE id IN
       (SELECT id FROM memory_versions WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)""",
)


class StoreBody(Struct, frozen=True, kw_only=True):
    """The fields of a store that SQL never looks at."""

    name: str
    description: str = ""
    metadata: Metadata = {}


class MemoryBody(Struct, frozen=True, kw_only=True):
    """The fields of a memory that SQL never looks at."""

    digest: str
    size: int


class VersionBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of a version that SQL never looks at. ``redacted_at`` is in microseconds UTC."""

    path: str | None = None
    digest: str | None = None
    size: int | None = None
    redacted_at: int | None = None
    redacted_by: Actor | None = None


store_body_of = msgspec.json.Decoder(StoreBody).decode
memory_body_of = msgspec.json.Decoder(MemoryBody).decode
version_body_of = msgspec.json.Decoder(VersionBody).decode


def to_text(body: StoreBody | MemoryBody | VersionBody) -> str:
    """A ``body`` column."""
    return encode(body).decode()


def to_store(row: Row) -> MemoryStore:
    """A row of ``GET`` or ``LIST`` as it goes out."""
    body = store_body_of(row[5])
    return MemoryStore(
        id=row[0],
        name=body.name,
        description=body.description,
        metadata=body.metadata,
        created_at=to_datetime(row[1]),
        updated_at=to_datetime(row[2]),
        archived_at=UNSET if row[3] is None else to_datetime(row[3]),
    )


def to_memory(row: Row, content: str | None = None) -> Memory:
    """A row of ``memories`` as it goes out, with the content of its version if that is to be shown."""
    body = memory_body_of(row[6])
    return Memory(
        id=row[0],
        memory_store_id=row[3],
        memory_version_id=row[5],
        path=row[4],
        content=content,
        content_sha256=body.digest,
        content_size_bytes=body.size,
        created_at=to_datetime(row[1]),
        updated_at=to_datetime(row[2]),
    )


def to_version(row: Row, content: str | None = None) -> MemoryVersion:
    """A row of ``memory_versions`` as it goes out, with its content if that is to be shown."""
    body = version_body_of(row[7])
    return MemoryVersion(
        id=row[0],
        memory_store_id=row[2],
        memory_id=row[3],
        operation=row[4],
        path=body.path,
        content=content,
        content_sha256=body.digest,
        content_size_bytes=body.size,
        created_by=_to_actor(row[5], row[6]),
        created_at=to_datetime(row[1]),
        redacted_at=to_datetime_or_none(body.redacted_at),
        redacted_by=body.redacted_by,
    )


def contents(tx: Tx, version_ids: Iterable[str]) -> dict[str, str | None]:
    """The contents of versions, by id."""
    return dict(tx.all(CONTENTS, ids=list(version_ids)))  # pyright: ignore[reportArgumentType] - rows of two columns


def from_actor(actor: Actor) -> tuple[str, str]:
    """The ``actor_type`` and ``actor_id`` columns."""
    match actor:
        case SessionActor(session_id):
            return "session_actor", session_id
        case ApiActor(api_key_id):
            return "api_actor", api_key_id
        case UserActor(user_id):
            return "user_actor", user_id
        case ServiceAccountActor(service_account_id):
            return "service_account_actor", service_account_id


def _to_actor(kind: str, actor_id: str) -> Actor:
    match kind:
        case "session_actor":
            return SessionActor(actor_id)
        case "api_actor":
            return ApiActor(actor_id)
        case "user_actor":
            return UserActor(actor_id)
        case _:
            return ServiceAccountActor(actor_id)
