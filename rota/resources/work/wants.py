"""Sessions that want a worker: the doors by which they come into the queue and leave it, for the rooms above.

The rule that loses no work (contract, failures): a session has one live item at most. What arrives while somebody has that
item in hand is noted in it (``again``), because its worker may be about to leave; when the item is stopped with that note
on it, a new one takes its place in the same transaction. The note is taken off when the item is handed out, since whoever
takes it sees everything, and when the session comes to rest, since then nothing is left to do. So whatever arrives is seen by
one hand-out at least, and a worker that cannot serve a session, and stops, is not given it for ever.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rota.base import ids
from rota.base.errors import Conflict
from rota.base.who import Access, Who
from rota.base.wire import encode
from rota.resources.work import items, sql
from rota.resources.work.items import Item
from rota.store.tx import Tx

TOPIC = "work"
"""Woken when there is something to hand out."""


class Want(Struct, frozen=True):
    """A session that wants a worker. ``stores`` are the memory stores that are attached to it."""

    workspace_id: str
    environment_id: str
    session_id: str
    stores: Mapping[str, Access] = {}


def want(tx: Tx, wanted: Sequence[Want]) -> None:
    """Queue sessions, each of which appears once; one that has a live item already is not queued twice."""
    if not wanted:
        return
    rows = [
        (
            ids.new(ids.WORK), each.workspace_id, each.environment_id, each.session_id, tx.now, "queued", tx.now, 0,
            encode(sql.Body(stores=dict(each.stores))).decode(),
        )
        for each in wanted
    ]  # fmt: skip
    tx.insert(sql.WANT, rows)
    tx.wake(TOPIC)


def rest(tx: Tx, session_id: str) -> None:
    """The session has come to rest and nothing waits in it: what nobody has taken up leaves the queue."""
    item = _live(tx, session_id)
    if item is None:
        return
    if item.state == "queued" and item.lease_until is None:
        items.save(tx, [items.stopped(item, tx.now, until=tx.now)])
    else:
        items.save(tx, [replace(item, again=False, body=replace(item.body, rested_at=tx.now))])


def end(tx: Tx, session_id: str) -> None:
    """The session is over: its live item is stopped, and its worker hears of that at the next heartbeat."""
    item = _live(tx, session_id)
    if item is None:
        return
    if item.state != "stopped":
        item = items.stopped(item, tx.now, until=tx.now + items.GRACE)
    items.save(tx, [replace(item, again=False)])


def end_all(tx: Tx, _who: Who, environment_id: str) -> None:
    """The environment is gone: so is all its work."""
    for row in tx.all(sql.LIVE_IN_ENVIRONMENT, environment_id=environment_id):
        end(tx, row[4])


def object_to_environment_deletion(tx: Tx, _who: Who, environment_id: str) -> None:
    """An environment with work in its queue stays, unless deletion is forced (contract, environments). Conflict."""
    row = tx.one(sql.COUNT_QUEUED, environment_id=environment_id, now=tx.now)
    if row is not None and row[0]:
        raise Conflict(
            "Cannot delete self-hosted environment with work in the queue. Either archive the environment first to allow "
            "the queue to drain, or use force=true to delete immediately."
        )


def stop(tx: Tx, item: Item, *, until: int) -> Item:
    """Stop an item now; if its session got more to do since it was handed out, a new one takes its place."""
    ended = items.stopped(item, tx.now, until=until)
    items.save(tx, [ended])
    if item.again:
        want(tx, [anew(item)])
    return ended


def anew(item: Item) -> Want:
    """What its session wants, once more."""
    return Want(item.workspace_id, item.environment_id, item.session_id, item.body.stores)


def _live(tx: Tx, session_id: str) -> Item | None:
    """The session's live item; also one that has just been stopped by the end of its lease, which nobody has written down."""
    row = tx.one(sql.LIVE, session_id=session_id)
    return None if row is None else items.as_of(row, tx.now)
