"""The files that users have given a session, in its uploads folder.

Promises: the bytes of a file come to this machine once, a piece at a time, however many sessions have it; each session sees them at
its own paths by a hard link. A box cannot alter them, because the folder is mounted read-only and the files belong to the
server. A file that is added is there before the next call of a tool, and one that is removed is not. What no session has any
more is removed after a while.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from rota.base import log
from rota.base.clock import SECOND
from rota.base.errors import DiskFull, Fault
from rota.resources.sessions.belongings import Staged
from rota.resources.sessions.mounts import UPLOADS
from rota.runtime.folders import Place
from rota.store.blob import Blobs

_KEPT = 3600 * SECOND
_PIECE = 1 << 20
_PART = ".part"
_logger = log.get("staging")


class Uploads:
    """Bytes that are here, below ``root``, and the links to them."""

    def __init__(self, root: Path, blobs: Blobs) -> None:
        self._root = root
        self._blobs = blobs
        self._coming: dict[str, asyncio.Lock] = {}

    async def arrange(self, place: Place, wanted: Sequence[Staged], now: int) -> list[str]:
        """Make the uploads folder hold just these files; what could not be put there, a sentence each.

        ``now`` is in microseconds UTC.
        """
        links: dict[str, Path] = {}
        troubles: list[str] = []
        for each in wanted:
            try:
                links[each.mount_path.removeprefix(UPLOADS).lstrip("/")] = await self._bring(each, now)
            except Fault as fault:
                _logger.warning("a file cannot be fetched", location=each.location, reason=str(fault))
                why = "the server's disk is full" if isinstance(fault, DiskFull) else "its bytes cannot be reached"
                troubles.append(f"{each.mount_path} is not there at the moment: {why}.")
        return troubles + await asyncio.to_thread(_arrange, place.uploads, links)

    async def _bring(self, wanted: Staged, now: int) -> Path:
        """A file's bytes on this machine. Fault."""
        path = self._root / blake2b(wanted.location.encode(), digest_size=20).hexdigest()
        lock = self._coming.setdefault(path.name, asyncio.Lock())
        try:
            async with lock:
                if not await asyncio.to_thread(_touch, path, now):
                    await self._fetch(wanted, path, now)
        finally:
            if not lock.locked():
                self._coming.pop(path.name, None)
        return path

    async def _fetch(self, wanted: Staged, path: Path, now: int) -> None:
        part = path.with_name(f"{path.name}.{os.urandom(6).hex()}{_PART}")
        try:
            file = await asyncio.to_thread(_begin, part)
            size = 0
            try:
                async for piece in self._blobs.read(wanted.location):
                    size += len(piece)
                    await asyncio.to_thread(_write, file, piece)
                if size != wanted.size:
                    raise Fault(f"{wanted.location} has {size} bytes instead of {wanted.size}")
                await asyncio.to_thread(_finish, file, part, path, now)
            finally:
                os.close(file)
        except OSError as exc:
            raise DiskFull(f"staging: {exc}") from exc
        finally:
            part.unlink(missing_ok=True)

    def clear(self, now: int) -> int:
        """Remove what no session has and nobody has asked for in the last hour; how many files. Blocks."""
        removed = 0
        if not self._root.is_dir():
            return 0
        for entry in list(os.scandir(self._root)):
            with suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                if found.st_nlink == 1 and found.st_mtime_ns // 1000 < now - _KEPT:
                    Path(entry.path).unlink()  # whoever is about to link it finds it gone, and fetches it again
                    removed += not entry.name.endswith(_PART)
        return removed


def _begin(part: Path) -> int:
    part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _write(file: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(file, view[:_PIECE]) :]


def _finish(file: int, part: Path, path: Path, now: int) -> None:
    os.fchmod(file, 0o444)
    os.fsync(file)
    os.utime(file, ns=(now * 1000, now * 1000))
    part.rename(path)


def _touch(path: Path, now: int) -> bool:
    """Whether the bytes are here; if so they are not cleared away soon."""
    try:
        os.utime(path, ns=(now * 1000, now * 1000))
    except FileNotFoundError:
        return False
    return True


def _arrange(root: Path, links: dict[str, Path]) -> list[str]:
    """Make the links, and remove all others."""
    inodes = {path: source.stat().st_ino for path, source in links.items()}
    here: set[str] = set()
    for folder, folders, files in os.walk(root, topdown=False):
        for name in files:
            path = Path(folder, name)
            inside = path.relative_to(root).as_posix()
            if inodes.get(inside) == path.lstat().st_ino:
                here.add(inside)
            else:
                path.unlink()
        for name in folders:
            with suppress(OSError):  # there is something in it
                Path(folder, name).rmdir()
    troubles: list[str] = []
    for inside in sorted(links.keys() - here):
        try:
            _link(links[inside], root, PurePosixPath(inside))
        except OSError as exc:
            troubles.append(f"{UPLOADS}/{inside} is not there: {exc.strerror}.")
    return troubles


def _link(source: Path, root: Path, inside: PurePosixPath) -> None:
    at = root
    for part in inside.parts[:-1]:
        at = at / part
        with suppress(FileExistsError):
            at.mkdir(mode=0o755)
            at.chmod(0o755)
    (at / inside.name).hardlink_to(source)
