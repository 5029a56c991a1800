"""The embedded database: SQLite in WAL mode, one writer thread with group commit, reader threads.

Promises: with ``synchronous=FULL`` every answered write has reached the disk; whoever waits while the disk is busy shares
the next commit; a second server on the same file is refused; a full disk or a foreign lock becomes a Fault and the
rest of the group is tried again one by one.
Uses the standard library's SQLite and nothing else: two copies of the library on one file corrupt it.
"""

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import IO, Any

import msgspec

from rota.base.clock import Clock
from rota.base.errors import DiskFull, Fault, Refusal, Unavailable, Unusable
from rota.store import migrate
from rota.store.dialect import CHUNK, Name
from rota.store.front import Front
from rota.store.jobs import Entry, Outcome, Set, failed
from rota.store.tx import Insert, Query, Row, Update

_READERS = 2
_BUSY_MS = 5_000
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
}
_TOUCH = Query(
    "Tell other processes that a topic changed.",
    "INSERT INTO stamps (topic, value) VALUES (:topic, 1) ON CONFLICT (topic) DO UPDATE SET value = stamps.value + 1",
)


def _fault(error: BaseException) -> Fault | None:
    """The Fault that an SQLite error amounts to, if it is about the database as a whole."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return DiskFull(str(error))
        if code in _UNAVAILABLE:
            return Unavailable(str(error))
    return error if isinstance(error, Fault) else None


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    """One connection with the settings that every one of ours has."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA cache_size = -16000")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


class SqliteTx:
    """A transaction on one SQLite connection; see ``store.tx.Tx``."""

    __slots__ = ("_connection", "now", "topics")

    def __init__(self, connection: sqlite3.Connection, now: int) -> None:
        self._connection = connection
        self.now = now
        self.topics: set[str] = set()

    def one(self, query: Query, **parameters: Any) -> Row | None:
        """See ``Tx.one``. All rows are fetched: a cursor left open would hold back checkpoints."""
        rows = self.all(query, **parameters)
        return rows[0] if rows else None

    def all(self, query: Query, **parameters: Any) -> list[Row]:
        """See ``Tx.all``."""
        if query.sets:
            for name in query.sets:
                parameters[name] = msgspec.json.encode(parameters[name]).decode()
        return self._connection.execute(query.sqlite, parameters).fetchall()

    def head(self, query: Query, room: int, **parameters: Any) -> tuple[list[Row], bool]:
        """See ``Tx.head``."""
        if query.sets:
            for name in query.sets:
                parameters[name] = msgspec.json.encode(parameters[name]).decode()
        cursor = self._connection.execute(query.sqlite, parameters)
        column = [each[0] for each in cursor.description].index(query.weight)
        rows: list[Row] = []
        try:
            for row in cursor:
                if room <= 0:
                    return rows, True
                rows.append(row)
                room -= len(row[column]) if row[column].isascii() else len(row[column].encode())
            return rows, False
        finally:
            cursor.close()

    def run(self, query: Query, **parameters: Any) -> int:
        """See ``Tx.run``."""
        if query.sets:
            for name in query.sets:
                parameters[name] = msgspec.json.encode(parameters[name]).decode()
        return self._connection.execute(query.sqlite, parameters).rowcount

    def insert(self, insert: Insert, rows: Sequence[Row]) -> None:
        """See ``Tx.insert``."""
        whole = len(rows) - len(rows) % CHUNK if len(rows) >= CHUNK else 0
        for start in range(0, whole, CHUNK):
            chunk = rows[start : start + CHUNK]
            self._connection.execute(insert.sqlite_chunk, list(chain.from_iterable(chunk)))
        if whole < len(rows):
            self._connection.executemany(insert.sqlite, rows[whole:])

    def update(self, update: Update, rows: Sequence[Row]) -> int:
        """See ``Tx.update``."""
        return self._connection.executemany(update.sqlite, rows).rowcount if rows else 0

    def turn(self, topic: str) -> bool:  # noqa: ARG002 - there is one writer
        """See ``Tx.turn``."""
        return True

    def wake(self, topic: str) -> None:
        """See ``Tx.wake``."""
        self.topics.add(topic)

    def touch(self, topic: str) -> None:
        """See ``Tx.touch``."""
        self.run(_TOUCH, topic=topic)


class _Target:
    """An SQLite connection as the migrations see it."""

    dialect: Name = "sqlite"

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def history(self) -> list[tuple[int, str]]:
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT, checksum TEXT, applied_at INTEGER)"
        )
        return self._connection.execute("SELECT number, checksum FROM migrations ORDER BY number").fetchall()

    def apply(self, scripts: Sequence[tuple[migrate.Migration, str]]) -> None:
        text = "".join(
            f"{script}\n;INSERT INTO migrations VALUES "
            f"({migration.number}, '{migration.name}', '{migration.checksum}', {self._clock.now()});\n"
            for migration, script in scripts
        )
        try:
            self._connection.executescript(f"BEGIN IMMEDIATE;\n{text}COMMIT;")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


class SqliteDb(Front):
    """An open SQLite file; see ``store.db.Db``."""

    name = "sqlite"

    def __init__(self, path: Path, clock: Clock, *, serving: bool, upgrade: bool, synchronous: str) -> None:
        super().__init__()
        self.path = path
        self._clock = clock
        self._lock: IO[str] | None = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if serving:
                self._lock = _lock(path.with_name(path.name + ".lock"), wait=False)
            with _lock(path.with_name(path.name + ".migrate.lock"), wait=True):
                self._writer = connect(path, synchronous)
                migrate.prepare(_Target(self._writer, clock), upgrade=upgrade)
            self._stamps = connect(path, synchronous)
        except (sqlite3.Error, OSError) as exc:
            raise Unusable(f"The database file {path} cannot be opened: {exc}") from exc
        self._stamps.execute("PRAGMA query_only = ON")
        self._stamps.execute("PRAGMA busy_timeout = 50")
        self._threads = [Thread(target=self._write_loop, name="sqlite-writer", daemon=True)]
        for number in range(_READERS):
            connection = connect(path, synchronous)
            connection.execute("PRAGMA query_only = ON")
            self._threads.append(
                Thread(target=self._read_loop, args=(connection,), name=f"sqlite-reader-{number}", daemon=True)
            )
        for thread in self._threads:
            thread.start()

    def stamp(self, topic: str) -> object:
        """See ``Db.stamp``. Read on the calling thread: one row by primary key from shared memory costs less than a hop."""
        try:
            return self._stamps.execute("SELECT value FROM stamps WHERE topic = ?", (topic,)).fetchall()
        except sqlite3.Error:
            return object()  # equal to nothing: whoever asks looks again

    async def close(self) -> None:
        """See ``Db.close``."""
        self._writes.close()
        self._reads.close()
        for thread in self._threads:
            thread.join()
        self._stamps.close()
        self._writer.close()
        if self._lock is not None:
            self._lock.close()

    def _write_loop(self) -> None:
        while entries := self._writes.take(64):
            self._serve(entries)
            for entry in entries:
                self._writes.done(entry)

    def _serve(self, entries: list[Entry]) -> None:
        try:
            outcomes, topics = self._transact(entries)
        except BaseException as exc:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            if len(entries) > 1:  # one of them, or the size of the whole, broke the group
                for entry in entries:
                    self._serve([entry])
                return
            outcomes, topics = failed(entries[0], _fault(exc) or exc), set[str]()
        self._deliver(outcomes, topics)

    def _transact(self, entries: list[Entry]) -> tuple[list[Outcome], set[str]]:
        """One commit for all entries. A refusal undoes its own entry; anything else undoes the group and is raised."""
        run = self._writer.execute
        outcomes: list[Outcome] = []
        topics: set[str] = set()
        alone = len(entries) == 1
        run("BEGIN IMMEDIATE")
        now = self._clock.now()
        for entry in entries:
            tx = SqliteTx(self._writer, now)
            if not alone:
                run("SAVEPOINT entry")
            try:
                if isinstance(entry, Set):
                    results = entry.fn(tx, entry.items)
                    outcomes += zip(entry.futures, results, [None] * len(entry.items), strict=True)
                else:
                    outcomes.append((entry.future, entry.fn(tx, *entry.args, **entry.kwargs), None))
            except Refusal as refusal:
                run("ROLLBACK" if alone else "ROLLBACK TO entry")
                outcomes += failed(entry, refusal)
            except Exception as exc:
                if _fault(exc) is not None or not self._writer.in_transaction:
                    raise
                run("ROLLBACK" if alone else "ROLLBACK TO entry")
                if isinstance(entry, Set) and len(entry.items) > 1:
                    singles = [Set(entry.fn, [pair]) for pair in zip(entry.items, entry.futures, strict=True)]
                    if alone:
                        run("BEGIN IMMEDIATE")
                    for single in singles:
                        outcomes += self._single(single, now, topics)
                    alone = False
                else:
                    outcomes += failed(entry, exc)
            else:
                topics |= tx.topics
            if not alone and self._writer.in_transaction and len(entries) > 1:
                run("RELEASE entry")
        if self._writer.in_transaction:
            run("COMMIT")
        return outcomes, topics

    def _single(self, single: Set, now: int, topics: set[str]) -> list[Outcome]:
        """One item of a set that failed as a whole, under a savepoint of its own."""
        tx = SqliteTx(self._writer, now)
        self._writer.execute("SAVEPOINT single")
        try:
            [result] = single.fn(tx, single.items)
        except Exception as exc:
            if _fault(exc) is not None or not self._writer.in_transaction:
                raise
            self._writer.execute("ROLLBACK TO single")
            return failed(single, exc)
        else:
            topics |= tx.topics
            return [(single.futures[0], result, None)]
        finally:
            if self._writer.in_transaction:
                self._writer.execute("RELEASE single")

    def _read_loop(self, connection: sqlite3.Connection) -> None:
        while entries := self._reads.take(1):
            [job] = entries
            assert not isinstance(job, Set)
            try:
                connection.execute("BEGIN")
                try:
                    outcome = (
                        job.future,
                        job.fn(SqliteTx(connection, self._clock.now()), *job.args, **job.kwargs),
                        None,
                    )
                finally:
                    connection.execute("ROLLBACK")
            except BaseException as exc:
                outcome = (job.future, None, _fault(exc) or exc)
            self._deliver([outcome])
        connection.close()


def _lock(path: Path, *, wait: bool) -> IO[str]:
    """Hold the lock file until it is closed. Unusable if another process has it and we may not wait."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise Unusable(
            f"Another rota server (process {holder}) is using this database file: {path.with_suffix('')}. "
            "Stop it, or give this one another --data-dir or --database; several servers need PostgreSQL."
        ) from None
    if not wait:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    return file
