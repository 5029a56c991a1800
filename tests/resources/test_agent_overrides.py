"""An agent as one session wants it, and as a session shows it (contract, overrides)."""

import json
from typing import Any

import pytest
from anthropic.types.beta import BetaManagedAgentsSessionAgent, BetaManagedAgentsSessionThreadAgent

from rota.base.errors import InvalidRequest
from rota.base.wire import UNSET, decode, encode
from rota.resources.agents import actions
from rota.resources.agents.servers import McpServerIn
from rota.resources.agents.tools import CustomToolIn
from rota.resources.agents.wire import AgentWithOverrides
from rota.store.tx import Tx
from tests.api import Api
from tests.resources.test_agents import FULL

AT = "agent.agent_with_overrides.config."
READ_TOOL = "Missing required tool: skills require the read tool to be usable (enabled and not always_deny) on the session's `agent_toolset`"
CUSTOM = {"type": "custom", "name": "answer", "description": "Answers.", "input_schema": {"type": "object"}}
SERVER = {"type": "url", "name": "other", "url": "https://other.example.com"}


def version_of(api: Api, agent: dict[str, Any]) -> actions.AgentVersion:
    ref = agent["id"], agent["version"]
    return api.read(actions.versions_many, [ref])[ref]


def asked(agent: dict[str, Any], fields: dict[str, Any]) -> AgentWithOverrides:
    body = {"type": "agent_with_overrides", "id": agent["id"], **fields}
    return decode(json.dumps(body).encode(), AgentWithOverrides, "proto")


def overridden(api: Api, agent: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The effective definition as a session shows it."""

    def work(tx: Tx) -> Any:
        [version] = actions.versions_many(tx, [(agent["id"], agent["version"])]).values()
        effective = actions.apply_overrides(tx, api.who, version, asked(agent, fields))
        roster = actions.versions_many(tx, actions.members(effective))
        return actions.session_agent(effective, roster)

    shown = encode(api.read(work))
    BetaManagedAgentsSessionAgent.model_validate_json(shown, strict=True)
    return json.loads(shown)


def session_form(agent: dict[str, Any]) -> dict[str, Any]:
    hidden = ("metadata", "created_at", "updated_at", "archived_at")
    return {name: value for name, value in agent.items() if name not in hidden}


def test_without_overrides_a_session_shows_the_agents_version(sqlite_api: Api) -> None:
    agent = sqlite_api.post("/v1/agents", FULL).ok()
    assert overridden(sqlite_api, agent) == session_form(agent)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"system": None}, {"system": None}),
        ({"system": "Now."}, {"system": "Now."}),
        ({"skills": None}, {"skills": []}),
        ({"skills": []}, {"skills": []}),
        ({"tools": None, "skills": None, "mcp_servers": None}, {"tools": [], "skills": [], "mcp_servers": []}),
        ({"tools": [CUSTOM], "skills": []}, {"tools": [CUSTOM], "skills": []}),
        ({"model": "claude-opus-5-5"}, {"model": {"id": "claude-opus-5-5", "speed": "standard", "effort": {"type": "high"}, "inference_geo": None}}),
        ({"model": {"id": "other", "effort": "low", "speed": "fast", "inference_geo": "global"}}, {"model": {"id": "other", "speed": "fast", "effort": {"type": "high"}, "inference_geo": "global"}}),
    ],
)  # fmt: skip
def test_an_override_replaces_the_whole_field(sqlite_api: Api, given: dict[str, Any], expected: dict[str, Any]) -> None:
    agent = sqlite_api.post("/v1/agents", FULL).ok()
    assert overridden(sqlite_api, agent, **given) == {**session_form(agent), **expected}
    assert sqlite_api.get(f"/v1/agents/{agent['id']}").ok() == agent


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"system": "s" * 100_001}, f"{AT}system: must be at most 100000 characters"),
        ({"tools": []}, READ_TOOL),
        ({"tools": None}, READ_TOOL),
        ({"tools": [{"type": "agent_toolset_20260401", "default_config": {"enabled": False}}]}, READ_TOOL),
        ({"mcp_servers": []}, f'{AT}tools.1.mcp_toolset.mcp_server_name: no MCP server named "tracker" in mcp_servers'),
        ({"mcp_servers": None}, f'{AT}tools.1.mcp_toolset.mcp_server_name: no MCP server named "tracker" in mcp_servers'),
        ({"mcp_servers": [{**SERVER, "url": "other"}]}, f"{AT}mcp_servers.0.url: must be an http or https URL"),
        ({"tools": [{**CUSTOM, "name": "mcp__a"}]}, f'{AT}tools.0.custom.name: custom tool name "mcp__a" uses reserved MCP tool prefix'),
        ({"skills": [{"type": "custom", "skill_id": "skill_01"}]}, "Agent has invalid configuration: `skill_id` `skill_01` not found"),
        ({"multiagent": None}, 'Failed to parse request body: unknown field "multiagent"'),
        ({"name": "Other"}, 'Failed to parse request body: unknown field "name"'),
    ],
)  # fmt: skip
def test_an_override_is_refused(sqlite_api: Api, given: dict[str, Any], message: str) -> None:
    agent = sqlite_api.post("/v1/agents", FULL).ok()
    with pytest.raises(InvalidRequest) as caught:
        overridden(sqlite_api, agent, **given)
    assert caught.value.message == message


def test_a_model_cannot_be_cleared(sqlite_api: Api) -> None:
    agent = sqlite_api.agent()
    with pytest.raises(InvalidRequest) as caught:
        overridden(sqlite_api, agent, model=None)
    assert caught.value.details == {"error_code": "agent_model_required"}
    assert caught.value.message.startswith(f"{AT}model: ")


@pytest.mark.parametrize("form", ["coordinator", "multiagent_20261001"])
def test_a_session_shows_full_members_and_itself_with_the_overrides(api: Api, form: str) -> None:
    aide = api.agent(name="Aide", system="Help.")
    own = {"type": "self"}
    roster: dict[str, Any] = {"type": form, "agents": [aide["id"], own, {"type": "advisor", "model": "sage"}]}
    if form != "coordinator":
        roster = {
            "type": form,
            "subagents": {"type": "enabled", "predefined_agents": [aide["id"], own]},
            "workflows": {"type": "disabled"},
        }
    lead = api.agent(name="Lead", system="Lead.", multiagent=roster)
    shown = overridden(api, lead, system="Now.")

    def thread_form(agent: dict[str, Any], **changed: Any) -> dict[str, Any]:
        return {name: value for name, value in {**session_form(agent), **changed}.items() if name != "multiagent"}

    expected = [thread_form(aide), thread_form(lead, system="Now.")]
    if form == "coordinator":
        assert shown["multiagent"]["agents"] == [*expected, {"type": "advisor", "model": "sage"}]
    else:
        assert shown["multiagent"]["subagents"]["predefined_agents"] == expected
        assert shown["multiagent"]["workflows"] == {"type": "disabled"}


def test_a_thread_shows_an_agent_without_its_roster(sqlite_api: Api) -> None:
    agent = sqlite_api.agent(multiagent={"type": "coordinator", "agents": [{"type": "self"}]})
    shown = encode(actions.thread_agent(version_of(sqlite_api, agent)))
    BetaManagedAgentsSessionThreadAgent.model_validate_json(shown, strict=True)
    expected = session_form(agent)
    del expected["multiagent"]
    assert json.loads(shown) == expected


def test_a_session_keeps_an_overridden_body_and_finds_it_again(sqlite_api: Api) -> None:
    agent = sqlite_api.agent(multiagent={"type": "coordinator", "agents": [{"type": "self"}]})
    version = version_of(sqlite_api, agent)
    kept = actions.override(version.ref, version.body)
    assert kept.body is version.body
    assert actions.traits_of(kept) == actions.traits_of(version)
    assert actions.members(kept) == []
    assert actions.session_agent(kept, {}) == actions.session_agent(version, {})


def test_a_session_update_replaces_tools_and_servers(sqlite_api: Api) -> None:
    agent = sqlite_api.post("/v1/agents", {**FULL, "skills": []}).ok()
    version = version_of(sqlite_api, agent)
    answer = CustomToolIn(name="answer", description="Answers.", input_schema={"type": "object"})
    other = McpServerIn(name="other", url="https://other.example.com")
    replaced = sqlite_api.read(actions.replace_tools, sqlite_api.who, version, [answer], UNSET).body
    assert [tool["name"] for tool in json.loads(encode(replaced.tools))] == ["answer"]
    assert replaced.mcp_servers == version.body.mcp_servers
    both = sqlite_api.read(actions.replace_tools, sqlite_api.who, version, None, [other]).body
    assert (both.tools, [server.name for server in both.mcp_servers]) == ([], ["other"])
    same = sqlite_api.read(actions.replace_tools, sqlite_api.who, version, UNSET, UNSET)
    assert same == version


@pytest.mark.parametrize(
    ("tools", "servers", "message"),
    [
        (None, UNSET, READ_TOOL),
        (UNSET, None, 'agent.tools.1.mcp_toolset.mcp_server_name: no MCP server named "tracker" in mcp_servers'),
    ],
)
def test_a_session_update_is_refused(sqlite_api: Api, tools: Any, servers: Any, message: str) -> None:
    version = version_of(sqlite_api, sqlite_api.post("/v1/agents", FULL).ok())
    with pytest.raises(InvalidRequest) as caught:
        sqlite_api.read(actions.replace_tools, sqlite_api.who, version, tools, servers)
    assert caught.value.message == message
