"""Versions of memories: the record of every change, which only redaction alters afterwards (contract, memory stores).

How long they are kept is the matter of ``retention``.
"""

from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.who import Who
from rota.resources.memory_stores import actions, sql
from rota.resources.memory_stores.wire import ApiActor, ListVersions, MemoryVersion, View
from rota.store.tx import Found, Row, Tx, page


def get(tx: Tx, who: Who, memory_store_id: str, version_id: str, view: View | None) -> MemoryVersion:
    """One version, in full unless the basic view is asked for, whether its memory is still there or not. NotFound."""
    row = _row(tx, who, memory_store_id, version_id)
    return sql.to_version(row, None if view == "basic" else sql.contents(tx, [version_id])[version_id])


def list_(tx: Tx, who: Who, position: Position | None, memory_store_id: str, query: ListVersions) -> Found:
    """A page of versions, newest first."""
    actions.get(tx, who, memory_store_id)
    names = ("memory_id", "operation", "session_id", "api_key_id", "service_account_id")
    found = page(
        tx,
        sql.LIST_VERSIONS,
        limit=query.page_length,
        position=position,
        filters={name: getattr(query, name) for name in names} | query.times(),
        memory_store_id=memory_store_id,
    )
    known = sql.contents(tx, [row[0] for row in found.items]) if query.view == "full" else {}
    return found.map(lambda row: sql.to_version(row, known.get(row[0])))


def redact(tx: Tx, who: Who, memory_store_id: str, version_id: str) -> MemoryVersion:
    """Take content, path, digest and size out of a version for good; who wrote it and when stays. Again is the same answer.

    Works in archived stores and for deleted memories. InvalidRequest for the current version of a memory.
    """
    row = _row(tx, who, memory_store_id, version_id)
    if sql.version_body_of(row[7]).redacted_at is not None:
        return sql.to_version(row)
    memory = tx.one(sql.GET_MEMORY, id=row[3], memory_store_id=memory_store_id)
    if memory is not None and memory[5] == version_id:
        raise InvalidRequest(f"version is the current content of {row[3]}; write a new version first")
    body = sql.to_text(sql.VersionBody(redacted_at=tx.now, redacted_by=ApiActor(who.key_id)))
    tx.run(sql.REDACT, id=version_id, body=body)
    return sql.to_version((*row[:7], body))


def _row(tx: Tx, who: Who, memory_store_id: str, version_id: str) -> Row:
    actions.get(tx, who, memory_store_id)
    row = tx.one(sql.GET_VERSION, id=version_id, memory_store_id=memory_store_id)
    if row is None:
        raise NotFound(f"memory version not found: {version_id}")
    return row
