"""Resolving who an agent may delegate to: entries become pinned versions, and the rules of a roster are kept.

The rules (contract, multi-agent): members are live agents of the workspace, each once, with names of their own; a member
has no multiagent configuration itself. That is asked of the version that is pinned, because that version is what runs.
Only what is sent is checked: an update that leaves the roster alone succeeds although a member has been archived since.
"""

from collections.abc import Sequence
from typing import TypeVar

from msgspec import UNSET, Struct, UnsetType

from rota.base.errors import InvalidRequest
from rota.base.who import Who
from rota.resources.agents.multiagent import (
    ENABLED,
    Advisor,
    AgentParam,
    AgentRef,
    AgentReference,
    Coordinator,
    CoordinatorIn,
    Disabled,
    Multiagent,
    Multiagent20261001,
    Multiagent20261001In,
    MultiagentIn,
    PredefinedEntry,
    RosterEntry,
    SelfParam,
    Spawning,
    SpawningIn,
)
from rota.resources.agents.versions import find_many, traits_many
from rota.store.tx import Tx

SELF_NAME = "self"
ADVISOR_NAME = "anthropic.advisor"
_RESERVED = (SELF_NAME, ADVISOR_NAME)
T = TypeVar("T")


class Owner(Struct, frozen=True):
    """The agent whose configuration is being written: ``version`` is the one about to be saved, 1 for a new agent."""

    id: str
    version: int

    def is_self(self, agent_id: str, version: int | None) -> bool:
        """Whether a reference means the owner: its id without a version, with the current one, or with the next.

        So a client can read a roster and write it back.
        """
        return agent_id == self.id and version in (None, self.version - 1, self.version)


def resolve_multiagent(
    tx: Tx, who: Who, given: MultiagentIn | None, stored: Multiagent | None, owner: Owner, at: str = ""
) -> Multiagent | None:
    """The configuration with every agent pinned; null is none. InvalidRequest in the recorded words.

    The newer form is merged into a stored one of the same form, level by level (contract, multi-agent).
    """
    if given is None:
        return None
    if isinstance(given, CoordinatorIn):
        return _resolve_coordinator(tx, who, given, owner, f"{at}multiagent.coordinator")
    base = stored if isinstance(stored, Multiagent20261001) else Multiagent20261001()
    return _resolve_members(tx, who, given, base, owner, f"{at}multiagent.multiagent_20261001")


def _resolve_coordinator(tx: Tx, who: Who, given: CoordinatorIn, owner: Owner, where: str) -> Coordinator:
    advisors = [entry for entry in given.agents if isinstance(entry, Advisor)]
    if len(advisors) > 1:
        raise InvalidRequest(f"{where}.agents: at most one advisor is allowed")
    entries = [entry for entry in given.agents if not isinstance(entry, Advisor)]
    return Coordinator([*_pin(tx, who, entries, owner, f"{where}.agents"), *advisors])


def _resolve_members(
    tx: Tx, who: Who, given: Multiagent20261001In, base: Multiagent20261001, owner: Owner, where: str
) -> Multiagent20261001:
    return Multiagent20261001(
        advisor=_chosen(given.advisor, base.advisor, Disabled()),
        subagents=_resolve_spawning(tx, who, given.subagents, base.subagents, owner, f"{where}.subagents"),
        workflows=_resolve_spawning(tx, who, given.workflows, base.workflows, owner, f"{where}.workflows"),
    )


def _resolve_spawning(
    tx: Tx,
    who: Who,
    given: SpawningIn | Disabled | None | UnsetType,
    stored: Spawning | Disabled,
    owner: Owner,
    where: str,
) -> Spawning | Disabled:
    if given is UNSET:
        return stored
    if given is None:
        return Spawning()
    if isinstance(given, Disabled):
        return given
    base = stored if isinstance(stored, Spawning) else Spawning()
    agents = base.predefined_agents
    if given.predefined_agents is not UNSET:
        agents = _pin(tx, who, given.predefined_agents or (), owner, f"{where}.predefined_agents")
    spawning = Spawning(_chosen(given.inline_agents, base.inline_agents, ENABLED), agents)
    if spawning.inline_agents != ENABLED and not agents:
        raise InvalidRequest(f"{where}.predefined_agents: must name at least one agent when inline_agents is disabled")
    return spawning


def _chosen(given: T | None | UnsetType, stored: T, default: T) -> T:
    if given is UNSET:
        return stored
    return default if given is None else given


def _pin(
    tx: Tx, who: Who, entries: Sequence[RosterEntry | PredefinedEntry], owner: Owner, where: str
) -> list[AgentReference]:
    """The entries as references, in order; two queries however many there are."""
    asked: list[tuple[str, int | None]] = []
    for entry in entries:
        assert not isinstance(entry, Advisor)
        if isinstance(entry, SelfParam):
            asked.append((owner.id, None))
        else:
            asked.append((entry.id, entry.version) if isinstance(entry, AgentParam) else (entry, None))
    if len({agent_id for agent_id, _ in asked}) < len(asked):
        twice = next(agent_id for agent_id, _ in asked if [other for other, _ in asked].count(agent_id) > 1)
        raise InvalidRequest(f"{where}: entries must be distinct agents; {twice} is named more than once")
    facts = find_many(tx, [agent_id for agent_id, version in asked if not owner.is_self(agent_id, version)])
    references: list[AgentReference] = []
    for agent_id, version in asked:
        if owner.is_self(agent_id, version):
            references.append(AgentReference(owner.id, owner.version))
            continue
        found = facts.get(agent_id)
        if found is None or found.workspace_id != who.workspace_id:
            raise _invalid(f"subagent {agent_id} is not a valid agent ID")
        if found.archived:
            raise _invalid(f"subagent {agent_id} is archived")
        if version is not None and version > found.version:
            raise _invalid(f"subagent {agent_id} version {version} not found")
        references.append(AgentReference(agent_id, version or found.version))
    _check_members(
        tx, [(each.id, each.version) for each in references if each.version != owner.version or each.id != owner.id]
    )
    return references


def _check_members(tx: Tx, refs: Sequence[AgentRef]) -> None:
    names: dict[str, str] = {}
    traits = traits_many(tx, refs)
    for ref in refs:
        agent_id, member = ref[0], traits[ref]
        if member.has_multiagent:
            raise _invalid(f"subagent {agent_id} has a multiagent configuration of its own, and the depth limit is 1")
        if member.name in _RESERVED:
            raise _invalid(f'subagent {agent_id} has the reserved name "{member.name}"')
        if member.name in names:
            raise _invalid(f'subagents {names[member.name]} and {agent_id} have the same name "{member.name}"')
        names[member.name] = agent_id


def _invalid(what: str) -> InvalidRequest:
    return InvalidRequest(f"Agent has invalid configuration: {what}")
