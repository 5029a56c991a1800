"""Streams of events, read by a test: over the application in this process, and the frames of any."""

import asyncio
import json
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from tests.api import KEY, Api

SECONDS = 20.0
"""How long something may take to come before the test fails."""


class Frame(NamedTuple):
    """What came: the name, and the decoded data."""

    name: str
    data: dict[str, Any]

    @property
    def id(self) -> str:
        """The event's id."""
        return self.data["id"]


def parse(raw: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames in some bytes, and what is left of the next. Fails if they are not framed to the letter."""
    *whole, rest = raw.split(b"\n\n")
    frames: list[Frame] = []
    for text in whole:
        name, data = text.split(b"\n")
        assert name.startswith(b"event: "), text
        assert data.startswith(b"data: "), text
        frame = Frame(name[7:].decode(), json.loads(data[6:]))
        assert frame.data["type"] == frame.name
        frames.append(frame)
    return frames, rest


class Stream:
    """One open stream, for the length of a ``with``. ``slow`` takes nothing until ``go_on``.

    ``chunks`` are the pieces in which it came; ``direct`` tells how many of them were written to it without a task in between, as
    to a connection that takes what is sent.
    """

    def __init__(self, api: Api, path: str, *, slow: bool = False, key: str = KEY, **query: Any) -> None:
        self.api = api
        self.head: dict[str, Any] = {}
        self.frames: list[Frame] = []
        self.chunks: list[bytes] = []
        self.direct = 0
        self.ended = False
        self._rest = b""
        self._scope = {
            "type": "http", "method": "GET", "path": path, "query_string": urlencode(query, doseq=True).encode(),
            "headers": [(b"x-api-key", key.encode()), (b"accept", b"application/json")],
        }  # fmt: skip
        self._left = asyncio.Event()
        self._flows = asyncio.Event()
        self._news = asyncio.Event()
        self._slow = slow
        self.cut_off = False

    def __enter__(self) -> Self:
        self.api.run(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    async def _begin(self) -> None:
        if not self._slow:
            self._flows.set()
        self._scope["rota.abort"] = self._abort
        self._scope["rota.write"] = self._write
        self._task = asyncio.create_task(self.api.house.app(self._scope, self._receive, self._send))
        await self._until(lambda: bool(self.head))

    def _abort(self) -> None:
        self.cut_off = True
        self._flows.set()

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.head = {"status": message["status"], **{k.decode(): v.decode() for k, v in message["headers"]}}
        else:
            await self._flows.wait()
            self._came(message["body"])
            self.ended = not message.get("more_body")
        self._news.set()

    def _write(self, chunk: bytes) -> bool:
        assert self.head, "nothing goes out before the head"
        assert not self.ended
        if not self._flows.is_set():
            return False
        self.direct += 1
        self._came(chunk)
        self._news.set()
        return True

    def _came(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        found, self._rest = parse(self._rest + chunk)
        self.frames += found

    async def _until(self, ready: Any) -> None:
        async with asyncio.timeout(SECONDS):
            while not ready():
                self._news.clear()
                waiting = asyncio.ensure_future(self._news.wait())
                await asyncio.wait((waiting, self._task), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                assert ready() or not self._task.done(), (self.head, self.frames)

    def take(self, count: int) -> list[Frame]:
        """Wait until there are so many more frames; gives all that are there."""
        self.api.run(self._until(lambda: len(self.frames) >= count))
        taken, self.frames = self.frames, []
        return taken

    def rest(self) -> list[Frame]:
        """Wait for the stream's end; all frames that came until then."""
        self.api.run(self._until(lambda: self.ended))
        taken, self.frames = self.frames, []
        return taken

    def go_on(self) -> None:
        """Take what comes, from now on."""
        self._flows.set()

    def leave(self) -> None:
        """Hang up."""

        async def wait() -> None:
            self._left.set()
            self._flows.set()
            await asyncio.wait_for(self._task, SECONDS)

        self.api.run(wait())


def at_rest(api: Api) -> None:
    """Wait until nobody looks at a log: what comes next is found by a look of its own."""

    async def wait() -> None:
        while looks := api.house.feed.looks():
            await asyncio.wait(looks)

    api.run(wait())
