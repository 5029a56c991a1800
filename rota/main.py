"""The only place that knows everything: settings, then store, then engines, then the application.

Starts in that order and stops in the reverse one.
"""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from rota import api
from rota.base.clock import Clock, SystemClock
from rota.base.page import Cursors
from rota.base.policy import policy
from rota.base.settings import Settings
from rota.http import probes, sql
from rota.http.admit import Admission
from rota.http.app import App
from rota.http.route import Route
from rota.outgoing import guard
from rota.resources.workspaces import keys
from rota.store.db import Db, open_db
from rota.store.tx import Tx


def own_version() -> str:
    """The installed version, or ``0`` in a checkout that was never installed."""
    try:
        return version("rota")
    except PackageNotFoundError:
        return "0"


@dataclass
class House:
    """Everything that runs: the store, the application, and whether it is closing."""

    settings: Settings
    db: Db
    routes: list[Route] = field(default_factory=list[Route])
    app: App = field(init=False)
    stopping: bool = False


def open_store(settings: Settings, *, serving: bool = False, upgrade: bool = False, clock: Clock | None = None) -> Db:
    """The database that the settings name."""
    return open_db(
        settings.database_url,
        clock or SystemClock(),
        serving=serving,
        upgrade=upgrade,
        synchronous=settings.sqlite_synchronous,
        connections=settings.postgres_connections,
    )


def _cursor_key(tx: Tx) -> bytes:
    tx.run(sql.PUT_FACT, key="cursor_key", value=secrets.token_hex(32))
    row = tx.one(sql.GET_FACT, key="cursor_key")
    assert row is not None
    return bytes.fromhex(row[0])


@asynccontextmanager
async def build(settings: Settings, clock: Clock | None = None) -> AsyncGenerator[House]:
    """Open the house for the length of a ``with``. Unusable if it cannot be opened as configured."""
    clock = clock or SystemClock()
    guard.allowed(settings.allow_private_hosts)  # a list that cannot be understood stops the start, not some request
    db = open_store(settings, serving=True, clock=clock)
    try:
        cursors = Cursors(await db.write(_cursor_key))
        house = House(settings, db)
        house.routes += probes.routes(lambda: house.routes, version=own_version(), stopping=lambda: house.stopping)
        if "api" in settings.roles:
            house.routes += api.ROUTES
        house.app = App(house.routes, db, Admission(db, clock, keys.admit), cursors, policy(settings))
        yield house
    finally:
        await db.close()
