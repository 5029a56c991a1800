"""One client's connection: uvicorn's HTTP, with bounds on what a client can make it hold and for how long.

Promises: what cannot be read as HTTP is refused in the same words as everything else, and the connection closed, because where
the next request would begin is not known; a head without end, or trailers or chunk lines without end, are cut off after 64 KiB;
trailers are never taken for headers (whatever stands in front of this server has checked only those); a head must be there
within half a minute and a body must keep coming, so that idle clients do not use up the server's connections.
Does not limit how many connections there are: the operating system's limit on open files does.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rota.base import ids
from rota.base.errors import InvalidRequest
from rota.http import errors
from rota.http.app import HEADERS_TOO_LARGE, MAX_HEAD

HEAD_SECONDS = 30.0
"""From the connection, or from the first byte of a later request, to the end of the head."""
BODY_SECONDS = 60.0
"""The longest silence within a body."""


class _Door:
    """The way out to a client, who may have left by now: whatever is still written to it then is dropped.

    uvloop's transport raises in this case, until it has told the protocol; an error that nobody made would be logged.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.close = transport.close
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send bytes, if somebody is there."""
        if not self._transport.is_closing():
            self._transport.write(data)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with those bounds."""

    _quiet = 0
    """Bytes since the last that were part of a body, or ended a head or a request."""
    _in_body = False
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client is there; it has to say what it wants."""
        super().connection_made(transport)
        self._door: Any = _Door(transport)
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._wait(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self._quiet += len(data)
        super().data_received(data)
        if self._quiet > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response(HEADERS_TOO_LARGE)
        elif self._in_body:
            self._wait(BODY_SECONDS)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self._patience is None:
            self._wait(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        """Its head is there. What comes as a header from now on is a trailer, and goes nowhere."""
        super().on_headers_complete()
        self.cycle.transport = self._door
        scope = cast("dict[str, Any]", self.scope)
        scope["rota.abort"] = self.transport.abort  # for who takes nothing more: a close would wait for them
        scope["rota.write"] = self.write_chunk
        self.headers = []
        self._quiet = 0
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        """A part of its body is there."""
        self._quiet = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        super().on_message_complete()
        self._quiet = 0
        self._in_body = False
        self._wait(None)

    def write_chunk(self, chunk: bytes) -> bool:
        """Send a part of a reply whose length was not said, if the client takes what is sent: what uvicorn's ``send`` does, but
        for the wait.
        """
        if self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        return True

    def send_400_response(self, msg: str) -> None:
        """Refuse and close the connection."""
        request_id = ids.new(ids.REQUEST)
        reply = errors.reply(InvalidRequest(msg), request_id)
        head = [
            (b"content-type", reply.content_type),
            (b"content-length", str(len(reply.body)).encode()),
            (b"request-id", request_id.encode()),
            *reply.headers,
        ]
        lines = [name + b": " + value for name, value in [*head, (b"connection", b"close")]]
        self.transport.write(b"\r\n".join([b"HTTP/1.1 400 Bad Request", *lines, b"", reply.body]))
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a client that offers HTTP/2 is answered in HTTP/1.1, as the protocol has it."""

    def _wait(self, seconds: float | None) -> None:
        """Give up unless what is awaited comes within so many seconds; None when nothing is awaited."""
        if self._patience is not None:
            self._patience.cancel()
        self._patience = None if seconds is None else self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self._patience = None
        if self.flow.read_paused:  # it is we who do not read
            self._wait(BODY_SECONDS)
        else:
            self.transport.close()
