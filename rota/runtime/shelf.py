"""Folders that are made once and used by many sessions: unpacked skills, installed packages.

Promises: of any number of processes that want the same thing, one makes it while the others wait; it has its name only when it is
whole, whatever is killed meanwhile; nothing is removed that a box anywhere on this machine uses. Use is told by a lock on a file
beside the folder, which goes with whoever holds it. What has not been used for a while goes.
"""

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from rota.runtime.removal import remove

_LOCK = ".lock"
_MAKING = ".making"
_BEAT = 0.2
"""Seconds between two looks at a lock that somebody else has."""


class Held:
    """A thing on a shelf that stays there until it is released."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def release(self) -> None:
        """No longer needed; again is nothing."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Shelf:
    """One kind of thing, below ``root``. Names are of our own making and no hidden ones."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def take(self, name: str, now: int, make: Callable[[Path], Awaitable[None]]) -> Held:
        """The thing, made by ``make`` in an empty folder if it is not there. ``now`` is in microseconds UTC.

        Whatever ``make`` raises is raised here, and nothing is kept of what it began.
        """
        path = self._root / name
        while True:
            lock = await asyncio.to_thread(self._open, name)
            try:
                await _locked(lock, fcntl.LOCK_SH)
                if self._is(name, lock):
                    if not path.is_dir():
                        await _locked(lock, fcntl.LOCK_EX)
                        if self._is(name, lock) and not path.is_dir():
                            await self._make(name, make)
                        await _locked(lock, fcntl.LOCK_SH)
                    if self._is(name, lock) and path.is_dir():
                        os.utime(lock, ns=(now * 1000, now * 1000))
                        return Held(path, lock)
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)  # somebody tidied it away in between

    def clear(self, before: int) -> int:
        """Remove what nobody uses and nobody has taken since ``before`` (microseconds UTC); how many things. Blocks."""
        removed = 0
        for path in sorted(self._root.glob(f"*{_LOCK}")):
            name = path.name.removesuffix(_LOCK)
            try:
                lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is(name, lock) and os.fstat(lock).st_mtime_ns // 1000 < before:
                    removed += (self._root / name).is_dir()
                    self._drop(name)
                    path.unlink()
            except BlockingIOError:
                pass
            finally:
                os.close(lock)
        return removed

    async def _make(self, name: str, make: Callable[[Path], Awaitable[None]]) -> None:
        making = self._root / (name + _MAKING)
        await asyncio.to_thread(remove, making)
        making.mkdir(mode=0o755)
        making.chmod(0o755)  # whatever the umask is: boxes of other users read it
        try:
            await make(making)
            making.rename(self._root / name)
        except BaseException:
            with suppress(OSError):
                await asyncio.shield(asyncio.to_thread(remove, making))
            raise

    def _drop(self, name: str) -> None:
        """Under the lock: remove a thing, and what was begun of it."""
        gone = self._root / f".gone-{os.urandom(6).hex()}"
        with suppress(FileNotFoundError):
            (self._root / name).rename(gone)
            remove(gone)
        remove(self._root / (name + _MAKING))

    def _open(self, name: str) -> int:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(self._root / (name + _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _is(self, name: str, lock: int) -> bool:
        """Whether an open lock still is the one that others would open."""
        try:
            return os.path.samestat((self._root / (name + _LOCK)).stat(), os.fstat(lock))
        except FileNotFoundError:
            return False


async def _locked(lock: int, kind: int) -> None:
    """Lock, waiting without holding up a thread that could not be told to stop."""
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_BEAT)
        else:
            return
