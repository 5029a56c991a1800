"""Where agents rest. A version's columns are what finds it; all that it says is in ``body``, which never changes."""

import msgspec
from msgspec import Struct

from rota.base.wire import Metadata, encode
from rota.resources.agents.model import ModelConfig
from rota.resources.agents.multiagent import AgentRef, Multiagent
from rota.resources.agents.servers import McpServer
from rota.resources.agents.skills import AgentSkill
from rota.resources.agents.tools import Tool
from rota.resources.agents.wire import ExecutionIdentity, ServiceAccount
from rota.store.tx import Insert, Listing, Query

_COLUMNS = "id, created_at, archived_at, version"
_VERSION_COLUMNS = "ref, version, created_at, agent_id, body"

INSERT = Insert(
    "Keep a new agent.",
    "agents",
    {"id": "text", "workspace_id": "text", "created_at": "bigint", "archived_at": "bigint", "version": "bigint"},
)
INSERT_VERSION = Insert(
    "Keep a new version of an agent.",
    "agent_versions",
    {"ref": "text", "agent_id": "text", "version": "bigint", "created_at": "bigint", "body": "text"},
)
GET = Query(
    "One agent of a workspace.",
    f"SELECT {_COLUMNS} FROM agents WHERE id = :id AND workspace_id = :workspace_id",
)
GET_MANY = Query(
    "Agents by id, for rosters and for sets of runs and sessions.",
    "SELECT id, workspace_id, archived_at, version FROM agents WHERE id = ANY(:ids)",
)
GET_VERSIONS = Query(
    "Versions by their keys.",
    f"SELECT {_VERSION_COLUMNS} FROM agent_versions WHERE ref = ANY(:refs)",
)
LIST = Listing(
    "Agents of a workspace, newest first.",
    f"SELECT {_COLUMNS} FROM agents WHERE workspace_id = :workspace_id",
    filters={
        "live": "archived_at IS NULL AND :live = 1",
        "created_at_gte": "created_at >= :created_at_gte",
        "created_at_lte": "created_at <= :created_at_lte",
    },
)
LIST_VERSIONS = Listing(
    "Versions of an agent, newest first.",
    f"SELECT {_VERSION_COLUMNS} FROM agent_versions WHERE agent_id = :agent_id",
    key=("version", "ref"),
    weight="body",
)
SET_VERSION = Query("Make another version the latest.", "UPDATE agents SET version = :version WHERE id = :id")
ARCHIVE = Query("Archive an agent.", "UPDATE agents SET archived_at = :archived_at WHERE id = :id")


class VersionBody(Struct, frozen=True, kw_only=True):
    """All that a version says."""

    name: str
    model: ModelConfig
    description: str | None = None
    system: str | None = None
    tools: list[Tool] = []
    mcp_servers: list[McpServer] = []
    skills: list[AgentSkill] = []
    multiagent: Multiagent | None = None
    metadata: Metadata = {}
    execution_identity: ExecutionIdentity = ServiceAccount()


to_version_body = msgspec.json.Decoder(VersionBody).decode


def to_key(ref: AgentRef) -> str:
    """The ``ref`` column."""
    return f"{ref[0]}@{ref[1]}"


def to_body(body: VersionBody) -> str:
    """The ``body`` column."""
    return encode(body).decode()


def same(one: VersionBody, other: VersionBody) -> bool:
    """Whether two bodies say the same. Compared as JSON in one order, because to Python 1, 1.0 and true are equal."""
    return msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")
