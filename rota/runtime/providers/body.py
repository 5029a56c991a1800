"""What is sent to the Messages API: the body of a request, as a pure function of the question.

Promises: what the API requires is always there; what only newer models know (``Option``) can be left out, so that an endpoint
that refuses it can still be asked; at most four breakpoints of the prompt cache, none on a block that cannot carry one.
Changes nothing that it is given.
"""

from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, TypeAlias, cast

from rota.runtime.provider import Block, ModelRequest
from rota.runtime.providers.scripted import SIGNATURE

Option: TypeAlias = Literal["thinking", "effort", "speed", "cache", "thoughts"]
"""Parts of a request that some endpoint refuses. ``thoughts`` are the thinking blocks of earlier replies, whose signatures
another model than the one that made them does not accept."""
OPTIONS: Final[frozenset[Option]] = frozenset({"thinking", "effort", "speed", "cache", "thoughts"})
FAST_MODE: Final = "fast-mode-2026-02-01"
"""The beta header that goes with a speed."""

_DEFAULT_EFFORT: Final = "high"
_THOUGHTS: Final = ("thinking", "redacted_thinking")


def body(request: ModelRequest, *, max_tokens: int, without: AbstractSet[Option] = frozenset()) -> dict[str, Any]:
    """The body of one streaming request. What models do anyhow when they are not told is not said."""
    system = [block for block in request.system if block.get("text")]
    messages = _thoughtless(request.messages, every="thoughts" in without)
    tools = request.tools
    if "cache" not in without:
        system, tools, messages = with_breakpoints(system, tools, messages)
    found: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens or max_tokens,
        "messages": messages,
        "stream": True,
    }
    if system:
        found["system"] = system
    if tools:
        found["tools"] = tools
    if "thinking" not in without:
        found["thinking"] = {"type": "adaptive"}
    if says_effort(request) and "effort" not in without:
        found["output_config"] = {"effort": request.effort}
    if says_speed(request) and "speed" not in without:
        found["speed"] = request.speed
    return found


def says_effort(request: ModelRequest) -> bool:
    """Whether the request has to name an effort."""
    return request.effort not in (None, _DEFAULT_EFFORT)


def says_speed(request: ModelRequest) -> bool:
    """Whether the request has to name a speed."""
    return request.speed not in (None, "standard")


def with_breakpoints(
    system: list[Block], tools: list[Block], messages: list[Block]
) -> tuple[list[Block], list[Block], list[Block]]:
    """The same with breakpoints of the prompt cache: after the tools, after the system prompt, at the end of the conversation,
    and where the question before this one ended, which is where the cache has been written last.

    That last one matters after many calls at once: the API looks back only some twenty blocks from a breakpoint.
    """
    asked = [index for index, message in enumerate(messages) if message["role"] == "user"]
    answered = max((index for index, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
    before = [index for index in asked if index < answered]
    ends = {*asked[-1:], *before[-1:]}
    return (
        _marked(system),
        _marked(tools),
        [
            {**message, "content": _marked(_blocks(message))} if index in ends else message
            for index, message in enumerate(messages)
        ],
    )


def _marked(blocks: list[Block]) -> list[Block]:
    """The last block that can carry a breakpoint does."""
    for index in reversed(range(len(blocks))):
        block = blocks[index]
        if block.get("type") not in _THOUGHTS and block.get("text") != "":
            return [*blocks[:index], {**block, "cache_control": {"type": "ephemeral"}}, *blocks[index + 1 :]]
    return blocks


def _blocks(message: Block) -> list[Block]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else cast("list[Block]", content)


def _thoughtless(messages: list[Block], *, every: bool) -> list[Block]:
    """The messages without thoughts that no model accepts: the scripted model's, or every one of them. A reply of nothing but
    such thoughts goes with them."""
    found: list[Block] = []
    for message in messages:
        blocks = _blocks(message)
        kept = [
            block
            for block in blocks
            if block.get("type") not in _THOUGHTS
            or not (every or str(block.get("signature", "")).startswith(SIGNATURE))
        ]
        if len(kept) == len(blocks):
            found.append(message)
        elif kept:
            found.append({**message, "content": kept})
    return found
