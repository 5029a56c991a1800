"""Deployment runs as they travel (contract, deployment run object)."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

from rota.base.wire import ListQuery
from rota.resources.agents.multiagent import AgentReference

ErrorType: TypeAlias = Literal[
    "environment_archived_error",
    "environment_not_found_error",
    "agent_archived_error",
    "vault_not_found_error",
    "vault_archived_error",
    "file_not_found_error",
    "memory_store_archived_error",
    "session_resource_not_found_error",
    "skill_not_found_error",
    "workspace_archived_error",
    "organization_disabled_error",
    "self_hosted_resources_unsupported_error",
    "mcp_egress_blocked_error",
    "session_rate_limited_error",
    "session_creation_rejected_error",
    "unknown_error",
]
"""The sixteen. There is no seventeenth."""


class RunError(Struct, frozen=True):
    """Why a fire made no session."""

    type: ErrorType
    message: str


class ManualTrigger(Struct, tag="manual", tag_field="type", frozen=True):
    """Somebody asked for the run."""


class ScheduleTrigger(Struct, tag="schedule", tag_field="type", frozen=True):
    """The schedule came due; ``scheduled_at`` is the exact occurrence, without jitter."""

    scheduled_at: datetime


Trigger: TypeAlias = ManualTrigger | ScheduleTrigger


class DeploymentRun(Struct, tag="deployment_run", tag_field="type", frozen=True, kw_only=True):
    """One fire. Exactly one of ``session_id`` and ``error`` is set, for ever."""

    id: str
    deployment_id: str
    trigger_context: Trigger
    session_id: str | None
    error: RunError | None
    agent: AgentReference
    created_at: datetime


class ListDeploymentRuns(ListQuery):
    """Query of ``GET /v1/deployment_runs``."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    deployment_id: str | None = None
    trigger_type: Literal["schedule", "manual"] | None = None
    has_error: bool | None = None
    created_at_gt: datetime | None = field(name="created_at[gt]", default=None)
    created_at_gte: datetime | None = field(name="created_at[gte]", default=None)
    created_at_lt: datetime | None = field(name="created_at[lt]", default=None)
    created_at_lte: datetime | None = field(name="created_at[lte]", default=None)
