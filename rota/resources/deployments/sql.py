"""Where deployments rest."""

import msgspec
from msgspec import Raw, Struct

from rota.base.wire import Metadata, encode
from rota.resources.deployments.wire import Cron
from rota.resources.sessions.mounts import ResourceParam
from rota.resources.sessions.wire import Budget
from rota.store.sealed import SealedColumn
from rota.store.tx import Insert, Listing, Query

_COLUMNS = """id, created_at, updated_at, archived_at, status, paused_error, agent_id, agent_version, environment_id,
       last_run_at, body"""

INSERT = Insert(
    "Keep a new deployment.",
    "deployments",
    {
        "id": "text",
        "organization_id": "text",
        "workspace_id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "status": "text",
        "agent_id": "text",
        "agent_version": "bigint",
        "environment_id": "text",
        "scheduled": "bigint",
        "body": "text",
    },
)
GET = Query(
    "One deployment of a workspace.",
    f"SELECT {_COLUMNS} FROM deployments WHERE id = :id AND workspace_id = :workspace_id",
)
GET_MANY = Query(
    "Deployments that are to be fired.",
    """SELECT id, workspace_id, organization_id, archived_at, agent_id, agent_version, environment_id, body
       FROM deployments WHERE id = ANY(:ids)""",
)
LIST = Listing(
    "Deployments of a workspace, newest first.",
    f"SELECT {_COLUMNS} FROM deployments WHERE workspace_id = :workspace_id",
    filters={
        "live": "archived_at IS NULL AND :live = 1",
        "agent_id": "agent_id = :agent_id",
        "status": "status = :status",
        "created_at_gte": "created_at >= :created_at_gte",
        "created_at_lte": "created_at <= :created_at_lte",
    },
)
UPDATE = Query(
    "Replace a deployment's changeable parts.",
    """UPDATE deployments SET updated_at = :updated_at, archived_at = :archived_at, status = :status,
       paused_error = :paused_error, agent_id = :agent_id, agent_version = :agent_version,
       environment_id = :environment_id, scheduled = :scheduled, body = :body WHERE id = :id""",
)
ARCHIVE_PINNED = Query(
    "Archive the live deployments of an agent, at the instant at which the agent is.",
    """UPDATE deployments SET archived_at = :now, updated_at = :now, status = 'active', paused_error = NULL
       WHERE agent_id = :agent_id AND archived_at IS NULL RETURNING id""",
)
COUNT_SCHEDULED = Query(
    "How many live deployments of an organization have a schedule, besides this one.",
    """SELECT count(*) FROM deployments
       WHERE organization_id = :organization_id AND scheduled = 1 AND archived_at IS NULL AND id <> :id""",
)
TOKENS = SealedColumn("deployment_tokens", "deployment_id", "position")
KEEP_TOKENS = Insert(
    "Keep sealed repository tokens.",
    "deployment_tokens",
    {"deployment_id": "text", "position": "bigint", "sealed": "bytea"},
)
DROP_TOKENS = Query(
    "Forget a deployment's tokens.", "DELETE FROM deployment_tokens WHERE deployment_id = :deployment_id"
)
GET_TOKENS = Query(
    "Sealed tokens of deployments that are to be fired.",
    "SELECT deployment_id, position, sealed FROM deployment_tokens WHERE deployment_id = ANY(:ids)",
)


class Body(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that SQL never looks at. First events stay JSON: they are echoed and fired as they were sent."""

    name: str
    initial_events: list[Raw]
    description: str | None = None
    resources: list[ResourceParam] = []
    vault_ids: list[str] = []
    metadata: Metadata = {}
    schedule: Cron | None = None
    budget: Budget | None = None


class FireBody(Struct, frozen=True, kw_only=True):
    """What a fire needs of it."""

    name: str
    initial_events: list[Raw]
    resources: list[ResourceParam] = []
    vault_ids: list[str] = []
    budget: Budget | None = None


body_of = msgspec.json.Decoder(Body).decode
fire_body_of = msgspec.json.Decoder(FireBody).decode


def to_text(body: Body) -> str:
    """The ``body`` column."""
    return encode(body).decode()
