"""Wake-ups inside one process: the store rings an event after each commit."""

import asyncio

from rota.store.db import Db


class LocalWake:
    """See ``queue.wake.Wake``. One waiter a topic is enough for the duties that exist; several are all woken."""

    def __init__(self, db: Db, topics: tuple[str, ...]) -> None:
        self._bells = {topic: asyncio.Event() for topic in topics}
        for topic, bell in self._bells.items():
            db.subscribe(topic, bell.set)

    async def wait(self, topic: str, *, seconds: float) -> bool:
        """See ``Wake.wait``."""
        bell = self._bells[topic]
        try:
            await asyncio.wait_for(bell.wait(), seconds)
        except TimeoutError:
            return False
        bell.clear()
        return True
