"""Agents from their making to their archive, over HTTP and on both databases (contract, agents)."""

from typing import Any

import msgspec
import pytest
from anthropic.types.beta import BetaManagedAgentsAgent

from rota.base.clock import HandClock
from rota.base.errors import InvalidRequest
from rota.base.who import Who
from rota.resources.agents import actions
from rota.resources.agents.wire import CreateAgent, UpdateAgent
from rota.store.tx import Query, Tx
from tests.api import Api

EVENTS = Query("What was announced.", "SELECT event, resource_id FROM outbox ORDER BY id")
FULL: dict[str, Any] = {
    "name": "Research lead",
    "model": {"id": "claude-opus-5-5", "effort": "max", "speed": "fast", "inference_geo": "us"},
    "description": "Reads and reports.",
    "system": "Be brief.",
    "tools": [
        {"type": "agent_toolset_20260401", "default_config": {"enabled": False}, "configs": [{"name": "read", "enabled": True}]},
        {"type": "mcp_toolset", "mcp_server_name": "tracker"},
        {"type": "custom", "name": "ask", "description": "Asks.", "input_schema": {"type": "object"}},
    ],
    "mcp_servers": [{"type": "url", "name": "tracker", "url": "https://tracker.example.com/mcp"}],
    "skills": [{"type": "anthropic", "skill_id": "xlsx"}],
    "metadata": {"team": "blue"},
}  # fmt: skip


def announced(api: Api, agent_id: str) -> list[str]:
    def rows(tx: Tx) -> list[str]:
        return [row[0] for row in tx.all(EVENTS) if row[1] == agent_id]

    return api.read(rows)


def elsewhere(api: Api) -> Who:
    """A caller of another workspace."""
    return msgspec.structs.replace(api.who, workspace_id="wrkspc_elsewhere")


# Making and reading


def test_a_plain_agent_has_every_key_with_its_default(api: Api) -> None:
    agent = api.post("/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"}).ok()
    assert agent.pop("id").startswith("agent_01")
    assert agent == {
        "type": "agent",
        "version": 1,
        "name": "Clerk",
        "description": None,
        "model": {"id": "claude-opus-5-5", "speed": "standard", "effort": {"type": "high"}, "inference_geo": None},
        "system": None,
        "tools": [],
        "mcp_servers": [],
        "skills": [],
        "multiagent": None,
        "metadata": {},
        "execution_identity": {"type": "service_account"},
        "created_at": "2026-03-02T12:00:00Z",
        "updated_at": "2026-03-02T12:00:00Z",
        "archived_at": None,
    }


def test_an_agent_is_read_as_it_was_answered(api: Api) -> None:
    agent = api.post("/v1/agents", FULL).ok()
    assert agent["skills"] == [{"type": "anthropic", "skill_id": "xlsx", "version": "latest"}]
    assert agent["model"] == {
        "id": "claude-opus-5-5",
        "speed": "fast",
        "effort": {"type": "max"},
        "inference_geo": "us",
    }
    assert api.get(f"/v1/agents/{agent['id']}").ok() == agent
    assert api.get("/v1/agents").ok()["data"] == [agent]


def test_the_official_client_reads_an_agent_strictly(sqlite_api: Api) -> None:
    roster = {"type": "coordinator", "agents": [sqlite_api.agent(name="Aide")["id"], {"type": "self"}]}
    body = sqlite_api.post("/v1/agents", {**FULL, "multiagent": roster}).raw
    shown = BetaManagedAgentsAgent.model_validate_json(body, strict=True)
    assert shown.model.effort is not None
    assert shown.model.effort.type == "max"
    assert [tool.type for tool in shown.tools] == ["agent_toolset_20260401", "mcp_toolset", "custom"]


@pytest.mark.parametrize("field", ["description", "system"])
def test_an_empty_text_is_none(sqlite_api: Api, field: str) -> None:
    assert sqlite_api.agent(**{field: ""})[field] is None


@pytest.mark.parametrize("field", ["tools", "mcp_servers", "skills"])
def test_a_list_of_null_is_empty(sqlite_api: Api, field: str) -> None:
    assert sqlite_api.agent(**{field: None})[field] == []


def test_an_execution_identity_is_kept_and_shown(sqlite_api: Api) -> None:
    role = {"type": "aws_role", "role_arn": "arn:aws:iam::123456789012:role/runner"}
    agent = sqlite_api.agent(execution_identity=role)
    assert agent["execution_identity"] == role
    path = f"/v1/agents/{agent['id']}"
    assert sqlite_api.post(path, {"name": "Other"}).ok()["execution_identity"] == role
    assert sqlite_api.post(path, {"execution_identity": None}).ok()["execution_identity"] == {"type": "service_account"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name: expected string, got null"),
        ({"name": ""}, "name: minimum string length is 1"),
        ({"name": "n" * 257}, "name: maximum string length is 256"),
        ({"description": "d" * 2049}, "description: maximum string length is 2048"),
        ({"system": "s" * 100_001}, "system: maximum string length is 100000"),
        ({"kind": 1}, 'Failed to parse request body: unknown field "kind"'),
        ({"model": ""}, "model: minimum string length is 1"),
        ({"model": {"id": "m" * 257}}, "model.id: maximum string length is 256"),
        ({"model": {"id": "m", "temperature": 1}}, 'Failed to parse request body: unknown field "temperature"'),
        ({"model": {"id": "m", "effort": "huge"}}, 'Failed to parse request: model.effort: "huge" is not a valid value; expected one of high, low, max, medium, xhigh'),
        ({"model": {"id": "m", "inference_geo": "eu"}}, 'Failed to parse request: model.inference_geo: "eu" is not a valid value; expected one of global, us'),
        ({"metadata": {f"k{n}": "" for n in range(17)}}, "invalid metadata: metadata map would have 17 entries, exceeding the maximum of 16"),
        ({"execution_identity": {"type": "aws_role"}}, "execution_identity.role_arn: Field required"),
        ({"skills": [{"type": "anthropic", "skill_id": "xlsx"}] * 2}, 'Agent has invalid configuration: duplicate skill_id "xlsx"'),
        ({"skills": [{"type": "anthropic", "skill_id": "xls"}]}, "Agent has invalid configuration: `skill_id` `xls` not found"),
        ({"skills": [{"type": "custom", "skill_id": "skill_01", "version": "7"}]}, "Agent has invalid configuration: `skill_id` `skill_01` version `7` not found"),
        ({"skills": [{"type": "anthropic", "skill_id": f"s{n}"} for n in range(21)]}, "skills: value must contain no more than 20 item(s)"),
    ],
)  # fmt: skip
def test_a_new_agent_is_refused(sqlite_api: Api, change: dict[str, Any], message: str) -> None:
    assert sqlite_api.post("/v1/agents", {"name": "Clerk", "model": "m", **change}).refused(400) == message
    assert sqlite_api.get("/v1/agents").ok()["data"] == []


@pytest.mark.parametrize("field", ["name", "model"])
def test_a_name_and_a_model_are_needed(sqlite_api: Api, field: str) -> None:
    body = {"name": "Clerk", "model": "m"}
    del body[field]
    assert sqlite_api.post("/v1/agents", body).refused(400) == f"{field}: Field required"


def test_texts_are_counted_in_characters(sqlite_api: Api) -> None:
    assert sqlite_api.agent(name="ü" * 256)["name"] == "ü" * 256


def test_prebuilt_skills_exist_in_any_version(sqlite_api: Api) -> None:
    skills = [
        {"type": "anthropic", "skill_id": name, "version": "20251013"} for name in ("xlsx", "pptx", "docx", "pdf")
    ]
    assert sqlite_api.agent(skills=skills)["skills"] == skills


def test_an_agent_of_another_workspace_is_not_there(api: Api) -> None:
    foreign = api.write(actions.create, elsewhere(api), CreateAgent(name="Clerk", model="m")).id
    for agent_id in (foreign, "agent_01unknown", "nonsense"):
        path = f"/v1/agents/{agent_id}"
        expected = f"Agent {agent_id} not found."
        assert api.get(path).refused(404, "not_found_error") == expected
        assert api.post(path, {"name": "Mine"}).refused(404, "not_found_error") == expected
        assert api.post(f"{path}/archive").refused(404, "not_found_error") == expected
        assert api.get(f"{path}/versions").refused(404, "not_found_error") == expected
    assert api.get("/v1/agents").ok()["data"] == []


# Updating


def test_an_update_writes_the_next_version_and_keeps_the_old_one(api: Api, clock: HandClock) -> None:
    agent = api.agent(system="Be brief.")
    path = f"/v1/agents/{agent['id']}"
    clock.advance(seconds=60)
    newer = api.post(path, {"version": 1, "system": "Be long."}).ok()
    assert newer == {**agent, "version": 2, "system": "Be long.", "updated_at": "2026-03-02T12:01:00Z"}
    assert api.get(path).ok() == newer
    assert api.get(path, query={"version": 2}).ok() == newer
    assert api.get(path, query={"version": 1}).ok() == agent
    assert announced(api, agent["id"]) == ["agent.created", "agent.updated"]


@pytest.mark.parametrize("version", [0, -1, 2**31])
def test_a_version_outside_its_range_is_refused(sqlite_api: Api, version: int) -> None:
    path = f"/v1/agents/{sqlite_api.agent()['id']}"
    sqlite_api.get(path, query={"version": version}).refused(400)
    sqlite_api.post(path, {"version": version}).refused(400)


def test_an_unknown_version_is_not_found(api: Api) -> None:
    path = f"/v1/agents/{api.agent()['id']}"
    assert api.get(path, query={"version": 2}).refused(404, "not_found_error") == "Agent version not found."


@pytest.mark.parametrize("body", [{}, {"version": None}, {"version": 1}, {"metadata": None}, {"metadata": {}}, {"metadata": {"absent": None}}, *({name: FULL[name]} for name in FULL)])  # fmt: skip
def test_an_update_that_changes_nothing_is_answered_with_the_same_version(
    sqlite_api: Api, clock: HandClock, body: dict[str, Any]
) -> None:
    agent = sqlite_api.post("/v1/agents", FULL).ok()
    clock.advance(seconds=1)
    assert sqlite_api.post(f"/v1/agents/{agent['id']}", body).ok() == agent
    assert len(sqlite_api.get(f"/v1/agents/{agent['id']}/versions").ok()["data"]) == 1
    assert announced(sqlite_api, agent["id"]) == ["agent.created"]


def test_what_was_read_can_be_written_back_without_a_change(sqlite_api: Api) -> None:
    aide = sqlite_api.agent(name="Aide")["id"]
    agent = sqlite_api.post(
        "/v1/agents", {**FULL, "multiagent": {"type": "coordinator", "agents": [{"type": "self"}, aide]}}
    ).ok()
    kept = (
        "name",
        "model",
        "description",
        "system",
        "tools",
        "mcp_servers",
        "skills",
        "multiagent",
        "metadata",
        "execution_identity",
    )
    assert sqlite_api.post(f"/v1/agents/{agent['id']}", {name: agent[name] for name in kept}).ok() == agent


def test_a_number_that_only_python_finds_equal_is_a_change(sqlite_api: Api) -> None:
    def tools(default: Any) -> list[dict[str, Any]]:
        schema = {"type": "object", "properties": {"n": {"default": default}}}
        return [{"type": "custom", "name": "ask", "description": "Asks.", "input_schema": schema}]

    agent = sqlite_api.agent(tools=tools(1))
    assert sqlite_api.post(f"/v1/agents/{agent['id']}", {"tools": tools(True)}).ok()["version"] == 2


@pytest.mark.parametrize("body", [{"name": "Other"}, {"name": "Clerk"}, {}])
def test_a_stale_version_is_a_conflict_even_when_nothing_would_change(sqlite_api: Api, body: dict[str, Any]) -> None:
    path = f"/v1/agents/{sqlite_api.agent()['id']}"
    sqlite_api.post(path, {"description": "Second."}).ok()
    response = sqlite_api.post(path, {"version": 1, **body})
    assert response.refused(409) == "Concurrent modification detected. Please fetch the latest version and retry."
    assert response.headers["x-should-retry"] == "false"


def test_of_two_updates_of_one_version_one_wins(api: Api) -> None:
    path = f"/v1/agents/{api.agent()['id']}"
    calls = [api.call("POST", path, {"version": 1, "name": name}) for name in ("One", "Two", "Three")]
    assert sorted(response.status for response in api.gather(calls)) == [200, 409, 409]
    assert len(api.get(f"{path}/versions").ok()["data"]) == 2


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"description": None}, "description", None),
        ({"description": ""}, "description", None),
        ({"system": None}, "system", None),
        ({"system": ""}, "system", None),
        ({"skills": None}, "skills", []),
        ({"skills": []}, "skills", []),
        ({"tools": None, "mcp_servers": None}, "tools", []),
        ({"tools": [], "mcp_servers": []}, "mcp_servers", []),
        ({"metadata": {"team": None, "room": "4"}}, "metadata", {"room": "4"}),
        ({"metadata": {"team": ""}}, "metadata", {"team": ""}),
    ],
)  # fmt: skip
def test_an_update_clears_and_replaces(sqlite_api: Api, body: dict[str, Any], field: str, expected: Any) -> None:
    agent = sqlite_api.post("/v1/agents", FULL).ok()
    newer = sqlite_api.post(f"/v1/agents/{agent['id']}", body).ok()
    assert newer["version"] == 2
    assert newer[field] == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": None}, "name: expected string, got null"),
        ({"name": ""}, "name: minimum string length is 1"),
        ({"model": None}, None),
        ({"tools": [{"type": "custom", "name": "mcp__x", "description": "d", "input_schema": {"type": "object"}}], "mcp_servers": []}, 'agent.tools.0.custom.name: custom tool name "mcp__x" uses reserved MCP tool prefix'),
        ({"tools": []}, 'agent.mcp_servers.0.name: MCP server "tracker" is not referenced by any mcp_toolset in tools'),
        ({"mcp_servers": []}, 'agent.tools.1.mcp_toolset.mcp_server_name: no MCP server named "tracker" in mcp_servers'),
        ({"metadata": {f"k{n}": "" for n in range(16)}}, "invalid metadata: metadata map would have 17 entries, exceeding the maximum of 16"),
    ],
)  # fmt: skip
def test_an_update_is_refused(sqlite_api: Api, body: dict[str, Any], message: str | None) -> None:
    agent = sqlite_api.post("/v1/agents", FULL).ok()
    path = f"/v1/agents/{agent['id']}"
    said = sqlite_api.post(path, body).refused(400)
    assert message is None or said == message
    assert sqlite_api.get(path).ok() == agent


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-opus-5-5", ("claude-opus-5-5", "standard", "max", None)),
        ({"id": "claude-opus-5-5", "speed": "fast"}, ("claude-opus-5-5", "fast", "max", None)),
        ({"id": "claude-opus-5-5", "effort": "low"}, ("claude-opus-5-5", "standard", "low", None)),
        ({"id": "claude-opus-5-5", "effort": {"type": "xhigh"}}, ("claude-opus-5-5", "standard", "xhigh", None)),
        ({"id": "claude-opus-5-5", "effort": None}, ("claude-opus-5-5", "standard", "high", None)),
        ({"id": "claude-opus-5-5", "inference_geo": "global"}, ("claude-opus-5-5", "standard", "max", "global")),
        ({"id": "claude-sonnet-5-5"}, ("claude-sonnet-5-5", "standard", "high", None)),
    ],
)
def test_a_model_is_replaced_whole_but_for_the_effort_of_the_same_one(
    sqlite_api: Api, model: Any, expected: tuple[Any, ...]
) -> None:
    agent = sqlite_api.post("/v1/agents", FULL).ok()
    shown = sqlite_api.post(f"/v1/agents/{agent['id']}", {"model": model}).ok()["model"]
    assert (shown["id"], shown["speed"], shown["effort"]["type"], shown["inference_geo"]) == expected


# Lists


def test_the_list_has_the_latest_version_of_each_newest_first(api: Api, clock: HandClock) -> None:
    agents: list[dict[str, Any]] = []
    for name in "abc":
        agents.insert(0, api.agent(name=name))
        clock.advance(seconds=1)
    agents[2] = api.post(f"/v1/agents/{agents[2]['id']}", {"name": "A"}).ok()
    first = api.get("/v1/agents", query={"limit": 2}).ok()
    assert first["data"] == agents[:2]
    last = api.get("/v1/agents", query={"limit": 2, "page": first["next_page"]}).ok()
    assert last == {"data": agents[2:], "next_page": None}


def test_the_list_is_narrowed_by_the_time_of_making(api: Api, clock: HandClock) -> None:
    made: list[str] = []
    for _ in range(3):
        made.append(api.agent()["id"])
        clock.advance(seconds=60)
    query = {"created_at[gte]": "2026-03-02T12:01:00Z", "created_at[lte]": "2026-03-02T13:01:00+01:00"}
    assert [agent["id"] for agent in api.get("/v1/agents", query=query).ok()["data"]] == [made[1]]
    api.get("/v1/agents", query={"created_at[gte]": "yesterday"}).refused(400)


def test_archived_agents_are_listed_when_asked_for(api: Api) -> None:
    kept, gone = api.agent()["id"], api.agent()["id"]
    api.post(f"/v1/agents/{gone}/archive").ok()
    assert [agent["id"] for agent in api.get("/v1/agents").ok()["data"]] == [kept]
    every = api.get("/v1/agents", query={"include_archived": "true"}).ok()["data"]
    assert {agent["id"] for agent in every} == {kept, gone}


def test_versions_are_listed_newest_first_and_walked(api: Api) -> None:
    path = f"/v1/agents/{api.agent()['id']}"
    for number in range(2, 6):
        api.post(path, {"name": f"Version {number}"}).ok()
    seen: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next_page": None}
    while not seen or page["next_page"]:
        query = {"limit": 2, **({"page": page["next_page"]} if page["next_page"] else {})}
        page = api.get(f"{path}/versions", query=query).ok()
        seen += page["data"]
    assert [agent["version"] for agent in seen] == [5, 4, 3, 2, 1]
    assert seen[0] == api.get(path).ok()


@pytest.mark.parametrize("limit", [0, 101, "ten"])
def test_a_page_has_one_to_a_hundred_items(sqlite_api: Api, limit: Any) -> None:
    path = f"/v1/agents/{sqlite_api.agent()['id']}/versions"
    sqlite_api.get(path, query={"limit": limit}).refused(400)
    sqlite_api.get("/v1/agents", query={"limit": limit}).refused(400)


def test_a_cursor_of_one_agent_does_not_open_another(sqlite_api: Api) -> None:
    one, other = (f"/v1/agents/{sqlite_api.agent()['id']}" for _ in range(2))
    sqlite_api.post(one, {"name": "Second"}).ok()
    cursor = sqlite_api.get(f"{one}/versions", query={"limit": 1}).ok()["next_page"]
    assert sqlite_api.get(f"{other}/versions", query={"page": cursor}).refused(400) == "invalid page cursor"


# Archiving


def test_archiving_is_for_good_and_told_once(api: Api, clock: HandClock) -> None:
    agent = api.agent()
    path = f"/v1/agents/{agent['id']}"
    second = api.post(path, {"name": "Second"}).ok()
    clock.advance(seconds=60)
    archived = api.post(f"{path}/archive").ok()
    at = "2026-03-02T12:01:00Z"
    assert archived == {**second, "archived_at": at, "updated_at": at}
    clock.advance(seconds=60)
    assert api.post(f"{path}/archive").ok() == archived
    assert announced(api, agent["id"]) == ["agent.created", "agent.updated", "agent.archived"]
    for body in ({}, {"name": "Third"}, {"version": 1}):
        assert api.post(path, body).refused(400) == "Cannot modify archived agent"
    assert api.get(path).ok() == archived
    assert api.get(path, query={"version": 1}).ok() == {**agent, "archived_at": at, "updated_at": at}
    assert [each["archived_at"] for each in api.get(f"{path}/versions").ok()["data"]] == [at, at]


def test_archiving_takes_the_deployments_along_at_the_same_instant(api: Api, clock: HandClock) -> None:
    agent = api.agent()["id"]
    deployment = api.deployment(agent=agent)["id"]
    clock.advance(seconds=5)
    at = api.post(f"/v1/agents/{agent}/archive").ok()["archived_at"]
    assert api.get(f"/v1/deployments/{deployment}").ok()["archived_at"] == at


# In sets, for the rooms above


def test_facts_are_found_for_those_that_exist(api: Api) -> None:
    live, gone = api.agent()["id"], api.agent()["id"]
    api.post(f"/v1/agents/{live}", {"name": "Second"}).ok()
    api.post(f"/v1/agents/{gone}/archive").ok()
    found = api.read(actions.find_many, [live, gone, "agent_01unknown", live])
    workspace_id = api.who.workspace_id
    assert found == {
        live: actions.Facts(id=live, workspace_id=workspace_id, archived=False, version=2),
        gone: actions.Facts(id=gone, workspace_id=workspace_id, archived=True, version=1),
    }


def test_versions_are_found_for_those_that_exist_and_then_remembered(api: Api, clock: HandClock) -> None:
    agent = api.post("/v1/agents", FULL).ok()["id"]
    api.post(f"/v1/agents/{agent}", {"name": "Second"}).ok()
    refs = [(agent, 1), (agent, 2), (agent, 3), ("agent_01unknown", 1)]
    clock.advance(seconds=1)
    found = api.read(actions.versions_many, refs)
    assert {ref: version.body.name for ref, version in found.items()} == {
        (agent, 1): "Research lead",
        (agent, 2): "Second",
    }
    assert [version.ref for version in found.values()] == [(agent, 1), (agent, 2)]
    again = api.read(actions.versions_many, refs[:2])
    assert all(again[ref] is found[ref] for ref in again)


def test_traits_are_what_decisions_need(api: Api) -> None:
    aide = api.agent(name="Aide")["id"]
    roster = {"type": "coordinator", "agents": [{"type": "advisor", "model": "sage"}, aide, {"type": "self"}]}
    agent = api.post("/v1/agents", {**FULL, "multiagent": roster}).ok()["id"]
    traits = api.read(actions.traits_many, [(agent, 1), (agent, 2)])
    assert list(traits) == [(agent, 1)]
    expected = actions.Traits(
        name="Research lead",
        model_id="claude-opus-5-5",
        mcp_servers=[("tracker", "https://tracker.example.com/mcp")],
        skills=traits[agent, 1].skills,
        members=[(aide, 1)],
        advisor_models=["sage"],
        has_multiagent=True,
        has_usable_read_tool=True,
    )
    assert traits[agent, 1] == expected
    version = api.read(actions.versions_many, [(agent, 1)])[agent, 1]
    assert actions.traits_of(version) == expected
    assert actions.members(version) == [(aide, 1)]


def test_a_version_that_was_never_committed_is_not_remembered(api: Api, clock: HandClock) -> None:
    agent = api.agent()["id"]

    def change_and_fail(tx: Tx) -> None:
        actions.update(tx, api.who, agent, UpdateAgent(name="Never"))
        assert actions.versions_many(tx, [(agent, 2)])[agent, 2].body.name == "Never"
        assert actions.traits_many(tx, [(agent, 2)])[agent, 2].name == "Never"
        raise InvalidRequest("undo it")

    with pytest.raises(InvalidRequest, match="undo it"):
        api.write(change_and_fail)
    clock.advance(seconds=1)
    api.post(f"/v1/agents/{agent}", {"name": "Really"}).ok()
    clock.advance(seconds=1)
    assert api.read(actions.versions_many, [(agent, 2)])[agent, 2].body.name == "Really"
    assert api.read(actions.traits_many, [(agent, 2)])[agent, 2].name == "Really"
