"""PostgreSQL 15 or newer: psycopg 3 in threads, each thread with a connection of its own.

Promises: every write transaction is SERIALIZABLE, so that a room reasons about one writer at a time on either database; a
serialization conflict runs the function again whole; a database that is away makes callers fail at once with
``Unavailable`` while the threads reconnect with back-off; a connection that breaks during COMMIT is reported as unsure; a
transaction's time is the database's own, whatever the clocks of the machines say, unless somebody turns the clock by hand.
Generic plans are forced (planning cost three times the execution here), and sequential scans are discouraged, because on
small tables they would lock whole relations against each other under SERIALIZABLE.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from threading import Thread
from typing import Any, cast

import psycopg
from psycopg import errors, sql
from psycopg.types.numeric import Int8Dumper

from rota.base import log
from rota.base.clock import Clock, KeptClock, Ruler
from rota.base.errors import DiskFull, Fault, Refusal, Unavailable, Unsure, Unusable
from rota.store import migrate
from rota.store.arrays import literal
from rota.store.bell import SHARED, Bell, Told
from rota.store.dialect import Name
from rota.store.front import Front
from rota.store.jobs import Entry, Outcome, Queue, Set, deliver, failed
from rota.store.notices import Stop, notices
from rota.store.tx import Insert, Query, Row, Update

_ATTEMPTS = 20
_BACKOFF = (0.05, 2.0)
_CHANNEL = "rota_stamps"
_MIGRATION_LOCK = 7_310_205
_TIMES: dict[Ruler, str] = {
    "machine": "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    "hand": "",
    "database": "SELECT value::bigint FROM installation WHERE key = 'test_clock'",
}
"""What tells a transaction's time, sent along with its BEGIN, so that it costs no round trip."""
_PAUSED = "15s"
"""A process that was stopped inside a transaction, or whose machine vanished, lets go of what it holds after this time."""
_OPTIONS = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off -c lock_timeout=10s -c timezone=UTC "
    f"-c idle_in_transaction_session_timeout={_PAUSED}"
)
_TOUCH = Query(
    "Tell other processes that a topic changed.",
    "INSERT INTO stamps (topic, value) VALUES (:topic, 1) ON CONFLICT (topic) DO UPDATE SET value = stamps.value + 1",
)
_TURN = Query(
    "Take the turn of a topic, if nobody has it.", "SELECT pg_try_advisory_xact_lock(7310206, hashtext(:topic))"
)
_NOTIFY = Query("Ring the bell of a topic when this transaction commits.", "SELECT pg_notify('rota_stamps', :topic)")
_logger = log.get("store.postgres")


def connect(url: str, isolation: psycopg.IsolationLevel | None = None) -> psycopg.Connection[Row]:
    """One connection with the settings that every one of ours has. Without ``isolation``, transactions are begun by hand."""
    connection = psycopg.connect(url, options=_OPTIONS, connect_timeout=5, prepare_threshold=1, application_name="rota")
    connection.isolation_level = isolation
    connection.autocommit = isolation is None
    connection.prepared_max = 500
    # One integer type for every value: psycopg would otherwise pick int2, int4 or int8 by size, a plan for each.
    connection.adapters.register_dumper(int, Int8Dumper)
    return connection


def _fault(error: BaseException) -> Fault | None:
    """The Fault that a database error amounts to, if it is about the database as a whole."""
    if isinstance(error, errors.DiskFull):
        return DiskFull(str(error))
    if isinstance(error, psycopg.OperationalError):
        return Unavailable(str(error))
    return error if isinstance(error, Fault) else None


def _sets(query: Query, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with those that stand for sets as array literals."""
    for name in query.sets:
        parameters[name] = literal(parameters[name])
    return parameters


def _call(entry: Entry, tx: "PostgresTx") -> list[Outcome]:
    if isinstance(entry, Set):
        return list(zip(entry.futures, entry.fn(tx, entry.items), [None] * len(entry.items), strict=True))
    return [(entry.future, entry.fn(tx, *entry.args, **entry.kwargs), None)]


class PostgresTx:
    """A transaction on one PostgreSQL connection; see ``store.tx.Tx``.

    Inserts tell nothing, so nobody waits for them: they go out as a pipeline, and the database is at work on one while the
    next is put together here. What went wrong with one is raised by whatever waits next, at the latest by the commit.
    """

    __slots__ = ("_cursor", "_pipeline", "now", "topics", "touched")

    def __init__(self, cursor: psycopg.Cursor[Row], now: int) -> None:
        self._cursor = cursor
        self._pipeline: AbstractContextManager[object] | None = None
        self.now = now
        self.topics: set[str] = set()
        self.touched = False

    def one(self, query: Query, **parameters: Any) -> Row | None:
        """See ``Tx.one``."""
        return self._execute(query.postgres, _sets(query, parameters)).fetchone()

    def all(self, query: Query, **parameters: Any) -> list[Row]:
        """See ``Tx.all``."""
        return self._execute(query.postgres, _sets(query, parameters)).fetchall()

    def head(self, query: Query, room: int, **parameters: Any) -> tuple[list[Row], bool]:
        """See ``Tx.head``."""
        rows = self._execute(query.postgres_head, _sets(query, {**parameters, "room": room})).fetchall()
        return [row[:-2] for row in rows], bool(rows) and rows[0][-1] > len(rows)

    def run(self, query: Query, **parameters: Any) -> int:
        """See ``Tx.run``."""
        return self._execute(query.postgres, _sets(query, parameters)).rowcount

    def insert(self, insert: Insert, rows: Sequence[Row]) -> None:
        """See ``Tx.insert``."""
        if not rows:
            return
        columns = [literal(column) for column in zip(*rows, strict=True)]
        if self._pipeline is None:
            pipeline = self._cursor.connection.pipeline()
            pipeline.__enter__()
            self._pipeline = pipeline
        self._cursor.connection.cursor().execute(cast("Any", insert.postgres), columns)

    def update(self, update: Update, rows: Sequence[Row]) -> int:
        """See ``Tx.update``."""
        if not rows:
            return 0
        return self._execute(update.postgres, [literal(column) for column in zip(*rows, strict=True)]).rowcount

    def turn(self, topic: str) -> bool:
        """See ``Tx.turn``: a lock of the transaction, by the topic's name."""
        row = self.one(_TURN, topic=topic)
        return row is not None and bool(row[0])

    def wake(self, topic: str) -> None:
        """See ``Tx.wake``."""
        self.topics.add(topic)

    def touch(self, topic: str) -> None:
        """See ``Tx.touch``."""
        self.touched = True
        self.run(_TOUCH, topic=topic)
        self.one(_NOTIFY, topic=topic)

    def settle(self) -> None:
        """Wait for what was sent without waiting; raises what went wrong with it."""
        if self._pipeline is not None:
            pipeline, self._pipeline = self._pipeline, None
            pipeline.__exit__(None, None, None)

    def _execute(self, text: str, parameters: Any) -> psycopg.Cursor[Row]:
        self.settle()
        return self._cursor.execute(cast("Any", text), parameters)


class _Target:
    """A PostgreSQL connection as the migrations see it."""

    dialect: Name = "postgres"

    def __init__(self, connection: psycopg.Connection[Row], clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def history(self) -> list[tuple[int, str]]:
        with self._connection.transaction():
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (number bigint PRIMARY KEY, name text, checksum text, applied_at bigint)"
            )
            rows = self._connection.execute("SELECT number, checksum FROM migrations ORDER BY number").fetchall()
        return [(row[0], row[1]) for row in rows]

    def apply(self, scripts: Sequence[tuple[migrate.Migration, str]]) -> None:
        with self._connection.transaction():
            for migration, script in scripts:
                self._connection.execute(cast("Any", script))
                self._connection.execute(
                    "INSERT INTO migrations VALUES (%s, %s, %s, %s)",
                    (migration.number, migration.name, migration.checksum, self._clock.now()),
                )


class _Outage:
    """What the threads know together of a database that is away: when the next attempt is due. One success ends it for all."""

    def __init__(self) -> None:
        self.over()

    def over(self) -> None:
        """The database is there."""
        self._not_before = 0.0
        self._delay = _BACKOFF[0]

    def check(self) -> None:
        """Unavailable while the next attempt is not due."""
        if time.monotonic() < self._not_before:
            raise Unavailable("waiting before the next attempt to connect")

    def failed(self) -> None:
        """An attempt came to nothing; the next is due later."""
        self._not_before = time.monotonic() + self._delay * random.uniform(0.5, 1)  # noqa: S311 - spreads attempts, hides nothing
        self._delay = min(self._delay * 2, _BACKOFF[1])


class _Link:
    """A thread's connection, made again when it breaks, not more often than the outage allows."""

    def __init__(self, url: str, begin: str, outage: _Outage) -> None:
        self.begin = begin
        self._url = url
        self._outage = outage
        self._connection: psycopg.Connection[Row] | None = None

    def get(self) -> psycopg.Connection[Row]:
        """The connection. Unavailable while the database is away."""
        if self._connection is not None and not self._connection.closed:
            return self._connection
        self._outage.check()
        try:
            self._connection = connect(self._url)
        except psycopg.OperationalError as exc:
            self._outage.failed()
            raise Unavailable(str(exc)) from exc
        self._outage.over()
        return self._connection

    def drop(self) -> None:
        """Close the connection; the next ``get`` makes another."""
        if self._connection is not None:
            self._connection.close()


class PostgresDb(Front):
    """An open PostgreSQL database; see ``store.db.Db``."""

    name = "postgres"

    def __init__(self, url: str, clock: Clock, *, upgrade: bool, connections: int) -> None:
        super().__init__()
        self._url = url
        self._clock = clock
        self._generation = object()
        self._listening = False
        self._stop = Stop()
        self._outage = _Outage()
        self._bell = Bell(url, self._hear_others)
        try:
            with connect(url, psycopg.IsolationLevel.READ_COMMITTED) as connection:
                if connection.info.server_version < 150000:
                    raise Unusable(
                        f"PostgreSQL 15 or newer is needed; this is {connection.info.server_version // 10000}."
                    )
                connection.autocommit = True
                connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
                migrate.prepare(_Target(connection, clock), upgrade=upgrade)
        except psycopg.Error as exc:
            raise Unusable(f"The PostgreSQL database cannot be used: {log.redact(str(exc)).strip()}") from exc
        self._threads = [Thread(target=self._listen, name="postgres-stamps", daemon=True)]
        for number in range(connections):
            for queue, isolation, kind in (
                (self._writes, "SERIALIZABLE", "writer"),
                (self._reads, "REPEATABLE READ", "reader"),
            ):
                begin = f"BEGIN ISOLATION LEVEL {isolation}; {_TIMES[clock.ruler]}"
                self._threads.append(
                    Thread(target=self._work, args=(queue, begin), name=f"postgres-{kind}-{number}", daemon=True)
                )
        for thread in self._threads:
            thread.start()

    def stamp(self, topic: str) -> object:  # noqa: ARG002 - topics change so seldom that one bell rings for all
        """See ``Db.stamp``. Kept current by NOTIFY; while the bell's connection is down nothing equals anything."""
        return self._generation if self._listening else object()

    def subscribe(self, topic: str, listener: Callable[[], None]) -> None:
        """See ``Db.subscribe``."""
        super().subscribe(topic, listener)
        if topic.startswith(SHARED):
            self._bell.listen()

    def say(self, topic: str, text: str) -> None:
        """See ``Db.say``."""
        self._bell.tell([(topic, text)])

    async def close(self) -> None:
        """See ``Db.close``."""
        self._stop.set()
        self._writes.close()
        self._reads.close()
        for thread in self._threads:
            thread.join()
        self._stop.close()
        self._bell.close()

    def _hear_others(self, told: Sequence[Told]) -> None:
        """On the bell's thread: pass on what somebody here waits for."""
        if not told:
            self._deliver([], [topic for topic in tuple(self._listeners) if topic.startswith(SHARED)])
            return
        self._deliver([], [topic for topic, text in told if text is None])
        texts = [(topic, text) for topic, text in told if text is not None and topic in self._hearers]
        if texts and self._loop is not None:
            deliver(self._loop, [], partial(self._pass_on, texts))

    def _pass_on(self, texts: Sequence[tuple[str, str]]) -> None:
        for topic, text in texts:
            if (hearer := self._hearers.get(topic)) is not None:
                hearer(text)

    def _work(self, queue: Queue, begin: str) -> None:
        link = _Link(self._url, begin, self._outage)
        while entries := queue.take(1):
            self._serve(link, entries[0])
            queue.done(entries[0])
        link.drop()

    def _serve(self, link: _Link, entry: Entry) -> None:
        topics: set[str] = set()
        try:
            outcomes = self._repeat(link, entry, topics)
        except Exception as exc:
            if isinstance(entry, Set) and len(entry.items) > 1 and _fault(exc) is None and not isinstance(exc, Refusal):
                for pair in zip(entry.items, entry.futures, strict=True):
                    self._serve(link, Set(entry.fn, [pair]))
                return
            outcomes = failed(entry, _fault(exc) or exc)
            topics.clear()
        if shared := [(topic, None) for topic in topics if topic.startswith(SHARED)]:
            self._bell.tell(shared)
        self._deliver(outcomes, topics)

    def _repeat(self, link: _Link, entry: Entry, topics: set[str]) -> list[Outcome]:
        """The entry in one transaction, tried again while it loses serialization conflicts or meets a stale connection."""
        for attempt in range(_ATTEMPTS):
            connection = link.get()
            try:
                return self._transact(connection, link.begin, entry, topics)
            except (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation) as exc:
                # A unique violation can be the first sign of a lost race; the second run sees the winner's row and refuses.
                connection.rollback()
                if attempt == _ATTEMPTS - 1 or (isinstance(exc, errors.UniqueViolation) and attempt > 2):
                    raise
                topics.clear()
                time.sleep(random.uniform(0, 0.002) * min(2**attempt, 64))  # noqa: S311 - as above
            except Exception as exc:
                if isinstance(exc, psycopg.OperationalError) or connection.broken:
                    link.drop()
                    if attempt == 0 and not isinstance(exc, Unsure):
                        continue  # it may have been cut while idle: nothing was committed, so try once on a new one
                else:
                    connection.rollback()
                raise
        raise Unavailable("too many serialization conflicts")

    def _transact(
        self, connection: psycopg.Connection[Row], begin: str, entry: Entry, topics: set[str]
    ) -> list[Outcome]:
        with connection.cursor() as cursor:
            tx = PostgresTx(cursor, self._begin(cursor, begin))
            try:
                outcomes = _call(entry, tx)
            except BaseException:
                with suppress(psycopg.Error):  # it is rolled back anyway, for a better reason
                    tx.settle()
                raise
            tx.settle()
        try:
            connection.commit()
        except psycopg.OperationalError as exc:
            if isinstance(exc, (errors.SerializationFailure, errors.DeadlockDetected)):
                raise
            link_lost = connection.broken or connection.closed
            raise (Unsure(str(exc)) if link_lost else exc) from exc
        if tx.touched:  # here at once; the bell takes a moment
            self._generation = object()
        topics |= tx.topics
        return outcomes

    def _begin(self, cursor: psycopg.Cursor[Row], begin: str) -> int:
        """Begin a transaction; its time."""
        cursor.execute(cast("Any", begin), prepare=False)  # two statements cannot be prepared as one
        if not cursor.nextset():
            return self._clock.now()
        row = cursor.fetchone()
        if row is None:
            return self._clock.now()
        if isinstance(self._clock, KeptClock):
            self._clock.set(row[0])
        return row[0]

    def _listen(self) -> None:
        """Keep ``_generation`` moving whenever any process touches a topic."""
        delay = _BACKOFF[0]
        while not self._stop.is_set():
            try:
                with psycopg.connect(
                    self._url, autocommit=True, connect_timeout=5, application_name="rota"
                ) as connection:
                    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(_CHANNEL)))
                    self._generation = object()
                    self._listening = True
                    self._outage.over()
                    delay = _BACKOFF[0]
                    for _ in notices(connection, self._stop):
                        self._generation = object()
            except psycopg.Error as exc:
                if self._listening:
                    _logger.warning("database connection lost", reason=str(exc).strip())
                self._listening = False
                self._stop.wait(delay)
                delay = min(delay * 2, _BACKOFF[1])
