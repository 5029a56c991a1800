"""Asking an MCP server whether it takes a token: the first steps of a conversation, and no more.

Over Streamable HTTP a client says ``initialize``, then ``tools/list``; some servers let everybody do the one and ask for a
token at the other. A server of the older kind takes no POST at its address, but a GET. Promises: what counts is whether the
server took the token: 401 and 403 mean that it did not, a proper answer that it did, and everything else that nobody can
tell. Redirects are not followed, so that the token goes to its own server alone.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct

from rota.base.policy import Policy
from rota.outgoing import client
from rota.outgoing.client import Answer, Arriving
from rota.outgoing.failures import OutgoingFailure

READ: Final = 64 * 1024
"""How much of an answer is read, in bytes."""
_VERSION: Final = "2025-06-18"
_EVENTS: Final = "text/event-stream"


class Finding(Struct, frozen=True):
    """What the server made of the token; unless it took it, at which step, and what it said, or why it said nothing."""

    verdict: Literal["taken", "unauthorized", "forbidden", "unclear"]
    method: str = ""
    answer: Answer | None = None
    reason: str = ""


class _Message(Struct):
    """What of a JSON-RPC answer matters here."""

    id: Any = None
    result: Any = None
    error: Any = None


class _Capabilities(Struct, frozen=True):
    """What a server can, as far as it matters here."""

    tools: Any = UNSET


class _Welcome(Struct, frozen=True):
    """The result of ``initialize``."""

    capabilities: _Capabilities = _Capabilities()


class _Talk:
    """One conversation: where it goes to, and what every request of it carries."""

    def __init__(self, policy: Policy, url: str, token: str) -> None:
        self._policy = policy
        self._url = url
        self.headers = {"authorization": f"Bearer {token}", "accept": f"application/json, {_EVENTS}"}

    async def say(self, method: str, number: int | None, params: Any = None) -> tuple[Finding, Any]:
        """One step, and its result. Without a number it is a notification, which has no result."""
        message = {"jsonrpc": "2.0", "method": method} | ({} if number is None else {"id": number})
        content = msgspec.json.encode(message | ({} if params is None else {"params": params}))
        headers = self.headers | {"content-type": "application/json"}
        try:
            async with client.arriving(
                "POST", self._url, policy=self._policy, headers=headers, content=content
            ) as arriving:
                answer, told = await _read(arriving, number)
        except OutgoingFailure as exc:
            return Finding("unclear", method, reason=str(exc)), None
        session = answer.header("mcp-session-id")
        if session and session.isascii() and session.isprintable():
            self.headers["mcp-session-id"] = session
        if number is None or told is None or told.error is not None:
            return _judge(method, answer, proper=number is None), None
        return _judge(method, answer, proper=True), told.result

    async def listen(self) -> Finding:
        """What a server of the older kind makes of the token: it opens its stream of events, or does not."""
        headers = self.headers | {"accept": _EVENTS}
        try:
            async with client.arriving("GET", self._url, policy=self._policy, headers=headers) as arriving:
                if arriving.status == 200 and arriving.header("content-type").startswith(_EVENTS):
                    return Finding("taken")
                return _judge("initialize", await arriving.whole(READ, cut=True), proper=False)
        except OutgoingFailure as exc:
            return Finding("unclear", "initialize", reason=str(exc))

    async def end(self) -> None:
        """Let the server forget the conversation, if it remembers any."""
        if "mcp-session-id" in self.headers:
            with suppress(OutgoingFailure):
                await client.request(
                    "DELETE", self._url, policy=self._policy, headers=self.headers, size=READ, cut=True
                )


async def probe(policy: Policy, url: str, token: str) -> Finding:
    """What the MCP server at ``url`` makes of ``token``."""
    talk = _Talk(policy, url, token)
    finding, result = await talk.say(
        "initialize",
        1,
        {"protocolVersion": _VERSION, "capabilities": {}, "clientInfo": {"name": "rota", "version": "1"}},
    )
    if finding.verdict == "unclear" and finding.answer is not None and finding.answer.status in (404, 405):
        return await talk.listen()
    if finding.verdict != "taken":
        return finding
    try:
        talk.headers["mcp-protocol-version"] = _VERSION
        told, _ = await talk.say("notifications/initialized", None)
        if told.verdict in ("unauthorized", "forbidden"):
            return told
        if not _has_tools(result):
            return finding
        finding, _ = await talk.say("tools/list", 2)
        return finding
    finally:
        await talk.end()


def _has_tools(result: Any) -> bool:
    try:
        return msgspec.convert(result, _Welcome).capabilities.tools is not UNSET
    except msgspec.ValidationError:
        return False


def _judge(method: str, answer: Answer, *, proper: bool) -> Finding:
    if answer.status == 401:
        return Finding("unauthorized", method, answer)
    if answer.status == 403:
        return Finding("forbidden", method, answer)
    if 200 <= answer.status < 300 and proper:
        return Finding("taken")
    return Finding("unclear", method, answer)


async def _read(arriving: Arriving, number: int | None) -> tuple[Answer, _Message | None]:
    """The answer, and the message in it that answers ``number``. A stream is read up to that message, not to its end."""
    if not arriving.header("content-type").startswith(_EVENTS):
        answer = await arriving.whole(READ, cut=True)
        return answer, _message(answer.content, number)
    seen = b""
    async for event in _events(arriving.chunks):
        seen += event + b"\n"
        if (told := _message(event, number)) is not None:
            return Answer(arriving.status, arriving.headers, seen), told
    return Answer(arriving.status, arriving.headers, seen), None


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of each event of a stream, as far as it is read."""
    rest, total = b"", 0
    async for chunk in chunks:
        total += len(chunk)
        *events, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            yield b"\n".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
        if total > READ:
            return


def _message(content: bytes, number: int | None) -> _Message | None:
    """A message that answers ``number``, or tells of an error."""
    try:
        told = msgspec.json.decode(content, type=_Message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if told.error is not None:
        return told
    return told if told.id == number and told.result is not None else None
