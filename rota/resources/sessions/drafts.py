"""How a session comes about, for sets of any size: load, decide, write.

The one door for ``POST /v1/sessions`` and for every fire of a deployment. *Load* takes one query a kind of thing, however
many sessions are wanted; *decide* is a pure function of plain values, so that each refusal is a row in a table test;
*write* is one statement a table. A refusal is a value; only the unexpected is raised.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Struct

from rota.base import ids
from rota.base.clock import to_datetime
from rota.base.errors import InvalidRequest
from rota.base.policy import Policy
from rota.base.seal import Place
from rota.base.wire import Metadata, encode
from rota.resources.agents import actions as agents
from rota.resources.agents.prices import has_list_price
from rota.resources.environments import actions as environments
from rota.resources.environments.wire import Limited, SelfHosted
from rota.resources.sessions import mounts, refusals, sql
from rota.resources.sessions.events import DEFAULT_ITERATIONS, DefineOutcome
from rota.resources.sessions.mounts import FileParam, MemoryStoreParam, RepositoryParam, ResourceParam, SessionResource
from rota.resources.sessions.refusals import SessionRefusal
from rota.resources.sessions.wire import Budget
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import limits
from rota.store.tx import Row, Tx

TURNS = "turns"
"""The topic that is woken when a session wants a turn."""

AgentRef: TypeAlias = tuple[str, int]
LogEntry: TypeAlias = tuple[str, str]
"""An event's type, and its other fields as JSON text."""


class Wish(Struct, frozen=True, kw_only=True):
    """What one session is to be made of. ``override`` replaces the agent version's own configuration."""

    organization_id: str
    workspace_id: str
    agent_id: str
    agent_version: int
    environment_id: str
    override: agents.AgentVersion | None = None
    title: str | None = None
    metadata: Metadata = {}
    resources: Sequence[ResourceParam] = ()
    vault_ids: Sequence[str] = ()
    budget: Budget | None = None
    events: Sequence[LogEntry] = ()
    deployment_id: str | None = None


class References(Struct, frozen=True, kw_only=True):
    """What a set of wishes refers to, as the transaction sees it. Vaults, files, memory stores and skills map ids to
    whether they are archived; there are none of them yet."""

    states: Mapping[str, workspaces.State]
    agent_facts: Mapping[str, agents.Facts]
    traits: Mapping[AgentRef, agents.Traits]
    environment_facts: Mapping[str, environments.Facts]
    vaults: Mapping[str, bool] = {}
    files: frozenset[str] = frozenset()
    memory_stores: Mapping[str, bool] = {}
    missing_skills: Mapping[AgentRef, str] = {}
    granted: Mapping[str, int] | None = None
    retry_after: int = 0


class Draft(Struct, frozen=True, kw_only=True):
    """A session that may be made: its rows."""

    session_id: str
    session: Row
    thread: Row
    events: Sequence[Row]
    tokens: Sequence[tuple[str, str]]


def load(tx: Tx, wishes: Sequence[Wish], policy: Policy) -> References:
    """Everything that the wishes refer to: one query for each kind."""
    refs = {(wish.agent_id, wish.agent_version) for wish in wishes if wish.override is None}
    traits = dict(agents.traits_many(tx, sorted(refs)))
    for wish in wishes:
        if wish.override is not None:
            traits[wish.agent_id, wish.agent_version] = agents.traits_of(wish.override)
    members = {ref for trait in traits.values() for ref in trait.members} - traits.keys()
    if members:
        traits |= agents.traits_many(tx, sorted(members))
    agent_ids = {wish.agent_id for wish in wishes} | {agent_id for agent_id, _ in members}
    granted = None
    if policy.sessions_per_minute:
        wanted: dict[str, int] = {}
        for wish in wishes:
            wanted[wish.organization_id] = wanted.get(wish.organization_id, 0) + 1
        granted = {
            organization_id: limits.take(tx, organization_id, count, policy.sessions_per_minute)
            for organization_id, count in wanted.items()
        }
    return References(
        states=workspaces.states(tx, sorted({wish.workspace_id for wish in wishes})),
        agent_facts=agents.find_many(tx, sorted(agent_ids)),
        traits=traits,
        environment_facts=environments.find_many(tx, sorted({wish.environment_id for wish in wishes})),
        granted=granted,
        retry_after=limits.seconds_left(tx.now),
    )


def decide_all(wishes: Sequence[Wish], found: References, policy: Policy, now: int) -> list[Draft | SessionRefusal]:
    """A draft or a refusal for each wish, in order. Pure, but for the new ids."""
    left = dict(found.granted) if found.granted is not None else None
    decided: list[Draft | SessionRefusal] = []
    for wish in wishes:
        if left is not None:
            if left[wish.organization_id] <= 0:
                decided.append(refusals.SessionRateLimited(policy.sessions_per_minute, found.retry_after))
                continue
            left[wish.organization_id] -= 1
        refusal = refuse(wish, found, policy)
        if refusal is not None:
            decided.append(refusal)
            continue
        try:
            decided.append(draft(wish, found, now))
        except InvalidRequest as exc:
            decided.append(refusals.CreationRejected(exc.message, details=exc.details))
    return decided


def refuse(wish: Wish, found: References, policy: Policy) -> SessionRefusal | None:
    """The first reason, in the order that the contract fixes, why the session cannot be; None if there is none."""
    state = found.states.get(wish.workspace_id)
    if state is None or state.workspace_archived:
        if state is not None and state.organization_disabled:
            return refusals.OrganizationDisabled()
        return refusals.WorkspaceArchived()
    if state.organization_disabled:
        return refusals.OrganizationDisabled()
    traits = found.traits[wish.agent_id, wish.agent_version]
    return (
        _refuse_agents(wish, traits, found)
        or _refuse_environment(wish, found)
        or _refuse_references(wish, found)
        or _refuse_egress(wish, traits, found)
        or _refuse_rest(wish, traits, found, policy)
    )


def _refuse_agents(wish: Wish, traits: agents.Traits, found: References) -> SessionRefusal | None:
    for agent_id in (wish.agent_id, *(member for member, _ in traits.members)):
        if found.agent_facts[agent_id].archived:
            return refusals.AgentArchived(agent_id)
    return None


def _refuse_environment(wish: Wish, found: References) -> SessionRefusal | None:
    environment = found.environment_facts.get(wish.environment_id)
    if environment is None or environment.workspace_id != wish.workspace_id:
        return refusals.EnvironmentNotFound(wish.environment_id)
    if environment.archived:
        return refusals.EnvironmentArchived(wish.environment_id)
    if isinstance(environment.config, SelfHosted):
        kinds = [
            kind
            for kind, shape in (("file", FileParam), ("github_repository", RepositoryParam))
            if any(isinstance(resource, shape) for resource in wish.resources)
        ]
        if kinds:
            return refusals.SelfHostedResourcesUnsupported(kinds)
    return None


def _refuse_references(wish: Wish, found: References) -> SessionRefusal | None:
    if missing := [vault_id for vault_id in wish.vault_ids if vault_id not in found.vaults]:
        return refusals.VaultNotFound(missing[0])
    if archived := [vault_id for vault_id in wish.vault_ids if found.vaults[vault_id]]:
        return refusals.VaultArchived(archived[0])
    files = [resource.file_id for resource in wish.resources if isinstance(resource, FileParam)]
    if missing := [file_id for file_id in files if file_id not in found.files]:
        return refusals.FileNotFound(missing)
    stores = [resource.memory_store_id for resource in wish.resources if isinstance(resource, MemoryStoreParam)]
    if archived := [store_id for store_id in stores if found.memory_stores.get(store_id)]:
        return refusals.MemoryStoreArchived(archived[0])
    if missing := [store_id for store_id in stores if store_id not in found.memory_stores]:
        return refusals.MemoryStoreNotFound(missing[0])
    if skill_id := found.missing_skills.get((wish.agent_id, wish.agent_version)):
        return refusals.SkillNotFound(skill_id)
    return None


@lru_cache(4096)
def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _refuse_egress(wish: Wish, traits: agents.Traits, found: References) -> SessionRefusal | None:
    networking = getattr(found.environment_facts[wish.environment_id].config, "networking", None)
    if not isinstance(networking, Limited) or networking.allow_mcp_servers:
        return None
    blocked = [
        (name, _host(url))
        for each in (traits, *(found.traits[ref] for ref in traits.members))
        for name, url in each.mcp_servers
        if not networking.admits(_host(url))
    ]
    return refusals.McpEgressBlocked(blocked) if blocked else None


def _refuse_rest(wish: Wish, traits: agents.Traits, found: References, policy: Policy) -> SessionRefusal | None:
    if traits.skills and not traits.has_usable_read_tool:
        return refusals.CreationRejected(
            "Missing required tool: skills require the read tool to be usable (enabled and not always_deny) on the "
            "session's `agent_toolset`"
        )
    if wish.budget is not None:
        models = [traits.model_id, *traits.advisor_models, *(found.traits[ref].model_id for ref in traits.members)]
        for model in models:
            if not has_list_price(model, policy.priced_models):
                return refusals.CreationRejected(
                    f"budget: the model {model} has no public list price, so a budget cannot be kept",
                    details={"error_code": "model_not_budgetable"},
                )
    try:
        mounts.check_together(wish.resources)
    except InvalidRequest as exc:
        return refusals.CreationRejected(exc.message)
    return None


def draft(wish: Wish, found: References, now: int) -> Draft:
    """The rows of a session that nothing stands against. InvalidRequest for a mount path that leads nowhere."""
    session_id = ids.new(ids.SESSION)
    resources, tokens = _resolve(wish.resources, to_datetime(now)) if wish.resources else ([], [])
    body = sql.Body(
        title=wish.title,
        metadata=wish.metadata,
        resources=resources,
        vault_ids=list(wish.vault_ids),
        budget=wish.budget,
        agent=wish.override.body if wish.override is not None else None,
    )
    status, wants_turn_at = ("running", now) if wish.events else ("idle", None)
    self_hosted = isinstance(found.environment_facts[wish.environment_id].config, SelfHosted)
    return Draft(
        session_id=session_id,
        session=(
            session_id, wish.workspace_id, now, now, status, wish.agent_id, wish.agent_version, wish.environment_id,
            int(self_hosted), wish.deployment_id, wants_turn_at, 0, encode(body).decode(),
        ),
        thread=(session_id, ids.new(ids.THREAD), None, now, now, status, "{}"),
        events=[event_row(session_id, number, entry, now) for number, entry in enumerate(wish.events, 1)],
        tokens=tokens,
    )  # fmt: skip


def _resolve(given: Iterable[ResourceParam], now: datetime) -> tuple[list[SessionResource], list[tuple[str, str]]]:
    resources: list[SessionResource] = []
    tokens: list[tuple[str, str]] = []
    for each in given:
        if isinstance(each, RepositoryParam):
            resource = mounts.resolve_repository(each, now)
            resources.append(resource)
            if each.authorization_token is not UNSET:
                tokens.append((resource.id, each.authorization_token))
    return resources, tokens


def event_row(session_id: str, position: int, entry: LogEntry, now: int) -> Row:
    """The row of a client's event. Outcomes are taken up on receipt; the others wait (contract, sending events)."""
    kind, body = entry
    processed_at = None
    if kind == "user.define_outcome":
        processed_at = now
        outcome = msgspec.json.decode(body[:1] + '"type":"user.define_outcome",' + body[1:], type=DefineOutcome)
        if outcome.max_iterations is UNSET or outcome.max_iterations is None:
            outcome.max_iterations = DEFAULT_ITERATIONS
        body = '{"outcome_id":"' + ids.new(ids.OUTCOME) + '",' + entry_of(outcome)[1][1:]
    return (session_id, position, ids.new(ids.EVENT), None, kind, processed_at, body)


def entry_of(event: Struct) -> LogEntry:
    """An event as the log keeps it: its type is a column, the rest stays JSON."""
    return entry_of_json(encode(event).decode())


def entry_of_json(text: str) -> LogEntry:
    """The same for JSON that we encoded ourselves, which begins with the type."""
    end = text.index('"', 9)
    return text[9:end], "{" + text[end + 2 :] if text[end + 1] == "," else "{}"


def write(tx: Tx, drafts: Sequence[Draft], policy: Policy) -> None:
    """Make the sessions: one statement a table, then wake the turn engine."""
    if not drafts:
        return
    tx.insert(sql.INSERT, [each.session for each in drafts])
    tx.insert(sql.INSERT_THREADS, [each.thread for each in drafts])
    tx.insert(sql.APPEND, [event for each in drafts for event in each.events])
    rows: list[tuple[Any, ...]] = [
        (each.session_id, resource_id, policy.sealer.get().seal(token, token_place(each.session_id, resource_id)))
        for each in drafts
        for resource_id, token in each.tokens
    ]
    if rows:
        tx.insert(sql.KEEP_TOKENS, rows)
    if any(each.events for each in drafts):
        tx.wake(TURNS)


def token_place(session_id: str, resource_id: str) -> Place:
    """What a repository token in a session is sealed to."""
    return sql.TOKENS.place(session_id, resource_id)
