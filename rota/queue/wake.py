"""Waking whoever waits for work. The contract; implementations are in ``wakes/``.

A wake-up says "look", never what will be seen: it may be lost, repeated or late, and every waiter also looks on a slow
beat of its own. It is sent after the commit that made the work, never before. Where several processes wait for a topic, at
least one of them is woken: they are each as good as the other, and whoever looks finds everything.
"""

from typing import Protocol


class Wake(Protocol):
    """A bell for each topic, from ``start`` until ``stop``."""

    def start(self) -> None:
        """Begin to ring, on the running event loop. No error if what rings cannot be reached now."""
        ...

    async def stop(self) -> None:
        """Ring no more, and release whatever is held."""
        ...

    async def wait(self, topic: str, *, seconds: float) -> bool:
        """Sleep until ``topic`` is woken, at most ``seconds``; whether it was woken. A ring since the last wait counts."""
        ...
