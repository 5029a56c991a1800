"""How a session comes to run and to rest: the status events, which always come in pairs, and what goes with them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from rota.resources.sessions.wire import CacheCreation, ListCost, Usage
from rota.runtime import events
from rota.runtime.log import State
from rota.runtime.pen import Pen
from rota.runtime.terms import Terms, rounded

SECOND = 1_000_000
NO_GRADER = (
    "This version of the server does not grade outcomes. The agent was given the description and the rubric, and worked "
    "until it considered the task done; whether the result satisfies the rubric was not judged."
)
_NO_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
}


def begin(pen: Pen, terms: Terms) -> None:
    """Run, if the session does not already. What it will have to do without is told in between (§6.0): servers whenever it was
    idle, since that is when they are tried again (§4.6), all else the first time."""
    was = pen.state
    if was.status == "running":
        return
    pen.write("session.status_running")
    for error in terms.unreachable if was.status == "idle" else ():
        pen.write("session.error", error)
    for error in () if was.ran else terms.missing:
        pen.write("session.error", error)
    pen.write("session.thread_status_running", _thread(terms))


def stop(pen: Pen, terms: Terms, reason: Mapping[str, Any], details: Mapping[str, Any] | None = None) -> None:
    """Rest, for a reason: thread, usage, session. A budget that is used up is the session's reason, whatever the thread's
    is, unless a client has to act (§15)."""
    told = {"stop_reason": reason} if details is None else {"stop_reason": reason, "stop_details": details}
    now = pen.now
    pen.write("session.thread_status_idle", {**_thread(terms), **told})
    usage: dict[str, Any] = {"usage": msgspec.to_builtins(usage_of(pen.state, terms, now))}
    if terms.budget is not None:
        usage["budget"] = terms.budget
    pen.write("session.usage", usage)
    if reason["type"] != "requires_action" and terms.spent(pen.state, now):
        told = {"stop_reason": {"type": "budget_reached"}}
    pen.write("session.status_idle", told)


def end(pen: Pen, terms: Terms) -> None:
    """The model has finished: judge the outcome that was asked for, if any, and rest."""
    refusal = pen.state.refusal
    if pen.state.outcome is not None and refusal is None:
        about = {"outcome_id": pen.state.outcome["outcome_id"], "iteration": 0}
        began = pen.write("span.outcome_evaluation_start", about)
        verdict = {"result": "failed", "explanation": NO_GRADER, "usage": _NO_USAGE}
        pen.write("span.outcome_evaluation_end", {"outcome_evaluation_start_id": began.id, **about, **verdict})
    stop(pen, terms, {"type": "end_turn" if refusal is None else "refusal"}, refusal)


def break_off_outcome(pen: Pen, why: str) -> None:
    """End the outcome that is worked for, if there is one, without a verdict."""
    if pen.state.outcome is not None:
        about = {"outcome_id": pen.state.outcome["outcome_id"], "iteration": 0}
        verdict = {"result": "interrupted", "explanation": why, "usage": _NO_USAGE}
        pen.write("span.outcome_evaluation_end", {"outcome_evaluation_start_id": "", **about, **verdict})


def fail(pen: Pen, terms: Terms, kind: str, message: str) -> None:
    """The turn is dead. What was queued is taken up with it; the next message starts afresh (§4.6)."""
    pen.write("session.error", events.error(kind, message, "exhausted"))
    for event in pen.state.messages():
        pen.take(event)
    stop(pen, terms, {"type": "retries_exhausted"})


def reschedule(pen: Pen, terms: Terms, kind: str, message: str, retry_at: int) -> None:
    """Rest until a request is tried again (§6.8)."""
    pen.write("session.error", events.error(kind, message, "retrying"))
    pen.write("session.thread_status_rescheduled", _thread(terms))
    pen.write("session.status_rescheduled", notes={"retry_at": retry_at})


def terminate(pen: Pen, kind: str, message: str) -> None:
    """The session is over (§6.11), and with it the outcome that was worked for."""
    break_off_outcome(pen, "The session has ended.")
    pen.write("session.error", events.error(kind, message, "terminal"))
    pen.write("session.status_terminated")


def end_request(pen: Pen, *, unheard: bool = False) -> None:
    """Close a request that came to nothing; ``unheard`` if that is all that is known of it."""
    began = pen.state.span
    assert began is not None
    body = {"model_request_start_id": began, "is_error": True, "model_usage": _NO_USAGE}
    pen.write("span.model_request_end", body, notes={"unheard": True} if unheard else None)


def give_up_request(pen: Pen, terms: Terms) -> None:
    """Close a request whose asker has died; it will be asked again, but not for ever."""
    end_request(pen, unheard=True)
    if pen.state.failures >= terms.attempts:
        said = "The server was restarted during each attempt to ask the model."
        fail(pen, terms, "unknown_error", said)


def usage_of(state: State, terms: Terms, now: int) -> Usage:
    """What the session has consumed (§8)."""
    cents = terms.cents(state, now)
    return _usage(state, None if cents is None else ListCost(str(cents)), state.active_at(now))


def thread_usage_of(state: State, terms: Terms, now: int) -> Usage:
    """What its primary thread has: the same, but for running time, which only the session pays for."""
    priced = terms.price is not None and state.tally.priced
    return _usage(state, ListCost(str(rounded(state.tally.cost))) if priced else None, state.active_at(now))


def _usage(state: State, cost: ListCost | None, active: int) -> Usage:
    tally = state.tally
    return Usage(
        input_tokens=tally.input_tokens,
        output_tokens=tally.output_tokens,
        cache_read_input_tokens=tally.cache_read_input_tokens,
        cache_creation=CacheCreation(ephemeral_5m_input_tokens=tally.cache_creation_input_tokens),
        list_cost=cost,
        active_seconds=active / SECOND,
    )


def _thread(terms: Terms) -> dict[str, Any]:
    return {"session_thread_id": terms.thread_id, "agent_name": terms.agent_name}
