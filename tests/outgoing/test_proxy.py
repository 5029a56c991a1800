"""The proxy of a sandbox, without the sandbox: what it lets through, what it refuses, and how it says so."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any

import pytest

from rota.outgoing import guard, proxy
from rota.outgoing.failures import ForbiddenAddress, Unreachable
from rota.outgoing.proxy import Gate
from rota.outgoing.reach import Reach, reach
from rota.outgoing.resolve import is_own
from tests.outgoing.corpus import PUBLIC, REFUSED
from tests.outgoing.servers import always, canary, serving

LOCAL = ["127.0.0.1"]


def run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


@asynccontextmanager
async def gate(how_far: Reach, names: dict[str, list[str]] | None = None) -> AsyncGenerator[tuple[Gate, int]]:
    """A proxy on loopback."""
    listener = socket.create_server(("127.0.0.1", 0))

    async def resolve(host: str, _port: int) -> list[str]:
        if host not in (names or {}):
            raise Unreachable(f"{host} has no address")
        return (names or {})[host]

    opened = Gate(listener, how_far, resolve)
    await opened.open()
    try:
        yield opened, listener.getsockname()[1]
    finally:
        await opened.close()


async def ask(port: int, text: str) -> str:
    """Everything that the proxy answers to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode())
    try:
        return (await asyncio.wait_for(reader.read(), 10)).decode(errors="replace")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def everywhere(allow: str = "") -> Reach:
    return reach("unrestricted", (), guard.allowed(allow))


# Whom it serves


def test_a_plain_request_is_passed_on_and_put_together_anew() -> None:
    async def work() -> None:
        answer = (
            b"HTTP/1.1 200 OK\r\nX-Own: 1\r\nConnection: close, x-hop\r\nX-Hop: 1\r\ncontent-length: 5\r\n\r\nhello"
        )
        async with serving(always(answer)) as place, gate(everywhere("good.test"), {"good.test": LOCAL}) as (_, port):
            said = await ask(
                port,
                f"POST http://good.test:{place.port}/a?b=c HTTP/1.1\r\nHost: other.test\r\nProxy-Authorization: Basic eA==\r\n"
                "Connection: x-mine\r\nX-Mine: 1\r\nX-Kept: 2\r\nContent-Length: 4\r\n\r\nbody",
            )
            assert said.startswith("HTTP/1.1 200 ")
            assert said.endswith("\r\n\r\nhello")
            assert "x-hop" not in said.lower()
            (seen,) = place.seen
            assert seen.startswith(b"POST /a?b=c HTTP/1.1\r\n")
            assert f"host: good.test:{place.port}".encode() in seen.lower()
            assert seen.endswith(b"\r\n\r\nbody")
            for gone in (b"other.test", b"proxy-authorization", b"x-mine"):
                assert gone not in seen.lower()
            assert b"x-kept: 2" in seen.lower()

    run(work)


def test_a_body_in_pieces_and_an_answer_without_a_length() -> None:
    async def work() -> None:
        async def until_the_end(request: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")

        async with serving(until_the_end) as place, gate(everywhere("good.test"), {"good.test": LOCAL}) as (_, port):
            said = await ask(port, f"GET http://good.test:{place.port}/ HTTP/1.0\r\n\r\n")
            assert said.endswith("until the end")
            said = await ask(port, f"GET http://good.test:{place.port}/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert "transfer-encoding: chunked" in said.lower()
            assert "until the end" in said

    run(work)


def test_a_tunnel_carries_bytes_both_ways_and_ends_with_either() -> None:
    async def work() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while piece := await reader.read(100):
                writer.write(piece.upper())
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        target = server.sockets[0].getsockname()[1]
        async with gate(everywhere("good.test"), {"good.test": LOCAL}) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"CONNECT good.test:{target} HTTP/1.1\r\nHost: good.test\r\n\r\nearly".encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(5) == b"EARLY"
            writer.write(b"late")
            assert await reader.readexactly(4) == b"LATE"
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        server.close()

    run(work)


# Whom it refuses


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("api.example.com", True), ("API.example.COM", True), ("api.example.com.", True), ("example.com", False),
        ("x.api.example.com", False), ("a.example.org", True), ("a.b.example.org", True), ("example.org", False),
        ("badexample.org", False), ("example.org.evil.test", False), ("bücher.example", True), ("xn--bcher-kva.example", True),
        ("", False), ("10.0.0.1", False),
    ],
)  # fmt: skip
def test_a_list_of_hosts_is_kept_to(host: str, admitted: bool) -> None:
    limited = reach("limited", ["api.example.com", "*.example.org", "Bücher.example", "no host!"], guard.Allowed())
    try:
        limited.check(guard.parse(f"https://{host}:443/"))
        got = True
    except ForbiddenAddress:
        got = False
    assert got is admitted


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://api.example.com/", "only be asked over https"),
        ("https://api.example.com:22/", "at port 22"),
        ("https://other.example.com/", "Host not in allowlist: other.example.com"),
    ],
)
def test_a_list_of_hosts_opens_https_only(url: str, sentence: str) -> None:
    with pytest.raises(ForbiddenAddress, match=sentence):
        reach("limited", ["api.example.com"], guard.Allowed()).check(guard.parse(url))


def test_without_a_network_nothing_is_reached() -> None:
    for kind in ("none", "limited"):
        with pytest.raises(ForbiddenAddress, match="no network"):
            reach(kind, [], guard.Allowed()).check(guard.parse("https://example.com/"))


def test_without_a_list_any_port_of_a_public_host_is_asked() -> None:
    for address in (PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c"):
        target = guard.parse(f"https://[{address}]:22/" if ":" in address else f"https://{address}:22/")
        everywhere().check(target)
        everywhere().judge(target, [ip_address(address)])


def test_what_is_not_public_is_refused_by_either_reach() -> None:
    async def work() -> None:
        async with (
            canary() as place,
            gate(everywhere(), {"in.test": LOCAL, "both.test": ["192.0.2.1", "127.0.0.1"]}) as (_, port),
        ):
            for host in ("127.0.0.1", "in.test", "both.test", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"):
                said = await ask(port, f"CONNECT {host}:{place.port} HTTP/1.1\r\nHost: x\r\n\r\n")
                assert said.startswith("HTTP/1.1 403 "), (host, said)
                assert "ROTA_ALLOW_PRIVATE_HOSTS" in said
                said = await ask(port, f"GET http://{host}:{place.port}/ HTTP/1.1\r\nHost: x\r\n\r\n")
                assert said.startswith("HTTP/1.1 403 "), (host, said)
            assert not place.seen

    run(work)


def test_every_address_of_the_guards_corpus_is_refused_as_a_tunnel() -> None:
    async def work() -> None:
        async with gate(everywhere(), {}) as (_, port):
            for url in REFUSED:
                authority = url.partition("://")[2].partition("/")[0]
                if not authority.isascii() or " " in authority or "\t" in authority:
                    continue
                said = await ask(port, f"CONNECT {authority.rpartition('@')[2]} HTTP/1.1\r\nHost: x\r\n\r\n")
                assert " 200 " not in said.split("\r\n")[0], url

    run(work)


def test_this_machines_own_public_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that others reach at a public address reaches itself there; a sandbox must not."""
    assert is_own(ip_address("127.0.0.1"))
    monkeypatch.setattr(proxy, "is_own", lambda address: str(address) == "203.0.114.7")

    async def work() -> None:
        async with gate(everywhere(), {"me.test": ["203.0.114.7"]}) as (opened, port):
            said = await ask(port, "CONNECT me.test:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert "403" in said
            assert "this server's own machine" in said
            assert opened.refused == 1

    run(work)


@pytest.mark.parametrize(
    "text",
    [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET https://example.com/ HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01",
        "CONNECT example.com HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT example.com:443 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        "CONNECT a@example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://a b/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST http://example.com/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "GET http://example.com/ HTTP/1.1\r\nA : b\r\nHost: x\r\n\r\n",
        "GET ftp://example.com/ HTTP/1.1\r\nHost: x\r\n\r\n", "X" * 40_000,
    ],
)  # fmt: skip
def test_what_is_no_request_for_a_proxy_is_400(text: str) -> None:
    async def work() -> None:
        async with gate(everywhere(), {"example.com": ["192.0.2.1"]}) as (_, port):
            assert (await ask(port, text + "\r\n\r\n")).startswith("HTTP/1.1 400 ")

    run(work)


def test_a_host_that_is_not_there_is_502_and_one_that_speaks_nonsense_too() -> None:
    async def work() -> None:
        async with (
            serving(always(b"nonsense\r\n\r\n")) as place,
            gate(everywhere("good.test"), {"good.test": LOCAL}) as (_, port),
        ):
            assert "502" in await ask(port, "CONNECT absent.test:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert "502" in await ask(port, f"GET http://good.test:{place.port}/ HTTP/1.1\r\nHost: x\r\n\r\n")

    run(work)


# What it can be made to hold


def test_connections_are_counted_and_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "CONNECTIONS", 2)
    monkeypatch.setattr(proxy, "HEAD_SECONDS", 0.3)

    async def work() -> None:
        async with gate(everywhere()) as (_, port):
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            third, writer = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises((ConnectionError, AssertionError)):  # reset, or ended without a word
                assert await third.read() != b""
            writer.close()
            for reader, writer in held:
                assert await asyncio.wait_for(reader.read(), 10) == b""
                writer.close()

    run(work)


def test_a_tunnel_that_is_silent_for_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "IDLE_SECONDS", 0.2)

    async def work() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        target = server.sockets[0].getsockname()[1]
        async with gate(everywhere("good.test"), {"good.test": LOCAL}) as (_, port):
            assert "200" in await ask(port, f"CONNECT good.test:{target} HTTP/1.1\r\nHost: x\r\n\r\n")
        server.close()

    run(work)


def test_dropping_and_closing_end_what_is_open() -> None:
    async def work() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        target = server.sockets[0].getsockname()[1]
        async with gate(everywhere("good.test"), {"good.test": LOCAL}) as (opened, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"CONNECT good.test:{target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            opened.drop()
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        server.close()

    run(work)
