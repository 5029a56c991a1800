"""The floor of row 12: an asyncio Protocol that writes ready-made frames to whoever listens.

A GET is answered with a head and is a listener from then on; at each POST the frames are written to every listener at once, as
one chunk, with nothing in between but the transport. Run as `python -m bench.bare_stream PORT FILE`, FILE holding the frames of a batch as
JSON, a list of texts.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

import msgspec
import uvloop

HOST = "127.0.0.1"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Floor(asyncio.Protocol):
    """One connection: a listener, or somebody who has frames written."""

    transport: asyncio.Transport

    def __init__(self, frames: bytes, listeners: dict[asyncio.Transport, None]) -> None:
        self.frames = frames
        self.listeners = listeners
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is not a subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        self.listeners.pop(self.transport, None)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET /readyz "):
            self.transport.write(ANSWER)
            self.received = body
        elif head.startswith(b"GET "):
            self.transport.write(HEAD)
            self.listeners[self.transport] = None
            self.received = body
        else:
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n")[0])
            if len(body) >= length:
                self.received = body[length:]
                for listener in self.listeners:
                    listener.write(self.frames)
                self.transport.write(ANSWER)


async def serve(port: int, frames: bytes) -> None:
    """Listen on the loopback address until the process is ended."""
    listeners: dict[asyncio.Transport, None] = {}
    server = await asyncio.get_running_loop().create_server(lambda: Floor(frames, listeners), HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    texts = msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=list[str])
    batch = "".join(texts).encode()
    uvloop.run(serve(int(sys.argv[1]), b"%x\r\n%b\r\n" % (len(batch), batch)))
