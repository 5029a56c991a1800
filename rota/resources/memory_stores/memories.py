"""Memories as callers of the API see them: shown, listed, and the changes that they ask for (contract, memory stores).

The changes themselves are made by ``changes``. A list of depth 1 goes in the order of paths and shows each folder as one
item; it is walked through the paths in short reaches, jumping over what a folder holds, so that neither the length of
the store nor that of a folder is ever held in memory.
"""

import re
from collections.abc import Iterator

from rota.base.errors import Forbidden, InvalidRequest
from rota.base.page import Position
from rota.base.who import Who
from rota.resources.memory_stores import actions, changes, paths, sql
from rota.resources.memory_stores.changes import Change, Create, Deed, Delete, Update
from rota.resources.memory_stores.wire import (
    Actor,
    ApiActor,
    CreateMemory,
    DeleteMemory,
    ListItem,
    ListMemories,
    Memory,
    MemoryPrefix,
    SessionActor,
    UpdateMemory,
    View,
)
from rota.store.tx import Found, Tx, page

_DIGEST = re.compile(r"[0-9a-f]{64}")


def creation(body: CreateMemory) -> Create:
    """What a body asks for. InvalidRequest if its path or content may not be."""
    if body.content is None:
        raise InvalidRequest("content: value is required")
    return Create(paths.check(body.path), changes.text(body.content))


def modification(memory_id: str, body: UpdateMemory) -> Update:
    """What a body asks for. InvalidRequest if that is nothing, or its path, content or digest may not be."""
    if body.content is None and body.path is None:
        raise InvalidRequest("v1_update_memory_params: at least one of content or path must be provided")
    return Update(
        memory_id,
        path=None if body.path is None else paths.check(body.path),
        text=None if body.content is None else changes.text(body.content),
        expected=body.precondition and _check_digest("precondition.content_sha256", body.precondition.content_sha256),
    )


def deletion(memory_id: str, query: DeleteMemory) -> Delete:
    """What a query asks for. InvalidRequest if its digest may not be."""
    expected = query.expected_content_sha256
    return Delete(memory_id, None if expected is None else _check_digest("expected_content_sha256", expected))


def by(who: Who, memory_store_id: str, deed: Deed, most: int, view: View | None = None) -> Change:
    """A change that a caller of the API makes; its outcome is basic unless another view is asked for. A worker makes it for
    its session: NotFound or Forbidden for a store that this has not, or may only read."""
    actor: Actor = ApiActor(who.key_id)
    if who.session_id is not None:
        actor = SessionActor(who.session_id)
        access = who.memory_stores.get(memory_store_id)
        if access is None:
            raise actions.missing(memory_store_id)
        if access == "read_only":
            raise Forbidden(f"memory store {memory_store_id} is attached to the session for reading only")
    return Change(who.workspace_id, memory_store_id, actor, deed, most, view == "full")


def get(tx: Tx, who: Who, memory_store_id: str, memory_id: str, view: View | None) -> Memory:
    """One memory, in full unless the basic view is asked for. NotFound."""
    actions.get(tx, who, memory_store_id)
    row = tx.one(sql.GET_MEMORY, id=memory_id, memory_store_id=memory_store_id)
    if row is None:
        raise changes.missing(memory_id)
    return sql.to_memory(row, None if view == "basic" else sql.contents(tx, [row[5]])[row[5]])


def list_(tx: Tx, who: Who, position: Position | None, memory_store_id: str, query: ListMemories) -> Found:
    """A page of memories: all below a prefix, newest first, or (depth 1) what is right in a folder, in the order of paths."""
    actions.get(tx, who, memory_store_id)
    if query.depth == 1:
        return _list_folder(tx, memory_store_id, position, query)
    path_from, path_before = paths.below(query.path_prefix) if query.path_prefix else (None, None)
    found = page(
        tx,
        sql.LIST_MEMORIES,
        limit=query.page_length,
        position=position,
        filters={"path_from": path_from, "path_before": path_before},
        memory_store_id=memory_store_id,
    )
    known = sql.contents(tx, [row[5] for row in found.items]) if query.view == "full" else {}
    return found.map(lambda row: sql.to_memory(row, known.get(row[5])))


def _list_folder(tx: Tx, memory_store_id: str, position: Position | None, query: ListMemories) -> Found:
    folder = query.path_prefix or "/"
    limit = query.page_length
    seen: list[tuple[str, str]] = []  # each item's path, and its memory's id unless it is a folder
    for item in _walk(tx, memory_store_id, folder, None if position is None else position.id, limit + 1):
        seen.append(item)
        if len(seen) > limit:
            break
    more = len(seen) > limit
    del seen[limit:]
    rows = {row[0]: row for row in tx.all(sql.GET_MEMORIES, ids=[memory_id for _, memory_id in seen if memory_id])}
    known = sql.contents(tx, [row[5] for row in rows.values()]) if query.view == "full" else {}
    items: list[ListItem] = []
    for path, memory_id in seen:
        row = rows.get(memory_id)
        items.append(MemoryPrefix(path) if row is None else sql.to_memory(row, known.get(row[5])))
    return Found(items, Position(0, seen[-1][0], "asc") if more else None)


def _walk(tx: Tx, memory_store_id: str, folder: str, last: str | None, reach: int) -> Iterator[tuple[str, str]]:
    """What is right in a folder, behind the item ``last``: pairs of a memory's path and id, or of a folder's path and nothing.

    A reach of paths is fetched at a time. Where it ends within a folder, the next begins behind that folder.
    """
    path_from, path_before = paths.below(folder)
    if last is not None:
        path_from = paths.after(last)
    while True:
        rows = tx.all(
            sql.IN_PATH_ORDER,
            memory_store_id=memory_store_id,
            path_from=path_from,
            path_before=path_before,
            limit=reach,
        )
        item = ""
        for path, memory_id in rows:
            inner = paths.folder_of(path, folder)
            if inner is None:
                item = path
                yield path, memory_id
            elif inner != item:
                item = inner
                yield inner, ""
        if len(rows) < reach:
            return
        path_from = paths.after(item)


def _check_digest(name: str, digest: str) -> str:
    if len(digest) != 64:
        raise InvalidRequest(f"{name}: must be 64 characters (and 1 more validation errors)")
    if not _DIGEST.fullmatch(digest):
        raise InvalidRequest(f"{name}: must match the pattern ^[0-9a-f]{{64}}$")
    return digest
