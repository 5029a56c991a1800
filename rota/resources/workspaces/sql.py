"""Where organizations, workspaces and keys rest. Columns: what SQL filters, orders or joins on; a workspace's rest is in ``body``."""

import msgspec
from msgspec import Struct

from rota.base.clock import to_datetime, to_datetime_or_none
from rota.base.wire import encode
from rota.resources.workspaces.wire import ApiKey, DataResidency, ShownStatus, Tags, Workspace, WorkspaceScope
from rota.store.tx import Insert, Listing, Query, Row

_WORKSPACE = "id, created_at, archived_at, is_default, body"
_KEY = "id, created_at, expires_at, status, name, hint, scope, workspace_id, environment_id"

INSERT_ORGANIZATION = Insert(
    "Keep a new organization.",
    "organizations",
    {"id": "text", "created_at": "bigint", "updated_at": "bigint", "disabled": "bigint", "name": "text"},
)
ORGANIZATIONS = Query(
    "All organizations, oldest first.", "SELECT id, name, disabled FROM organizations ORDER BY created_at, id"
)
GET_ORGANIZATION = Query("One organization.", "SELECT id, name, disabled FROM organizations WHERE id = :id")
SET_DISABLED = Query(
    "Disable an organization, or enable it again.",
    "UPDATE organizations SET disabled = :disabled, updated_at = :updated_at WHERE id = :id",
)

INSERT_WORKSPACE = Insert(
    "Keep a new workspace.",
    "workspaces",
    {
        "id": "text",
        "organization_id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "archived_at": "bigint",
        "is_default": "bigint",
        "body": "text",
    },
)
GET_WORKSPACE = Query(
    "One workspace of an organization.",
    f"SELECT {_WORKSPACE} FROM workspaces WHERE id = :id AND organization_id = :organization_id",
)
DEFAULT_WORKSPACE = Query(
    "The workspace that an organization begins with.",
    f"SELECT {_WORKSPACE} FROM workspaces WHERE organization_id = :organization_id AND is_default = 1",
)
LIST_WORKSPACES = Listing(
    "Workspaces of an organization, newest first.",
    f"SELECT {_WORKSPACE} FROM workspaces WHERE organization_id = :organization_id",
    filters={
        "only": "id = :only",
        "ids": "id = ANY(:ids)",
        "live": "archived_at IS NULL AND :live = 1",
        "is_default": "is_default = :is_default",
    },
)
UPDATE_WORKSPACE = Query(
    "Replace a workspace's changeable parts.",
    "UPDATE workspaces SET updated_at = :updated_at, archived_at = :archived_at, body = :body WHERE id = :id",
)
STATES = Query(
    "The states that decide whether workspaces may work, for sets of runs and sessions.",
    """SELECT w.id, w.organization_id, w.archived_at, o.disabled FROM workspaces w
       JOIN organizations o ON o.id = w.organization_id WHERE w.id = ANY(:ids)""",
)

INSERT_KEY = Insert(
    "Keep a new key's digest.",
    "keys",
    {
        "id": "text",
        "organization_id": "text",
        "workspace_id": "text",
        "environment_id": "text",
        "scope": "text",
        "created_at": "bigint",
        "expires_at": "bigint",
        "status": "text",
        "locator": "text",
        "digest": "text",
        "hint": "text",
        "name": "text",
    },
)
ADMIT = Query(
    "The key that a token locates, and the states of what it opens.",
    """SELECT k.digest, k.id, k.organization_id, k.workspace_id, k.environment_id, k.scope, k.expires_at,
              w.archived_at, o.disabled, k.status
       FROM keys k JOIN organizations o ON o.id = k.organization_id LEFT JOIN workspaces w ON w.id = k.workspace_id
       WHERE k.locator = :locator""",
)
ANY_ACTIVE_KEY = Query(
    "Whether anybody can come in.",
    """SELECT id FROM keys WHERE status = 'active' AND scope <> 'environment'
       AND (expires_at IS NULL OR expires_at > :now) LIMIT 1""",
)
GET_KEY = Query(
    "One key of an organization.", f"SELECT {_KEY} FROM keys WHERE id = :id AND organization_id = :organization_id"
)
LIST_KEYS = Listing(
    "Keys of an organization, newest first. A status filter's value is the present instant.",
    f"SELECT {_KEY} FROM keys WHERE organization_id = :organization_id",
    filters={
        "scope": "scope = :scope",
        "workspace_id": "workspace_id = :workspace_id",
        "active": "status = 'active' AND (expires_at IS NULL OR expires_at > :active)",
        "inactive": "status = 'inactive' AND (expires_at IS NULL OR expires_at > :inactive)",
        "expired": "status <> 'archived' AND expires_at <= :expired",
        "archived": "status = 'archived' AND created_at <= :archived",
    },
)
UPDATE_KEY = Query("Rename a key or change its state.", "UPDATE keys SET name = :name, status = :status WHERE id = :id")

CREATIONS = Query(
    "How many sessions an organization has created in a minute.",
    "SELECT count FROM session_creations WHERE organization_id = :organization_id AND minute = :minute",
)
COUNT_CREATIONS = Query(
    "Count sessions of a minute.",
    """INSERT INTO session_creations (organization_id, minute, count) VALUES (:organization_id, :minute, :count)
       ON CONFLICT (organization_id, minute) DO UPDATE SET count = session_creations.count + excluded.count""",
)
DROP_OLD_CREATIONS = Query(
    "Forget an organization's minutes that are over.",
    "DELETE FROM session_creations WHERE organization_id = :organization_id AND minute < :minute",
)


class Body(Struct, frozen=True, kw_only=True):
    """The fields of a workspace that SQL never looks at."""

    name: str
    compartment_id: str
    data_residency: DataResidency
    display_color: str
    tags: Tags


_decoder = msgspec.json.Decoder(Body)


def to_workspace(row: Row) -> Workspace:
    """A row of the workspace queries as it goes out."""
    body = _decoder.decode(row[4])
    return Workspace(
        id=row[0],
        name=body.name,
        compartment_id=body.compartment_id,
        data_residency=body.data_residency,
        display_color=body.display_color,
        tags=body.tags,
        created_at=to_datetime(row[1]),
        archived_at=to_datetime_or_none(row[2]),
    )


def to_body(workspace: Workspace) -> str:
    """The ``body`` column."""
    return encode(
        Body(
            name=workspace.name,
            compartment_id=workspace.compartment_id,
            data_residency=workspace.data_residency,
            display_color=workspace.display_color,
            tags=workspace.tags,
        )
    ).decode()


def to_status(row: Row, now: int) -> ShownStatus:
    """The state of a key's row as people see it: one that is past its time is expired, unless it was archived."""
    expires_at, status = row[2], row[3]
    return "expired" if status != "archived" and expires_at is not None and expires_at <= now else status


def to_api_key(row: Row, now: int) -> ApiKey:
    """A row of the key queries as it goes out."""
    return ApiKey(
        id=row[0],
        name=row[4],
        status=to_status(row, now),
        scope=WorkspaceScope(row[7]),
        partial_key_hint=row[5],
        created_at=to_datetime(row[1]),
        expires_at=to_datetime_or_none(row[2]),
    )
