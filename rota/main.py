"""The only place that knows everything: settings, then store, then engines, then the application.

Starts in that order and stops in the reverse one.
"""

import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Protocol

from rota import api
from rota.base.clock import Clock, KeptClock, SystemClock
from rota.base.errors import Unusable
from rota.base.page import Cursors
from rota.base.policy import policy
from rota.base.settings import Settings
from rota.courier.courier import TOPICS, Courier
from rota.http import probes, sql, stream
from rota.http.admit import Admission
from rota.http.app import App
from rota.http.limit import limiter
from rota.http.metrics import Count, Spread
from rota.http.route import Route
from rota.outgoing import guard
from rota.queue.chore import Chore, Tools
from rota.queue.feed import Feed
from rota.queue.wakes.local import LocalWake
from rota.queue.wakes.procrastinate import ProcrastinateWake
from rota.resources.sessions.previews import Previews
from rota.resources.sessions.stream import Logs
from rota.runtime import worker
from rota.runtime.opening import open_premises
from rota.runtime.providers.open import open_provider
from rota.scheduler import turning
from rota.scheduler.sweeper import Sweeper
from rota.scheduler.ticker import FIRES, Ticker
from rota.store.blob import Blobs
from rota.store.db import Db, is_sqlite, open_db
from rota.store.place import open_blobs
from rota.store.sealed import any_sealed
from rota.store.tx import Tx


@cache
def own_version() -> str:
    """The installed version, or ``0`` in a checkout that was never installed."""
    try:
        return version("rota")
    except PackageNotFoundError:
        return "0"


class Engine(Protocol):
    """Something that works by itself while the server runs."""

    def start(self) -> None:
        """Begin, on the running event loop; called when connections are accepted."""
        ...

    async def stop(self) -> None:
        """End, and wait until nothing is under way; called before the store closes. No error if it never began."""
        ...

    def counts(self) -> Iterator[Count | Spread]:
        """What has been done, for the metrics."""
        ...


@dataclass
class House:
    """Everything that runs: the store, the application, the engines, and whether it is closing."""

    settings: Settings
    db: Db
    blobs: Blobs
    ticker: Ticker
    feed: Feed
    previews: Previews
    routes: list[Route] = field(default_factory=list[Route])
    engines: list[Engine] = field(default_factory=list[Engine])
    app: App = field(init=False)
    stopping: bool = False

    def start(self) -> None:
        """Let the engines begin."""
        for engine in self.engines:
            engine.start()

    def hang_up(self) -> None:
        """End what would go on for as long as the caller likes; called when the server is to stop."""
        self.stopping = True
        self.feed.hang_up()

    async def stop(self) -> None:
        """Let the engines end."""
        for engine in reversed(self.engines):
            await engine.stop()

    def counts(self) -> Iterator[Count | Spread]:
        """The engines' counts."""
        for engine in self.engines:
            yield from engine.counts()


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


def open_place(settings: Settings, clock: Clock | None = None) -> Blobs:
    """The place for files that the settings name."""
    return open_blobs(
        settings.blobs_url,
        clock or SystemClock(),
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key,
    )


def _cursor_key(tx: Tx) -> bytes:
    tx.run(sql.PUT_FACT, key="cursor_key", value=secrets.token_hex(32))
    row = tx.one(sql.GET_FACT, key="cursor_key")
    assert row is not None
    return bytes.fromhex(row[0])


async def _check_seal_key(db: Db, settings: Settings) -> None:
    """Unusable if there are secrets and no key: one made now would open none of them, and hide that theirs is missing."""
    path = settings.seal_key_path
    if settings.seal_key is None and not path.exists() and await db.read(any_sealed, api.SEALED):
        raise Unusable(
            f"The database holds sealed secrets, and there is no sealing key at {path}. Restore it from your backup, copy it from "
            "another server of this database, or name it with --seal-key-file or ROTA_SEAL_KEY. If it is lost for good, put a new "
            "one there (`openssl rand -base64 32 | tr '+/' '-_'` makes one, mode 0600), and set the secrets anew."
        )


def _wake(db: Db, settings: Settings) -> LocalWake | ProcrastinateWake:
    """How this server hears of work, and tells others that there is some. Unusable if the engine is not there."""
    waits = [
        *(TOPICS if "courier" in settings.roles else ()),
        *(FIRES if "scheduler" in settings.roles else ()),
        *(worker.TOPICS if "worker" in settings.roles else ()),
    ]
    if settings.wakes == "local":
        return LocalWake(db, waits)
    if is_sqlite(settings.database_url):
        raise Unusable(
            "--wakes procrastinate needs a PostgreSQL database; an SQLite file has one server, which needs no waking."
        )
    if find_spec("procrastinate") is None:
        raise Unusable("--wakes procrastinate needs a package that is not installed: pip install 'rota[queue]'")
    return ProcrastinateWake(db, settings.database_url, [*TOPICS, *FIRES, *worker.TOPICS], waits)


@asynccontextmanager
async def build(settings: Settings, clock: Clock | None = None) -> AsyncGenerator[House]:
    """Open the house for the length of a ``with``. Unusable if it cannot be opened as configured."""
    clock = clock or (KeptClock(SystemClock().now()) if settings.test_clock else SystemClock())
    guard.allowed(settings.allow_private_hosts)  # a list that cannot be understood stops the start, not some request
    blobs = open_place(settings, clock)
    db = open_store(settings, serving=True, clock=clock)
    try:
        await _check_seal_key(db, settings)
        cursors = Cursors(await db.write(_cursor_key))
        rules = policy(settings)
        wake = _wake(db, settings)
        feed = Feed(db, Logs(stream.frame), quiet=stream.PING)
        house = House(
            settings, db, blobs, Ticker(db, clock, rules, wake=wake if "scheduler" in settings.roles else None),
            feed, Previews(feed, stream.frame),
        )  # fmt: skip
        house.routes += probes.routes(
            lambda: house.routes, version=own_version(), stopping=lambda: house.stopping, counts=house.counts
        )
        if isinstance(clock, KeptClock):
            clock.set(await db.write(turning.begin))
        if "api" in settings.roles:
            house.routes += api.ROUTES
            if isinstance(clock, KeptClock):
                house.routes += turning.routes(house.ticker, clock)
        house.engines += [wake, house.feed]
        chores: list[Chore] = []
        if "scheduler" in settings.roles:
            house.engines.append(house.ticker)
            chores += api.CHORES
        if "courier" in settings.roles:
            house.engines.append(Courier(db, wake, clock, rules))
        if "worker" in settings.roles:
            premises = open_premises(settings, db, blobs, rules)
            house.engines += premises.engines
            chores += premises.chores
            house.engines.append(
                worker.Worker(
                    db, wake, clock, rules, open_provider(settings), premises.workshop, house.previews, blobs=blobs
                )
            )
        if chores:
            house.engines.append(Sweeper(chores, Tools(db=db, blobs=blobs, policy=rules), clock))
        house.app = App(
            house.routes,
            db,
            Admission(db, clock, api.admit),
            cursors,
            rules,
            blobs,
            feed=house.feed,
            limiter=limiter(
                clock,
                creates_per_minute=settings.rate_limit_creates_per_minute,
                reads_per_minute=settings.rate_limit_reads_per_minute,
            ),
        )
        try:
            yield house
        finally:
            await house.stop()
    finally:
        await db.close()
        await blobs.close()
