"""The tools of an agent: as they are sent, and resolved with every default filled in (contract, tools).

What goes out can be sent back in: a client that reads an agent, changes one tool and writes the list has changed one tool.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeAlias, cast

from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base.errors import InvalidRequest
from rota.base.wire import Echo, Wire
from rota.resources.agents.web import Domains, UrlSources, UrlSourcesIn, UserLocation, check_domains, resolve_sources

MAX_TOOLS = 256
BUILT_IN = ("bash", "edit", "glob", "grep", "read", "web_fetch", "web_search", "write")
MCP_PREFIX = "mcp__"
_TOOLSET = "agent_toolset_20260401"
_NAME = re.compile("[A-Za-z0-9_-]+")  # matched whole; as a constraint on the field it would let a last line break pass
_COMBINATORS = ("oneOf", "anyOf", "allOf")
_EXTRAS = {
    "web_search": ("allowed_domains", "blocked_domains", "user_location"),
    "web_fetch": ("allowed_domains", "blocked_domains", "max_content_tokens", "url_sources"),
}
_ALL_EXTRAS = sorted({name for names in _EXTRAS.values() for name in names})

ToolName: TypeAlias = Literal["bash", "edit", "glob", "grep", "read", "web_fetch", "web_search", "write"]
McpServerName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]


class Policy(Echo, frozen=True):
    """Whether a call runs at once, waits for the user, or is judged."""

    type: Literal["always_allow", "always_ask", "auto"]


ALLOW = Policy(type="always_allow")
ASK = Policy(type="always_ask")


class DefaultConfigIn(Wire):
    """What holds for all tools of a set, as sent."""

    enabled: bool | None = None
    permission_policy: Policy | None = None


class ToolConfigIn(Wire):
    """One built-in tool's differences from its set's default, as sent. ``type``, if there, repeats the name.

    ``web_search`` also takes the domain lists (one of them) and ``user_location``; ``web_fetch`` the domain lists,
    ``max_content_tokens`` and ``url_sources``.
    """

    name: ToolName
    type: ToolName | None = None
    enabled: bool | None = None
    permission_policy: Policy | None = None
    allowed_domains: Domains | None | UnsetType = UNSET
    blocked_domains: Domains | None | UnsetType = UNSET
    user_location: UserLocation | None | UnsetType = UNSET
    max_content_tokens: Annotated[int, Meta(ge=1)] | None | UnsetType = UNSET
    url_sources: UrlSourcesIn | None | UnsetType = UNSET


class AgentToolsetIn(Wire, tag=_TOOLSET, tag_field="type"):
    """The built-in tools, as sent."""

    default_config: DefaultConfigIn | None = None
    configs: list[ToolConfigIn] | None = None


class McpToolConfigIn(Wire):
    """One MCP tool's differences from its set's default, as sent. The name is the bare one that the server reports."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    enabled: bool | None = None
    permission_policy: Policy | None = None


class McpToolsetIn(Wire, tag="mcp_toolset", tag_field="type"):
    """The tools of an MCP server, as sent."""

    mcp_server_name: McpServerName
    default_config: DefaultConfigIn | None = None
    configs: Annotated[list[McpToolConfigIn], Meta(max_length=MAX_TOOLS)] | None = None


class CustomToolIn(Wire, tag="custom", tag_field="type"):
    """A tool that the client runs, as sent. ``input_schema`` is a JSON Schema of an object, without ``$ref``."""

    name: Annotated[str, Meta(min_length=1, max_length=128, extra_json_schema={"pattern": f"^{_NAME.pattern}$"})]
    description: Annotated[str, Meta(min_length=1, max_length=1024)]
    input_schema: dict[str, Any]


ToolIn: TypeAlias = AgentToolsetIn | McpToolsetIn | CustomToolIn
ToolsIn: TypeAlias = Annotated[list[ToolIn], Meta(max_length=MAX_TOOLS)]
"""At most 256 entries: our reading of "256 tools across all toolsets", since what an MCP server offers is not known here."""


class DefaultConfig(Struct, frozen=True):
    """What holds for all tools of a set."""

    enabled: bool
    permission_policy: Policy


class ToolConfig(Struct, frozen=True, kw_only=True):
    """One built-in tool. The members that only web tools have are absent from the others, and null when not set."""

    name: ToolName
    type: ToolName
    enabled: bool
    permission_policy: Policy
    allowed_domains: list[str] | None | UnsetType = UNSET
    blocked_domains: list[str] | None | UnsetType = UNSET
    user_location: UserLocation | None | UnsetType = UNSET
    max_content_tokens: int | None | UnsetType = UNSET
    url_sources: UrlSources | None | UnsetType = UNSET


class AgentToolset(Struct, tag=_TOOLSET, tag_field="type", frozen=True):
    """The built-in tools; those that ``configs`` does not name follow the default."""

    default_config: DefaultConfig
    configs: list[ToolConfig]


class McpToolConfig(Struct, frozen=True):
    """One MCP tool."""

    name: str
    enabled: bool
    permission_policy: Policy


class McpToolset(Struct, tag="mcp_toolset", tag_field="type", frozen=True):
    """The tools of an MCP server; those that ``configs`` does not name follow the default."""

    mcp_server_name: str
    default_config: DefaultConfig
    configs: list[McpToolConfig]


class CustomTool(Struct, tag="custom", tag_field="type", frozen=True):
    """A tool that the client runs."""

    name: str
    description: str
    input_schema: dict[str, Any]


Tool: TypeAlias = AgentToolset | McpToolset | CustomTool


def resolve_tools(given: Sequence[ToolIn] | None, at: str = "") -> list[Tool]:
    """The tools with every default filled in; null is none. InvalidRequest, its path starting with ``at``.

    Whether an MCP toolset's server exists is for ``servers.check_servers`` to say.
    """
    given = given or ()
    custom_names = [tool.name for tool in given if isinstance(tool, CustomToolIn)]
    seen: set[str] = set()
    resolved: list[Tool] = []
    for index, tool in enumerate(given):
        where = f"{at}tools.{index}.{tool.__struct_config__.tag}"
        if isinstance(tool, CustomToolIn):
            _claim(seen, f"custom {tool.name}", f'{where}.name: duplicate custom tool name "{tool.name}"')
            resolved.append(_resolve_custom(tool, where))
        elif isinstance(tool, McpToolsetIn):
            name = tool.mcp_server_name
            _claim(seen, f"mcp {name}", f'{where}.mcp_server_name: MCP server "{name}" already has an mcp_toolset')
            resolved.append(_resolve_mcp(tool, where))
        else:
            _claim(seen, _TOOLSET, f"{where}: only one {_TOOLSET} is allowed")
            resolved.append(_resolve_built_in(tool, where, custom_names))
    return resolved


def has_usable_read_tool(tools: Sequence[object]) -> bool:
    """Whether the built-in ``read`` is there and enabled, as skills and files need (contract, sessions)."""
    for tool in tools:
        if isinstance(tool, AgentToolset):
            return next(
                (config.enabled for config in tool.configs if config.name == "read"), tool.default_config.enabled
            )
    return False


def _claim(seen: set[str], name: str, refusal: str) -> None:
    if name in seen:
        raise InvalidRequest(refusal)
    seen.add(name)


def _resolve_default(given: DefaultConfigIn | None, policy: Policy) -> DefaultConfig:
    if given is None:
        return DefaultConfig(True, policy)
    return DefaultConfig(given.enabled is not False, given.permission_policy or policy)


def _resolve_built_in(given: AgentToolsetIn, where: str, custom_names: Sequence[str]) -> AgentToolset:
    default = _resolve_default(given.default_config, ALLOW)
    seen: set[str] = set()
    configs: list[ToolConfig] = []
    for index, config in enumerate(given.configs or ()):
        here = f"{where}.configs.{index}"
        _claim(seen, config.name, f'{here}.name: duplicate tool name "{config.name}"')
        if config.type not in (None, config.name):
            raise InvalidRequest(f'{here}.type: must be the tool\'s name, "{config.name}"')
        configs.append(
            ToolConfig(
                name=config.name,
                type=config.name,
                enabled=default.enabled if config.enabled is None else config.enabled,
                permission_policy=config.permission_policy or default.permission_policy,
                **_resolve_extras(config, here, custom_names),
            )
        )
    return AgentToolset(default, configs)


def _resolve_extras(config: ToolConfigIn, where: str, custom_names: Sequence[str]) -> dict[str, Any]:
    """The members that only web tools have; on another tool they are unknown fields."""
    names = _EXTRAS.get(config.name, ())
    for name in _ALL_EXTRAS:
        if name not in names and getattr(config, name) is not UNSET:
            raise InvalidRequest(f'Failed to parse request body: unknown field "{name}"')
    extras: dict[str, Any] = {name: None if getattr(config, name) is UNSET else getattr(config, name) for name in names}
    if names:
        check_domains(where, extras["allowed_domains"], extras["blocked_domains"], paths=config.name == "web_search")
    if "url_sources" in extras:
        extras["url_sources"] = resolve_sources(f"{where}.url_sources", extras["url_sources"], custom_names)
    return extras


def _resolve_mcp(given: McpToolsetIn, where: str) -> McpToolset:
    default = _resolve_default(given.default_config, ASK)
    seen: set[str] = set()
    configs: list[McpToolConfig] = []
    for index, config in enumerate(given.configs or ()):
        _claim(seen, config.name, f'{where}.configs.{index}.name: duplicate tool name "{config.name}"')
        enabled = default.enabled if config.enabled is None else config.enabled
        configs.append(McpToolConfig(config.name, enabled, config.permission_policy or default.permission_policy))
    return McpToolset(given.mcp_server_name, default, configs)


def _resolve_custom(given: CustomToolIn, where: str) -> CustomTool:
    if not _NAME.fullmatch(given.name):
        raise InvalidRequest(f"{where}.name: must be letters, digits, underscores and hyphens")
    if given.name.startswith(MCP_PREFIX):
        raise InvalidRequest(f'{where}.name: custom tool name "{given.name}" uses reserved MCP tool prefix')
    if given.name in BUILT_IN:
        raise InvalidRequest(f'{where}.name: custom tool name "{given.name}" is the name of a built-in tool')
    _check_schema(given.input_schema, f"{where}.input_schema")
    return CustomTool(given.name, given.description, given.input_schema)


def _check_schema(schema: dict[str, Any], where: str) -> None:
    """The rules for a custom tool's schema (contract, custom tools); whether it is good JSON Schema is not asked."""
    if "type" not in schema:
        raise InvalidRequest(f"{where}.type: Field required")
    if schema["type"] != "object":
        raise InvalidRequest(f'{where}.type: must be "object"')
    for name in _COMBINATORS:
        if name in schema:
            raise InvalidRequest(f"{where}.{name}: not allowed at the top level of an input schema")
    if not isinstance(schema.get("properties", {}), dict | None):
        raise InvalidRequest(f"{where}.properties: must be an object")
    required = schema.get("required")
    if required is not None and not _is_list_of(required, lambda name: isinstance(name, str)):
        raise InvalidRequest(f"{where}.required: must be a list of strings")
    if _has_reference(schema):
        raise InvalidRequest(f"{where}: $ref is not allowed in an input schema")


def _is_list_of(value: Any, accepts: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(accepts, cast("list[Any]", value)))


def _has_reference(value: Any) -> bool:
    """Whether a ``$ref`` is anywhere. A property of that name is none: its value is a schema, not a text."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return isinstance(items.get("$ref"), str) or any(map(_has_reference, items.values()))
    return isinstance(value, list) and any(map(_has_reference, cast("list[Any]", value)))
