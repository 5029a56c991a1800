"""Housekeeping of skills: archives that no version names (see ``queue.objects``)."""

from rota.queue import objects
from rota.queue.chore import Chore, Tools
from rota.resources.skills.actions import known
from rota.resources.skills.uploads import PREFIX


async def collect(tools: Tools) -> int:
    """Bury what uploads have left behind that were killed."""
    return await objects.collect(tools, PREFIX, known)


CHORES = [Chore("what killed uploads of skills left", 600.0, collect)]
