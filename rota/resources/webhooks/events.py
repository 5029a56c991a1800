"""The catalogue of event names that an endpoint can subscribe to (contract, webhooks §10.2).

The names are the published ones, whether or not this server can cause the event: a subscription that is good on the hosted
service is good here.
"""

from typing import Literal, TypeAlias, get_args

OrganizationEvent: TypeAlias = Literal[
    "external_key.failed", "external_key.recovered",
    "external_storage.failed", "external_storage.recovered",
    "user_profile.enforcement_action_opened", "user_profile.enforcement_action_resolved",
    "user_profile.program_status_updated",
]  # fmt: skip
"""What concerns the organization as a whole; the published organization routes take these and no others."""

WorkspaceEvent: TypeAlias = Literal[
    "agent.archived", "agent.created", "agent.deleted", "agent.updated",
    "deployment.archived", "deployment.created", "deployment.deleted", "deployment.paused", "deployment.unpaused",
    "deployment.updated",
    "deployment_run.failed", "deployment_run.started", "deployment_run.succeeded",
    "environment.archived", "environment.created", "environment.deleted", "environment.updated",
    "memory_store.archived", "memory_store.created", "memory_store.deleted",
    "session.archived", "session.budget_reached", "session.created", "session.deleted", "session.idled",
    "session.outcome_evaluation_ended", "session.pending", "session.requires_action", "session.running",
    "session.status_idled", "session.status_rescheduled", "session.status_run_started", "session.status_terminated",
    "session.thread_created", "session.thread_idled", "session.thread_terminated", "session.updated",
    "vault.archived", "vault.created", "vault.deleted",
    "vault_credential.archived", "vault_credential.created", "vault_credential.deleted",
    "vault_credential.refresh_failed",
]  # fmt: skip
"""What happens to a workspace's things."""

Event: TypeAlias = OrganizationEvent | WorkspaceEvent

ORGANIZATION: frozenset[str] = frozenset(get_args(OrganizationEvent))
WORKSPACE: frozenset[str] = frozenset(get_args(WorkspaceEvent))


def beside(event: str) -> str | None:
    """The member of an event's ``data`` that names what its subject belongs to; None for most (contract, envelope)."""
    if event.startswith("session.thread_"):
        return "session_thread_id"
    return "vault_id" if event.startswith("vault_credential.") else None
