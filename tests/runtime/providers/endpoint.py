"""An endpoint of the Messages API on loopback, down to its bytes: what it answers is what a test says.

Written from the published description of the streaming format, not from what any client makes of it.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from rota.base.settings import load
from rota.runtime.provider import Block, ModelRequest, Provider, ProviderFailure, Reply
from rota.runtime.providers.open import open_provider
from rota.runtime.providers.scripted import Scripted
from tests.outgoing.servers import serving

KEY = "key-of-the-operator-0123456789"


class Asked(NamedTuple):
    """A request as it came in."""

    head: str
    body: dict[str, Any]

    def header(self, name: str) -> str | None:
        return next(
            (line.partition(":")[2].strip() for line in self.head.split("\r\n") if line.lower().startswith(f"{name}:")),
            None,
        )


Answer = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


def event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def start(**usage: Any) -> bytes:
    message = {
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-test-1", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 25, "output_tokens": 1, **usage},
    }  # fmt: skip
    return event("message_start", message=message)


def block(index: int, content: Block) -> bytes:
    """One block, its parts in several deltas, as the API sends it."""

    def delta(kind: str, name: str, text: str) -> bytes:
        parts = [text[:3], text[3:8], text[8:]]
        return b"".join(event("content_block_delta", index=index, delta={"type": kind, name: part}) for part in parts)

    match content["type"]:
        case "text":
            began, deltas = {"type": "text", "text": ""}, delta("text_delta", "text", content["text"])
        case "thinking":
            began = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = delta("thinking_delta", "thinking", content["thinking"])
            signature = {"type": "signature_delta", "signature": content["signature"]}
            deltas += event("content_block_delta", index=index, delta=signature)
        case "tool_use" | "server_tool_use":
            began = {**content, "input": {}}
            deltas = delta("input_json_delta", "partial_json", json.dumps(content["input"]))
        case _:
            began, deltas = content, b""
    stop = event("content_block_stop", index=index)
    return event("content_block_start", index=index, content_block=began) + event("ping") + deltas + stop


def end(stop_reason: str = "end_turn", *, stop_details: Any = None, **usage: Any) -> bytes:
    delta = {"stop_reason": stop_reason, "stop_sequence": None, "stop_details": stop_details}
    return event("message_delta", delta=delta, usage={"output_tokens": 15, **usage}) + event("message_stop")


def whole(*content: Block, stop_reason: str = "end_turn", **more: Any) -> bytes:
    """The stream of one whole reply."""
    blocks = b"".join(block(index, each) for index, each in enumerate(content))
    return start() + event("ping") + blocks + end(stop_reason, **more)


def head(status: int, kind: str, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", "request-id: req_011", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n").encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


STREAM = head(200, "text/event-stream; charset=utf-8", transfer_encoding="chunked") + b"\r\n"


def streams(data: bytes) -> Answer:
    """Answers with these bytes of a stream, in packets that cut events and characters anywhere."""

    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        for at in range(0, len(data), 97):
            writer.write(chunk(data[at : at + 97]))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    return answer


def breaks_off(data: bytes) -> Answer:
    """Begins a stream, and closes the connection before its end."""

    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + chunk(data))

    return answer


def refuses(status: int, kind: str = "", message: str = "", body: Any = None, **headers: str) -> Answer:
    """Answers with an error."""
    found = {"type": "error", "error": {"type": kind, "message": message}} if body is None else body
    raw = found.encode() if isinstance(found, str) else json.dumps(found).encode()

    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, "application/json", content_length=str(len(raw)), **headers) + b"\r\n" + raw)

    return answer


async def plays(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answers as the scripted model would, but over the wire."""
    given = asked.body
    request = ModelRequest(
        session_id="x", model=given["model"], system=given.get("system", []), messages=given["messages"],
        tools=given.get("tools", []),
    )  # fmt: skip
    try:
        reply = [piece async for piece in Scripted().ask(request)][-1]
    except ProviderFailure as failure:
        status = {"overloaded": 529, "rate_limited": 429, "billing": 402}.get(
            failure.kind, 500 if failure.retry else 400
        )
        waits = {} if failure.retry_after is None else {"retry_after": str(failure.retry_after)}
        await refuses(status, body={"error": {"message": "scripted"}}, **waits)(asked, writer)
        return
    assert isinstance(reply, Reply)
    data = whole(*reply.content, stop_reason=reply.stop_reason, stop_details=reply.stop_details)
    await streams(data)(asked, writer)


class Endpoint(NamedTuple):
    """A provider of ours, and the requests that its endpoint has seen."""

    provider: Provider
    asked: list[Asked]
    port: int


@asynccontextmanager
async def endpoint(*answers: Answer, key: str | None = KEY, **settings: Any) -> AsyncGenerator[Endpoint]:
    """An endpoint that gives these answers in turn (the last one over and over), and a provider that asks it."""
    asked: list[Asked] = []

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        top, _, raw = request.partition(b"\r\n\r\n")
        asked.append(Asked(top.decode(), json.loads(raw)))
        await answers[min(len(asked), len(answers)) - 1](asked[-1], writer)

    async with serving(serve) as place:
        given = {"model_base_url": f"http://127.0.0.1:{place.port}", "model_api_key": key, **settings}
        provider = open_provider(load(given, {}))
        try:
            yield Endpoint(provider, asked, place.port)
        finally:
            await provider.close()
