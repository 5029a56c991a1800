"""A form with a skill in it, from the socket to the place where archives are kept.

Promises: an upload is on disk from its first byte, so that memory does not depend on how many there are and how slow; no more
than two of them are unpacked and packed at a time, in threads of their own, so that nobody else waits for it; the archive is
durable before the caller can write its row. What was stored for a row that was then refused is removed again; what a crash
leaves behind, or an upload that an earlier reply answered, is collected (``queue.objects``).
Does not know what a skill is (``bundle`` does).
"""

import asyncio
import errno
import tempfile
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, ParamSpec, TypeVar, cast

from msgspec import Struct

from rota.base.errors import DiskFull, Fault, InvalidRequest, Refusal, TooLarge, Unavailable
from rota.resources.skills.archive import MAX_BYTES
from rota.resources.skills.bundle import Bundle, Sent, pack
from rota.resources.skills.wire import MAX_TITLE
from rota.store.blob import Blobs, Written

if TYPE_CHECKING:
    from rota.http.upload import Part

P = ParamSpec("P")
R = TypeVar("R")

PREFIX = "skills"
_FILES = ("files[]", "files")
"""How official clients name the parts with files, and how everybody else does."""
_PIECE = 256 * 1024
_PACKERS = ThreadPoolExecutor(2, thread_name_prefix="skills")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Upload(Struct, frozen=True):
    """What came with a form: the skill in it, its archive as it was written, and what the user calls it."""

    bundle: Bundle
    written: Written
    title: str | None


@asynccontextmanager
async def stored(parts: "AsyncIterator[Part]", blobs: Blobs, title: str | None = None) -> AsyncGenerator[Upload]:
    """The skill of a form, its archive stored, for the length of an ``async with`` that writes its row.

    ``title`` names the field in which the user says what to call it; other fields are passed over (contract, skills).
    InvalidRequest, TooLarge; DiskFull or Unavailable.
    """
    with cast(BinaryIO, await _in_thread(None, tempfile.TemporaryFile)) as file:
        sent, called = await _receive(parts, file, title)
        bundle = await _in_thread(_PACKERS, pack, file, sent)
        with bundle.file:
            written = await _store(blobs, bundle)
            try:
                yield Upload(bundle, written, called)
            except Refusal:  # for sure there is no row; after a Fault there may be one
                with suppress(Fault):
                    await blobs.remove(written.location)
                raise


async def _receive(parts: "AsyncIterator[Part]", file: BinaryIO, title: str | None) -> tuple[list[Sent], str | None]:
    """The form's files, one after the other in ``file``, and what the title field says."""
    sent: list[Sent] = []
    called: str | None = None
    at = 0
    async for part in parts:
        if part.name in _FILES:
            if part.filename is None:
                raise InvalidRequest(f"{part.name}: each file needs a file name, such as my-skill/SKILL.md")
            start = at
            async for piece in _pieces(part.chunks()):
                at += len(piece)
                if at > MAX_BYTES:
                    raise TooLarge(f"The skill's files are together larger than {MAX_BYTES // 1024 // 1024} MB.")
                await _in_thread(None, file.write, piece)
            sent.append(Sent(part.filename, start, at - start))
        elif title is not None and part.name == title:
            if called is not None:
                raise InvalidRequest(f"{title}: must be there only once")
            called = _check_title(title, await part.text())
    if not sent:
        raise InvalidRequest("files[]: Field required")
    return sent, called


def _check_title(field: str, text: str) -> str:
    if len(text) > MAX_TITLE:
        raise InvalidRequest(f"{field} must be at most {MAX_TITLE} characters long")
    if not text.strip() or any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text):
        raise InvalidRequest(f"{field} must be one line of text, and not be empty")
    return text


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in larger pieces, so that a thread is not called for every read of the socket."""
    waiting: list[bytes] = []
    weight = 0
    async for chunk in chunks:
        waiting.append(chunk)
        weight += len(chunk)
        if weight >= _PIECE:
            yield b"".join(waiting)
            waiting, weight = [], 0
    if waiting:
        yield b"".join(waiting)


async def _store(blobs: Blobs, bundle: Bundle) -> Written:
    """Keep the archive."""
    bundle.file.seek(0)
    async with blobs.write(PREFIX) as writer:
        while piece := await _in_thread(None, bundle.file.read, _PIECE):
            await writer.write(piece)
        return await writer.finish()


async def _in_thread(pool: Executor | None, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call ``fn`` in a thread of ``pool`` (None: of everybody's); what the disk says is told as a Fault."""

    def call() -> R:
        try:
            return fn(*args, **kwargs)
        except OSError as exc:
            raise (DiskFull if exc.errno in _FULL else Unavailable)(f"temporary files: {exc}") from exc

    return await asyncio.get_running_loop().run_in_executor(pool, call)
