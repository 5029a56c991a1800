"""A conversation with a model, kept as the engine keeps it: what the providers' tests have in common."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from rota.runtime.provider import Block, ModelRequest, Piece, Provider, ProviderFailure, Reply, TextDelta, blocks_of

BASH: Block = {"name": "bash", "description": "Runs a command.", "input_schema": {"type": "object"}}


def text(words: str) -> Block:
    return {"type": "text", "text": words}


def user(*content: str | Block) -> Block:
    return {"role": "user", "content": [text(each) if isinstance(each, str) else each for each in content]}


def question(*messages: Block, **more: Any) -> ModelRequest:
    given: dict[str, Any] = {"system": [], "tools": [], "model": "claude-test-1", "session_id": "sesn_01", **more}
    return ModelRequest(messages=list(messages), **given)


async def pieces(provider: Provider, request: ModelRequest) -> list[Piece]:
    """Everything that comes, held against what the contract promises of every stream."""
    found = [piece async for piece in provider.ask(request)]
    well_formed(found)
    return found


def well_formed(found: list[Piece]) -> None:
    """The reply is the last piece and the only one of its kind; the deltas are its texts, whole and in their places."""
    *before, reply = found
    assert isinstance(reply, Reply)
    assert not any(isinstance(piece, Reply) for piece in before)
    heard: dict[int, str] = {}
    for piece in before:
        if isinstance(piece, TextDelta):
            assert piece.text, "an empty delta"
            heard[piece.index] = heard.get(piece.index, "") + piece.text
        else:
            assert reply.content[piece.index]["type"] in ("thinking", "redacted_thinking")  # type: ignore[union-attr]
    texts = {index: block["text"] for index, block in enumerate(reply.content) if block["type"] == "text"}
    assert heard == texts
    assert all(texts.values()), "a text block that is empty cannot be sent back"


@dataclass
class Talk:
    """One conversation. ``ask`` puts the question that is next; its reply, or its failure, becomes part of it."""

    provider: Provider
    system: list[Block] = field(default_factory=list)
    messages: list[Block] = field(default_factory=list)
    unanswered: list[int] = field(default_factory=list)
    session_id: str = "sesn_01"

    def say(self, *content: str | Block) -> None:
        self.messages.append(user(*content))

    def request(self) -> ModelRequest:
        return question(
            *self.messages,
            system=self.system,
            tools=[BASH],
            session_id=self.session_id,
            unanswered=tuple(self.unanswered),
        )

    def ask(self) -> Reply | ProviderFailure:
        try:
            reply = asyncio.run(pieces(self.provider, self.request()))[-1]
        except ProviderFailure as failure:
            self.unanswered.append(blocks_of(self.messages))
            return failure
        assert isinstance(reply, Reply)
        if not reply.content:
            self.unanswered.append(blocks_of(self.messages))
            return reply
        self.messages.append({"role": "assistant", "content": reply.content})
        calls = [block["id"] for block in reply.content if block["type"] == "tool_use"]
        if calls:
            self.say(*({"type": "tool_result", "tool_use_id": call, "content": [text("done")]} for call in calls))
        return reply

    def hear(self) -> str:
        """The reply's text."""
        reply = self.ask()
        assert isinstance(reply, Reply), reply
        return "".join(block["text"] for block in reply.content if block["type"] == "text")
