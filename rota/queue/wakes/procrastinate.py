"""Wake-ups between processes that share a PostgreSQL database, by the queue engine procrastinate on that same database.

A commit that woke a topic rings this process's own bell, if there is one. If there is none, one job ``look`` is put into the
engine's queue of that topic, unless one waits there already (its queueing lock). Some process that waits for the topic takes
the job, rings its bell, and that is all: the job carries nothing, so nothing is lost with it.

Promises: putting jobs holds up no transaction, since it happens after the commit, on a connection of the engine's own; while
the database is away nothing is put and nothing is taken, and both go on by themselves afterwards; ``stop`` returns within
seconds, whatever the database does. What a killed process had taken stays behind as a row that keeps nobody from ringing,
and is removed when the next process starts.

The engine's tables are in a schema of PostgreSQL that is called after the engine's version, so that another version finds no
tables that it does not know, and nothing ever has to be migrated: there is nothing in them. Processes with different versions
do not wake each other; they look on their slow beat.
Does not carry work: the database's own rows are the truth (see ``queue.wake``).
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from rota.base import log
from rota.queue.wakes.bells import Bells
from rota.store.db import Db

if TYPE_CHECKING:
    from procrastinate import App
    from psycopg_pool import AsyncConnectionPool

QUEUE: Final = "rota."
TASK: Final = "rota.look"
_PAUSE: Final = 1.0
"""Seconds until another attempt, after the engine could not be reached."""
_POLL: Final = 2.0
"""Seconds after which the engine looks for jobs although nobody notified it, as it may not have listened yet."""
_STALLED: Final = 60.0
"""Seconds without a sign of life after which a process that took a job counts as dead."""
_PATIENCE: Final = 5.0
"""Seconds: until a connection must be there, and until the engine must have ended before its connections are taken away."""

_LOCK: Final = 7_310_207
"""The advisory lock under which the engine's tables are made."""

_logger = log.get("wakes")


class ProcrastinateWake(Bells):
    """See ``queue.wake.Wake``. ``topics`` are those that this process tells of; ``waits`` those that it waits for."""

    def __init__(self, db: Db, url: str, topics: Sequence[str], waits: Sequence[str]) -> None:
        super().__init__(waits)
        self._url = url
        self._waits = waits
        self._ended = False
        self._turn = asyncio.Event()  # there is something to tell, or it is time to end
        self._untold: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        for topic in topics:
            db.subscribe(topic, partial(self.ring if topic in waits else self._tell_later, topic))

    def start(self) -> None:
        """Begin to tell and to listen."""
        self._task = asyncio.create_task(self._keep(), name="wakes")

    async def stop(self) -> None:
        """Tell and listen no more. The engine is asked to end, and not cancelled, which it would not always hear."""
        self._ended = True
        self._turn.set()
        if self._task is not None:
            _, pending = await asyncio.wait({self._task}, timeout=4 * _PATIENCE)
            if pending:
                _logger.warning("the queue engine does not end; the database took a statement and does not answer")
            self._task = None

    def _tell_later(self, topic: str) -> None:
        self._untold.add(topic)
        self._turn.set()

    async def _keep(self) -> None:
        """Work with the engine, from one breakdown to the next, until the end."""
        while not self._ended:
            try:
                await self._engage()
            except Exception as exc:  # whatever it was, the next attempt may go better, and nobody depends on it
                _logger.warning("wake-ups between processes are interrupted", reason=log.redact(str(exc)).strip())
            until = asyncio.get_running_loop().time() + _PAUSE
            while not self._ended:
                self._turn.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(until):
                        await self._turn.wait()
                        continue
                break

    async def _engage(self) -> None:
        """Open the engine, tell and listen until the end. Raises what broke it."""
        from procrastinate.worker import Worker

        name = schema_name()
        pool = _pool(self._url, name)
        await pool.open()  # which does not wait for the database
        tasks: list[asyncio.Task[None]] = []
        over = asyncio.Event()
        try:
            app = self._app()
            await app.open_async(pool)
            await prepare(app, pool, name)
            worker = Worker(
                app, queues=[QUEUE + topic for topic in self._waits], name="rota", install_signal_handlers=False,
                delete_jobs="always", listen_notify=True, fetch_job_polling_interval=_POLL,
            )  # fmt: skip
            tasks.append(asyncio.create_task(self._tell(app, over), name="wakes: tell"))
            if self._waits:
                await _bury_the_dead(app)
                tasks.append(asyncio.create_task(worker.run(), name="wakes: listen"))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            worker.stop()
            over.set()
            self._turn.set()
            ended, _ = await asyncio.wait(tasks, timeout=_PATIENCE)
            for task in done | ended:
                task.result()
            if not self._ended:
                raise ConnectionError("the queue engine ended by itself")
        finally:
            over.set()
            self._turn.set()
            await pool.close(_PATIENCE)
            if any(
                not task.done() for task in tasks
            ):  # they have lost their connections, and so fail at whatever they do
                await asyncio.wait(tasks, timeout=_PATIENCE)

    def _app(self) -> "App":
        from procrastinate import App, PsycopgConnector

        app = App(connector=PsycopgConnector())

        @app.task(name=TASK)
        async def look(topic: str) -> None:
            self.ring(topic)

        return app

    async def _tell(self, app: "App", over: asyncio.Event) -> None:
        from procrastinate.exceptions import AlreadyEnqueued

        while not (over.is_set() or self._ended):
            self._turn.clear()
            while self._untold:
                topic = self._untold.pop()  # before it is told: what happens meanwhile is to be told again
                try:
                    with suppress(AlreadyEnqueued):
                        task = app.configure_task(TASK, queue=QUEUE + topic, queueing_lock=topic)
                        await task.defer_async(topic=topic)
                except BaseException:
                    self._untold.add(topic)
                    raise
            if not (over.is_set() or self._ended):
                await self._turn.wait()


def schema_name() -> str:
    """The schema of the engine's tables, for the engine's version that is installed here."""
    return f"rota_wakes_procrastinate_{version('procrastinate').replace('.', '_')}"


def _pool(url: str, schema: str) -> "AsyncConnectionPool[Any]":
    # Loaded here, with the rest of the engine: 120 ms that a server which is alone need not pay.
    from psycopg_pool import AsyncConnectionPool

    for name in ("procrastinate", "psycopg.pool"):  # what goes wrong is said once, by us
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return AsyncConnectionPool(
        url, min_size=1, max_size=2, open=False, timeout=_PATIENCE, name="rota-wakes",
        check=AsyncConnectionPool.check_connection,
        kwargs={
            "connect_timeout": int(_PATIENCE), "application_name": "rota wakes",
            "options": f"-c search_path={schema} -c timezone=UTC -c idle_in_transaction_session_timeout=15s",
        },
    )  # fmt: skip


async def prepare(app: "App", pool: "AsyncConnectionPool[Any]", schema: str) -> None:
    """Give the database the engine's own tables, if it has none yet. Several processes may do so at once."""
    if await app.check_connection_async():
        return
    async with pool.connection() as connection:
        await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        if not await app.check_connection_async():
            await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            await connection.execute(app.schema_manager.get_schema())


async def _bury_the_dead(app: "App") -> None:
    """Remove the jobs that processes had taken when they died."""
    from procrastinate.jobs import Status

    for job in await app.job_manager.get_stalled_jobs(task_name=TASK, seconds_since_heartbeat=_STALLED):
        await app.job_manager.finish_job(job, Status.SUCCEEDED, delete_job=True)
