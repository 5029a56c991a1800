"""What comes from the Messages API: the events of a stream, put together to a reply.

Promises: blocks are kept as they came, signatures and fields that nobody here knows included; a delta's index is the place of
its block in the reply; a block of text that stayed empty is left out, since it could not be sent back; the arguments of a
call that was cut off are ``{}``.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, cast

from rota.runtime.provider import Block, ModelUsage, Piece, Reply, TextDelta, ThinkingBegan

_COUNTED: Final = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class Incomplete(Exception):
    """The stream ended before the reply did."""


class Reading:
    """One reply, while it comes."""

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}
        self._places: dict[int, int] = {}
        self._arguments: dict[int, list[str]] = {}
        self._usage: dict[str, Any] = {}
        self._stop_reason: str | None = None
        self._stop_details: dict[str, Any] | None = None

    def feed(self, event: dict[str, Any]) -> Iterator[Piece]:
        """Take one event; the pieces that follow from it. Events of kinds that are not known are passed over."""
        match event["type"]:
            case "message_start":
                self._count(event["message"].get("usage") or {})
            case "content_block_start":
                yield from self._begin(event["index"], event["content_block"])
            case "content_block_delta":
                yield from self._continue(event["index"], event["delta"])
            case "message_delta":
                self._stop_reason = event["delta"].get("stop_reason") or self._stop_reason
                self._stop_details = event["delta"].get("stop_details") or self._stop_details
                self._count(event.get("usage") or {})
            case _:
                pass

    def reply(self, request_id: str | None) -> Reply:
        """The whole reply. Incomplete if its end has not come."""
        if self._stop_reason is None:
            raise Incomplete
        for index, parts in self._arguments.items():
            self._blocks[index]["input"] = _arguments("".join(parts))
        usage = self._usage
        searches = cast("dict[str, int]", usage.get("server_tool_use") or {})
        return Reply(
            content=[self._blocks[index] for index in self._places],
            stop_reason=self._stop_reason,
            stop_details=self._stop_details,
            usage=ModelUsage(
                **{name: int(usage.get(name) or 0) for name in _COUNTED},
                web_search_requests=searches.get("web_search_requests") or 0,
                speed=usage.get("speed"),
            ),
            request_id=request_id,
        )

    def _count(self, usage: dict[str, Any]) -> None:
        """Later counts are of the whole request; what a later event leaves out stays."""
        self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _begin(self, index: int, block: Block) -> Iterator[Piece]:
        match block["type"]:
            case "text":
                first = block.get("text") or ""
                self._blocks[index] = {**block, "text": ""}
                yield from self._text(index, first)
            case "thinking" | "redacted_thinking":
                self._blocks[index] = dict(block)
                yield ThinkingBegan(self._place(index))
            case _:
                self._blocks[index] = dict(block)
                self._place(index)

    def _continue(self, index: int, delta: dict[str, Any]) -> Iterator[Piece]:
        block = self._blocks[index]
        match delta["type"]:
            case "text_delta":
                yield from self._text(index, delta["text"])
            case "input_json_delta":
                self._arguments.setdefault(index, []).append(delta["partial_json"])
            case "thinking_delta":
                block["thinking"] = block.get("thinking", "") + delta["thinking"]
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or []), delta["citation"]]
            case _:
                pass

    def _text(self, index: int, words: str) -> Iterator[Piece]:
        if words:
            self._blocks[index]["text"] += words
            yield TextDelta(self._place(index), words)

    def _place(self, index: int) -> int:
        """The block's place in the reply, which it has from its first sign of life on."""
        return self._places.setdefault(index, len(self._places))


def _arguments(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
