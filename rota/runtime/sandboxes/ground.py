"""Users and folders of boxes, where the server is root: each session's files belong to a user of its own.

The user of a session is the owner of its first writable folder, so that it stays the same from box to box without being written
down; a folder that belongs to nobody of the range is given a user that no open box has. Promises: whoever changes owners or
adds up sizes goes from descriptor to descriptor and through no link, whatever the box does to the folders meanwhile.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from rota.base.errors import Unusable
from rota.runtime.sandbox import Mount, SandboxFailure

WIDE = range(1_900_000_000, 1_900_065_536)
NARROW = range(50_000, 60_000)
"""Where the numbers of users end early, as in containers."""


def uids(setting: str | None) -> range:
    """The users that boxes may have, from a setting such as ``50000-59999``. Unusable."""
    if setting is None:
        return WIDE if _mapped(WIDE) else NARROW
    first, _, last = setting.partition("-")
    if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        raise Unusable(f"ROTA_SANDBOX_UIDS: {setting!r} is not of the form 50000-59999")
    found = range(int(first), int(last) + 1)
    if len(found) < 1 or found[0] < 1000 or found[-1] >= 2**32 - 2:
        raise Unusable(f"ROTA_SANDBOX_UIDS: {setting!r} is empty, or holds users below 1000")
    return found


def _mapped(users: range) -> bool:
    try:
        lines = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except OSError:
        return True
    return any(int(line[0]) <= users[0] and users[-1] < int(line[0]) + int(line[2]) for line in lines)


def user(name: str, home: Path, users: range, taken: Sequence[int]) -> int:
    """The user of a session."""
    owner = home.lstat().st_uid
    if owner in users:
        return owner
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % len(users)
    for step in range(min(len(users), len(taken) + 1)):
        found = users[(start + step) % len(users)]
        if found not in taken:
            return found
    raise SandboxFailure("Every user of ROTA_SANDBOX_UIDS has a box already; make the range larger.")


def give(folder: Path, owner: int) -> None:
    """Make a folder and all in it belong to a user."""
    root = os.open(folder, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(root).st_uid != owner:
            os.chown(f"/proc/self/fd/{root}", owner, owner)
        if stat.S_ISDIR(os.fstat(root).st_mode):
            for at, entry, found in entries(folder):
                if found.st_uid != owner:
                    # A file that has a second name may be somebody else's, brought here by it.
                    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                        continue
                    os.chown(entry, owner, owner, dir_fd=at, follow_symlinks=False)
    finally:
        os.close(root)


def entries(folder: Path) -> Iterator[tuple[int, str, os.stat_result]]:
    """Everything below a folder, however deep: the open folder that it is in, its name there, what it is."""
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        trail = waiting.pop()
        at = _descend(folder, trail)
        if at is not None:
            yield from _below(at, trail, 0, waiting)


def _descend(folder: Path, trail: tuple[str, ...]) -> int | None:
    try:
        at = os.open(folder, _FOLDER)
        for name in trail:
            above = at
            try:
                at = os.open(name, _FOLDER, dir_fd=above)
            finally:
                os.close(above)
    except OSError:
        return None
    return at


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEEPEST = 100
"""Folders that are held open at a time; what is deeper is come back to."""


def _below(
    at: int, trail: tuple[str, ...], depth: int, waiting: list[tuple[str, ...]]
) -> Iterator[tuple[int, str, os.stat_result]]:
    try:
        with os.scandir(at) as listing:
            names = [entry.name for entry in listing]
        for name in names:
            try:
                found = os.stat(name, dir_fd=at, follow_symlinks=False)
                yield at, name, found
                if not stat.S_ISDIR(found.st_mode):
                    continue
                if depth == DEEPEST:
                    waiting.append((*trail, name))
                else:
                    yield from _below(os.open(name, _FOLDER, dir_fd=at), (*trail, name), depth + 1, waiting)
            except OSError:
                continue  # gone, or changed into something else
    except OSError:
        pass  # not to be looked into, even by its owner
    finally:
        os.close(at)


def size(mounts: Sequence[Mount]) -> int:
    """Bytes on the disk of what the writable mounts hold; a file with several names counts once."""
    total, seen = 0, set[tuple[int, int]]()
    for mount in mounts:
        if not mount.writable:
            continue
        for _, _, found in entries(mount.outside):
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                if (found.st_dev, found.st_ino) in seen:
                    continue
                seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
    return total


def clear_the_way(mounts: Sequence[Mount]) -> None:
    """Where a mount lies inside a writable one, see to it that no link of the agent's making is on the way to it."""
    for inner in mounts:
        for outer in mounts:
            if outer is inner or not outer.writable or not inner.inside.startswith(outer.inside.rstrip("/") + "/"):
                continue
            at = os.open(outer.outside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for part in inner.inside[len(outer.inside) :].strip("/").split("/"):
                    try:
                        found = os.stat(part, dir_fd=at, follow_symlinks=False)
                        if stat.S_ISLNK(found.st_mode):
                            os.unlink(part, dir_fd=at)
                            break
                        if not stat.S_ISDIR(found.st_mode):
                            break
                        below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                    except OSError:
                        break
                    os.close(at)
                    at = below
            finally:
                os.close(at)
