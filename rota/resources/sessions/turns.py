"""What the turn engine does to a session: takes it up, reads it, appends to its log, lets go of it.

Promises: whoever was fenced off, because its claim lapsed and another took the session up, appends nothing; an append is one
transaction, in which the engine also sees whatever came meanwhile, so that nothing is decided on what is no longer so.
Does not decide anything itself: it is told what to write, in what places and at what instants.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from rota.base.who import Who
from rota.base.wire import encode
from rota.queue.outbox import announce
from rota.resources.agents import actions as agents
from rota.resources.agents.wire import ThreadAgent
from rota.resources.environments import actions as environments
from rota.resources.environments.wire import Cloud, Config, SelfHosted
from rota.resources.sessions import drafts, log, sql, workers
from rota.resources.sessions.wire import Status
from rota.store.tx import Row, Tx

TOPIC: Final = drafts.TURNS
"""What is woken when a session wants a turn, or when something comes that one under way should hear of."""


class Fenced(Exception):
    """The session is no longer this turn's: another has taken it up, or it is gone."""


class TurnSession(Struct, frozen=True, kw_only=True):
    """A session as the engine sees it, read when it was taken up. ``thread_id`` is the primary thread's; ``agent`` the
    effective one, overrides included; ``environment`` the configuration of the session's environment."""

    id: str
    who: Who
    thread_id: str
    epoch: int
    agent: ThreadAgent
    multiagent: bool = False
    environment_id: str
    environment: Config
    self_hosted: bool
    body: sql.Body


class LogEvent(Struct, frozen=True, kw_only=True):
    """An event of a session's primary thread. ``notes`` are the engine's own, which nobody is shown.

    One that waits has no ``processed_at``, and a position behind all others.
    """

    id: str
    type: str
    position: int
    processed_at: int | None
    body: dict[str, Any]
    notes: dict[str, Any] = {}


class Claim(Struct, frozen=True):
    """A session that was taken up."""

    session_id: str
    epoch: int


class Look(Struct, frozen=True):
    """A session at the beginning of an append: its row's status and body, and what came since the last one. ``position`` and
    ``at`` are where its log ends, with all of its threads; 0 if that has not moved."""

    status: Status
    body: sql.Body
    news: Sequence[LogEvent]
    position: int
    at: int


class Appended(Struct, frozen=True, kw_only=True):
    """What is to be written. ``new`` and ``taken`` have their final places and instants; ``taken`` comes with the place where
    it waited. ``noted`` are events whose notes changed. ``body`` and ``thread`` are None if they stay as they were.
    ``announced`` are webhook events about the session, ``thread_announced`` about its primary thread.
    """

    status: Status
    new: Sequence[LogEvent] = ()
    taken: Sequence[tuple[int, LogEvent]] = ()
    noted: Sequence[LogEvent] = ()
    body: sql.Body | None = None
    thread: sql.ThreadBody | None = None
    announced: Sequence[str] = ()
    thread_announced: Sequence[str] = ()


_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def claim(tx: Tx, limit: int, hold: int, held: Sequence[str]) -> list[Claim]:
    """Take up sessions that want a turn, at most ``limit``, for ``hold`` microseconds; none of those that one holds already, or
    that somebody else is taking up."""
    wanting = [row[0] for row in tx.all(sql.WANTING, now=tx.now, held=list(held), limit=limit)]
    if not wanting:
        return []
    return [Claim(*row) for row in tx.all(sql.HOLD, ids=wanting, until=tx.now + hold)]


def renew(tx: Tx, held: Sequence[Claim], hold: int) -> list[str]:
    """Hold on to sessions for ``hold`` microseconds more; those that are lost."""
    kept = tx.update(sql.RENEW, [(tx.now + hold, each.session_id, each.epoch) for each in held])
    if kept == len(held):
        return []
    epochs = dict(tx.all(sql.EPOCHS, ids=[each.session_id for each in held]))
    return [each.session_id for each in held if epochs.get(each.session_id) != each.epoch]


def interrupted(tx: Tx, session_ids: Sequence[str]) -> set[str]:
    """Those of the sessions in which an interrupt waits."""
    return {row[0] for row in tx.all(sql.INTERRUPTED, ids=list(session_ids))}


def wanting_in(tx: Tx, held: Sequence[str]) -> int | None:
    """In how many microseconds there will be a session to take up, besides those that one holds; 0 for now, None for none."""
    row = tx.one(sql.NEXT_WANTING, now=tx.now, held=list(held))
    return None if row is None else max(0, row[0] - tx.now)


def lapse(tx: Tx) -> int:
    """End every hold, where there can be no other server that has one; how many there were."""
    return tx.run(sql.LAPSE)


def load(tx: Tx, claimed: Claim) -> tuple[TurnSession, list[LogEvent]]:
    """The session and its log. Fenced."""
    row = tx.one(sql.GET_TURN, id=claimed.session_id)
    if row is None or row[3] != claimed.epoch:
        raise Fenced(claimed.session_id)
    (
        session_id,
        workspace_id,
        organization_id,
        epoch,
        agent_id,
        version,
        environment_id,
        self_hosted,
        text,
        thread_id,
    ) = row
    body = sql.body_of(text)
    if body.agent is None:
        found = agents.versions_many(tx, [(agent_id, version)])[agent_id, version]
    else:
        found = agents.override((agent_id, version), body.agent)
    environment = environments.find_many(tx, [environment_id]).get(environment_id)
    session = TurnSession(
        id=session_id,
        who=Who(organization_id=organization_id, workspace_id=workspace_id, key_id=""),
        thread_id=thread_id,
        epoch=epoch,
        agent=agents.thread_agent(found),
        multiagent=found.body.multiagent is not None,
        environment_id=environment_id,
        environment=environment.config if environment is not None else SelfHosted() if self_hosted else Cloud(),
        self_hosted=bool(self_hosted),
        body=body,
    )
    return session, _events(tx.all(sql.RECENT, session_id=session_id, after=0))


def look(tx: Tx, session: TurnSession, after: int) -> Look:
    """The session as it is now, and its events behind the position ``after``. Fenced."""
    row = tx.one(sql.GET_FENCE, id=session.id)
    if row is None or row[0] != session.epoch or row[1] is not None:
        raise Fenced(session.id)
    rows = tx.all(sql.RECENT, session_id=session.id, after=after)
    position, at = next(((each[0], each[4]) for each in reversed(rows) if each[0] < sql.WAITING), (0, 0))
    return Look(row[2], sql.body_of(row[3]), _events(rows), position, at)


def _events(rows: Sequence[Row]) -> list[LogEvent]:
    return [
        LogEvent(
            id=event_id,
            type=kind,
            position=position,
            processed_at=processed_at if position < sql.WAITING else None,
            body=_decode(body),
            notes={} if notes is None else _decode(notes),
        )
        for position, event_id, thread_id, kind, processed_at, body, notes in rows
        if thread_id is None
    ]


def append(tx: Tx, session: TurnSession, was: Look, what: Appended) -> None:
    """Write, in the transaction in which ``look`` was called."""
    if what.taken:
        rows = [(event.position, event.processed_at, session.id, waited_at) for waited_at, event in what.taken]
        tx.update(sql.TAKE_UP, rows)
    if what.new:
        tx.insert(sql.APPEND_NOTED, [_row(session.id, event) for event in what.new])
    if what.noted:
        tx.update(sql.NOTE, [(_text(event.notes), session.id, event.position) for event in what.noted])
    if what.status != was.status or what.body is not None:
        body = was.body if what.body is None else what.body
        tx.run(sql.KEEP_TURN, id=session.id, status=what.status, now=tx.now, body=encode(body).decode())
    if what.thread is not None:
        tx.run(
            sql.KEEP_THREAD, session_id=session.id, status=what.status, now=tx.now, body=encode(what.thread).decode()
        )
    elif what.status != was.status:
        tx.run(sql.SET_THREAD_STATUS, session_id=session.id, status=what.status, now=tx.now)
    for event in what.announced:
        announce(tx, session.who, event, session.id)
    for event in what.thread_announced:
        announce(tx, session.who, event, session.id, data={"session_thread_id": session.thread_id})
    if session.self_hosted:
        workers.follow(tx, session.who, session.id, session.environment_id, was.body.resources, what.new)
    if what.new or what.taken:
        tx.wake(log.topic(session.id))


def _row(session_id: str, event: LogEvent) -> Row:
    notes = _text(event.notes) if event.notes else None
    return (
        session_id,
        event.position,
        event.id,
        None,
        event.type,
        event.processed_at,
        encode(event.body).decode(),
        notes,
    )


def _text(notes: dict[str, Any]) -> str:
    return encode(notes).decode()


def release(tx: Tx, session: TurnSession, wants_turn_at: int | None) -> None:
    """Let go of the session: nothing is left to do, or not before ``wants_turn_at``. Nothing happens to whom it was lost."""
    tx.run(sql.LET_GO, id=session.id, epoch=session.epoch, wants_turn_at=wants_turn_at)


def hand_back(tx: Tx, held: Sequence[Claim]) -> None:
    """Give sessions up in the middle of their turns, for anybody to go on with at once."""
    for each in held:
        tx.run(sql.HAND_BACK, id=each.session_id, epoch=each.epoch)
    tx.wake(TOPIC)
