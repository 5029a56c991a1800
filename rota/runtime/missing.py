"""What a session may name and this version of the server cannot do yet: it is told, and never silently left out.

Each is a ``session.error`` that a session sees when it begins to run (contract, sessions §4.6, §6.0): the session goes on
without. Whoever builds one of these takes its lines away here.
"""

from typing import Any

from rota.resources.agents.tools import AgentToolset, McpToolset
from rota.resources.sessions.mounts import MemoryStoreResource, RepositoryResource
from rota.resources.sessions.turns import TurnSession
from rota.runtime import events


def unreachable(session: TurnSession) -> list[dict[str, Any]]:
    """The errors about MCP servers, told each time that an idle session runs."""
    said = "This version of the server does not connect to MCP servers; the session goes on without its tools."
    return [
        events.error("mcp_connection_failed_error", said, "retrying", mcp_server_name=tool.mcp_server_name)
        for tool in session.agent.tools
        if isinstance(tool, McpToolset)
    ]


def missing(session: TurnSession) -> list[dict[str, Any]]:
    """The errors that are told once, when the session first runs; in this order."""
    told: list[dict[str, Any]] = []
    for tool in session.agent.tools:
        if isinstance(tool, AgentToolset):
            for config in tool.configs:
                if config.enabled and config.name in events.WEB_TOOLS:
                    said = f"This version of the server does not run {config.name}; the session goes on without it."
                    told.append(events.error("unknown_error", said, "retrying"))
    for resource in session.body.resources:
        if isinstance(resource, RepositoryResource):
            said = "This version of the server does not clone repositories; the session goes on without this one."
            told.append(events.error("repository_clone_error", said, "retrying", repository_url=resource.url))
        elif isinstance(resource, MemoryStoreResource) and not session.self_hosted:
            said = (
                f"This version of the server does not mount memory stores in cloud environments; "
                f"the session goes on without {resource.mount_path}."
            )
            told.append(events.error("unknown_error", said, "retrying"))
    if session.multiagent:
        said = "This version of the server does not run other agents in a session; the agent works alone."
        told.append(events.error("unknown_error", said, "retrying"))
    return told
