"""What a server does with requests that are too large, too many or cut short, over the wire."""

import contextlib
import json
import select
import socket
import threading
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.acceptance.server import KEY, SECONDS, Answer, Server, read_answer
from tests.cli.process import eventually

MAX = 32 * 1024 * 1024


def head(server: Server, target: str, *lines: str) -> bytes:
    """A POST's head with a key."""
    start = [f"POST {target} HTTP/1.1", f"Host: {server.host}", f"X-Api-Key: {server.key}", *lines]
    return "\r\n".join([*start, "", ""]).encode()


def answer_of(connection: socket.socket) -> Answer:
    """The next response on a connection."""
    response = HTTPResponse(connection, method="POST")
    try:
        response.begin()
        return read_answer(response)
    finally:
        response.close()


@pytest.mark.parametrize("target", ["/v1/environments", "/v1/deployments/depl_01AAAAAAAAAAAAAAAAAAAAAA/run"])
@pytest.mark.parametrize("size", [MAX + 1, 10**12, 10**30])
def test_a_body_announced_as_too_large_is_refused_before_it_is_read(
    shared_server: Server, target: str, size: int
) -> None:
    with shared_server.socket() as connection:
        connection.sendall(head(shared_server, target, f"Content-Length: {size}") + b'{"name": "')
        answer = answer_of(connection)
        if size < 2**63:
            assert "32 MB" in answer.refused(413, "request_too_large")
        else:  # no HTTP parser counts that far
            answer.refused(400, "invalid_request_error")
        assert connection.recv(64) == b"", "the connection is closed, since the rest of the body is not read"


def test_a_client_that_asks_first_is_not_told_to_go_on(shared_server: Server) -> None:
    with shared_server.socket() as connection:
        connection.sendall(
            head(shared_server, "/v1/environments", f"Content-Length: {MAX + 1}", "Expect: 100-continue")
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


def test_a_body_without_a_length_is_refused_as_soon_as_it_is_too_large(shared_server: Server) -> None:
    chunk = b"x" * (1 << 20)
    sent = 0
    with shared_server.socket() as connection:
        connection.sendall(head(shared_server, "/v1/environments", "Transfer-Encoding: chunked"))
        with contextlib.suppress(ConnectionError):  # it may be cut off before the answer is read
            while sent < MAX * 4 and not select.select([connection], [], [], 0)[0]:
                connection.sendall(b"100000\r\n" + chunk + b"\r\n")
                sent += len(chunk)
        answer = answer_of(connection)
    assert "32 MB" in answer.refused(413, "request_too_large")
    assert MAX < sent < MAX * 2
    assert shared_server.ask("GET", "/healthz").status == 200


def test_a_body_just_under_the_limit_is_read(shared_server: Server) -> None:
    body = json.dumps({"name": "large", "description": "x" * (MAX - 100)}).encode()
    with shared_server.socket() as connection:
        connection.sendall(head(shared_server, "/v1/environments", f"Content-Length: {len(body)}") + body)
        answer = answer_of(connection)
    assert answer.refused(400, "invalid_request_error") == "description: maximum string length is 1024"


def test_a_request_that_is_cut_short_changes_nothing(sqlite_server: Server) -> None:
    with sqlite_server.socket() as connection:
        connection.sendall(head(sqlite_server, "/v1/environments", "Content-Length: 20") + b'{"name": "cut"')
    connection = sqlite_server.connection()
    try:
        for _ in range(20):
            connection.request("GET", "/v1/environments", headers={"x-api-key": KEY})
            assert read_answer(connection.getresponse()).ok()["data"] == []
    finally:
        connection.close()
    assert sqlite_server.errors() == ""


def test_what_is_not_http_is_refused_and_the_server_goes_on(shared_server: Server) -> None:
    for noise in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET\r\n\r\n",
        b"POST /v1/agents HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ):
        with shared_server.socket() as connection:
            connection.sendall(noise)
            assert answer_of(connection).refused(400, "invalid_request_error") == "Invalid HTTP request received."
            assert connection.recv(64) == b""
    assert shared_server.ask("GET", "/v1/agents").status == 200


def test_an_offer_to_change_the_protocol_is_passed_over_in_silence(sqlite_server: Server) -> None:
    for protocol in ("h2c", "websocket"):
        headers = {"connection": "Upgrade, HTTP2-Settings", "upgrade": protocol, "http2-settings": "AAMAAABk"}
        assert sqlite_server.ask("GET", "/v1/agents", headers=headers).ok()["data"] == []
    assert sqlite_server.errors() == ""


def test_a_hundred_idle_connections_hold_nobody_up(shared_server: Server) -> None:
    with contextlib.ExitStack() as open_:
        for _ in range(100):
            idle = open_.enter_context(shared_server.socket())
            idle.sendall(b"POST /v1/agents HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert shared_server.ask("GET", "/v1/agents").status == 200


def test_a_signal_lets_runs_in_flight_finish_and_loses_none(database_url: str, tmp_path: Path) -> None:
    server = Server(tmp_path / "server", database_url)
    answered: list[Answer] = []
    broken: list[Exception] = []
    with server:
        deployment = server.deployment("busy")

        def client() -> None:
            connection = server.connection()
            try:
                while True:
                    connection.request("POST", f"/v1/deployments/{deployment}/run", headers={"x-api-key": KEY})
                    answered.append(read_answer(connection.getresponse()))
            except OSError as exc:
                broken.append(exc)
            finally:
                connection.close()

        clients = [threading.Thread(target=client) for _ in range(8)]
        for thread in clients:
            thread.start()
        eventually(lambda: len(answered) > 50)
        server.terminate()
        assert server.wait() == 0
        for thread in clients:
            thread.join(SECONDS)
    assert len(broken) == 8, "each client was told by its connection, not left waiting"
    seen = {answer.ok()["id"] for answer in answered}
    with server:
        kept: set[str] = set()
        page: str | None = ""
        while page is not None:
            found = server.ask("GET", f"/v1/deployment_runs?limit=1000&deployment_id={deployment}&page={page}").ok()
            kept |= {run["id"] for run in found["data"]}
            page = found["next_page"]
    assert seen <= kept
    assert len(kept - seen) <= 8, "at most the one that each client was waiting for"
    assert server.errors() == ""
