"""The limiter of new sessions: a fixed window of one minute for each organization, kept in the database.

Promises: exact however many servers share the database, because it counts inside the transaction that creates the
sessions. Called only while a limit is set, so that nobody pays for it otherwise.
"""

from rota.base.clock import MINUTE, SECOND
from rota.resources.workspaces import sql
from rota.store.tx import Row, Tx


def left(tx: Tx, organization_id: str, n: int, limit_per_minute: int) -> int:
    """How many of ``n`` sessions would be granted now; takes none."""
    return _granted(
        tx.one(sql.CREATIONS, organization_id=organization_id, minute=tx.now // MINUTE), n, limit_per_minute
    )


def take(tx: Tx, organization_id: str, n: int, limit_per_minute: int) -> int:
    """Take up to ``n`` sessions out of this minute's ``limit_per_minute``; how many were granted, 0 to ``n``."""
    minute = tx.now // MINUTE
    row = tx.one(sql.CREATIONS, organization_id=organization_id, minute=minute)
    granted = _granted(row, n, limit_per_minute)
    if granted:
        tx.run(sql.COUNT_CREATIONS, organization_id=organization_id, minute=minute, count=granted)
    if row is None:
        tx.run(sql.DROP_OLD_CREATIONS, organization_id=organization_id, minute=minute)
    return granted


def _granted(row: Row | None, n: int, limit_per_minute: int) -> int:
    return max(0, min(n, limit_per_minute - (row[0] if row else 0)))


def seconds_left(now: int) -> int:
    """Whole seconds from ``now`` (microseconds UTC) until the next window opens, 1 to 60; for ``retry-after``."""
    return -(-(MINUTE - now % MINUTE) // SECOND)
