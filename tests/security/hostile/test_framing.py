"""Bytes that are not quite HTTP, clients that are not quite there, and what they may cost everybody else."""

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from rota import api
from rota.http import connection as bounds
from tests.acceptance.server import KEY, Server
from tests.security.hostile.connection import Connection, request
from tests.security.hostile.framing import Broken, table
from tests.security.hostile.verdict import Judge

JUDGE = Judge(api.ROUTES)
BROKEN = table(KEY)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("framing")) as running:
        yield running
    assert "Traceback" not in running.errors()
    assert "error" not in running.errors()


@pytest.fixture
def line(server: Server) -> Iterator[Connection]:
    with Connection(server.host, server.port) as made:
        yield made


def healthy(server: Server) -> bool:
    with Connection(server.host, server.port) as other:
        return other.ask(request("GET", "/healthz")).status == 200


@pytest.mark.parametrize("name", BROKEN)
def test_whatever_is_sent_is_answered_once_and_in_the_envelope(server: Server, line: Connection, name: str) -> None:
    broken: Broken = BROKEN[name]
    line.send(broken.data)
    response = line.read(method=broken.method)
    assert response.status in broken.statuses, response
    assert JUDGE.problems(None, response, method=broken.method) == []
    assert (response.headers.get("connection") == "close") == broken.closes
    if not broken.closes:
        assert line.ask(request("GET", "/healthz")).body == {"status": "ok"}
    assert healthy(server)


def test_what_follows_a_broken_request_is_not_taken_for_another(line: Connection) -> None:
    line.send(BROKEN["two lengths"].data + request("GET", "/healthz"))
    assert line.read().status == 400
    assert line.at_end()


def test_requests_in_a_row_are_answered_in_order(line: Connection) -> None:
    paths = ["/healthz", "/v1/nothing", "/v1/agents"] * 50
    line.send(b"".join(request("GET", path, {"x-api-key": KEY}) for path in paths))
    assert [line.read().status for _ in paths] == [200, 404, 200] * 50


def test_a_client_that_goes_away_in_the_middle_is_forgotten(server: Server) -> None:
    whole = request("POST", "/v1/environments", {"x-api-key": KEY}, b'{"name":"' + b"n" * 1000 + b'"}')
    for size in (1, 10, 50, len(whole) - 1000, len(whole) - 1):
        with Connection(server.host, server.port) as other:
            other.send(whole[:size])
    assert healthy(server)
    assert server.ask("GET", "/v1/environments").ok()["data"] == []


@pytest.mark.parametrize("part", ["nothing", "half a head", "half a body", "half a chunk"])
def test_a_hundred_clients_that_only_wait_hold_up_nobody(server: Server, part: str) -> None:
    whole = {
        "nothing": b"",
        "half a head": b"POST /v1/agents HTTP/1.1\r\nhost: rota\r\nx-",
        "half a body": request("POST", "/v1/agents", {"x-api-key": KEY, "content-length": "100000"}, b"{"),
        "half a chunk": request("POST", "/v1/agents", {"x-api-key": KEY, "transfer-encoding": "chunked"}, b"ff\r\n{"),
    }[part]
    waiting = [Connection(server.host, server.port) for _ in range(100)]
    try:
        for each in waiting:
            each.send(whole)
        for _ in range(20):
            assert healthy(server)
            assert server.ask("GET", "/v1/agents").ok()["data"] == []
    finally:
        for each in waiting:
            each.close()


# How long a client is waited for


class Bench:
    """A connection without a network, and a clock that strikes when told to."""

    def __init__(self, app: Any) -> None:
        self.timers: list[SimpleNamespace] = []
        self.closed = False
        self.written = b""

        def call_later(seconds: float, act: Callable[[], None]) -> Any:
            timer = SimpleNamespace(seconds=seconds, act=act, on=True)
            timer.cancel = lambda: setattr(timer, "on", False)
            self.timers.append(timer)
            return timer

        loop: Any = SimpleNamespace(call_later=call_later, create_task=asyncio.get_running_loop().create_task)
        config = Config(app, interface="asgi3", lifespan="off", log_config=None, timeout_keep_alive=75)
        self.line = bounds.Connection(config, ServerState(), {}, loop)

        def write(data: bytes) -> None:
            if self.closed:
                raise RuntimeError("the handler is closed")  # as uvloop's does
            self.written += data

        transport: Any = SimpleNamespace(
            get_extra_info=lambda _name: None,
            close=lambda: setattr(self, "closed", True),
            abort=lambda: setattr(self, "closed", True),
            is_closing=lambda: self.closed,
            write=write,
            pause_reading=lambda: None,
            resume_reading=lambda: None,
        )
        self.line.connection_made(transport)

    @property
    def waits(self) -> list[float]:
        """The seconds of what is being waited for."""
        return [timer.seconds for timer in self.timers if timer.on]

    def strike(self) -> None:
        """Let all timers come to their end."""
        due, self.timers = self.timers, []
        for timer in due:
            if timer.on:
                timer.act()


def bench(act: Callable[[Bench], Any]) -> None:
    """Run ``act`` on a connection to an application that answers when it has read everything."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        await act(Bench(app))

    asyncio.run(run())


HEAD, BODY, KEPT = bounds.HEAD_SECONDS, bounds.BODY_SECONDS, 75


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("sent", [b"", b"P", b"POST / HTTP/1.1\r\nhost: ", b"GET / HTTP/1.1\r\nhost: rota\r\n"])
def test_a_head_must_be_there_in_time(sent: bytes) -> None:
    async def act(one: Bench) -> None:
        for byte in sent:  # drop by drop does not help
            one.line.data_received(bytes([byte]))
        assert one.waits == [HEAD]
        one.strike()
        assert one.closed

    bench(act)


def test_the_head_of_a_later_request_too() -> None:
    async def act(one: Bench) -> None:
        one.line.data_received(b"GET / HTTP/1.1\r\nhost: rota\r\n\r\n")
        assert one.waits == []  # it is our turn
        await settle()
        assert one.written.startswith(b"HTTP/1.1 200")
        assert one.waits == [KEPT]
        one.line.data_received(b"G")
        one.line.data_received(b"E")
        assert one.waits == [HEAD]
        one.strike()
        assert one.closed

    bench(act)


def test_a_body_must_keep_coming() -> None:
    async def act(one: Bench) -> None:
        one.line.data_received(b"POST / HTTP/1.1\r\nhost: rota\r\ncontent-length: 10\r\n\r\n")
        for _ in range(9):
            assert one.waits == [BODY]
            one.line.data_received(b"x")
        assert len(one.timers) >= 10  # each byte begins the wait anew
        one.strike()
        assert one.closed

    bench(act)


def test_a_body_that_has_come_is_waited_for_no_more() -> None:
    async def act(one: Bench) -> None:
        one.line.data_received(b"POST / HTTP/1.1\r\nhost: rota\r\ncontent-length: 10\r\n\r\n")
        one.line.data_received(b"x" * 10)
        assert one.waits == []
        await settle()
        assert one.waits == [KEPT]
        assert not one.closed

    bench(act)


def test_a_client_that_we_do_not_read_from_is_not_given_up() -> None:
    async def act(one: Bench) -> None:
        one.line.data_received(b"POST / HTTP/1.1\r\nhost: rota\r\ncontent-length: 1000000\r\n\r\n")
        one.line.data_received(b"x" * 100_000)
        assert one.line.flow.read_paused
        one.strike()
        assert not one.closed
        assert one.waits == [BODY]

    bench(act)


def test_an_answer_to_whoever_has_just_left_is_dropped_and_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def act(one: Bench) -> None:
        one.line.data_received(b"GET / HTTP/1.1\r\nhost: rota\r\n\r\n")
        one.closed = True
        await settle()
        assert one.written == b""

    bench(act)
    assert caplog.records == []


def test_a_connection_that_is_gone_is_waited_for_no_more() -> None:
    async def act(one: Bench) -> None:
        one.line.data_received(b"G")
        one.line.connection_lost(None)
        assert one.waits == []

    bench(act)
