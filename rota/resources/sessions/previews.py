"""Previews of what a model is saying, for streams that asked for them (contract, previews).

Called by whoever asks the model, on the event loop, between the commit of ``span.model_request_start`` and that of the event
itself. Promises: a stream gets parts only of what it saw begin, in order, nothing after the event itself, and together never
more than its beginning; whatever does not fit or is lost on the way takes with it all that would follow. Nothing is kept,
and nobody waits. Streams of other processes get the same, in fewer and larger parts (decision 37).
"""

import asyncio
from typing import Any, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from rota.base.wire import encode
from rota.queue.listener import Preview
from rota.resources.sessions.views import Encode, views_of

PreviewType: TypeAlias = Literal["agent.message", "agent.thinking"]

TOGETHER = 0.05
"""Seconds in which parts collect that go to other processes."""
_PART = 1000
"""Characters of one part for other processes; what carries them takes 7000 bytes."""
_REMEMBERED = 1024


class Word(Struct, frozen=True, array_like=True):
    """What is said to other processes: the beginning of an event, or more text of its block ``index``. ``number`` counts up
    from 0, for each event.
    """

    thread_id: str | None
    kind: str
    event_id: str
    number: int
    index: int | None = None
    text: str = ""

    def preview(self, encode_: Encode) -> Preview:
        """The same as streams get it."""
        if self.index is None:
            name = "event_start"
            body: dict[str, Any] = {"type": name, "event": {"type": self.kind, "id": self.event_id}}
        else:
            name = "event_delta"
            delta = {"type": "content_delta", "index": self.index, "content": {"type": "text", "text": self.text}}
            body = {"type": name, "event_id": self.event_id, "delta": delta}
        views = views_of(self.thread_id, self.kind)
        return Preview(views, self.kind, self.event_id, encode_(name, encode(body)), self.index is None)


word_of = msgspec.json.Decoder(Word).decode


class _Feed(Protocol):
    shared: bool

    def is_heard(self, key: str) -> bool: ...

    def preview(self, key: str, preview: Preview) -> None: ...

    def say(self, key: str, text: str) -> None: ...


class _Saying:
    """What other processes have been told of an event, and what they are still to be told."""

    __slots__ = ("event_id", "index", "number", "parts", "session_id", "thread_id")

    def __init__(self, session_id: str, thread_id: str | None, event_id: str) -> None:
        self.session_id = session_id
        self.thread_id = thread_id
        self.event_id = event_id
        self.number = 1
        self.index = 0
        self.parts: list[str] = []


class Previews:
    """Where previews are told. ``event_id`` is the id that the event will have, another for each attempt."""

    def __init__(self, feed: _Feed, encode_: Encode) -> None:
        self._feed = feed
        self._encode = encode_
        self._sayings: dict[str, _Saying] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, session_id: str, event_type: PreviewType, event_id: str, *, thread_id: str | None = None) -> None:
        """An event of this type begins; ``thread_id`` is a child thread's, None the primary one."""
        word = Word(thread_id, event_type, event_id, 0)
        if self._feed.is_heard(session_id):
            self._feed.preview(session_id, word.preview(self._encode))
        if self._feed.shared:
            self._feed.say(session_id, encode(word).decode())
            if event_type == "agent.message":
                if len(self._sayings) >= _REMEMBERED:
                    del self._sayings[next(iter(self._sayings))]
                self._sayings[event_id] = _Saying(session_id, thread_id, event_id)

    def delta(self, session_id: str, event_id: str, index: int, text: str, *, thread_id: str | None = None) -> None:
        """More text of the block ``index`` of an ``agent.message`` that has begun."""
        if not text:
            return
        if self._feed.is_heard(session_id):
            word = Word(thread_id, "agent.message", event_id, 0, index, text)
            self._feed.preview(session_id, word.preview(self._encode))
        if (saying := self._sayings.get(event_id)) is not None:
            if saying.index != index:
                self._say(saying)
                saying.index = index
            saying.parts.append(text)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(TOGETHER, self._say_all)

    def _say_all(self) -> None:
        self._timer = None
        for saying in self._sayings.values():
            if saying.parts:
                self._say(saying)

    def _say(self, saying: _Saying) -> None:
        text = "".join(saying.parts)
        saying.parts.clear()
        for at in range(0, len(text), _PART):
            word = Word(
                saying.thread_id, "agent.message", saying.event_id, saying.number, saying.index, text[at : at + _PART]
            )
            saying.number += 1
            self._feed.say(saying.session_id, encode(word).decode())
