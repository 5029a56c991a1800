"""Announcements: what happened to a resource, told inside the transaction in which it happened.

Promises: what is committed is announced, and nothing else is. Subscribers run in the same transaction, which is how a
higher room follows a lower one (an archived agent archives its deployments at the same instant) while imports still go
down; ``api.py`` wires them. Each announcement also leaves a row, to be delivered to the outside world.
Does not deliver.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from rota.base import ids
from rota.base.clock import DAY
from rota.base.who import Who
from rota.base.wire import encode
from rota.queue import sql
from rota.queue.chore import Chore, Tools
from rota.store.tx import Tx

TOPIC = "outbox"
KEPT = DAY
"""How long an announcement waits for somebody who delivers it, in microseconds."""
_AT_ONCE = 20_000


class Announcement(Struct, frozen=True, kw_only=True):
    """What waits to be delivered. ``created_at`` in microseconds UTC; ``data`` as it was given to ``announce``."""

    id: str
    created_at: int
    organization_id: str
    workspace_id: str
    event: str
    resource_id: str
    data: dict[str, str]


_data_of: Final = msgspec.json.Decoder(dict[str, str]).decode

Subscriber: TypeAlias = Callable[[Tx, Who, str], None]

_subscribers: dict[str, list[Subscriber]] = {}


def subscribe(event: str, subscriber: Subscriber) -> None:
    """Call ``subscriber(tx, who, id)`` inside every transaction that announces ``event``. Subscribing twice is once."""
    waiting = _subscribers.setdefault(event, [])
    if subscriber not in waiting:
        waiting.append(subscriber)


def consult(tx: Tx, who: Who, event: str, resource_id: str) -> None:
    """Let the subscribers of ``event`` object (by raising a Refusal) to what is about to happen. Leaves no row."""
    for subscriber in _subscribers.get(event, ()):
        subscriber(tx, who, resource_id)


def announce(tx: Tx, who: Who, event: str, *resource_ids: str, data: dict[str, str] | None = None) -> None:
    """Say that ``event`` (``agent.archived``) happened to each of these resources.

    ``data`` is what the event tells beside their ids, under the names of the wire (``vault_id``, ``session_thread_id``).
    """
    text = None if data is None else encode(data).decode()
    rows = [
        (ids.new(ids.WEBHOOK_EVENT), tx.now, who.organization_id, who.workspace_id, event, resource_id, text)
        for resource_id in resource_ids
    ]
    tx.insert(sql.ANNOUNCE, rows)
    for subscriber in _subscribers.get(event, ()):
        for resource_id in resource_ids:
            subscriber(tx, who, resource_id)
    tx.wake(TOPIC)


def announce_all(tx: Tx, happened: Sequence[tuple[Who, str, str]]) -> None:
    """Say what happened to many resources of many owners, with one statement: (whose, event, id), in order."""
    if not happened:
        return
    rows = [
        (fresh, tx.now, who.organization_id, who.workspace_id, event, resource_id, None)
        for fresh, (who, event, resource_id) in zip(ids.many(ids.WEBHOOK_EVENT, len(happened)), happened, strict=True)
    ]
    tx.insert(sql.ANNOUNCE, rows)
    for who, event, resource_id in happened:
        for subscriber in _subscribers.get(event, ()):
            subscriber(tx, who, resource_id)
    tx.wake(TOPIC)


def waiting(tx: Tx, organization_id: str | None, limit: int) -> list[Announcement]:
    """Announcements in the order in which they were made, at most ``limit``; of one organization, or of all (None)."""
    rows = (
        tx.all(sql.OLDEST, limit=limit)
        if organization_id is None
        else tx.all(sql.OLDEST_OF_ORGANIZATION, organization_id=organization_id, limit=limit)
    )
    return [
        Announcement(
            id=row[0],
            created_at=row[1],
            organization_id=row[2],
            workspace_id=row[3],
            event=row[4],
            resource_id=row[5],
            data={} if row[6] is None else _data_of(row[6]),
        )
        for row in rows
    ]


def remove(tx: Tx, announcement_ids: Sequence[str]) -> None:
    """Take announcements out: whoever is to hear of them will."""
    tx.run(sql.REMOVE, ids=list(announcement_ids))


def _forget(tx: Tx) -> int:
    return tx.run(sql.DROP_OLD, before=tx.now - KEPT, limit=_AT_ONCE)


async def _tidy(tools: Tools) -> int:
    return await tools.db.write(_forget)


FORGET = Chore("announcements", 600, _tidy)
"""Drops announcements that nobody fetched in time; not done by ``announce``, where writers would meet in the oldest rows."""
