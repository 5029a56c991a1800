"""What happens to agents (contract, agents). Upper rooms find everything that they need of agents here."""

import msgspec

from rota.base import ids
from rota.base.clock import to_datetime, to_datetime_or_none
from rota.base.errors import Conflict, InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.who import Who
from rota.queue.outbox import announce
from rota.resources.agents import configuration, sql
from rota.resources.agents.configuration import apply_overrides, replace_tools
from rota.resources.agents.multiagent import follow_self
from rota.resources.agents.roster import Owner
from rota.resources.agents.versions import (
    AgentVersion,
    Facts,
    Traits,
    find_many,
    members,
    override,
    session_agent,
    thread_agent,
    to_version,
    traits_many,
    traits_of,
    versions_many,
)
from rota.resources.agents.wire import Agent, CreateAgent, ListAgents, ListAgentVersions, UpdateAgent
from rota.store.tx import Found, Row, Tx, page

__all__ = [
    "AgentVersion",
    "Facts",
    "Traits",
    "apply_overrides",
    "archive",
    "create",
    "find_many",
    "get",
    "list_",
    "list_versions",
    "members",
    "override",
    "replace_tools",
    "session_agent",
    "thread_agent",
    "traits_many",
    "traits_of",
    "update",
    "versions_many",
]

MAX_SIZE = 2 * 1024 * 1024
"""Bytes of an agent as it is kept. Ours: a page of a hundred sessions shows as many agents in full."""


class _Head(msgspec.Struct, frozen=True):
    """An agent's row: what all of its versions have in common. ``version`` is the latest; instants in microseconds."""

    id: str
    created_at: int
    archived_at: int | None
    version: int


def create(tx: Tx, who: Who, body: CreateAgent) -> Agent:
    """Make an agent; its first version is 1."""
    head = _Head(ids.new(ids.AGENT), tx.now, None, 1)
    version = AgentVersion(head.id, 1, tx.now, configuration.first(tx, who, body, Owner(head.id, 1)))
    tx.insert(sql.INSERT, [(head.id, who.workspace_id, tx.now, None, 1)])
    _keep(tx, version)
    announce(tx, who, "agent.created", head.id)
    return _to_agent(head, version)


def get(tx: Tx, who: Who, agent_id: str, version: int | None = None) -> Agent:
    """The agent in its latest version or the given one, archived ones too. NotFound."""
    head = _find(tx, who, agent_id)
    ref = agent_id, version or head.version
    found = versions_many(tx, [ref]).get(ref)
    if found is None:
        raise NotFound("Agent version not found.")
    return _to_agent(head, found)


def list_(tx: Tx, who: Who, position: Position | None, query: ListAgents) -> Found:
    """A page of agents, newest first, each in its latest version. The time filters compare when the agent was made."""
    filters = {
        "live": None if query.include_archived else 1,
        **query.times(),
    }
    found = page(tx, sql.LIST, limit=query.limit, position=position, filters=filters, workspace_id=who.workspace_id)
    heads = [_Head(*row) for row in found.items]
    versions = versions_many(tx, [(head.id, head.version) for head in heads])
    return Found([_to_agent(head, versions[head.id, head.version]) for head in heads], found.next, found.prev)


def list_versions(tx: Tx, who: Who, position: Position | None, agent_id: str, query: ListAgentVersions) -> Found:
    """A page of an agent's versions, newest first. NotFound."""
    head = _find(tx, who, agent_id)
    found = page(tx, sql.LIST_VERSIONS, limit=query.limit, position=position, agent_id=head.id)

    def convert(row: Row) -> Agent:
        return _to_agent(head, to_version(row))

    return found.map(convert)


def update(tx: Tx, who: Who, agent_id: str, body: UpdateAgent) -> Agent:
    """Write a new version, if anything changes; if nothing does, the latest one is the answer and nothing is announced.

    Conflict if ``body.version`` is not the latest, even when the fields are what they were. References of the agent to
    itself always name the version that holds them, so they move along and alone are no change.
    """
    head = _find(tx, who, agent_id)
    if head.archived_at is not None:
        raise InvalidRequest("Cannot modify archived agent")
    if body.version not in (None, head.version):
        raise Conflict("Concurrent modification detected. Please fetch the latest version and retry.")
    ref = head.id, head.version
    old = versions_many(tx, [ref])[ref]
    number = head.version + 1
    moved = msgspec.structs.replace(
        old.body, multiagent=follow_self(old.body.multiagent, head.id, head.version, number)
    )
    changed = configuration.next_(tx, who, body, moved, Owner(head.id, number))
    if sql.same(changed, moved):
        return _to_agent(head, old)
    new = AgentVersion(head.id, number, tx.now, changed)
    _keep(tx, new)
    tx.run(sql.SET_VERSION, id=head.id, version=number)
    announce(tx, who, "agent.updated", head.id)
    return _to_agent(head, new)


def archive(tx: Tx, who: Who, agent_id: str) -> Agent:
    """Archive for good; again is the same answer, unannounced.

    Whoever follows ``agent.archived`` does so in this transaction, and so at the very instant of ``archived_at``.
    """
    head = _find(tx, who, agent_id)
    if head.archived_at is None:
        head = msgspec.structs.replace(head, archived_at=tx.now)
        tx.run(sql.ARCHIVE, id=head.id, archived_at=tx.now)
        announce(tx, who, "agent.archived", head.id)
    ref = head.id, head.version
    return _to_agent(head, versions_many(tx, [ref])[ref])


def _find(tx: Tx, who: Who, agent_id: str) -> _Head:
    row = tx.one(sql.GET, id=agent_id, workspace_id=who.workspace_id)
    if row is None:
        raise NotFound(f"Agent {agent_id} not found.")
    return _Head(*row)


def _keep(tx: Tx, version: AgentVersion) -> None:
    key, body = sql.to_key(version.ref), sql.to_body(version.body)
    if len(body) > MAX_SIZE:
        raise InvalidRequest(f"Agent has invalid configuration: it is larger than {MAX_SIZE // 1024 // 1024} MB")
    tx.insert(sql.INSERT_VERSION, [(key, version.id, version.version, version.created_at, body)])


def _to_agent(head: _Head, version: AgentVersion) -> Agent:
    updated_at = version.created_at if head.archived_at is None else head.archived_at
    return Agent(
        id=head.id,
        version=version.version,
        **msgspec.structs.asdict(version.body),
        created_at=to_datetime(head.created_at),
        updated_at=to_datetime(updated_at),
        archived_at=to_datetime_or_none(head.archived_at),
    )
