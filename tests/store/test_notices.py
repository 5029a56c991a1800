"""Whoever waits for a PostgreSQL connection's notices ends at once when told to."""

import asyncio

import pytest

from rota.base.clock import HandClock
from rota.store import notices
from rota.store.db import open_db
from rota.store.postgres import PostgresDb
from tests.conftest import START


def test_a_store_that_closes_does_not_wait_for_a_beat(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_BEAT_MS", 3_600_000)

    async def work() -> None:
        db = open_db(postgres_url, HandClock(START))
        assert isinstance(db, PostgresDb)
        db.subscribe("events of somebody", lambda: None)  # begins the bell's ear too
        while not db._listening:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            await db.close()
        assert not any(thread.is_alive() for thread in [*db._threads, *db._bell._threads.values()])

    asyncio.run(work())
