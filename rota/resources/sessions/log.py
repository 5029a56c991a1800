"""A session's log of events: listing it, and taking in what clients send (contract, sessions: events, sending).

Promises: a request's events are checked as a whole before any is stored; they are listed in the order in which they came;
what waits for the turn engine has no ``processed_at`` yet. Does not turn sessions: it marks them as wanting a turn.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from rota.base import ids
from rota.base.errors import Forbidden, InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.who import Who
from rota.resources.files import actions as files
from rota.resources.sessions import calls, drafts, events, receipt, sql, workers
from rota.resources.sessions.calls import Calls
from rota.resources.sessions.events import (
    CustomToolResult,
    DefineOutcome,
    InboundEvent,
    Interrupt,
    SystemMessage,
    ToolConfirmation,
    ToolResult,
    UserMessage,
)
from rota.resources.sessions.receipt import End, Receipt
from rota.resources.sessions.refusals import FileNotFound
from rota.resources.sessions.rows import Stored, find, save
from rota.resources.sessions.wire import ListEvents, SendEvents, SentEvents
from rota.store.tx import Found, Row, Tx, page


def topic(session_id: str) -> str:
    """What is woken when a session's log has grown, or has come to its end."""
    return f"events {session_id}"


def list_(tx: Tx, who: Who, position: Position | None, session_id: str, query: ListEvents) -> Found:
    """A page of the session's log, oldest first unless asked otherwise."""
    session = find(tx, who, session_id)
    filters: dict[str, Any] = {"types": query.types, **query.times()}
    found = page(
        tx,
        sql.LIST_EVENTS,
        limit=query.limit,
        position=position,
        order=query.order,
        filters=filters,
        session_id=session.id,
    )
    return found.map(sql.to_event)


def end(tx: Tx, session_id: str) -> End:
    """Where the session's log ends."""
    row = tx.one(sql.LAST_EVENT, session_id=session_id)
    return End(0, 0) if row is None else End(row[0], row[1])


def append(tx: Tx, session_id: str, entries: Sequence[drafts.LogEntry], *, thread_id: str | None = None) -> list[Row]:
    """Put events at the end of the log, one after the other; returns their rows. ``thread_id`` is a child thread's."""
    last = end(tx, session_id)
    at = last.next_at(tx.now)
    rows: list[Row] = [
        (session_id, last.position + number, ids.new(ids.EVENT), thread_id, kind, at + number - 1, body)
        for number, (kind, body) in enumerate(entries, 1)
    ]
    tx.insert(sql.APPEND, rows)
    tx.wake(topic(session_id))
    return rows


def send(tx: Tx, who: Who, session_id: str, body: SendEvents) -> SentEvents:
    """Take in a request's events, all or none. InvalidRequest, Forbidden or NotFound for the first that does not fit.

    Answers that are in order are taken up on receipt, and so is an interrupt when there is nothing to interrupt; whatever
    else comes waits behind the log (contract, sessions §6.0).
    """
    session = find(tx, who, session_id)
    if session.archived_at is not None or session.status == "terminated":
        raise InvalidRequest(f"Cannot send events to archived session: {session.id}")
    events.check(body.events, "events")
    check_files(tx, who, body.events)
    spent = receipt.spent(session)
    open_calls = calls_of(tx, session)
    for index, event in enumerate(body.events):
        _check_thread(tx, session.id, event)
        if isinstance(event, ToolResult) and who.scope not in ("environment", "session"):
            raise Forbidden(
                f"events[{index}]: `user.tool_result` may only be sent with environment credentials (the self-hosted "
                "runner's Session-Instance JWT); an API key or Console session cannot post this event type"
            )
        if isinstance(event, DefineOutcome) and tx.one(sql.OUTCOMES, session_id=session.id) is not None:
            raise InvalidRequest(
                f"events[{index}]: the session already has an active outcome; wait for it to end, or interrupt it"
            )
        if spent and isinstance(event, UserMessage | DefineOutcome | SystemMessage):
            raise InvalidRequest(
                f"events[{index}]: the session has reached its budget; until that is raised, only user.tool_confirmation, "
                "user.tool_result, user.custom_tool_result and user.interrupt events are accepted"
            )
        if isinstance(event, SystemMessage) and session.status == "idle" and calls.wanted(open_calls):
            _check_follows_result(body.events, index)
    _route_answers(tx, session.id, body.events, open_calls)
    if session.self_hosted and _calls_for_a_worker(session, body.events, open_calls):
        workers.want(tx, who, session.id, session.environment_id, session.body.resources)
    waits = tx.one(sql.LAST_WAITING, session_id=session.id)
    assert waits is not None
    queue = Receipt(session, open_calls, end(tx, session.id), waits[0], tx.now)
    for event in body.events:
        queue.take_in(event, spent=spent)
    tx.insert(sql.APPEND, queue.rows)
    if outcomes := drafts.pending(queue.rows):
        shown = [*session.body.outcome_evaluations, *outcomes]
        save(tx, replace(session, body=replace(session.body, outcome_evaluations=shown), updated_at=tx.now))
    if queue.wants_turn:
        status = "running" if queue.resumes else session.status
        tx.run(sql.WANT_TURN, id=session.id, status=status, now=tx.now)
        if status != session.status:
            tx.run(sql.SET_THREAD_STATUS, session_id=session.id, status=status, now=tx.now)
        tx.wake(drafts.TURNS)
    tx.wake(topic(session.id))
    return SentEvents([sql.to_event((row[2], row[1], row[4], row[5], row[6])) for row in queue.echo])


def check_files(tx: Tx, who: Who, sent: Sequence[InboundEvent]) -> None:
    """Files that events refer to must be there when they come. InvalidRequest, also for another workspace's."""
    named = list(dict.fromkeys(file_id for event in sent for file_id in events.files_of(event)))
    if not named:
        return
    found = {each.id for each in files.find_many(tx, named).values() if each.workspace_id == who.workspace_id}
    missing = [file_id for file_id in named if file_id not in found]
    if missing:
        raise InvalidRequest(str(FileNotFound(missing)))


def _check_follows_result(sent: Sequence[InboundEvent], index: int) -> None:
    """A session that waits for a client takes a system message with a tool's result only (contract, sending events)."""
    if index == 0 or not isinstance(sent[index - 1], ToolResult | CustomToolResult):
        raise InvalidRequest(
            f"events[{index}]: while the session requires an action, a `system.message` event must directly follow a "
            "tool result event"
        )


def calls_of(tx: Tx, session: Stored) -> Calls:
    """The tool calls of the primary thread's last reply, as far as they have been answered."""
    found: Calls = ()
    for event_id, kind, text, processed_at in tx.all(sql.SINCE_REQUEST, session_id=session.id):
        body = msgspec.json.decode(text, type=dict[str, Any])
        if kind in calls.USES:
            if body.get("session_thread_id") is None:
                found += (calls.call(event_id, kind, body, self_hosted=session.self_hosted),)
        elif processed_at is not None:
            found = calls.answered(found, kind, body)
    return found


def _calls_for_a_worker(session: Stored, sent: Sequence[InboundEvent], open_calls: Calls) -> bool:
    """Whether a turn will come of it; or somebody interrupts one that waits for results, as one does whose worker failed."""
    failed = session.status == "idle" and bool(calls.wanted(open_calls))
    asking = (UserMessage, DefineOutcome, ToolConfirmation, CustomToolResult)
    return any(isinstance(event, asking) or (failed and isinstance(event, Interrupt)) for event in sent)


def _check_thread(tx: Tx, session_id: str, event: InboundEvent) -> None:
    """Only an interrupt's thread is taken at its word; answers are routed by the call that they answer."""
    thread_id = getattr(event, "session_thread_id", None)
    if isinstance(event, Interrupt) and isinstance(thread_id, str):
        if not thread_id.startswith(ids.THREAD):
            raise InvalidRequest(f"Invalid session_thread_id: {thread_id}")
        if tx.one(sql.GET_THREAD, session_id=session_id, id=thread_id) is None:
            raise NotFound(f"Thread not found: {thread_id}")


_ANSWERS = (ToolConfirmation, CustomToolResult, ToolResult)
_ANSWERABLE = {
    "user.tool_confirmation": ("agent.tool_use", "agent.mcp_tool_use"),
    "user.custom_tool_result": ("agent.custom_tool_use",),
    "user.tool_result": ("agent.tool_use",),
}


def _route_answers(tx: Tx, session_id: str, sent: Sequence[InboundEvent], open_calls: Calls) -> None:
    """Each answer must name a call of this session that still waits for one, once. InvalidRequest otherwise.

    A call that was confirmed still waits for its result. An answer is given the thread of its call, whatever thread it
    named: a child's is kept with it, the primary one is left out (contract, sending events).
    """
    named = [(event, _target(event)) for event in sent if isinstance(event, _ANSWERS)]
    if not named:
        return
    found = {row[0]: row for row in tx.all(sql.FIND_CALLS, session_id=session_id, ids=[target for _, target in named])}
    still_open = {each.id for each in open_calls}
    confirmed = {each.id for each in open_calls if each.verdict is not None}
    answered = {each.id for each in open_calls if each.settled}
    for kind, text in tx.all(sql.WAITING_ANSWERS, session_id=session_id):
        target = calls.target(msgspec.json.decode(text, type=dict[str, Any])) or ""
        (confirmed if kind == "user.tool_confirmation" else answered).add(target)
    for event, target in named:
        name = "custom_tool_use_id" if isinstance(event, CustomToolResult) else "tool_use_id"
        call = found.get(target)
        if call is None or call[1] not in _ANSWERABLE[events.name_of(event)]:
            raise InvalidRequest(f"{name}: {target} is not a tool call of this session that can be answered this way")
        if isinstance(event, ToolConfirmation) and _permission(call[2]) != "ask":
            raise InvalidRequest(f"tool_use_id: {target} did not ask for confirmation")
        thread = _thread(call)
        confirming = isinstance(event, ToolConfirmation)
        gone = thread is None and target not in still_open
        if gone or target in answered or (confirming and target in confirmed):
            raise InvalidRequest(f"{name}: {target} has already been answered")
        (confirmed if confirming else answered).add(target)
        event.session_thread_id = thread or UNSET


def _target(event: ToolConfirmation | CustomToolResult | ToolResult) -> str:
    return event.custom_tool_use_id if isinstance(event, CustomToolResult) else event.tool_use_id


def _thread(call: Row) -> str | None:
    """The child thread that a call belongs to, in its own log or shown in the primary one; None for the primary's own."""
    return call[3] or msgspec.json.decode(call[2], type=dict[str, Any]).get("session_thread_id")


def _permission(body: str) -> str | None:
    return msgspec.json.decode(body, type=dict[str, Any]).get("evaluated_permission")
