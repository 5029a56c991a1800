"""What happens to deployments between fires (contract, deployments). Firing is in ``run``."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from rota.base import cron, ids
from rota.base.clock import to_datetime, to_datetime_or_none
from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.policy import Policy
from rota.base.who import Who
from rota.base.wire import check_metadata, encode, patch_metadata
from rota.queue.outbox import announce
from rota.resources.agents import actions as agents
from rota.resources.agents.multiagent import AgentReference
from rota.resources.agents.prices import has_list_price
from rota.resources.deployments import schedules, sql
from rota.resources.deployments.run import ARCHIVED, token_place
from rota.resources.deployments.wire import (
    CreateDeployment,
    Cron,
    Deployment,
    ErrorPause,
    ListDeployments,
    ManualPause,
    PausingError,
    Pin,
    Schedule,
    Status,
    UpdateDeployment,
)
from rota.resources.environments import actions as environments
from rota.resources.sessions import events, mounts
from rota.resources.sessions.mounts import RepositoryParam, ResourceParam
from rota.resources.vaults import actions as vaults
from rota.store.tx import Found, Row, Tx, page

UPCOMING = 5


class Stored(Struct, frozen=True, kw_only=True):
    """A deployment's row, decoded. Instants are microseconds."""

    id: str
    created_at: int
    updated_at: int
    archived_at: int | None
    status: Status
    paused_error: str | None
    agent_id: str
    agent_version: int
    environment_id: str
    last_run_at: int | None
    schedule: Cron | None
    body: sql.Body


def create(tx: Tx, who: Who, body: CreateDeployment, policy: Policy) -> Deployment:
    """Make a deployment; everything that it names must exist now, except what only a fire checks (contract, §2.3)."""
    check_metadata(body.metadata)
    resources = body.resources or []
    _check_shapes(body.initial_events, resources)
    agent_id, agent_version = _pin(tx, who, body.agent)
    _check_environment(tx, who, body.environment_id)
    _check_vaults(tx, who, body.vault_ids)
    deployment = Stored(
        id=ids.new(ids.DEPLOYMENT),
        created_at=tx.now,
        updated_at=tx.now,
        archived_at=None,
        status="active",
        paused_error=None,
        agent_id=agent_id,
        agent_version=agent_version,
        environment_id=body.environment_id,
        last_run_at=None,
        schedule=body.schedule,
        body=sql.Body(
            name=body.name,
            description=body.description or None,
            initial_events=_raw(body.initial_events),
            resources=_without_tokens(resources),
            vault_ids=body.vault_ids or [],
            metadata=body.metadata,
            budget=body.budget,
        ),
    )
    _check_schedule(tx, who, deployment, policy)
    _check_budget(tx, deployment, policy)
    row = (
        deployment.id, who.organization_id, who.workspace_id, tx.now, tx.now, "active", agent_id, agent_version,
        body.environment_id, int(body.schedule is not None), sql.to_text(deployment.body),
    )  # fmt: skip
    tx.insert(sql.INSERT, [row])
    if body.schedule is not None:
        schedules.begin(tx, deployment.id, body.schedule, policy.timing, new=True)
    _keep_tokens(tx, deployment.id, resources, policy)
    announce(tx, who, "deployment.created", deployment.id)
    return _render(tx, deployment)


def get(tx: Tx, who: Who, deployment_id: str) -> Deployment:
    """The deployment, archived ones too. NotFound."""
    return _render(tx, find(tx, who, deployment_id))


def list_(tx: Tx, who: Who, position: Position | None, query: ListDeployments) -> Found:
    """A page of deployments, newest first; archived ones only when asked for."""
    if query.status is not None and query.include_archived is not None:
        raise InvalidRequest("include_archived: cannot be set together with status")
    filters: dict[str, Any] = {
        "live": None if query.include_archived else 1,
        "agent_id": query.agent_id,
        "status": query.status,
        **query.times(),
    }
    found = page(tx, sql.LIST, limit=query.limit, position=position, filters=filters, workspace_id=who.workspace_id)
    return found.map(lambda row: _render(tx, _stored(row)))


def update(tx: Tx, who: Who, deployment_id: str, body: UpdateDeployment, policy: Policy) -> Deployment:
    """Change what was sent. A paused deployment stays paused; a body that changes nothing changes nothing."""
    old = _find_live(tx, who, deployment_id)
    changed: dict[str, Any] = {}
    row: dict[str, Any] = {}
    if body.initial_events is not UNSET or isinstance(body.resources, list):
        _check_shapes(
            () if body.initial_events is UNSET else body.initial_events,
            body.resources if isinstance(body.resources, list) else (),
        )
    if body.agent is not UNSET:
        row["agent_id"], row["agent_version"] = _pin(tx, who, body.agent)
    if body.environment_id is not UNSET:
        _check_environment(tx, who, body.environment_id)
        row["environment_id"] = body.environment_id
    if body.name is not UNSET:
        changed["name"] = body.name
    if body.description is not UNSET:
        changed["description"] = body.description or None
    if body.initial_events is not UNSET:
        changed["initial_events"] = _raw(body.initial_events)
    if body.resources is not UNSET:
        changed["resources"] = _without_tokens(body.resources or [])
    if body.vault_ids is not UNSET:
        _check_vaults(tx, who, body.vault_ids)
        changed["vault_ids"] = body.vault_ids or []
    if isinstance(body.metadata, dict):
        changed["metadata"] = patch_metadata(old.body.metadata, body.metadata)
    if body.schedule is not UNSET:
        row["schedule"] = body.schedule
    if body.budget is not UNSET:
        changed["budget"] = body.budget
    new = msgspec.structs.replace(old, body=msgspec.structs.replace(old.body, **changed), **row)
    if body.schedule is not UNSET:
        _check_schedule(tx, who, new, policy)
    if new.body.budget is not None and (body.budget is not UNSET or body.agent is not UNSET):
        _check_budget(tx, new, policy)
    if _same(new, old) and not _tokens_change(tx, old, body):
        return _render(tx, old)
    if body.resources is not UNSET:
        tx.run(sql.DROP_TOKENS, deployment_id=old.id)
        _keep_tokens(tx, old.id, body.resources or [], policy)
    _keep_schedule(tx, old, new, policy)
    return _save(tx, who, new, "deployment.updated")


def pause(tx: Tx, who: Who, deployment_id: str) -> Deployment:
    """Stop the schedule. Again is the same answer; one that an error paused becomes paused by hand."""
    old = _find_live(tx, who, deployment_id)
    if old.status == "paused" and old.paused_error is None:
        return _render(tx, old)
    schedules.stop(tx, [old.id])
    return _save(tx, who, msgspec.structs.replace(old, status="paused", paused_error=None), "deployment.paused")


def unpause(tx: Tx, who: Who, deployment_id: str, policy: Policy) -> Deployment:
    """Let the schedule go on at its next occurrence; what was missed stays missed."""
    old = _find_live(tx, who, deployment_id)
    if old.status == "active":
        return _render(tx, old)
    if old.schedule is not None:
        schedules.begin(tx, old.id, old.schedule, policy.timing)
    return _save(tx, who, msgspec.structs.replace(old, status="active", paused_error=None), "deployment.unpaused")


def archive(tx: Tx, who: Who, deployment_id: str) -> Deployment:
    """End it for good: an archived deployment reports ``active`` and nothing upcoming. Again is the same answer."""
    old = find(tx, who, deployment_id)
    if old.archived_at is not None:
        return _render(tx, old)
    new = msgspec.structs.replace(old, archived_at=tx.now, status="active", paused_error=None)
    schedules.stop(tx, [old.id])
    return _save(tx, who, new, "deployment.archived")


def follow_archived_agent(tx: Tx, who: Who, agent_id: str) -> None:
    """Archive the deployments pinned to an agent, in the transaction and at the instant in which it is archived."""
    pinned = [row[0] for row in tx.all(sql.PINNED, agent_id=agent_id)]
    if pinned:
        schedules.stop(tx, pinned)  # before the deployments, as a fire does, so that neither waits for the other
        tx.run(sql.ARCHIVE_MANY, ids=pinned, now=tx.now)
        announce(tx, who, "deployment.archived", *pinned)


def find(tx: Tx, who: Who, deployment_id: str) -> Stored:
    """The deployment's row. NotFound."""
    row = tx.one(sql.GET, id=deployment_id, workspace_id=who.workspace_id)
    if row is None:
        raise NotFound(f"Deployment `{deployment_id}` not found.")
    return _stored(row)


def _find_live(tx: Tx, who: Who, deployment_id: str) -> Stored:
    deployment = find(tx, who, deployment_id)
    if deployment.archived_at is not None:
        raise InvalidRequest(ARCHIVED)
    return deployment


def _check_shapes(initial_events: Any, resources: Any) -> None:
    events.check(initial_events, "initial_events")
    mounts.check(resources)


def _pin(tx: Tx, who: Who, asked: str | Pin) -> tuple[str, int]:
    """The agent's version that the deployment holds on to: the named one, or the newest."""
    agent_id, version = (asked, None) if isinstance(asked, str) else (asked.id, asked.version)
    facts = agents.find_many(tx, [agent_id]).get(agent_id)
    if facts is None or facts.workspace_id != who.workspace_id or (version or 1) > facts.version:
        raise NotFound("Referenced agent not found or not accessible.")
    if facts.archived:
        raise InvalidRequest("Cannot modify archived agent")
    return agent_id, version or facts.version


def _check_environment(tx: Tx, who: Who, environment_id: str) -> None:
    facts = environments.find_many(tx, [environment_id]).get(environment_id)
    if facts is None or facts.workspace_id != who.workspace_id or facts.archived:
        raise NotFound("Referenced environment not found or not accessible.")


def _check_vaults(tx: Tx, who: Who, vault_ids: list[str] | None) -> None:
    if not vault_ids:
        return
    found = vaults.find_many(tx, vault_ids)
    for vault_id in vault_ids:
        facts = found.get(vault_id)
        if facts is None or facts.workspace_id != who.workspace_id or facts.archived:
            raise NotFound("Referenced vault not found or not accessible.")


def _check_schedule(tx: Tx, who: Who, deployment: Stored, policy: Policy) -> None:
    schedule = deployment.schedule
    if schedule is None:
        return
    try:
        cron.check(schedule.expression, schedule.timezone, tx.now)
    except cron.CronError as exc:
        raise InvalidRequest(exc.message) from None
    if policy.max_scheduled == 0:  # counting a million takes half a second
        return
    row = tx.one(sql.COUNT_SCHEDULED, organization_id=who.organization_id, id=deployment.id)
    if row is not None and row[0] >= policy.max_scheduled:
        raise InvalidRequest(
            f"schedule: the organization already has {policy.max_scheduled} deployments with a schedule; "
            "archive one, or clear its schedule"
        )


def _check_budget(tx: Tx, deployment: Stored, policy: Policy) -> None:
    if deployment.body.budget is None:
        return
    ref = (deployment.agent_id, deployment.agent_version)
    model = agents.traits_many(tx, [ref])[ref].model_id
    if not has_list_price(model, policy.priced_models):
        raise InvalidRequest(
            f"budget: the model {model} has no public list price, so a budget cannot be kept",
            details={"error_code": "model_not_budgetable"},
        )


def _raw(initial_events: Any) -> list[Raw]:
    return [Raw(encode(event)) for event in initial_events]


def _token(resource: ResourceParam) -> str | None:
    if isinstance(resource, RepositoryParam) and resource.authorization_token is not UNSET:
        return resource.authorization_token
    return None


def _tokens_change(tx: Tx, old: Stored, body: UpdateDeployment) -> bool:
    """Whether the update brings tokens, or drops those that are kept: they must be sent again with every list."""
    if body.resources is UNSET:
        return False
    return any(_token(resource) for resource in body.resources or ()) or bool(tx.all(sql.GET_TOKENS, ids=[old.id]))


def _without_tokens(resources: list[ResourceParam]) -> list[ResourceParam]:
    return [
        msgspec.structs.replace(resource, authorization_token=UNSET)
        if isinstance(resource, RepositoryParam)
        else resource
        for resource in resources
    ]


def _keep_tokens(tx: Tx, deployment_id: str, resources: list[ResourceParam], policy: Policy) -> None:
    rows = [
        (deployment_id, position, policy.sealer.get().seal(token, token_place(deployment_id, position)))
        for position, resource in enumerate(resources)
        if (token := _token(resource)) is not None
    ]
    tx.insert(sql.KEEP_TOKENS, rows)


def _kept(deployment: Stored) -> Cron | None:
    """The schedule that is kept at present: none while the deployment is paused."""
    return deployment.schedule if deployment.status == "active" else None


def _keep_schedule(tx: Tx, old: Stored, new: Stored, policy: Policy) -> None:
    """Before an update is written: what it means for what is due."""
    was, kept = _kept(old), _kept(new)
    if was is not None and was == kept:
        schedules.hold(tx, new.id)
        return
    if was is not None:
        schedules.stop(tx, [new.id])
    if kept is not None:
        schedules.begin(tx, new.id, kept, policy.timing)
    elif old.schedule != new.schedule:
        schedules.put(tx, new.id, new.schedule)


def _same(new: Stored, old: Stored) -> bool:
    return msgspec.structs.replace(new, body=old.body) == old and encode(new.body) == encode(old.body)


def _save(tx: Tx, who: Who, deployment: Stored, event: str) -> Deployment:
    saved = msgspec.structs.replace(deployment, updated_at=tx.now)
    tx.run(
        sql.UPDATE,
        id=saved.id,
        updated_at=saved.updated_at,
        archived_at=saved.archived_at,
        status=saved.status,
        paused_error=saved.paused_error,
        agent_id=saved.agent_id,
        agent_version=saved.agent_version,
        environment_id=saved.environment_id,
        scheduled=int(saved.schedule is not None),
        body=sql.to_text(saved.body),
    )
    announce(tx, who, event, saved.id)
    return _render(tx, saved)


def _stored(row: Row) -> Stored:
    return Stored(
        id=row[0],
        created_at=row[1],
        updated_at=row[2],
        archived_at=row[3],
        status=row[4],
        paused_error=row[5],
        agent_id=row[6],
        agent_version=row[7],
        environment_id=row[8],
        last_run_at=row[9],
        schedule=sql.schedule_of(row[11], row[12]),
        body=sql.body_of(row[10]),
    )


def _render(tx: Tx, stored: Stored) -> Deployment:
    body = stored.body
    reason = None
    if stored.status == "paused":
        reason = ManualPause() if stored.paused_error is None else ErrorPause(PausingError(stored.paused_error))
    return Deployment(
        id=stored.id,
        name=body.name,
        description=body.description,
        agent=AgentReference(stored.agent_id, stored.agent_version),
        environment_id=stored.environment_id,
        initial_events=body.initial_events,
        resources=body.resources,
        vault_ids=body.vault_ids,
        metadata=body.metadata,
        schedule=None if stored.schedule is None else _render_schedule(tx, stored, stored.schedule),
        status=stored.status,
        paused_reason=reason,
        created_at=to_datetime(stored.created_at),
        updated_at=to_datetime(stored.updated_at),
        archived_at=to_datetime_or_none(stored.archived_at),
        budget=UNSET if body.budget is None else body.budget,
    )


def _render_schedule(tx: Tx, stored: Stored, schedule: Cron) -> Schedule:
    upcoming: list[int] = []
    if stored.archived_at is None:
        upcoming = cron.upcoming(cron.parse(schedule.expression), cron.zone(schedule.timezone), tx.now, UPCOMING)
    return Schedule(
        expression=schedule.expression,
        timezone=schedule.timezone,
        last_run_at=to_datetime_or_none(stored.last_run_at),
        upcoming_runs_at=[to_datetime(instant) for instant in upcoming],
    )
