"""A step, stored: one transaction in which what came meanwhile is seen, the next step decided, and all of it written.

Promises: what is written was decided on the log as it stands in this very transaction, by a turn that still holds the
session; whatever the transaction is run again for, it writes once. Statuses, usage, outcomes and webhook announcements follow
from the events and are committed with them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rota.base.clock import SECOND, to_datetime
from rota.resources.agents.prices import Price, price_of
from rota.resources.sessions import sql, turns
from rota.resources.sessions.turns import Appended, LogEvent, TurnSession
from rota.resources.sessions.wire import OutcomeEvaluation
from rota.runtime import stops
from rota.runtime.came import Came
from rota.runtime.log import State, fold
from rota.runtime.loop import Rest, Step, step
from rota.runtime.missing import missing, unreachable
from rota.runtime.terms import Terms
from rota.store.tx import Tx

_ANNOUNCED: Final = {
    "session.status_running": ("session.status_run_started", "session.running"),
    "session.status_rescheduled": ("session.status_rescheduled", "session.pending"),
    "session.status_terminated": ("session.status_terminated",),
    "span.outcome_evaluation_end": ("session.outcome_evaluation_ended",),
}
_STOPS: Final = frozenset({"session.status_idle", "session.status_rescheduled", "session.status_terminated"})
_STOPPED: Final = {"requires_action": "session.requires_action", "budget_reached": "session.budget_reached"}


class Limits(Struct, frozen=True):
    """How often a model is asked in vain, and how often in a turn; the prices of models that are not the vendor's."""

    attempts: int = 5
    requests: int = 500
    prices: Mapping[str, Price] = {}


class Held(Struct, frozen=True, kw_only=True):
    """What a turn knows: the session, and what its log amounts to. ``calls`` are the events of the calls that are open; ``fresh`` are
    those that the log has gained since it was held before, in order, all of them at the beginning. What came earlier is not kept: a
    step costs the same in a long log as in a short one.
    """

    session: TurnSession
    state: State
    terms: Terms
    calls: tuple[LogEvent, ...]
    fresh: tuple[LogEvent, ...]


def take_up(session: TurnSession, log: Sequence[LogEvent], limits: Limits) -> Held:
    """The beginning of a turn."""
    state = fold(State(self_hosted=session.self_hosted), log)
    terms = Terms(
        thread_id=session.thread_id,
        agent_name=session.agent.name,
        tools=session.agent.tools,
        self_hosted=session.self_hosted,
        price=price_of(session.agent.model.id) or limits.prices.get(session.agent.model.id),
        missing=missing(session),
        unreachable=unreachable(session),
        attempts=limits.attempts,
        max_requests=limits.requests,
        budget=_budget(session.body),
    )
    fresh = tuple(event for event in log if event.processed_at is not None)
    return Held(session=session, state=state, terms=terms, calls=_calls(state, fresh), fresh=fresh)


def advance(
    tx: Tx, held: Held, came: Sequence[Came] = (), *, under_way: bool = False, only_record: bool = False
) -> tuple[Held, Step]:
    """Take the next step; the turn after it. Fenced. A session that rests is let go of."""
    was = turns.look(tx, held.session, held.state.position)
    state = fold(held.state, was.news)
    state = replace(state, position=max(state.position, was.position), at=max(state.at, was.at))
    terms = replace(held.terms, budget=_budget(was.body))
    done = step(state, tx.now, terms, came, under_way=under_way, only_record=only_record)
    written = sorted([*done.new, *(event for _, event in done.taken)], key=lambda event: event.position)
    fresh = (*(event for event in was.news if event.processed_at is not None), *written)
    calls = _calls(done.state, (*held.calls, *fresh))
    noted = _started(calls, done.started, tx.now)
    new = {event.id for event in done.new}
    turns.append(
        tx,
        held.session,
        was,
        Appended(
            status=_shown(done, was.status),
            new=[noted.get(event.id, event) for event in done.new],
            taken=done.taken,
            noted=[event for event in noted.values() if event.id not in new],
            body=_body(was.body, done, written, terms),
            thread=_thread_body(done, written, terms),
            announced=[name for event in written for name in _announced(event)],
            thread_announced=[
                "session.thread_idled" for event in written if event.type == "session.thread_status_idle"
            ],
        ),
    )
    if isinstance(done.then, Rest):
        turns.release(tx, held.session, done.then.until)
    calls = tuple(noted.get(event.id, event) for event in calls)
    return Held(session=held.session, state=done.state, terms=terms, calls=calls, fresh=fresh), done


def _budget(body: sql.Body) -> dict[str, Any] | None:
    return None if body.budget is None else msgspec.to_builtins(body.budget)


def _shown(done: Step, was: turns.Status) -> turns.Status:
    """The status that the session shows: what it was set to on receipt of events stands until the turn has dealt with them."""
    return done.state.status if isinstance(done.then, Rest) or done.new else was


def _calls(state: State, log: Sequence[LogEvent]) -> tuple[LogEvent, ...]:
    """The events of the calls that are open."""
    ids = {call.id for call in state.calls if not call.settled}
    return tuple(event for event in log if event.id in ids) if ids else ()


def _started(calls: Sequence[LogEvent], ids: Sequence[str], now: int) -> dict[str, LogEvent]:
    """The calls that are about to be run, with that written down."""
    return {event.id: replace(event, notes={**event.notes, "started": now}) for event in calls if event.id in ids}


def _body(body: sql.Body, done: Step, written: Sequence[LogEvent], terms: Terms) -> sql.Body | None:
    """The session's body if it changes: since when it runs, usage at each stop, and what became of outcomes."""
    kinds = {event.type for event in written}
    changes: dict[str, Any] = {}
    if kinds & {"session.status_running", *_STOPS}:
        changes["running_since"] = done.state.running_since
    if kinds & _STOPS:
        changes["usage"] = stops.usage_of(done.state, terms, done.state.at)
        changes["active_seconds"] = done.state.active / SECOND
    if "session.status_terminated" in kinds:
        changes["ended_at"] = done.state.at
    if kinds & {"user.define_outcome", "span.outcome_evaluation_end"}:
        changes["outcome_evaluations"] = _outcomes(body.outcome_evaluations, written)
    return replace(body, **changes) if changes else None


def _outcomes(known: Sequence[OutcomeEvaluation], written: Sequence[LogEvent]) -> list[OutcomeEvaluation]:
    found = {each.outcome_id: each for each in known}
    for event in written:
        body = event.body
        if event.type == "user.define_outcome":
            outcome_id = body["outcome_id"]
            found[outcome_id] = OutcomeEvaluation(
                outcome_id=outcome_id, description=body["description"], iteration=0, result="running"
            )
        elif event.type == "span.outcome_evaluation_end" and body["outcome_id"] in found:
            assert event.processed_at is not None
            found[body["outcome_id"]] = replace(
                found[body["outcome_id"]],
                iteration=body["iteration"],
                result=body["result"],
                explanation=body["explanation"],
                completed_at=to_datetime(event.processed_at),
            )
    return list(found.values())


def _thread_body(done: Step, written: Sequence[LogEvent], terms: Terms) -> sql.ThreadBody | None:
    """What the primary thread shows of itself; from its first status on. The time since it last began to run is not in it."""
    if not any(event.type.startswith(("session.thread_status_", "session.status_terminated")) for event in written):
        return None
    state = done.state
    usage = stops.thread_usage_of(state, terms, state.at if state.running_since is None else state.running_since)
    return sql.ThreadBody(usage=usage, active_seconds=done.state.active / SECOND)


def _announced(event: LogEvent) -> Sequence[str]:
    if event.type != "session.status_idle":
        return _ANNOUNCED.get(event.type, ())
    reason = event.body["stop_reason"]["type"]
    return (
        ("session.status_idled", "session.idled")
        if reason not in _STOPPED
        else ("session.status_idled", _STOPPED[reason])
    )
