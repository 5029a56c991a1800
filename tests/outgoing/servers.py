"""Small servers on loopback that answer as a test wants, and canaries that must stay alone."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from rota.base.key_file import LazySealer
from rota.base.policy import Policy

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


class Place(NamedTuple):
    """Where a server listens, and the requests (or bare connections) that it has seen."""

    port: int
    seen: list[bytes]


def policy(allow: str = "") -> Policy:
    """A policy with this list of hosts."""
    return Policy(LazySealer(None, Path("/nonexistent/seal.key")), allow_private_hosts=allow)


def always(answer: bytes) -> Serve:
    """A server that answers the same to everything."""

    async def serve(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return serve


@asynccontextmanager
async def serving(
    serve: Serve, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Place]:
    """A server that reads a request and then does as it likes with the connection."""
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(
                (line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")),
                b"0",
            )
            request = head + await reader.readexactly(int(size))
            seen.append(request)
            await serve(request, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()

    server = await asyncio.start_server(handle, host, port, ssl=tls)
    try:
        yield Place(server.sockets[0].getsockname()[1], seen)
    finally:
        server.close()


@asynccontextmanager
async def canary(host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Place]:
    """A listener that counts whoever connects."""
    seen: list[bytes] = []

    async def handle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(b"a connection")
        writer.close()

    server = await asyncio.start_server(handle, host, port)
    try:
        yield Place(server.sockets[0].getsockname()[1], seen)
    finally:
        server.close()


def resolver(*answers: list[str]) -> tuple[Callable[[str, int], Awaitable[list[str]]], list[str]]:
    """A resolver that gives these answers in turn, over and over, and the names that it was asked for."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers[(len(asked) - 1) % len(answers)]

    return resolve, asked
