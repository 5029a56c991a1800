"""``python -m tests.scheduler.day``: a million scheduled deployments, and as much of their day as there is time for.

A real database holds the deployments (so that tables and indexes are as large as they will be), the real ticker fires them
over the real store, and the clock is turned: from one due minute to the next, and during a minute by the CPU time that each
batch took, the database's included. So lateness is that of one server and its database on a core that does nothing else,
however busy this machine is; waiting for disks is not in it. A run is dated by the instant at which its batch began.
The day begins at its fullest hour. It ends when the time is up, and says how much of the day that was; what the whole would
be follows by proportion. Where there is no time to stock them all, there are fewer, as the table says.

``--hold`` keeps a snapshot open meanwhile, as a backup does, so that PostgreSQL cannot clear away dead rows.
"""

import argparse
import asyncio
import contextlib
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
import psycopg
import psycopg.sql
from rich.console import Console
from rich.table import Table

from rota.base import ids, log
from rota.base.clock import MINUTE, SECOND, HandClock
from rota.base.policy import policy
from rota.base.settings import Settings
from rota.base.who import Who
from rota.resources.deployments import due, review, schedules, sql
from rota.resources.deployments.due import Happened
from rota.resources.deployments.wire import Cron
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.scheduler.ticker import Ticker
from rota.store.db import Db, open_db
from rota.store.tx import Query, Tx
from tests.acceptance.server import KEY
from tests.base.cron_oracle import instant
from tests.databases import fresh, postgres_server, relax
from tests.scheduler.stock import HELLO, SCHEDULES, ground

START = instant("2026-06-10 01:45")
"""A quarter of an hour before the fullest hour of the mix."""
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo")
NIGHTLY = (0, 1, 2, 2, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 12, 18, 23)
"""Hours that people write into a schedule for once a day, as often as they do."""
TABLES = (
    "deployments",
    "schedules",
    "deployment_runs",
    "sessions",
    "session_threads",
    "session_events",
    "outbox",
    "lapses",
)
BASE = 20_000
"""Deployments that are made one by one; the others are copies of them."""
COPY_DEPLOYMENTS = Query(
    "Deployments like these, with other ids.",
    """INSERT INTO deployments (id, organization_id, workspace_id, created_at, updated_at, status, agent_id, agent_version,
       environment_id, scheduled, body)
       SELECT substr(id, 1, length(id) - 3) || :suffix, organization_id, workspace_id, created_at, updated_at, status, agent_id,
       agent_version, environment_id, scheduled, body FROM deployments WHERE id = ANY(:ids) ORDER BY id""",
)
COPY_SCHEDULES = Query(
    "Their schedules.",
    """INSERT INTO schedules (deployment_id, expression, timezone, fire_at, due_at, accounted_at, skipping)
       SELECT substr(deployment_id, 1, length(deployment_id) - 3) || :suffix, expression, timezone, fire_at, due_at,
       accounted_at, skipping FROM schedules WHERE deployment_id = ANY(:ids) ORDER BY deployment_id""",
)
WIDTH = 150


class Kind(NamedTuple):
    """One kind of schedule: its share of all, and how often it fires in a day."""

    name: str
    share: float
    a_day: float
    expression: Callable[[random.Random], str]


MIX = (
    Kind("once a day, on the hour", 0.41, 1, lambda chance: f"0 {chance.choice(NIGHTLY)} * * *"),
    Kind("once a day, at any minute", 0.41, 1, lambda chance: f"{chance.randrange(60)} {chance.randrange(24)} * * *"),
    Kind("once a week", 0.10, 1 / 7, lambda chance: f"{chance.randrange(60)} 6 * * {chance.randrange(7)}"),
    Kind("hourly", 0.06, 24, lambda chance: f"{chance.choice((0, chance.randrange(60)))} * * * *"),
    Kind("every quarter of an hour", 0.02, 96, lambda _: "*/15 * * * *"),
)


def fires_a_day(schedules_: int) -> int:
    """How often so many schedules of the mix fire in a day."""
    return round(sum(kind.share * kind.a_day for kind in MIX) * schedules_)


class Over(Exception):
    """The time is up."""


class Timed(Ticker):
    """The ticker; its clock goes on by what each batch costs."""

    def __init__(self, db: Db, clock: HandClock, cpu: Callable[[], float], deadline: float) -> None:
        super().__init__(db, clock, policy(Settings()))
        self._hands = clock
        self._cpu = cpu
        self._deadline = deadline
        self._mark = cpu()
        self.spent = 0.0
        self.fired = 0
        self._began = True

    def begin_minute(self, at: int) -> None:
        """Nothing has been done since the last one."""
        self._hands.set(max(at, self._hands.now()))
        self._mark = self._cpu()

    async def _batch(self, *, overtake: bool) -> Happened:
        if time.monotonic() > self._deadline:
            raise Over
        happened = await super()._batch(overtake=overtake)
        now = self._cpu()
        self._hands.advance(seconds=now - self._mark)
        self.spent += now - self._mark
        self._mark = now
        self.fired += len(happened.errors)
        return happened


class Sizes(NamedTuple):
    """Rows, bytes of the table and bytes of its indexes, by table."""

    of: dict[str, tuple[int, int, int]]

    @property
    def total(self) -> int:
        return sum(table + indexes for _, table, indexes in self.of.values())


class Day(NamedTuple):
    """What one database came to."""

    kind: str
    count: int
    stocked_in: float
    fires: int
    minutes: float
    cpu: float
    late: list[float]
    fullest: tuple[int, float]
    looks: tuple[float, float]
    """CPU seconds of a look, at first and in the end."""
    counting: float
    reviewing: float
    logged: int
    """Bytes of PostgreSQL's write-ahead log."""
    before: Sizes
    after: Sizes
    seconds: float


def _cpu_of(postgres: psutil.Process | None) -> Callable[[], float]:
    """CPU seconds of this process, and of the database if it is another."""

    def read() -> float:
        total = time.process_time()
        for process in [] if postgres is None else [postgres, *postgres.children()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
                if process is postgres:  # whoever has ended since
                    total += times.children_user + times.children_system
        return total

    return read


async def _stock(db: Db, count: int, deadline: float, progress: Console) -> int:
    """Put deployments in; how many, if there is no time for all of them."""
    await db.write(workspaces.bootstrap, KEY)
    who = await db.read(keys.admit, KEY)
    assert who is not None
    place = await db.write(ground, who)
    base = await db.write(_put, who, place, random.Random(1), min(count, BASE))
    done = len(base)
    while done < count and time.monotonic() < deadline:
        part = base[: count - done]
        await db.write(_copy, part, f"-{done // BASE:02d}")
        done += len(part)
        if done % 100_000 == 0:
            progress.print(f"{done:,} deployments stocked")
    await db.write(review.settle, policy(Settings()))
    return done


def _copy(tx: Tx, deployment_ids: Sequence[str], suffix: str) -> None:
    tx.run(COPY_DEPLOYMENTS, ids=deployment_ids, suffix=suffix)
    tx.run(COPY_SCHEDULES, ids=deployment_ids, suffix=suffix)


def _put(tx: Tx, who: Who, place: tuple[str, str], chance: random.Random, count: int) -> list[str]:
    body = sql.to_text(sql.Body(name="Day", initial_events=[msgspec.Raw(HELLO)]))
    made = [ids.new(ids.DEPLOYMENT) for _ in range(count)]
    kinds = chance.choices(MIX, [kind.share for kind in MIX], k=count)
    rows: list[Any] = [
        (each, who.organization_id, who.workspace_id, tx.now, tx.now, "active", place[0], 1, place[1], 1, body)
        for each in made
    ]
    tx.insert(sql.INSERT, rows)
    dated: list[Any] = []
    for each, kind in zip(made, kinds, strict=True):
        cron = Cron(type="cron", expression=kind.expression(chance), timezone=chance.choice(ZONES))
        due_at = schedules.following(cron, tx.now)
        dated.append((each, cron.expression, cron.timezone, due_at, due_at, tx.now, 0))
    tx.insert(SCHEDULES, dated)
    return made


async def _sizes(db: Db, url: str) -> Sizes:
    found: dict[str, tuple[int, int, int]] = {}
    for table in TABLES:
        [[rows]] = await db.read(lambda tx, table=table: tx.all(Query("Rows.", f"SELECT count(*) FROM {table}")))
        if db.name == "postgres":
            with psycopg.connect(url, autocommit=True) as connection:
                row = connection.execute("SELECT pg_table_size(%s), pg_indexes_size(%s)", (table, table)).fetchone()
            assert row is not None
            found[table] = (rows, *row)
        else:
            pages = Query(
                "Bytes.",
                f"""SELECT coalesce(sum(pgsize) FILTER (WHERE m.type = 'table'), 0),
                    coalesce(sum(pgsize) FILTER (WHERE m.type = 'index'), 0)
                    FROM dbstat d JOIN sqlite_master m ON m.name = d.name
                    WHERE d.aggregate = 1 AND m.tbl_name = '{table}'""",
            )
            [sizes] = await db.read(lambda tx, pages=pages: tx.all(pages))
            found[table] = (rows, *sizes)
    return Sizes(found)


async def _cost(db: Db, cpu: Callable[[], float], work: Callable[[Tx], Any], times: int) -> float:
    """CPU seconds of a transaction that reads."""
    began = cpu()
    for _ in range(times):
        await db.read(work)
    return (cpu() - began) / times


async def live(
    kind: str,
    url: str,
    count: int,
    seconds: float,
    postgres: psutil.Process | None,
    progress: Console,
    until: float = math.inf,
) -> Day:
    """Stock, then fire until the time is up, or until an instant of the day."""
    clock = HandClock(START)
    cpu = _cpu_of(postgres)
    db = open_db(url, clock)
    began = time.monotonic()
    if kind == "postgres":
        relax(url)
    count = await _stock(db, count, began + seconds * 0.6, progress)
    if kind == "postgres":
        await db.close()  # from here on its commits wait for the disk
        with psycopg.connect(url, autocommit=True) as connection:
            name = psycopg.sql.Identifier(connection.info.dbname)
            connection.execute(psycopg.sql.SQL("ALTER DATABASE {} RESET synchronous_commit").format(name))
            connection.execute("VACUUM (ANALYZE)")
        db = open_db(url, clock)
    stocked_in = time.monotonic() - began
    before = await _sizes(db, url)
    looks_at_first = await _cost(db, cpu, due.look, 200)
    counting = await _cost(db, cpu, lambda tx: tx.one(sql.COUNT_SCHEDULED, organization_id=_owner(tx), id=""), 3)
    some = min(count, 20_000)
    reviewing = await _cost(db, cpu, lambda tx: review.differing(tx, policy(Settings()), "", some), 2) / some
    written = _written(kind, url)
    ticker = Timed(db, clock, cpu, began + seconds)
    fullest: Counter[int] = Counter()
    at = START
    with contextlib.suppress(Over):
        while (at := (await db.read(due.look)).fire_at or 0) <= until:
            ticker.begin_minute(at)
            was = ticker.fired
            await ticker.fire()
            fullest[ticker.fired - was] = clock.now() - at
            if at % (15 * MINUTE) == 0:
                progress.print(f"{kind}: {(at - START) // MINUTE} minutes, {ticker.fired:,} fires")
    logged = _written(kind, url) - written
    looks_in_the_end = await _cost(db, cpu, due.look, 200)
    late = Query("How late each was.", "SELECT created_at - scheduled_at FROM deployment_runs ORDER BY 1")
    found = [row[0] / SECOND for row in await db.read(lambda tx: tx.all(late))]
    after = await _sizes(db, url)
    await db.close()
    most = max(fullest, default=0)
    return Day(
        kind, count, stocked_in, len(found), (at - START) / MINUTE, ticker.spent, found,
        (most, fullest[most] / SECOND), (looks_at_first, looks_in_the_end), counting, reviewing, logged, before, after,
        time.monotonic() - began,
    )  # fmt: skip


def _written(kind: str, url: str) -> int:
    """How long PostgreSQL's write-ahead log is."""
    if kind == "sqlite":
        return 0
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    return row[0]


def _owner(tx: Tx) -> str:
    row = tx.one(Query("Whose they are.", "SELECT organization_id FROM deployments LIMIT 1"))
    return "" if row is None else row[0]


def _at(values: Sequence[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)] if values else float("nan")


def show(days: Sequence[Day], console: Console) -> None:
    """The tables."""
    table = Table("", *(day.kind for day in days), title="A share of a day")

    def line(name: str, of: Callable[[Day], str]) -> None:
        table.add_row(name, *(of(day) for day in days))

    line("schedules", lambda day: f"{day.count:,}")
    line("fires in their whole day", lambda day: f"{fires_a_day(day.count):,}")
    line("minutes lived through, from 01:45", lambda day: f"{day.minutes:,.0f}")
    line("fires", lambda day: f"{day.fires:,}")
    line("share of the day's fires", lambda day: f"{day.fires / fires_a_day(day.count):.1%}")
    line("CPU µs a fire", lambda day: f"{day.cpu / max(day.fires, 1) * 1e6:,.0f}")
    line("fires a second on one core", lambda day: f"{day.fires / max(day.cpu, 1e-9):,.0f}")
    line(
        "one core busy, the day's average",
        lambda day: f"{fires_a_day(day.count) / 86400 * day.cpu / max(day.fires, 1):.1%}",
    )
    line("late, p50 s", lambda day: f"{_at(day.late, 0.5):.3f}")
    line("late, p99 s", lambda day: f"{_at(day.late, 0.99):.3f}")
    line("late, the last s", lambda day: f"{_at(day.late, 1):.3f}")
    line("early", lambda day: f"{sum(each < 0 for each in day.late):,}")
    line("in the fullest minute: fires, and done after s", lambda day: f"{day.fullest[0]:,}, {day.fullest[1]:.1f}")
    line("CPU µs a look, before and after", lambda day: f"{day.looks[0] * 1e6:,.0f}, {day.looks[1] * 1e6:,.0f}")
    line("CPU ms to count an organization's schedules", lambda day: f"{day.counting * 1e3:,.1f}")
    line("CPU s to review all dates", lambda day: f"{day.reviewing * day.count:,.1f}")
    line("MB before", lambda day: f"{day.before.total / 1e6:,.0f}")
    line("MB a day, by proportion", lambda day: f"{_growth(day) * fires_a_day(day.count) / 1e6:,.0f}")
    line("bytes of write-ahead log a fire", lambda day: f"{day.logged / max(day.fires, 1):,.0f}" if day.logged else "")
    line("seconds to stock, and in all", lambda day: f"{day.stocked_in:,.0f}, {day.seconds:,.0f}")
    console.print(table)
    for day in days:
        sizes = Table("table", "rows", "bytes a row", "of its indexes", title=f"What a row takes, {day.kind}")
        for name, (rows, table_bytes, index_bytes) in day.after.of.items():
            if rows:
                sizes.add_row(name, f"{rows:,}", f"{table_bytes / rows:,.0f}", f"{index_bytes / rows:,.0f}")
        sizes.add_row("a fire, all in all", "", f"{_growth(day):,.0f}", "")
        console.print(sizes)


def _growth(day: Day) -> float:
    """Bytes that a fire adds, in all tables but those that it only changes."""
    grown = sum(sum(day.after.of[name][1:]) - sum(day.before.of[name][1:]) for name in TABLES[2:])
    return grown / max(day.fires, 1)


def main() -> int:
    """Run as told; the exit code is 1 if anything was early."""
    parser = argparse.ArgumentParser(prog="python -m tests.scheduler.day", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=840, help="for everything, about")
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--hold", action="store_true", help="keep a snapshot open (PostgreSQL)")
    given = parser.parse_args()
    log.configure(level="error")
    kinds = ["sqlite", "postgres"] if given.database == "both" else [given.database]
    progress = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    days: list[Day] = []
    shares = {"sqlite": 0.4, "postgres": 0.6} if len(kinds) == 2 else {kinds[0]: 1.0}
    for kind in kinds:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rota-day-")))
            postgres = stack.enter_context(postgres_server()) if kind == "postgres" else None
            url = stack.enter_context(fresh(kind, folder, postgres))
            process = None
            if kind == "postgres":
                held = stack.enter_context(psycopg.connect(url))
                held.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                row = held.execute("SELECT pg_backend_pid()").fetchone()
                assert row is not None
                process = psutil.Process(row[0]).parent()
                if not given.hold:
                    held.rollback()
            days.append(asyncio.run(live(kind, url, given.schedules, given.seconds * shares[kind], process, progress)))
    show(days, Console(width=None if sys.stdout.isatty() else WIDTH))
    return int(any(each < 0 for day in days for each in day.late))


if __name__ == "__main__":
    sys.exit(main())
