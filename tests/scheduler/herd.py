"""``python -m tests.scheduler.herd --size 1000``: many deployments due in one instant, and how late each fires.

A real server (``rota serve``) on a fresh database in which so many deployments are due at one instant a few seconds ahead;
meanwhile one client runs another deployment by hand again and again, before the instant and during the herd. Lateness is
the run's ``created_at`` minus its occurrence, and the end of the last fire as the table shows it. The floor is a bulk insert
of the very same rows in the same batches into an empty copy of the database, with nothing read, checked or decided.
``--idle`` measures instead what a server costs while nothing is due.
"""

import argparse
import asyncio
import contextlib
import http.client
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from rota.base.clock import SECOND, SystemClock
from rota.base.policy import policy
from rota.base.settings import Settings
from rota.queue import sql as outbox
from rota.resources.deployment_runs import sql as runs
from rota.resources.deployments import review
from rota.resources.sessions import sql as sessions
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.scheduler.ticker import BATCH
from rota.store.db import Db, open_db
from rota.store.tx import Insert, Query, Tx
from tests.acceptance.server import KEY, Server
from tests.databases import fresh, postgres_server
from tests.scheduler.stock import SCHEDULES, ground, stock

AHEAD = 8
"""Seconds until the herd, once the servers listen: longer than a ticker's beat, since its instant is no whole minute."""
WIDTH = 150


class Herd(NamedTuple):
    """What one herd came to; seconds."""

    kind: str
    servers: int
    size: int
    p50: float
    p99: float
    last: float
    """How long after the instant the last was made."""
    rate: float
    """Fires a second."""
    floor: float
    """Bulk inserts of the same rows, deployments a second."""
    run_idle: float
    run_herd: float
    """The 99th percentile of a run by hand, before and during."""

    @property
    def share(self) -> float:
        """Of the floor."""
        return self.rate / self.floor


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


class ByHand(threading.Thread):
    """Runs a deployment by hand, one after the other, and times each."""

    def __init__(self, server: Server, deployment_id: str) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._path = f"/v1/deployments/{deployment_id}/run"
        self.times: list[tuple[float, float]] = []
        self.over = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        while not self.over.is_set():
            began = time.time()
            connection.request("POST", self._path, headers={"x-api-key": KEY})
            response = connection.getresponse()
            response.read()
            assert response.status == 200
            self.times.append((began, time.time() - began))
            self.over.wait(0.02)
        connection.close()


async def _fill(db: Db, size: int, due_at: int, expression: str = "0 0 1 1 *") -> str:
    """The herd, and one deployment more, to be run by hand: its id."""
    await db.write(workspaces.bootstrap, KEY)
    who = await db.read(keys.admit, KEY)
    assert who is not None
    agent_id, environment_id = await db.write(ground, who)
    for done in range(0, size, 2000):
        await db.write(stock, who, agent_id, environment_id, min(2000, size - done), due_at, expression)
    [by_hand] = await db.write(stock, who, agent_id, environment_id, 1, due_at + 10**15)
    await db.write(review.settle, policy(Settings()))
    return by_hand


def _move(tx: Tx, due_at: int) -> None:
    move = Query(
        "To be due then.",
        "UPDATE schedules SET due_at = :at, fire_at = :at WHERE due_at < :far",
    )
    tx.run(move, at=due_at, far=due_at + 10**14)


_DONE = Query("How many have fired.", "SELECT count(*), max(created_at) FROM deployment_runs WHERE scheduled_at = :at")
_LATE = Query("How late each was.", "SELECT created_at - scheduled_at FROM deployment_runs WHERE scheduled_at = :at")


def herd(kind: str, url: str, empty: str, folder: Path, size: int, servers: int, progress: Console) -> Herd:
    """One herd on a fresh database, and its floor on another."""
    with asyncio.Runner() as runner:
        db = open_db(url, SystemClock())
        far = time.time_ns() // 1000 + 10**12
        by_hand = runner.run(_fill(db, size, far))
        progress.print(f"{kind}: {size:,} deployments stocked")
        with contextlib.ExitStack() as stack:
            crew = [
                stack.enter_context(Server(folder / str(number), url, "--only", "api,scheduler", key=KEY))
                for number in range(servers)
            ]
            client = ByHand(crew[0], by_hand)
            client.start()
            due_at = (time.time_ns() // 1000 // SECOND + AHEAD + size // 20_000) * SECOND

            async def wait() -> tuple[int, int]:
                await db.write(_move, due_at)
                deadline = time.monotonic() + 60 + size / 1000
                while time.monotonic() < deadline:
                    await asyncio.sleep(0.25)
                    done, last = await db.read(lambda tx: tx.one(_DONE, at=due_at)) or (0, 0)
                    if done >= size:
                        return done, last
                raise AssertionError(f"{done} of {size} fired")

            done, last = runner.run(wait())
            client.over.set()
            client.join()
        assert done == size
        late = [row[0] / SECOND for row in runner.run(_read(db, due_at))]
        end = (last - due_at) / SECOND
        idle = [took for began, took in client.times if began < due_at / SECOND - 0.5]
        during = [took for began, took in client.times if due_at / SECOND <= began + took and began <= last / SECOND]
        other = open_db(empty, SystemClock())
        floor = runner.run(_floor(db, other, size))
        runner.run(other.close())
        runner.run(db.close())
    return Herd(
        kind, servers, size, _percentile(late, 0.5), _percentile(late, 0.99), end, size / max(end, 0.001), floor,
        _percentile(idle, 0.99), _percentile(during, 0.99),
    )  # fmt: skip


async def _read(db: Db, due_at: int) -> Any:
    return await db.read(lambda tx: tx.all(_LATE, at=due_at))


_KEPT: list[tuple[Insert, str]] = [
    (sessions.INSERT, "sessions WHERE deployment_id IS NOT NULL"),
    (sessions.INSERT_THREADS, "session_threads"),
    (sessions.APPEND, "session_events"),
    (runs.INSERT, "deployment_runs"),
    (outbox.ANNOUNCE, "outbox"),
]


async def _floor(db: Db, empty: Db, size: int) -> float:
    """How many deployments a second a bulk insert of their fires' rows makes, with the schedules rewritten as well.

    The rows come from the herd's database; what is timed is nothing but the writes, batch by batch, into another.
    """
    tables = []
    for insert, source in _KEPT:
        query = Query("All of it.", f"SELECT {', '.join(insert.columns)} FROM {source}")
        tables.append((insert, await db.read(lambda tx, query=query: tx.all(query))))
    ids = [row[0] for row in await db.read(lambda tx: tx.all(Query("Ids.", "SELECT deployment_id FROM schedules")))]
    far = 10**16
    for done in range(0, size, 2000):
        rows = [(each, "* * * * *", "UTC", far, far, 0, 0) for each in ids[done : done + 2000]]
        await empty.write(lambda tx, rows=rows: tx.insert(SCHEDULES, rows))
    batch = BATCH[db.name]
    batches = -(-size // batch)
    move = Query(
        "Move on.", "UPDATE schedules SET accounted_at = 1, due_at = :at, fire_at = :at WHERE deployment_id = ANY(:ids)"
    )
    began = time.perf_counter()
    for number in range(batches):

        def put(tx: Tx, number: int = number) -> None:
            for insert, rows in tables:
                share = len(rows) / batches
                tx.insert(insert, rows[round(number * share) : round((number + 1) * share)])
            tx.run(move, ids=ids[number * batch : (number + 1) * batch], at=far + SECOND)

        await empty.write(put)
    return size / (time.perf_counter() - began)


def idle(kind: str, url: str, folder: Path, size: int, seconds: float) -> tuple[float, float]:
    """The share of a core, and the megabytes, that a server takes while so many schedules are not due."""
    with asyncio.Runner() as runner:
        db = open_db(url, SystemClock())
        runner.run(_fill(db, size, time.time_ns() // 1000 + 10**13))
        runner.run(db.close())
    with Server(folder / "idle", url, key=KEY) as server:
        process = psutil.Process(server.process.pid)
        threading.Event().wait(3)
        before, began = process.cpu_times(), time.monotonic()
        threading.Event().wait(seconds)
        after = process.cpu_times()
        used = after.user + after.system - before.user - before.system
        return used / (time.monotonic() - began), process.memory_info().rss / 1e6


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.scheduler.herd", description=__doc__)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--servers", type=int, default=1, help="on PostgreSQL")
    parser.add_argument("--idle", type=float, metavar="SECONDS", help="measure a server that has nothing to do")
    given = parser.parse_args()
    kinds = ["sqlite", "postgres"] if given.database == "both" else [given.database]
    progress = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    if given.idle:
        table = Table("database", "schedules", "share of a core", "MB")
    else:
        table = Table(
            "database", "servers", "due at once", "p50 s", "p99 s", "last s", "fires/s", "bulk/s", "of the floor",
            "run p99 ms: idle", "in the herd", "times",
        )  # fmt: skip
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(postgres_server()) if "postgres" in kinds else None
        for kind in kinds:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rota-herd-")))
            with fresh(kind, folder, postgres) as url, fresh(kind, folder / "floor", postgres) as empty:
                if given.idle:
                    share, megabytes = idle(kind, url, folder, given.size, given.idle)
                    table.add_row(kind, f"{given.size:,}", f"{share:.2%}", f"{megabytes:.0f}")
                    continue
                found = herd(kind, url, empty, folder, given.size, given.servers if kind == "postgres" else 1, progress)
            table.add_row(
                kind, str(found.servers), f"{found.size:,}", f"{found.p50:.3f}", f"{found.p99:.3f}", f"{found.last:.3f}",
                f"{found.rate:,.0f}", f"{found.floor:,.0f}", f"{found.share:.2f}", f"{found.run_idle * 1000:.1f}",
                f"{found.run_herd * 1000:.1f}", f"{found.run_herd / found.run_idle:.1f}",
            )  # fmt: skip
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
