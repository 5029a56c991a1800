"""Asking a model. The contract; implementations are in ``providers/``.

Everything is in the terms of the Messages API, which all of them speak: blocks are the plain JSON objects that travel, so
that what a model said goes back to it as it was, signatures of its thinking included.
A provider asks once. When to ask again, and what to tell the session's clients, is the engine's to decide.
"""

from collections.abc import AsyncGenerator
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct

Block: TypeAlias = dict[str, Any]


class ModelRequest(Struct, frozen=True, kw_only=True):
    """One question. ``system``, ``messages`` and ``tools`` as the Messages API takes them; ``max_tokens`` None leaves it to
    the provider. ``effort`` and ``speed`` are the agent's, None when it names none. ``session_id`` is for logs; no model sees it.

    ``messages`` keeps every reply as a message of its own, and the agent's system prompt is a block of its own in ``system``,
    before anything that is ours.

    ``unanswered`` has a number for each earlier request of this conversation that left no message of the assistant, be it
    that it failed or that the reply was empty: how many blocks (``blocks_of``) its messages held. Those whose asker died are
    not among them. It follows from the log, so that any server, after any crash, asks the same question in the same words.
    """

    session_id: str
    model: str
    system: list[Block]
    messages: list[Block]
    tools: list[Block]
    max_tokens: int | None = None
    effort: str | None = None
    speed: str | None = None
    unanswered: tuple[int, ...] = ()


def blocks_of(messages: list[Block]) -> int:
    """How many blocks these messages hold; a content that is plain text counts as one."""
    return sum(1 if isinstance(message["content"], str) else len(message["content"]) for message in messages)


class TextDelta(Struct, frozen=True):
    """More text of the block ``index`` of the reply that is under way."""

    index: int
    text: str


class ThinkingBegan(Struct, frozen=True):
    """The block ``index`` of the reply is thought, whose text is shown to nobody."""

    index: int


class ModelUsage(Struct, frozen=True, kw_only=True):
    """Tokens of one request. ``input_tokens`` counts neither what was read from a cache nor what was written to one;
    ``web_search_requests`` are searches that the provider itself made and charges for."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    web_search_requests: int = 0
    speed: str | None = None


class Reply(Struct, frozen=True, kw_only=True):
    """The whole reply; the last piece of every stream. ``content`` is its blocks as they are to be sent back; it may be empty,
    and then there is nothing to send back. The index of a delta is the place of its block in ``content``.

    ``stop_reason`` is the Messages API's; ``stop_details`` goes with a refusal (category, explanation). ``request_id`` is the
    provider's own name for the request, for its operator to look up.
    """

    content: list[Block]
    stop_reason: str
    usage: ModelUsage
    stop_details: dict[str, Any] | None = None
    request_id: str | None = None


Piece: TypeAlias = TextDelta | ThinkingBegan | Reply

FailureKind: TypeAlias = Literal[
    "overloaded", "rate_limited", "request_failed", "billing", "context_overflow", "unknown"
]


class ProviderFailure(Exception):
    """A question without an answer.

    ``kind`` decides which ``session.error`` clients see; ``retry`` tells whether asking again may help; ``retry_after`` is the
    provider's own word on when, in seconds. The message is shown to clients: it holds no secret and no address of ours.
    """

    def __init__(self, kind: FailureKind, message: str, *, retry: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.message = message
        self.retry = retry
        self.retry_after = retry_after


class Provider(Protocol):
    """Somewhere models are asked."""

    name: str
    """As the setting says it: ``anthropic``, ``scripted``."""

    def ask(self, request: ModelRequest) -> AsyncGenerator[Piece]:
        """Ask once; pieces as they come, a ``Reply`` as the last. ProviderFailure, and nothing else, if there is no answer.

        Closing the generator gives the request up.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
