"""A connection that sends whatever bytes it is told to, and reads responses strictly.

Does not help the caller to be correct: request lines, headers and framing are the caller's. A response that is not
well-formed HTTP fails.
"""

import contextlib
import json
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

SECONDS = 30.0
"""How long an answer may take before it counts as none."""


@dataclass(frozen=True)
class Response:
    """What came back. ``headers`` have lower-case names; ``cut`` says that the rest of an endless body was not awaited."""

    status: int
    headers: dict[str, str]
    raw: bytes
    cut: bool = False

    @property
    def body(self) -> Any:
        """The decoded JSON."""
        return json.loads(self.raw)


class Closed(Exception):
    """The server closed the connection without a (further) response."""


def request(
    method: str | bytes,
    target: str | bytes,
    headers: "dict[str, str] | list[tuple[str, str]] | None" = None,
    body: bytes | None = None,
) -> bytes:
    """The bytes of a request. ``target`` is taken as it is; a body brings its content-length along."""

    def raw(text: str | bytes) -> bytes:
        return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")

    pairs = list(headers.items() if isinstance(headers, dict) else headers or [])
    if body is not None and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in pairs):
        pairs.append(("content-length", str(len(body))))
    lines = [raw(method) + b" " + raw(target) + b" HTTP/1.1", b"host: rota", *(raw(f"{n}: {v}") for n, v in pairs)]
    return b"\r\n".join([*lines, b"", body or b""])


class Connection:
    """One connection, made anew when the server has closed it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._rest = None, b""

    def send(self, data: bytes) -> None:
        """Send bytes; what the server no longer reads is no error."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def ask(self, data: bytes, *, method: str = "GET") -> Response:
        """Send a request and read its response; once more on a new connection, if the old one had been closed meanwhile."""
        fresh = self._socket is None
        try:
            self.send(data)
            return self.read(method=method)
        except Closed:
            if fresh:
                raise
            self.close()
            self.send(data)
            return self.read(method=method)

    def read(self, *, method: str = "GET") -> Response:
        """The next response. Closed if there is none; AssertionError if it is malformed."""
        while True:
            head = self._until(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            version, code, *_ = first.split(" ")
            assert version == "HTTP/1.1", head
            status = int(code)
            if status != 100:
                break
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, head
            assert name == name.strip(), head
            assert name.lower() not in headers, head
            headers[name.lower()] = value.strip()
        body, cut = b"", False
        if method != "HEAD" and status not in (204, 304):
            if headers.get("content-type", "").startswith("text/event-stream"):
                cut = True
            elif "content-length" in headers:
                body = self._exactly(int(headers["content-length"]))
            elif headers.get("transfer-encoding") == "chunked":
                body = self._chunks()
            else:
                raise AssertionError(f"a response without a length: {head!r}")
        if cut or headers.get("connection", "").lower() == "close":
            self.close()
        return Response(status, headers, body, cut)

    def at_end(self) -> bool:
        """Whether the server has closed the connection and nothing is left to read."""
        if self._socket is None:
            return True
        try:
            self._more()
        except Closed:
            return True
        return False

    def _more(self) -> None:
        assert self._socket is not None
        try:
            part = self._socket.recv(65536)
        except ConnectionResetError:
            part = b""
        except TimeoutError:
            raise AssertionError(f"no answer within {SECONDS:.0f} s; so far: {self._rest[:200]!r}") from None
        if not part:
            self.close()
            raise Closed
        self._rest += part

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            assert len(self._rest) < 1_000_000
            self._more()
        found, _, self._rest = self._rest.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        parts: list[bytes] = []
        while len(self._rest) < size:
            size -= len(self._rest)
            parts.append(self._rest)
            self._rest = b""
            self._more()
        found, self._rest = self._rest[:size], self._rest[size:]
        return b"".join([*parts, found])

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self._until(b"\r\n"), 16):
            found += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
        assert self._exactly(2) == b"\r\n"
        return found
