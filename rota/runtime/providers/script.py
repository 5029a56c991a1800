"""The scripted model's language: what a script is, and which of its lines is next (docs/models.md has it for users).

A script is a text of the user, or a system prompt, whose first line is ``#!script``; each line after it is a JSON object,
one reply of the model. Which line is next follows from the conversation alone, so that it survives crashes and moves between
servers: as many lines are spent as there were requests since the script came that ended in a reply or in a failure.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

import msgspec
from msgspec import Struct

from rota.runtime.provider import Block, ModelRequest

MARK: Final = "#!script"
STOP_REASONS: Final = (
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
)
_BEFORE_ALL: Final = -1


class ToolUse(Struct, frozen=True, forbid_unknown_fields=True):
    """A call of a tool. Its name may be one that the request does not offer: tests want that too."""

    name: str
    input: dict[str, Any] = {}


class Failure(Struct, frozen=True, forbid_unknown_fields=True):
    """A failure, as the HTTP status that would have told of it."""

    status: int
    retry_after: float | None = None


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """One reply: any of these together, but an ``error`` beside nothing but a ``delay_ms``."""

    text: str = ""
    thinking: str = ""
    tool_use: ToolUse | list[ToolUse] = []
    stop_reason: str | None = None
    error: Failure | None = None
    delay_ms: float = 0

    @property
    def tool_uses(self) -> list[ToolUse]:
        """The calls, one or many."""
        return [self.tool_use] if isinstance(self.tool_use, ToolUse) else self.tool_use


class Malformed(Struct, frozen=True):
    """A line that cannot be played, and why."""

    number: int
    reason: str


class Next(NamedTuple):
    """The line to play. ``number`` counts the lines of the text, the first one included; ``script`` tells scripts of one
    conversation apart."""

    script: int
    number: int
    line: Line | Malformed


def following(request: ModelRequest, default: str | None = None) -> Next | None:
    """The line that is next in this conversation; None if there is no script, or it is at its end. Where the conversation has
    none, ``default`` is played."""
    found = _newest(request, default)
    if found is None:
        return None
    place, text, replies = found
    spent = replies + sum(1 for blocks in request.unanswered if blocks > place)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if number > 1 and line.strip()]
    if spent >= len(lines):
        return None
    number, line = lines[spent]
    return Next(place, number, read(number, line))


def read(number: int, line: str) -> Line | Malformed:
    """One line of a script."""
    try:
        read = msgspec.json.decode(line, type=Line)
    except msgspec.DecodeError as exc:
        return Malformed(number, str(exc))
    if read.error is not None and read != Line(error=read.error, delay_ms=read.delay_ms):
        return Malformed(number, "an error stands alone, or beside a delay_ms")
    if read.error is not None and not 400 <= read.error.status <= 599:
        return Malformed(number, "the status of an error is from 400 to 599")
    if read.stop_reason is not None and read.stop_reason not in STOP_REASONS:
        return Malformed(number, f"stop_reason is one of {', '.join(STOP_REASONS)}")
    if not 0 <= read.delay_ms <= 3_600_000:
        return Malformed(number, "delay_ms is from 0 to 3600000")
    return read


def last_words(request: ModelRequest) -> str:
    """The text that the user wrote last; empty if there is none."""
    words = ""
    for message in request.messages:
        if message["role"] == "user":
            words = next((text for text in reversed(list(_texts(message))) if text is not None), words)
    return words


def _newest(request: ModelRequest, default: str | None) -> tuple[int, str, int] | None:
    """The script that is played: its place among the blocks, its text, and how many replies came after it."""
    found: tuple[int, str] | None = None if default is None else (_BEFORE_ALL, default)
    for block in request.system:
        if is_script(block.get("text")):
            found = (_BEFORE_ALL, block["text"])
            break
    place, replies = 0, 0
    for message in request.messages:
        if message["role"] == "assistant":
            replies += 1
        for text in _texts(message):
            if message["role"] == "user" and text is not None and is_script(text):
                found, replies = (place, text), 0
            place += 1
    return None if found is None else (found[0], found[1], replies)


def _texts(message: Block) -> Iterator[str | None]:
    """The text of each block of a message, None for blocks of another kind."""
    content = message["content"]
    if isinstance(content, str):
        yield content
        return
    for block in cast("list[Block]", content):
        yield block["text"] if block.get("type") == "text" else None


def is_script(text: object) -> bool:
    """Whether a text is a script."""
    return isinstance(text, str) and text.split("\n", 1)[0].rstrip() == MARK
