"""The official client at several versions, each in an environment of its own, made on first use and kept.

Promises: the environments need nothing but Python and pip, whose own configuration holds; two test processes do not make
the same one at once; what cannot be made fails loudly, with pip's words.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from tests.cli.process import environment

VERSIONS = ("0.121.0", "1.17.0", "2.12.0")
"""The oldest client that knows deployments as we serve them, the last one with a key header, and the newest."""

_HERE = Path(__file__).parent
FOLDER = _HERE.parents[1] / ".venv-sdk"
_SECONDS = 600


def run(version: str, script: str, given: Any) -> Any:
    """What a script of this folder prints as JSON, run under a version of the client with ``given`` as JSON on stdin."""
    done = subprocess.run(
        [str(interpreter(version)), "-E", "-s", str(_HERE / script)],
        env=environment(NO_PROXY="*", no_proxy="*", PYTHONDONTWRITEBYTECODE="1"),
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{script} under anthropic {version} failed:\n{done.stdout[-2000:]}\n{done.stderr}"
    return json.loads(done.stdout)


def interpreter(version: str) -> Path:
    """A Python that has this version of the client and nothing of ours: the running one, if it fits, or one made for it."""
    if installed_version("anthropic") == version:
        return Path(sys.executable)
    return made(version, f"anthropic=={version}") / "bin" / "python"


def made(name: str, *requirements: str, finish: Callable[[Path], None] | None = None) -> Path:
    """The environment of this name with these requirements: kept from last time, if it fits, or made now.

    ``finish`` is called with the folder of a new one and may put more into it.
    """
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    place = FOLDER / name
    python = place / "bin" / "python"
    ready = place / "ready"
    wanted = "\n".join((sys.version, *requirements))
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (ready.exists() and ready.read_text() == wanted and python.exists()):
            shutil.rmtree(place, ignore_errors=True)
            _make(place, python, requirements)
            if finish is not None:
                finish(place)
            ready.write_text(wanted)
    return place


def pip(python: Path, action: str, *arguments: str, said: Sequence[str] = ()) -> None:
    """Run a pip command for an environment, with whichever pip can; fails with ``said`` and the words of all of them."""
    words = list(said)
    if not any(_try([*command, *arguments], words) for command in _pips(python, action)):
        raise AssertionError(f"pip {action} {' '.join(arguments)} failed:\n" + "\n".join(words))


def _make(place: Path, python: Path, requirements: Sequence[str]) -> None:
    said: list[str] = []
    if not _try([sys.executable, "-m", "venv", str(place)], said):  # Debian keeps ensurepip in a package of its own
        shutil.rmtree(place, ignore_errors=True)
        _try([sys.executable, "-m", "venv", "--without-pip", str(place)], said)
    pip(python, "install", *requirements, said=said)


def _pips(python: Path, action: str) -> Iterator[list[str]]:
    quiet = [action, "--quiet", "--disable-pip-version-check"]
    yield [str(python), "-m", "pip", *quiet]
    for other in dict.fromkeys((sys.executable, getattr(sys, "_base_executable", sys.executable), "python3")):
        yield [other, "-m", "pip", "--python", str(python), *quiet]
    if action == "install" and (uv := shutil.which("uv")):
        yield [uv, "pip", "install", "--quiet", "--python", str(python)]


def _try(command: list[str], said: list[str]) -> bool:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        said.append(f"{' '.join(command)}: {exc}")
        return False
    if done.returncode:
        said.append(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.returncode == 0
