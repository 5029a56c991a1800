"""What every test can ask for: a fresh database of either kind, and a whole house behind an in-process client."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.store.db import open_db
from tests.api import Api
from tests.buckets import s3_server
from tests.databases import Lent, forget_power_cuts, postgres_server, relax


def _stay_on_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse every connection of the test process that leads off this machine."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
        if host != "localhost" and not ip_address(host).is_loopback:
            raise PermissionError(f"a test tried to reach {host}")


sys.addaudithook(_stay_on_this_machine)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that at the end no process waits for another that has just begun one."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


START = 1_772_452_800_000_000  # 2026-03-02 12:00:00 UTC, a Monday


@pytest.fixture(scope="session")
def lent() -> Iterator[Lent]:
    """Databases on a PostgreSQL server from its wheel; one server for each test process."""
    with postgres_server() as url:
        forget_power_cuts(url)
        yield Lent(url, open_and_close)


@pytest.fixture(scope="session")
def postgres(lent: Lent) -> str:
    """The URL of that server, without a database name; ``template_rota`` on it has the schema."""
    return lent.server


def open_and_close(url: str) -> None:
    """Give a database its schema."""
    import asyncio

    asyncio.run(open_db(url, HandClock(START)).close())


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file that has the schema, to be copied."""
    file = tmp_path_factory.mktemp("drawn") / "rota.db"
    open_and_close(f"sqlite:///{file}")
    return file


def _sqlite(drawn: Path, folder: Path) -> str:
    """The URL of a fresh SQLite database in a folder."""
    shutil.copyfile(drawn, folder / "rota.db")
    return f"sqlite:///{folder / 'rota.db'}"


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The URL of an S3 service from its package; one for each test process that asks."""
    with s3_server() as url:
        yield url


@pytest.fixture
def postgres_url(lent: Lent) -> Iterator[str]:
    """A PostgreSQL database with the schema in it and no rows."""
    with lent.one() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, drawn: Path, tmp_path: Path) -> str:
    """A fresh database of each kind in turn, with the schema in it."""
    if request.param == "sqlite":
        return _sqlite(drawn, tmp_path)
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
def sqlite_api(drawn: Path, tmp_path: Path, clock: HandClock) -> Iterator[Api]:
    """The same on SQLite only, for what does not touch the database's own ways."""
    with Api(_sqlite(drawn, tmp_path), tmp_path, clock) as client:
        yield client


@pytest.fixture(scope="module")
def still_api(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One house on SQLite for all tests of a file that are about refusals, or look at nothing but what they made."""
    folder = tmp_path_factory.mktemp("still")
    with Api(_sqlite(drawn, folder), folder, HandClock(START)) as client:
        yield client


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def lasting_api(request: pytest.FixtureRequest, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One house on each kind of database for all examples of a file's properties; nothing is taken back between them."""
    folder = tmp_path_factory.mktemp("lasting")
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = _sqlite(drawn, folder)
        else:
            url = stack.enter_context(request.getfixturevalue("lent").one())
            relax(url)
        yield stack.enter_context(Api(url, folder, HandClock(START)))


@pytest.fixture
def db(api: Api) -> Any:
    """The store of ``api``: ``api.write(fn, …)`` and ``api.read(fn, …)`` run transaction functions on it."""
    return api.house.db
