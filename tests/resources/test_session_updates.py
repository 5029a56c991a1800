"""A session's object in full, and what an update does to it and tells of it (contract, sessions: fields, update)."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.store.tx import Query
from tests.api import HELLO, Api

TOOLSET = {"type": "agent_toolset_20260401"}
SET_STATUS = Query("What a turn would leave.", "UPDATE sessions SET status = :status WHERE id = :id")


def budget(amount: str = "500", **more: Any) -> dict[str, Any]:
    return {"type": "limit", "max_list_cost": {"amount": amount, "currency": "USD"}, **more}


def create(api: Api, **fields: Any) -> dict[str, Any]:
    body = {"agent": api.agent()["id"], "environment_id": api.environment()["id"], **fields}
    return api.post("/v1/sessions", body).ok()


def path(session: dict[str, Any]) -> str:
    return f"/v1/sessions/{session['id']}"


def log(api: Api, session: dict[str, Any]) -> list[dict[str, Any]]:
    return api.get(path(session) + "/events").ok()["data"]


# The object


def test_a_new_session_has_used_nothing(api: Api, clock: HandClock) -> None:
    session = create(api)
    assert session["usage"] == {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": None,
        "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
        "list_cost": {"amount": "0", "currency": "USD"},
        "active_seconds": 0,
    }
    assert session["stats"] == {"active_seconds": 0, "duration_seconds": 0}
    assert (session["title"], session["metadata"], session["resources"], session["vault_ids"]) == (None, {}, [], [])
    assert (session["outcome_evaluations"], session["archived_at"]) == ([], None)
    assert session["created_at"] == session["updated_at"] == "2026-03-02T12:00:00Z"
    clock.advance(seconds=2.5)
    assert api.get(path(session)).ok()["stats"]["duration_seconds"] == 2.5


def test_what_has_no_list_price_has_no_cost(still_api: Api) -> None:
    agent = still_api.agent(model="my-own-model")
    assert create(still_api, agent=agent["id"])["usage"]["list_cost"] is None
    override = {"type": "agent_with_overrides", "id": agent["id"], "model": "claude-opus-5-5"}
    assert create(still_api, agent=override)["usage"]["list_cost"] == {"amount": "0", "currency": "USD"}


def test_the_agent_is_a_snapshot_without_metadata_and_times(still_api: Api) -> None:
    agent = still_api.agent(system="one", metadata={"k": "v"}, description="d", tools=[TOOLSET])
    session = create(still_api, agent=agent["id"])
    left_out = {"metadata", "created_at", "updated_at", "archived_at"}
    assert session["agent"] == {key: value for key, value in agent.items() if key not in left_out}
    still_api.post(f"/v1/agents/{agent['id']}", {"system": "two"}).ok()
    still_api.post(f"/v1/agents/{agent['id']}/archive").ok()
    still_api.post(f"/v1/environments/{session['environment_id']}/archive").ok()
    assert still_api.get(path(session)).ok() == session
    still_api.post(path(session) + "/events", {"events": HELLO}).ok()


def test_first_events_are_not_echoed_and_all_or_nothing(sqlite_api: Api) -> None:
    session = create(sqlite_api, initial_events=HELLO * 50)
    assert "initial_events" not in session
    assert len(log(sqlite_api, session)) == 50
    body = {"agent": session["agent"]["id"], "environment_id": session["environment_id"]}
    empty = {"type": "user.message", "content": [{"type": "text", "text": ""}]}
    sqlite_api.post("/v1/sessions", {**body, "initial_events": [*HELLO, empty]}).refused(400)
    assert len(sqlite_api.get("/v1/sessions").ok()["data"]) == 1
    assert create(sqlite_api, initial_events=[])["status"] == "idle"


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "limit"},
        {"max_list_cost": {"amount": "1", "currency": "USD"}}, {"type": "cap", "max_list_cost": {"amount": "1", "currency": "USD"}}, budget(""), budget("0"), budget("-1"),
        budget("1.5"), budget("007"), budget("+1"), budget("1e3"), budget(" 1"), budget("1\n"), budget("9" * 30), budget(more=1),
        {"type": "limit", "max_list_cost": {"amount": 500, "currency": "USD"}}, {"type": "limit", "max_list_cost": {"amount": "1"}},
        {"type": "limit", "max_list_cost": {"amount": "1", "currency": "EUR"}}, {"type": "limit", "max_list_cost": {"amount": "1", "currency": "usd"}},
    ],
)  # fmt: skip
def test_a_budget_is_whole_positive_cents_in_dollars(still_api: Api, bad: dict[str, Any]) -> None:
    body = {
        "agent": still_api.agent()["id"],
        "environment_id": still_api.environment()["id"],
        "name": "n",
        "initial_events": HELLO,
    }
    still_api.post("/v1/deployments", {**body, "budget": bad}).refused(400)
    del body["name"]
    still_api.post("/v1/sessions", {**body, "budget": bad}).refused(400)
    session = create(still_api, budget=budget())
    still_api.post(path(session), {"budget": bad}).refused(400)


def test_every_model_under_a_budget_needs_a_list_price(still_api: Api) -> None:
    member = still_api.agent(name="Helper", model="llama-at-home")["id"]
    lead = still_api.agent(multiagent={"type": "coordinator", "agents": [member]})["id"]
    for agent in (member, lead):
        body = {"agent": agent, "environment_id": still_api.environment()["id"], "budget": budget()}
        response = still_api.post("/v1/sessions", body)
        assert "llama-at-home" in response.refused(400)
        assert response.body["error"]["details"] == {"error_code": "model_not_budgetable"}
        still_api.post("/v1/sessions", {**body, "budget": None}).ok()


# Updates


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"title": "new"}, {"title": "new"}),
        ({"title": None}, {"title": None}),
        ({"metadata": {"b": "2"}}, {"metadata": {"a": "1", "b": "2"}}),
        ({"metadata": {"a": ""}}, {"metadata": {"a": ""}}),
        ({"metadata": {"a": None}}, {"metadata": {}}),
        ({"budget": budget("501")}, {"budget": budget("501")}),
        ({"budget": budget("1")}, {"budget": budget("1")}),
        ({"budget": None}, {"budget": None}),
        ({"title": "new", "metadata": {"a": "2"}, "budget": None}, {"title": "new", "metadata": {"a": "2"}, "budget": None}),
    ],
)  # fmt: skip
def test_an_update_changes_what_was_sent_and_says_so(api: Api, clock: HandClock, sent: Any, shown: Any) -> None:
    old = create(api, title="old", metadata={"a": "1"}, budget=budget())
    clock.advance(seconds=1)
    new = api.post(path(old), sent).ok()
    assert {key: new[key] for key in new if key != "stats"} == {
        **{key: old[key] for key in old if key != "stats"}, **shown, "updated_at": "2026-03-02T12:00:01Z",
    }  # fmt: skip
    assert api.get(path(old)).ok() == new
    [event] = log(api, old)
    assert event.pop("id").startswith("sevt_01")
    assert event == {"type": "session.updated", "processed_at": "2026-03-02T12:00:01Z", **shown}


@pytest.mark.parametrize(
    "sent",
    [{}, {"title": "old"}, {"metadata": {"a": "1"}}, {"metadata": {"zz": None}}, {"metadata": {}}, {"metadata": None}, {"budget": budget()},
     {"agent": {}}, {"agent": {"tools": []}}, {"agent": {"tools": None, "mcp_servers": None}}],
)  # fmt: skip
def test_an_update_that_changes_nothing_leaves_no_trace(sqlite_api: Api, clock: HandClock, sent: Any) -> None:
    old = create(sqlite_api, title="old", metadata={"a": "1"}, budget=budget())
    clock.advance(seconds=1)
    assert sqlite_api.post(path(old), sent).ok()["updated_at"] == old["updated_at"]
    assert log(sqlite_api, old) == []


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"title": ""}, None),
        ({"title": "t" * 501}, None),
        ({"metadata": {f"k{number}": "v" for number in range(16)}}, None),
        ({"metadata": {"k": "v" * 513}}, None),
        ({"metadata": {"k" * 65: "v"}}, None),
        ({"metadata": {"k": 1}}, None),
        ({"vault_ids": []}, None),
        ({"vault_ids": ["vlt_01x"]}, None),
        ({"vault_ids": None}, None),
        ({"agent": None}, None),
        ({"agent": "agent_01x"}, None),
        ({"agent": {"model": "m"}}, None),
        ({"agent": {"system": "s"}}, None),
        ({"agent": {"tools": [{"type": "mcp_toolset", "mcp_server_name": "missing"}]}}, None),
        ({"environment_id": "env_01x"}, None),
        ({"status": "idle"}, None),
        ({"deployment_id": None}, None),
    ],
)
def test_an_update_is_refused_whole(still_api: Api, sent: dict[str, Any], code: str | None) -> None:
    old = create(still_api, metadata={"a": "1"})
    response = still_api.post(path(old), {"title": "changed", **sent})
    response.refused(400)
    assert (response.body["error"].get("details") or {}).get("error_code") == code
    assert still_api.get(path(old)).ok() == old
    assert log(still_api, old) == []


def test_a_budget_is_replaced_or_removed_but_never_added(still_api: Api) -> None:
    plain = create(still_api)
    response = still_api.post(path(plain), {"budget": budget()})
    response.refused(400)
    assert response.body["error"]["details"] == {"error_code": "budget_create_only"}
    assert still_api.post(path(plain), {"budget": None}).ok()["budget"] is None
    capped = create(still_api, budget=budget())
    spend = Query("What a turn would cost.", "UPDATE sessions SET body = replace(body, :old, :new) WHERE id = :id")
    cost = '{"usage":{"list_cost":{"amount":"300","currency":"USD"}},'
    assert still_api.write(lambda tx: tx.run(spend, id=capped["id"], old='{"budget"', new=cost + '"budget"')) == 1
    assert still_api.get(path(capped)).ok()["usage"]["list_cost"]["amount"] == "300"
    for amount in ("300", "299", "1"):
        response = still_api.post(path(capped), {"budget": budget(amount)})
        response.refused(400)
        assert response.body["error"]["details"] == {"error_code": "budget_not_raised"}
    assert still_api.post(path(capped), {"budget": budget("301")}).ok()["budget"] == budget("301")
    assert still_api.post(path(capped), {"budget": None}).ok()["budget"] is None
    still_api.post(path(capped), {"budget": budget()}).refused(400)


def test_tools_change_for_this_session_only_and_whole_lists_at_a_time(api: Api) -> None:
    server = {"type": "url", "name": "tickets", "url": "https://mcp.example.com/sse"}
    agent = api.agent(tools=[TOOLSET, {"type": "mcp_toolset", "mcp_server_name": "tickets"}], mcp_servers=[server])
    session = create(api, agent=agent["id"])
    custom = {"type": "custom", "name": "ask", "description": "Asks.", "input_schema": {"type": "object"}}
    new = api.post(path(session), {"agent": {"tools": [custom], "mcp_servers": []}}).ok()
    assert [tool["type"] for tool in new["agent"]["tools"]] == ["custom"]
    assert new["agent"]["mcp_servers"] == []
    [event] = log(api, session)
    assert event["agent"] == new["agent"]
    assert set(event) == {"id", "type", "processed_at", "agent"}
    assert api.get(path(session)).ok() == new
    assert api.get(f"/v1/agents/{agent['id']}").ok() == agent
    assert create(api, agent=agent["id"])["agent"]["tools"] == agent["tools"]
    cleared = api.post(path(session), {"agent": {"tools": []}}).ok()
    assert cleared["agent"]["tools"] == []


def test_while_a_session_runs_all_but_its_agent_may_change(still_api: Api) -> None:
    session = create(still_api, initial_events=HELLO, budget=budget())
    still_api.post(path(session), {"agent": {"tools": [TOOLSET]}}).refused(400)
    new = still_api.post(path(session), {"title": "t", "metadata": {"a": "b"}, "budget": budget("900")}).ok()
    assert (new["title"], new["status"]) == ("t", "running")


@pytest.mark.parametrize("status", ["terminated", "archived"])
def test_a_session_that_has_ended_is_not_changed(still_api: Api, status: str) -> None:
    session = create(still_api)
    if status == "archived":
        still_api.post(path(session) + "/archive").ok()
    else:
        still_api.write(lambda tx: tx.run(SET_STATUS, id=session["id"], status="terminated"))
    for sent in ({"title": "t"}, {}, {"agent": {"tools": []}}):
        still_api.post(path(session), sent).refused(400)


def test_a_rescheduling_session_is_neither_pending_nor_idle(still_api: Api) -> None:
    session = create(still_api, initial_events=HELLO)
    still_api.write(lambda tx: tx.run(SET_STATUS, id=session["id"], status="rescheduling"))
    assert '"rescheduling"' in still_api.post(path(session) + "/archive").refused(400)


def test_updates_at_once_are_all_kept(api: Api) -> None:
    session = create(api)
    calls = [api.call("POST", path(session), {"metadata": {f"k{number}": "v"}}) for number in range(12)]
    assert {response.status for response in api.gather(calls)} == {200}
    assert set(api.get(path(session)).ok()["metadata"]) == {f"k{number}" for number in range(12)}
    assert len(log(api, session)) == 12


def test_a_deleted_session_leaves_everything_around_it(api: Api) -> None:
    deployment = api.deployment()
    run = api.fire(deployment)
    session = api.get(f"/v1/sessions/{run['session_id']}").ok()
    api.write(lambda tx: tx.run(SET_STATUS, id=session["id"], status="idle"))
    api.post(path(session) + "/archive").ok()
    assert api.delete(path(session)).ok() == {"type": "session_deleted", "id": session["id"]}
    api.delete(path(session)).refused(404, "not_found_error")
    api.get(path(session) + "/events").refused(404, "not_found_error")
    for kept in (
        f"/v1/agents/{session['agent']['id']}",
        f"/v1/environments/{session['environment_id']}",
        f"/v1/deployment_runs/{run['id']}",
    ):
        api.get(kept).ok()
    assert api.get("/v1/sessions?include_archived=true").ok()["data"] == []
    for table in ("session_events", "session_threads", "session_tokens"):
        count = Query("What is left.", f"SELECT count(*) FROM {table}")
        assert api.read(lambda tx, count=count: tx.one(count)) == (0,)
