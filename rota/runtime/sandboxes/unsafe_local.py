"""No isolation at all: the tool host as a process of the server's own user, over the folders as they are.

For machines where bubblewrap cannot work and where every agent, and everything that an agent may read, is trusted. Mounts cannot
be made here, so the paths of a box are put into the paths of this machine: in the paths that file tools are given, and in commands
where such a path stands by itself; in results the other way round. A program that has ``/workspace`` written in its own text will
not find it. There is no limit but on the size of a file, and no way out is watched.
"""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import rota
from rota.runtime.sandbox import Mount, Network, SandboxFailure, Spec
from rota.runtime.sandboxes.box import HostedBox
from rota.runtime.sandboxes.link import Link
from rota.runtime.tool import Outcome

_NAMES: Final = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER")
"""What commands see of the server's environment."""
_PATHS: Final = ("file_path", "path")


class Translated:
    """A box whose paths are those of the spec, over one whose paths are this machine's."""

    def __init__(self, box: HostedBox, mounts: Sequence[Mount]) -> None:
        self._box = box
        self._mounts = sorted(mounts, key=lambda mount: -len(mount.inside))
        names = "|".join(re.escape(mount.inside.rstrip("/")) for mount in self._mounts)
        self._inside = re.compile(rf"(?<![\w./~-])({names})(?=[/\s\"'`;:,)|&<>]|$)")

    @property
    def ended(self) -> bool:
        """See ``sandbox.Box``."""
        return self._box.ended

    async def call(self, tool: str, input: dict[str, Any], *, seconds: float = 150.0) -> Outcome:
        """See ``sandbox.Box``."""
        given = dict(input)
        for name in ("command", *_PATHS):
            if isinstance(given.get(name), str):
                given[name] = self.outside(given[name])
        done = await self._box.call(tool, given, seconds=seconds)
        return Outcome([self._shown(block) for block in done.content], done.is_error)

    async def run(self, command: list[str], *, seconds: float, network: Network | None = None) -> tuple[int, str]:
        """See ``sandbox.Box``."""
        del network  # nothing holds it back
        code, said = await self._box.run([self.outside(word) for word in command], seconds=seconds)
        return code, self.inside(said)

    async def close(self) -> None:
        """See ``sandbox.Box``."""
        await self._box.close()

    def outside(self, text: str) -> str:
        """A text with this machine's paths in place of the box's."""
        folders = {mount.inside.rstrip("/"): str(mount.outside) for mount in self._mounts}
        return self._inside.sub(lambda match: folders[match[1]], text)

    def inside(self, text: str) -> str:
        """A text with the box's paths in place of this machine's."""
        for mount in self._mounts:
            text = text.replace(str(mount.outside), mount.inside.rstrip("/"))
        return text

    def _shown(self, block: dict[str, Any]) -> dict[str, Any]:
        return block | {"text": self.inside(block["text"])} if block["type"] == "text" else block


class UnsafeLocal:
    """See ``sandbox.Sandbox``."""

    name = "unsafe-local"
    WARNING = (
        "Tools run WITHOUT any isolation (--sandbox unsafe-local): a model's commands may do whatever this server's user may, read its "
        "database and its keys, and reach every network that it reaches. Only for agents and input that you trust altogether."
    )

    def __init__(self) -> None:
        self._open: set[Translated] = set()
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox")

    async def check(self) -> str | None:
        """Nothing is promised, so nothing can be broken; a shell has to be there."""
        return None if os.access("/bin/bash", os.X_OK) else "There is no /bin/bash, which the tools need."

    def describe(self) -> str:
        """See ``sandbox.Sandbox``."""
        return "unsafe-local: no isolation"

    async def open(self, spec: Spec) -> Translated:
        """See ``sandbox.Sandbox``."""
        mounts = [Mount(mount.outside.resolve(), mount.inside, mount.writable) for mount in spec.mounts]
        real = {mount.inside: str(mount.outside) for mount in mounts}
        if spec.workdir not in real:
            raise SandboxFailure(f"No sandbox can be made: nothing is mounted at {spec.workdir}, where a shell begins.")
        link = Link()
        process = await asyncio.get_running_loop().run_in_executor(self._starter, _start, link)
        environment = {name: os.environ[name] for name in _NAMES if name in os.environ}
        try:
            async with asyncio.timeout(20):
                await link.begin({
                    "workdir": real[spec.workdir],
                    "roots": [str(mount.outside) for mount in mounts if mount.inside != spec.workdir],
                    "read_only": [str(mount.outside) for mount in mounts if not mount.writable],
                    "environment": environment | spec.environment,
                    "limits": {"FSIZE": spec.limits.disk, "CORE": 0},
                    "memory": 0,
                    "network": False,
                })  # fmt: skip
        except (SandboxFailure, TimeoutError) as exc:
            link.close()
            said = await asyncio.to_thread(_end, process)
            raise SandboxFailure(f"The tool host cannot be started: {said or exc}.") from None

        async def end() -> None:
            self._open.discard(box)
            await asyncio.to_thread(_end, process)

        box = Translated(HostedBox(spec, link, end), mounts)
        self._open.add(box)
        return box

    async def close(self) -> None:
        """See ``sandbox.Sandbox``."""
        for box in list(self._open):
            await box.close()
        self._starter.shutdown(wait=False)


def _start(link: Link) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - the command is ours
        [sys.executable, "-s", "-S", "-m", "rota.runtime.sandboxes.inside.host", str(link.theirs.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[link.theirs.fileno()],
        env={"PYTHONPATH": str(Path(rota.__path__[0]).parent)},
        start_new_session=True,
    )


def _end(process: "subprocess.Popen[bytes]") -> str:
    try:
        said = process.communicate(timeout=5)[1]
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        said = process.communicate()[1]
    return said.decode(errors="replace").strip()[-2000:]
