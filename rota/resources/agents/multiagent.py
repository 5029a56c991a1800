"""Who an agent may delegate to: the two forms of the configuration, as sent and resolved (contract, multi-agent).

``coordinator`` is a roster of agents; ``multiagent_20261001`` switches an advisor, subagents and workflows one by one.
Resolved, every agent is pinned to a version. The agent itself (``{"type": "self"}`` when sent) is a reference to its own
id and the very version that holds the configuration, so that copies of it always run what it runs.
"""

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from rota.base.wire import Echo, Id, Wire
from rota.resources.agents.model import ModelId

Version: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)]
AgentRef: TypeAlias = tuple[str, int]
"""An agent's id and one of its versions."""


class AgentParam(Wire, tag="agent", tag_field="type"):
    """An agent, and perhaps a version, as sent; without one it is the latest at that moment."""

    id: Id
    version: Version | None = None


class SelfParam(Wire, tag="self", tag_field="type"):
    """The agent that owns the configuration."""


class Advisor(Echo, tag="advisor", tag_field="type", frozen=True):
    """A model that the session's primary thread may consult; the same when sent and when resolved."""

    model: ModelId


RosterEntry: TypeAlias = Id | AgentParam | SelfParam | Advisor
PredefinedEntry: TypeAlias = Id | AgentParam | SelfParam


class CoordinatorIn(Wire, tag="coordinator", tag_field="type"):
    """A roster, as sent."""

    agents: Annotated[list[RosterEntry], Meta(min_length=1, max_length=20)]


class Switch(Echo, frozen=True):
    """On or off; the same when sent and when resolved."""

    type: Literal["enabled", "disabled"]


ENABLED = Switch(type="enabled")


class AdvisorEnabled(Echo, tag="enabled", tag_field="type", frozen=True):
    """The primary thread may consult this model."""

    model: ModelId


class Disabled(Echo, tag="disabled", tag_field="type", frozen=True):
    """This member of the configuration is off."""


class SpawningIn(Wire, tag="enabled", tag_field="type"):
    """Which agents may be started, as sent. On an update, what is omitted stays; null is the default."""

    inline_agents: Switch | None | UnsetType = UNSET
    predefined_agents: Annotated[list[PredefinedEntry], Meta(max_length=20)] | None | UnsetType = UNSET


class Multiagent20261001In(Wire, tag="multiagent_20261001", tag_field="type"):
    """The three members, as sent. On an update of the same form, what is omitted stays; null is the default."""

    advisor: AdvisorEnabled | Disabled | None | UnsetType = UNSET
    subagents: SpawningIn | Disabled | None | UnsetType = UNSET
    workflows: SpawningIn | Disabled | None | UnsetType = UNSET


MultiagentIn: TypeAlias = CoordinatorIn | Multiagent20261001In


class AgentReference(Struct, tag="agent", tag_field="type", frozen=True):
    """An agent pinned to a version."""

    id: str
    version: int


class Coordinator(Struct, tag="coordinator", tag_field="type", frozen=True):
    """A resolved roster; the advisor, if there is one, comes last."""

    agents: list[AgentReference | Advisor]


class Spawning(Struct, tag="enabled", tag_field="type", frozen=True):
    """Which agents may be started: defined on the spot, and saved ones."""

    inline_agents: Switch = ENABLED
    predefined_agents: list[AgentReference] = []


class Multiagent20261001(Struct, tag="multiagent_20261001", tag_field="type", frozen=True):
    """The three members, each resolved."""

    advisor: AdvisorEnabled | Disabled = Disabled()
    subagents: Spawning | Disabled = Spawning()
    workflows: Spawning | Disabled = Spawning()


Multiagent: TypeAlias = Coordinator | Multiagent20261001


def references(multiagent: Multiagent | None) -> list[AgentReference]:
    """All agents that the configuration names, itself included, in order; one that is in two lists comes twice."""
    if multiagent is None:
        return []
    if isinstance(multiagent, Coordinator):
        return [entry for entry in multiagent.agents if isinstance(entry, AgentReference)]
    return [
        reference
        for spawning in (multiagent.subagents, multiagent.workflows)
        if isinstance(spawning, Spawning)
        for reference in spawning.predefined_agents
    ]


def advisor_models(multiagent: Multiagent | None) -> list[str]:
    """The models that may be consulted: one at most."""
    if isinstance(multiagent, Coordinator):
        return [entry.model for entry in multiagent.agents if isinstance(entry, Advisor)]
    if multiagent is not None and isinstance(multiagent.advisor, AdvisorEnabled):
        return [multiagent.advisor.model]
    return []


def follow_self(multiagent: Multiagent | None, agent_id: str, old: int, new: int) -> Multiagent | None:
    """The same configuration held by version ``new`` instead of ``old``: references to itself move along."""

    def moved(reference: AgentReference) -> AgentReference:
        return AgentReference(agent_id, new) if (reference.id, reference.version) == (agent_id, old) else reference

    if isinstance(multiagent, Coordinator):
        return Coordinator(
            [moved(entry) if isinstance(entry, AgentReference) else entry for entry in multiagent.agents]
        )
    if multiagent is None:
        return None
    return replace(
        multiagent, subagents=_moved(multiagent.subagents, moved), workflows=_moved(multiagent.workflows, moved)
    )


def _moved(member: Spawning | Disabled, moved: Callable[[AgentReference], AgentReference]) -> Spawning | Disabled:
    if isinstance(member, Disabled):
        return member
    return Spawning(member.inline_agents, [moved(reference) for reference in member.predefined_agents])
