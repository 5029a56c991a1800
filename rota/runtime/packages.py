"""The packages of environments: installed once for each list, in a box of their own, and mounted read-only in sessions.

Promises: what packages bring along runs inside a box whose network leads to the registries and nowhere else, and can alter nothing
but the new folder; of any number of sessions and servers on this machine that want the same list, one installs it; an
installation that fails is tried again by whoever comes next, but not before a pause that grows. A list is its packages and where
they come from: after a change of either, a new folder. Python's come by ``pip install --target``, those of Node.js by ``npm
install --prefix``, with the programs of the machine.
"""

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from rota.base import log
from rota.base.clock import SECOND
from rota.base.wire import encode
from rota.resources.environments.wire import Packages
from rota.runtime.reach import Registries
from rota.runtime.sandbox import Box, Limits, Mount, Sandbox, SandboxFailure, Spec
from rota.runtime.shelf import Held, Shelf

INSIDE: Final = "/opt/packages"
"""Where the folder is mounted, when it is made and when it is used: some packages remember."""
_FORMAT = 1
_SECONDS = 1800.0
_SHORTEST, _LONGEST = 30 * SECOND, 3600 * SECOND
_BEGIN = 'umask 022; exec "$@"'
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHOWN = 2000
_logger = log.get("packages")


class CannotInstall(Exception):
    """The packages are not there. The message is for whoever wrote the list, and for the model."""


class Failure(Struct, frozen=True):
    """An installation that failed: when (microseconds UTC), the how manieth, and why."""

    at: int
    times: int
    message: str


_to_failure: Final = msgspec.json.Decoder(Failure).decode


class Layers:
    """Installed lists, below ``root``."""

    def __init__(self, root: Path, sandbox: Sandbox, registries: Registries, limits: Limits) -> None:
        self._root = root
        self._sandbox = sandbox
        self._registries = registries
        self._limits = limits
        self.shelf = Shelf(root)

    async def take(self, packages: Packages, now: Callable[[], Awaitable[int]]) -> Held | None:
        """The folder of a list, to be released when it is mounted no more; None for an empty list. CannotInstall."""
        if not packages.any():
            return None
        name = self._name(packages)
        at = await now()

        async def make(folder: Path) -> None:
            self._check_pause(name, at)
            _logger.info("packages are being installed", layer=name, pip=packages.pip, npm=packages.npm)
            try:
                await self._install(name, packages, folder)
            except CannotInstall as exc:
                self._note_failure(name, str(exc), await now())
                raise
            self._forget_failure(name)

        return await self.shelf.take(name, at, make)

    def seen_at(self, folder: Path) -> str:
        """Under which path programs find a folder of packages: a driver that cannot mount puts real paths into commands only."""
        return str(folder) if self._sandbox.name == "unsafe-local" else INSIDE

    def clear(self, before: int) -> int:
        """Remove lists that nobody has used since ``before`` (microseconds UTC); how many. Blocks."""
        for path in self._root.glob("*.failed"):
            failed = self._failure(path.stem)
            if failed is None or failed.at < before:
                path.unlink(missing_ok=True)
        return self.shelf.clear(before)

    def _name(self, packages: Packages) -> str:
        python = Path("/usr/bin/python3").resolve().name  # what is compiled for one version is of no use to the next
        parts = [_FORMAT, python, packages.pip, packages.npm, self._registries.variables]
        return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()

    async def _install(self, name: str, packages: Packages, folder: Path) -> None:
        spec = Spec(
            name=f"packages-{name}",
            mounts=(Mount(folder, INSIDE, writable=True),),
            network=self._registries.network,
            limits=self._limits,
            environment={
                **self._registries.variables,
                "PATH": _PATH,
                # Beside the result and counted with it: what is unpacked may be larger than the memory that /tmp is in.
                "TMPDIR": f"{self.seen_at(folder)}/.making",
                "NPM_CONFIG_CACHE": f"{self.seen_at(folder)}/.making/npm",
                "NPM_CONFIG_UPDATE_NOTIFIER": "false",
                "PIP_NO_CACHE_DIR": "1",
                "PIP_NO_INPUT": "1",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            workdir=INSIDE,
        )
        try:
            box = await self._sandbox.open(spec)
        except SandboxFailure as exc:
            raise CannotInstall(f"The environment's packages cannot be installed: {exc}") from exc
        try:
            await _run(box, ["mkdir", "-p", f"{INSIDE}/.making"], "make a folder")
            if packages.pip:
                await _need(box, ["python3", "-m", "pip", "--version"], "pip", "Python with pip (Debian: python3-pip)")
                target = ["--target", f"{INSIDE}/python", "--progress-bar", "off", "--no-warn-script-location"]
                await _run(box, ["python3", "-m", "pip", "install", *target, "--", *packages.pip], "install with pip")
            if packages.npm:
                await _need(box, ["npm", "--version"], "npm", "Node.js with npm")
                options = ["--prefix", f"{INSIDE}/node", "--no-audit", "--no-fund", "--no-package-lock"]
                await _run(box, ["mkdir", "-p", f"{INSIDE}/node"], "make a folder")
                await _run(box, ["npm", "install", *options, "--", *packages.npm], "install with npm")
            await _run(box, ["rm", "-rf", f"{INSIDE}/.making"], "tidy up")
            # Boxes of other users read it, whatever modes the packages came with.
            await _run(box, ["chmod", "-R", "u+rwX,a+rX", INSIDE], "open it to others")
        except SandboxFailure as exc:
            raise CannotInstall(f"The environment's packages could not be installed: {exc}") from exc
        finally:
            await box.close()

    # Failures

    def _check_pause(self, name: str, now: int) -> None:
        """CannotInstall, in the words of the last time, if it was a short while ago."""
        failed = self._failure(name)
        if failed is None:
            return
        pause = min(_SHORTEST << min(failed.times - 1, 10), _LONGEST)
        if failed.at <= now < failed.at + pause:
            left = -(-(failed.at + pause - now) // SECOND)
            raise CannotInstall(f"{failed.message} It is tried again in {left} seconds at the earliest.")

    def _note_failure(self, name: str, message: str, now: int) -> None:
        before = self._failure(name)
        times = 1 + (before.times if before is not None else 0)
        _logger.warning("packages cannot be installed", layer=name, times=times, reason=message)
        path = self._root / f"{name}.failed"
        part = path.with_suffix(f".{os.urandom(4).hex()}")
        part.write_bytes(encode(Failure(now, times, message)))
        part.replace(path)

    def _failure(self, name: str) -> Failure | None:
        try:
            return _to_failure((self._root / f"{name}.failed").read_bytes())
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def _forget_failure(self, name: str) -> None:
        (self._root / f"{name}.failed").unlink(missing_ok=True)


def variables(packages: Packages, at: str = INSIDE) -> dict[str, str]:
    """What makes Python, Node.js and the shell find what is mounted."""
    found: dict[str, str] = {}
    folders: list[str] = []
    if packages.pip:
        found["PYTHONPATH"] = f"{at}/python"
        folders.append(f"{at}/python/bin")
    if packages.npm:
        found["NODE_PATH"] = f"{at}/node/node_modules"
        folders.append(f"{at}/node/node_modules/.bin")
    if folders:
        found["PATH"] = ":".join([*folders, "/home/agent/.local/bin", _PATH])
    return found


async def _need(box: Box, command: Sequence[str], name: str, what: str) -> None:
    code, _ = await box.run(list(command), seconds=60)
    if code:
        raise CannotInstall(
            f"The environment's {name} packages cannot be installed: the server's machine has no {name}. Its operator can "
            f"install {what}."
        )


async def _run(box: Box, command: Sequence[str], what: str) -> None:
    code, said = await box.run(["/bin/sh", "-c", _BEGIN, "sh", *command], seconds=_SECONDS)
    if code:
        raise CannotInstall(
            f"The environment's packages could not be installed: to {what} failed with code {code}: {said.strip()[-_SHOWN:]}"
        )
