"""What both databases share: the calls that the event loop makes, and the wake-ups after a commit.

Does not touch a database; the subclasses own threads and connections.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Concatenate, ParamSpec, TypeVar

from rota.store.jobs import Job, Outcome, Queue, deliver
from rota.store.tx import BatchFn, Item, Tx
from rota.store.tx import Outcome as BatchOutcome

P = ParamSpec("P")
R = TypeVar("R")


class Front:
    """The asynchronous half of a database: puts jobs into queues and delivers what came of them."""

    def __init__(self) -> None:
        self._writes = Queue()
        self._reads = Queue()
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._hearers: dict[str, Callable[[str], None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def write(self, fn: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[R]":
        """See ``store.db.Db.write``."""
        future = self._future()
        self._writes.put(Job(fn, args, kwargs, future))
        return future

    def read(self, fn: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[R]":
        """See ``store.db.Db.read``."""
        future = self._future()
        self._reads.put(Job(fn, args, kwargs, future))
        return future

    def batch(self, fn: BatchFn[Item, BatchOutcome], item: Item) -> "asyncio.Future[BatchOutcome]":
        """See ``store.db.Db.batch``."""
        future = self._future()
        self._writes.put_item(fn, item, future)
        return future

    def subscribe(self, topic: str, listener: Callable[[], None]) -> None:
        """See ``store.db.Db.subscribe``."""
        self._listeners.setdefault(topic, []).append(listener)

    def unsubscribe(self, topic: str, listener: Callable[[], None]) -> None:
        """See ``store.db.Db.unsubscribe``."""
        listeners = self._listeners.get(topic, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self._listeners.pop(topic, None)

    def say(self, topic: str, text: str) -> None:
        """See ``store.db.Db.say``; nobody else is there."""

    def hear(self, topic: str, hearer: Callable[[str], None] | None) -> None:
        """See ``store.db.Db.hear``."""
        if hearer is None:
            self._hearers.pop(topic, None)
        else:
            self._hearers[topic] = hearer

    def _future(self) -> "asyncio.Future[Any]":
        loop = self._loop = asyncio.get_running_loop()
        return loop.create_future()

    def _deliver(self, outcomes: list[Outcome], topics: Iterable[str] = ()) -> None:
        if self._loop is None:
            return
        topics = [topic for topic in topics if topic in self._listeners]
        if outcomes or topics:
            deliver(self._loop, outcomes, (lambda: self._announce(topics)) if topics else None)

    def _announce(self, topics: list[str]) -> None:
        for topic in topics:
            for listener in tuple(self._listeners.get(topic, ())):
                listener()
