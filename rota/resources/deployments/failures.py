"""From a refusal to a run error, by its class and never by its text (contract, the sixteen run errors).

The type checker holds the match exhaustive: a reason that nobody mapped does not pass. ``unknown_error`` has no refusal: it
is recorded when something raised that nobody foresaw.
"""

from typing import assert_never

from rota.resources.deployment_runs.wire import RunError
from rota.resources.sessions import refusals
from rota.resources.sessions.refusals import SessionRefusal

UNKNOWN = RunError("unknown_error", "internal error; the server's log has the details")


def to_run_error(refusal: SessionRefusal) -> RunError:
    """The error that a run records for this refusal, with what the reader needs to mend it."""
    match refusal:
        case refusals.OrganizationDisabled():
            return RunError("organization_disabled_error", "organization is disabled")
        case refusals.WorkspaceArchived():
            return RunError("workspace_archived_error", "workspace is archived")
        case refusals.AgentArchived():
            return RunError("agent_archived_error", f"agent `{refusal.agent_id}` is archived")
        case refusals.EnvironmentNotFound():
            text = f"session creation rejected: environment `{refusal.environment_id}` not found"
            return RunError("environment_not_found_error", text)
        case refusals.EnvironmentArchived():
            return RunError("environment_archived_error", f"environment `{refusal.environment_id}` is archived")
        case refusals.SelfHostedResourcesUnsupported():
            return RunError("self_hosted_resources_unsupported_error", refusal.message)
        case refusals.VaultNotFound():
            return RunError("vault_not_found_error", f"vault `{refusal.vault_id}` not found")
        case refusals.VaultArchived():
            return RunError("vault_archived_error", f"vault `{refusal.vault_id}` is archived")
        case refusals.FileNotFound():
            return RunError("file_not_found_error", refusal.message)
        case refusals.MemoryStoreArchived():
            text = "session creation rejected: a referenced memory store is archived; check deployment resources"
            return RunError("memory_store_archived_error", text)
        case refusals.MemoryStoreNotFound():
            text = "session creation rejected: a referenced resource was not found; check deployment configuration"
            return RunError("session_resource_not_found_error", text)
        case refusals.SkillNotFound():
            return RunError("skill_not_found_error", f"skill `{refusal.skill_id}` not found")
        case refusals.McpEgressBlocked():
            return RunError("mcp_egress_blocked_error", refusal.message)
        case refusals.CreationRejected():
            return RunError("session_creation_rejected_error", refusal.message)
        case refusals.SessionRateLimited():
            return RunError("session_rate_limited_error", f"session creation was rate limited: {refusal.message}")
        case _:
            assert_never(refusal)
