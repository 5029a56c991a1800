"""The floor of row 6: an asyncio Protocol that answers every request with the same ready-made bytes.

It does what nothing can do without: read from the socket, find the end of the request head, write the response. It does
not parse, route or log. Run as `python -m bench.bare PORT FILE LOOP`, FILE holding the whole response (head and body),
LOOP being `uvloop`, as in the real server, or `asyncio`, the standard library's own.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

import uvloop

HOST = "127.0.0.1"


class Echo(asyncio.Protocol):
    """One connection; a GET request ends with its head."""

    transport: asyncio.Transport

    def __init__(self, response: bytes) -> None:
        self.response = response
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is not a subclass of it

    def data_received(self, data: bytes) -> None:
        received = self.received + data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            received = received[end + 4 :]
            self.transport.write(self.response)
        self.received = received


async def serve(port: int, response: bytes) -> None:
    """Answer on the loopback address until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Echo(response), HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    run = uvloop.run if sys.argv[3] == "uvloop" else asyncio.run
    run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
