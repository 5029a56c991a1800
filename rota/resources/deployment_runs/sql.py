"""Where deployment runs rest. There is no UPDATE and no DELETE here, and the database refuses both."""

from rota.base.clock import to_datetime
from rota.resources.agents.multiagent import AgentReference
from rota.resources.deployment_runs.wire import DeploymentRun, ManualTrigger, RunError, ScheduleTrigger
from rota.store.tx import Insert, Listing, Query, Row

_COLUMNS = (
    """id, created_at, deployment_id, scheduled_at, session_id, error_type, error_message, agent_id, agent_version"""
)

INSERT = Insert(
    "Record fires.",
    "deployment_runs",
    {
        "id": "text",
        "workspace_id": "text",
        "deployment_id": "text",
        "created_at": "bigint",
        "scheduled_at": "bigint",
        "session_id": "text",
        "error_type": "text",
        "error_message": "text",
        "agent_id": "text",
        "agent_version": "bigint",
    },
)
GET = Query(
    "One run of a workspace.",
    f"SELECT {_COLUMNS} FROM deployment_runs WHERE id = :id AND workspace_id = :workspace_id",
)
LIST = Listing(
    "Runs of a workspace, newest first.",
    f"SELECT {_COLUMNS} FROM deployment_runs WHERE workspace_id = :workspace_id",
    filters={
        "deployment_id": "deployment_id = :deployment_id",
        "manual": "scheduled_at IS NULL AND :manual = 1",
        "scheduled": "scheduled_at IS NOT NULL AND :scheduled = 1",
        "failed": "session_id IS NULL AND :failed = 1",
        "succeeded": "session_id IS NOT NULL AND :succeeded = 1",
        "created_at_gt": "created_at > :created_at_gt",
        "created_at_gte": "created_at >= :created_at_gte",
        "created_at_lt": "created_at < :created_at_lt",
        "created_at_lte": "created_at <= :created_at_lte",
    },
)


def to_run(row: Row) -> DeploymentRun:
    """A row of ``GET`` or ``LIST`` as it goes out."""
    run_id, created_at, deployment_id, scheduled_at, session_id, error_type, error_message, agent_id, agent_version = (
        row
    )
    return DeploymentRun(
        id=run_id,
        deployment_id=deployment_id,
        trigger_context=ManualTrigger() if scheduled_at is None else ScheduleTrigger(to_datetime(scheduled_at)),
        session_id=session_id,
        error=None if error_type is None else RunError(error_type, error_message),
        agent=AgentReference(agent_id, agent_version),
        created_at=to_datetime(created_at),
    )
