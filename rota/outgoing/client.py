"""One door for every request that this server makes by itself (webhooks, MCP servers, token endpoints).

Promises: the host is resolved once, every address that it has is judged, and one of those very addresses is dialled, while
Host header and TLS keep the name; so a name that answers differently a moment later changes nothing. A redirect is an
answer like any other and is not followed. No proxy variable is read. The whole exchange, look-up included, ends in time;
of the answer no more is taken than was asked for; nothing is decompressed. Each request has a connection of its own.
Does not retry, log, or know whom it serves.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from rota.base.policy import Policy
from rota.outgoing import guard
from rota.outgoing.failures import TooLarge, Unreachable
from rota.outgoing.resolve import Resolve, system_resolve

if TYPE_CHECKING:
    from rota.outgoing.dial import Resolve

SECONDS: Final = 10.0
"""How long an exchange may take, unless whoever asks says otherwise."""
SIZE: Final = 1024 * 1024
"""How many bytes of an answer are taken, unless whoever asks says otherwise."""

_OURS: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
Headers = tuple[tuple[str, str], ...]


class Answer(Struct, frozen=True):
    """What came back. Header names are in lower case; ``content`` is as it came over the wire, encoded if the host said so.

    ``cut``: there was more of it than whoever asked would take.
    """

    status: int
    headers: Headers
    content: bytes
    cut: bool = False

    def header(self, name: str) -> str:
        """A header's first value; empty if it is not there."""
        return _header(self.headers, name)


class Arriving:
    """An answer whose head is here; the rest can be read once."""

    def __init__(self, status: int, headers: Headers, chunks: AsyncIterator[bytes]) -> None:
        self.status = status
        self.headers = headers
        self.chunks = chunks

    def header(self, name: str) -> str:
        """As ``Answer.header``."""
        return _header(self.headers, name)

    async def whole(self, size: int = SIZE, *, cut: bool = False) -> Answer:
        """The answer with all of its content. TooLarge over ``size`` bytes, unless it may be ``cut`` there."""
        content = bytearray()
        async for chunk in self.chunks:
            content += chunk
            if len(content) > size:
                if not cut:
                    raise TooLarge(f"the answer is longer than {size} bytes")
                return Answer(self.status, self.headers, bytes(content[:size]), cut=True)
        return Answer(self.status, self.headers, bytes(content))


async def request(
    method: str,
    url: str,
    *,
    policy: Policy,
    headers: Mapping[str, str] | None = None,
    content: bytes = b"",
    seconds: float = SECONDS,
    size: int = SIZE,
    cut: bool = False,
    resolve: "Resolve | None" = None,
) -> Answer:
    """Ask, and take the whole answer. Raises an ``OutgoingFailure``: ForbiddenAddress, Unreachable, TimedOut or TooLarge.

    ``policy`` has the operator's list; an answer over ``size`` bytes is refused, or ends there if it may be ``cut``;
    ``resolve`` looks names up, the machine's own way unless it is given.
    """
    async with arriving(
        method, url, policy=policy, headers=headers, content=content, seconds=seconds, resolve=resolve
    ) as answer:
        return await answer.whole(size, cut=cut)


@asynccontextmanager
async def arriving(
    method: str,
    url: str,
    *,
    policy: Policy,
    headers: Mapping[str, str] | None = None,
    content: bytes = b"",
    seconds: float = SECONDS,
    resolve: "Resolve | None" = None,
) -> AsyncGenerator[Arriving]:
    """Ask, and read the answer as it arrives, all within ``seconds``. Raises as ``request``, inside the ``with`` too."""
    from rota.outgoing import dial  # loads the network library; see there

    target = guard.parse(url)
    allowed = guard.allowed(policy.allow_private_hosts)
    guard.check(target, allowed)
    sent = _headers(method, target, headers or {}, content)
    connection = dial.connection(target, allowed, resolve or system_resolve)
    with dial.failures(target, seconds):
        async with (
            asyncio.timeout(seconds),
            connection,
            connection.stream(method, dial.url(target), headers=sent, content=content or None) as answer,
        ):
            found = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in answer.headers)
            yield Arriving(answer.status, found, answer.aiter_stream())


def _headers(
    method: str, target: guard.Target, given: Mapping[str, str], content: bytes
) -> list[tuple[bytes | str, bytes | str]]:
    """What is sent: what was given, and what is ours to say."""
    sent = {name.lower(): value for name, value in given.items()}
    if not _OURS.isdisjoint(sent):
        raise ValueError(f"these headers are the door's own: {', '.join(sorted(_OURS & sent.keys()))}")
    if not all(value.isascii() and value.isprintable() for value in sent.values()):
        raise Unreachable("a header of the request holds characters that HTTP cannot carry")
    sent = {
        "user-agent": "rota",
        **sent,
        "host": target.authority,
        "accept-encoding": "identity",
        "connection": "close",
    }
    if content or method == "POST":
        sent["content-length"] = str(len(content))
    return list(sent.items())


def _header(headers: Headers, name: str) -> str:
    return next((value for key, value in headers if key == name), "")
