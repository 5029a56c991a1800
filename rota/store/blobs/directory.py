"""Objects as files below one folder: ``<root>/<prefix>/<day>/<name>``.

Promises: an object's bytes, its name and the folders above it have been through fsync when ``finish`` returns; until then it
is called ``….part`` and held by a lock that dies with the process, which is how a dead writer is told from a slow one; files
are 0600 and folders 0700; the event loop never waits for the disk. Several servers may share the folder, if its file system
is shared.
"""

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import ParamSpec, TypeVar

from rota.base.clock import Clock
from rota.base.errors import DiskFull, Fault, Unavailable
from rota.store.blob import Written
from rota.store.blobs import location as names

P = ParamSpec("P")
R = TypeVar("R")

_THREADS = 8
_PIECE = 1 << 20
"""Bytes that travel to a thread, and to the disk, at a time."""
_PART = ".part"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DirectoryBlobs:
    """See ``store.blob.Blobs``."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs")

    @asynccontextmanager
    async def write(self, prefix: str) -> AsyncGenerator["_Writer"]:
        """See ``Blobs.write``."""
        writer = _Writer(self, prefix)
        try:
            yield writer
        finally:
            await writer.leave()

    async def read(self, location: str, *, start: int = 0) -> AsyncIterator[bytes]:
        """See ``Blobs.read``. The next piece is fetched while the caller is busy with the last."""
        file = await self.run(self._open, location, start)
        coming = self.run(file.read, _PIECE)
        try:
            while piece := await asyncio.shield(coming):
                coming = self.run(file.read, _PIECE)
                yield piece
        finally:
            coming.add_done_callback(lambda done: (done.exception(), file.close()))  # not while a thread reads from it

    async def remove(self, location: str) -> None:
        """See ``Blobs.remove``."""
        await self.run(lambda: self.path(location).unlink(missing_ok=True))

    async def orphans(self, prefix: str, *, older_than: int) -> AsyncIterator[str]:
        """See ``Blobs.orphans``."""
        last = names.day(older_than)
        for day in await self.run(_listed, self._root / prefix):
            if day > last:
                return
            folder = self._root / prefix / day
            for name in await self.run(_listed, folder):
                place = f"{prefix}/{day}/{name.removesuffix(_PART)}"
                if not names.is_location(place) or names.written_at(place) >= older_than:
                    continue
                if name.endswith(_PART):
                    await self.run(_clear, folder / name)
                else:
                    yield place
            if day < last:
                await self.run(_remove_if_empty, folder)

    async def close(self) -> None:
        """See ``Blobs.close``."""
        await asyncio.to_thread(self._pool.shutdown)

    # For the writer

    def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[R]":
        """Call ``fn`` in a thread; what the disk says is told as a Fault."""
        return asyncio.get_running_loop().run_in_executor(self._pool, lambda: _told(fn, *args, **kwargs))

    def path(self, location: str) -> Path:
        """Where an object is. Unavailable for what is no location of ours."""
        if not names.is_location(location):
            raise Unavailable(f"{location!r} is not the location of an object")
        return self._root / location

    def begin(self, prefix: str) -> tuple[int, str]:
        """A new file to write to, and what it will be called when it is whole."""
        while True:
            location = names.new(prefix, self._clock.now())
            part = self._part(location)
            _make_folders(part.parent)
            try:
                file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:  # somebody tidied the empty folder away in between
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file, location

    def settle(self, file: int, begun: str, prefix: str) -> str:
        """Make a written file durable under its final location, which says when that was."""
        os.fsync(file)
        location = names.new(prefix, self._clock.now())
        target = self._root / location
        while True:
            _make_folders(target.parent)
            try:
                self._part(begun).rename(target)
            except FileNotFoundError:
                if not self._part(begun).exists():
                    raise
                continue
            break
        _sync_folder(target.parent)
        return location

    def discard(self, file: int, begun: str) -> None:
        """Forget a file that was not finished."""
        self._part(begun).unlink(missing_ok=True)
        os.close(file)

    def _part(self, location: str) -> Path:
        return self._root / (location + _PART)

    def _open(self, location: str, start: int) -> FileIO:
        file = FileIO(self.path(location), "rb")
        file.seek(start)
        return file


class _Writer:
    """See ``store.blob.Writer``. While one piece goes to the disk in a thread, the next is collected here."""

    def __init__(self, place: DirectoryBlobs, prefix: str) -> None:
        self._place = place
        self._prefix = prefix
        self._file: int | None = None
        self._begun = ""
        self._location = ""
        self._digest = sha256()
        self._size = 0
        self._waiting: list[bytes] = []
        self._weight = 0
        self._under_way: asyncio.Future[None] | None = None
        """What a thread does with the file; nothing else touches it meanwhile, not even after a cancellation."""
        self._handed_over = False

    async def write(self, chunk: bytes) -> None:
        """See ``Writer.write``."""
        self._waiting.append(chunk)
        self._weight += len(chunk)
        if self._weight >= _PIECE:
            await self._push()

    async def finish(self) -> Written:
        """See ``Writer.finish``."""
        await self._push()
        await self._settled()
        self._under_way = self._place.run(self._settle)
        await self._settled()
        self._handed_over = True
        return Written(self._location, self._size, self._digest.hexdigest(), names.written_at(self._location))

    async def leave(self) -> None:
        """Let go of the file, and of its bytes unless somebody knows where they are."""
        with suppress(Fault):
            await self._settled()
        if not self._handed_over:
            self._under_way = self._place.run(self._forget)
            with suppress(Fault):
                await self._settled()

    async def _push(self) -> None:
        await self._settled()
        chunks, self._waiting, self._weight = self._waiting, [], 0
        self._under_way = self._place.run(self._put, chunks)

    async def _settled(self) -> None:
        if self._under_way is not None:
            await asyncio.shield(self._under_way)

    # In a thread

    def _put(self, chunks: list[bytes]) -> None:
        if self._file is None:
            self._file, self._begun = self._place.begin(self._prefix)
        for chunk in chunks:
            self._digest.update(chunk)
            self._size += len(chunk)
            _write(self._file, chunk)

    def _settle(self) -> None:
        assert self._file is not None
        self._location = self._place.settle(self._file, self._begun, self._prefix)
        os.close(self._file)
        self._file = None

    def _forget(self) -> None:
        if self._file is not None:
            self._place.discard(self._file, self._begun)
            self._file = None
        elif self._location:
            self._place.path(self._location).unlink(missing_ok=True)


def _told(fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What ``fn`` gives; an error of the disk as the Fault that it amounts to."""
    try:
        return fn(*args, **kwargs)
    except OSError as exc:
        raise (DiskFull if exc.errno in _FULL else Unavailable)(f"files: {exc}") from exc


def _write(file: int, chunk: bytes) -> None:
    done = os.write(file, chunk)
    while done < len(chunk):
        done += os.write(file, memoryview(chunk)[done:])


def _make_folders(folder: Path) -> None:
    """The folder and those above it, each on disk before anything is put into it."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _listed(folder: Path) -> list[str]:
    """Names in a folder, in order; none if it is not there."""
    try:
        return sorted(each.name for each in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _clear(part: Path) -> None:
    """Remove an unfinished file whose writer has died; one that is alive holds the lock."""
    try:
        file = os.open(part, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    finally:
        os.close(file)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
