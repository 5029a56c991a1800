"""Housekeeping of skills: archives that no row names.

They come from a crash between an archive and its row, from a row that was refused or removed while the place for archives was
away, and from uploads that were answered by an earlier reply (Idempotency-Key).
"""

from rota.base.clock import MINUTE
from rota.queue.chore import Chore, Tools
from rota.resources.skills import sql
from rota.resources.skills.uploads import PREFIX
from rota.store.tx import Tx

GRACE = 60 * MINUTE
"""How old an archive must be, in microseconds: far older than a row could still be on its way."""
_AT_ONCE = 500


async def collect(tools: Tools) -> int:
    """Remove archives that no version names; how many there were."""
    now = await tools.db.read(lambda tx: tx.now)
    waiting: list[str] = []
    removed = 0
    async for location in tools.blobs.orphans(PREFIX, older_than=now - GRACE):
        waiting.append(location)
        if len(waiting) == _AT_ONCE:
            removed += await _remove_unknown(tools, waiting)
            waiting = []
    return removed + await _remove_unknown(tools, waiting)


async def _remove_unknown(tools: Tools, locations: list[str]) -> int:
    known = await tools.db.read(_known, locations)
    lost = [location for location in locations if location not in known]
    for location in lost:
        await tools.blobs.remove(location)
    return len(lost)


def _known(tx: Tx, locations: list[str]) -> set[str]:
    return {row[0] for row in tx.all(sql.KNOWN, locations=locations)}


COLLECT = Chore("skills.collect", 15 * 60, collect)
