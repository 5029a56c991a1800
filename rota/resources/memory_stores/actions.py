"""What happens to memory stores (contract, memory stores). What is in them is the matter of ``memories`` and ``versions``."""

import unicodedata
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Struct

from rota.base import ids
from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.who import Who
from rota.base.wire import check_metadata, patch_metadata
from rota.queue.outbox import announce
from rota.resources.memory_stores import retention, sql
from rota.resources.memory_stores.wire import (
    CreateMemoryStore,
    ListMemoryStores,
    MemoryStore,
    MemoryStoreDeleted,
    UpdateMemoryStore,
)
from rota.store.tx import Found, Row, Tx, page

_NULL_METADATA = (
    'Failed to parse request: params: field "metadata": null is not a valid value for a map field; omit the field to '
    "preserve, or set individual keys to null to delete them"
)


class Facts(Struct, frozen=True):
    """What a fire or a session needs to know of a memory store."""

    id: str
    workspace_id: str
    archived: bool
    name: str
    description: str


def create(tx: Tx, who: Who, body: CreateMemoryStore) -> MemoryStore:
    """Make an empty store; its name need not be its own."""
    check_metadata(body.metadata)
    kept = sql.StoreBody(name=_check_name(body.name), description=body.description or "", metadata=dict(body.metadata))
    store_id = ids.new(ids.MEMORY_STORE)
    tx.insert(sql.INSERT, [(store_id, who.workspace_id, tx.now, tx.now, 0, sql.to_text(kept))])
    announce(tx, who, "memory_store.created", store_id)
    return sql.to_store((store_id, tx.now, tx.now, None, 0, sql.to_text(kept)))


def get(tx: Tx, who: Who, memory_store_id: str) -> MemoryStore:
    """The store, archived ones too. NotFound."""
    return sql.to_store(_row(tx, who, memory_store_id))


def find_many(tx: Tx, memory_store_ids: Sequence[str]) -> dict[str, Facts]:
    """Those of the memory stores that exist, in any workspace."""
    found: dict[str, Facts] = {}
    for store_id, workspace_id, archived_at, text in tx.all(sql.GET_MANY, ids=list(memory_store_ids)):
        body = sql.store_body_of(text)
        found[store_id] = Facts(store_id, workspace_id, archived_at is not None, body.name, body.description)
    return found


def list_(tx: Tx, who: Who, position: Position | None, query: ListMemoryStores) -> Found:
    """A page of stores, newest first."""
    live = None if query.include_archived else 1
    found = page(
        tx,
        sql.LIST,
        limit=query.limit,
        position=position,
        filters={"live": live, **query.times()},
        workspace_id=who.workspace_id,
    )
    return found.map(sql.to_store)


def update(tx: Tx, who: Who, memory_store_id: str, body: UpdateMemoryStore) -> MemoryStore:
    """Change what was sent. What is in the store is untouched, and so are the sessions that have it mounted."""
    row = _row(tx, who, memory_store_id)
    if body.metadata is None:
        raise InvalidRequest(_NULL_METADATA)
    if body.name is UNSET and body.description is UNSET and body.metadata is UNSET:
        raise InvalidRequest("at least one of name, description, or metadata must be provided")
    if body.name is None or body.name == "":
        raise InvalidRequest("name cannot be empty")
    if row[3] is not None:
        raise archived(memory_store_id)
    old = sql.store_body_of(row[5])
    new = msgspec.structs.replace(
        old,
        name=old.name if body.name is UNSET else _check_name(body.name),
        description=old.description if body.description is UNSET else body.description or "",
        metadata=old.metadata if body.metadata is UNSET else patch_metadata(old.metadata, body.metadata),
    )
    if new == old:
        return sql.to_store(row)
    return _save(tx, row, None, new)


def archive(tx: Tx, who: Who, memory_store_id: str) -> MemoryStore:
    """Archive for good: nothing more is written, and no new session gets it. Again is the same answer, unannounced."""
    row = _row(tx, who, memory_store_id)
    if row[3] is not None:
        return sql.to_store(row)
    saved = _save(tx, row, tx.now, sql.store_body_of(row[5]))
    announce(tx, who, "memory_store.archived", memory_store_id)
    return saved


def delete(tx: Tx, who: Who, memory_store_id: str) -> MemoryStoreDeleted:
    """Remove a store with all its memories and versions, archived or not."""
    _row(tx, who, memory_store_id)
    tx.run(sql.DELETE, id=memory_store_id)
    tx.run(sql.DELETE_MEMORIES, memory_store_id=memory_store_id)
    retention.forget(tx, memory_store_id)
    announce(tx, who, "memory_store.deleted", memory_store_id)
    return MemoryStoreDeleted(memory_store_id)


def missing(memory_store_id: str) -> NotFound:
    """The refusal of a store that is not there, or is another workspace's."""
    return NotFound(f"memory store not found: {memory_store_id}")


def archived(memory_store_id: str) -> InvalidRequest:
    """The refusal of a change to an archived store."""
    return InvalidRequest(f"cannot modify archived resource: memory store {memory_store_id}")


def _row(tx: Tx, who: Who, memory_store_id: str) -> Row:
    """The store's row; a sessions token finds those that are attached to its session."""
    row = tx.one(sql.GET, id=memory_store_id, workspace_id=who.workspace_id)
    if row is None or (who.session_id is not None and memory_store_id not in who.memory_stores):
        raise missing(memory_store_id)
    return row


def _save(tx: Tx, row: Row, archived_at: int | None, body: sql.StoreBody) -> MemoryStore:
    text = sql.to_text(body)
    tx.run(sql.UPDATE, id=row[0], updated_at=tx.now, archived_at=archived_at, body=text)
    return sql.to_store((row[0], row[1], tx.now, archived_at, row[4], text))


def _check_name(name: str) -> str:
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise InvalidRequest("name: must not have control characters")
    return name
