"""The MCP servers of an agent, and that they and the toolsets name each other (contract, agents).

Knows nothing of reaching a server; which hosts may be reached is decided where a session starts and where a call is made.
"""

from collections.abc import Sequence
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from rota.base.errors import InvalidRequest
from rota.base.wire import Wire
from rota.resources.agents.tools import McpServerName, McpToolset, Tool


class McpServerIn(Wire, tag="url", tag_field="type"):
    """An MCP server, as sent."""

    name: McpServerName
    url: Annotated[str, Meta(min_length=1, max_length=2048)]


McpServersIn: TypeAlias = Annotated[list[McpServerIn], Meta(max_length=20)]


class McpServer(Struct, tag="url", tag_field="type", frozen=True):
    """An MCP server."""

    name: str
    url: str


def resolve_mcp_servers(given: Sequence[McpServerIn] | None, at: str = "") -> list[McpServer]:
    """The servers; null is none. InvalidRequest, its path starting with ``at``, for a name twice or a URL of another kind."""
    names: set[str] = set()
    resolved: list[McpServer] = []
    for index, server in enumerate(given or ()):
        where = f"{at}mcp_servers.{index}"
        if server.name in names:
            raise InvalidRequest(f'{where}.name: duplicate MCP server name "{server.name}"')
        if not _is_url(server.url):
            raise InvalidRequest(f"{where}.url: must be an http or https URL")
        names.add(server.name)
        resolved.append(McpServer(server.name, server.url))
    return resolved


def _is_url(url: str) -> bool:
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bad port or a bad IPv6 address
        return False


def check_servers(tools: Sequence[Tool], servers: Sequence[McpServer], at: str = "", *, unused: bool) -> None:
    """Every ``mcp_toolset`` names a server; every server is named by one, unless ``unused`` ones may be.

    A session may have servers left over from its agent when it replaces the tools (contract: only agents refuse them).
    """
    declared = {server.name for server in servers}
    named: set[str] = set()
    for index, tool in enumerate(tools):
        if isinstance(tool, McpToolset):
            name = tool.mcp_server_name
            named.add(name)
            if name not in declared:
                raise InvalidRequest(
                    f'{at}tools.{index}.mcp_toolset.mcp_server_name: no MCP server named "{name}" in mcp_servers'
                )
    for index, server in enumerate(servers):
        if server.name not in named and not unused:
            raise InvalidRequest(
                f'{at}mcp_servers.{index}.name: MCP server "{server.name}" is not referenced by any mcp_toolset in tools'
            )
