"""Callers who wait for a topic: any number of them, each for a moment of its own.

A ring says "look" to all who wait (see ``queue.wake``), in this process; what other processes commit is seen when a
caller's time is up, since everybody looks once more then.
"""

import asyncio
from weakref import WeakKeyDictionary

from rota.store.db import Db


class Lobby:
    """Where callers wait for one topic."""

    def __init__(self, db: Db, topic: str) -> None:
        self._bell = asyncio.Event()
        db.subscribe(topic, self._ring)

    @property
    def bell(self) -> asyncio.Event:
        """What will be set at the next ring. Whoever takes it before looking misses nothing."""
        return self._bell

    def _ring(self) -> None:
        rung, self._bell = self._bell, asyncio.Event()
        rung.set()


_lobbies: WeakKeyDictionary[Db, dict[str, Lobby]] = WeakKeyDictionary()


def lobby(db: Db, topic: str) -> Lobby:
    """The lobby of a topic at a database. On the event loop."""
    lobbies = _lobbies.setdefault(db, {})
    if topic not in lobbies:
        lobbies[topic] = Lobby(db, topic)
    return lobbies[topic]
