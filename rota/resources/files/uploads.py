"""A form with a file in it, from the socket to the place where bytes are kept.

Promises: the file is never held in memory; its bytes are durable before its row is written; what was stored for nothing (the
form was refused, or the workspace has these bytes already) is removed again, unless it is not known whether it was for nothing.
See ``content`` for why that is enough.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from rota.base.errors import Fault, InvalidRequest, Refusal, TooLarge
from rota.resources.files import content
from rota.resources.files.actions import Sent
from rota.resources.files.wire import MAX_FILE, UploadFile, name_of, type_of
from rota.store.blob import Blobs, Writer, Written
from rota.store.db import Db
from rota.store.tx import Tx

if TYPE_CHECKING:
    from rota.http.upload import Part

R = TypeVar("R")


async def receive(
    parts: "AsyncIterator[Part]",
    blobs: Blobs,
    db: Db,
    fields: Callable[[dict[str, str]], UploadFile],
    create: Callable[[Sent, Written], Awaitable[R]],
) -> R:
    """Store the file of a form and have ``create`` write its row; what that gives.

    ``fields`` makes the form's Struct of its plain fields. InvalidRequest, TooLarge; DiskFull or Unavailable.
    """
    async with blobs.write(content.PREFIX) as writer:
        sent = await _read(parts, writer, fields)
        written = await writer.finish()
    try:
        result = await create(sent, written)
    except Refusal:  # for sure there is no row; after a Fault there may be one
        await _remove(blobs, written)
        raise
    if not await db.read(_is_kept, written.location):
        await _remove(blobs, written)
    return result


async def _read(parts: "AsyncIterator[Part]", writer: Writer, fields: Callable[[dict[str, str]], UploadFile]) -> Sent:
    """The form to its end: the file into ``writer``, and what is said about it."""
    texts: dict[str, str] = {}
    names: tuple[str, str] | None = None
    async for part in parts:
        if part.name != "file":
            if part.name in texts:
                raise InvalidRequest(f"{part.name}: must be there only once")
            texts[part.name] = await part.text(limit=1024)
            continue
        if names is not None:
            raise InvalidRequest("file: must be there only once")
        mime_type = type_of(part.content_type, part.filename)
        names = (name_of(part.filename, mime_type), mime_type)
        size = 0
        async for chunk in part.chunks():
            size += len(chunk)
            if size > MAX_FILE:
                raise TooLarge(f"The file is larger than {MAX_FILE >> 20} MB.")
            await writer.write(chunk)
    form = fields(texts)
    if names is None:
        raise InvalidRequest("file: Field required")
    return Sent(*names, form.expires_in_seconds)


def _is_kept(tx: Tx, location: str) -> bool:
    return bool(content.known(tx, [location]))


async def _remove(blobs: Blobs, written: Written) -> None:
    """Remove an object that no row names; what cannot be removed now is collected later."""
    with suppress(Fault):
        await blobs.remove(written.location)
