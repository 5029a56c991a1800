"""Where the tools of cloud sessions run: folders, files, skills and packages around the boxes of a sandbox driver.

Promises: a session finds at its next turn, and after any restart, what it left in its folders; what it left under
``/mnt/session/outputs`` is published before it rests. A box is opened at the first call of a tool and kept for a while after a
turn; those that were idle longest make room. What belongs to a session that has been deleted goes at once if this process deleted
it, and with the housekeeping otherwise. All of it is on this machine: docs/workspaces.md says what that means for many machines.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from rota.base import log
from rota.base.clock import DAY
from rota.base.policy import Policy
from rota.base.settings import Settings
from rota.http import sql as facts
from rota.http.metrics import Count, Spread
from rota.queue.chore import Chore, Tools
from rota.resources.sessions import belongings
from rota.resources.sessions.turns import TurnSession
from rota.runtime.bench import Bench, Stock
from rota.runtime.folders import Folders
from rota.runtime.instructions import instructions
from rota.runtime.packages import Layers
from rota.runtime.reach import registries
from rota.runtime.sandbox import Limits, Sandbox
from rota.runtime.skills import Unpacked
from rota.runtime.staging import Uploads
from rota.runtime.tool import Outcome
from rota.store.blob import Blobs
from rota.store.db import Db
from rota.store.tx import Tx

UNUSED: Final = 7 * DAY
"""How long packages and skills stay that no session uses."""
_BEAT = 5.0
"""Seconds between two looks at idle boxes."""
_logger = log.get("workshop")


def _now(tx: Tx) -> int:
    return tx.now


def _name(tx: Tx) -> str:
    """What tells this database from every other one."""
    row = tx.one(facts.GET_FACT, key="cursor_key")
    assert row is not None
    return sha256(f"workshop {row[0]}".encode()).hexdigest()


def open_workshop(settings: Settings, db: Db, blobs: Blobs, policy: Policy, sandbox: Sandbox) -> "CloudWorkshop":
    """The workshop that the settings describe. Unusable. Makes nothing yet."""
    root = Path(settings.data_dir).expanduser().absolute()
    limits = Limits(
        memory=settings.sandbox_memory_mb << 20,
        disk=settings.sandbox_disk_mb << 20,
        processes=settings.sandbox_processes,
    )
    known = registries(settings)
    stock = Stock(
        db=db,
        blobs=blobs,
        policy=policy,
        sandbox=sandbox,
        folders=Folders(root / "sessions"),
        uploads=Uploads(root / "uploads", blobs),
        skills=Unpacked(root / "skills", db, blobs),
        layers=Layers(root / "layers", sandbox, known, limits),
        registries=known,
        limits=limits,
        now=lambda: db.read(_now),
    )
    return CloudWorkshop(stock, idle_seconds=settings.sandbox_idle_seconds, most_idle=settings.max_idle_sandboxes)


class CloudWorkshop:
    """See ``tool.Workshop``; also an engine (``main.Engine``), which closes idle boxes while it runs."""

    def __init__(self, stock: Stock, *, idle_seconds: float, most_idle: int) -> None:
        self._stock = stock
        self._idle_seconds = idle_seconds
        self._most_idle = most_idle
        self._benches: dict[str, Bench] = {}
        self._deleted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        stock.db.subscribe(belongings.GONE, self._deleted.set)

    @property
    def chores(self) -> list[Chore]:
        """Housekeeping for the sweeper."""
        return [
            Chore("folders of sessions that are gone", 300.0, self._sweep),
            Chore("files, skills and packages that no session uses", 3600.0, self._clear),
        ]

    # As the turn engine sees it

    async def open(self, session: TurnSession) -> "SessionToolbox":
        """See ``tool.Workshop``. The box itself is opened at the first call."""
        bench = self._benches.setdefault(session.id, Bench(self._stock, session.id))
        return SessionToolbox(self, bench, session)

    def instructions(self, session: TurnSession) -> str:
        """See ``tool.Workshop``."""
        return instructions(session)

    async def settle(self, session: TurnSession) -> None:
        """See ``tool.Workshop``."""
        bench = self._benches.get(session.id) or Bench(self._stock, session.id)
        await bench.settle(session)

    # As the house sees it

    def start(self) -> None:
        """See ``main.Engine``."""
        self._tasks = [
            asyncio.create_task(self._watch_idle(), name="workshop: idle"),
            asyncio.create_task(self._watch_deleted(), name="workshop: deleted"),
        ]

    async def stop(self) -> None:
        """See ``main.Engine``. Ends every box; files stay."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        for session_id in list(self._benches):
            await self._benches.pop(session_id).close()

    def counts(self) -> Iterator[Count | Spread]:
        """See ``main.Engine``."""
        states: dict[tuple[str, ...], float] = {
            ("used",): sum(bench.has_box for bench in self._benches.values() if bench.users),
            ("idle",): sum(bench.has_box for bench in self._benches.values() if not bench.users),
        }
        yield Count("rota_sandboxes", "Sandboxes that are open.", ("state",), states)

    # Boxes

    def rest(self, bench: Bench) -> None:
        """A toolbox over the bench was closed."""
        bench.users -= 1
        bench.idle_since = asyncio.get_running_loop().time()

    async def tidy(self) -> None:
        """Close the boxes that have been idle for too long, or are too many."""
        now = asyncio.get_running_loop().time()
        idle = sorted(
            ((bench.idle_since, session_id) for session_id, bench in self._benches.items() if not bench.users),
        )
        keep = len(idle) - self._most_idle
        for place, (since, session_id) in enumerate(idle):
            if place < keep or now - since >= self._idle_seconds:
                await self._close(session_id)

    async def _close(self, session_id: str) -> None:
        bench = self._benches[session_id]
        await bench.close(only_idle=True)
        if not bench.users and not bench.has_box:
            self._benches.pop(session_id, None)

    async def _watch_idle(self) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            try:
                await self.tidy()
            except Exception as exc:  # the next time may be better
                _logger.warning("idle sandboxes cannot be closed", exc_info=exc)

    # Sessions that are gone

    async def _watch_deleted(self) -> None:
        while True:
            await self._deleted.wait()
            self._deleted.clear()
            try:
                await self.sweep()
            except Exception as exc:  # the chore comes by later
                _logger.warning("folders of deleted sessions cannot be removed now", exc_info=exc)

    async def sweep(self) -> int:
        """Remove what belongs to sessions that are gone; how many they were."""
        if not await asyncio.to_thread(self._stock.folders.belong_to, await self._stock.db.read(_name)):
            _logger.warning(
                "the data directory holds workspaces of another database, and none is removed; give each database a directory"
            )
            return 0
        gone = await self._stock.folders.sweep(lambda ids: self._stock.db.read(belongings.present, ids))
        for session_id in gone:
            bench = self._benches.pop(session_id, None)
            if bench is not None:
                await bench.close()
            await self._stock.folders.discard(session_id)
        return len(gone)

    async def _sweep(self, _tools: Tools) -> int:
        return await self.sweep()

    async def _clear(self, _tools: Tools) -> int:
        stock = self._stock
        now = await stock.now()
        removed = await asyncio.to_thread(stock.uploads.clear, now)
        removed += await asyncio.to_thread(stock.skills.shelf.clear, now - UNUSED)
        return removed + await asyncio.to_thread(stock.layers.clear, now - UNUSED)


class SessionToolbox:
    """See ``tool.Toolbox``: a turn's seat at its session's bench."""

    def __init__(self, workshop: CloudWorkshop, bench: Bench, session: TurnSession) -> None:
        self._workshop = workshop
        self._bench = bench
        self._session = session
        self._closed = False
        bench.users += 1

    async def call(self, name: str, input: dict[str, Any]) -> Outcome:
        """See ``tool.Toolbox``."""
        return await self._bench.call(self._session, name, input)

    async def close(self) -> None:
        """See ``tool.Toolbox``. The box stays for a while, for the session's next turn."""
        if not self._closed:
            self._closed = True
            self._workshop.rest(self._bench)
