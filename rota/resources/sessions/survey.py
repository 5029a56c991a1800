"""What a session would be made of, thing by thing: what was found of each, and what stands against it.

The dry run of a deployment is made of this. Promises: what is said to be broken is what ``reasons`` says, and all of it; a thing
is shown once, however often it is named. Pure, like ``reasons``. Does not say what to do about it.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias, assert_never

from msgspec import UNSET, Struct

from rota.base.policy import Policy
from rota.resources.agents import actions as agents
from rota.resources.environments.wire import Config, Limited, SelfHosted
from rota.resources.sessions import mounts, refusals
from rota.resources.sessions.mounts import FileParam, MemoryStoreParam, RepositoryParam
from rota.resources.sessions.reasons import References, Wish, host_of, reasons
from rota.resources.sessions.refusals import SessionRefusal
from rota.resources.skills.actions import LATEST

What: TypeAlias = Literal[
    "session_limit", "organization", "workspace", "agent", "roster_agent", "environment", "vault", "file", "memory_store",
    "github_repository", "skill", "mcp_server", "resources", "tools", "budget",
]  # fmt: skip
Place: TypeAlias = tuple[What, str | None]


class Sight(Struct, frozen=True, kw_only=True):
    """One thing that was looked at. ``found`` is for people; ``refusal`` is None if nothing stands against it."""

    what: What
    id: str | None
    found: str
    refusal: SessionRefusal | None = None


def survey(wish: Wish, found: References, policy: Policy) -> list[Sight]:
    """Everything that the session would be made of, in the order in which reasons are looked for."""
    against: dict[Place, list[SessionRefusal]] = {}
    for refusal in (*_limiter(wish, found, policy), *reasons(wish, found, policy)):
        for place in _places(wish, refusal):
            against.setdefault(place, []).append(refusal)
    sights: list[Sight] = []
    seen = dict.fromkeys(_look(wish, found, policy))
    for what, name, text in seen:
        refused = against.get((what, name))
        if refused is None:
            sights.append(Sight(what=what, id=name, found=text))
        else:
            sights += [_against(what, name, text, refusal) for refusal in refused]
    looked_at = {(what, name) for what, name, _ in seen}
    for (what, name), refused in against.items():
        if (what, name) not in looked_at:  # no thing by itself: how things go together
            sights += [_against(what, name, refusal.message, refusal) for refusal in refused]
    return sights


def _against(what: What, name: str | None, text: str, refusal: SessionRefusal) -> Sight:
    said = refusal.message if isinstance(refusal, refusals.CreationRejected) else text
    return Sight(what=what, id=name, found=said, refusal=refusal)


def _limiter(wish: Wish, found: References, policy: Policy) -> Iterator[SessionRefusal]:
    if found.granted is not None and found.granted[wish.organization_id] <= 0:
        yield refusals.SessionRateLimited(policy.sessions_per_minute, found.retry_after)


def _places(wish: Wish, refusal: SessionRefusal) -> list[Place]:
    """What a reason is about."""
    match refusal:
        case refusals.SessionRateLimited():
            return [("session_limit", wish.organization_id)]
        case refusals.OrganizationDisabled():
            return [("organization", wish.organization_id)]
        case refusals.WorkspaceArchived():
            return [("workspace", wish.workspace_id)]
        case refusals.AgentArchived():
            return [("agent" if refusal.agent_id == wish.agent_id else "roster_agent", refusal.agent_id)]
        case refusals.EnvironmentNotFound() | refusals.EnvironmentArchived():
            return [("environment", refusal.environment_id)]
        case refusals.VaultNotFound() | refusals.VaultArchived():
            return [("vault", refusal.vault_id)]
        case refusals.FileNotFound():
            return [("file", file_id) for file_id in refusal.file_ids]
        case refusals.MemoryStoreArchived() | refusals.MemoryStoreNotFound():
            return [("memory_store", refusal.memory_store_id)]
        case refusals.SkillNotFound():
            return [("skill", _skill_name(refusal.skill_id, refusal.version or LATEST))]
        case refusals.McpEgressBlocked():
            return [("mcp_server", f"{name} ({host})") for name, host in refusal.servers]
        case refusals.SelfHostedResourcesUnsupported():
            return [("resources", None)]
        case refusals.CreationRejected():
            return [(refusal.about, None)]
        case _:
            assert_never(refusal)


def _skill_name(skill_id: str, version: str) -> str:
    return skill_id if version == LATEST else f"{skill_id}@{version}"


Seen: TypeAlias = tuple[What, str | None, str]


def _look(wish: Wish, found: References, policy: Policy) -> Iterator[Seen]:
    if policy.sessions_per_minute:
        yield "session_limit", wish.organization_id, f"at most {policy.sessions_per_minute} sessions a minute"
    state = found.states.get(wish.workspace_id)
    disabled = state is not None and state.organization_disabled
    yield "organization", wish.organization_id, "disabled" if disabled else "enabled"
    yield "workspace", wish.workspace_id, "archived" if state is None or state.workspace_archived else "live"
    traits = found.traits[wish.agent_id, wish.agent_version]
    yield "agent", wish.agent_id, _agent(wish.agent_id, wish.agent_version, found)
    for agent_id, version in traits.members:
        yield "roster_agent", agent_id, _agent(agent_id, version, found)
    environment = found.environment_facts.get(wish.environment_id)
    if environment is None or environment.workspace_id != wish.workspace_id:
        yield "environment", wish.environment_id, "not found"
        config = None
    else:
        config = environment.config
        yield "environment", wish.environment_id, "archived" if environment.archived else _config(config)
    for vault_id in wish.vault_ids:
        vault = found.vault_facts.get(vault_id)
        gone = vault is None or vault.workspace_id != wish.workspace_id
        yield "vault", vault_id, "not found" if gone else "archived" if vault is not None and vault.archived else "live"
    yield from _resources(wish, found)
    team = [traits, *(found.traits[ref] for ref in traits.members)]
    yield from _skills(wish, team, found)
    for each in team:
        for name, url in each.mcp_servers:
            yield "mcp_server", f"{name} ({host_of(url)})", _reach(host_of(url), config)
    if wish.budget is not None:
        yield "budget", None, f"{wish.budget.max_list_cost.amount} cents; {traits.model_id} has a list price"


def _agent(agent_id: str, version: int, found: References) -> str:
    text = f"version {version}, {found.traits[agent_id, version].name}"
    return f"{text}, archived" if found.agent_facts[agent_id].archived else text


def _config(config: Config) -> str:
    if isinstance(config, SelfHosted):
        return "self-hosted"
    return f"cloud, {'limited' if isinstance(config.networking, Limited) else 'unrestricted'} networking"


def _reach(host: str, config: Config | None) -> str:
    networking = getattr(config, "networking", None)
    if not isinstance(networking, Limited):
        return "not limited by the environment"
    if networking.allow_mcp_servers:
        return "let through: the environment allows every MCP server"
    return "let through by allowed_hosts" if networking.admits(host) else "held back by the environment's networking"


def _resources(wish: Wish, found: References) -> Iterator[Seen]:
    wanted = wish.resources
    stores = [
        found.store_facts[each]
        for each in wanted.memory_store_ids
        if each in found.store_facts and found.store_facts[each].workspace_id == wish.workspace_id
    ]
    folders = dict(
        zip([each.id for each in stores], mounts.slugs([(each.id, each.name) for each in stores]), strict=True)
    )
    for index, (given, place) in enumerate(zip(wanted.given, wanted.places, strict=True)):
        at = "" if place is None else f", at {place}"
        match given:
            case FileParam():
                file = found.file_facts.get(given.file_id)
                gone = file is None or file.workspace_id != wish.workspace_id
                yield (
                    "file",
                    given.file_id,
                    "not found" if file is None or gone else f"{file.filename}, {file.size_bytes} bytes{at}",
                )
            case MemoryStoreParam():
                store = found.store_facts.get(given.memory_store_id)
                if store is None or store.workspace_id != wish.workspace_id:
                    text = "not found"
                elif store.archived:
                    text = "archived"
                else:
                    access = given.access if isinstance(given.access, str) else "read_write"
                    text = f"{store.name}, {access}, at {mounts.MEMORY}/{folders[store.id]}"
                yield "memory_store", given.memory_store_id, text
            case RepositoryParam():
                token = "with a token" if index in wish.tokens else "without a token"
                checkout = "the default branch" if given.checkout in (None, UNSET) else _checkout(given)
                yield "github_repository", given.url, f"{checkout}, {token}{at}"


def _checkout(given: RepositoryParam) -> str:
    if isinstance(given.checkout, mounts.Branch):
        return f"branch {given.checkout.name}"
    assert isinstance(given.checkout, mounts.Commit)
    return f"commit {given.checkout.sha}"


def _skills(wish: Wish, team: Sequence[agents.Traits], found: References) -> Iterator[Seen]:
    for traits in team:
        for named in traits.skills:
            name = _skill_name(named.skill_id, named.version)
            if named.type == "anthropic":
                yield "skill", name, "prebuilt"
                continue
            skill = found.skill_facts.get(named.skill_id)
            if skill is None or skill.workspace_id != wish.workspace_id or not skill.has(named.version):
                text = "not found"
            elif named.version == LATEST:
                text = f"latest is {skill.latest_version_id}"
            else:
                text = "there"
            yield "skill", name, text
