"""One session's place on this machine, in this process: its box, what is mounted in it, and what is still to be told.

A bench outlives turns: its box stays for a while, with the shell and whatever runs in it. Promises: whatever goes wrong is an
outcome that the model can act on; a box that has died is replaced at the next call; a session that fills its disk is let back in
to clean up a few times, and no more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from rota.base import log
from rota.base.errors import Fault
from rota.base.policy import Policy
from rota.resources.environments.wire import Cloud
from rota.resources.sessions import belongings
from rota.resources.sessions.mounts import UPLOADS, FileResource
from rota.resources.sessions.turns import TurnSession
from rota.runtime import packages
from rota.runtime.folders import Folders, Place
from rota.runtime.instructions import OUTPUTS, WORKSPACE
from rota.runtime.outputs import WRITING, harvest
from rota.runtime.packages import CannotInstall, Layers
from rota.runtime.reach import Registries, network_of
from rota.runtime.sandbox import Box, Limits, Mount, Sandbox, SandboxFailure, Spec
from rota.runtime.sandboxes import ground
from rota.runtime.shelf import Held
from rota.runtime.skills import FOLDER, Unpacked
from rota.runtime.staging import Uploads
from rota.runtime.tool import REPEATABLE, Outcome
from rota.store.blob import Blobs
from rota.store.db import Db

HARVEST_SECONDS: Final = 5.0
"""Between two looks at a session's outputs while it works."""
CLEANINGS: Final = 3
"""How often a session that has filled its disk may come back to make room."""
_SLACK = 16 << 20
_logger = log.get("workshop")


class Stock(Struct, frozen=True, kw_only=True):
    """What all benches have in common."""

    db: Db
    blobs: Blobs
    policy: Policy
    sandbox: Sandbox
    folders: Folders
    uploads: Uploads
    skills: Unpacked
    layers: Layers
    registries: Registries
    limits: Limits
    now: Callable[[], Awaitable[int]]


class Bench:
    """See above. ``users`` are the toolboxes that are open over it; ``idle_since`` is in the event loop's time."""

    def __init__(self, stock: Stock, session_id: str) -> None:
        self._stock = stock
        self._session_id = session_id
        self._place: Place = stock.folders.place(session_id)
        self._lock = asyncio.Lock()
        self._harvesting = asyncio.Lock()
        self._box: Box | None = None
        self._held: list[Held] = []
        self._mounted: list[FileResource] | None = None
        self._troubles: dict[str, str] = {}
        self._told: set[str] = set()
        self._cleanings = 0
        self._harvested = -HARVEST_SECONDS
        self.users = 0
        self.idle_since = 0.0
        self.written = False
        """Whether something may have been written since the last harvest that went well."""

    @property
    def has_box(self) -> bool:
        """Whether there is a box, be it in use or idle."""
        return self._box is not None

    async def call(self, session: TurnSession, name: str, input: dict[str, Any]) -> Outcome:
        """See ``tool.Toolbox``."""
        try:
            async with self._lock:
                box, notes = await self._ready(session)
        except (SandboxFailure, Fault, OSError) as exc:
            _logger.error("a sandbox cannot be opened", session_id=session.id, reason=str(exc))
            return _error(
                "The sandbox cannot be used at the moment, so nothing was run. It may be worth trying again; if not, say that the "
                "server's operator finds the reason in its log."
            )
        except (CannotInstall, _Full) as exc:
            return _error(f"Nothing was run. {exc}")
        self.written = self.written or name not in REPEATABLE
        try:
            outcome = await box.call(name, input)
        except SandboxFailure as exc:
            _logger.warning("a sandbox has ended", session_id=session.id, reason=str(exc))
            return _error(await self._why(box))
        if box.ended and outcome.is_error:  # the driver has said why; what follows from it is ours to say
            return Outcome([*outcome.content, _text(await self._why(box))], is_error=True)
        await self._publish(session)
        notes += self._news()
        if notes:
            outcome = Outcome([*outcome.content, _text("\n".join(notes))], outcome.is_error)
        return outcome

    async def settle(self, session: TurnSession) -> None:
        """Publish what is under the outputs folder. Fault."""
        async with self._harvesting:
            if not self._place.outputs.is_dir():
                return
            self._harvested = asyncio.get_running_loop().time()
            stock = self._stock
            troubles = await harvest(
                session, self._place.outputs, stock.db, stock.blobs, stock.policy, stock.limits.disk
            )
            self.written = WRITING in troubles.values()
            self._troubles = troubles
            for path, why in troubles.items():
                _logger.info("an output is not published", session_id=session.id, path=path, reason=why)

    async def close(self, *, only_idle: bool = False) -> None:
        """End the box, if there is one; the folders stay. ``only_idle``: unless a turn has begun to use it meanwhile."""
        async with self._lock:
            if not (only_idle and self.users):
                await self._drop()

    # A box

    async def _ready(self, session: TurnSession) -> tuple[Box, list[str]]:
        """The box, its files in place, and what the model should know besides."""
        notes: list[str] = []
        if self._box is not None and self._box.ended:
            await self._drop()
            notes.append(
                "The sandbox had ended since the last call, so this ran in a new shell: files are as they were, variables and "
                "background processes are gone."
            )
        if self._box is None:
            await asyncio.to_thread(self._stock.folders.make, session.id)
            notes += await self._stage(session)
            self._box = await self._open(session, notes)
        else:
            notes += await self._stage(session)
        return self._box, notes

    async def _stage(self, session: TurnSession) -> list[str]:
        """The session's files, as they are at this moment."""
        stock = self._stock
        wanted = await stock.db.read(belongings.files_of, session.who, session.id)
        if wanted == self._mounted:
            return []
        staged = await stock.db.read(belongings.staged, session.who, wanted)
        troubles = await stock.uploads.arrange(self._place, staged, await stock.now())
        self._mounted = None if troubles else wanted
        return troubles

    async def _open(self, session: TurnSession, notes: list[str]) -> Box:
        stock, place = self._stock, self._place
        limits = await self._limits()
        config = session.environment if isinstance(session.environment, Cloud) else Cloud()
        mounts = [
            Mount(place.workspace, WORKSPACE, writable=True),
            Mount(place.outputs, OUTPUTS, writable=True),
            Mount(place.uploads, UPLOADS),
        ]
        try:
            layer = await stock.layers.take(config.packages, stock.now)
            environment = dict(stock.registries.variables)
            if layer is not None:
                self._held.append(layer)
                environment |= packages.variables(config.packages, stock.layers.seen_at(layer.path))
                mounts.append(Mount(layer.path, packages.INSIDE))
            taken, missing = await stock.skills.take(session.who, session.body.skills, await stock.now())
            self._held += [held for _, held in taken]
            mounts += [Mount(held.path, f"{WORKSPACE}/{FOLDER}/{skill.name}") for skill, held in taken]
            names = [skill.name for skill, _ in taken]
            await asyncio.to_thread(stock.folders.make_room, place, FOLDER, names)
            notes += [f"The skill {name} is not there: this version of it has been deleted." for name in missing]
            spec = Spec(
                name=session.id,
                mounts=tuple(mounts),
                network=network_of(
                    session.body.networking or config.networking,
                    stock.registries,
                    [server.url for server in session.agent.mcp_servers],
                ),
                limits=limits,
                environment=environment,
            )
            return await stock.sandbox.open(spec)
        except BaseException:
            self._release()
            raise

    async def _limits(self) -> Limits:
        """What the box may use. One that has filled its disk gets little more than what it holds, to make room.

        What is written before that is noticed is more than a session may have: so there is an end to how often it is let in, and
        to how much it may hold then.
        """
        limits = self._stock.limits
        used = await asyncio.to_thread(_size, self._place)
        if used <= limits.disk:
            self._cleanings = 0
            return limits
        if self._cleanings >= CLEANINGS or used > 2 * limits.disk:
            raise _Full(
                f"The session's disk is full: it holds {used >> 20} MB, of {limits.disk >> 20} that it may have, and was not "
                "emptied in time. Its sandbox stays closed; a new session has a new one."
            )
        self._cleanings += 1
        return Limits(memory=limits.memory, disk=used + _SLACK, processes=limits.processes)

    async def _why(self, box: Box) -> str:
        """What a model is told when the box has ended under a call; the box is done with."""
        async with self._lock:
            if self._box is box:
                await self._drop()
        most = self._stock.limits.disk
        used = await asyncio.to_thread(_size, self._place)
        if used > most:
            return (
                f"The sandbox was stopped because its folders hold {used >> 20} MB, and may hold {most >> 20}. Files are as they "
                "were; the shell and all processes are gone. The next call has a new shell: delete what is not needed before "
                "anything else."
            )
        return (
            "The sandbox ended while this was running; it may have taken effect. Files are as they were; the shell's state and all "
            "processes are gone. The next call has a new shell."
        )

    async def _drop(self) -> None:
        box, self._box = self._box, None
        if box is not None:
            with suppress(SandboxFailure):
                await box.close()
        self._release()

    def _release(self) -> None:
        for held in self._held:
            held.release()
        self._held = []

    # Outputs

    async def _publish(self, session: TurnSession) -> None:
        """Publish what a tool may have written, if that was not done just now."""
        recently = asyncio.get_running_loop().time() - self._harvested < HARVEST_SECONDS
        if not self.written or recently or self._harvesting.locked():
            return
        try:
            await self.settle(session)
        except Fault as fault:
            _logger.warning("outputs cannot be published now", session_id=session.id, reason=str(fault))

    def _news(self) -> list[str]:
        """What has not been told yet of outputs that are not published. One that is being written to is for the next time."""
        troubles = {
            path: why for path, why in self._troubles.items() if why != WRITING and f"{path} {why}" not in self._told
        }
        self._told |= {f"{path} {why}" for path, why in troubles.items()}
        return [f"{OUTPUTS}: {path} is not handed to the user: {why}." for path, why in troubles.items()]


class _Full(Exception):
    """The disk is full and stays so."""


def _size(place: Place) -> int:
    folders: tuple[Path, ...] = (place.workspace, place.outputs)
    return ground.size([Mount(folder, "", writable=True) for folder in folders])


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _error(text: str) -> Outcome:
    return Outcome([_text(text)], is_error=True)
