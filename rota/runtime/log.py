"""What a session's log amounts to: a fold, event by event, into the little that decides what comes next.

Everything that the engine knows of a session between two steps is here, and all of it follows from the log: whoever takes a
session up after a crash folds the log and knows as much as whoever crashed. Pure.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from rota.resources.sessions import calls
from rota.resources.sessions.calls import Calls
from rota.resources.sessions.turns import LogEvent
from rota.resources.sessions.wire import Status

MESSAGES = frozenset({"user.message", "user.define_outcome", "system.message"})
"""What waits for the model, to be given to it with its next request."""
TASKS = frozenset({"user.message", "user.define_outcome"})
"""Those of them that it is asked for."""
PAUSES = frozenset({"requires_action", "budget_reached"})
"""Reasons to stop that leave a turn to be gone on with."""


class Tally(Struct, frozen=True, kw_only=True):
    """Tokens of all requests so far, and what they cost in millionths of a cent; ``priced`` until one had no price."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    cost: int = 0
    priced: bool = True


class State(Struct, frozen=True, kw_only=True):
    """A session between two steps.

    ``position`` and ``at`` are those of the last event that does not wait; ``waiting`` are those that do, in order of arrival.
    ``span`` is the request under way, by its start event. ``due``: the model has something to answer. ``ended``: it has
    answered, and the turn is to be closed; ``refusal`` says how, if it would not. ``outcome`` is the one that is worked for. ``announced``: the ids that the last stop
    named; ``heard``: an answer was taken up since. ``failures``: requests that failed one after the other.
    ``active``: microseconds spent running until ``running_since``.
    """

    self_hosted: bool
    position: int = 0
    at: int = 0
    status: Status = "idle"
    ran: bool = False
    waiting: tuple[LogEvent, ...] = ()
    calls: Calls = ()
    span: str | None = None
    due: bool = False
    ended: bool = False
    refusal: dict[str, Any] | None = None
    stop: str | None = None
    announced: tuple[str, ...] = ()
    heard: bool = False
    requests: int = 0
    failures: int = 0
    retry_at: int | None = None
    outcome: dict[str, Any] | None = None
    tally: Tally = Tally()
    active: int = 0
    running_since: int | None = None

    def active_at(self, now: int) -> int:
        """Microseconds spent running until ``now``."""
        return self.active + (0 if self.running_since is None else max(0, now - self.running_since))

    def interrupts(self) -> tuple[LogEvent, ...]:
        """Interrupts that wait."""
        return tuple(event for event in self.waiting if event.type == "user.interrupt")

    def messages(self) -> tuple[LogEvent, ...]:
        """What waits for the model."""
        return tuple(event for event in self.waiting if event.type in MESSAGES)

    def tasks(self) -> bool:
        """Whether anything waits that the model is asked for."""
        return any(event.type in TASKS for event in self.waiting)


def fold(state: State, events: Iterable[LogEvent]) -> State:
    """The state after more events; one that is known to wait already is passed over."""
    known = {event.id for event in state.waiting}
    for event in events:
        if event.id not in known:
            state = follow(state, event)
    return state


def follow(state: State, event: LogEvent) -> State:
    """The state after one more event, or after one that waited has been taken up."""
    if event.processed_at is None:
        return replace(state, waiting=(*state.waiting, event))
    waiting = state.waiting
    if waiting:
        waiting = tuple(each for each in waiting if each.id != event.id)
    state = replace(state, position=event.position, at=event.processed_at, waiting=waiting)
    kind, body = event.type, event.body
    if kind in calls.USES:
        made = calls.call(event.id, kind, body, self_hosted=state.self_hosted, started="started" in event.notes)
        return replace(state, calls=(*state.calls, made))
    if kind in calls.ANSWERS or kind in calls.RESULTS:
        after = calls.answered(state.calls, kind, body)
        due = state.due or (bool(after) and all(each.settled for each in after))
        return replace(state, calls=after, due=due, heard=state.heard or kind in calls.ANSWERS)
    handler = _HANDLERS.get(kind)
    return state if handler is None else handler(state, event)


def _task(state: State, event: LogEvent) -> State:
    outcome = event.body if event.type == "user.define_outcome" else state.outcome
    return replace(state, due=True, ended=False, outcome=outcome)


def _running(state: State, event: LogEvent) -> State:
    return replace(
        state, status="running", ran=True, running_since=event.processed_at, retry_at=None, announced=(), stop=None
    )


def _stopped(state: State, event: LogEvent, status: Status) -> State:
    assert event.processed_at is not None
    return replace(state, status=status, active=state.active_at(event.processed_at), running_since=None)


def _terminated(state: State, event: LogEvent) -> State:
    return _stopped(state, event, "terminated")


def _idle(state: State, event: LogEvent) -> State:
    reason = event.body["stop_reason"]
    state = _stopped(state, event, "idle")
    return replace(state, stop=reason["type"], announced=tuple(reason.get("event_ids", ())), heard=False, retry_at=None)


def _thread_idle(state: State, event: LogEvent) -> State:
    if event.body["stop_reason"]["type"] in PAUSES:
        return state
    return replace(state, due=False, ended=False, refusal=None, requests=0, failures=0, calls=())


def _rescheduled(state: State, event: LogEvent) -> State:
    return replace(_stopped(state, event, "rescheduling"), retry_at=event.notes.get("retry_at"))


def _request(state: State, event: LogEvent) -> State:
    return replace(state, span=event.id, calls=(), requests=state.requests + 1, ended=False)


def _replied(state: State, event: LogEvent) -> State:
    usage, notes, was = event.body["model_usage"], event.notes, state.tally
    cost = notes.get("cost")
    tally = Tally(
        input_tokens=was.input_tokens + usage["input_tokens"],
        output_tokens=was.output_tokens + usage["output_tokens"],
        cache_creation_input_tokens=was.cache_creation_input_tokens + usage["cache_creation_input_tokens"],
        cache_read_input_tokens=was.cache_read_input_tokens + usage["cache_read_input_tokens"],
        cost=was.cost + (cost or 0),
        priced=was.priced and (cost is not None or event.body.get("is_error") is True),
    )
    state = replace(state, span=None, tally=tally)
    if event.body.get("is_error"):
        return replace(state, failures=state.failures + 1)
    state = replace(state, failures=0)
    if state.calls:
        return replace(state, due=False)
    goes_on = notes.get("stop_reason") == "pause_turn"
    return replace(state, due=goes_on, ended=not goes_on, refusal=notes.get("refusal"))


def _judged(state: State, event: LogEvent) -> State:
    over = event.body["result"] != "needs_revision"
    return replace(state, outcome=None if over else state.outcome)


_HANDLERS: Final[dict[str, Callable[[State, LogEvent], State]]] = {
    "user.message": _task,
    "user.define_outcome": _task,
    "session.status_running": _running,
    "session.status_idle": _idle,
    "session.thread_status_idle": _thread_idle,
    "session.status_rescheduled": _rescheduled,
    "session.status_terminated": _terminated,
    "span.model_request_start": _request,
    "span.model_request_end": _replied,
    "span.outcome_evaluation_end": _judged,
}
