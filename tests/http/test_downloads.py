"""Replies that come in chunks: whole, or visibly broken; and files going out, whole or a range of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rota.http.admit import Admission
from rota.http.app import App
from rota.http.download import attachment
from rota.http.request import Reply, Request
from rota.http.route import Route
from rota.resources.workspaces import keys
from tests.api import KEY, Api, Response

BYTES = bytes(range(256)) * 20


class Source:
    """Chunks, and whether whoever reads them has let go."""

    def __init__(self, chunks: list[bytes], *, then: Exception | None = None, wait: bool = False) -> None:
        self.chunks = chunks
        self.then = then
        self.wait = wait
        self.given = 0
        self.closed = False

    async def read(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self.chunks:
                self.given += 1
                yield chunk
            if self.wait:
                await asyncio.Event().wait()
            if self.then:
                raise self.then
        finally:
            self.closed = True


def house(api: Api, handle: Any) -> App:
    admission = Admission(api.house.db, api.clock, keys.admit)
    routes = [Route("GET", "/chunks", "chunks", "Chunks", handle, bytes)]
    return App(routes, api.house.db, admission, api.house.app.cursors, api.house.app.policy, api.house.blobs)


def ask(api: Api, source: Source, length: int | None, *, leave_after: int | None = None) -> list[Any]:
    """The messages of a reply with these chunks, to a caller who leaves after so many of them."""

    async def handle(_req: Request) -> Reply:
        return Reply(chunks=source.read(), length=length, content_type=b"application/octet-stream")

    async def call() -> list[Any]:
        sent: list[Any] = []
        gone = asyncio.Event()
        incoming = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> dict[str, Any]:
            if incoming:
                return incoming.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if leave_after is not None and len(sent) > leave_after:
                gone.set()
            await asyncio.sleep(0)

        scope = {
            "type": "http", "method": "GET", "path": "/chunks", "query_string": b"",
            "headers": [(b"x-api-key", KEY.encode())],
        }  # fmt: skip
        await house(api, handle)(scope, receive, send)
        return sent

    return api.run(call())


def test_chunks_are_sent_as_they_come_and_ended(still_api: Api) -> None:
    source = Source([b"a", b"bc"])
    start, *chunks = ask(still_api, source, 3)
    assert (b"content-length", b"3") in start["headers"]
    assert [each["body"] for each in chunks] == [b"a", b"bc", b""]
    assert [each.get("more_body", False) for each in chunks] == [True, True, False]
    assert source.closed


def test_without_a_length_none_is_announced(still_api: Api) -> None:
    start, *_ = ask(still_api, Source([b"a"]), None)
    assert not any(name == b"content-length" for name, _ in start["headers"])


@pytest.mark.parametrize("then", [RuntimeError("the disk is gone"), None])
def test_what_breaks_off_is_never_ended(still_api: Api, then: Exception | None) -> None:
    source = Source([b"a"], then=then)
    start, *chunks = ask(still_api, source, 3)
    assert start["status"] == 200
    assert all(each["more_body"] for each in chunks), "the server below closes the connection, since the end is missing"
    assert source.closed


def test_a_caller_who_leaves_ends_the_reading(still_api: Api) -> None:
    source = Source([b"x"] * 1000)
    ask(still_api, source, 1000, leave_after=3)
    assert source.given < 100
    assert source.closed


def test_a_caller_who_leaves_while_nothing_comes_is_noticed(still_api: Api) -> None:
    source = Source([b"x"], wait=True)
    ask(still_api, source, None, leave_after=1)
    assert source.closed


# Files


def fetch(api: Api, headers: dict[str, str] | None = None, **facts: Any) -> Response:
    async def handle(req: Request) -> Reply:
        return attachment(
            req, location, **{"filename": "a.txt", "media_type": "text/html", "size": len(BYTES), **facts}
        )

    async def keep() -> str:
        async with api.house.blobs.write("tests") as writer:
            await writer.write(BYTES)
            return (await writer.finish()).location

    location = api.run(keep())
    api.house.app, before = house(api, handle), api.house.app
    try:
        return api.get("/chunks", headers=headers)
    finally:
        api.house.app = before


def test_a_file_is_saved_and_never_shown(still_api: Api) -> None:
    response = fetch(still_api, filename='ä "b".html')
    assert response.raw == BYTES
    assert response.headers["content-type"] == "text/html"
    assert response.headers["content-disposition"] == "attachment; filename*=utf-8''%C3%A4%20%22b%22.html"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
    assert response.headers["content-length"] == str(len(BYTES))


@pytest.mark.parametrize("kind", ["", "text", "a/b\r\nset-cookie: x", "a/b\x00", "x/" + "y" * 200])
def test_a_type_that_is_none_becomes_octets(still_api: Api, kind: str) -> None:
    assert fetch(still_api, media_type=kind).headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20), ("bytes=5000-", 5000, 5120), ("bytes=-7", 5113, 5120),
     ("bytes=5119-999999", 5119, 5120), ("bytes=-999999", 0, 5120), ("bytes=0-", 0, 5120)],
)  # fmt: skip
def test_a_range_is_served(still_api: Api, asked: str, start: int, end: int) -> None:
    response = fetch(still_api, {"range": asked})
    assert response.status == 206
    assert response.raw == BYTES[start:end]
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/{len(BYTES)}"
    assert response.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("asked", ["bytes=9-8", "bytes=-", "bytes=0-1,3-4", "lines=0-1", "nonsense", "bytes=a-b"])
def test_what_is_no_single_range_gets_the_whole_file(still_api: Api, asked: str) -> None:
    response = fetch(still_api, {"range": asked})
    assert (response.status, response.raw) == (200, BYTES)


@pytest.mark.parametrize("asked", ["bytes=5120-", "bytes=999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_416(still_api: Api, asked: str) -> None:
    response = fetch(still_api, {"range": asked})
    assert "5120 bytes" in response.refused(416)
    assert response.headers["content-range"] == "bytes */5120"
