"""Versions of agents as others read them: in sets, with one query at most, from memory where possible.

Promises: a version that was once read is never read wrongly, because versions do not change; whether an agent is archived
is not remembered. Memory is bounded. Does not know who asks: whoever holds an id has checked its workspace.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from rota.base.recall import Recall
from rota.resources.agents import sql
from rota.resources.agents.multiagent import (
    Advisor,
    AgentRef,
    AgentReference,
    Coordinator,
    Disabled,
    Multiagent,
    Spawning,
    advisor_models,
    references,
)
from rota.resources.agents.servers import McpServer
from rota.resources.agents.skills import AgentSkill
from rota.resources.agents.tools import AgentToolset, has_usable_read_tool
from rota.resources.agents.wire import (
    SessionAgent,
    SessionCoordinator,
    SessionMultiagent20261001,
    SessionSpawning,
    ThreadAgent,
)
from rota.store.tx import Row, Tx

T = TypeVar("T")

_VERSIONS_KEPT = 16_000_000  # characters of JSON
_TRAITS_KEPT = 4096


class Facts(Struct, frozen=True):
    """What may change about an agent. ``version`` is the latest."""

    id: str
    workspace_id: str
    archived: bool
    version: int


class AgentVersion(Struct, frozen=True):
    """One version of an agent. ``created_at`` is the version's, in microseconds UTC.

    Overridden for a session, it has the id and version of what it was made from and another body.
    """

    id: str
    version: int
    created_at: int
    body: sql.VersionBody

    @property
    def ref(self) -> AgentRef:
        """What names the version."""
        return self.id, self.version


class Traits(Struct, frozen=True, kw_only=True):
    """What decisions about a version need. Roster members other than the agent itself; MCP servers as (name, URL)."""

    name: str
    model_id: str
    mcp_servers: Sequence[tuple[str, str]]
    skills: Sequence[AgentSkill]
    members: Sequence[AgentRef]
    advisor_models: Sequence[str]
    has_multiagent: bool
    has_usable_read_tool: bool


class _LightModel(Struct, frozen=True):
    id: str


class _LightMcpToolset(Struct, tag="mcp_toolset", tag_field="type", frozen=True):
    """Decoded only as far as its type."""


class _LightCustomTool(Struct, tag="custom", tag_field="type", frozen=True):
    """Decoded only as far as its type."""


class _LightBody(Struct, frozen=True):
    """The part of a body that traits are made of; the decoder skips the rest, long system prompts above all."""

    name: str
    model: _LightModel
    tools: list[AgentToolset | _LightMcpToolset | _LightCustomTool]
    mcp_servers: list[McpServer]
    skills: list[AgentSkill]
    multiagent: Multiagent | None


_light_decoder = msgspec.json.Decoder(_LightBody)


_versions: Recall[AgentRef, AgentVersion] = Recall(_VERSIONS_KEPT)
_traits: Recall[AgentRef, Traits] = Recall(_TRAITS_KEPT)


def find_many(tx: Tx, agent_ids: Sequence[str]) -> dict[str, Facts]:
    """Those of the agents that exist, in any workspace."""
    if not agent_ids:
        return {}
    rows = tx.all(sql.GET_MANY, ids=list(agent_ids))
    return {row[0]: Facts(row[0], row[1], row[2] is not None, row[3]) for row in rows}


def versions_many(tx: Tx, refs: Sequence[AgentRef]) -> dict[AgentRef, AgentVersion]:
    """Those of the versions that exist, whole."""
    return _read(tx, refs, _versions, to_version, lambda row: len(row[4]))


def traits_many(tx: Tx, refs: Sequence[AgentRef]) -> dict[AgentRef, Traits]:
    """Those of the versions that exist, as far as decisions need them."""
    return _read(
        tx, refs, _traits, lambda row: _to_traits((row[3], row[1]), _light_decoder.decode(row[4])), lambda _: 1
    )


def _read(
    tx: Tx,
    refs: Sequence[AgentRef],
    memory: Recall[AgentRef, T],
    convert: Callable[[Row], T],
    weigh: Callable[[Row], int],
) -> dict[AgentRef, T]:
    found = memory.find(refs)
    unknown = [sql.to_key(ref) for ref in refs if ref not in found]
    if not unknown:
        return found
    for row in tx.all(sql.GET_VERSIONS, refs=unknown):
        ref = row[3], row[1]
        found[ref] = convert(row)
        # A version of this very instant may have been written by this transaction and not be committed in the end;
        # the same number would then be given again, to something else. Any other that can be seen is committed.
        if row[2] != tx.now:
            memory.keep(ref, found[ref], weigh(row))
    return found


def to_version(row: Row) -> AgentVersion:
    """A row of ``GET_VERSIONS`` or ``LIST_VERSIONS``."""
    return AgentVersion(row[3], row[1], row[2], sql.to_version_body(row[4]))


def override(ref: AgentRef, body: sql.VersionBody) -> AgentVersion:
    """A version with another body, as a session keeps it."""
    return AgentVersion(*ref, 0, body)


def traits_of(version: AgentVersion) -> Traits:
    """The traits of a version that is at hand, overridden or not."""
    return _to_traits(version.ref, version.body)


def members(version: AgentVersion) -> list[AgentRef]:
    """The roster of a version, each once, without the agent itself."""
    return _members(version.ref, version.body.multiagent)


def _members(own: AgentRef, multiagent: Multiagent | None) -> list[AgentRef]:
    refs = dict.fromkeys((reference.id, reference.version) for reference in references(multiagent))
    return [ref for ref in refs if ref != own]


def _to_traits(ref: AgentRef, body: _LightBody | sql.VersionBody) -> Traits:
    return Traits(
        name=body.name,
        model_id=body.model.id,
        mcp_servers=[(server.name, server.url) for server in body.mcp_servers],
        skills=body.skills,
        members=_members(ref, body.multiagent),
        advisor_models=advisor_models(body.multiagent),
        has_multiagent=body.multiagent is not None,
        has_usable_read_tool=has_usable_read_tool(body.tools),
    )


def thread_agent(version: AgentVersion) -> ThreadAgent:
    """The definition that a thread runs."""
    body = version.body
    return ThreadAgent(
        id=version.id,
        version=version.version,
        name=body.name,
        description=body.description,
        system=body.system,
        model=body.model,
        tools=body.tools,
        mcp_servers=body.mcp_servers,
        skills=body.skills,
        execution_identity=body.execution_identity,
    )


def session_agent(version: AgentVersion, roster: Mapping[AgentRef, AgentVersion]) -> SessionAgent:
    """The definition that a session shows. ``roster`` has every version that ``members`` names.

    A reference of the agent to itself shows ``version`` as it is here, overrides included (contract, overrides).
    """
    own = thread_agent(version)

    def member(reference: AgentReference) -> ThreadAgent:
        ref = reference.id, reference.version
        return own if ref == version.ref else thread_agent(roster[ref])

    def spawning(given: Spawning | Disabled) -> SessionSpawning | Disabled:
        if isinstance(given, Disabled):
            return given
        return SessionSpawning(given.inline_agents, [member(reference) for reference in given.predefined_agents])

    multiagent = version.body.multiagent
    shown: SessionCoordinator | SessionMultiagent20261001 | None = None
    if isinstance(multiagent, Coordinator):
        shown = SessionCoordinator(
            [entry if isinstance(entry, Advisor) else member(entry) for entry in multiagent.agents]
        )
    elif multiagent is not None:
        shown = SessionMultiagent20261001(
            multiagent.advisor, spawning(multiagent.subagents), spawning(multiagent.workflows)
        )
    return SessionAgent(**msgspec.structs.asdict(own), multiagent=shown)
