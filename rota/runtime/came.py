"""What comes of a step, and the events that it becomes: a reply, a failure, a tool's outcome. Pure."""

from typing import Any, Final, TypeAlias

from msgspec import Struct

from rota.resources.sessions.calls import Call
from rota.runtime import events, offers, stops
from rota.runtime.pen import Pen
from rota.runtime.provider import FailureKind, ModelUsage, Reply
from rota.runtime.terms import Terms
from rota.runtime.tool import Outcome

SECOND = 1_000_000
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a request is tried again: doubled each time, up to the longest."""


class Replied(Struct, frozen=True, kw_only=True):
    """The model answered. The two ids are those under which previews were shown; ``request_hash`` tells what was asked."""

    reply: Reply
    message_id: str
    thinking_id: str
    request_hash: str = ""


class Failed(Struct, frozen=True, kw_only=True):
    """The model was asked in vain. ``jitter``, of 0 to 1, spreads the next attempts of those who failed together."""

    kind: FailureKind
    message: str
    retry: bool
    retry_after: float | None = None
    jitter: float = 0.0


class Finished(Struct, frozen=True):
    """A tool has run."""

    call_id: str
    outcome: Outcome


class Cut(Struct, frozen=True):
    """A request was stopped, because the session is to be interrupted."""


Came: TypeAlias = Replied | Failed | Finished | Cut

_ERRORS: Final[dict[FailureKind, str]] = {
    "overloaded": "model_overloaded_error",
    "rate_limited": "model_rate_limited_error",
    "request_failed": "model_request_failed_error",
    "billing": "billing_error",
    "context_overflow": "unknown_error",
    "unknown": "unknown_error",
}


def record(pen: Pen, came: Came, terms: Terms) -> None:
    """Write what came."""
    if isinstance(came, Replied):
        _replied(pen, came, terms)
    elif isinstance(came, Failed):
        _failed(pen, came, terms)
    elif isinstance(came, Finished):
        _finished(pen, came)
    elif pen.state.span is not None:
        stops.end_request(pen)


def _replied(pen: Pen, came: Replied, terms: Terms) -> None:
    """Thought, text, calls, and the end of the span, which remembers the whole reply (§6.1, §6.2)."""
    reply, began = came.reply, pen.state.span
    assert began is not None
    refused = reply.stop_reason == "refusal"
    if any(block["type"] in ("thinking", "redacted_thinking") for block in reply.content):
        pen.write("agent.thinking", id=came.thinking_id)
    said = [
        {"type": "text", "text": block["text"]} for block in reply.content if block["type"] == "text" and block["text"]
    ]
    if said:
        pen.write("agent.message", {"content": said}, id=came.message_id)
    for block in reply.content if not refused else ():
        if block["type"] == "tool_use":
            kind, body = offers.event_of(terms.tools, block)
            pen.write(kind, body, notes={"model_id": block["id"]})
    notes: dict[str, Any] = {
        "reply": reply.content,
        "stop_reason": reply.stop_reason,
        "request_id": reply.request_id,
        "request_hash": came.request_hash,
    }
    if terms.price is not None:
        notes["cost"] = terms.price.of(reply.usage)
    if refused:
        notes["refusal"] = {"type": "refusal", **(reply.stop_details or {})}
    body = {"model_request_start_id": began, "is_error": False, "model_usage": _usage(reply.usage)}
    pen.write("span.model_request_end", body, notes=notes)


def _usage(usage: ModelUsage) -> dict[str, Any]:
    counted: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_creation_input_tokens": usage.cache_creation_input_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
    }
    return counted if usage.speed is None else {**counted, "speed": usage.speed}


def _failed(pen: Pen, came: Failed, terms: Terms) -> None:
    stops.end_request(pen)
    kind = _ERRORS[came.kind]
    if came.kind == "context_overflow":
        stops.terminate(pen, kind, came.message)
    elif came.retry and pen.state.failures < terms.attempts:
        stops.reschedule(pen, terms, kind, came.message, pen.now + int(pause(pen.state.failures, came) * SECOND))
    else:
        stops.fail(pen, terms, kind, came.message)


def pause(failures: int, came: Failed) -> float:
    """Seconds until the next attempt after so many failures; the provider's own word counts, within reason."""
    backoff = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE) * (0.5 + came.jitter / 2)
    return min(LONGEST_PAUSE, max(came.retry_after or 0.0, backoff))


def _finished(pen: Pen, came: Finished) -> None:
    call = _call_of(pen, came.call_id)
    if call is not None and not call.settled:
        pen.write(*events.result(call, came.outcome.content, is_error=came.outcome.is_error))


def _call_of(pen: Pen, call_id: str) -> Call | None:
    return next((call for call in pen.state.calls if call.id == call_id), None)
