"""What an environment's work looks like, its metadata, and what is forgotten of it (contract, work). Leases are in ``leases``."""

from msgspec import UNSET
from msgspec.structs import replace

from rota.base.clock import DAY, to_datetime_or_none
from rota.base.errors import NotFound
from rota.base.page import Position
from rota.base.who import Who
from rota.base.wire import patch_metadata
from rota.queue.chore import Chore, Tools
from rota.resources.environments import actions as environments
from rota.resources.environments.wire import SelfHosted
from rota.resources.work import items, leases, sql
from rota.resources.work.wire import ListWork, QueueStats, UpdateWork, Work
from rota.store.tx import Found, Tx, page

KEPT = 30 * DAY
"""How long an item that was stopped can be looked at, in microseconds."""
_AT_ONCE = 1000
_RECENTLY = 5000 * leases.MILLISECOND


def list_(tx: Tx, who: Who, position: Position | None, environment_id: str, query: ListWork) -> Found:
    """A page of an environment's work, newest first. NotFound, also for an environment that can have none."""
    if not _is_self_hosted(tx, who, environment_id):
        raise NotFound(f"Environment {environment_id} not found.")
    found = page(
        tx,
        sql.LIST,
        limit=query.limit,
        position=position,
        environment_id=environment_id,
        workspace_id=who.workspace_id,
    )
    return found.map(lambda row: items.shown(items.as_of(row, tx.now)))


def get(tx: Tx, who: Who, environment_id: str, work_id: str) -> Work:
    """One item. NotFound."""
    return items.shown(leases.find(tx, who, environment_id, work_id))


def update(tx: Tx, who: Who, environment_id: str, work_id: str, body: UpdateWork) -> Work:
    """Change an item's metadata."""
    item = leases.find(tx, who, environment_id, work_id)
    if body.metadata is not UNSET:
        metadata = patch_metadata(item.body.metadata, body.metadata)
        item = replace(item, body=replace(item.body, metadata=metadata))
        items.save(tx, [item])
    return items.shown(item)


def stats(tx: Tx, who: Who, environment_id: str) -> QueueStats:
    """How an environment's queue stands; nothing waits and nobody polls where the server runs the tools itself."""
    if not _is_self_hosted(tx, who, environment_id):
        return QueueStats(depth=0, pending=0, oldest_queued_at=None, workers_polling=None)
    row = tx.one(sql.STATS, environment_id=environment_id, now=tx.now, recently=tx.now - _RECENTLY)
    polling = tx.one(sql.COUNT_POLLERS, environment_id=environment_id, since=tx.now - leases.POLLING)
    assert row is not None
    assert polling is not None
    return QueueStats(
        depth=row[0], pending=row[1], oldest_queued_at=to_datetime_or_none(row[2]), workers_polling=polling[0]
    )


def _is_self_hosted(tx: Tx, who: Who, environment_id: str) -> bool:
    return isinstance(environments.get(tx, who, environment_id).config, SelfHosted)


def _forget(tx: Tx) -> int:
    old = [row[0] for row in tx.all(sql.OLD, before=tx.now - KEPT, limit=_AT_ONCE)]
    if old:
        tx.run(sql.FORGET_TOKENS, ids=old)
        tx.run(sql.FORGET, ids=old)
    return len(old)


async def _tidy(tools: Tools) -> int:
    return await tools.db.write(_forget)


CHORES = [Chore("work that was done long ago", 3600.0, _tidy)]
