"""Sessions, as the contract has them (sessions: create, list, update, archive, delete; events; threads)."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from tests.api import HELLO, Api

MESSAGE = HELLO[0]
OUTCOME = {"type": "user.define_outcome", "description": "done", "rubric": {"type": "text", "content": "r"}}
SYSTEM = {"type": "system.message", "content": [{"type": "text", "text": "quietly"}]}
BUDGET = {"type": "limit", "max_list_cost": {"amount": "500", "currency": "USD"}}
NO_FILE = "file_01AbCdEfGhJkLmNpQrStUvWx"
KEYS = {
    "type", "id", "status", "agent", "environment_id", "title", "metadata", "resources", "vault_ids", "outcome_evaluations",
    "usage", "stats", "budget", "deployment_id", "created_at", "updated_at", "archived_at",
}  # fmt: skip


def create(api: Api, **fields: Any) -> dict[str, Any]:
    body = dict(fields)
    if "agent" not in body:
        body["agent"] = api.agent()["id"]
    if "environment_id" not in body:
        body["environment_id"] = api.environment()["id"]
    return api.post("/v1/sessions", body).ok()


def path(session: dict[str, Any], more: str = "") -> str:
    return f"/v1/sessions/{session['id']}{more}"


def log(api: Api, session: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    return api.get(path(session, "/events"), query=query).ok()["data"]


def send(api: Api, session: dict[str, Any], *events: dict[str, Any]) -> Any:
    return api.post(path(session, "/events"), {"events": list(events)})


def test_a_new_session_is_idle_and_whole(api: Api) -> None:
    session = create(api, title="t", metadata={"a": "b"})
    assert set(session) == KEYS
    assert (session["status"], session["budget"], session["deployment_id"]) == ("idle", None, None)
    assert session["usage"]["cache_creation"] is None
    assert session["usage"]["list_cost"] == {"amount": "0", "currency": "USD"}
    assert api.get(path(session)).ok() == session
    assert log(api, session) == []


def test_first_events_are_kept_in_order_and_the_session_runs(api: Api) -> None:
    session = create(api, initial_events=[MESSAGE, OUTCOME, MESSAGE])
    assert session["status"] == "running"
    events = log(api, session)
    assert [event["type"] for event in events] == ["user.message", "user.define_outcome", "user.message"]
    assert [event["processed_at"] is None for event in events] == [True, False, True], "an outcome counts from arrival"
    assert events[1]["outcome_id"].startswith("outc_")
    assert events[1]["max_iterations"] == 3


def test_an_agent_is_named_pinned_or_overridden(api: Api) -> None:
    agent = api.agent(system="one")
    api.post(f"/v1/agents/{agent['id']}", {"system": "two"}).ok()
    assert create(api, agent=agent["id"])["agent"]["system"] == "two"
    pinned = create(api, agent={"type": "agent", "id": agent["id"], "version": 1})
    assert (pinned["agent"]["system"], pinned["agent"]["version"]) == ("one", 1)
    overridden = create(api, agent={"type": "agent_with_overrides", "id": agent["id"], "system": None})
    assert (overridden["agent"]["system"], overridden["agent"]["version"]) == (None, 2)
    assert overridden["agent"]["id"] == agent["id"]
    assert api.get(path(overridden)).ok() == overridden
    [thread] = api.get(path(overridden, "/threads")).ok()["data"]
    assert thread["agent"]["system"] is None


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"environment_id": "env_none"}, 404, "Environment env_none not found."),
        ({"agent": "agent_none"}, 404, "Agent `agent_none` not found."),
        ({"surprise": 1}, 400, 'Failed to parse request body: unknown field "surprise"'),
        ({"vault_ids": ["vlt_none"]}, 404, "Vault `vlt_none` not found."),
        (
            {"resources": [{"type": "file", "file_id": NO_FILE}]},
            404,
            f"One or more files not found. Check that each `file_id` exists and is accessible: {NO_FILE}",
        ),
        (
            {"resources": [{"type": "memory_store", "memory_store_id": "memstore_none"}]},
            404,
            "Memory store `memstore_none` not found.",
        ),
        (
            {"resources": [{"type": "github_repository", "url": "https://github.com/a/b.git"}]},
            400,
            "Invalid `github_repository` resource: invalid github_repository url: must be "
            "https://github.com/{owner}/{repo} with no .git suffix",
        ),
        (
            {"resources": [{"type": "github_repository", "url": "https://github.com/a/b"}] * 2},
            400,
            "Invalid `github_repository` resource: `mount_path` overlaps another resource: /workspace/b and /workspace/b; "
            "set distinct `mount_path` values",
        ),
        (
            {"initial_events": [SYSTEM]},
            400,
            'Failed to parse request: initial_events[0].type: "system.message" is not a valid value',
        ),
        ({"initial_events": [OUTCOME, OUTCOME]}, 400, None),
        ({"initial_events": [MESSAGE] * 51}, 400, None),
        ({"title": "x" * 501}, 400, "title: maximum string length is 500"),
        ({"metadata": {"k" * 65: ""}}, 400, None),
        ({"deployment_id": "depl_x"}, 400, 'Failed to parse request body: unknown field "deployment_id"'),
    ],
)
def test_what_a_session_refuses(sqlite_api: Api, fields: dict[str, Any], status: int, message: str | None) -> None:
    body = {"agent": sqlite_api.agent()["id"], "environment_id": sqlite_api.environment()["id"], **fields}
    kind = "not_found_error" if status == 404 else "invalid_request_error"
    said = sqlite_api.post("/v1/sessions", body).refused(status, kind)
    assert message is None or said == message
    assert sqlite_api.get("/v1/sessions").ok()["data"] == []


def test_archived_things_make_no_new_sessions(sqlite_api: Api) -> None:
    agent, environment = sqlite_api.agent(), sqlite_api.environment()
    body = {"agent": agent["id"], "environment_id": environment["id"]}
    sqlite_api.post(f"/v1/environments/{environment['id']}/archive").ok()
    assert "archived" in sqlite_api.post("/v1/sessions", body).refused(400)
    sqlite_api.post(f"/v1/agents/{agent['id']}/archive").ok()
    said = sqlite_api.post("/v1/sessions", body).refused(400)
    assert said == f"agent {agent['id']} is archived and cannot be used to create a session"


def test_limited_networking_holds_back_mcp_servers_that_are_not_admitted(sqlite_api: Api) -> None:
    agent = sqlite_api.agent(
        mcp_servers=[{"type": "url", "name": "tickets", "url": "https://mcp.example.com/sse"}],
        tools=[{"type": "mcp_toolset", "mcp_server_name": "tickets"}],
    )
    closed = sqlite_api.environment(config={"type": "cloud", "networking": {"type": "limited"}})
    said = sqlite_api.post("/v1/sessions", {"agent": agent["id"], "environment_id": closed["id"]}).refused(400)
    assert said == (
        'MCP server host(s) blocked by environment network policy: "tickets" (mcp.example.com). Add these hosts to the '
        "environment's allowed_hosts, or set allow_mcp_servers=true."
    )
    open_ = {"type": "cloud", "networking": {"type": "limited", "allowed_hosts": ["*.example.com"]}}
    create(sqlite_api, agent=agent["id"], environment_id=sqlite_api.environment(config=open_)["id"])


def test_sessions_are_listed_both_ways_and_filtered(api: Api, clock: HandClock) -> None:
    agent, environment = api.agent(), api.environment()
    made = []
    for number in range(5):
        clock.advance(seconds=1)
        made.append(create(api, agent=agent["id"], environment_id=environment["id"], title=str(number)))

    def titles(**query: Any) -> list[str]:
        return [each["title"] for each in api.get("/v1/sessions", query=query).ok()["data"]]

    assert titles() == ["4", "3", "2", "1", "0"]
    assert titles(order="asc") == ["0", "1", "2", "3", "4"]
    send(api, made[2], MESSAGE).ok()
    api.post(path(made[4], "/archive")).ok()
    assert titles() == ["3", "2", "1", "0"]
    assert titles(include_archived="true") == ["4", "3", "2", "1", "0"]
    assert titles(**{"statuses[]": ["running"]}) == ["2"]
    assert titles(**{"statuses[]": ["running", "idle"]}) == ["3", "2", "1", "0"]
    assert titles(agent_id=agent["id"], agent_version=1) == ["3", "2", "1", "0"]
    assert titles(agent_id=agent["id"], agent_version=2) == []
    assert titles(deployment_id="depl_none") == []
    assert titles(memory_store_id="memstore_none") == []
    at = made[1]["created_at"]
    assert titles(**{"created_at[gt]": at}) == ["3", "2"]
    assert titles(**{"created_at[gte]": at, "created_at[lt]": made[3]["created_at"]}) == ["2", "1"]
    assert titles(**{"created_at[lte]": at}) == ["1", "0"]
    api.get("/v1/sessions", query={"agent_version": 1}).refused(400)


def test_an_update_is_told_in_the_log_if_it_changed_anything(api: Api) -> None:
    session = create(api, title="old", metadata={"a": "1"}, budget=BUDGET)
    assert api.post(path(session), {"title": "old"}).ok() == session
    assert log(api, session) == []
    api.post(path(session), {"title": "new", "metadata": {"a": None, "b": "2"}}).ok()
    [event] = log(api, session)
    assert event["type"] == "session.updated"
    assert (event["title"], event["metadata"]) == ("new", {"b": "2"})
    assert "budget" not in event
    raised = {"type": "limit", "max_list_cost": {"amount": "900", "currency": "USD"}}
    assert api.post(path(session), {"budget": raised}).ok()["budget"] == raised
    assert api.post(path(session), {"budget": None}).ok()["budget"] is None
    response = api.post(path(session), {"budget": BUDGET})
    response.refused(400)
    assert response.body["error"]["details"]["error_code"] == "budget_create_only"
    api.post(path(session), {"vault_ids": []}).refused(400)
    tools = api.post(path(session), {"agent": {"tools": [{"type": "agent_toolset_20260401"}]}}).ok()["agent"]["tools"]
    assert tools[0]["default_config"] == {"enabled": True, "permission_policy": {"type": "always_allow"}}


def test_a_running_session_is_neither_archived_nor_deleted(api: Api) -> None:
    session = create(api, initial_events=HELLO)
    assert api.post(path(session, "/archive")).refused(400) == (
        f'Session {session["id"]} cannot be archived while its status is "running". '
        "Only pending or idle sessions may be archived."
    )
    assert api.delete(path(session)).refused(400) == (
        "Cannot delete session while it is running. Send an interrupt event or wait for the session to complete."
    )


def test_an_archived_session_is_terminated_and_read_only(api: Api, clock: HandClock) -> None:
    session = create(api)
    clock.advance(seconds=30)
    archived = api.post(path(session, "/archive")).ok()
    assert (archived["status"], archived["stats"]["duration_seconds"]) == ("terminated", 30.0)
    clock.advance(seconds=30)
    assert api.post(path(session, "/archive")).ok() == archived
    assert send(api, session, MESSAGE).refused(400) == f"Cannot send events to archived session: {session['id']}"
    api.post(path(session), {"title": "x"}).refused(400)
    assert log(api, session) == []
    [thread] = api.get(path(session, "/threads")).ok()["data"]
    assert (thread["status"], thread["archived_at"]) == ("idle", None)


def test_a_deleted_session_is_gone_from_every_route(api: Api) -> None:
    session = create(api)
    assert api.delete(path(session)).ok() == {"type": "session_deleted", "id": session["id"]}
    for more in ("", "/events", "/threads", "/resources"):
        api.get(path(session, more)).refused(404, "not_found_error")


def test_the_older_prefix_is_understood(api: Api) -> None:
    session = create(api)
    older = session["id"].replace("sesn_", "session_")
    assert api.get(f"/v1/sessions/{older}").ok()["id"] == session["id"]


def test_a_message_wakes_an_idle_session_and_its_thread(api: Api) -> None:
    session = create(api)
    [sent] = send(api, session, MESSAGE).ok()["data"]
    assert (sent["type"], sent["processed_at"], sent["content"]) == ("user.message", None, MESSAGE["content"])
    assert api.get(path(session)).ok()["status"] == "running"
    [thread] = api.get(path(session, "/threads")).ok()["data"]
    assert (thread["status"], thread["parent_thread_id"], thread["stats"], thread["usage"]) == (
        "running",
        None,
        None,
        None,
    )
    assert api.get(path(session, f"/threads/{thread['id']}")).ok() == thread
    assert api.get(path(session, f"/threads/{thread['id']}/events")).ok()["data"] == log(api, session)
    said = api.get(path(session, "/threads/sthr_none")).refused(404, "not_found_error")
    assert said == "Thread not found: sthr_none"


@pytest.mark.parametrize(
    ("events", "status", "message"),
    [
        ([{"type": "x"}], 400, 'Failed to parse request: events[0].type: "x" is not a valid value'),
        (
            [{"type": "user.message", "content": [{"type": "text", "text": ""}]}],
            400,
            "events.0.user_message.content.0.text: value is required",
        ),
        ([{"type": "user.message", "content": []}], 400, None),
        ([{"type": "user.message", "content": [{"type": "redacted"}]}], 400, None),
        ([SYSTEM, MESSAGE], 400, "a `system.message` event must be the last event in the list"),
        ([OUTCOME, SYSTEM], 400, None),
        ([OUTCOME, OUTCOME], 400, None),
        ([{"type": "user.tool_confirmation", "tool_use_id": "sevt_none", "result": "allow"}], 400, None),
        ([{"type": "user.tool_confirmation", "tool_use_id": "s", "result": "allow", "deny_message": "no"}], 400, None),
        ([{"type": "user.custom_tool_result", "custom_tool_use_id": "sevt_none"}], 400, None),
        ([{"type": "user.interrupt", "session_thread_id": "nonsense"}], 400, "Invalid session_thread_id: nonsense"),
        ([{"type": "user.interrupt", "session_thread_id": "sthr_none"}], 404, "Thread not found: sthr_none"),
        (
            [{"type": "user.tool_result", "tool_use_id": "sevt_none"}],
            403,
            "events[0]: `user.tool_result` may only be sent with environment credentials (the self-hosted runner's "
            "Session-Instance JWT); an API key or Console session cannot post this event type",
        ),
    ],
)
def test_events_are_checked_as_a_whole_before_any_is_kept(
    sqlite_api: Api, events: list[dict[str, Any]], status: int, message: str | None
) -> None:
    session = create(sqlite_api)
    kinds = {400: "invalid_request_error", 403: "permission_error", 404: "not_found_error"}
    said = send(sqlite_api, session, *events).refused(status, kinds[status])
    assert message is None or said == message
    send(sqlite_api, session, MESSAGE, *events).refused(status, kinds[status])
    assert log(sqlite_api, session) == []
    assert sqlite_api.get(path(session)).ok()["status"] == "idle"


def test_a_request_holds_at_least_one_event(sqlite_api: Api) -> None:
    send(sqlite_api, create(sqlite_api)).refused(400)


def test_one_outcome_at_a_time(api: Api) -> None:
    session = create(api)
    send(api, session, OUTCOME).ok()
    assert "active outcome" in send(api, session, OUTCOME).refused(400)


def test_an_interrupt_of_an_idle_session_is_echoed_and_changes_nothing(api: Api) -> None:
    session = create(api)
    [sent] = send(api, session, {"type": "user.interrupt"}).ok()["data"]
    assert sent["processed_at"] is not None
    assert api.get(path(session)).ok()["status"] == "idle"


def test_events_are_filtered_by_type_and_by_when_they_were_taken_up(api: Api, clock: HandClock) -> None:
    session = create(api)
    send(api, session, {"type": "user.interrupt"}).ok()
    clock.advance(seconds=10)
    send(api, session, MESSAGE).ok()
    api.post(path(session), {"title": "Later"}).ok()
    assert [event["type"] for event in log(api, session, **{"types[]": ["user.message", "user.interrupt"]})] == [
        "user.interrupt",
        "user.message",
    ]
    assert log(api, session, order="desc")[0]["type"] == "user.message"
    late = log(api, session, **{"created_at[gte]": "2026-03-02T12:00:05Z"})
    assert [event["type"] for event in late] == ["session.updated"]
    api.get(path(session, "/events"), query={"types[]": "session.deleted"}).refused(400)


def test_repositories_are_mounted_and_listed_without_their_tokens(sqlite_api: Api) -> None:
    repository = {
        "type": "github_repository",
        "url": "https://github.com/acme/site",
        "authorization_token": "ghp_secret12345",
    }
    other = {
        **repository,
        "url": "https://github.com/acme/docs",
        "mount_path": "/workspace/d",
        "checkout": {"type": "branch", "name": "b"},
    }
    session = create(sqlite_api, resources=[repository, other])
    listed = sqlite_api.get(path(session, "/resources")).ok()["data"]
    assert listed == session["resources"]
    assert [each["mount_path"] for each in listed] == ["/workspace/site", "/workspace/d"]
    assert listed[1]["checkout"] == {"type": "branch", "name": "b"}
    assert all(each["id"].startswith("sesrsc_") and "authorization_token" not in each for each in listed)
    first = sqlite_api.get(path(session, "/resources"), query={"limit": 1}).ok()
    assert first["data"] == listed[:1]
    assert sqlite_api.get(path(session, "/resources"), query={"limit": 1, "page": first["next_page"]}).ok() == {
        "data": listed[1:],
        "next_page": None,
    }
