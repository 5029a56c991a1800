"""Waking whoever waits for work. The contract; implementations are in ``wakes/``.

A wake-up says "look", never what will be seen: it may be lost, repeated or late, and every waiter also looks on a slow
beat of its own. It is sent after the commit that made the work, never before.
"""

from typing import Protocol


class Wake(Protocol):
    """A bell for each topic."""

    async def wait(self, topic: str, *, seconds: float) -> bool:
        """Sleep until ``topic`` is woken, at most ``seconds``; whether it was woken. A ring since the last wait counts."""
        ...
