"""Wake-ups inside one process: the store rings a bell after each commit."""

from collections.abc import Sequence
from functools import partial

from rota.queue.wakes.bells import Bells
from rota.store.db import Db


class LocalWake(Bells):
    """See ``queue.wake.Wake``. Hears what this process commits; what others do waits for the slow beat."""

    def __init__(self, db: Db, topics: Sequence[str]) -> None:
        super().__init__(topics)
        for topic in topics:
            db.subscribe(topic, partial(self.ring, topic))

    def start(self) -> None:
        """Nothing to begin: the store rings."""

    async def stop(self) -> None:
        """Nothing is held."""
