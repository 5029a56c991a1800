"""The skills of a session, unpacked once on this machine and mounted read-only at ``/workspace/skills/<name>``.

A version never changes, and which versions a session has was settled when it began, so that any number of sessions share one
folder. What is unpacked was packed by ``skills.bundle``; it is read with the same suspicion as when it first came.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from rota.base import log
from rota.base.errors import Fault, Refusal
from rota.base.who import Who
from rota.resources.skills import actions as skills
from rota.resources.skills import archive, paths
from rota.resources.skills.actions import Pinned
from rota.runtime.shelf import Held, Shelf
from rota.store.blob import Blobs
from rota.store.db import Db

FOLDER = "skills"
"""Below ``/workspace``."""
_logger = log.get("skills")


class Unpacked:
    """Skills that are unpacked, below ``root``."""

    def __init__(self, root: Path, db: Db, blobs: Blobs) -> None:
        self._db = db
        self._blobs = blobs
        self.shelf = Shelf(root)

    async def take(self, who: Who, pinned: Sequence[Pinned], now: int) -> tuple[list[tuple[Pinned, Held]], list[str]]:
        """The skills, to be released when they are mounted no more; and the names of those that are not to be had."""
        if not pinned:
            return [], []
        locations = await self._db.read(skills.locate, who, [each.version_id for each in pinned])
        taken: list[tuple[Pinned, Held]] = []
        missing: list[str] = []
        try:
            for each in pinned:
                location = locations.get(each.version_id)
                try:
                    if location is None:
                        missing.append(each.name)
                    else:
                        taken.append((each, await self._take(each, location, now)))
                except (Fault, Refusal, OSError) as exc:
                    missing.append(each.name)
                    _logger.warning("a skill cannot be unpacked", skill=each.skill_id, reason=str(exc))
        except BaseException:
            for _, held in taken:
                held.release()
            raise
        return taken, missing

    async def _take(self, pinned: Pinned, location: str, now: int) -> Held:
        async def make(folder: Path) -> None:
            with cast(BinaryIO, tempfile.TemporaryFile()) as file:
                size = 0
                async for piece in self._blobs.read(location):
                    size += len(piece)
                    await asyncio.to_thread(file.write, piece)
                await asyncio.to_thread(_unpack, file, size, folder)

        return await self.shelf.take(pinned.version_id, now, make)


def _unpack(file: BinaryIO, size: int, folder: Path) -> None:
    """Unpack below ``folder`` what is in the archive's one folder. Refusal, OSError."""
    for entry in archive.read_entries(file, size):
        names = paths.check(entry.path)[1:]
        if entry.folder or not names:
            continue
        at = folder
        for name in names[:-1]:
            at = at / name
            if not at.is_dir():
                at.mkdir(mode=0o755)
                at.chmod(0o755)
        with (at / names[-1]).open("xb") as target:
            for chunk in archive.unpack(file, entry):
                target.write(chunk)
        (at / names[-1]).chmod(0o755 if entry.executable else 0o644)
