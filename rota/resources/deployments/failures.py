"""The sixteen run errors, all in one table: where each comes from, what it says, whether it pauses, and how to mend it.

Promises: the table has a row for each type and no other, its rows stand in the order in which reasons are looked for when
several apply (contract, the sixteen run errors), and every reason that a session can be refused for has its row: the type
checker holds all of it. A reason becomes an error by its class, never by its text.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypedDict, TypeVar, assert_never, cast

from msgspec import Struct

from rota.resources.deployment_runs.wire import ErrorType, RunError
from rota.resources.sessions import refusals
from rota.resources.sessions.refusals import SessionRefusal

R = TypeVar("R", bound=SessionRefusal)


class Failure(Struct, Generic[R], frozen=True, kw_only=True):
    """One run error.

    ``refusal`` is the class of reasons that it comes from, None for what nobody foresaw. ``pauses``: a scheduled fire that
    fails with it pauses its deployment; a run by hand never does. ``message`` is what a run records, made from the reason.
    ``meaning`` and ``mend`` are sentences for people.
    """

    refusal: type[R] | None
    pauses: bool = True
    message: Callable[[R], str]
    meaning: str
    mend: str


class Failures(TypedDict):
    """The table's shape: a key for each type, and the class of reasons that it is for."""

    session_rate_limited_error: Failure[refusals.SessionRateLimited]
    organization_disabled_error: Failure[refusals.OrganizationDisabled]
    workspace_archived_error: Failure[refusals.WorkspaceArchived]
    agent_archived_error: Failure[refusals.AgentArchived]
    environment_not_found_error: Failure[refusals.EnvironmentNotFound]
    environment_archived_error: Failure[refusals.EnvironmentArchived]
    self_hosted_resources_unsupported_error: Failure[refusals.SelfHostedResourcesUnsupported]
    vault_not_found_error: Failure[refusals.VaultNotFound]
    vault_archived_error: Failure[refusals.VaultArchived]
    file_not_found_error: Failure[refusals.FileNotFound]
    memory_store_archived_error: Failure[refusals.MemoryStoreArchived]
    session_resource_not_found_error: Failure[refusals.MemoryStoreNotFound]
    skill_not_found_error: Failure[refusals.SkillNotFound]
    mcp_egress_blocked_error: Failure[refusals.McpEgressBlocked]
    session_creation_rejected_error: Failure[refusals.CreationRejected]
    unknown_error: Failure[Any]


FAILURES: Failures = {
    "session_rate_limited_error": Failure(
        refusal=refusals.SessionRateLimited,
        pauses=False,
        message=lambda refusal: f"session creation was rate limited: {refusal.message}",
        meaning="The organization had created as many sessions in that minute as the server's operator allows.",
        mend="Run it again in the next minute, or raise ROTA_RATE_LIMIT_SESSIONS_PER_MINUTE.",
    ),
    "organization_disabled_error": Failure(
        refusal=refusals.OrganizationDisabled,
        message=lambda _: "organization is disabled",
        meaning="The organization was disabled: what it has can be read, nothing new is started.",
        mend="Enable it: `rota organizations enable`.",
    ),
    "workspace_archived_error": Failure(
        refusal=refusals.WorkspaceArchived,
        message=lambda _: "workspace is archived",
        meaning="The deployment's workspace was archived, which is for good.",
        mend="Make the deployment anew in a live workspace, then archive this one.",
    ),
    "agent_archived_error": Failure(
        refusal=refusals.AgentArchived,
        message=lambda refusal: f"agent `{refusal.agent_id}` is archived",
        meaning="An agent of the roster was archived. (Had it been the deployment's own, the deployment would be archived too.)",
        mend="Update the agent with a roster of live agents, then update the deployment with that agent, which pins its newest version.",
    ),
    "environment_not_found_error": Failure(
        refusal=refusals.EnvironmentNotFound,
        message=lambda refusal: f"session creation rejected: environment `{refusal.environment_id}` not found",
        meaning="The deployment's environment was deleted.",
        mend="Update the deployment with the `environment_id` of one that exists.",
    ),
    "environment_archived_error": Failure(
        refusal=refusals.EnvironmentArchived,
        message=lambda refusal: f"environment `{refusal.environment_id}` is archived",
        meaning="The deployment's environment was archived, which is for good.",
        mend="Update the deployment with the `environment_id` of one that is live.",
    ),
    "self_hosted_resources_unsupported_error": Failure(
        refusal=refusals.SelfHostedResourcesUnsupported,
        message=lambda refusal: refusal.message,
        meaning="The environment is self-hosted, where files and repositories cannot be mounted; only memory stores can.",
        mend="Update the deployment with `resources` that are memory stores only, or with a cloud environment.",
    ),
    "vault_not_found_error": Failure(
        refusal=refusals.VaultNotFound,
        message=lambda refusal: f"vault `{refusal.vault_id}` not found",
        meaning="A vault that the deployment names was deleted.",
        mend="Update the deployment with `vault_ids` that exist.",
    ),
    "vault_archived_error": Failure(
        refusal=refusals.VaultArchived,
        message=lambda refusal: f"vault `{refusal.vault_id}` is archived",
        meaning="A vault that the deployment names was archived, and its secrets are gone.",
        mend="Make a vault with the credentials and update the deployment's `vault_ids`.",
    ),
    "file_not_found_error": Failure(
        refusal=refusals.FileNotFound,
        message=lambda refusal: refusal.message,
        meaning="A file among the deployment's resources was deleted, has expired, or was never there.",
        mend="Upload it again and update the deployment's `resources` with its new id.",
    ),
    "memory_store_archived_error": Failure(
        refusal=refusals.MemoryStoreArchived,
        message=lambda _: (
            "session creation rejected: a referenced memory store is archived; check deployment resources"
        ),
        meaning="A memory store among the deployment's resources was archived, which is for good.",
        mend="Update the deployment's `resources` without it, or with a live store in its place.",
    ),
    "session_resource_not_found_error": Failure(
        refusal=refusals.MemoryStoreNotFound,
        message=lambda _: (
            "session creation rejected: a referenced resource was not found; check deployment configuration"
        ),
        meaning="A memory store among the deployment's resources was deleted, or was never there.",
        mend="Update the deployment's `resources` without it, or with a live store in its place.",
    ),
    "skill_not_found_error": Failure(
        refusal=refusals.SkillNotFound,
        message=lambda refusal: f"skill {refusal.named} not found",
        meaning="A custom skill that the agent or one of its roster names was deleted, or the version of it was.",
        mend="Update that agent's `skills`, then update the deployment with the agent, which pins its newest version.",
    ),
    "mcp_egress_blocked_error": Failure(
        refusal=refusals.McpEgressBlocked,
        message=lambda refusal: refusal.message,
        meaning="The environment's networking is limited and does not let the host of an MCP server through.",
        mend="Add the host to the environment's `allowed_hosts`, or set `allow_mcp_servers` to true there.",
    ),
    "session_creation_rejected_error": Failure(
        refusal=refusals.CreationRejected,
        pauses=False,
        message=lambda refusal: refusal.message,
        meaning="What the deployment asks for does not go together, as the message says.",
        mend="Update the deployment, or its agent and then the deployment, as the message says.",
    ),
    "unknown_error": Failure(
        refusal=None,
        message=lambda _: "internal error; the server's log has the details",
        meaning="Something went wrong in the server that nobody foresaw. Nothing was half made.",
        mend="Run it again; if it comes back, look for the run in the server's log and report it.",
    ),
}

PRECEDENCE: Sequence[ErrorType] = tuple(cast("Mapping[ErrorType, object]", FAILURES))
"""Of several reasons the one that stands first is recorded."""


def type_of(refusal: SessionRefusal) -> ErrorType:
    """The type that a reason has as a run error."""
    match refusal:
        case refusals.SessionRateLimited():
            return "session_rate_limited_error"
        case refusals.OrganizationDisabled():
            return "organization_disabled_error"
        case refusals.WorkspaceArchived():
            return "workspace_archived_error"
        case refusals.AgentArchived():
            return "agent_archived_error"
        case refusals.EnvironmentNotFound():
            return "environment_not_found_error"
        case refusals.EnvironmentArchived():
            return "environment_archived_error"
        case refusals.SelfHostedResourcesUnsupported():
            return "self_hosted_resources_unsupported_error"
        case refusals.VaultNotFound():
            return "vault_not_found_error"
        case refusals.VaultArchived():
            return "vault_archived_error"
        case refusals.FileNotFound():
            return "file_not_found_error"
        case refusals.MemoryStoreArchived():
            return "memory_store_archived_error"
        case refusals.MemoryStoreNotFound():
            return "session_resource_not_found_error"
        case refusals.SkillNotFound():
            return "skill_not_found_error"
        case refusals.McpEgressBlocked():
            return "mcp_egress_blocked_error"
        case refusals.CreationRejected():
            return "session_creation_rejected_error"
        case _:
            assert_never(refusal)


def failure(kind: ErrorType) -> Failure[Any]:
    """The row of a type."""
    return FAILURES[kind]


def to_run_error(refusal: SessionRefusal) -> RunError:
    """The error that a run records for this reason, with what the reader needs to mend it."""
    kind = type_of(refusal)
    return RunError(kind, failure(kind).message(refusal))


UNKNOWN = RunError("unknown_error", FAILURES["unknown_error"].message(None))
