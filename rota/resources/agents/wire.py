"""Agents as they travel (contract, agents), and as sessions show them."""

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

from rota.base.wire import Echo, Id, ListQuery, Metadata, MetadataPatch, Wire
from rota.resources.agents.model import ModelConfig, ModelIn
from rota.resources.agents.multiagent import (
    Advisor,
    AdvisorEnabled,
    Disabled,
    Multiagent,
    MultiagentIn,
    Switch,
    Version,
)
from rota.resources.agents.multiagent import AgentParam as AgentParam  # deployments and sessions take it from here
from rota.resources.agents.servers import McpServer, McpServersIn
from rota.resources.agents.servers import McpServerIn as McpServerIn  # sessions take it from here
from rota.resources.agents.skills import AgentSkill, SkillsIn
from rota.resources.agents.tools import Tool, ToolsIn

MAX_SYSTEM = 100_000

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
Description: TypeAlias = Annotated[str, Meta(max_length=2048)]
System: TypeAlias = Annotated[str, Meta(max_length=MAX_SYSTEM)]


class ServiceAccount(Echo, tag="service_account", tag_field="type", frozen=True):
    """Runs carry no principal of the customer's; the default."""


class AwsRole(Echo, tag="aws_role", tag_field="type", frozen=True):
    """Runs act as this IAM role. Kept and shown; this server does not assume it."""

    role_arn: Annotated[str, Meta(min_length=1, max_length=2048)]


ExecutionIdentity: TypeAlias = ServiceAccount | AwsRole


class ListAgents(ListQuery):
    """Query of ``GET /v1/agents``."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    include_archived: bool = False
    created_at_gte: datetime | None = field(name="created_at[gte]", default=None)
    created_at_lte: datetime | None = field(name="created_at[lte]", default=None)


class RetrieveAgent(Struct, kw_only=True):
    """Query of ``GET /v1/agents/{id}``."""

    version: Version | None = None


class ListAgentVersions(ListQuery):
    """Query of ``GET /v1/agents/{id}/versions``."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class CreateAgent(Wire):
    """Body of ``POST /v1/agents``."""

    name: Name
    model: ModelIn
    description: Description | None = None
    system: System | None = None
    tools: ToolsIn | None = None
    mcp_servers: McpServersIn | None = None
    skills: SkillsIn | None = None
    multiagent: MultiagentIn | None = None
    metadata: Metadata = {}
    execution_identity: ExecutionIdentity | None = None


class UpdateAgent(Wire):
    """Body of ``POST /v1/agents/{id}``: what is omitted stays. ``version`` makes it fail if that is not the latest."""

    version: Version | None = None
    name: Name | UnsetType = UNSET
    model: ModelIn | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    system: System | None | UnsetType = UNSET
    tools: ToolsIn | None | UnsetType = UNSET
    mcp_servers: McpServersIn | None | UnsetType = UNSET
    skills: SkillsIn | None | UnsetType = UNSET
    multiagent: MultiagentIn | None | UnsetType = UNSET
    metadata: MetadataPatch | None | UnsetType = UNSET
    execution_identity: ExecutionIdentity | None | UnsetType = UNSET


class Agent(Struct, tag="agent", tag_field="type", frozen=True, kw_only=True):
    """One version of an agent as it goes out.

    ``created_at`` and ``archived_at`` are the agent's. ``updated_at`` is when the version was written or, once the agent
    is archived, when that happened, because archiving is the last change to every version (its ``archived_at``).
    """

    id: str
    version: int
    name: str
    description: str | None
    model: ModelConfig
    system: str | None
    tools: list[Tool]
    mcp_servers: list[McpServer]
    skills: list[AgentSkill]
    multiagent: Multiagent | None
    metadata: Metadata
    execution_identity: ExecutionIdentity
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class AgentWithOverrides(Wire, tag="agent_with_overrides", tag_field="type"):
    """An agent for one session, with parts of its configuration replaced. What is omitted is the agent's own."""

    id: Id
    version: Version | None = None
    model: ModelIn | None | UnsetType = UNSET
    system: str | None | UnsetType = UNSET
    tools: ToolsIn | None | UnsetType = UNSET
    mcp_servers: McpServersIn | None | UnsetType = UNSET
    skills: SkillsIn | None | UnsetType = UNSET


class ThreadAgent(Struct, tag="agent", tag_field="type", frozen=True, kw_only=True):
    """An agent as a thread runs it: one version's definition, without whom it may delegate to."""

    id: str
    version: int
    name: str
    description: str | None
    system: str | None
    model: ModelConfig
    tools: list[Tool]
    mcp_servers: list[McpServer]
    skills: list[AgentSkill]
    execution_identity: ExecutionIdentity


class SessionCoordinator(Struct, tag="coordinator", tag_field="type", frozen=True):
    """A roster with full definitions."""

    agents: list[ThreadAgent | Advisor]


class SessionSpawning(Struct, tag="enabled", tag_field="type", frozen=True):
    """Which agents may be started, with full definitions of the saved ones."""

    inline_agents: Switch
    predefined_agents: list[ThreadAgent]


class SessionMultiagent20261001(Struct, tag="multiagent_20261001", tag_field="type", frozen=True):
    """The three members of the newer configuration, with full definitions."""

    advisor: AdvisorEnabled | Disabled
    subagents: SessionSpawning | Disabled
    workflows: SessionSpawning | Disabled


class SessionAgent(ThreadAgent, tag="agent", tag_field="type", frozen=True, kw_only=True):
    """An agent as a session shows it."""

    multiagent: SessionCoordinator | SessionMultiagent20261001 | None
