"""A reply that goes on: server-sent events (contract, SSE wire format).

Promises: the head goes out at once, whatever the caller accepts; an event is one frame, its name and its JSON on a line each;
nothing in between keeps it or changes it (``no-cache``, ``x-accel-buffering``). Knows no resource, and does not make events.
"""

from typing import Protocol

from rota.http.request import Live, Reply

_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


def frame(kind: str, data: bytes) -> bytes:
    """An event of a kind; ``data`` is JSON without line breaks."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


PING = frame("ping", b'{"type":"ping"}')
"""What is sent when there is nothing to say; clients pass over it."""


class Reader(Live, Protocol):
    """Frames for one caller, as they come."""

    def __aiter__(self) -> "Reader": ...

    async def __anext__(self) -> bytes:
        """The next frames, or a part of one."""
        ...

    async def aclose(self) -> None:
        """The caller has left."""
        ...


def reply(reader: Reader) -> Reply:
    """The stream as a response."""
    return Reply(content_type=b"text/event-stream; charset=utf-8", headers=_HEADERS, chunks=reader, live=reader)
