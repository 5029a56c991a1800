"""Boxes on Linux: namespaces, a filter of system calls and limits, made by bubblewrap without any privilege.

Where the server is root, bubblewrap is not (``stage`` says why), and each session has a user of its own. Opening a box takes some
tens of milliseconds, most of them for the tool host's Python.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from rota.runtime.sandbox import SandboxFailure, Spec
from rota.runtime.sandboxes import binary, ground, seccomp
from rota.runtime.sandboxes.box import HostedBox
from rota.runtime.sandboxes.link import Link
from rota.runtime.sandboxes.recipe import CODE, ending, environment, recipe

START_SECONDS: Final = 20.0
END_SECONDS: Final = 5.0
STAGE: Final = "/tmp"  # noqa: S108 - a mount of its own, in a namespace of its own
MODULE: Final = "rota.runtime.sandboxes.inside"


class Bubblewrap:
    """See ``sandbox.Sandbox``."""

    name = "bubblewrap"

    def __init__(self, *, users: range, without: frozenset[str] = frozenset()) -> None:
        self._program = binary.find()
        self._python = binary.interpreter()
        self._users = users
        self._without = without
        self._root = os.geteuid() == 0
        self._open: dict[HostedBox, int] = {}
        # A box dies with the thread that started it, so that thread has to live as long as the driver.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox")

    async def check(self) -> str | None:
        """See ``sandbox.Sandbox``."""
        return None

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
        try:
            loop = asyncio.get_running_loop()
            process = await loop.run_in_executor(self._starter, self._start, spec, link, user)
        except BaseException:
            link.close()
            raise
        try:
            async with asyncio.timeout(START_SECONDS):
                await link.begin(self._begin(spec))
        except (SandboxFailure, TimeoutError, asyncio.CancelledError) as exc:
            link.close()
            said = await self._ended(process)
            if isinstance(exc, asyncio.CancelledError):
                raise
            raise SandboxFailure(f"No sandbox can be made: {binary.why_not(said) or exc}.") from None

        async def end() -> None:
            self._open.pop(box, None)
            await self._ended(process)

        box = HostedBox(spec, link, end)
        self._open[box] = user
        return box

    async def close(self) -> None:
        """See ``sandbox.Sandbox``."""
        for box in list(self._open):
            await box.close()
        self._starter.shutdown(wait=False)

    @cached_property
    def _code(self) -> dict[str, bytes]:
        return {f"{MODULE.replace('.', '/')}/{name}": data for name, data in binary.compiled(self._python).items()}

    def _prepare(self, spec: Spec, user: int) -> None:
        try:
            ground.clear_the_way(spec.mounts)
            if self._root:
                for mount in spec.mounts:
                    if mount.writable:
                        ground.give(mount.outside, user)
        except OSError as exc:
            raise SandboxFailure(f"The folders of {spec.name} cannot be prepared: {exc.strerror}.") from None

    def _begin(self, spec: Spec) -> dict[str, Any]:
        limits = spec.limits
        return {
            "workdir": spec.workdir,
            "roots": [mount.inside for mount in spec.mounts if mount.inside != spec.workdir] + ["/tmp"],  # noqa: S108 - the box's own
            "read_only": [mount.inside for mount in spec.mounts if not mount.writable],
            "environment": environment(spec, None),
            "limits": {"NPROC": limits.processes, "FSIZE": limits.disk, "CORE": 0, "NOFILE": 4096},
            "network": False,
        }

    def _start(self, spec: Spec, link: Link, user: int) -> "subprocess.Popen[bytes]":
        with contextlib.ExitStack() as opened:
            staged: dict[str, str] = {}

            def where(path: Path) -> str:
                if not self._root or _open_to(path, user):
                    return str(path)
                staged.setdefault(f"{len(staged)}", str(path))
                return f"{STAGE}/{next(name for name, source in staged.items() if source == str(path))}"

            def passed(data: bytes) -> str:
                fd = os.memfd_create("rota")
                opened.callback(os.close, fd)
                os.write(fd, data)
                os.lseek(fd, 0, os.SEEK_SET)
                fds.append(fd)
                return str(fd)

            fds = [link.theirs.fileno()]
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
            words += [
                "--setenv",
                "PYTHONPATH",
                CODE,
                "--setenv",
                "PYTHONDONTWRITEBYTECODE",
                "1",
                "--chdir",
                spec.workdir,
            ]
            host = [self._python.path, "-s", "-S", "-m", f"{MODULE}.host", str(link.theirs.fileno())]
            program = self._bubblewrap(where, staged)
            command = [program, "--args", passed("".join(f"{word}\0" for word in words).encode()), "--", *host]
            if self._root:
                order = {"uid": user, "gid": user, "place": STAGE, "folders": staged, "command": command}
                stage = Path(__file__).with_name("stage.py")
                command = [sys.executable, "-I", "-S", str(stage), passed(json.dumps(order).encode())]
            return subprocess.Popen(  # noqa: S603 - the command is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=fds,
                env={},
                cwd="/",
            )

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
            return f"{STAGE}/{self._program.path.name}"
        return f"{STAGE}/{self._program.path.relative_to(self._program.beside[0].parent)}"

    async def _ended(self, process: "subprocess.Popen[bytes]") -> str:
        """Wait until the box's processes are gone, with force if need be: what bubblewrap had to say."""

        def wait() -> str:
            try:
                _, said = process.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                _, said = process.communicate()
            return said.decode(errors="replace").strip().removeprefix("bwrap: ")[-2000:]

        return await asyncio.shield(asyncio.to_thread(wait))


def _open_to(path: Path, user: int) -> bool:
    """Whether a user without any group may reach a path and look into it."""
    try:
        for each in (*path.parents, path):
            found = each.stat()
            mode = found.st_mode >> 6 if found.st_uid == user else found.st_mode
            needed = 0o1 if each != path else 0o5 if path.is_dir() else 0o4
            if mode & needed != needed:
                return False
    except OSError:
        return False
    return True
