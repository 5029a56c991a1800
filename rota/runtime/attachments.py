"""Files that a conversation refers to: their bytes, read once for each turn that is under way."""

from collections.abc import Iterable, Sequence

from rota.base.who import Who
from rota.resources.files import actions as files
from rota.runtime.transcript import FileContent, Files
from rota.store.blob import Blobs
from rota.store.db import Db
from rota.store.tx import Tx

LARGEST = 32 * 1024 * 1024
"""Bytes of a file that a model may be sent; no provider takes more in a request."""


class Attachments:
    """Where the bytes are found."""

    def __init__(self, db: Db, blobs: Blobs) -> None:
        self._db = db
        self._blobs = blobs

    async def read(self, who: Who, file_ids: Iterable[str]) -> Files:
        """The files by id; None for each that is not there, or not any more, or too large. Unavailable if the place is away."""
        wanted = sorted(file_ids)
        if not wanted:
            return {}
        places = await self._db.read(_places, who, wanted)
        found: dict[str, FileContent | None] = dict.fromkeys(wanted)
        for file_id, (mime_type, location, size) in places.items():
            if size <= LARGEST:
                found[file_id] = FileContent(mime_type, b"".join([chunk async for chunk in self._blobs.read(location)]))
        return found


def _places(tx: Tx, who: Who, file_ids: Sequence[str]) -> dict[str, tuple[str, str, int]]:
    return {
        each.id: (each.mime_type, each.blob, each.size_bytes)
        for each in files.find_many(tx, file_ids).values()
        if each.workspace_id == who.workspace_id
    }
