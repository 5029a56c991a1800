"""Streams over real sockets: a reader that can be cut off at any byte, and a client that puts stream and list together."""

import socket
import struct
from collections.abc import Iterator
from typing import Any, Self

from tests.acceptance.server import SECONDS, Server
from tests.streams import Frame, parse

INTERRUPT = {"type": "user.interrupt"}
"""An idle session takes it up on receipt: it is in the log at once."""


def session(server: Server, name: str = "streams") -> str:
    """The id of a new session."""
    agent = server.ask("POST", "/v1/agents", {"name": name, "model": "claude-opus-5-5"}).ok()
    environment = server.ask("POST", "/v1/environments", {"name": f"{name} {agent['id']}"}).ok()
    body = {"agent": agent["id"], "environment_id": environment["id"]}
    return server.ask("POST", "/v1/sessions", body).ok()["id"]


def send(server: Server, session_id: str, count: int = 1) -> list[str]:
    """Append events; their ids."""
    body = {"events": [INTERRUPT] * count}
    return [event["id"] for event in server.ask("POST", f"/v1/sessions/{session_id}/events", body).ok()["data"]]


def listed(server: Server, session_id: str) -> list[dict[str, Any]]:
    """The whole log."""
    return list(_walk(server, f"/v1/sessions/{session_id}/events?limit=1000"))


def listed_after(server: Server, session_id: str, known: str | None) -> list[str]:
    """Ids of what the log holds behind an event that is known, in order."""
    found: list[str] = []
    for event in _walk(server, f"/v1/sessions/{session_id}/events?limit=50&order=desc"):
        if event["id"] == known:
            break
        found.append(event["id"])
    return found[::-1]


def _walk(server: Server, path: str) -> Iterator[dict[str, Any]]:
    page: str | None = ""
    while page is not None:
        answer = server.ask("GET", f"{path}&page={page}" if page else path).ok()
        yield from answer["data"]
        page = answer["next_page"]


class Reader:
    """One connection that streams. ``take`` reads whole frames; ``read`` some bytes, whatever they are."""

    def __init__(self, server: Server, session_id: str, *, buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(SECONDS)
        self.socket.connect((server.host, server.port))
        self.socket.sendall(
            f"GET /v1/sessions/{session_id}/events/stream HTTP/1.1\r\nhost: {server.host}\r\n"
            f"x-api-key: {server.key}\r\n\r\n".encode()
        )
        self.head = b""
        self.ended = False
        """Whether the response came to its end as HTTP has it."""
        self._raw = b""
        self._body = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def open(self) -> Self:
        """Wait for the head."""
        while not self.head:
            assert self.read(65536), "the server hung up"
        assert self.head.startswith(b"HTTP/1.1 200 "), self.head
        return self

    def read(self, size: int) -> int:
        """Receive at most so many bytes; how many came, 0 at the end."""
        data = self.socket.recv(size)
        self._raw += data
        if not self.head:
            head, found, rest = self._raw.partition(b"\r\n\r\n")
            if not found:
                return len(data)
            self.head, self._raw = head, rest
        while not self.ended:
            line, found, rest = self._raw.partition(b"\r\n")
            if not found or len(rest) < int(line, 16) + 2:
                break
            size = int(line, 16)
            assert rest[size : size + 2] == b"\r\n"
            self._body += rest[:size]
            self._raw = rest[size + 2 :]
            self.ended = size == 0
        return len(data)

    def frames(self) -> list[Frame]:
        """The whole frames among what was received, pings left out."""
        found, self._body = parse(self._body)
        return [frame for frame in found if frame.name != "ping"]

    def take(self, count: int) -> list[Frame]:
        """So many frames, at least; fewer if the stream ends."""
        found = self.frames()
        while len(found) < count and not self.ended:
            assert self.read(65536), "the connection broke"
            found += self.frames()
        return found

    def rest(self) -> list[Frame]:
        """All frames to the end."""
        return self.take(1 << 60)

    def cut(self, *, hard: bool) -> None:
        """Hang up; hard, as a machine does that vanishes from the network and comes back."""
        if hard:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Follower:
    """A client as the contract wants it: opens the stream, lists, and passes over what it has already."""

    def __init__(self, server: Server, session_id: str) -> None:
        self.server = server
        self.session_id = session_id
        self.known: list[str] = []
        self.twice = 0
        """Events that the stream and the list both told of; the stream itself never tells twice."""
        self._ids: set[str] = set()

    def connect(self, bytes_: int, *, hard: bool) -> None:
        """One connection, cut off after so many bytes."""
        reader = Reader(self.server, self.session_id)
        left, told = bytes_, list[str]()
        while not reader.head and left > 0:
            left -= reader.read(min(left, 65536))
        if reader.head:
            self._learn(listed_after(self.server, self.session_id, self.known[-1] if self.known else None))
        while left > 0:
            left -= reader.read(min(left, 65536))
            told += [frame.id for frame in reader.frames()]
        reader.cut(hard=hard)
        assert len(told) == len(set(told)), "an event came twice on one stream"
        self.twice += len(self._ids & set(told))
        self._learn(each for each in told if each not in self._ids)

    def catch_up(self) -> None:
        """What the list still has."""
        self._learn(listed_after(self.server, self.session_id, self.known[-1] if self.known else None))

    def _learn(self, found: "Iterator[str] | list[str]") -> None:
        for each in found:
            self.known.append(each)
            self._ids.add(each)
