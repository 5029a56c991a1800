"""Where on this machine a session's things are: ``<data_dir>/sessions/<id>/`` with ``workspace``, ``outputs`` and ``uploads``.

Promises: the folders are there until the session is deleted, whatever is restarted meanwhile; then they go, also when another
process deleted it. They are nobody else's: the folder around them may be entered by the server alone, and what is inside
belongs to whom the sandbox says. Does not look into them.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from rota.runtime.removal import remove

_GONE = ".gone-"
_OWNER = ".database"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _folder(at: int, name: str) -> int | None:
    """A folder, open; None if there is none, any more: a file or a link of that name is renamed."""
    try:
        return os.open(name, _OPEN, dir_fd=at)
    except FileNotFoundError:
        return None
    except OSError:
        os.rename(name, f"{name}.{os.urandom(4).hex()}", src_dir_fd=at, dst_dir_fd=at)
        return None


class Place(Struct, frozen=True):
    """The folders of one session."""

    root: Path

    @property
    def workspace(self) -> Path:
        """What is ``/workspace`` inside."""
        return self.root / "workspace"

    @property
    def outputs(self) -> Path:
        """What is ``/mnt/session/outputs`` inside."""
        return self.root / "outputs"

    @property
    def uploads(self) -> Path:
        """What is ``/mnt/session/uploads`` inside, where nothing can be written."""
        return self.root / "uploads"


class Folders:
    """The folders of all sessions, below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def place(self, session_id: str) -> Place:
        """Where a session's folders are, or would be."""
        assert session_id.replace("_", "").isalnum(), session_id
        return Place(self._root / session_id)

    def make(self, session_id: str) -> Place:
        """The folders of a session, made if they are not there. Blocks."""
        place = self.place(session_id)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.root.mkdir(mode=0o700, exist_ok=True)
        for folder, mode in ((place.workspace, 0o755), (place.outputs, 0o755), (place.uploads, 0o755)):
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                folder.chmod(mode)  # whatever the umask is: boxes have users of their own
        return place

    def make_room(self, place: Place, folder: str, names: Sequence[str]) -> None:
        """See to it that ``names`` can be mounted in a folder of the workspace: what is in their way is renamed.

        Called while no box is open over the place. Blocks.
        """
        at = os.open(place.workspace, _OPEN)
        try:
            inner = _folder(at, folder)
            if inner is not None:
                try:
                    for name in names:
                        if (below := _folder(inner, name)) is not None:
                            os.close(below)
                finally:
                    os.close(inner)
        finally:
            os.close(at)

    def sessions(self) -> list[str]:
        """The sessions that have folders here. Blocks."""
        try:
            return sorted(each.name for each in self._root.iterdir() if not each.name.startswith("."))
        except FileNotFoundError:
            return []

    async def discard(self, session_id: str) -> None:
        """Remove a session's folders. Nothing may be running in them."""
        await asyncio.to_thread(self._discard, session_id)

    def _discard(self, session_id: str) -> None:
        gone = self._root / f"{_GONE}{session_id}-{os.urandom(4).hex()}"
        with suppress(FileNotFoundError):
            self.place(session_id).root.rename(gone)
            remove(gone)

    def belong_to(self, owner: str) -> bool:
        """Whether these are the folders of a database, which the first to ask makes its own. Blocks.

        A server that was started with another database and the same data directory knows none of these sessions, and must not
        take them for gone.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with (self._root / _OWNER).open("x") as file:
                file.write(owner)
        except FileExistsError:
            return (self._root / _OWNER).read_text() == owner
        return True

    async def sweep(self, present: Callable[[list[str]], Awaitable[set[str]]]) -> list[str]:
        """The sessions with folders here that are gone, ``present`` being told ids and telling which of them are there.

        What a removal that was killed has left is removed in passing.
        """
        await asyncio.to_thread(self._finish)
        here = await asyncio.to_thread(self.sessions)
        gone: list[str] = []
        for start in range(0, len(here), 500):
            some = here[start : start + 500]
            gone += sorted(set(some) - await present(some))
        return gone

    def _finish(self) -> None:
        if self._root.is_dir():
            for left in self._root.glob(f"{_GONE}*"):
                with suppress(FileNotFoundError):  # another process is at it too
                    remove(left)
