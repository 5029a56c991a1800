"""The tools and MCP servers of an agent: what is accepted, what it resolves to, and how refusals read (contract, tools)."""

import json
from typing import Any

import pytest

from rota.base.errors import InvalidRequest
from rota.base.wire import decode, encode
from rota.resources.agents.servers import check_servers, resolve_mcp_servers
from rota.resources.agents.tools import has_usable_read_tool, resolve_tools
from rota.resources.agents.wire import CreateAgent

ALLOW, ASK, AUTO = ({"type": kind} for kind in ("always_allow", "always_ask", "auto"))
SCHEMA = {"type": "object"}
BUILT_IN = "agent_toolset_20260401"
AT = f"tools.0.{BUILT_IN}.configs.0"


def request(**fields: Any) -> CreateAgent:
    return decode(json.dumps({"name": "Clerk", "model": "m", **fields}).encode(), CreateAgent, "proto")


def resolve(*tools: dict[str, Any]) -> Any:
    return json.loads(encode(resolve_tools(request(tools=tools).tools)))


def refusal(*tools: dict[str, Any]) -> str:
    with pytest.raises(InvalidRequest) as caught:
        resolve(*tools)
    return caught.value.message


def toolset(*configs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": BUILT_IN, "configs": list(configs), **fields}


def custom(name: str = "ask", **fields: Any) -> dict[str, Any]:
    return {"type": "custom", "name": name, "description": "Asks.", "input_schema": SCHEMA, **fields}


def mcp(name: str = "tracker", *configs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "mcp_toolset", "mcp_server_name": name, "configs": list(configs), **fields}


# Built-in tools


@pytest.mark.parametrize(
    "default", [{}, {"default_config": None}, {"default_config": {}}, {"default_config": {"enabled": None}}]
)
def test_a_bare_toolset_allows_everything(default: dict[str, Any]) -> None:
    expected = {"type": BUILT_IN, "default_config": {"enabled": True, "permission_policy": ALLOW}, "configs": []}
    assert resolve({"type": BUILT_IN, **default}) == [expected]
    assert resolve({"type": BUILT_IN, "configs": None, **default}) == [expected]


def test_an_entry_takes_from_the_default_what_it_does_not_say() -> None:
    [shown] = resolve(
        toolset(
            {"name": "bash"},
            {"name": "edit", "enabled": True},
            {"name": "glob", "permission_policy": AUTO},
            {"name": "read", "type": "read", "enabled": None, "permission_policy": None},
            default_config={"enabled": False, "permission_policy": ASK},
        )
    )
    assert shown["default_config"] == {"enabled": False, "permission_policy": ASK}
    assert shown["configs"] == [
        {"name": "bash", "type": "bash", "enabled": False, "permission_policy": ASK},
        {"name": "edit", "type": "edit", "enabled": True, "permission_policy": ASK},
        {"name": "glob", "type": "glob", "enabled": False, "permission_policy": AUTO},
        {"name": "read", "type": "read", "enabled": False, "permission_policy": ASK},
    ]


@pytest.mark.parametrize("name", ["bash", "edit", "glob", "grep", "read", "web_fetch", "web_search", "write"])
def test_each_built_in_tool_can_be_configured(name: str) -> None:
    [config] = resolve(toolset({"name": name}))[0]["configs"]
    assert (config["name"], config["type"], config["enabled"]) == (name, name, True)


def test_web_tools_show_their_own_members_also_when_not_set() -> None:
    search, fetch = resolve(toolset({"name": "web_search"}, {"name": "web_fetch"}))[0]["configs"]
    base = {"enabled": True, "permission_policy": ALLOW, "allowed_domains": None, "blocked_domains": None}
    assert search == {"name": "web_search", "type": "web_search", "user_location": None, **base}
    assert fetch == {"name": "web_fetch", "type": "web_fetch", "max_content_tokens": None, "url_sources": None, **base}


def test_web_tools_show_what_was_set() -> None:
    place = {"type": "approximate", "city": "Bern", "region": None, "country": "CH", "timezone": "Europe/Zurich"}
    search, fetch = resolve(
        toolset(
            {"name": "web_search", "blocked_domains": ["ads.example.com/path?x=1"], "user_location": place},
            {"name": "web_fetch", "allowed_domains": ["Docs.Example.com"], "max_content_tokens": 5000},
        )
    )[0]["configs"]
    assert search["user_location"] == place
    assert search["blocked_domains"] == ["ads.example.com/path?x=1"]
    assert fetch["allowed_domains"] == ["Docs.Example.com"]
    assert fetch["max_content_tokens"] == 5000


def test_url_sources_are_shown_in_the_object_form() -> None:
    only = {"type": "only", "tools": [{"type": "tool_reference", "name": "ask"}]}
    excepted = {"type": "except", "tools": [{"type": "tool_reference", "name": "web_search"}]}
    for given, expected in (
        ({}, {"user_input": None, "client_tool_results": None, "server_tool_results": None}),
        (
            {"user_input": "none", "client_tool_results": only, "server_tool_results": excepted},
            {"user_input": {"type": "none"}, "client_tool_results": only, "server_tool_results": excepted},
        ),
        (
            {"user_input": {"type": "all"}, "client_tool_results": "none", "server_tool_results": "all"},
            {
                "user_input": {"type": "all"},
                "client_tool_results": {"type": "none"},
                "server_tool_results": {"type": "all"},
            },
        ),
    ):
        shown, _ = resolve(toolset({"name": "web_fetch", "url_sources": given}), custom("ask"))
        assert shown["configs"][0]["url_sources"] == expected


def test_what_goes_out_comes_back_in_the_same() -> None:
    tools = resolve(
        toolset(
            *({"name": name} for name in ("bash", "read")), {"name": "web_fetch", "url_sources": {"user_input": "none"}}
        ),
        mcp("tracker", {"name": "find"}),
        custom(),
    )
    assert resolve(*tools) == tools


def reference(*names: str, kind: str = "only") -> dict[str, Any]:
    return {"type": kind, "tools": [{"type": "tool_reference", "name": name} for name in names]}


def fetch(**sources: Any) -> dict[str, Any]:
    return toolset({"name": "web_fetch", "url_sources": sources})


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (toolset({"name": "Bash"}), 'Failed to parse request: tools[0].configs[0].name: "Bash" is not a valid value; expected one of bash, edit, glob, grep, read, web_fetch, web_search, write'),
        (toolset({"enabled": True}), "tools.0.configs.0.name: Field required"),
        (toolset({"name": "bash", "timeout": 1}), 'Failed to parse request body: unknown field "timeout"'),
        (toolset({"name": "bash", "type": "read"}), f'{AT}.type: must be the tool\'s name, "bash"'),
        (toolset({"name": "bash"}, {"name": "bash"}), f'tools.0.{BUILT_IN}.configs.1.name: duplicate tool name "bash"'),
        (toolset({"name": "bash", "permission_policy": {"type": "always_deny"}}), 'Failed to parse request: tools[0].configs[0].permission_policy.type: "always_deny" is not a valid value; expected one of always_allow, always_ask, auto'),
        (toolset({"name": "bash", "permission_policy": {**ASK, "when": 1}}), 'Failed to parse request body: unknown field "when"'),
        (toolset(default_config={"name": "bash"}), 'Failed to parse request body: unknown field "name"'),
        (toolset(name="mine"), 'Failed to parse request body: unknown field "name"'),
        ({"type": "agent_toolset_20990101"}, 'Failed to parse request: tools[0].type: "agent_toolset_20990101" is not a valid value'),
        ({"name": "bash"}, "tools.0.type: Field required"),
        (toolset({"name": "bash", "allowed_domains": None}), 'Failed to parse request body: unknown field "allowed_domains"'),
        (toolset({"name": "web_search", "max_content_tokens": 5}), 'Failed to parse request body: unknown field "max_content_tokens"'),
        (toolset({"name": "web_fetch", "user_location": {"type": "approximate"}}), 'Failed to parse request body: unknown field "user_location"'),
        (toolset({"name": "web_fetch", "max_content_tokens": 0}), "tools[0].configs[0].max_content_tokens: must be greater than or equal to 1"),
        (toolset({"name": "web_search", "user_location": {"type": "exact"}}), 'Failed to parse request: tools[0].configs[0].user_location.type: "exact" is not a valid value'),
        (toolset({"name": "web_search", "user_location": {"type": "approximate", "country": "ch"}}), "tools[0].configs[0].user_location.country: must match the pattern ^[A-Z]{2}$"),
        (toolset({"name": "web_search", "user_location": {"type": "approximate", "country": "CH\n"}}), "tools[0].configs[0].user_location.country: maximum string length is 2"),
        (toolset({"name": "web_search", "allowed_domains": []}), "tools[0].configs[0].allowed_domains: value must contain at least 1 item"),
        (toolset({"name": "web_search", "blocked_domains": ["a.com"] * 65}), "tools[0].configs[0].blocked_domains: value must contain no more than 64 item(s)"),
        (toolset({"name": "web_fetch", "allowed_domains": ["a.com"], "blocked_domains": ["b.com"]}), f"{AT}: allowed_domains and blocked_domains cannot be combined"),
        (fetch(user_input="only"), 'Failed to parse request: tools[0].configs[0].url_sources.user_input: "only" is not a valid value; expected one of all, none'),
        (fetch(user_input="none", client_tool_results={"type": "none"}, server_tool_results="none"), f"{AT}.url_sources: at least one source must not be none"),
        (fetch(client_tool_results=reference("ask")), f'{AT}.url_sources.client_tool_results.tools.0.name: "ask" is not a custom tool in tools'),
        (fetch(server_tool_results=reference("web_search", "bash")), f'{AT}.url_sources.server_tool_results.tools.1.name: "bash" is not web_search or web_fetch'),
        (fetch(server_tool_results=reference("web_fetch", "web_fetch", kind="except")), f'{AT}.url_sources.server_tool_results.tools.1.name: "web_fetch" is named twice'),
        (fetch(server_tool_results=reference()), "tools[0].configs[0].url_sources.server_tool_results.tools: value must contain at least 1 item"),
    ],
)  # fmt: skip
def test_a_built_in_toolset_is_refused(tool: dict[str, Any], message: str) -> None:
    assert refusal(tool) == message


def test_a_second_toolset_is_refused() -> None:
    assert refusal(toolset(), toolset()) == f"tools.1.{BUILT_IN}: only one {BUILT_IN} is allowed"


@pytest.mark.parametrize(
    "domain", ["example.com", "docs.example.co.uk", "xn--mnchen-3ya.de", "a-b.c1.io", f"{'a' * 63}.com"]
)
def test_a_plain_hostname_is_a_domain(domain: str) -> None:
    for name in ("web_search", "web_fetch"):
        assert resolve(toolset({"name": name, "blocked_domains": ["a.com", domain] * 32}))


@pytest.mark.parametrize(
    "domain",
    [
        "", "com", "localhost", "app.localhost", "localhost.localdomain", "127.0.0.1", "10.1", "0x7f.0x1", "[::1]", "::1",
        "https://example.com", "example.com:443", "user@example.com", "*.example.com", ".example.com", "example.com.",
        "exa mple.com", "münchen.de", "-a.com", "a-.com", "a..com", f"{'a' * 64}.com", f"{'a.' * 127}com", "a_b.com", "a.com\n",
    ],
)  # fmt: skip
def test_anything_else_is_not_a_domain(domain: str) -> None:
    for name, without in (("web_search", "scheme or port"), ("web_fetch", "scheme, port or path")):
        assert refusal(toolset({"name": name, "allowed_domains": ["a.com", domain]})) == (
            f"{AT}.allowed_domains.1: must be a plain public hostname such as docs.example.com, without {without}"
        )


@pytest.mark.parametrize(("path", "fits"), [("/", True), ("/a/b", True), ("/a b", False), ("/ü", False), ("?a", False), (f"/{'a' * 2048}", False)])  # fmt: skip
def test_only_a_search_takes_a_path(path: str, fits: bool) -> None:
    if fits:
        assert resolve(toolset({"name": "web_search", "allowed_domains": [f"a.com{path}"]}))
    else:
        refusal(toolset({"name": "web_search", "allowed_domains": [f"a.com{path}"]}))
    refusal(toolset({"name": "web_fetch", "allowed_domains": [f"a.com{path}"]}))


@pytest.mark.parametrize(
    ("tools", "usable"),
    [
        ([], False),
        ([toolset()], True),
        ([toolset(default_config={"enabled": False})], False),
        ([toolset({"name": "read"}, default_config={"enabled": False})], False),
        ([toolset({"name": "read", "enabled": True}, default_config={"enabled": False})], True),
        ([toolset({"name": "read", "enabled": False})], False),
        ([custom("reader"), toolset({"name": "read", "permission_policy": ASK})], True),
    ],
)
def test_the_read_tool_is_usable_when_it_is_enabled(tools: list[dict[str, Any]], usable: bool) -> None:
    assert has_usable_read_tool(resolve_tools(request(tools=tools).tools)) is usable


# Custom tools


def test_a_custom_tool_is_shown_as_it_was_sent() -> None:
    schema = {
        "type": "object",
        "properties": {"$ref": {"type": "string"}, "where": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "required": ["where"],
        "additionalProperties": False,
        "x-order": 1.5,
    }
    tool = custom("Ask-me_2", input_schema=schema)
    assert resolve(tool) == [tool]
    assert resolve(custom(input_schema={"type": "object", "properties": None, "required": None}))


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (custom("mcp__tracker__find"), 'tools.0.custom.name: custom tool name "mcp__tracker__find" uses reserved MCP tool prefix'),
        (custom("web_fetch"), 'tools.0.custom.name: custom tool name "web_fetch" is the name of a built-in tool'),
        (custom(""), "tools[0].name: minimum string length is 1"),
        (custom("a" * 129), "tools[0].name: maximum string length is 128"),
        (custom("a b"), "tools.0.custom.name: must be letters, digits, underscores and hyphens"),
        (custom("ask\n"), "tools.0.custom.name: must be letters, digits, underscores and hyphens"),
        (custom(description=""), "tools[0].description: minimum string length is 1"),
        (custom(description="d" * 1025), "tools[0].description: maximum string length is 1024"),
        (custom(permission_policy=ASK), 'Failed to parse request body: unknown field "permission_policy"'),
        (custom(input_schema=None), "tools[0].input_schema: expected object, got null"),
        (custom(input_schema={}), "tools.0.custom.input_schema.type: Field required"),
        (custom(input_schema={"type": "array"}), 'tools.0.custom.input_schema.type: must be "object"'),
        (custom(input_schema={**SCHEMA, "properties": []}), "tools.0.custom.input_schema.properties: must be an object"),
        (custom(input_schema={**SCHEMA, "required": [1]}), "tools.0.custom.input_schema.required: must be a list of strings"),
        (custom(input_schema={**SCHEMA, "oneOf": []}), "tools.0.custom.input_schema.oneOf: not allowed at the top level of an input schema"),
        (custom(input_schema={**SCHEMA, "anyOf": []}), "tools.0.custom.input_schema.anyOf: not allowed at the top level of an input schema"),
        (custom(input_schema={**SCHEMA, "allOf": []}), "tools.0.custom.input_schema.allOf: not allowed at the top level of an input schema"),
        (custom(input_schema={**SCHEMA, "properties": {"a": {"items": [{"$ref": "#/$defs/a"}]}}}), "tools.0.custom.input_schema: $ref is not allowed in an input schema"),
    ],
)  # fmt: skip
def test_a_custom_tool_is_refused(tool: dict[str, Any], message: str) -> None:
    assert refusal(tool) == message


def test_the_reported_path_counts_the_tools() -> None:
    said = refusal(toolset(), custom("mcp__x"))
    assert said == 'tools.1.custom.name: custom tool name "mcp__x" uses reserved MCP tool prefix'


def test_custom_tools_have_names_of_their_own() -> None:
    assert refusal(custom(), custom("b"), custom()) == 'tools.2.custom.name: duplicate custom tool name "ask"'


def test_256_tools_are_the_most() -> None:
    tools = [custom(f"tool_{number}") for number in range(257)]
    assert len(resolve(*tools[:256])) == 256
    assert refusal(*tools) == "tools: value must contain no more than 256 item(s)"


# MCP


def test_the_tools_of_an_mcp_server_ask_by_default() -> None:
    [shown] = resolve(mcp("tracker", {"name": "find"}, {"name": "drop", "enabled": False, "permission_policy": ALLOW}))
    assert shown == {
        "type": "mcp_toolset",
        "mcp_server_name": "tracker",
        "default_config": {"enabled": True, "permission_policy": ASK},
        "configs": [
            {"name": "find", "enabled": True, "permission_policy": ASK},
            {"name": "drop", "enabled": False, "permission_policy": ALLOW},
        ],
    }


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (mcp(""), "tools[0].mcp_server_name: minimum string length is 1"),
        (mcp("tracker", {"name": "find", "type": "find"}), 'Failed to parse request body: unknown field "type"'),
        (mcp("tracker", {"name": ""}), "tools[0].configs[0].name: minimum string length is 1"),
        (mcp("tracker", {"name": "n" * 129}), "tools[0].configs[0].name: maximum string length is 128"),
        (
            mcp("tracker", {"name": "find"}, {"name": "find"}),
            'tools.0.mcp_toolset.configs.1.name: duplicate tool name "find"',
        ),
    ],
)
def test_an_mcp_toolset_is_refused(tool: dict[str, Any], message: str) -> None:
    assert refusal(tool) == message


def test_a_server_has_one_toolset() -> None:
    said = refusal(mcp(), mcp())
    assert said == 'tools.1.mcp_toolset.mcp_server_name: MCP server "tracker" already has an mcp_toolset'


def server(name: str = "tracker", url: str = "https://tracker.example.com/mcp", **fields: Any) -> dict[str, Any]:
    return {"type": "url", "name": name, "url": url, **fields}


def servers_refusal(*servers: dict[str, Any], tools: tuple[dict[str, Any], ...] = (), unused: bool = False) -> str:
    def check() -> None:
        body = request(mcp_servers=servers, tools=tools)
        check_servers(resolve_tools(body.tools), resolve_mcp_servers(body.mcp_servers), unused=unused)

    with pytest.raises(InvalidRequest) as caught:
        check()
    return caught.value.message


@pytest.mark.parametrize("url", ["http://localhost:8000", "https://mcp.example.com/sse?team=1", "https://[2001:db8::1]:8443/", "HTTPS://EXAMPLE.COM"])  # fmt: skip
def test_an_mcp_server_is_an_http_url(url: str) -> None:
    [shown] = resolve_mcp_servers(request(mcp_servers=[server(url=url)]).mcp_servers)
    assert shown.url == url


@pytest.mark.parametrize("url", ["example.com", "ftp://example.com", "file:///etc/passwd", "https://", "https://[::1", "https://a:99999/", "https://a b/", "https://a/\n", "//example.com"])  # fmt: skip
def test_anything_else_is_not_an_mcp_server(url: str) -> None:
    assert servers_refusal(server(url=url)) == "mcp_servers.0.url: must be an http or https URL"


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ([server(), server()], 'mcp_servers.1.name: duplicate MCP server name "tracker"'),
        ([server(name="")], "mcp_servers[0].name: minimum string length is 1"),
        ([server(name="n" * 256)], "mcp_servers[0].name: maximum string length is 255"),
        ([server(url="https://example.com/" + "u" * 2048)], "mcp_servers[0].url: maximum string length is 2048"),
        ([server(type="stdio")], 'Failed to parse request: mcp_servers[0].type: "stdio" is not a valid value'),
        ([server(authorization_token="t")], 'Failed to parse request body: unknown field "authorization_token"'),
        ([server(name=str(number)) for number in range(21)], "mcp_servers: value must contain no more than 20 item(s)"),
        ([server()], 'mcp_servers.0.name: MCP server "tracker" is not referenced by any mcp_toolset in tools'),
    ],
)
def test_mcp_servers_are_refused(servers: list[dict[str, Any]], message: str) -> None:
    assert servers_refusal(*servers) == message


def test_a_toolset_names_a_server_that_is_there() -> None:
    said = servers_refusal(server("other"), tools=(custom(), mcp()), unused=True)
    assert said == 'tools.1.mcp_toolset.mcp_server_name: no MCP server named "tracker" in mcp_servers'
