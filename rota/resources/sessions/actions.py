"""What happens to sessions (contract, sessions). Events, threads and resources are in ``log``, ``threads``, ``resources``."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from rota.base.clock import SECOND, to_datetime, to_datetime_or_none
from rota.base.errors import Conflict, InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.policy import Policy
from rota.base.who import Who
from rota.base.wire import check_metadata, encode, patch_metadata
from rota.queue.outbox import announce
from rota.resources.agents import actions as agents
from rota.resources.agents.wire import AgentParam, AgentWithOverrides
from rota.resources.files import actions as files
from rota.resources.sessions import belongings, drafts, events, log, mounts, sql
from rota.resources.sessions.reasons import AgentRef
from rota.resources.sessions.rows import Stored, ended_at, find, find_live, running_seconds, save, stored
from rota.resources.sessions.wire import (
    CreateSession,
    ListSessions,
    OutcomeEvaluation,
    Session,
    SessionDeleted,
    Stats,
    Status,
    UpdateSession,
)
from rota.resources.work import wants
from rota.store.tx import Found, Tx, page


def create(tx: Tx, who: Who, body: CreateSession, policy: Policy) -> Session:
    """Make a session, with its first events if there are any: all of it or nothing. Raises a ``SessionRefusal``."""
    check_metadata(body.metadata)
    events.check(body.initial_events, "initial_events")
    log.check_files(tx, who, body.initial_events)
    mounts.check_sent(body.resources)
    wish = _wish(tx, who, body)
    found = drafts.load(tx, [wish], policy)
    [outcome] = drafts.decide_all([wish], found, policy, tx.now)
    if not isinstance(outcome, drafts.Draft):
        raise outcome
    drafts.write(tx, [outcome], policy)
    announce(tx, who, "session.created", outcome.session_id)
    return get(tx, who, outcome.session_id)


def _wish(tx: Tx, who: Who, body: CreateSession) -> drafts.Wish:
    """The wish, its agent pinned. NotFound for an agent or version that is not there, in the words of the contract."""
    asked = body.agent
    agent_id = asked if isinstance(asked, str) else asked.id
    facts = agents.find_many(tx, [agent_id]).get(agent_id)
    if facts is None or facts.workspace_id != who.workspace_id:
        raise NotFound(f"Agent `{agent_id}` not found.")
    version = facts.version if isinstance(asked, str) or asked.version is None else asked.version
    override = None
    if version > facts.version:
        raise NotFound(f"agent.version: {version} not found")
    if isinstance(asked, AgentWithOverrides):
        stored = agents.versions_many(tx, [(agent_id, version)])[agent_id, version]
        override = agents.apply_overrides(tx, who, stored, asked)
    else:
        assert isinstance(asked, str | AgentParam)
    return drafts.Wish(
        organization_id=who.organization_id,
        workspace_id=who.workspace_id,
        agent_id=agent_id,
        agent_version=version,
        environment_id=body.environment_id,
        override=override,
        title=body.title,
        metadata=body.metadata,
        resources=mounts.look_through(body.resources),
        tokens={
            place: resource.authorization_token
            for place, resource in enumerate(body.resources)
            if isinstance(resource, mounts.RepositoryParam) and resource.authorization_token is not UNSET
        },
        vault_ids=body.vault_ids,
        budget=body.budget,
        events=[drafts.entry_of(event) for event in body.initial_events],
    )


def get(tx: Tx, who: Who, session_id: str) -> Session:
    """The session as it goes out."""
    return _render(tx, [find(tx, who, session_id)])[0]


def status_of(tx: Tx, who: Who, session_id: str) -> Status | None:
    """The status of a session of the workspace; None if it is not there, or not any more."""
    row = tx.one(sql.GET, id=session_id, workspace_id=who.workspace_id)
    return None if row is None else stored(row).status


def list_(tx: Tx, who: Who, position: Position | None, query: ListSessions) -> Found:
    """A page of sessions; archived and terminated ones only when asked for (contract, pagination)."""
    if query.agent_version is not None and query.agent_id is None:
        raise InvalidRequest("agent_version: can only be used together with agent_id")
    bounds = query.times()
    _check_position(position, bounds)
    filters: dict[str, Any] = {
        "live": None if query.include_archived else 1,
        "agent_id": query.agent_id,
        "agent_version": query.agent_version,
        "deployment_id": query.deployment_id,
        "memory_store_id": query.memory_store_id,
        "statuses": query.statuses,
        **bounds,
    }
    found = page(
        tx,
        sql.LIST,
        limit=query.limit,
        position=position,
        order=query.order,
        filters=filters,
        workspace_id=who.workspace_id,
    )
    return Found(_render(tx, [stored(row) for row in found.items]), found.next, found.prev)


def _check_position(position: Position | None, bounds: dict[str, int | None]) -> None:
    """A time filter that shuts out the place where the walk stands makes the cursor invalid (contract, pagination)."""
    if position is None:
        return
    gt, gte, lt, lte = (bounds[f"created_at_{name}"] for name in ("gt", "gte", "lt", "lte"))
    if (
        (gt is not None and position.at <= gt)
        or (gte is not None and position.at < gte)
        or (lt is not None and position.at >= lt)
        or (lte is not None and position.at > lte)
    ):
        raise InvalidRequest("invalid page cursor")


def update(tx: Tx, who: Who, session_id: str, body: UpdateSession) -> Session:
    """Change what was sent; what really changed is told in a ``session.updated`` event."""
    old = find_live(tx, who, session_id)
    if body.vault_ids is not UNSET:
        raise InvalidRequest("vault_ids: cannot be changed after a session was created")
    changed: dict[str, Any] = {}
    if body.title is not UNSET:
        changed["title"] = body.title
    if isinstance(body.metadata, dict):
        changed["metadata"] = patch_metadata(old.body.metadata, body.metadata)
    if body.budget is not UNSET:
        changed["budget"] = _new_budget(old.body, body)
    if body.agent is not UNSET:
        if old.status == "running":
            raise InvalidRequest("agent: can only be changed while the session is not running")
        current = (
            _versions(tx, [old])[old.agent_ref]
            if old.body.agent is None
            else agents.override(old.agent_ref, old.body.agent)
        )
        replaced = agents.replace_tools(tx, who, current, body.agent.tools, body.agent.mcp_servers).body
        if encode(replaced) != encode(current.body):
            changed["agent"] = replaced
    new_body = msgspec.structs.replace(old.body, **changed)
    if new_body == old.body:
        return _render(tx, [old])[0]
    new = msgspec.structs.replace(old, body=new_body, updated_at=tx.now)
    save(tx, new)
    if new_body.budget != old.body.budget:  # what was paused for it goes on by itself
        tx.run(sql.WANT_TURN, id=new.id, status=new.status, now=tx.now)
        tx.wake(drafts.TURNS)
    session = _render(tx, [new])[0]
    shown = {name: getattr(session, name) for name in changed if getattr(new_body, name) != getattr(old.body, name)}
    log.append(tx, new.id, [("session.updated", encode(shown).decode())])
    announce(tx, who, "session.updated", new.id)
    return session


def _new_budget(stored: sql.Body, body: UpdateSession) -> Any:
    if body.budget is None:
        return None
    if stored.budget is None:
        raise InvalidRequest(
            "budget: can only be set when a session is created", details={"error_code": "budget_create_only"}
        )
    consumed = stored.usage.list_cost
    assert body.budget is not UNSET
    if consumed is not None and int(body.budget.max_list_cost.amount) <= int(consumed.amount):
        raise InvalidRequest(
            f"budget: must be above what the session has consumed ({consumed.amount} cents)",
            details={"error_code": "budget_not_raised"},
        )
    return body.budget


def archive(tx: Tx, who: Who, session_id: str) -> Session:
    """Close an idle session for good, and with it the outcome that is worked for. A running one is refused; again is the same
    answer."""
    old = find(tx, who, session_id)
    if old.archived_at is not None:
        return _render(tx, [old])[0]
    if old.status not in ("idle", "terminated"):
        raise InvalidRequest(
            f'Session {old.id} cannot be archived while its status is "{old.status}". Only pending or idle sessions may be archived.'
        )
    outcomes = [_broken_off(each, tx.now) for each in old.body.outcome_evaluations]
    body = msgspec.structs.replace(old.body, outcome_evaluations=outcomes)
    new = msgspec.structs.replace(old, status="terminated", archived_at=tx.now, updated_at=tx.now, body=body)
    save(tx, new)
    wants.end(tx, new.id)
    tx.wake(log.topic(new.id))
    if outcomes != old.body.outcome_evaluations:
        announce(tx, who, "session.outcome_evaluation_ended", new.id)
    announce(tx, who, "session.archived", new.id)
    return _render(tx, [new])[0]


def _broken_off(outcome: OutcomeEvaluation, now: int) -> OutcomeEvaluation:
    """The outcome after its session has ended: what was still open ends without a verdict."""
    if outcome.completed_at is not None:
        return outcome
    said = "The session was archived."
    return msgspec.structs.replace(outcome, result="interrupted", explanation=said, completed_at=to_datetime(now))


def delete(tx: Tx, who: Who, session_id: str) -> SessionDeleted:
    """Remove a session that is not running, with its threads, its log and its files. Runs that made it keep its id."""
    old = find(tx, who, session_id)
    if old.status == "running":
        raise InvalidRequest(
            "Cannot delete session while it is running. Send an interrupt event or wait for the session to complete."
        )
    for query in (sql.DELETE_EVENTS, sql.DELETE_THREADS, sql.DELETE_TOKENS, sql.DELETE_STORES, sql.DELETE):
        tx.run(query, id=old.id)
    files.delete_scoped(tx, old.id)
    wants.end(tx, old.id)
    tx.wake(log.topic(old.id))
    tx.wake(belongings.GONE)
    announce(tx, who, "session.deleted", old.id)
    return SessionDeleted(old.id)


def object_to_environment_deletion(tx: Tx, _who: Who, environment_id: str) -> None:
    """A self-hosted environment with live sessions stays, unless deletion is forced (contract, environments)."""
    row = tx.one(sql.COUNT_SELF_HOSTED, environment_id=environment_id)
    if row is not None and row[0]:
        plural = "" if row[0] == 1 else "s"
        raise Conflict(f"Environment has {row[0]} active session{plural}. Use force=true to delete anyway.")


def _versions(tx: Tx, sessions: Sequence[Stored]) -> dict[AgentRef, agents.AgentVersion]:
    """The agent versions of these sessions and of their rosters, with one query for each of the two levels."""
    versions = dict(agents.versions_many(tx, sorted({session.agent_ref for session in sessions})))
    for session in sessions:
        if session.body.agent is not None:
            versions[session.agent_ref] = agents.override(session.agent_ref, session.body.agent)
    members = {ref for version in versions.values() for ref in agents.members(version)} - versions.keys()
    if members:
        versions |= agents.versions_many(tx, sorted(members))
    return versions


def _render(tx: Tx, sessions: Sequence[Stored]) -> list[Session]:
    """Rows as they go out, each agent's snapshot filled in."""
    plain = [session for session in sessions if session.body.agent is None]
    versions = _versions(tx, plain)
    rendered: list[Session] = []
    for session in sessions:
        own = versions if session.body.agent is None else _versions(tx, [session])
        rendered.append(_to_session(tx, session, agents.session_agent(own[session.agent_ref], own)))
    return rendered


def _to_session(tx: Tx, session: Stored, agent: Any) -> Session:
    body = session.body
    created_at: datetime = to_datetime(session.created_at)
    running = running_seconds(tx, session)
    return Session(
        id=session.id,
        status=session.status,
        agent=agent,
        environment_id=session.environment_id,
        title=body.title,
        metadata=body.metadata,
        resources=body.resources,
        vault_ids=body.vault_ids,
        outcome_evaluations=body.outcome_evaluations,
        usage=msgspec.structs.replace(body.usage, active_seconds=body.usage.active_seconds + running),
        stats=Stats(
            active_seconds=body.active_seconds + running,
            duration_seconds=max(0, (ended_at(session) or tx.now) - session.created_at) / SECOND,
        ),
        budget=body.budget,
        deployment_id=session.deployment_id,
        created_at=created_at,
        updated_at=to_datetime(session.updated_at),
        archived_at=to_datetime_or_none(session.archived_at),
    )
