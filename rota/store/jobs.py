"""The queue between the event loop and the database threads: single jobs, and lanes whose items travel as one set.

Promises: jobs are taken in order of arrival; a lane stands in the queue once however many items wait in it, so that
load makes sets grow instead of the queue; outcomes go back to the event loop in one call a group.
Does not touch a database.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Condition
from typing import Any, TypeAlias

from rota.store.tx import Tx

MAX_SET = 64  # larger sets made other callers wait and saved nothing (measured)


class Job:
    """One function waiting for a transaction."""

    __slots__ = ("args", "fn", "future", "kwargs")

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], future: "asyncio.Future[Any]"
    ):
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.future = future


class Set:
    """Items taken from one lane, to be handed to its function at once."""

    __slots__ = ("fn", "futures", "items")

    def __init__(
        self, fn: Callable[[Tx, Sequence[Any]], Sequence[Any]], waiting: list[tuple[Any, "asyncio.Future[Any]"]]
    ):
        self.fn = fn
        self.items = [item for item, _ in waiting]
        self.futures = [future for _, future in waiting]


Entry: TypeAlias = Job | Set
Outcome: TypeAlias = "tuple[asyncio.Future[Any], Any, BaseException | None]"


class Queue:
    """Jobs and lanes waiting for database threads.

    One set of a lane is under way at a time, and the next grows meanwhile. A second one beside it would make both smaller:
    on PostgreSQL, with 16 callers, it doubled the database's CPU a run and the slowest answers took twice as long.
    """

    def __init__(self) -> None:
        self._ready = Condition()
        self._entries: deque[Job | Callable[..., Any]] = deque()
        self._lanes: dict[Callable[..., Any], list[tuple[Any, asyncio.Future[Any]]]] = {}
        self._under_way: set[Callable[..., Any]] = set()
        self._closed = False

    def put(self, job: Job) -> None:
        """Add a job."""
        with self._ready:
            self._refuse_if_closed()
            self._entries.append(job)
            self._ready.notify()

    def put_item(self, fn: Callable[..., Any], item: Any, future: "asyncio.Future[Any]") -> None:
        """Add an item to the lane of ``fn``."""
        with self._ready:
            self._refuse_if_closed()
            lane = self._lanes.get(fn)
            if lane is not None:
                lane.append((item, future))
                return
            self._lanes[fn] = [(item, future)]
            if fn not in self._under_way:
                self._entries.append(fn)
                self._ready.notify()

    def take(self, limit: int) -> list[Entry]:
        """Wait for work; up to ``limit`` entries, or none once the queue is closed and empty.

        Whoever takes a Set calls ``done`` when its transaction has ended.
        """
        with self._ready:
            while not self._entries and not (self._closed and not self._lanes):
                self._ready.wait()
            taken: list[Entry] = []
            while self._entries and len(taken) < limit:
                entry = self._entries.popleft()
                if isinstance(entry, Job):
                    taken.append(entry)
                    continue
                lane = self._lanes.pop(entry)
                self._under_way.add(entry)
                taken.append(Set(entry, lane[:MAX_SET]))
                if rest := lane[MAX_SET:]:
                    self._lanes[entry] = rest
            return taken

    def done(self, entry: Entry) -> None:
        """The transaction of a Set that was taken has ended; its lane may send the next."""
        if isinstance(entry, Job):
            return
        with self._ready:
            self._under_way.discard(entry.fn)
            if entry.fn in self._lanes:
                self._entries.append(entry.fn)
                self._ready.notify()
            elif self._closed:
                self._ready.notify_all()

    def close(self) -> None:
        """Accept nothing more; threads that wait get what is left, then nothing."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("the database is closed")


def failed(entry: Entry, error: BaseException) -> list[Outcome]:
    """The outcome of an entry that came to nothing, for each of its callers."""
    return [(future, None, error) for future in (entry.futures if isinstance(entry, Set) else [entry.future])]


def deliver(loop: asyncio.AbstractEventLoop, outcomes: list[Outcome], after: Callable[[], None] | None = None) -> None:
    """Settle the futures on the event loop, then call ``after``; silently, if the loop is gone."""

    def settle() -> None:
        for future, result, error in outcomes:
            if future.done():  # the caller went away; its work stands
                continue
            if error is not None:
                future.set_exception(error)
            elif isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        if after is not None:
            after()

    with suppress(RuntimeError):  # the loop was closed during shutdown
        loop.call_soon_threadsafe(settle)
