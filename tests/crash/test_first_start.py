"""A first start that is killed while it makes the tables is no dead end: the next one begins anew."""

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg

from rota.store.migrate import migrations
from tests.acceptance.server import KEY
from tests.crash.rounds import House

TRIES = 3
ALL = len(migrations())


def applied_sqlite(path: Path) -> int | None:
    """How many migrations are recorded; None before there is anything."""
    if not path.exists():
        return None
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("SELECT count(*) FROM migrations").fetchone()[0]
        except sqlite3.OperationalError:
            return None


def applied_postgres(url: str) -> int | None:
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            row = connection.execute("SELECT count(*) FROM migrations").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return row[0] if row else None


def is_no_dead_end(
    server: House, begun: Callable[[], bool], applied: Callable[[], int | None], delay: float
) -> int | None:
    """Kill the first start so long after it has begun with the tables, then start for good; what the killed one had done."""
    server.kill_when(begun, delay)
    done = applied()
    assert done in (None, 0, ALL), f"{done} of {ALL} migrations stand alone"
    with server:
        server.ask("GET", "/v1/agents").ok()
    return done


def test_on_sqlite(tmp_path: Path) -> None:
    chance = random.Random(1)
    for number in range(TRIES):
        folder = tmp_path / str(number)
        file = folder / "data" / "rota.db"
        is_no_dead_end(
            House(folder, key=KEY), file.exists, lambda file=file: applied_sqlite(file), chance.uniform(0, 0.04)
        )


def test_on_postgres(tmp_path: Path, postgres: str) -> None:
    chance = random.Random(2)
    for number in range(TRIES):
        name = f"first_start_{number}_{time.monotonic_ns()}"
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
            url = postgres.replace("/postgres?", f"/{name}?")

            def connected(connection: psycopg.Connection = connection, name: str = name) -> bool:
                row = connection.execute("SELECT 1 FROM pg_stat_activity WHERE datname = %s", (name,)).fetchone()
                return row is not None

            is_no_dead_end(
                House(tmp_path / str(number), url, key=KEY),
                connected,
                lambda url=url: applied_postgres(url),
                chance.uniform(0, 0.12),
            )
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]
