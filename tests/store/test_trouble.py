"""When the disk is full, the file is locked, or the schema is not ours: a clear answer, and nothing is lost."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rota.base.clock import HandClock
from rota.base.errors import DiskFull, Unavailable, Unusable
from rota.store import migrate
from rota.store.db import open_db
from rota.store.tx import Insert, Query, Tx

PUT = Insert("Keep facts.", "installation", {"key": "text", "value": "text"})
COUNT = Query("How many facts.", "SELECT count(*) FROM installation")


def put(tx: Tx, key: str, size: int = 1) -> str:
    tx.insert(PUT, [(key, "x" * size)])
    return key


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'rota.db'}"


def test_a_full_disk_refuses_what_does_not_fit_and_keeps_what_does(tmp_path: Path, clock: HandClock) -> None:
    async def scenario() -> None:
        db: Any = open_db(url(tmp_path), clock)
        [[pages]] = db._writer.execute("PRAGMA page_count").fetchall()
        db._writer.execute(
            f"PRAGMA max_page_count = {pages + 8}"
        )  # what SQLite says then is what a full disk makes it say
        outcomes = await asyncio.gather(
            db.write(put, "small"),
            db.write(put, "large", 1_000_000),
            db.write(put, "small too"),
            return_exceptions=True,
        )
        assert outcomes[0] == "small"
        assert isinstance(outcomes[1], DiskFull)
        assert outcomes[2] == "small too"
        assert await db.read(lambda tx: tx.one(COUNT)) == (2,)
        db._writer.execute("PRAGMA max_page_count = 1000000")
        assert await db.write(put, "large", 1_000_000) == "large"
        await db.close()

    asyncio.run(scenario())


def test_a_file_locked_by_somebody_else_is_a_clear_fault_until_it_is_free(tmp_path: Path, clock: HandClock) -> None:
    async def scenario() -> None:
        db: Any = open_db(url(tmp_path), clock)
        db._writer.execute("PRAGMA busy_timeout = 50")
        stranger = sqlite3.connect(tmp_path / "rota.db", isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await db.write(put, "a")
        assert await db.read(lambda tx: tx.one(COUNT)) == (0,)
        stranger.execute("ROLLBACK")
        assert await db.write(put, "a") == "a"
        stranger.close()
        await db.close()

    asyncio.run(scenario())


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, clock: HandClock) -> None:
    asyncio.run(open_db(url(tmp_path), clock).close())
    with sqlite3.connect(tmp_path / "rota.db") as connection:
        connection.execute("INSERT INTO migrations VALUES (9999, 'from the future', 'x', 0)")
    connection.close()
    with pytest.raises(Unusable, match="Upgrade rota"):
        open_db(url(tmp_path), clock)


def test_a_database_that_is_behind_says_what_to_run_and_is_brought_forward_by_it(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = migrate.migrations()
    with monkeypatch.context() as older:
        older.setattr(migrate, "migrations", lambda: every[:3])
        asyncio.run(open_db(url(tmp_path), clock).close())
    with pytest.raises(Unusable, match="rota migrate"):
        open_db(url(tmp_path), clock)
    asyncio.run(open_db(url(tmp_path), clock, upgrade=True).close())
    asyncio.run(open_db(url(tmp_path), clock).close())


def test_a_history_that_is_not_ours_is_refused(tmp_path: Path, clock: HandClock) -> None:
    asyncio.run(open_db(url(tmp_path), clock).close())
    with sqlite3.connect(tmp_path / "rota.db") as connection:
        connection.execute("UPDATE migrations SET checksum = 'another' WHERE number = 2")
    connection.close()
    with pytest.raises(Unusable, match="Restore a backup"):
        open_db(url(tmp_path), clock)


def test_a_migration_that_fails_leaves_nothing_half_applied(
    database_url: str, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(open_db(database_url, clock).close())
    every = migrate.migrations()
    broken = migrate.Migration(len(every) + 1, "broken", "CREATE TABLE half (id TEXT);\nCREATE TABLE half (id TEXT);")
    with monkeypatch.context() as newer:
        newer.setattr(migrate, "migrations", lambda: [*every, broken])
        with pytest.raises((Unusable, sqlite3.Error, psycopg.Error)):
            open_db(database_url, clock, upgrade=True)
    asyncio.run(open_db(database_url, clock).close())  # the table is not there, and the history is what it was


def test_an_unknown_kind_of_database_is_named(clock: HandClock) -> None:
    with pytest.raises(Unusable, match="mysql"):
        open_db("mysql://somewhere", clock)


def test_a_postgres_that_is_not_there_is_refused_without_its_password(clock: HandClock) -> None:
    with pytest.raises(Unusable, match="cannot be used") as caught:
        open_db("postgresql://someone:swordfish@127.0.0.1:1/none", clock)
    assert "swordfish" not in str(caught.value)
