"""The scripted model: no model at all, but replies by rule, for a laptop without a key and for tests.

Promises: says so in the first words of every plain reply; the same conversation gets the same reply, down to the ids and
the usage, on any server and after any crash; plays scripts (``script.py``), its ``default`` where a conversation has none.
Asks nobody, remembers nothing.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterator
from typing import Final

import msgspec

from rota.runtime.provider import Block, ModelRequest, ModelUsage, Piece, Reply, TextDelta, ThinkingBegan
from rota.runtime.providers import script
from rota.runtime.providers.failures import failure

NAME: Final = "scripted"
SIGNATURE: Final = "scripted:"
"""What the signatures of its thinking begin with. No model accepts them, so they are not sent to one."""
_QUOTED: Final = 2000
_TOKEN: Final = 4
"""Characters that count as a token."""


class Scripted:
    """The provider."""

    name = NAME

    def __init__(self, default: str | None = None) -> None:
        self._default = default

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece]:
        """As the contract says. What goes wrong is what a script asks for."""
        following = script.following(request, self._default)
        match following and following.line:
            case script.Line() as line:
                pass
            case script.Malformed(number, reason):
                line = script.Line(text=f"scripted: line {number} of the script cannot be played: {reason}")
            case _:
                line = script.Line(text=_plain(request))
        if line.delay_ms:
            await asyncio.sleep(line.delay_ms / 1000)
        if line.error is not None:
            raise failure(line.error.status, model=request.model, said=NAME, retry_after=line.error.retry_after)
        seed = _seed(request, following)
        content = list(_content(line, seed))
        for index, block in enumerate(content):
            match block["type"]:
                case "thinking":
                    yield ThinkingBegan(index)
                case "text":
                    for words in _pieces(block["text"]):
                        yield TextDelta(index, words)
                        await asyncio.sleep(0)  # as between packets, so that whoever listens may act in between
                case _:
                    pass
        stop_reason = line.stop_reason or ("tool_use" if line.tool_uses else "end_turn")
        yield Reply(
            content=content,
            stop_reason=stop_reason,
            stop_details={"type": "refusal", "category": None, "explanation": "The script says so (scripted)."}
            if stop_reason == "refusal"
            else None,
            usage=ModelUsage(
                input_tokens=_tokens([request.system, request.tools, request.messages]),
                output_tokens=_tokens(content),
                speed=request.speed,
            ),
            request_id=f"req_scripted_{seed[:16]}",
        )

    async def close(self) -> None:
        """Nothing is held."""


def _plain(request: ModelRequest) -> str:
    words = script.last_words(request)
    quoted = words if len(words) <= _QUOTED else words[:_QUOTED] + "…"
    said = f"The last message was: {quoted}" if words else "There was no message yet."
    return f"scripted: no model is configured on this server, and none was asked. {said}"


def _content(line: script.Line, seed: str) -> Iterator[Block]:
    if line.thinking:
        yield {"type": "thinking", "thinking": line.thinking, "signature": SIGNATURE + seed}
    if line.text:
        yield {"type": "text", "text": line.text}
    for number, use in enumerate(line.tool_uses):
        digest = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()
        yield {"type": "tool_use", "id": f"toolu_scripted_{digest[:20]}", "name": use.name, "input": use.input}


def _seed(request: ModelRequest, following: script.Next | None) -> str:
    """What ids follow from: the session, and how far its conversation is."""
    replies = sum(1 for message in request.messages if message["role"] == "assistant")
    where = (following.script, following.number) if following else ()
    spoken = [request.session_id, replies, len(request.unanswered), *where, script.last_words(request)]
    return hashlib.sha256(msgspec.json.encode(spoken)).hexdigest()


def _pieces(text: str) -> Iterator[str]:
    """A text in some pieces, as tokens would come."""
    size = max(4, -(-len(text) // 16))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _tokens(thing: object) -> int:
    return -(-len(msgspec.json.encode(thing)) // _TOKEN)
