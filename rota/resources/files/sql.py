"""Where files rest, and the bytes of theirs. Columns: what SQL filters, orders or constrains on; the rest is in ``body``.

``blob`` is the location of a file's bytes; ``file_blobs`` has each location once, with the digest by which a second upload
of the same bytes to the same workspace finds it.
"""

import msgspec
from msgspec import UNSET, Struct

from rota.base.clock import to_datetime, to_datetime_or_none
from rota.base.wire import encode
from rota.resources.files.wire import File, Scope
from rota.store.tx import Insert, Listing, Query, Row

_COLUMNS = "id, created_at, expires_at, scope_id, body"

INSERT = Insert(
    "Keep new files.",
    "files",
    {
        "id": "text",
        "workspace_id": "text",
        "created_at": "bigint",
        "expires_at": "bigint",
        "scope_id": "text",
        "blob": "text",
        "body": "text",
    },
)
GET = Query("One file of a workspace.", f"SELECT {_COLUMNS} FROM files WHERE id = :id AND workspace_id = :workspace_id")
GET_BLOB = Query("Where a file's bytes lie; null when they are gone.", "SELECT blob FROM files WHERE id = :id")
GET_MANY = Query(
    "Files by id whose bytes are there, for sets of runs and sessions.",
    "SELECT id, workspace_id, blob, body FROM files WHERE id = ANY(:ids) AND blob IS NOT NULL "
    "AND (expires_at IS NULL OR expires_at > :now)",
)
LIST = Listing(
    "Files of a workspace that belong to no session, newest first.",
    f"SELECT {_COLUMNS} FROM files WHERE workspace_id = :workspace_id AND scope_id IS NULL",
)
LIST_SCOPED = Listing(
    "Files of a session, newest first.",
    f"SELECT {_COLUMNS} FROM files WHERE scope_id = :scope_id AND workspace_id = :workspace_id",
)
LIST_SOME = Query(
    "Files of a workspace by id, newest first.",
    f"SELECT {_COLUMNS} FROM files WHERE id = ANY(:ids) AND workspace_id = :workspace_id ORDER BY created_at DESC, id DESC",
)
DELETE = Query("Remove a file.", "DELETE FROM files WHERE id = :id AND workspace_id = :workspace_id RETURNING blob")
DELETE_SCOPED = Query("Remove the files of a session.", "DELETE FROM files WHERE scope_id = :scope_id RETURNING blob")
DUE = Query(
    "Files that have expired and still have bytes, the first first.",
    "SELECT id, blob FROM files WHERE expires_at <= :now AND blob IS NOT NULL ORDER BY expires_at LIMIT :limit",
)
EXPIRE = Query("Take the bytes from files.", "UPDATE files SET blob = NULL WHERE id = ANY(:ids)")
FORGET = Query(
    "Remove files that expired long ago.",
    "DELETE FROM files WHERE id IN (SELECT id FROM files WHERE blob IS NULL AND expires_at <= :before LIMIT :limit)",
)

BY_DIGEST = Query(
    "Where a workspace keeps these bytes.",
    "SELECT location FROM file_blobs WHERE workspace_id = :workspace_id AND digest = :digest",
)
INSERT_BLOB = Insert(
    "Keep where bytes lie.",
    "file_blobs",
    {"location": "text", "workspace_id": "text", "digest": "text", "size": "bigint"},
)
KNOWN_BLOBS = Query(
    "Those of some locations that are kept.", "SELECT location FROM file_blobs WHERE location = ANY(:locations)"
)
DROP_BLOBS = Query(
    "Forget where bytes lie that no file has any more.",
    "DELETE FROM file_blobs WHERE location = ANY(:locations) "
    "AND NOT EXISTS (SELECT 1 FROM files WHERE files.blob = file_blobs.location) RETURNING location",
)
USAGE = Query(
    "Bytes that a workspace keeps; asked only while there is a limit.",
    "SELECT coalesce(sum(size), 0) FROM file_blobs WHERE workspace_id = :workspace_id",
)


class Body(Struct, frozen=True, kw_only=True):
    """The fields that SQL never looks at."""

    filename: str
    mime_type: str
    size_bytes: int
    downloadable: bool = False


_decoder = msgspec.json.Decoder(Body)


def to_file(row: Row) -> File:
    """A row of ``GET`` or of a list as it goes out."""
    body = _decoder.decode(row[4])
    return File(
        id=row[0],
        filename=body.filename,
        mime_type=body.mime_type,
        size_bytes=body.size_bytes,
        created_at=to_datetime(row[1]),
        downloadable=body.downloadable,
        expires_at=to_datetime_or_none(row[2]),
        scope=UNSET if row[3] is None else Scope(id=row[3]),
    )


def to_body(text: str) -> Body:
    """The ``body`` column, decoded."""
    return _decoder.decode(text)


def to_text(body: Body) -> str:
    """The ``body`` column."""
    return encode(body).decode()
