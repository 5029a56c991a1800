"""Servers in processes of their own, and what each version of the official client saw on its journey through one."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.acceptance import sdks
from tests.acceptance.server import KEY, Server
from tests.cli.process import answer

_numbers = count()
_told: dict[str, Any] = {}
JOURNEYS = [("0.121.0", "sqlite"), ("1.17.0", "postgres"), ("2.12.0", "sqlite"), ("2.12.0", "postgres")]
"""How a client speaks and where rows are kept do not depend on one another: the newest client goes to both databases."""


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    """A running server on each kind of database in turn."""
    with Server(tmp_path / "server", database_url) as running:
        yield running


@pytest.fixture
def sqlite_server(tmp_path: Path) -> Iterator[Server]:
    """A running server on SQLite only, for what does not touch the database's own ways."""
    with Server(tmp_path / "server") as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server on SQLite for a whole module: for tests that only ask."""
    with Server(tmp_path_factory.mktemp("shared")) as running:
        yield running


class Story(NamedTuple):
    """What one client saw, sync or async."""

    version: str
    style: str
    members: list[str]
    """The members of this version that call a route of ours."""
    seen: dict[str, Any]
    calls: int
    skipped: list[str]
    requests: list[dict[str, Any]]
    checked: dict[str, int]
    problems: list[str]
    unknown: list[str]
    samples: dict[str, str]
    log: str
    """What the server wrote to stderr meanwhile."""


@pytest.fixture(scope="session", params=JOURNEYS, ids="-".join)
def journeys(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story]:
    """A journey's two stories, by style; each journey is made once, however many processes the tests run in."""
    version, database = request.param
    told = _once(
        tmp_path_factory, f"{version}-{database}", lambda: _travel(request, tmp_path_factory, version, database)
    )
    return {
        style: Story(version, style, told["members"], log=told["log"], **told[style]) for style in ("sync", "async")
    }


@pytest.fixture(params=["sync", "async"])
def story(request: pytest.FixtureRequest, journeys: dict[str, Story]) -> Story:
    """One of the stories in turn."""
    return journeys[request.param]


@pytest.fixture(scope="session")
def newest_samples(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One good body of each operation, from the newest client's journey."""
    told = _once(tmp_path_factory, "2.12.0-sqlite", lambda: _travel(request, tmp_path_factory, "2.12.0", "sqlite"))
    return told["sync"]["samples"]


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[], Any]) -> Any:
    """What ``make`` gives, made by one of the test processes and read by the others."""
    if name in _told:
        return _told[name]
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the one that the workers of this run share
    place = folder / f"journey-{name}.json"
    with (folder / f"journey-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            place.write_text(json.dumps(make()))
        _told[name] = json.loads(place.read_text())
    return _told[name]


def _travel(request: pytest.FixtureRequest, factory: pytest.TempPathFactory, version: str, database: str) -> Any:
    """A journey by way of two servers: one that turns no sessions, so that they stay as they were made, and one that does."""
    where = [_place(request, database) for _ in range(2)]
    with (
        Server(factory.mktemp("journey"), where[0], ROTA_ALLOW_PRIVATE_HOSTS="127.0.0.1") as server,
        Server(factory.mktemp("turning"), where[1], ROTA_ONLY="api,worker") as turning,
    ):
        admin = answer("keys", "create", "--admin", *server.place)
        site = {"name": "site", "config": {"type": "self_hosted"}}
        site_id = server.ask("POST", "/v1/environments", site).ok()["id"]
        worker = answer("keys", "create", "--environment", site_id, *server.place)
        given = {
            "url": server.url, "key": KEY, "admin_key": admin["key"], "worker_key": worker["key"], "site": site_id,
            "turning_url": turning.url,
        }  # fmt: skip
        told = sdks.run(version, "journey.py", given)
    assert told["version"] == version
    assert "Traceback" not in turning.errors()
    return told | {"log": server.errors()}


def _place(request: pytest.FixtureRequest, database: str) -> str | None:
    """A new database of a kind."""
    if database == "sqlite":
        return None
    postgres: str = request.getfixturevalue("postgres")
    name = f"journey_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_rota")  # type: ignore[arg-type]
    return postgres.replace("/postgres?", f"/{name}?")
