"""One suite over every way to wake: inside a process, and between processes that share a database."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from rota.base.clock import HandClock
from rota.base.errors import InvalidRequest, Unusable
from rota.base.settings import Settings
from rota.main import build
from rota.queue.wakes.local import LocalWake
from rota.queue.wakes.procrastinate import ProcrastinateWake, schema_name
from rota.store.db import Db, open_db
from rota.store.tx import Tx
from tests.conftest import START

Waker: TypeAlias = LocalWake | ProcrastinateWake
Pair: TypeAlias = tuple[Db, Waker]
TOPICS = ("letters", "parcels")
SOON, NEVER = 60.0, 0.2
"""Seconds: long enough for what must happen, short for what must not."""
ROOT = Path(__file__).parents[2]
PATH = f"-c search_path={schema_name()}"


def jobs(url: str) -> list[str]:
    """The engine's jobs, by their state."""
    with psycopg.connect(url, options=PATH) as connection:
        return [row[0] for row in connection.execute("SELECT status::text FROM procrastinate_jobs").fetchall()]


def ring(tx: Tx, topic: str = "letters") -> None:
    tx.wake(topic)


def ring_in_vain(tx: Tx) -> None:
    tx.wake("letters")
    raise InvalidRequest("no")


@asynccontextmanager
async def opened(url: str, how: str, waits: tuple[str, ...] = TOPICS) -> AsyncGenerator[Pair]:
    """What one process has of the matter."""
    db = open_db(url, HandClock(START))
    wake = LocalWake(db, waits) if how == "local" else ProcrastinateWake(db, url, TOPICS, waits)
    wake.start()
    try:
        yield db, wake
    finally:
        await wake.stop()
        await db.close()


@pytest.fixture(params=["local on sqlite", "local on postgres", "procrastinate on postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    how, _, kind = request.param.split(" ")
    return (f"sqlite:///{tmp_path / 'rota.db'}" if kind == "sqlite" else request.getfixturevalue("postgres_url")), how


def alone(place: tuple[str, str], work: Callable[[Db, Waker], Awaitable[Any]]) -> None:
    """Run ``work`` in one process's pair."""

    async def run() -> None:
        async with opened(*place) as (db, wake):
            await work(db, wake)

    asyncio.run(run())


def test_a_commit_rings_and_whoever_waits_is_woken(place: tuple[str, str]) -> None:
    async def work(db: Db, wake: Waker) -> None:
        waiting = asyncio.create_task(wake.wait("letters", seconds=SOON))
        await db.write(ring)
        assert await waiting

    alone(place, work)


def test_a_ring_since_the_last_wait_counts_once(place: tuple[str, str]) -> None:
    async def work(db: Db, wake: Waker) -> None:
        for _ in range(5):
            await db.write(ring)
        assert await wake.wait("letters", seconds=SOON)

    alone(place, work)


def test_another_topic_does_not_ring(place: tuple[str, str]) -> None:
    async def work(db: Db, wake: Waker) -> None:
        await db.write(ring, "parcels")
        assert not await wake.wait("letters", seconds=NEVER)

    alone(place, work)


def test_what_was_not_committed_does_not_ring(place: tuple[str, str]) -> None:
    async def work(db: Db, wake: Waker) -> None:
        with pytest.raises(InvalidRequest):
            await db.write(ring_in_vain)
        assert not await wake.wait("letters", seconds=NEVER)

    alone(place, work)


def test_a_waiter_that_gives_up_can_wait_again(place: tuple[str, str]) -> None:
    async def work(db: Db, wake: Waker) -> None:
        assert not await wake.wait("letters", seconds=0.01)
        await db.write(ring)
        assert await wake.wait("letters", seconds=SOON)

    alone(place, work)


def test_the_engine_wakes_another_process(postgres_url: str) -> None:
    async def work() -> None:
        async with (
            opened(postgres_url, "procrastinate", waits=()) as (teller, _),
            opened(postgres_url, "procrastinate") as (_, wake),
        ):
            for _ in range(20):
                await teller.write(ring)
                assert await wake.wait("letters", seconds=SOON)

    asyncio.run(work())


def test_of_several_processes_that_wait_at_least_one_is_woken(postgres_url: str) -> None:
    async def work() -> None:
        async with (
            opened(postgres_url, "procrastinate", waits=()) as (teller, _),
            opened(postgres_url, "procrastinate") as (_, one),
            opened(postgres_url, "procrastinate") as (_, other),
        ):
            waits = [asyncio.create_task(wake.wait("letters", seconds=SOON)) for wake in (one, other)]
            await teller.write(ring)
            done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            assert any(task.result() for task in done)
            for task in pending:
                task.cancel()

    asyncio.run(work())


HOLDER = """
import asyncio, sys
from rota.base.clock import HandClock
from rota.queue.wakes.procrastinate import ProcrastinateWake, schema_name
from rota.store.db import open_db

class Holder(ProcrastinateWake):
    def ring(self, topic):
        print("took", topic, flush=True)
        import time; time.sleep(3600)

async def run():
    db = open_db(sys.argv[1], HandClock(0))
    wake = Holder(db, sys.argv[1], ["letters"], ["letters"])
    wake.start()
    await asyncio.Event().wait()

asyncio.run(run())
"""


def test_a_process_that_was_killed_with_a_job_in_its_hands_keeps_nobody_from_ringing(postgres_url: str) -> None:
    async def work() -> None:
        async with opened(postgres_url, "procrastinate", waits=()) as (teller, _):
            holder = await asyncio.create_subprocess_exec(
                sys.executable, "-c", HOLDER, postgres_url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
            )
            assert holder.stdout is not None
            await teller.write(ring)
            assert await holder.stdout.readline() == b"took letters\n"
            holder.kill()
            await holder.wait()
            assert jobs(postgres_url) == ["doing"]
            async with opened(postgres_url, "procrastinate") as (_, wake):
                await teller.write(ring)
                assert await wake.wait("letters", seconds=SOON)
                with psycopg.connect(postgres_url, options=PATH, autocommit=True) as connection:
                    connection.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '2 minutes'")
            async with opened(postgres_url, "procrastinate"):
                while jobs(postgres_url):  # the next that starts has removed what the dead one had taken
                    await asyncio.sleep(0.02)

    asyncio.run(work())


def test_connections_that_were_cut_are_made_again(postgres_url: str) -> None:
    async def work() -> None:
        async with (
            opened(postgres_url, "procrastinate", waits=()) as (teller, _),
            opened(postgres_url, "procrastinate") as (_, wake),
        ):
            await teller.write(ring)
            assert await wake.wait("letters", seconds=SOON)
            for _ in range(3):
                with psycopg.connect(postgres_url, autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND application_name = 'rota wakes'"
                    )
                await teller.write(ring)
                assert await wake.wait("letters", seconds=SOON)

    asyncio.run(work())


@pytest.mark.parametrize("turns", range(6))
def test_it_may_be_stopped_at_any_moment_after_its_start(postgres_url: str, turns: int) -> None:
    async def work() -> None:
        for share in range(3):
            async with opened(postgres_url, "procrastinate") as (db, _):
                await db.write(ring)
                await asyncio.sleep((turns * 3 + share) * 0.02)

    asyncio.run(work())


def test_what_happened_while_the_engine_could_not_be_reached_is_told_afterwards(postgres_url: str) -> None:
    """The teller's engine is sent to a port where nobody is, and then to the database."""

    async def work() -> None:
        db = open_db(postgres_url, HandClock(START))
        away = "postgresql://nobody@127.0.0.1:9/nothing"
        teller = ProcrastinateWake(db, away, TOPICS, ())
        teller.start()
        async with opened(postgres_url, "procrastinate") as (_, wake):
            await db.write(ring)
            assert not await wake.wait("letters", seconds=NEVER)
            teller._url = postgres_url
            assert await wake.wait("letters", seconds=SOON)
        await teller.stop()
        await db.close()

    asyncio.run(work())


def test_it_ends_although_the_database_takes_connections_and_says_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        taken = asyncio.Event()
        writers: list[asyncio.StreamWriter] = []

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            taken.set()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        db = open_db(f"sqlite:///{tmp_path / 'rota.db'}", HandClock(START))
        wake = ProcrastinateWake(db, f"postgresql://nobody@127.0.0.1:{port}/nothing", TOPICS, TOPICS)
        wake.start()
        async with asyncio.timeout(SOON):
            await taken.wait()
            await wake.stop()
        server.close()
        for writer in writers:
            writer.close()
        await db.close()

    asyncio.run(work())


def test_nothing_is_left_in_the_engine_when_all_have_looked(postgres_url: str) -> None:
    async def work() -> None:
        async with (
            opened(postgres_url, "procrastinate", waits=()) as (teller, _),
            opened(postgres_url, "procrastinate") as (_, wake),
        ):
            for _ in range(10):
                await teller.write(ring)
            assert await wake.wait("letters", seconds=SOON)
            while jobs(postgres_url):
                await asyncio.sleep(0.02)

    asyncio.run(work())


def test_the_engine_is_for_postgresql(tmp_path: Path) -> None:
    async def work() -> None:
        async with build(Settings(data_dir=str(tmp_path), wakes="procrastinate")):
            pass

    with pytest.raises(Unusable, match="needs a PostgreSQL database"):
        asyncio.run(work())
