"""Threads of a session: reading them, and closing a child (contract, threads)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from rota.base.clock import SECOND, to_datetime, to_datetime_or_none
from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.who import Who
from rota.base.wire import encode
from rota.queue.outbox import announce
from rota.resources.agents import actions as agents
from rota.resources.agents.wire import ThreadAgent
from rota.resources.sessions import log, sql
from rota.resources.sessions.rows import Stored, ended_at, find, find_live, running_seconds
from rota.resources.sessions.wire import ListThreadEvents, ListThreads, Stats, Thread
from rota.store.tx import Found, Row, Tx, page


def list_(tx: Tx, who: Who, position: Position | None, session_id: str, query: ListThreads) -> Found:
    """A page of a session's threads, the primary one first."""
    session = find(tx, who, session_id)
    found = page(
        tx, sql.LIST_THREADS, limit=query.limit, position=position, order="asc",
        filters={"statuses": query.statuses}, session_id=session.id,
    )  # fmt: skip
    agent = _agent(tx, session)
    return found.map(lambda row: _to_thread(tx, session, row, agent))


def get(tx: Tx, who: Who, session_id: str, thread_id: str) -> Thread:
    """One thread. NotFound."""
    session = find(tx, who, session_id)
    row = tx.one(sql.GET_THREAD, session_id=session.id, id=thread_id)
    if row is None:
        raise NotFound(f"Thread not found: {thread_id}")
    return _to_thread(tx, session, row, _agent(tx, session))


def list_events(
    tx: Tx, who: Who, position: Position | None, session_id: str, thread_id: str, query: ListThreadEvents
) -> Found:
    """A page of a thread's own log."""
    session = find(tx, who, session_id)
    row = tx.one(sql.GET_THREAD, session_id=session.id, id=thread_id)
    if row is None:
        raise NotFound(f"Thread not found: {thread_id}")
    parameters: dict[str, Any] = {"session_id": session.id}
    listing = sql.LIST_PRIMARY_EVENTS
    if row[4] is not None:
        listing = sql.LIST_THREAD_EVENTS
        parameters["thread_id"] = thread_id
    found = page(tx, listing, limit=query.limit, position=position, order=query.order, filters=None, **parameters)
    return found.map(sql.to_event)


def archive(tx: Tx, who: Who, session_id: str, thread_id: str) -> Thread:
    """Close a child thread that is not running, for good; what it waits for is dropped. Again is the same answer."""
    session = find(tx, who, session_id)
    row = tx.one(sql.GET_THREAD, session_id=session.id, id=thread_id)
    if row is None:
        raise NotFound(f"Thread not found: {thread_id}")
    _, _, _, archived_at, parent_thread_id, status, text = row
    if parent_thread_id is None:
        raise InvalidRequest("The primary thread cannot be archived; archive the session instead.")
    agent = _agent(tx, session)
    if archived_at is not None:
        return _to_thread(tx, session, row, agent)
    find_live(tx, who, session_id)
    if status in ("running", "rescheduling"):
        raise InvalidRequest(
            f'Thread {thread_id} cannot be archived while its status is "{status}". Only idle threads may be archived.'
        )
    body = msgspec.structs.replace(sql.thread_body_of(text), ended_at=tx.now)
    tx.run(sql.ARCHIVE_THREAD, session_id=session.id, id=thread_id, now=tx.now, body=encode(body).decode())
    if status != "terminated":
        told = encode({"session_thread_id": thread_id, "agent_name": agent.name}).decode()
        for place in (thread_id, None):  # on the thread's own stream, and shown in the primary one
            log.append(tx, session.id, [("session.thread_status_terminated", told)], thread_id=place)
        announce(tx, who, "session.thread_terminated", session.id, data={"session_thread_id": thread_id})
    return get(tx, who, session_id, thread_id)


def _agent(tx: Tx, session: Stored) -> ThreadAgent:
    if session.body.agent is not None:
        return agents.thread_agent(agents.override(session.agent_ref, session.body.agent))
    found: Mapping[Any, agents.AgentVersion] = agents.versions_many(tx, [session.agent_ref])
    return agents.thread_agent(found[session.agent_ref])


def _to_thread(tx: Tx, session: Stored, row: Row, agent: ThreadAgent) -> Thread:
    thread_id, created_at, updated_at, archived_at, parent_thread_id, status, text = row
    body = sql.thread_body_of(text)
    stats, usage = None, body.usage
    running = running_seconds(tx, session) if parent_thread_id is None else 0.0
    if body.active_seconds is not None:
        ended = body.ended_at or ended_at(session) or tx.now
        stats = Stats(
            active_seconds=body.active_seconds + running, duration_seconds=max(0, ended - created_at) / SECOND
        )
    if usage is not None:
        usage = msgspec.structs.replace(usage, active_seconds=usage.active_seconds + running)
    return Thread(
        id=thread_id,
        session_id=session.id,
        parent_thread_id=parent_thread_id,
        agent=agent,
        status=status,
        stats=stats,
        usage=usage,
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
        archived_at=to_datetime_or_none(archived_at),
    )
