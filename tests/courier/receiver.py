"""Endpoints that a webhook may meet, on one loopback port: each path is one, and behaves by its first word.

``/ok/a`` and ``/ok/b`` take everything. ``/500`` and ``/404`` refuse, ``/hang`` never answers, ``/redirect`` sends
elsewhere, ``/drip`` answers a byte at a time, ``/lies`` promises more than it sends, ``/slams`` closes without a word. Everything
that comes is kept, by path.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Told(NamedTuple):
    """One request as it came, and when (monotonic seconds)."""

    headers: dict[str, str]
    body: str
    at: float


@dataclass
class Receiver:
    """What has come so far, and the place where more may come."""

    port: int = 0
    told: dict[str, list[Told]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[str, str] = field(default_factory=dict[str, str])
    """Behaviour by path, where it is to differ from the path's first word; a test may change its mind."""
    _open: set["asyncio.Task[Any]"] = field(default_factory=set["asyncio.Task[Any]"])
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, path: str) -> str:
        """The URL of a path here."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def got(self, path: str, count: int, seconds: float = 20.0) -> list[Told]:
        """Wait until so many requests have come for a path; all of them. Fails after ``seconds``."""
        async with asyncio.timeout(seconds), self._more:
            await self._more.wait_for(lambda: len(self.told[path]) >= count)
        return self.told[path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._open.discard(task)
            writer.close()

    async def close(self) -> None:
        """End whatever hangs or drips."""
        waiting = list(self._open)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.splitlines()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = first.split(" ")[1]
        async with self._more:
            self.told[path].append(Told(headers, body.decode(), time.monotonic()))
            self._more.notify_all()
        await self._answer(self.answers.get(path, path.split("/")[1]), writer)

    async def _answer(self, how: str, writer: asyncio.StreamWriter) -> None:
        match how:
            case "ok":
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            case "hang":
                await asyncio.sleep(3600)
            case "redirect":
                writer.write(f"HTTP/1.1 302 Found\r\nlocation: {self.url('/ok/elsewhere')}\r\n\r\n".encode())
            case "drip":
                for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100000:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.05)
            case "lies":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nfew")
            case "slams":
                writer.transport.abort()
            case status:
                writer.write(f"HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()


@asynccontextmanager
async def receiving() -> AsyncGenerator[Receiver]:
    """A receiver for the length of a ``with``."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await receiver.close()
