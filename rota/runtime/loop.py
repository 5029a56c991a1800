"""What a session does next: the heart of the engine, and a pure function.

``step`` is given what the log amounts to (``log.State``) and what has just come of the last step, writes whatever has to be
written at once, and says what is to be done outside: ask the model, run tools, wait for what is under way, or rest. Every
order of events that the contract names (sessions §6) is decided here and nowhere else; docs/sessions.md shows it to users.
It does no I/O, so that each scenario is a row in a table test, and so that it can run inside the transaction that stores
what it writes: nothing is ever decided on a log that has grown meanwhile.
"""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from rota.resources.sessions import calls
from rota.resources.sessions.calls import Call
from rota.resources.sessions.turns import LogEvent
from rota.runtime import events, stops
from rota.runtime.came import Came, record
from rota.runtime.log import State
from rota.runtime.pen import Pen
from rota.runtime.terms import Terms
from rota.runtime.tool import REPEATABLE


class Ask(Struct, frozen=True):
    """Ask the model; the request is the span that begins with this event."""

    span: str


class Run(Struct, frozen=True):
    """Run these calls: all at once, where there are several."""

    calls: tuple[Call, ...]


class Wait(Struct, frozen=True):
    """Wait for what is under way."""


class Rest(Struct, frozen=True):
    """Nothing is left to do; not before ``until``, if that is set."""

    until: int | None = None


Then: TypeAlias = Ask | Run | Wait | Rest


class Step(Struct, frozen=True):
    """What is to be written, the state after it, and what is to be done then."""

    state: State
    new: Sequence[LogEvent]
    taken: Sequence[tuple[int, LogEvent]]
    started: Sequence[str]
    then: Then


def step(
    state: State,
    now: int,
    terms: Terms,
    came: Sequence[Came] = (),
    *,
    under_way: bool = False,
    only_record: bool = False,
) -> Step:
    """The next step. ``came`` is what has come of what this turn did; ``under_way`` that some of that still goes on;
    ``only_record`` that no more than what came is to be written, for a turn that ends here or has something else to do first.

    A request or a call that the log says was begun, while nothing is under way, was begun by somebody who has died.
    """
    pen = Pen(state, now)
    for each in came:
        record(pen, each, terms)
    then = Wait() if under_way or only_record else _next(pen, terms)
    return Step(pen.state, pen.new, pen.taken, pen.started, then)


def _next(pen: Pen, terms: Terms) -> Then:
    """Whatever is to be done first is done first: interrupts, then answers, then tools, then the model."""
    while pen.state.status != "terminated":
        if pen.state.span is not None:
            stops.give_up_request(pen, terms)
        elif pen.state.interrupts():
            _interrupt(pen, terms)
        elif not _took_answer(pen):
            then = _tools(pen, terms) or _model(pen, terms)
            if then is not None:
                return then
    return Rest()


def _interrupt(pen: Pen, terms: Terms) -> None:
    """Close what is open and stop (§6.7). Queued messages stay queued, and start the next turn; with nothing to stop, the
    interrupt is taken up and that is all.
    """
    state = pen.state
    interrupts = state.interrupts()
    idle = state.status == "idle" and not state.due and all(call.settled for call in state.calls)
    if idle and state.outcome is None:
        for event in interrupts:
            pen.take(event)
        return
    for call in state.calls:
        if not call.settled:
            for event in _answers_to(pen.state, call):
                pen.take(event)
            if not _call(pen.state, call).settled:
                pen.write(*events.closed(call, events.INTERRUPTED))
    for event in interrupts:
        pen.take(event)
    stops.break_off_outcome(pen, "The session was interrupted.")
    stops.stop(pen, terms, {"type": "end_turn"})


def _took_answer(pen: Pen) -> bool:
    """Take up one answer that waited for an earlier call to settle, if one can be now (§6.3)."""
    state = pen.state
    for event in state.waiting:
        if event.type in calls.ANSWERS and calls.in_order(state.calls, event.type, event.body):
            pen.take(event)
            return True
    return False


def _tools(pen: Pen, terms: Terms) -> Then | None:
    """Go on with the calls of the last reply; None when all are settled, or when the state has changed."""
    state = pen.state
    if all(call.settled for call in state.calls):
        return None
    runs, wanted = calls.runnable(state.calls), calls.wanted(state.calls)
    denied = [call for call in state.calls if call.denied and not call.settled]
    if calls.gated(state.calls) or (wanted and state.status != "running"):
        denied = []  # what was denied is told when the thread goes on (§6.4)
    if runs or denied:
        stops.begin(pen, terms)
        return _go_on(pen, runs, denied)
    return _ask_client(pen, terms, wanted)


def _go_on(pen: Pen, runs: Sequence[Call], denied: Sequence[Call]) -> Then | None:
    """The first calls, in the model's order, that the server has to do with."""
    for call in pen.state.calls:
        if call in denied:
            pen.write(*events.refused(call))
        elif call in runs:
            if call.started and call.name not in REPEATABLE:
                pen.write(*events.closed(call, events.RESTARTED))
                return None
            together = runs if all(each.name in REPEATABLE for each in runs) else [call]
            for each in together:
                pen.start(each.id)
            return Run(tuple(together))
    return None


def _ask_client(pen: Pen, terms: Terms, wanted: Sequence[Call]) -> Then | None:
    """Stop until clients have answered; again whenever one has answered a part (§6.3)."""
    state = pen.state
    if state.stop == "requires_action" and not state.heard:
        return Rest()
    ids = [call.id for call in wanted if not _answers_to(state, call)]
    stops.stop(pen, terms, {"type": "requires_action", "event_ids": ids})
    return Rest()


def _model(pen: Pen, terms: Terms) -> Then | None:
    """With all calls settled: end the turn, or ask the model for more of it; None when the state has changed."""
    state = pen.state
    if any(not call.settled for call in state.calls):
        return None
    if state.ended and (state.refusal is not None or terms.spent(state, pen.now) or not state.tasks()):
        stops.end(pen, terms)
        return None
    if not (state.due or state.tasks()):
        if state.status == "idle":
            return Rest()
        stops.stop(pen, terms, {"type": "end_turn"})
        return None
    if state.status == "rescheduling" and state.retry_at is not None and pen.now < state.retry_at:
        return Rest(state.retry_at)
    if terms.spent(state, pen.now):
        if state.stop != "budget_reached":
            stops.stop(pen, terms, {"type": "budget_reached"})
        return Rest()
    if state.requests >= terms.max_requests:
        said = f"The turn has taken {state.requests} model requests, which is as many as one may take."
        stops.fail(pen, terms, "tool_use_limit_reached_error", said)
        return None
    stops.begin(pen, terms)
    for event in state.messages():
        pen.take(event)
    return Ask(pen.write("span.model_request_start").id)


def _answers_to(state: State, call: Call) -> list[LogEvent]:
    return [event for event in state.waiting if event.type in calls.ANSWERS and calls.target(event.body) == call.id]


def _call(state: State, call: Call) -> Call:
    return next(each for each in state.calls if each.id == call.id)
