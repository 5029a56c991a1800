"""What every test can ask for: a fresh database of either kind, and a whole house behind an in-process client."""

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rota.base.clock import HandClock
from rota.store.db import open_db
from tests.api import Api
from tests.databases import postgres_server, relax


def _stay_on_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse every connection of the test process that leads off this machine."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
        if host != "localhost" and not ip_address(host).is_loopback:
            raise PermissionError(f"a test tried to reach {host}")


sys.addaudithook(_stay_on_this_machine)

START = 1_772_452_800_000_000  # 2026-03-02 12:00:00 UTC, a Monday
_numbers = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server from its wheel, without a database name; one for each test process."""
    with postgres_server() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_rota")
        open_and_close(url.replace("/postgres?", "/template_rota?"))
        yield url


def open_and_close(url: str) -> None:
    """Give a database its schema."""
    import asyncio

    asyncio.run(open_db(url, HandClock(START)).close())


@contextmanager
def _copy(postgres: str) -> Generator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_rota")  # type: ignore[arg-type]
    yield postgres.replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """A fresh PostgreSQL database with the schema in it."""
    with _copy(postgres) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rota.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def clock() -> HandClock:
    """A clock that only the test turns, at noon of a Monday."""
    return HandClock(START)


@pytest.fixture
def api(database_url: str, tmp_path: Path, clock: HandClock) -> Iterator[Api]:
    """A whole house on each kind of database, bootstrapped, behind an in-process client."""
    with Api(database_url, tmp_path, clock) as client:
        yield client


@pytest.fixture
def sqlite_api(tmp_path: Path, clock: HandClock) -> Iterator[Api]:
    """The same on SQLite only, for what does not touch the database's own ways."""
    with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock) as client:
        yield client


@pytest.fixture(scope="module")
def still_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One house on SQLite for all tests of a file that are about refusals, or look at nothing but what they made."""
    folder = tmp_path_factory.mktemp("still")
    with Api(f"sqlite:///{folder / 'rota.db'}", folder, HandClock(START)) as client:
        yield client


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def lasting_api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One house on each kind of database for all examples of a file's properties; nothing is taken back between them."""
    folder = tmp_path_factory.mktemp("lasting")
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{folder / 'rota.db'}"
        else:
            url = stack.enter_context(_copy(request.getfixturevalue("postgres")))
            relax(url)
        yield stack.enter_context(Api(url, folder, HandClock(START), sqlite_synchronous="NORMAL"))


@pytest.fixture
def db(api: Api) -> Any:
    """The store of ``api``: ``api.write(fn, …)`` and ``api.read(fn, …)`` run transaction functions on it."""
    return api.house.db
