"""Requests that are broken, ambiguous or monstrous as HTTP, byte by byte, and what must come of each."""

import gzip
from typing import NamedTuple

from tests.security.hostile.connection import request


class Broken(NamedTuple):
    """Bytes, the statuses that may answer them, and whether the server closes the connection after it."""

    data: bytes
    statuses: frozenset[int] = frozenset({400})
    closes: bool = True
    method: str = "GET"


def _ok(data: bytes, *statuses: int, method: str = "GET") -> Broken:
    """Odd, but clear: it is answered, and the connection goes on."""
    return Broken(data, frozenset(statuses or (200,)), closes=False, method=method)


def table(key: str) -> dict[str, Broken]:
    """All of them. ``key`` is a good one, so that nothing is refused merely for want of one."""
    own = {"x-api-key": key}
    sent = {**own, "content-type": "application/json"}
    chunked = {**sent, "transfer-encoding": "chunked"}

    def get(target: str | bytes, *more: tuple[str, str]) -> bytes:
        return request("GET", target, [*own.items(), *more])

    def post(*more: tuple[str, str], body: bytes = b"{}") -> bytes:
        return request("POST", "/v1/agents", [*sent.items(), *more], body)

    def chunks(body: bytes) -> bytes:
        return request("POST", "/v1/agents", chunked, body)

    def head(*lines: bytes) -> bytes:
        return b"\r\n".join([b"GET /healthz HTTP/1.1", b"host: rota", *lines, b"", b""])

    one = b"2\r\n{}\r\n0\r\n\r\n"
    bad = {
        "binary": b"\x00\x01\x02\xff\xfe\r\n\r\n",
        "TLS": bytes.fromhex("16030100c6010000c20303") + b"a" * 200,
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "a method in small letters": b"get /healthz HTTP/1.1\r\nhost: rota\r\n\r\n",
        "an unknown method": request("FROBNICATE", "/healthz"),
        "no method": b" /healthz HTTP/1.1\r\nhost: rota\r\n\r\n",
        "no target": b"GET  HTTP/1.1\r\nhost: rota\r\n\r\n",
        "a target without a slash": get("healthz"),
        "a target that is not ASCII": get("/v1/agents/ä"),
        "a query that is not ASCII": get(b"/v1/agents?limit=\xff"),
        "a target with a space": get("/v1/agents/a b"),
        "a target with a NUL": get(b"/v1/agents/a\x00b"),
        "a target with a port that is none": get("http://rota:99999/healthz"),
        "a target to connect to": request("CONNECT", "rota:80", own),
        "HTTP/1.2": b"GET /healthz HTTP/1.2\r\nhost: rota\r\n\r\n",
        "HTTP/9.9": b"GET /healthz HTTP/9.9\r\nhost: rota\r\n\r\n",
        "lines without carriage returns": b"GET /healthz HTTP/1.1\nhost: rota\n\n",
        "a folded header": head(b"a: b", b" c"),
        "a header without a colon": head(b"abc"),
        "a header without a name": head(b": c"),
        "a name with a space": head(b"a b: c"),
        "a space before the colon": head(b"a : c"),
        "a name that is not ASCII": head("ä: c".encode()),
        "a value with a NUL": head(b"a: \x00"),
        "a value with a carriage return": head(b"a: b\rc: d"),
        "a negative length": post(("content-length", "-1")),
        "a length with a sign": post(("content-length", "+2")),
        "a hexadecimal length": post(("content-length", "0x2")),
        "two lengths": post(("content-length", "2"), ("content-length", "3")),
        "the same length twice": post(("content-length", "2"), ("content-length", "2")),
        "a list of lengths": post(("content-length", "2, 2")),
        "a length beyond all numbers": post(("content-length", "9" * 40)),
        "a length, then chunks": post(("content-length", "2"), ("transfer-encoding", "chunked"), body=one),
        "chunks, then a length": post(("transfer-encoding", "chunked"), ("content-length", "2"), body=one),
        "an encoding that is not chunks": post(("transfer-encoding", "xchunked"), body=one),
        "chunks that are not last": post(("transfer-encoding", "chunked, identity"), body=one),
        "chunks twice": post(("transfer-encoding", "chunked, chunked"), body=one),
        "two encodings": post(("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), body=one),
        "a chunk beyond all numbers": chunks(b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n"),
        "a negative chunk": chunks(b"-2\r\n{}\r\n0\r\n\r\n"),
        "a chunk of no size": chunks(b"zz\r\n{}\r\n0\r\n\r\n"),
        "a chunk longer than it says": chunks(b"1\r\n{}\r\n0\r\n\r\n"),
        "a line break in a chunk's extension": chunks(b'2;a="\n"\r\n{}\r\n0\r\n\r\n'),
        "an endless chunk line": chunks(b"2;" + b"a" * 3_000_000 + b"\r\n{}\r\n0\r\n\r\n"),
        "an endless target": get("/" + "a" * 3_000_000),
        "an endless query": get("/v1/agents?" + "a=b&" * 750_000),
        "an endless header": get("/v1/agents", ("x", "y" * 3_000_000)),
        "an endless name": get("/v1/agents", ("x" * 3_000_000, "y")),
        "headers without end": get("/v1/agents", *((f"x-{n}", "y") for n in range(400_000))),
        "a header over and over": get("/v1/agents", *(("x", "y") for _ in range(800_000))),
        "an endless trailer": chunks(b"2\r\n{}\r\n0\r\nx: " + b"y" * 3_000_000 + b"\r\n\r\n"),
    }
    odd = {
        "an absolute target": _ok(get("http://rota/healthz")),
        "a fragment": _ok(get("/healthz#x")),
        "every letter percent-encoded": _ok(get("/" + "".join(f"%{ord(c):02x}" for c in "v1/agents"))),
        "two slashes": _ok(get("//healthz"), 404),
        "a star": _ok(request("OPTIONS", "*", own), 404),
        "an empty segment": _ok(get("/v1//agents"), 404),
        "dots": _ok(get("/v1/../healthz"), 404),
        "a NUL, encoded": _ok(get("/v1/agents/%00"), 404),
        "a broken percent sign": _ok(get("/v1/agents/%zz%"), 404),
        "UTF-8 that is too long": _ok(get("/v1/agents/%c0%af"), 404),
        "a surrogate, encoded": _ok(get("/v1/agents/%ed%a0%80"), 404),
        "a long target": _ok(get("/v1/agents/" + "a" * 40_000), 404),
        "a deep target": _ok(get("/v1" + "/agents" * 5_000), 404),
        "101 headers": _ok(get("/v1/agents", *((f"x-{n}", "y") for n in range(101))), 400),
        "one header 101 times": _ok(get("/v1/agents", *(("x", "y") for _ in range(101))), 400),
        "a header of 60 KB": _ok(get("/v1/agents", ("x", "y" * 60_000))),
        "two keys": _ok(get("/v1/agents", ("x-api-key", "nonsense")), 400),
        "two keys, the good one last": _ok(
            request("GET", "/v1/agents", [("x-api-key", "nonsense"), ("x-api-key", key)]), 400
        ),
        "the same key twice": _ok(get("/v1/agents", ("x-api-key", key))),
        "a key in a trailer": _ok(
            request(
                "GET", "/v1/agents", {"transfer-encoding": "chunked"}, b"0\r\nx-api-key: " + key.encode() + b"\r\n\r\n"
            ),
            401,
        ),
        "two betas": _ok(get("/v1/agents", ("anthropic-beta", "a"), ("anthropic-beta", "b"))),
        "no host": _ok(b"GET /healthz HTTP/1.1\r\n\r\n"),
        "empty lines in front": _ok(b"\r\n\r\n" + get("/healthz")),
        "chunks of one byte": _ok(chunks(b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"), 400),
        "an unknown expectation": _ok(post(("expect", "the worst")), 400),
        "an offer of WebSocket": _ok(
            get("/healthz", ("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"))
        ),
        "an offer of HTTP/2": _ok(get("/healthz", ("connection", "upgrade, http2-settings"), ("upgrade", "h2c"))),
        "a body with GET": _ok(request("GET", "/v1/agents", own, b"{}")),
        "a compressed body": _ok(post(("content-encoding", "gzip"), body=gzip.compress(b"{}")), 400),
        "a bomb": _ok(post(("content-encoding", "gzip"), body=gzip.compress(b" " * 30_000_000)), 400),
        "only the head": _ok(request("HEAD", "/healthz", own), 405, method="HEAD"),
        "what is possible": _ok(request("OPTIONS", "/v1/agents", own), 405),
        "a trace": _ok(request("TRACE", "/v1/agents", own), 405),
        "a way through": _ok(request("CONNECT", "/healthz", own), 405),
        "too long by its own account": Broken(
            post(("content-length", str(2**60)), body=b""), frozenset({413}), closes=True
        ),
        "HTTP/1.0": Broken(b"GET /healthz HTTP/1.0\r\n\r\n", frozenset({200})),
        "HTTP/0.9": Broken(b"GET /healthz\r\n\r\n", frozenset({200})),
    }
    return {name: Broken(data) for name, data in bad.items()} | odd
