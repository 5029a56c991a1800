"""How objects that nobody needs are removed, without ever taking one that somebody is about to need.

An object (see ``store.blob``) is written before the row that names it, and outlives the row: no transaction spans both. So:

- A row names an object only in a transaction that has called ``check``. Deleting the last row that names it calls ``bury`` in
  the same transaction; an object without a row that is older than the grace is found by ``collect``, which buries it in a
  transaction that has looked for a row once more. Objects that are buried, and no others, are removed by ``CLEAR``.
- Writes are serializable. Let somebody be about to name an object while ``collect`` buries it. Either the row is committed
  first: then ``collect`` sees it and lets the object be. Or the burial is: then ``check`` sees it and the row is refused. A
  burial is remembered for a month after the removal, so that this holds for a process that was stopped for hours in between
  (SIGSTOP, a machine that slept), and however far the clocks of two servers are apart.
- A kill -9 leaves, before the row: an object that ``collect`` finds. After the burial: an object that ``CLEAR`` still has on
  its list. A row without bytes it never leaves: bytes are durable before the row, and the row gone before they are.

The grace is thus a courtesy and no lock: it spares those who are merely slow. ``check`` refuses at half of it already.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from rota.base.clock import DAY, SECOND
from rota.base.errors import Unavailable
from rota.queue import sql
from rota.queue.chore import Chore, Tools
from rota.store.blob import Written
from rota.store.tx import Tx

REMEMBERED = 30 * DAY
_AT_ONCE = 200
_ROUNDS = 50

Known: TypeAlias = Callable[[Tx, Sequence[str]], set[str]]
"""Those of some locations that a row names."""


def check(tx: Tx, written: Written, grace: int) -> None:
    """Called by whoever is about to name an object in a row. Unavailable if it may be gone; ``grace`` is in seconds."""
    if tx.one(sql.IS_BURIED, location=written.location) is not None or tx.now - written.at > grace * SECOND // 2:
        raise Unavailable(f"the object {written.location} was written too long ago to be named now")


def bury(tx: Tx, locations: Sequence[str]) -> None:
    """Say that no row names these objects any more, nor ever will."""
    tx.insert(sql.BURY, [(location, tx.now) for location in locations])


async def collect(tools: Tools, prefix: str, known: Known) -> int:
    """Bury the objects below ``prefix`` that are older than the grace and that no row names; how many there were."""
    before = await tools.db.read(_now) - tools.policy.object_grace * SECOND
    found = 0
    batch: list[str] = []
    async for location in tools.blobs.orphans(prefix, older_than=before):
        batch.append(location)
        if len(batch) == _AT_ONCE:
            found += await _bury_unknown(tools, batch, known)
            batch = []
    return found + await _bury_unknown(tools, batch, known)


async def _bury_unknown(tools: Tools, locations: list[str], known: Known) -> int:
    """A look first, so that nothing is written where all is well."""
    unknown = await tools.db.read(_unknown, locations, known)
    return await tools.db.write(_settle, unknown, known) if unknown else 0


def _unknown(tx: Tx, locations: Sequence[str], known: Known) -> list[str]:
    buried = {row[0] for row in tx.all(sql.BURIED, locations=list(locations))}
    return sorted(set(locations) - known(tx, locations) - buried)


def _settle(tx: Tx, locations: Sequence[str], known: Known) -> int:
    unknown = _unknown(tx, locations, known)
    bury(tx, unknown)
    return len(unknown)


def _now(tx: Tx) -> int:
    return tx.now


def _waiting(tx: Tx) -> list[str]:
    return [row[0] for row in tx.all(sql.WAITING, limit=_AT_ONCE)]


def _removed(tx: Tx, locations: Sequence[str]) -> int:
    tx.run(sql.FORGET_BURIALS, before=tx.now - REMEMBERED)
    return tx.run(sql.NOTE_REMOVAL, locations=list(locations), now=tx.now)


async def clear(tools: Tools) -> int:
    """Remove what is buried; how many objects that were. What cannot be removed now stays on the list."""
    total = 0
    for _ in range(_ROUNDS):
        locations = await tools.db.read(_waiting)
        for location in locations:
            await tools.blobs.remove(location)
        if locations:
            total += await tools.db.write(_removed, locations)
        if len(locations) < _AT_ONCE:
            break
    return total


CLEAR = Chore("objects that nobody needs", 60.0, clear)
