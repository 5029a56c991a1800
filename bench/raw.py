"""What uvicorn itself costs in row 6: an ASGI application of two lines behind it, with the settings of the real server.

It answers every request with the head and body that it is given. What is above it in that row is ours; what is below it
is the price of the HTTP library. Run as `python -m bench.raw PORT FILE`, FILE holding the whole response.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

HOST = "127.0.0.1"
OF_UVICORN = b"date"  # it writes that header itself


def application(response: bytes) -> Callable[..., Awaitable[None]]:
    """An ASGI application that always answers `response`."""
    head, _, body = response.partition(b"\r\n\r\n")
    pairs = [line.partition(b": ")[::2] for line in head.split(b"\r\n")[1:]]
    headers = [(name, value) for name, value in pairs if name.lower() != OF_UVICORN]

    async def answer(_scope: Any, _receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


if __name__ == "__main__":
    uvicorn.run(
        application(Path(sys.argv[2]).read_bytes()),
        host=HOST,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_level="warning",
    )
