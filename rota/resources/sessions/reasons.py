"""Why a session cannot be: a pure function of what it is to be made of and of what there is.

Promises: reasons come in the order that the contract fixes, so that the first one is what a request is refused with and what
a fire records; whoever wants to know all of them (the dry run of a deployment) walks on and gets every thing that is broken.
Reads nothing: ``drafts.load`` has read it all. Does not know the session-create limiter, which comes before all of this.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from rota.base.policy import Policy
from rota.base.wire import Metadata
from rota.resources.agents import actions as agents
from rota.resources.agents.prices import has_list_price
from rota.resources.environments import actions as environments
from rota.resources.environments.wire import Limited, SelfHosted
from rota.resources.files import actions as files
from rota.resources.memory_stores import actions as memory_stores
from rota.resources.sessions import mounts, refusals
from rota.resources.sessions.refusals import SessionRefusal
from rota.resources.sessions.wire import Budget
from rota.resources.skills import actions as skills
from rota.resources.vaults import actions as vaults
from rota.resources.workspaces import actions as workspaces

AgentRef: TypeAlias = tuple[str, int]
LogEntry: TypeAlias = tuple[str, str]
"""An event's type, and its other fields as JSON text."""


class Wish(Struct, frozen=True, kw_only=True):
    """What one session is to be made of. ``override`` replaces the agent version's own configuration; ``tokens`` are those of
    repositories, by their place among the resources."""

    organization_id: str
    workspace_id: str
    agent_id: str
    agent_version: int
    environment_id: str
    override: agents.AgentVersion | None = None
    title: str | None = None
    metadata: Metadata = {}
    resources: mounts.Wanted = mounts.NOTHING
    tokens: Mapping[int, str] = {}
    vault_ids: Sequence[str] = ()
    budget: Budget | None = None
    events: Sequence[LogEntry] = ()
    deployment_id: str | None = None


class References(Struct, frozen=True, kw_only=True):
    """What a set of wishes refers to, as the transaction sees it; what is not there, or not any more, is absent.

    ``granted`` is how many sessions the limiter leaves each organization, None while there is no limit.
    """

    states: Mapping[str, workspaces.State]
    agent_facts: Mapping[str, agents.Facts]
    traits: Mapping[AgentRef, agents.Traits]
    environment_facts: Mapping[str, environments.Facts]
    vault_facts: Mapping[str, vaults.Facts] = {}
    file_facts: Mapping[str, files.Facts] = {}
    store_facts: Mapping[str, memory_stores.Facts] = {}
    skill_facts: Mapping[str, skills.Facts] = {}
    granted: Mapping[str, int] | None = None
    retry_after: int = 0


def reasons(wish: Wish, found: References, policy: Policy) -> Iterator[SessionRefusal]:
    """Every reason why the session cannot be, the first one first. Nothing if there is none."""
    state = found.states.get(wish.workspace_id)
    if state is not None and state.organization_disabled:
        yield refusals.OrganizationDisabled()
    if state is None or state.workspace_archived:
        yield refusals.WorkspaceArchived()
    team = _team(wish, found)
    for agent_id in dict.fromkeys(agent_id for agent_id, _, _ in team):
        if found.agent_facts[agent_id].archived:
            yield refusals.AgentArchived(agent_id)
    environment = found.environment_facts.get(wish.environment_id)
    if environment is None or environment.workspace_id != wish.workspace_id:
        yield refusals.EnvironmentNotFound(wish.environment_id)
        environment = None
    else:
        yield from _environment(wish, environment)
    if wish.vault_ids:
        yield from _vaults(wish, found)
    if wish.resources.given:
        yield from _resources(wish, found)
    yield from _skills(wish, team, found)
    if environment is not None:
        yield from _egress(team, environment)
    yield from _rest(wish, team, policy)


Member: TypeAlias = tuple[str, int, agents.Traits]


def _team(wish: Wish, found: References) -> list[Member]:
    """The agent, then its roster: their skills are loaded and their servers called in this one session."""
    traits = found.traits[wish.agent_id, wish.agent_version]
    team = [(wish.agent_id, wish.agent_version, traits)]
    if traits.members:
        team += [(agent_id, version, found.traits[agent_id, version]) for agent_id, version in traits.members]
    return team


def _environment(wish: Wish, environment: environments.Facts) -> Iterator[SessionRefusal]:
    if environment.archived:
        yield refusals.EnvironmentArchived(wish.environment_id)
    if isinstance(environment.config, SelfHosted):
        kinds = wish.resources.kinds & {"file", "github_repository"}
        if kinds:
            yield refusals.SelfHostedResourcesUnsupported(sorted(kinds))


def _vaults(wish: Wish, found: References) -> Iterator[SessionRefusal]:
    archived: list[str] = []
    for vault_id in wish.vault_ids:
        vault = found.vault_facts.get(vault_id)
        if vault is None or vault.workspace_id != wish.workspace_id:
            yield refusals.VaultNotFound(vault_id)
        elif vault.archived:
            archived.append(vault_id)
    for vault_id in archived:
        yield refusals.VaultArchived(vault_id)


def _resources(wish: Wish, found: References) -> Iterator[SessionRefusal]:
    workspace_id, file_facts = wish.workspace_id, found.file_facts
    missing = [
        file_id
        for file_id in wish.resources.file_ids
        if (file := file_facts.get(file_id)) is None or file.workspace_id != workspace_id
    ]
    if missing:
        yield refusals.FileNotFound(missing)
    gone: list[str] = []
    for store_id in wish.resources.memory_store_ids:
        store = found.store_facts.get(store_id)
        if store is None or store.workspace_id != workspace_id:
            gone.append(store_id)
        elif store.archived:
            yield refusals.MemoryStoreArchived(store_id)
    for store_id in gone:
        yield refusals.MemoryStoreNotFound(store_id)


def _skills(wish: Wish, team: Sequence[Member], found: References) -> Iterator[SessionRefusal]:
    """Custom skills that are gone, or of which the version is; the vendor's own are always there."""
    named = dict.fromkeys(
        (skill.skill_id, skill.version) for _, _, traits in team for skill in traits.skills if skill.type == "custom"
    )
    for skill_id, version in named:
        skill = found.skill_facts.get(skill_id)
        if skill is None or skill.workspace_id != wish.workspace_id:
            yield refusals.SkillNotFound(skill_id, None if version == skills.LATEST else version)
        elif not skill.has(version):
            yield refusals.SkillNotFound(skill_id, version)


@lru_cache(4096)
def host_of(url: str) -> str:
    """The host of an MCP server's URL."""
    return urlsplit(url).hostname or ""


def _egress(team: Sequence[Member], environment: environments.Facts) -> Iterator[SessionRefusal]:
    networking = getattr(environment.config, "networking", None)
    if not isinstance(networking, Limited) or networking.allow_mcp_servers:
        return
    blocked = [
        (name, host_of(url))
        for _, _, traits in team
        for name, url in traits.mcp_servers
        if not networking.admits(host_of(url))
    ]
    if blocked:
        yield refusals.McpEgressBlocked(blocked)


def _rest(wish: Wish, team: Sequence[Member], policy: Policy) -> Iterator[SessionRefusal]:
    _, _, own = team[0]
    if own.skills and not own.has_usable_read_tool:
        yield refusals.CreationRejected(
            "Missing required tool: skills require the read tool to be usable (enabled and not always_deny) on the "
            "session's `agent_toolset`",
            "tools",
        )
    if wish.budget is not None:
        models = dict.fromkeys([*(traits.model_id for _, _, traits in team), *own.advisor_models])
        for model in models:
            if not has_list_price(model, policy.priced_models):
                yield refusals.CreationRejected(
                    f"budget: the model {model} has no public list price, so a budget cannot be kept",
                    "budget",
                    details={"error_code": "model_not_budgetable"},
                )
    for trouble in wish.resources.troubles:
        yield refusals.CreationRejected(trouble, "resources")
