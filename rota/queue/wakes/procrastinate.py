"""Wake-ups between processes that share a PostgreSQL database, by the queue engine procrastinate on that same database.

After a commit that woke a topic, this process rings its own bell at once, and puts one job ``look`` into the engine's queue of
that topic unless one waits there already (its queueing lock). Some process that waits for the topic takes the job, rings its
bell, and that is all: the job carries nothing, so nothing is lost with it.

Promises: putting jobs holds up no transaction, since it happens after the commit, on a connection of the engine's own; while
the database is away nothing is put and nothing is taken, and both go on by themselves afterwards. What a killed process had
taken stays behind as a stalled job, which keeps nobody from ringing again, and is removed by the next process that starts.
Does not carry work: the database's own rows are the truth (see ``queue.wake``).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from rota.base import log
from rota.queue.wakes.bells import Bells
from rota.store.db import Db

if TYPE_CHECKING:
    from procrastinate import App

QUEUE: Final = "rota."
_TASK: Final = "rota.look"
_PAUSE: Final = 1.0
"""Seconds until another attempt, after the engine could not be reached."""
_STALLED: Final = 60.0
"""Seconds without a sign of life after which a process that took a job counts as dead."""

_logger = log.get("wakes")


class ProcrastinateWake(Bells):
    """See ``queue.wake.Wake``. ``topics`` are those that this process tells of; ``waits`` those that it waits for."""

    def __init__(self, db: Db, url: str, topics: Sequence[str], waits: Sequence[str]) -> None:
        super().__init__(waits)
        self._url = url
        self._waits = waits
        self._told = asyncio.Event()
        self._untold: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        for topic in topics:
            db.subscribe(topic, partial(self._happened, topic))

    def start(self) -> None:
        """Begin to tell and to listen."""
        self._tasks = [asyncio.create_task(self._keep(self._tell), name="wakes: tell")]
        if self._waits:
            self._tasks.append(asyncio.create_task(self._keep(self._listen), name="wakes: listen"))

    async def stop(self) -> None:
        """Tell and listen no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _happened(self, topic: str) -> None:
        self.ring(topic)
        self._untold.add(topic)
        self._told.set()

    async def _keep(self, work: Any) -> None:
        """Do ``work`` for ever, whatever becomes of the database."""
        while True:
            try:
                await work()
            except Exception as exc:
                _logger.warning("wake-ups are interrupted", reason=log.redact(str(exc)))
            await asyncio.sleep(_PAUSE)

    def _app(self) -> "App":
        # Loaded here: 300 ms and 20 MB that a server which is alone need not pay.
        from procrastinate import App, PsycopgConnector

        app = App(connector=PsycopgConnector(conninfo=self._url, min_size=1, max_size=2))

        @app.task(name=_TASK)
        async def look(topic: str) -> None:
            self.ring(topic)

        return app

    async def _tell(self) -> None:
        from procrastinate.exceptions import AlreadyEnqueued

        app = self._app()
        async with app.open_async():
            await prepare(app)
            while True:
                await self._told.wait()
                self._told.clear()
                for topic in sorted(self._untold):
                    with suppress(AlreadyEnqueued):
                        await app.configure_task(_TASK, queue=QUEUE + topic, queueing_lock=topic).defer_async(
                            topic=topic
                        )
                    self._untold.discard(topic)

    async def _listen(self) -> None:
        app = self._app()
        async with app.open_async():
            await prepare(app)
            for job in await app.job_manager.get_stalled_jobs(task_name=_TASK, seconds_since_heartbeat=_STALLED):
                await app.job_manager.finish_job(job, _succeeded(), delete_job=True)
            await app.run_worker_async(
                queues=[QUEUE + topic for topic in self._waits], name="rota", install_signal_handlers=False,
                delete_jobs="always", listen_notify=True,
            )  # fmt: skip


def _succeeded() -> Any:
    from procrastinate.jobs import Status

    return Status.SUCCEEDED


async def prepare(app: "App") -> None:
    """Give the database the engine's own tables, if it has none yet. Two processes may do so at once."""
    if await app.check_connection_async():
        return
    try:
        await app.schema_manager.apply_schema_async()
    except Exception:  # another process was faster, or it cannot be done
        if not await app.check_connection_async():
            raise
