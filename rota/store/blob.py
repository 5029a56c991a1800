"""Bytes too large for a row. The contract; implementations are in ``blobs/``.

Promises: an object is written once, under a fresh location, and never changes; ``finish`` returns only after the bytes are
durable; a reader sees all of an object or an error. Which rows refer to which location is the rooms' business: they write
the object first and the row after it, so that a crash in between leaves an object without a row, which their chores
collect (``orphans``; ``queue.objects`` does it for them), and never a row without bytes.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct


class Written(Struct, frozen=True):
    """An object that is durable: its location, its size in bytes, the SHA-256 of its bytes in lower-case hex, and since when
    (microseconds UTC, by the house's clock)."""

    location: str
    size: int
    digest: str
    at: int


class Writer(Protocol):
    """An object that is being written. Left without ``finish`` it leaves nothing behind."""

    async def write(self, chunk: bytes) -> None:
        """Add bytes. DiskFull or Unavailable, here or at ``finish``, if they cannot be kept."""
        ...

    async def finish(self) -> Written:
        """Make the object durable. DiskFull or Unavailable if that cannot be done."""
        ...


class Blobs(Protocol):
    """A place for objects. Its clock is the house's: ages of objects are told by it and by nothing else."""

    def write(self, prefix: str) -> AbstractAsyncContextManager[Writer]:
        """Begin an object below ``prefix`` (``files``), for the length of an ``async with``."""
        ...

    def read(self, location: str, *, start: int = 0) -> AsyncIterator[bytes]:
        """The object's bytes from ``start`` on, in chunks. Unavailable if the place cannot be reached or the object is gone."""
        ...

    async def remove(self, location: str) -> None:
        """Remove an object; one that is not there is no error. Whoever is reading it may go on or not."""
        ...

    def orphans(self, prefix: str, *, older_than: int) -> AsyncIterator[str]:
        """Locations below ``prefix`` that were written before ``older_than`` (microseconds UTC), oldest first.

        All of them: whether a row names a location is for the caller to know. What was begun before ``older_than`` by
        somebody who has died is cleared away in passing.
        """
        ...

    async def close(self) -> None:
        """Release whatever is held."""
        ...
