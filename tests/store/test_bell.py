"""Wake-ups and texts between processes that share a PostgreSQL database."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest

from rota.base.clock import HandClock
from rota.base.errors import InvalidRequest
from rota.store.bell import MAX_TEXT, payloads, read
from rota.store.db import Db, open_db
from rota.store.tx import Tx
from tests.conftest import START

SOON = 30.0
TOPIC = "events sesn_1"


@asynccontextmanager
async def two(url: str) -> AsyncGenerator[tuple[Db, Db]]:
    here, there = (open_db(url, HandClock(START), connections=1) for _ in range(2))
    try:
        await there.read(lambda tx: None)
        await here.read(lambda tx: None)
        yield here, there
    finally:
        await here.close()
        await there.close()


def both(url: str, work: Callable[[Db, Db], Awaitable[None]]) -> None:
    """Run ``work`` with two processes' stores."""

    async def run() -> None:
        async with two(url) as (here, there):
            await work(here, there)

    asyncio.run(run())


async def ears(db: Db, topic: str = TOPIC) -> "asyncio.Queue[str]":
    """What a process hears, once it really listens."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    db.subscribe(topic, lambda: heard.put_nowait("ring"))
    db.hear(topic, heard.put_nowait)
    await asyncio.wait_for(heard.get(), SOON)  # whoever begins to listen is told to look
    return heard


def ring(tx: Tx, topic: str = TOPIC) -> None:
    tx.wake(topic)


def ring_in_vain(tx: Tx) -> None:
    tx.wake(TOPIC)
    raise InvalidRequest("no")


def test_a_commit_rings_in_another_process_and_a_refusal_does_not(postgres_url: str) -> None:
    async def work(here: Db, there: Db) -> None:
        heard = await ears(there)
        with pytest.raises(InvalidRequest):
            await here.write(ring_in_vain)
        here.say(TOPIC, "after")
        assert await asyncio.wait_for(heard.get(), SOON) == "after"
        await here.write(ring)
        assert await asyncio.wait_for(heard.get(), SOON) == "ring"

    both(postgres_url, work)


def test_a_process_does_not_hear_itself_twice(postgres_url: str) -> None:
    async def work(here: Db, there: Db) -> None:
        own, others = await ears(here), await ears(there)
        await here.write(ring)
        here.say(TOPIC, "text")
        there.say(TOPIC, "answer")
        assert [await asyncio.wait_for(others.get(), SOON) for _ in range(2)] == ["ring", "text"]
        assert await asyncio.wait_for(own.get(), SOON) == "ring"
        assert await asyncio.wait_for(own.get(), SOON) == "answer"
        assert others.empty()

    both(postgres_url, work)


def test_other_topics_stay_at_home(postgres_url: str) -> None:
    async def work(here: Db, there: Db) -> None:
        heard = await ears(there)
        there.subscribe("turns", lambda: heard.put_nowait("turns"))
        await here.write(ring, "turns")
        await here.write(ring, "events sesn_2")
        await here.write(ring)
        assert await asyncio.wait_for(heard.get(), SOON) == "ring"
        assert heard.empty()

    both(postgres_url, work)


def test_who_lost_its_connection_is_told_to_look(postgres_url: str) -> None:
    async def work(here: Db, there: Db) -> None:
        heard = await ears(there)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN rota_bell' AND datname = current_database()"
            )
        assert await asyncio.wait_for(heard.get(), SOON) == "ring"
        here.say(TOPIC, "again")
        assert await asyncio.wait_for(heard.get(), SOON) == "again"

    both(postgres_url, work)


def test_who_tells_tells_again_after_a_breakdown(postgres_url: str) -> None:
    async def work(here: Db, there: Db) -> None:
        heard = await ears(there)
        here.say(TOPIC, "first")
        assert await asyncio.wait_for(heard.get(), SOON) == "first"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_notify%' AND datname = current_database()"
            )
        said: set[str] = set()
        while "later" not in said:
            here.say(TOPIC, "later")
            try:
                said.add(await asyncio.wait_for(heard.get(), 0.2))
            except TimeoutError:
                continue

    both(postgres_url, work)


def test_what_is_told_travels_in_few_payloads() -> None:
    told: list[tuple[str, str | None]] = [(f"events sesn_{number:022}", None) for number in range(1000)]
    told += [(TOPIC, "é" * (MAX_TEXT // 2)), (TOPIC, "x" * 8000)]
    sent = payloads(told)
    assert [each for payload in sent for each in read(payload)] == told[:-1], "what is too long is left out"
    assert max(len(payload.encode()) for payload in sent) < 8000
    assert len(sent) <= 6
    assert payloads([]) == []
