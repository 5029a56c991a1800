"""What is written straight to a client's connection: as the protocol has it, and only while the client takes it."""

import asyncio
import socket
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from rota.http.connection import Connection
from rota.queue.listener import PIECE

SECONDS = 20.0


async def _until_closed(loop: asyncio.AbstractEventLoop, client: socket.socket) -> bytes:
    received = bytearray()
    while data := await loop.sock_recv(client, PIECE):
        received += data
    return bytes(received)


def _body(response: bytes) -> bytes:
    """The body of a chunked response, whole."""
    _, _, rest = response.partition(b"\r\n\r\n")
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert rest == b"\r\n"
            return body
        body, end, rest = body + rest[:length], rest[length : length + 2], rest[length + 2 :]
        assert end == b"\r\n"


async def _work() -> None:
    loop = asyncio.get_running_loop()
    begun, over = asyncio.Event(), asyncio.Event()
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        begun.set()
        await over.wait()
        await send({"type": "http.response.body", "body": b""})

    made: list[Connection] = []

    def make() -> Connection:
        made.append(Connection(Config(app, log_config=None, lifespan="off"), ServerState(), {}, loop))
        return made[-1]

    server = await loop.create_server(make, "127.0.0.1", 0)
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, server.sockets[0].getsockname())
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        await begun.wait()
        write, taken = seen["rota.write"], list[bytes]()
        while write(piece := bytes([len(taken) % 256]) * PIECE):
            taken.append(piece)
            assert len(taken) < 1000, "somebody who reads nothing is written to without end"
        assert made[0].transport.get_write_buffer_size() <= 2 * PIECE + 100
        reading = asyncio.create_task(_until_closed(loop, client))
        while made[0].flow.write_paused:
            await asyncio.sleep(0)
        assert write(b"more")
        over.set()
        assert _body(await reading) == b"".join(taken) + b"more"
        assert not write(b"nobody is there")
    server.close()
    await server.wait_closed()


def test_a_chunk_is_written_at_once_unless_the_client_does_not_take_what_is_there() -> None:
    asyncio.run(asyncio.wait_for(_work(), SECONDS))
