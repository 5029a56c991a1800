"""A database with one connection in memory, seen by several made-up processes, and everything that can go wrong with it.

Transactions are the real ``SqliteTx`` over the real SQL; what is made up is when they run, and whether their caller lives
to hear of it. A process may be slow, may be stopped for a while, may die before a transaction, in the middle of it, or
after its commit; the store may fail before, in the middle, or after the commit with nobody knowing; a transaction may lose
a race and be run again.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from rota.base.errors import Unavailable, Unsure
from rota.store.sqlite import SqliteTx
from rota.store.tx import Insert, Query, Row, Update


class Death(BaseException):
    """The process is no more."""


class Lot:
    """How often what goes wrong, a transaction each."""

    def __init__(self, chance: Random, *, faults: bool = True) -> None:
        scale = chance.choice([0.0, 0.3, 1.0, 3.0]) if faults else 0.0
        self.fail_before = 0.01 * scale
        self.fail_within = 0.01 * scale
        self.fail_after = 0.01 * scale
        self.die_before = 0.004 * scale
        self.die_within = 0.004 * scale
        self.die_after = 0.006 * scale
        self.lose_race = 0.05 * scale
        self.no_turn = 0.1 * scale
        self.stop = 0.003 * scale


class Statements(SqliteTx):
    """A transaction that may come to its end in the middle."""

    __slots__ = ("end", "has_turn", "left")

    def __init__(self, connection: sqlite3.Connection, now: int) -> None:
        super().__init__(connection, now)
        self.left = -1
        self.end: BaseException | None = None
        self.has_turn = True

    def _count(self) -> None:
        if self.left == 0 and self.end is not None:
            raise self.end
        self.left -= 1

    def all(self, query: Query, **parameters: Any) -> list[Row]:
        self._count()
        return super().all(query, **parameters)

    def run(self, query: Query, **parameters: Any) -> int:
        self._count()
        return super().run(query, **parameters)

    def insert(self, insert: Insert, rows: Sequence[Row]) -> None:
        self._count()
        super().insert(insert, rows)

    def update(self, update: Update, rows: Sequence[Row]) -> int:
        self._count()
        return super().update(update, rows)

    def turn(self, topic: str) -> bool:
        return self.has_turn


class Core:
    """The database itself. ``watch`` is told of every commit: the transaction's time, and whose it was."""

    def __init__(self, image: bytes, now: Callable[[], int]) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
        self.connection.deserialize(image)
        self.now = now
        self.before: Callable[[str], None] = lambda _who: None
        self.watch: Callable[[str, int], None] = lambda _who, _now: None
        self.commits = 0


class Front:
    """The database as one process sees it; ``store.db.Db``."""

    name = "sqlite"

    def __init__(self, core: Core, chance: Random, lot: Lot, who: str) -> None:
        self._core = core
        self._chance = chance
        self._lot = lot
        self._who = who
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self.died = asyncio.Event()
        self._stopped_until = 0.0

    def subscribe(self, topic: str, listener: Callable[[], None]) -> None:
        self._listeners.setdefault(topic, []).append(listener)

    def stamp(self, topic: str) -> object:
        return 0

    async def close(self) -> None:
        pass

    def batch(self, fn: Any, item: Any) -> Any:
        async def single() -> Any:
            [outcome] = await self.write(fn, [item])
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        return single()

    async def read(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        await self._wait()
        if self._happens(self._lot.fail_before):
            raise Unavailable("not now")
        result = fn(SqliteTx(self._core.connection, self._core.now()), *args, **kwargs)
        await self._wait()
        return result

    async def write(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        await self._wait()
        lot = self._lot
        if self._happens(lot.die_before):
            await self._die()
        if self._happens(lot.fail_before):
            raise Unavailable("not now")
        if self._happens(lot.lose_race):
            self._run(fn, args, kwargs, keep=False)
            await asyncio.sleep(self._chance.uniform(0, 0.01))
        end: BaseException | None = None
        if self._happens(lot.die_within):
            end = Death()
        elif self._happens(lot.fail_within):
            end = Unavailable("in the middle")
        try:
            result, topics = self._run(fn, args, kwargs, keep=True, end=end)
        except Death:
            await self._die()
        if self._happens(lot.die_after):
            await self._die()
        for topic in topics:
            for listener in self._listeners.get(topic, ()):
                listener()
        await self._wait()
        if self._happens(lot.fail_after):
            raise Unsure("it may have been kept")
        return result

    def _run(
        self, fn: Any, args: Any, kwargs: Any, *, keep: bool, end: BaseException | None = None
    ) -> tuple[Any, set[str]]:
        core = self._core
        core.before(self._who)
        tx = Statements(core.connection, core.now())
        tx.has_turn = not self._happens(self._lot.no_turn)
        if end is not None:
            tx.end, tx.left = end, self._chance.randrange(25)
        core.connection.execute("BEGIN IMMEDIATE")
        try:
            result = fn(tx, *args, **kwargs)
        except BaseException:
            core.connection.execute("ROLLBACK")
            if keep:
                raise
            return None, set()
        core.connection.execute("COMMIT" if keep else "ROLLBACK")
        if keep:
            core.commits += 1
            core.watch(self._who, tx.now)
        return result, tx.topics

    def _happens(self, share: float) -> bool:
        return share > 0 and self._chance.random() < share

    async def _wait(self) -> None:
        """Some time passes; a process that was stopped does not notice."""
        if self._happens(self._lot.stop):
            self._stopped_until = asyncio.get_running_loop().time() + self._chance.choice([0.5, 5.0, 40.0, 200.0])
        await asyncio.sleep(self._chance.choice([0.0, 0.0, 0.001, 0.004, 0.02]))
        late = self._stopped_until - asyncio.get_running_loop().time()
        if late > 0:
            await asyncio.sleep(late)

    async def _die(self) -> Any:
        self.died.set()
        await asyncio.Future()  # whoever waits for the answer is dead too
