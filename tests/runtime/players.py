"""A model that plays what it is given, a workshop whose tools say what they were asked, and what a test says in their terms."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from rota.resources.sessions.turns import TurnSession
from rota.runtime.provider import (
    FailureKind,
    ModelRequest,
    ModelUsage,
    Piece,
    ProviderFailure,
    Reply,
    TextDelta,
    ThinkingBegan,
)
from rota.runtime.tool import Outcome

USAGE = ModelUsage(input_tokens=100, output_tokens=10)


def say(text: str = "Fine.", *calls: dict[str, Any], thinking: str | None = None, stop: str | None = None) -> Reply:
    """A reply with text, and calls after it."""
    content: list[dict[str, Any]] = []
    if thinking is not None:
        content.append({"type": "thinking", "thinking": thinking, "signature": "signed"})
    if text:
        content.append({"type": "text", "text": text})
    content += calls
    return Reply(
        content=content, stop_reason=stop or ("tool_use" if calls else "end_turn"), usage=USAGE, request_id="req_1"
    )


def use(name: str, number: int = 1, **input: Any) -> dict[str, Any]:
    """A call in a reply."""
    return {"type": "tool_use", "id": f"toolu_{name}_{number}", "name": name, "input": input}


def fails(kind: FailureKind = "overloaded", *, retry: bool = True, after: float | None = None) -> ProviderFailure:
    """A failure to answer."""
    return ProviderFailure(kind, f"It is {kind}.", retry=retry, retry_after=after)


class Player:
    """A provider that plays replies in order, for all sessions together; then it says that it is done."""

    name = "player"

    def __init__(self, *replies: Reply | ProviderFailure | Callable[[ModelRequest], Reply]) -> None:
        self.replies = deque(replies)
        self.asked: list[ModelRequest] = []
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()

    def ask(self, request: ModelRequest) -> AsyncGenerator[Piece]:
        return self._ask(request)

    async def _ask(self, request: ModelRequest) -> AsyncGenerator[Piece]:
        self.asked.append(request)
        reply = self.replies.popleft() if self.replies else say("Done.")
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(reply, ProviderFailure):
            raise reply
        if callable(reply):
            reply = reply(request)
        for index, block in enumerate(reply.content):
            if block["type"] == "thinking":
                yield ThinkingBegan(index)
            elif block["type"] == "text":
                middle = len(block["text"]) // 2
                yield TextDelta(index, block["text"][:middle])
                yield TextDelta(index, block["text"][middle:])
        yield reply

    async def close(self) -> None:
        pass


class Bench:
    """A workshop: each tool says its name and input. ``ran`` is what was run, in the order in which it was begun."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, dict[str, Any]]] = []
        self.settled: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.begun = asyncio.Event()
        self.cancelled: list[str] = []

    async def open(self, session: TurnSession) -> "Bench":
        return self

    async def call(self, name: str, input: dict[str, Any]) -> Outcome:
        self.ran.append((name, input))
        self.begun.set()
        if name in self.gates:
            try:
                await self.gates[name].wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
        return Outcome([{"type": "text", "text": f"{name} {input}"}], is_error=bool(input.get("fail")))

    async def close(self) -> None:
        pass

    def instructions(self, session: TurnSession) -> str:
        return "You have a bench."

    async def settle(self, session: TurnSession) -> None:
        self.settled.append(session.id)
