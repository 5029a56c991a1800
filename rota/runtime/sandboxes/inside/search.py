"""The two tools that search. Each call has a process of its own, since a pattern can be such that it never comes to an end.

What is imported here takes 30 ms to load, so the host loads it at the first search, and its children then have it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from itertools import islice
from pathlib import Path

from rota.runtime.sandboxes.inside.paths import Failed, real_path, under

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

GREP_LIMIT = 100 * 1024
GREP_LINE = 2000
GREP_SECONDS = 30
GLOB_SHOWN = 200
WALK_LIMIT = 50_000


def glob(root: str, pattern: str) -> str:
    """Paths that match, newest first."""
    try:
        found = list(islice(Path(root).glob(pattern), WALK_LIMIT))
    except (ValueError, OSError) as exc:
        raise Failed(f"glob: {exc}") from None
    # A link in the middle of a pattern leads on; what it leads to belongs to the search only if it is inside.
    inside = [path for path in found if _leads_into(str(path), root)]
    inside.sort(key=_modified, reverse=True)
    return "\n".join(map(str, inside[:GLOB_SHOWN])) if inside else "no matches"


def ripgrep(place: str, pattern: str, program: str, environment: dict[str, str]) -> str:
    """Lines that match, as ripgrep finds them."""
    command = [program, "--no-config", "-n", "--no-heading", "-e", pattern, "--", place]
    done = subprocess.run(command, capture_output=True, check=False, env=environment)  # noqa: S603 - no shell
    if done.returncode == 1:
        return "no matches"
    if done.returncode != 0:
        raise Failed(f"grep: rg failed: {done.stderr.decode(errors='replace')}")
    out = done.stdout.decode(errors="replace")
    return out if len(out) <= GREP_LIMIT else out[:GREP_LIMIT] + f"\n[output truncated at {GREP_LIMIT} bytes]"


def own_search(place: str, pattern: str) -> str:
    """Lines that match, as ``path:line:text``, where there is no ripgrep."""
    try:
        expression = re.compile(pattern)
    except re.error as exc:
        raise Failed(f"grep: invalid regex: {exc}") from None
    _limit_processor_time()
    found: list[str] = []
    room = GREP_LIMIT

    def scan(path: str) -> bool:
        """Take a file's lines that match; False when there is no more room."""
        nonlocal room
        try:
            with open(path, "rb") as file:
                if b"\0" in file.read(512):
                    return True
                file.seek(0)
                for number, raw in enumerate(file, 1):
                    if len(raw) > GREP_LINE:
                        continue
                    line = raw.decode(errors="replace").rstrip("\r\n")
                    if not expression.search(line):
                        continue
                    hit = f"{path}:{number}:{line}"
                    room -= len(hit) + 1
                    if room < 0:
                        found.append(f"[output truncated at {GREP_LIMIT} bytes]")
                        return False
                    found.append(hit)
        except OSError:
            pass
        return True

    if os.path.isfile(place):
        scan(place)
    else:
        _walk(place, scan)
    return "\n".join(found) if found else "no matches"


def _walk(place: str, scan: Callable[[str], bool]) -> None:
    """Show every regular file below to ``scan``, until it says False. No link is followed."""
    seen = 0
    for folder, folders, names in os.walk(place):
        folders[:] = [
            name
            for name in folders
            if name not in (".git", "node_modules") and not os.path.islink(os.path.join(folder, name))
        ]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            seen += 1
            if seen > WALK_LIMIT or not scan(path):
                return


def _limit_processor_time() -> None:
    """An expression may need for ever: after so much processor time the search ends."""

    def expire(*_: Any) -> None:
        raise Failed(f"grep: timed out after {GREP_SECONDS}s")

    signal.signal(signal.SIGVTALRM, expire)
    signal.setitimer(signal.ITIMER_VIRTUAL, GREP_SECONDS)


def _leads_into(path: str, root: str) -> bool:
    try:
        return under(real_path(path), root)
    except OSError:
        return False


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
