"""Feeds: what is appended to a log, shown to whoever listens in this process (see ``queue.listener`` for one of them).

There is one log for each key. However many listen to a key, a wake-up of its topic makes one read of what is new, and each
entry becomes bytes once. A reader says where in the log it begins; from there it gets what its view shows, by position: each
entry once, in order, whatever happened between its own look at the log and this process's reads.

A wake-up may be lost (it came from another process, the database was away), so every two seconds one read looks where the
logs end that somebody listens to.

Previews are in no log: whoever makes an entry tells of it beforehand. They come behind everything that was committed before they
were told, and never behind the entry itself. Other processes are told too, as far as the store carries it (``Db.say``); what is
lost on the way takes with it all that follows.
Does not know what is in the logs; the ``Source`` does.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Never, Protocol

from rota.base import log
from rota.queue.listener import Entry, Listener, Page, Preview, runs
from rota.store.db import Db
from rota.store.tx import Tx

BEAT = 2.0
"""Seconds after which the ends of the logs are looked at although nobody rang."""
QUIET = 15.0
"""Seconds after which something is said to a reader that has heard nothing."""
STALLED = 60.0
"""Seconds after which a reader that takes nothing is given up."""
_TICK = 1.0
_GRACE = 1.0
"""Seconds for which readers may take what they have, when the feed closes."""
_REMEMBERED = 256
_LATER = 4096
"""Previews of one entry that wait for a read; what comes then is left out."""

_logger = log.get("feed")


class Source(Protocol):
    """Where the logs are."""

    def topic(self, key: str) -> str:
        """What is woken when a log has grown, or is over."""
        ...

    def read(self, tx: Tx, key: str, after: int) -> Page:
        """What stands behind a position, in bounds."""
        ...

    def ends(self, tx: Tx, keys: Sequence[str]) -> dict[str, int]:
        """Where logs end; those that are over are left out."""
        ...

    def heard(self, text: str) -> tuple[int, Preview] | None:
        """What another process said of an entry that will come, and its number among the previews of this entry, from 0.

        None for what cannot be understood.
        """
        ...


class Channel:
    """One log that somebody listens to."""

    def __init__(self, db: Db, source: Source, key: str, position: int) -> None:
        self.position = position
        self._db = db
        self._source = source
        self._key = key
        self._listeners: dict[str, dict[Listener, None]] = {}
        self._rung = False
        self.look: asyncio.Task[None] | None = None
        self._later: dict[str, list[Preview]] = {}
        self._begun: deque[str] = deque(maxlen=_REMEMBERED)
        self._passed: deque[str] = deque(maxlen=_REMEMBERED)
        self._next: dict[str, int] = {}

    def __iter__(self) -> Iterator[Listener]:
        for listeners in self._listeners.values():
            yield from listeners

    def add(self, listener: Listener) -> None:
        """One more listener."""
        self._listeners.setdefault(listener.view, {})[listener] = None

    def remove(self, listener: Listener) -> bool:
        """One less; whether it was the last."""
        listeners = self._listeners.get(listener.view)
        if listeners is None or listener not in listeners:
            return False
        del listeners[listener]
        if not listeners:
            del self._listeners[listener.view]
        return not self._listeners

    def ring(self) -> None:
        """There may be something new: look, and once more if this comes while somebody looks."""
        self._rung = True
        if self.look is None:
            self.look = asyncio.create_task(self._read_on(), name="feed")

    def preview(self, preview: Preview) -> None:
        """Tell of an entry that will come; behind what is being read just now, if something is, but before the entry."""
        if self.look is None:
            self._pass(preview)
            return
        waiting = self._later.setdefault(preview.event_id, [])
        if len(waiting) < _LATER:
            waiting.append(preview)
        elif len(waiting) == _LATER:
            waiting.append(preview._replace(frame=b""))

    def hear(self, text: str) -> None:
        """The same from another process, whose previews may get lost and whose commits may not have been heard of."""
        if (said := self._source.heard(text)) is None:
            return
        number, preview = said
        if preview.begins:
            self.ring()
            if len(self._next) >= _REMEMBERED:
                del self._next[next(iter(self._next))]
        elif self._next.get(preview.event_id) != number:
            self._next.pop(preview.event_id, None)
            return
        self._next[preview.event_id] = number + 1
        self.preview(preview)

    async def read(self, after: int) -> Page:
        """A page of the log."""
        return await self._db.read(self._source.read, self._key, after)

    def close(self) -> None:
        """Look no more."""
        if self.look is not None:
            self.look.cancel()

    async def _read_on(self) -> None:
        told: dict[str, list[Preview]] = {}
        try:
            while self._rung:
                self._rung = False
                told, self._later = self._later, {}
                page = await self.read(self.position)
                self._show(page, told)
                while page.more:
                    page = await self.read(self.position)
                    self._show(page, told)
                self._pass_all(told)
                told = {}
        except Exception as exc:  # whatever it was, the beat makes another attempt
            _logger.warning("a log could not be read", reason=log.redact(str(exc)).strip())
        finally:
            self.look = None
            later, self._later = self._later, {}
            self._pass_all(told)
            self._pass_all(later)

    def _show(self, page: Page, told: dict[str, list[Preview]]) -> None:
        at = 0
        for index, entry in enumerate(page.entries):
            if entry.foretold:
                if previews := (*told.pop(entry.id, ()), *self._later.pop(entry.id, ())):
                    self._hand_on(page.entries[at:index])
                    at = index
                    for preview in previews:
                        self._pass(preview)
                self._passed.append(entry.id)
            elif entry.closes and (told or self._later):
                self._hand_on(page.entries[at:index])
                at = index
                for waiting in (told, self._later):
                    self._pass_all(waiting)
                    waiting.clear()
        self._hand_on(page.entries[at:])
        self.position = max(self.position, page.position)
        if page.over:
            for listener in self:
                listener.finish(page.farewell(listener.view))

    def _hand_on(self, entries: list[Entry]) -> None:
        for view, listeners in self._listeners.items():
            for run in runs([entry for entry in entries if view in entry.views]):
                for listener in listeners:
                    listener.offer(run)

    def _pass_all(self, told: dict[str, list[Preview]]) -> None:
        for previews in told.values():
            for preview in previews:
                self._pass(preview)

    def _pass(self, preview: Preview) -> None:
        if preview.begins:
            if preview.event_id in self._begun or preview.event_id in self._passed:
                return
            self._begun.append(preview.event_id)
        for view in preview.views:
            for listener in self._listeners.get(view, ()):
                listener.preview(preview)


class Feed:
    """All that is listened to in this process. ``quiet`` is what is said to readers that have heard nothing for a while."""

    def __init__(self, db: Db, source: Source, *, quiet: bytes) -> None:
        self._db = db
        self._source = source
        self._quiet = quiet
        self.shared = db.name != "sqlite"
        """Whether other processes may have readers of the same logs."""
        self._channels: dict[str, Channel] = {}
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._farewell: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many listen."""
        return sum(1 for channel in self._channels.values() for _ in channel)

    def listen(
        self, key: str, view: str, position: int, kinds: frozenset[str] = frozenset(), *, over: bool = False
    ) -> Listener:
        """A listener that begins behind ``position``, where its reader saw the log end; ``kinds`` of previews that it wants.

        ``over``: the reader saw that nothing more will come.
        """
        channel = self._channels.get(key)
        is_new = channel is None
        if channel is None:
            channel = Channel(self._db, self._source, key, position)
        listener = Listener(
            view, position, kinds, read=channel.read, reached=lambda: channel.position,
            leave=lambda listener: self._leave(key, channel, listener),
        )  # fmt: skip
        if over or self._closed:
            listener.hang_up()
            return listener
        channel.add(listener)
        if is_new:
            self._channels[key] = channel
            self._db.subscribe(self._source.topic(key), channel.ring)
            self._db.hear(self._source.topic(key), channel.hear)
            channel.ring()  # what came between the reader's look and now rang for nobody
        elif position < channel.position:
            listener.behind = True
        return listener

    def preview(self, key: str, preview: Preview) -> None:
        """Tell of an entry that will come, to those who listen here."""
        if (channel := self._channels.get(key)) is not None:
            channel.preview(preview)

    def say(self, key: str, text: str) -> None:
        """Tell other processes of an entry that will come, in words that the source understands."""
        self._db.say(self._source.topic(key), text)

    def is_heard(self, key: str) -> bool:
        """Whether anybody here listens to a key."""
        return key in self._channels

    def looks(self) -> list[asyncio.Task[None]]:
        """The reads that are under way."""
        return [channel.look for channel in self._channels.values() if channel.look is not None]

    def hang_up(self) -> None:
        """End all readers, with what was committed until now, and take no more: the server is to stop."""
        self._closed = True
        self._farewell = asyncio.create_task(self._part(), name="feed: farewell")

    def counts(self) -> Iterator[Never]:
        """Nothing is counted yet; see ``main.Engine``."""
        yield from ()

    def start(self) -> None:
        """Begin to look on a beat."""
        self._task = asyncio.create_task(self._keep(), name="feed: beat")

    async def stop(self) -> None:
        """End."""
        self._closed = True
        for listener in self._all():
            listener.hang_up()
        for channel in self._channels.values():
            channel.close()
        for task in (self._task, self._farewell):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._task = self._farewell = None

    def _all(self) -> list[Listener]:
        return [listener for channel in self._channels.values() for listener in channel]

    async def _part(self) -> None:
        if looks := self.looks():
            await asyncio.wait(looks, timeout=_GRACE)
        for listener in self._all():
            listener.hang_up()
        await asyncio.sleep(_GRACE)
        for listener in self._all():
            listener.give_up()

    def _leave(self, key: str, channel: Channel, listener: Listener) -> None:
        if channel.remove(listener) and self._channels.get(key) is channel:
            del self._channels[key]
            self._db.unsubscribe(self._source.topic(key), channel.ring)
            self._db.hear(self._source.topic(key), None)
            channel.close()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        while True:
            await asyncio.sleep(_TICK)
            self.tick(loop.time())
            if loop.time() - looked_at >= BEAT - _TICK / 2:
                await self.look()
                looked_at = loop.time()

    def tick(self, now: float) -> None:
        """Say something to those who have heard nothing for a while, and give up those who take nothing."""
        for listener in self._all():
            if now - listener.moved_at >= (STALLED if listener.waits else QUIET):
                if listener.waits:
                    listener.give_up()
                else:
                    listener.say(self._quiet)

    async def look(self) -> None:
        """Ring for the logs that have grown, or are over, without a bell that was heard here."""
        keys = list(self._channels)
        if not keys:
            return
        try:
            ends = await self._db.read(self._source.ends, keys)
        except Exception as exc:  # the next beat looks again
            _logger.warning("the logs could not be looked at", reason=log.redact(str(exc)).strip())
            return
        for key in keys:
            channel = self._channels.get(key)
            if channel is not None and ends.get(key, channel.position + 1) > channel.position:
                channel.ring()
