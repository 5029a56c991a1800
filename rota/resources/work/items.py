"""An item's row, read and written, and what becomes of one by time alone.

Nobody watches leases: a row says until when somebody has the item, and whoever reads it later sees it as it is by then
(``as_of``). So a lease ends at the same instant for everybody, whether or not a server was running at that moment.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from rota.base.clock import SECOND, to_datetime, to_datetime_or_none
from rota.base.wire import encode
from rota.resources.work import sql
from rota.resources.work.wire import SessionData, State, Work
from rota.store.tx import Row, Tx

TTL = 300
"""Seconds for which a lease holds, unless its worker wishes otherwise."""
GRACE = TTL * SECOND
"""How long a worker may still write down what it has, after its item was stopped by somebody else."""


class Item(Struct, frozen=True, kw_only=True):
    """An item's row, decoded. Instants in microseconds UTC; see the migration for what they mean."""

    id: str
    created_at: int
    workspace_id: str
    environment_id: str
    session_id: str
    state: State
    queued_at: int
    delivered_at: int | None
    lease_until: int | None
    again: bool
    body: sql.Body


def as_of(row: Row, now: int) -> Item:
    """A row of ``sql.GET`` and its like, as it is now: a lease that has ended puts the item back in the queue."""
    *same, again, body = row
    fields = dict(zip(Item.__struct_fields__, same, strict=False))
    item = Item(**fields, again=bool(again), body=sql.body_of(body))
    if item.lease_until is None or item.lease_until > now:
        return item
    if item.state == "queued":  # whoever it was handed out to has not been heard of
        anew = replace(item.body, round=item.body.round + 1)
        return replace(item, delivered_at=None, lease_until=None, again=False, body=anew)
    if item.state in ("starting", "active"):
        anew = replace(item.body, round=item.body.round + 1, holder=None, acknowledged_at=None, heartbeat_at=None)
        return replace(
            item,
            state="queued",
            queued_at=item.lease_until,
            delivered_at=None,
            lease_until=None,
            again=False,
            body=anew,
        )
    if item.state == "stopping":
        return stopped(item, item.lease_until, until=item.lease_until)
    return item


def stopped(item: Item, now: int, *, until: int) -> Item:
    """The item, stopped now; its credentials end at ``until``."""
    body = replace(item.body, stopped_at=now, stop_requested_at=item.body.stop_requested_at or now)
    return replace(item, state="stopped", lease_until=until, body=body)


def save(tx: Tx, items: Sequence[Item]) -> None:
    """Write back what may change."""
    rows = [
        (each.id, each.state, each.queued_at, each.delivered_at, each.lease_until, int(each.again), _text(each.body))
        for each in items
    ]
    tx.update(sql.SAVE, rows)


def shown(item: Item, secret: str | None = None) -> Work:
    """The item as it goes out."""
    body = item.body
    return Work(
        id=item.id,
        environment_id=item.environment_id,
        state=item.state,
        data=SessionData(item.session_id),
        metadata=body.metadata,
        secret=secret,
        created_at=to_datetime(item.created_at),
        acknowledged_at=to_datetime_or_none(body.acknowledged_at),
        started_at=to_datetime(item.queued_at),
        latest_heartbeat_at=to_datetime_or_none(body.heartbeat_at),
        stop_requested_at=to_datetime_or_none(body.stop_requested_at),
        stopped_at=to_datetime_or_none(body.stopped_at),
    )


def _text(body: sql.Body) -> str:
    return encode(body).decode()
