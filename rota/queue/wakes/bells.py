"""Bells in this process: what all implementations of ``queue.wake`` end in."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Never


class Bells:
    """One bell a topic; one waiter a bell is enough for the duties that exist, and several are all woken."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._bells = {topic: asyncio.Event() for topic in topics}

    def ring(self, topic: str) -> None:
        """Wake whoever waits for a topic; nothing if nobody here ever does. On the event loop."""
        if (bell := self._bells.get(topic)) is not None:
            bell.set()

    async def wait(self, topic: str, *, seconds: float) -> bool:
        """See ``Wake.wait``."""
        bell = self._bells[topic]
        try:
            await asyncio.wait_for(bell.wait(), seconds)
        except TimeoutError:
            return False
        bell.clear()
        return True

    def counts(self) -> Iterator[Never]:
        """Nothing is counted; see ``main.Engine``."""
        yield from ()
