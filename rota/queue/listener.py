"""One reader of a feed: what waits for it, within bounds (see ``queue.feed``).

Promises: it gets every entry of its view once, in order, however slow it is. What waits for it never takes more than ``ROOM``,
but for a single frame that is larger: a reader with more to come falls behind, and fetches the rest from the log by itself,
page by page, when it has taken what it had. So a slow reader costs the others nothing. Previews that do not fit are left
out, and with one all that would follow it.
Entries come in runs, whose bytes all who see them share; a reader who has taken everything before is written to directly
(``outlet``), so that an event to many costs hardly more than as many writes.
Does not know what a frame is.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

ROOM = 512 * 1024
"""Bytes that may wait for one reader. The transport below holds two pieces more, at most."""
PIECE = 64 * 1024
"""Bytes that are handed on at once."""
_AGAIN = 1.0
"""Seconds until another attempt, after the log could not be read."""


class Entry(NamedTuple):
    """Something in the log: where, in which views it is seen, its frame.

    ``foretold``: there may have been previews of it. ``closes``: whatever previews are still open where it is seen come to
    nothing. ``final``: where it is seen, it is the last.
    """

    position: int
    views: tuple[str, ...]
    id: str
    frame: bytes
    foretold: bool = False
    closes: bool = False
    final: bool = False


class Page(NamedTuple):
    """Entries in order, and how far they reach. ``over``: there will be no more, and ``last`` is what is said at the end:
    frames by view, None for all views that are not named.
    """

    entries: list[Entry]
    position: int
    more: bool = False
    over: bool = False
    last: dict[str | None, bytes] = {}

    def farewell(self, view: str) -> bytes | None:
        """What is said in the end to readers of a view."""
        return self.last.get(view, self.last.get(None))


class Preview(NamedTuple):
    """Something of an entry that will come, ``event_id``: that it begins, or a part of it. Without a frame: a part was lost."""

    views: tuple[str, ...]
    kind: str
    event_id: str
    frame: bytes
    begins: bool


class Run(NamedTuple):
    """Entries that follow one another in a view, as one piece of bytes."""

    entries: list[Entry]
    frame: bytes


def runs(entries: Iterable[Entry]) -> Iterator[Run]:
    """A view's entries as runs, none longer than ``PIECE`` but for a single entry that is longer."""
    together, size = list[Entry](), 0
    for entry in entries:
        if together and (size + len(entry.frame) > PIECE or together[-1].final):
            yield _run(together)
            together, size = [], 0
        together.append(entry)
        size += len(entry.frame)
    if together:
        yield _run(together)


def _run(entries: list[Entry]) -> Run:
    return Run(entries, b"".join([entry.frame for entry in entries]))


class Listener:
    """An asynchronous iterator over pieces of frames, until the log is over, the reader leaves, or the feed is closed.

    ``view`` is what it sees, ``position`` how far it has come, ``kinds`` which previews it wants. ``read`` gives a page
    of the log, ``reached`` how far the feed itself has come. ``cut`` is set when the reader is given up.

    Whoever hands the pieces on may set ``outlet``: it is given a piece when the last one has been handed on and nothing waits,
    and says whether it has taken it. What it does not take comes the long way.
    """

    __slots__ = (
        "_at", "_ended", "_frames", "_held", "_leave", "_loop", "_open", "_reached", "_read", "_waiter", "behind", "cut", "kinds",
        "moved_at", "outlet", "position", "view",
    )  # fmt: skip

    def __init__(
        self,
        view: str,
        position: int,
        kinds: frozenset[str],
        *,
        read: Callable[[int], Awaitable[Page]],
        reached: Callable[[], int],
        leave: "Callable[[Listener], None]",
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.view = view
        self.position = position
        self.kinds = kinds
        self.behind = False
        self.cut: asyncio.Future[None] = self._loop.create_future()
        self.outlet: Callable[[bytes], bool] | None = None
        self.moved_at = self._loop.time()
        self._read = read
        self._reached = reached
        self._leave = leave
        self._frames: deque[bytes] = deque()
        self._held = 0
        self._at = 0
        self._open: set[str] = set()
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def held(self) -> int:
        """Bytes that wait."""
        return self._held

    @property
    def waits(self) -> bool:
        """Whether there is something that the reader has not taken."""
        return bool(self._frames) or self.behind

    def offer(self, run: Run) -> None:
        """Entries of the view; passed over if the reader has them already, or will fetch them."""
        entries = run.entries
        if self.behind or self._ended or entries[-1].position <= self.position:
            return
        if entries[0].position <= self.position:  # it saw the log end among them
            for rest in runs([entry for entry in entries if entry.position > self.position]):
                self.offer(rest)
        elif self._fits(run.frame):
            self._take(run)
        else:
            self.behind = True
            self._open.clear()

    def preview(self, preview: Preview) -> None:
        """A preview in the view; left out if it does not fit, and never given without its beginning."""
        if self.behind or self._ended or preview.kind not in self.kinds:
            return
        if not preview.begins and preview.event_id not in self._open:
            return
        if not preview.frame or self._held + len(preview.frame) > ROOM // 2:  # what is in the log goes first
            self._open.discard(preview.event_id)
            return
        if preview.begins:
            self._open.add(preview.event_id)
        self._put(preview.frame)

    def say(self, frame: bytes) -> None:
        """Something that is in no log, if there is room for it."""
        if not (self.behind or self._ended) and self._fits(frame):
            self._put(frame)

    def finish(self, last: bytes | None) -> None:
        """The log is over. A reader that has fallen behind finds that out by itself."""
        if self.behind or self._ended:
            return
        if last is not None:
            self._put(last)
        self._end()

    def hang_up(self) -> None:
        """Nobody will feed this reader any more: it ends with what it has."""
        self.behind = False
        self._end()

    def give_up(self) -> None:
        """The reader is not worth waiting for."""
        if not self.cut.done():
            self.cut.set_result(None)

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> bytes:
        """The next piece."""
        while not self._frames:
            if self.behind:
                await self._catch_up()
            elif self._ended:
                raise StopAsyncIteration
            else:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
        self.moved_at = self._loop.time()
        return self._piece()

    async def aclose(self) -> None:
        """The reader has left."""
        self.hang_up()
        self._frames.clear()
        self._held = 0
        self._leave(self)
        self.cut.cancel()

    def _piece(self) -> bytes:
        frame = self._frames[0]
        if len(frame) > PIECE:
            piece = frame[self._at : self._at + PIECE]
            self._at += len(piece)
            if self._at == len(frame):
                self._drop_first()
            return piece
        self._drop_first()
        if not self._frames:
            return frame
        parts, size = [frame], len(frame)
        while self._frames and size + len(self._frames[0]) <= PIECE:
            parts.append(self._frames[0])
            size += len(self._frames[0])
            self._drop_first()
        return b"".join(parts)

    def _drop_first(self) -> None:
        self._held -= len(self._frames.popleft())
        self._at = 0

    def _fits(self, frame: bytes) -> bool:
        return not self._held or self._held + len(frame) <= ROOM

    def _take(self, run: Run) -> None:
        last = run.entries[-1]
        self.position = last.position
        if self._open:
            for entry in run.entries:
                if entry.closes:
                    self._open.clear()
                else:
                    self._open.discard(entry.id)
        self._put(run.frame)
        if last.final:
            self._end()

    def _put(self, frame: bytes) -> None:
        if (
            self._waiter is not None and not self._waiter.done()  # it has handed on everything
            and self.outlet is not None and len(frame) <= PIECE and self.outlet(frame)
        ):  # fmt: skip
            self.moved_at = self._loop.time()
            return
        self._frames.append(frame)
        self._held += len(frame)
        self._rouse()

    def _end(self) -> None:
        self._ended = True
        self._rouse()

    def _rouse(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _catch_up(self) -> None:
        """Fetch the next page from the log; at its end, go on with the others."""
        self.moved_at = self._loop.time()
        try:
            page = await self._read(self.position)
        except Exception:  # the feed itself tells of what is wrong with the database
            await asyncio.sleep(_AGAIN)
            return
        if self._ended:
            return
        for run in runs([entry for entry in page.entries if self.view in entry.views]):
            if not self._ended:
                self._take(run)
        self.position = page.position
        if page.over:
            self.behind = False
            self.finish(page.farewell(self.view))
        elif self._ended or (not page.more and self.position >= self._reached()):
            self.behind = False
