"""Boxes on Linux: namespaces, a filter of system calls and limits, made by bubblewrap without any privilege.

Where the server is root, bubblewrap is not (``stage`` says why), and each session has a user of its own. Opening a box takes some
tens of milliseconds, half of them for the tool host's Python; decision 48 says what is done for that.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from rota.outgoing import guard
from rota.outgoing.proxy import Gate
from rota.outgoing.reach import Reach, reach
from rota.outgoing.resolve import Resolve, system_resolve
from rota.runtime.sandbox import Network, SandboxFailure, Spec
from rota.runtime.sandboxes import binary, ground, seccomp
from rota.runtime.sandboxes.box import HostedBox
from rota.runtime.sandboxes.cgroup import Cage, Cages
from rota.runtime.sandboxes.link import Link
from rota.runtime.sandboxes.recipe import CODE, PROXY, ending, environment, exposed, proxy_variables, recipe
from rota.runtime.sandboxes.selftest import selftest
from rota.runtime.sandboxes.stage import FIRST
from rota.runtime.sandboxes.starter import PLACE, Order, Started, Starter

START_SECONDS: Final = 20.0
END_SECONDS: Final = 5.0
MODULE: Final = "rota.runtime.sandboxes.inside"
_HOST: Final = f"import sys; sys.path.append({CODE!r}); from {MODULE}.host import main; main()"
"""Not ``-m``, which would import ``runpy`` first, for 10 ms."""
_NO_HOSTS: Final = guard.Allowed()


class Bubblewrap:
    """See ``sandbox.Sandbox``."""

    name = "bubblewrap"

    def __init__(
        self,
        *,
        users: range,
        secrets: tuple[Path, ...] = (),
        allowed: guard.Allowed = _NO_HOSTS,
        resolve: Resolve = system_resolve,
        without: frozenset[str] = frozenset(),
    ) -> None:
        if not seccomp.known():
            raise SandboxFailure(
                f"there is no filter of system calls for {os.uname().machine}, only for x86-64 and arm64"
            )
        self._program = binary.find()
        self._python = binary.interpreter()
        self._users = users
        self._secrets = secrets
        self._allowed = allowed
        self._resolve = resolve
        self._without = without
        self._root = os.geteuid() == 0
        self._cages = Cages()
        self._open: dict[HostedBox, int] = {}
        self._starter = Starter()
        self._undoing: set[asyncio.Task[None]] = set()

    async def check(self) -> str | None:
        """See ``sandbox.Sandbox``."""
        for path in self._secrets:
            if exposed(path):
                return (
                    f"{path} lies among this machine's programs, which every sandbox can read; move it (ROTA_DATA_DIR)."
                )
        return await selftest(self, self._python.path, self._secrets)

    def describe(self) -> str:
        """See ``sandbox.Sandbox``."""
        users = f", as users {self._users[0]} to {self._users[-1]}" if self._root else ", as this server's own user"
        why = self._cages.why_none
        limits = "limited by control groups" if why is None else f"limited process by process, since {why}"
        return f"bubblewrap {self._program.version} at {self._program.path}{users}, {limits}"

    async def open(self, spec: Spec) -> HostedBox:
        """See ``sandbox.Sandbox``."""
        user = os.geteuid()
        if self._root:
            home = next((mount.outside for mount in spec.mounts if mount.writable), None)
            if home is None:
                raise SandboxFailure("a box needs a writable folder")
            user = ground.user(spec.name, home, self._users, list(self._open.values()))
        await asyncio.to_thread(self._prepare, spec, user)
        link = Link()
        cage = self._cages.make(spec.limits)
        # From here on the descriptor is the thread's, whatever becomes of who waits for it.
        starting = asyncio.create_task(asyncio.to_thread(self._start, spec, link.theirs.detach(), user))
        try:
            process = await asyncio.shield(starting)
        except BaseException:
            link.close()
            undoing = asyncio.create_task(self._undo(starting, cage))
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)
            raise
        try:
            async with asyncio.timeout(START_SECONDS):
                gate = await self._ready(spec, link, cage, process)
        except (SandboxFailure, TimeoutError, asyncio.CancelledError) as exc:
            link.close()
            said = await self._ended(process, cage)
            if isinstance(exc, asyncio.CancelledError):
                raise
            raise SandboxFailure(f"No sandbox can be made: {binary.why_not(said) or exc}.") from None

        async def end() -> None:
            self._open.pop(box, None)
            await gate.close()
            await self._ended(process, cage)

        @asynccontextmanager
        async def admit(network: Network) -> AsyncGenerator[None]:
            usual, gate.reach = gate.reach, self._reach(network)
            try:
                yield
            finally:
                gate.reach = usual
                gate.drop()

        box = HostedBox(spec, link, end, admit=admit, outward=proxy_variables(PROXY))
        self._open[box] = user
        return box

    async def _ready(self, spec: Spec, link: Link, cage: Cage | None, process: Started) -> Gate:
        """Wait until the tool host is there, and all of the box in its cage: nothing of the agent's has run until then. Its way out."""

        def meanwhile() -> None:
            with contextlib.suppress(SandboxFailure):  # which the second attempt then says
                if cage is not None:
                    cage.admit(process.pid)

        admitting = asyncio.create_task(asyncio.to_thread(meanwhile))
        listener = await link.begin(self._begin(spec, caged=cage is not None))
        assert listener is not None
        gate = Gate(listener, self._reach(spec.network), self._resolve)
        try:
            await admitting
            if cage is not None:
                cage.admit(process.pid, least=2)
            await gate.open()
        except BaseException:
            await gate.close()
            raise
        return gate

    async def _undo(self, starting: asyncio.Task[Started], cage: Cage | None) -> None:
        """End what was still being started when nobody waited for it any more."""
        try:
            process = await starting
        except (SandboxFailure, OSError):
            if cage is not None:
                cage.open()
        else:
            await self._ended(process, cage)

    def _reach(self, network: Network) -> Reach:
        return reach(network.kind, network.hosts, self._allowed)

    async def close(self) -> None:
        """See ``sandbox.Sandbox``."""
        for box in list(self._open):
            await box.close()
        await asyncio.gather(*self._undoing)
        await asyncio.to_thread(self._starter.close)

    @cached_property
    def _code(self) -> dict[str, bytes]:
        return {f"{MODULE.replace('.', '/')}/{name}": data for name, data in binary.compiled(self._python).items()}

    @property
    def _extra_path(self) -> str:
        return "" if self._python.folder is None else str(self._python.folder / "bin")

    def _prepare(self, spec: Spec, user: int) -> None:
        try:
            ground.clear_the_way(spec.mounts)
            if self._root and "user" not in self._without:
                for mount in spec.mounts:
                    if mount.writable:
                        ground.give(mount.outside, user)
        except OSError as exc:
            raise SandboxFailure(f"The folders of {spec.name} cannot be prepared: {exc.strerror}.") from None

    def _begin(self, spec: Spec, *, caged: bool) -> dict[str, Any]:
        limits = spec.limits
        lowered = {"FSIZE": limits.disk, "CORE": 0, "NOFILE": 4096}
        if not caged:
            lowered |= {"NPROC": limits.processes, "DATA": limits.memory}
        return {
            "workdir": spec.workdir,
            "roots": [mount.inside for mount in spec.mounts if mount.inside != spec.workdir] + ["/tmp"],  # noqa: S108 - the box's own
            "read_only": [mount.inside for mount in spec.mounts if not mount.writable],
            "environment": environment(spec, None if spec.network.kind == "none" else PROXY, self._extra_path),
            "limits": {} if "limits" in self._without else lowered,
            "memory": 0 if caged or "limits" in self._without else limits.memory,
            "network": True,
        }

    def _start(self, spec: Spec, control: int, user: int) -> Started:
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, control)
            staged: dict[str, str] = {}

            def where(path: Path) -> str:
                if not self._root or "user" in self._without:
                    return str(path)
                if _open_to(path, user) and not path.is_relative_to(PLACE):  # what is below it, the stage hides
                    return str(path)
                staged.setdefault(f"{len(staged)}", str(path))
                return f"{PLACE}/{next(name for name, source in staged.items() if source == str(path))}"

            def passed(data: bytes) -> str:
                fd = os.memfd_create("rota")
                opened.callback(os.close, fd)
                os.write(fd, data)
                os.lseek(fd, 0, os.SEEK_SET)
                fds.append(fd)
                return str(FIRST + len(fds) - 1)

            fds = [control]
            folder = self._python.folder
            made = recipe(
                spec,
                where=where,
                python=() if folder is None else (str(folder),),
                code=self._code,
                without=self._without,
            )
            words = list(made.words)
            for path, data in made.data:
                words += ["--perms", "0444", "--file", passed(data), path]
            words += ending(self._without)
            if "seccomp" not in self._without:
                words += ["--seccomp", passed(seccomp.program())]
            words += ["--chdir", spec.workdir]
            host = [self._python.path, "-I", "-S", "-B", "-c", _HOST, str(FIRST)]
            program = self._bubblewrap(where, staged)
            command = [program, "--args", passed("".join(f"{word}\0" for word in words).encode()), "--", *host]
            drop = user if self._root and "user" not in self._without else None
            return self._starter.start(Order(command=command, user=drop, folders=staged), fds)

    def _bubblewrap(self, where: Callable[[Path], str], staged: dict[str, str]) -> str:
        """The program's path for who starts it. It finds its library by where it is itself."""
        place = where(self._program.path)
        if place == str(self._program.path):
            return place
        staged.popitem()
        for folder in self._program.beside:
            staged[folder.name] = str(folder)
        if not self._program.beside:
            staged[self._program.path.name] = str(self._program.path)
            return f"{PLACE}/{self._program.path.name}"
        return f"{PLACE}/{self._program.path.relative_to(self._program.beside[0].parent)}"

    async def _ended(self, process: Started, cage: Cage | None) -> str:
        """Wait until the box's processes are gone, with force if need be: what bubblewrap had to say."""

        def wait() -> str:
            ended = process.ends(END_SECONDS)
            self._starter.end(process)
            if not ended:
                process.ends(END_SECONDS)
            if cage is not None:
                cage.open()
            return process.last_words().removeprefix("bwrap: ")[-2000:]

        return await asyncio.shield(asyncio.to_thread(wait))


def _open_to(path: Path, user: int) -> bool:
    """Whether a user without any group may reach a path and look into it."""
    try:
        for each in (path, *path.parents):
            found = each.stat()
            mode = found.st_mode >> 6 if found.st_uid == user else found.st_mode
            needed = 0o1 if each is not path else 0o5 if stat.S_ISDIR(found.st_mode) else 0o4
            if mode & needed != needed:
                return False
    except OSError:
        return False
    return True
