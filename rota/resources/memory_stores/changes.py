"""Changes to the memories of a store: the one door through which every one of them goes, whoever makes it.

Promises: a change and the version that records it are one transaction, and a change that is refused has written nothing,
so that many can share a transaction (``write_all``); a memory's versions are never of one instant, so that their order is
their history's; a change that changes nothing makes no version. Whether the caller may write to the store at all is
decided before.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from msgspec import Struct

from rota.base import ids
from rota.base.errors import InvalidRequest, MemoryPathConflict, MemoryPreconditionFailed, NotFound, Refusal
from rota.resources.memory_stores import actions, paths, retention, sql
from rota.resources.memory_stores.wire import Actor, Memory, MemoryDeleted, Operation
from rota.store.tx import Row, Tx

MAX_CONTENT = 102_400


class Text(Struct, frozen=True):
    """A content, with its size in bytes and its SHA-256 in lower-case hex, both of its UTF-8 form as it came."""

    content: str
    size: int
    digest: str


class Create(Struct, frozen=True):
    """Make a memory at a path that ``paths.check`` has accepted."""

    path: str
    text: Text


class Update(Struct, frozen=True):
    """Give a memory another content, another such path, or both; ``expected`` is the digest that it must have until then."""

    memory_id: str
    path: str | None = None
    text: Text | None = None
    expected: str | None = None


class Delete(Struct, frozen=True):
    """Remove a memory; ``expected`` is the digest that it must have until then."""

    memory_id: str
    expected: str | None = None


Deed: TypeAlias = Create | Update | Delete


class Change(Struct, frozen=True):
    """One change to a store, and by whom. ``most`` is how many memories the store may hold; ``full``: the outcome shows
    the content."""

    workspace_id: str
    memory_store_id: str
    actor: Actor
    deed: Deed
    most: int
    full: bool = False


def text(content: str) -> Text:
    """A content that may be kept. InvalidRequest if it is too long."""
    raw = content.encode()
    if len(raw) > MAX_CONTENT:
        raise InvalidRequest(f"content must be at most {MAX_CONTENT} bytes")
    return Text(content, len(raw), sha256(raw).hexdigest())


def write_all(tx: Tx, changes: Sequence[Change]) -> list[Memory | MemoryDeleted | BaseException]:
    """Make many changes, one after the other; the outcome of each, a refusal if it was refused."""
    outcomes: list[Memory | MemoryDeleted | BaseException] = []
    for change in changes:
        try:
            outcomes.append(write(tx, change))
        except Refusal as refusal:
            outcomes.append(refusal)
    return outcomes


def write(tx: Tx, change: Change) -> Memory | MemoryDeleted:
    """Make one change. Refused without having written anything: NotFound (store or memory), InvalidRequest (archived store,
    full store), MemoryPathConflict, MemoryPreconditionFailed."""
    row = tx.one(sql.GET, id=change.memory_store_id, workspace_id=change.workspace_id)
    if row is None:
        raise actions.missing(change.memory_store_id)
    deed = change.deed
    if isinstance(deed, Delete):
        return _delete(tx, change, deed)
    if row[3] is not None:
        raise actions.archived(change.memory_store_id)
    if isinstance(deed, Create):
        return _create(tx, change, deed, held=row[4])
    return _update(tx, change, deed)


def missing(memory_id: str) -> NotFound:
    """The refusal of a memory that is not in the store."""
    return NotFound(f"memory not found: {memory_id}")


def _create(tx: Tx, change: Change, deed: Create, *, held: int) -> Memory:
    _check_place(tx, change, deed.path, None)
    if held >= change.most:
        raise InvalidRequest(
            f"memory store {change.memory_store_id} holds {held} memories, and may hold {change.most}; delete some first"
        )
    memory_id = ids.new(ids.MEMORY)
    version_id = _record(tx, change, memory_id, "created", tx.now, deed.path, deed.text)
    body = sql.to_text(sql.MemoryBody(digest=deed.text.digest, size=deed.text.size))
    tx.insert(sql.INSERT_MEMORY, [(memory_id, change.memory_store_id, tx.now, tx.now, deed.path, version_id, body)])
    tx.run(sql.COUNT, id=change.memory_store_id, more=1)
    row = (memory_id, tx.now, tx.now, change.memory_store_id, deed.path, version_id, body)
    return sql.to_memory(row, deed.text.content if change.full else None)


def _update(tx: Tx, change: Change, deed: Update) -> Memory:
    row, body = _expect(tx, change, deed.memory_id, deed.expected)
    path = deed.path or row[4]
    rewritten = deed.text is not None and deed.text.digest != body.digest
    if path == row[4] and not rewritten:
        return sql.to_memory(row, _content(tx, row) if change.full else None)
    if path != row[4]:
        _check_place(tx, change, path, deed.memory_id)
    kept = deed.text if deed.text is not None else Text(_content(tx, row), body.size, body.digest)
    at = max(tx.now, row[2] + 1)
    version_id = _record(tx, change, deed.memory_id, "modified", at, path, kept)
    new = sql.to_text(sql.MemoryBody(digest=kept.digest, size=kept.size))
    tx.run(sql.UPDATE_MEMORY, id=deed.memory_id, updated_at=at, path=path, version_id=version_id, body=new)
    retention.superseded(tx, deed.memory_id)
    saved = (row[0], row[1], at, row[3], path, version_id, new)
    return sql.to_memory(saved, kept.content if change.full else None)


def _delete(tx: Tx, change: Change, deed: Delete) -> MemoryDeleted:
    row, _ = _expect(tx, change, deed.memory_id, deed.expected)
    at = max(tx.now, row[2] + 1)
    _record(tx, change, deed.memory_id, "deleted", at, row[4], None)
    tx.run(sql.DELETE_MEMORY, id=deed.memory_id)
    tx.run(sql.COUNT, id=change.memory_store_id, more=-1)
    retention.deleted(tx, deed.memory_id, at)
    return MemoryDeleted(deed.memory_id)


def _expect(tx: Tx, change: Change, memory_id: str, digest: str | None) -> tuple[Row, sql.MemoryBody]:
    row = tx.one(sql.GET_MEMORY, id=memory_id, memory_store_id=change.memory_store_id)
    if row is None:
        raise missing(memory_id)
    body = sql.memory_body_of(row[6])
    if digest is not None and digest != body.digest:
        raise MemoryPreconditionFailed("precondition content_sha256 failed: content has changed")
    return row, body


def _check_place(tx: Tx, change: Change, path: str, moving: str | None) -> None:
    """Nothing may be at a path, above it or below it, but the memory that is ``moving`` there."""
    where: dict[str, Any] = {"memory_store_id": change.memory_store_id, "id": moving or ""}
    found = tx.one(sql.AT_PATHS, paths=[path, *paths.above(path)], **where)
    if found is None:
        path_from, path_before = paths.below(path + "/")
        found = tx.one(sql.BELOW_PATH, path_from=path_from, path_before=path_before, **where)
    if found is None:
        return
    other_id, other = found
    if other == path:
        mend = "use update to modify it" if moving is None else "delete it first to rename-and-replace"
        message = f"path `{path}` is already used by `{other_id}`; {mend}"
    else:
        message = (
            f"path `{path}` conflicts with existing memory at `{other}`: a memory and a path prefix of it cannot coexist. "
            "Delete or rename the other memory first."
        )
    raise MemoryPathConflict(message, path=other, memory_id=other_id)


def _record(tx: Tx, change: Change, memory_id: str, operation: Operation, at: int, path: str, kept: Text | None) -> str:
    """Write a version; its id. ``kept`` is None for a deletion."""
    version_id = ids.new(ids.MEMORY_VERSION)
    body = sql.VersionBody(path=path, digest=kept and kept.digest, size=None if kept is None else kept.size)
    row = (
        version_id,
        change.memory_store_id,
        memory_id,
        at,
        operation,
        *sql.from_actor(change.actor),
        sql.to_text(body),
        None if kept is None else kept.content,
    )
    tx.insert(sql.INSERT_VERSION, [row])
    return version_id


def _content(tx: Tx, row: Row) -> str:
    """What a memory holds now; the current version is neither redacted nor removed."""
    return sql.contents(tx, [row[5]])[row[5]] or ""
