"""The door under a client that some library brings."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from rota.outgoing.failures import ForbiddenAddress
from rota.outgoing.transport import Forbidden, Transport
from tests.outgoing.corpus import REFUSED
from tests.outgoing.servers import OK, always, canary, policy, resolver, serving


def run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


def client(allow: str = "127.0.0.1", **more: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=Transport(policy(allow), **more), trust_env=False, timeout=5)


def test_a_client_asks_through_the_door() -> None:
    async def work() -> None:
        async with serving(always(OK)) as place, client() as http:
            answer = await http.post(
                f"http://127.0.0.1:{place.port}/a?b=c", json={"x": 1}, headers={"authorization": "Bearer t"}
            )
            assert (answer.status_code, answer.text) == (200, "hello")
        [request] = place.seen
        assert request.startswith(b"POST /a?b=c HTTP/1.1\r\n")
        assert request.endswith(b'{"x":1}')
        head = request.lower()
        assert (head.count(b"accept-encoding"), head.count(b"host:"), head.count(b"connection:")) == (1, 1, 1)
        assert b"accept-encoding: identity" in head
        assert b"authorization: bearer t" in head

    run(work)


def test_a_stream_is_read_as_it_comes_and_let_go() -> None:
    async def serve(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
        while not writer.is_closing():
            await asyncio.sleep(0.005)

    async def work() -> None:
        async with (
            serving(serve) as place,
            client() as http,
            http.stream("GET", f"http://127.0.0.1:{place.port}/") as answer,
        ):
            assert await anext(answer.aiter_text()) == "data: 1\n\n"

    run(work)


def test_nothing_forbidden_is_connected_to() -> None:
    async def work() -> None:
        resolve, _ = resolver(["127.0.0.1"])
        async with canary() as place, client("", resolve=resolve) as http:
            for url in [f"http://127.0.0.1:{place.port}/", f"https://name.example:{place.port}/", *REFUSED[::7]]:
                with pytest.raises((httpx2.ConnectError, httpx2.UnsupportedProtocol, httpx2.InvalidURL)) as failed:
                    await http.get(url)
                if isinstance(failed.value, Forbidden):
                    assert isinstance(failed.value.__cause__, ForbiddenAddress)
            assert place.seen == []

    run(work)


def test_every_hop_of_a_redirect_is_judged() -> None:
    async def work() -> None:
        async with canary() as inside:
            answer = f"HTTP/1.1 302 Go\r\nlocation: http://127.0.0.1:{inside.port}/\r\ncontent-length: 0\r\n\r\n"
            async with serving(always(answer.encode())) as place:
                url = f"http://127.0.0.1:{place.port}/"
                async with client(f"127.0.0.1:{place.port}") as http:
                    assert (await http.get(url)).status_code == 302
                    with pytest.raises(Forbidden):
                        await http.get(url, follow_redirects=True)
            assert inside.seen == []

    run(work)


def test_an_answer_that_is_compressed_all_the_same_is_refused() -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)

    async def work() -> None:
        async with serving(always(head + bomb)) as place, client() as http:
            with pytest.raises(httpx2.DecodingError):
                await http.get(f"http://127.0.0.1:{place.port}/")

    run(work)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"SSH-2.0-s3cret\r\n", httpx2.RemoteProtocolError),
        (b"", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", httpx2.RemoteProtocolError),
    ],
)
def test_what_goes_wrong_is_told_in_the_clients_words(answer: bytes, failure: type[Exception]) -> None:
    async def work() -> None:
        async with serving(always(answer)) as place, client() as http:
            with pytest.raises(failure) as failed:
                await http.get(f"http://127.0.0.1:{place.port}/")
            assert "s3cret" not in str(failed.value)

    run(work)


def test_the_clients_own_time_limit_holds() -> None:
    async def serve(_request: bytes, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            await asyncio.sleep(0.005)

    async def work() -> None:
        async with serving(serve) as place, client() as http:
            with pytest.raises(httpx2.ReadTimeout):
                await http.get(f"http://127.0.0.1:{place.port}/", timeout=0.1)

    run(work)
