"""Where files rest, and the bytes of theirs. Columns: what SQL filters, orders or constrains on; the rest is in ``body``.

``blob`` is the location of a file's bytes; ``file_blobs`` has each location once, with the digest by which a second upload
of the same bytes to the same workspace finds it.
"""

import msgspec
from msgspec import UNSET, Struct

from rota.base.clock import to_datetime, to_datetime_or_none
from rota.base.wire import encode
from rota.resources.files.wire import File, Scope
from rota.store.tx import Insert, Listing, Query, Row, Update

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
INSERT_COPIES = Insert(
    "Keep copies that sessions have of files; their bytes are held by sets.",
    "files",
    {
        "id": "text",
        "workspace_id": "text",
        "created_at": "bigint",
        "scope_id": "text",
        "blob": "text",
        "copied": "bigint",
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
    "Forget where bytes lie that no file has any more, and that no set has which is held.",
    """DELETE FROM file_blobs WHERE location = ANY(:locations)
       AND NOT EXISTS (SELECT 1 FROM files WHERE files.blob = file_blobs.location AND copied = 0)
       AND NOT EXISTS (SELECT 1 FROM file_set_blobs WHERE file_set_blobs.location = file_blobs.location)
       RETURNING location""",
)
KNOWN_SETS = Query("Those of some sets that are written down.", "SELECT id FROM file_sets WHERE id = ANY(:ids)")
INSERT_SETS = Insert(
    "Write down sets of bytes. One that another server writes down at this moment makes PostgreSQL run ours again.",
    "file_sets",
    {"id": "text"},
    suffix="ON CONFLICT (id) DO NOTHING",
)
INSERT_SET_BLOBS = Insert(
    "Write down what is in sets of bytes.",
    "file_set_blobs",
    {"location": "text", "set_id": "text"},
    suffix="ON CONFLICT (location, set_id) DO NOTHING",
)
HOLD_SETS = Insert(
    "Let sessions hold sets of bytes.",
    "file_set_holders",
    {"session_id": "text", "set_id": "text"},
    suffix="ON CONFLICT (session_id, set_id) DO NOTHING",
)
LET_GO_OF_SETS = Query(
    "What a session held.", "DELETE FROM file_set_holders WHERE session_id = :session_id RETURNING set_id"
)
DROP_SETS = Query(
    "Forget sets that nobody holds any more.",
    """DELETE FROM file_sets WHERE id = ANY(:ids)
       AND NOT EXISTS (SELECT 1 FROM file_set_holders WHERE set_id = file_sets.id) RETURNING id""",
)
DROP_SET_BLOBS = Query(
    "What was in sets that have been forgotten.",
    "DELETE FROM file_set_blobs WHERE set_id = ANY(:ids) RETURNING location",
)
OUTPUTS = Query(
    "What has been published of a session's outputs, the oldest first.",
    """SELECT path, file_id, published_at, size, digest, mark FROM session_outputs WHERE session_id = :session_id
       ORDER BY published_at, path""",
)
KEEP_OUTPUTS = Insert(
    "Note what outputs were published as; what was noted of the same path before is forgotten.",
    "session_outputs",
    {
        "session_id": "text",
        "path": "text",
        "file_id": "text",
        "published_at": "bigint",
        "size": "bigint",
        "digest": "text",
        "mark": "text",
    },
    suffix="""ON CONFLICT (session_id, path) DO UPDATE SET file_id = excluded.file_id, published_at = excluded.published_at,
              size = excluded.size, digest = excluded.digest, mark = excluded.mark""",
)
MARK_OUTPUTS = Update(
    "Note what outputs look like whose bytes are as they were.",
    """UPDATE session_outputs SET mark = v.mark
       WHERE session_outputs.session_id = v.session_id AND session_outputs.path = v.path""",
    {"mark": "text", "session_id": "text", "path": "text"},
)
FORGET_OUTPUTS = Query(
    "Forget some of a session's outputs.",
    "DELETE FROM session_outputs WHERE session_id = :session_id AND path = ANY(:paths)",
)
FORGET_ALL_OUTPUTS = Query("Forget a session's outputs.", "DELETE FROM session_outputs WHERE session_id = :session_id")
DELETE_MANY = Query(
    "Remove files of a session by id.", "DELETE FROM files WHERE id = ANY(:ids) AND scope_id = :scope_id RETURNING blob"
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


def to_copy(text: str) -> str:
    """The ``body`` column of a copy, which is never downloadable. Nearly all are copied as they stand, undecoded."""
    if '"downloadable":true' not in text:  # inside a name the quotes would be escaped
        return text
    return to_text(msgspec.structs.replace(to_body(text), downloadable=False))


def to_text(body: Body) -> str:
    """The ``body`` column."""
    return encode(body).decode()
