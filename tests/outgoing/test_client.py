"""The one door to other hosts, tried with real connections on loopback."""

import asyncio
import gzip
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rota.outgoing import client, dial, guard
from rota.outgoing.failures import ForbiddenAddress, OutgoingFailure, TimedOut, TooLarge, Unreachable
from tests.outgoing.corpus import NAMES, PUBLIC, REFUSED
from tests.outgoing.servers import OK, always, canary, policy, resolver, serving


def run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


# What is sent and what comes back


def test_an_answer_comes_back_whole() -> None:
    async def work() -> None:
        async with serving(
            always(b"HTTP/1.1 418 Teapot\r\nX-One: 1\r\nx-one: 2\r\ncontent-length: 5\r\n\r\nhello")
        ) as place:
            url = f"http://127.0.0.1:{place.port}/a%20b?c=d"
            answer = await client.request(
                "PATCH", url, policy=policy("127.0.0.1"), headers={"Authorization": "Bearer t"}, content=b"body"
            )
        assert (answer.status, answer.content, answer.cut) == (418, b"hello", False)
        assert answer.header("x-one") == "1"
        assert answer.header("absent") == ""
        [request] = place.seen
        head, body = request.split(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"PATCH /a%20b?c=d HTTP/1.1"
        assert body == b"body"
        assert sorted(line.lower() for line in lines[1:]) == [
            b"accept-encoding: identity",
            b"authorization: bearer t",
            b"connection: close",
            b"content-length: 4",
            f"host: 127.0.0.1:{place.port}".encode(),
            b"user-agent: rota",
        ]

    run(work)


def test_the_door_keeps_its_own_headers() -> None:
    async def work() -> None:
        for name in ("Host", "connection", "Content-Length", "transfer-encoding", "Accept-Encoding"):
            with pytest.raises(ValueError, match=name.lower()):
                await client.request("GET", "http://localhost/", policy=policy("localhost"), headers={name: "x"})

    run(work)


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\x00b", "snö", "\x7f"])
def test_a_header_that_http_cannot_carry_is_not_sent_and_not_told(value: str) -> None:
    async def work() -> None:
        async with canary() as place:
            url = f"http://127.0.0.1:{place.port}/"
            with pytest.raises(Unreachable) as failed:
                await client.request("GET", url, policy=policy("127.0.0.1"), headers={"authorization": value})
            assert value not in str(failed.value)
            assert failed.value.__cause__ is None
            assert place.seen == []

    run(work)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_is_an_answer_and_leads_nowhere(status: int, scheme: str) -> None:
    async def work() -> None:
        async with canary() as inside:
            location = f"{scheme}://127.0.0.1:{inside.port}/"
            answer = f"HTTP/1.1 {status} Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
            async with serving(always(answer)) as place:
                allow = f"127.0.0.1:{place.port}"
                found = await client.request(
                    "POST", f"http://127.0.0.1:{place.port}/", policy=policy(allow), content=b"x"
                )
            assert (found.status, found.header("location")) == (status, location)
            assert len(place.seen) == 1
            assert inside.seen == []

    run(work)


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with canary() as proxy, serving(always(OK)) as place:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
                monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            answer = await client.request("GET", f"http://127.0.0.1:{place.port}/", policy=policy("127.0.0.1"))
            assert answer.content == b"hello"
            assert proxy.seen == []

    run(work)


# Where it connects to


def test_nothing_forbidden_is_ever_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every refused form, its port that of a canary on loopback, and the canary's port one of the allowed."""

    async def resolve(host: str, _port: int) -> list[str]:
        return ["127.0.0.1"] if host in NAMES else []

    async def work() -> None:
        async with canary() as place:
            monkeypatch.setattr(guard, "PORTS", frozenset({443, place.port}))
            tried = 0
            for url in REFUSED:
                for at in (url, url.removesuffix("/") + f":{place.port}/"):
                    with pytest.raises(ForbiddenAddress):
                        await client.request("GET", at, policy=policy(), resolve=resolve)
                    tried += 1
            assert tried == 2 * len(REFUSED)
            assert place.seen == []
            with pytest.raises(Unreachable):  # so it would have been seen
                await client.request("GET", f"https://db:{place.port}/", policy=policy("db"), resolve=resolve)
            assert len(place.seen) == 1

    run(work)


def test_every_address_of_a_name_is_judged_before_any_is_dialled() -> None:
    async def work() -> None:
        async with serving(always(OK)) as place, canary("127.0.0.2", place.port) as inside:
            allow = policy("127.0.0.1")
            for addresses in (["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "::1"]):
                resolve, _ = resolver(addresses)
                with pytest.raises(ForbiddenAddress):
                    await client.request("GET", f"http://name.example:{place.port}/", policy=allow, resolve=resolve)
            assert place.seen == []
            assert inside.seen == []

    run(work)


def test_a_name_that_changes_its_mind_changes_nothing() -> None:
    """A resolver that alternates: each request looks once, and dials what it judged."""

    async def work() -> None:
        async with serving(always(OK)) as place, canary("127.0.0.2", place.port) as inside:
            resolve, asked = resolver(["127.0.0.1"], ["127.0.0.2"])
            outcomes: list[str] = []
            for _ in range(40):
                try:
                    url = f"http://name.example:{place.port}/"
                    answer = await client.request("GET", url, policy=policy("127.0.0.1"), resolve=resolve)
                    outcomes.append(answer.content.decode())
                except ForbiddenAddress:
                    outcomes.append("refused")
            assert outcomes == ["hello", "refused"] * 20
            assert len(asked) == 40
            assert inside.seen == []
            assert all(f"host: name.example:{place.port}".encode() in request for request in place.seen)

    run(work)


def test_what_was_judged_public_is_what_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled: list[tuple[str, int]] = []

    async def connect_tcp(_self: object, host: str, port: int, *_: Any) -> Any:
        dialled.append((host, port))
        raise httpcore2.ConnectError("nobody leaves this machine")

    async def work() -> None:
        resolve, asked = resolver([PUBLIC, "2606:4700::1111"], ["127.0.0.1"])
        for _ in range(10):
            with pytest.raises((Unreachable, ForbiddenAddress)):
                await client.request("GET", "https://rebind.example/", policy=policy(), resolve=resolve)
        assert len(asked) == 10
        assert dialled == [(PUBLIC, 443), ("2606:4700::1111", 443)] * 5

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
    run(work)


def test_a_name_without_hope_is_not_even_looked_up() -> None:
    async def work() -> None:
        resolve, asked = resolver(["127.0.0.1"])
        for url in ("http://secret.example/", "https://secret.example:22/"):
            with pytest.raises(ForbiddenAddress):
                await client.request("GET", url, policy=policy("localhost"), resolve=resolve)
        assert asked == []

    run(work)


def test_the_next_address_is_tried_when_one_does_not_take_the_connection() -> None:
    async def work() -> None:
        async with serving(always(OK)) as place:
            resolve, _ = resolver(["127.0.0.3", "127.0.0.1"])
            url = f"http://name.example:{place.port}/"
            assert (await client.request("GET", url, policy=policy("127.0.0.0/8"), resolve=resolve)).status == 200

    run(work)


def test_a_name_without_address_is_unreachable() -> None:
    async def work() -> None:
        with pytest.raises(Unreachable, match="no address"):
            await client.request("GET", "https://nobody.invalid/", policy=policy())
        resolve, _ = resolver([])
        with pytest.raises(Unreachable):
            await client.request("GET", "https://empty.example/", policy=policy(), resolve=resolve)

    run(work)


# TLS


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's certificate for ``tls.example``, by an authority that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tls.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("tls.example"), x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path / "cert.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    dial._tls.cache_clear()
    monkeypatch.setattr(dial, "_tls", dial._tls.__wrapped__)
    return context


def test_tls_asks_for_the_name_and_believes_no_other(identity: ssl.SSLContext) -> None:
    asked_for: list[str | None] = []
    identity.sni_callback = lambda _socket, name, _context: asked_for.append(name)

    async def work() -> None:
        async with serving(always(OK), tls=identity) as place:
            resolve, _ = resolver(["127.0.0.1"])
            url = f"https://tls.example:{place.port}/"
            answer = await client.request("GET", url, policy=policy("127.0.0.1"), resolve=resolve)
            assert answer.content == b"hello"
            assert f"host: tls.example:{place.port}".encode() in place.seen[0]
            other = f"https://other.example:{place.port}/"
            with pytest.raises(Unreachable):
                await client.request("GET", other, policy=policy("127.0.0.1"), resolve=resolve)
            assert (
                await client.request("GET", f"https://127.0.0.1:{place.port}/", policy=policy("127.0.0.1"))
            ).status == 200
        assert asked_for[:2] == ["tls.example", "other.example"]

    run(work)


def test_a_certificate_that_nobody_vouches_for_is_unreachable(
    identity: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    async def work() -> None:
        async with serving(always(OK), tls=identity) as place:
            with pytest.raises(Unreachable):
                await client.request("GET", f"https://127.0.0.1:{place.port}/", policy=policy("127.0.0.1"))
            assert place.seen == []

    run(work)


# Hosts that mean harm, or know no better


async def _endless(_request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def _endless_headers(_request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"x: " + b"y" * 8000 + b"\r\n")
        await writer.drain()


async def _endless_continue(_request: bytes, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await writer.drain()
        await asyncio.sleep(0.001)


async def _drip(_request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.005)


async def _drip_head(_request: bytes, writer: asyncio.StreamWriter) -> None:
    for letter in b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000:
        writer.write(bytes([letter]))
        await writer.drain()
        await asyncio.sleep(0.005)


async def _silent(_request: bytes, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        await asyncio.sleep(0.005)


async def _hang_up(_request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhal")
    await writer.drain()
    writer.close()


HARM = [
    (_endless, TooLarge),
    (always(b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n" + b"x" * 2_000_000), TooLarge),
    (_endless_headers, Unreachable),
    (_endless_continue, TimedOut),
    (_drip, TimedOut),
    (_drip_head, TimedOut),
    (_silent, TimedOut),
    (_hang_up, Unreachable),
    (always(b""), Unreachable),
    (always(b"SSH-2.0-OpenSSH_9.2\r\n"), Unreachable),
    (always(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!"), Unreachable),
    (always(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"), Unreachable),
    (always(b"HTTP/1.1 200 OK\r\nna me: x\r\n\r\n"), Unreachable),
]


@pytest.mark.parametrize(
    ("serve", "failure"), HARM, ids=[f"{n} {getattr(serve, '__name__', '')}" for n, (serve, _) in enumerate(HARM)]
)
def test_a_hostile_answer_ends_in_its_class(serve: Any, failure: type[OutgoingFailure]) -> None:
    async def work() -> None:
        async with serving(serve) as place:
            url = f"http://127.0.0.1:{place.port}/s3cret"
            with pytest.raises(failure) as failed:
                await client.request("GET", url, policy=policy("127.0.0.1"), size=100_000, seconds=0.5)
            assert type(failed.value) is failure
            assert "s3cret" not in str(failed.value)
            assert "OpenSSH" not in str(failed.value)

    run(work)


def test_a_long_answer_may_be_cut_instead() -> None:
    async def work() -> None:
        async with serving(_endless) as place:
            url = f"http://127.0.0.1:{place.port}/"
            answer = await client.request("GET", url, policy=policy("127.0.0.1"), size=1000, cut=True)
            assert (answer.content, answer.cut) == (b"x" * 1000, True)

    run(work)


def test_nothing_is_decompressed() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)

    async def work() -> None:
        async with serving(always(head + bomb)) as place:
            answer = await client.request(
                "GET", f"http://127.0.0.1:{place.port}/", policy=policy("127.0.0.1"), size=100_000
            )
            assert answer.content == bomb

    run(work)


def test_an_answer_can_be_read_as_it_arrives() -> None:
    async def serve(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
        await _silent(b"", writer)

    async def work() -> None:
        async with serving(serve) as place:
            url = f"http://127.0.0.1:{place.port}/"
            async with client.arriving("GET", url, policy=policy("127.0.0.1")) as answer:
                assert answer.header("content-type") == "text/event-stream"
                assert await anext(answer.chunks) == b"data: 1\n\n"
            with pytest.raises(TimedOut):
                async with client.arriving("GET", url, policy=policy("127.0.0.1"), seconds=0.1) as answer:
                    await answer.whole()

    run(work)


def test_whoever_gives_up_leaves_nothing_behind() -> None:
    async def work() -> None:
        async with serving(_silent) as place:
            asking = asyncio.create_task(
                client.request("GET", f"http://127.0.0.1:{place.port}/", policy=policy("127.0.0.1"))
            )
            while not place.seen:
                await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    run(work)
