"""From what was sent to a whole configuration: for a new version of an agent, and for one session only.

Everything is checked and resolved here; nothing is written. Paths in refusals start with ``at``: nothing when an agent is
created, ``agent.`` when it is updated (recorded), and the place of the overrides inside a session's body.
"""

from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from rota.base.errors import InvalidRequest
from rota.base.who import Who
from rota.base.wire import check_metadata, patch_metadata
from rota.resources.agents.model import ModelConfig, resolve_model
from rota.resources.agents.roster import Owner, resolve_multiagent
from rota.resources.agents.servers import McpServersIn, check_servers, resolve_mcp_servers
from rota.resources.agents.skills import resolve_skills
from rota.resources.agents.sql import VersionBody
from rota.resources.agents.tools import ToolsIn, has_usable_read_tool, resolve_tools
from rota.resources.agents.versions import AgentVersion
from rota.resources.agents.wire import MAX_SYSTEM, AgentWithOverrides, CreateAgent, ServiceAccount, UpdateAgent
from rota.store.tx import Tx

_AT_OVERRIDES = "agent.agent_with_overrides.config."


def first(tx: Tx, who: Who, given: CreateAgent, owner: Owner) -> VersionBody:
    """The first version of an agent. InvalidRequest for whatever the contract refuses."""
    check_metadata(given.metadata)
    asked = UpdateAgent(
        name=given.name,
        model=given.model,
        description=given.description,
        system=given.system,
        tools=given.tools,
        mcp_servers=given.mcp_servers,
        skills=given.skills,
        multiagent=given.multiagent,
        execution_identity=given.execution_identity,
    )
    empty = VersionBody(name=given.name, model=ModelConfig(id=""), metadata=given.metadata)
    return _changed(tx, who, asked, empty, owner, "")


def next_(tx: Tx, who: Who, given: UpdateAgent, stored: VersionBody, owner: Owner) -> VersionBody:
    """What follows ``stored``, perhaps the same: what is omitted stays. InvalidRequest for whatever the contract refuses."""
    return _changed(tx, who, given, stored, owner, "agent.")


def _changed(tx: Tx, who: Who, given: UpdateAgent, stored: VersionBody, owner: Owner, at: str) -> VersionBody:
    changed: dict[str, Any] = {}
    if given.name is not UNSET:
        changed["name"] = given.name
    if given.model is not UNSET:
        changed["model"] = resolve_model(given.model, stored.model)
    if given.description is not UNSET:
        changed["description"] = given.description or None
    if given.system is not UNSET:
        changed["system"] = given.system or None
    if isinstance(given.metadata, dict):
        changed["metadata"] = patch_metadata(stored.metadata, given.metadata)
    if given.execution_identity is not UNSET:
        changed["execution_identity"] = given.execution_identity or ServiceAccount()
    if given.skills is not UNSET:
        changed["skills"] = resolve_skills(tx, who, given.skills)
    if given.multiagent is not UNSET:
        changed["multiagent"] = resolve_multiagent(tx, who, given.multiagent, stored.multiagent, owner, at)
    return _with_tools(replace(stored, **changed), given.tools, given.mcp_servers, at, unused_servers=False)


def _with_tools(
    body: VersionBody,
    tools: ToolsIn | None | UnsetType,
    mcp_servers: McpServersIn | None | UnsetType,
    at: str,
    *,
    unused_servers: bool,
) -> VersionBody:
    """``body`` with tools and MCP servers replaced where they were sent, and checked against each other if any was."""
    if tools is UNSET and mcp_servers is UNSET:
        return body
    new = replace(
        body,
        tools=body.tools if tools is UNSET else resolve_tools(tools, at),
        mcp_servers=body.mcp_servers if mcp_servers is UNSET else resolve_mcp_servers(mcp_servers, at),
    )
    check_servers(new.tools, new.mcp_servers, at, unused=unused_servers)
    return new


def apply_overrides(tx: Tx, who: Who, version: AgentVersion, overrides: AgentWithOverrides) -> AgentVersion:
    """The version as one session wants it (contract, overrides): what is sent replaces a whole field, nothing is merged.

    An overriding model works at the default effort: neither the agent's effort nor one in the override applies.
    InvalidRequest, with ``agent_model_required`` for a model of null.
    """
    changed: dict[str, Any] = {}
    if overrides.model is None:
        raise InvalidRequest(
            f"{_AT_OVERRIDES}model: an agent needs a model; omit the field to keep the agent's own",
            details={"error_code": "agent_model_required"},
        )
    if overrides.model is not UNSET:
        model = resolve_model(overrides.model)
        changed["model"] = ModelConfig(id=model.id, speed=model.speed, inference_geo=model.inference_geo)
    if overrides.system is not UNSET:
        if len(overrides.system or "") > MAX_SYSTEM:
            raise InvalidRequest(f"{_AT_OVERRIDES}system: must be at most {MAX_SYSTEM} characters")
        changed["system"] = overrides.system or None
    if overrides.skills is not UNSET:
        changed["skills"] = resolve_skills(tx, who, overrides.skills)
    body = replace(version.body, **changed)
    body = _with_tools(body, overrides.tools, overrides.mcp_servers, _AT_OVERRIDES, unused_servers=True)
    if overrides.tools is not UNSET or overrides.skills is not UNSET:
        _check_read_tool(body)
    return AgentVersion(version.id, version.version, version.created_at, body)


def replace_tools(
    _tx: Tx,
    _who: Who,
    version: AgentVersion,
    tools: ToolsIn | None | UnsetType,
    mcp_servers: McpServersIn | None | UnsetType,
) -> AgentVersion:
    """The version with other tools or MCP servers, as an update of a session sends them. InvalidRequest as for overrides."""
    body = _with_tools(version.body, tools, mcp_servers, "agent.", unused_servers=True)
    if tools is not UNSET:
        _check_read_tool(body)
    return AgentVersion(version.id, version.version, version.created_at, body)


def _check_read_tool(body: VersionBody) -> None:
    if body.skills and not has_usable_read_tool(body.tools):
        raise InvalidRequest(
            "Missing required tool: skills require the read tool to be usable (enabled and not always_deny) on the session's "
            "`agent_toolset`"
        )
