"""Previews of what a model is saying, for streams that asked for them (contract, previews).

Called by whoever asks the model, on the event loop, between the commit of ``span.model_request_start`` and that of the event
itself. Promises: a stream gets parts only of what it saw begin, in order, nothing after the event itself, and together never
more than its beginning; whatever does not fit is left out, with all that would follow. Nothing is kept, nothing is waited for.
Tells the streams of this process only (decision 36).
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

from rota.base.wire import encode
from rota.queue.listener import Preview
from rota.resources.sessions.stream import PRIMARY, SESSION, Encode

PreviewType: TypeAlias = Literal["agent.message", "agent.thinking"]


class _Feed(Protocol):
    def is_heard(self, key: str) -> bool: ...

    preview: Callable[[str, Preview], None]


class Previews:
    """Where previews are told. ``event_id`` is the id that the event will have, another for each attempt."""

    def __init__(self, feed: _Feed, encode: Encode) -> None:
        self._feed = feed
        self._encode = encode

    def start(self, session_id: str, event_type: PreviewType, event_id: str, *, thread_id: str | None = None) -> None:
        """An event of this type begins; ``thread_id`` is a child thread's, None the primary one."""
        if self._feed.is_heard(session_id):
            body = {"type": "event_start", "event": {"type": event_type, "id": event_id}}
            self._tell(session_id, thread_id, event_type, event_id, body, begins=True)

    def delta(self, session_id: str, event_id: str, index: int, text: str, *, thread_id: str | None = None) -> None:
        """More text of the block ``index`` of an ``agent.message`` that has begun."""
        if text and self._feed.is_heard(session_id):
            delta = {"type": "content_delta", "index": index, "content": {"type": "text", "text": text}}
            body = {"type": "event_delta", "event_id": event_id, "delta": delta}
            self._tell(session_id, thread_id, "agent.message", event_id, body, begins=False)

    def _tell(
        self, session_id: str, thread_id: str | None, kind: str, event_id: str, body: dict[str, Any], *, begins: bool
    ) -> None:
        frame = self._encode(body["type"], encode(body))
        views = (SESSION, PRIMARY) if thread_id is None else (thread_id,)
        self._feed.preview(session_id, Preview(views, kind, event_id, frame, begins))
