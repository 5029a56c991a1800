"""How long versions are kept, and the housekeeping that removes them.

Promises: a version is kept for 30 days after it was written, and the newest ten of a memory that is there, the current
one always among them, for as long as the memory is there; 30 days after a memory was deleted its whole history goes. What
is removed was marked when it ceased to be needed, so that housekeeping walks an index of what is due and of nothing else.
"""

from rota.base.clock import DAY
from rota.queue.chore import Chore, Tools
from rota.resources.memory_stores import sql
from rota.store.tx import Tx

KEPT = 30 * DAY
NEWEST = 10
AT_ONCE = 200
"""Versions that one transaction removes at most; each may hold 100 kB, and all writers wait for an embedded database."""
_ROUNDS = 10


def superseded(tx: Tx, memory_id: str) -> None:
    """A memory has got a new version: the one that is no longer among the newest may go when it is old enough."""
    tx.run(sql.LET_ONE_EXPIRE, memory_id=memory_id, newest=NEWEST, kept=KEPT)


def deleted(tx: Tx, memory_id: str, at: int) -> None:
    """A memory has been deleted: what is left of its history goes together."""
    tx.run(sql.LET_ALL_EXPIRE, memory_id=memory_id, expires_at=at + KEPT)


def forget(tx: Tx, memory_store_id: str) -> None:
    """A store has been deleted: its versions go at once, or, where there are too many, what is over goes by the chore."""
    if _drop_versions(tx, memory_store_id, AT_ONCE) == AT_ONCE:
        tx.insert(sql.NOTE_DELETED, [(memory_store_id,)])


def sweep(tx: Tx) -> int:
    """Remove what is due, at most ``AT_ONCE`` versions; how many were removed."""
    done = tx.run(sql.DELETE_EXPIRED, now=tx.now, limit=AT_ONCE)
    while done < AT_ONCE and (row := tx.one(sql.NEXT_DELETED)) is not None:
        asked = AT_ONCE - done
        removed = _drop_versions(tx, row[0], asked)
        if removed < asked:
            tx.run(sql.DROP_DELETED, id=row[0])
        done += removed
    return done


def _drop_versions(tx: Tx, memory_store_id: str, limit: int) -> int:
    return tx.run(sql.DELETE_SOME_VERSIONS, memory_store_id=memory_store_id, limit=limit)


async def _tidy(tools: Tools) -> int:
    total = 0
    for _ in range(_ROUNDS):
        done = await tools.db.write(sweep)
        total += done
        if done < AT_ONCE:
            break
    return total


CHORES = [Chore("memory versions that are no longer kept", 60.0, _tidy)]
