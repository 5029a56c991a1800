"""Every run error that a deployment can come to here arises for real: recorded with HTTP 200, leaving nothing half made.

And what a manual run does besides: paused and archived deployments, ids that lead nowhere, Idempotency-Keys, the limiter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rota.base.clock import DAY, MINUTE, SECOND, HandClock
from rota.base.ids import ALPHABET
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.resources.workspaces.wire import CreateWorkspace
from rota.store.tx import Query, Tx
from tests.api import HELLO, KEY, Api

COUNT = Query(
    "How much there is of all that a fire makes.",
    """SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM session_threads),
              (SELECT count(*) FROM session_events), (SELECT count(*) FROM session_tokens)""",
)
GET_BODY = Query("A deployment's stored body.", "SELECT body FROM deployments WHERE id = :id")
SET_BODY = Query("Put another in its place.", "UPDATE deployments SET body = :body WHERE id = :id")
SITE = {"type": "github_repository", "url": "https://github.com/acme/site"}
MCP = {
    "mcp_servers": [{"type": "url", "name": "docs", "url": "https://mcp.example.com/sse"}],
    "tools": [{"type": "mcp_toolset", "mcp_server_name": "docs"}],
}
NEITHER_FILE_NOR_STORE = "01AbCdEfGhJkLmNpQrStUvWx"
Json = dict[str, Any]


def second_workspace(api: Api) -> tuple[str, str]:
    """Another workspace of the organization: its id, and a key for it."""

    def make(tx: Tx) -> tuple[str, str]:
        workspace = workspaces.create(tx, api.who, CreateWorkspace(name="second"))
        return workspace.id, keys.create(tx, api.who.organization_id, workspace_id=workspace.id).key

    return api.write(make)


def disable(api: Api, disabled: bool) -> None:
    api.write(workspaces.set_disabled, api.who.organization_id, disabled)


def change(api: Api, deployment: Json, **fields: Any) -> None:
    """Update a deployment."""
    api.post(f"/v1/deployments/{deployment['id']}", fields).ok()


def move(api: Api, deployment: Json) -> None:
    """Give a deployment a new environment."""
    change(api, deployment, environment_id=api.environment()["id"])


def corrupt(api: Api, deployment: Json) -> str:
    """Spoil what is stored of a deployment, as no request can; what it was before."""
    [body] = api.read(lambda tx: tx.one(GET_BODY, id=deployment["id"]))  # type: ignore[misc]
    api.write(lambda tx: tx.run(SET_BODY, id=deployment["id"], body="not JSON"))
    return body


@dataclass(frozen=True)
class Trouble:
    """``arrange`` makes a deployment that was good when it was written and fails now; its way to mend it, if there is one."""

    type: str
    message: str
    arrange: Callable[[Api], tuple[Json, Callable[[], None] | None]]


def archived_environment(api: Api) -> Any:
    deployment = api.deployment()
    api.post(f"/v1/environments/{deployment['environment_id']}/archive").ok()
    return deployment, lambda: move(api, deployment)


def deleted_environment(api: Api) -> Any:
    deployment = api.deployment()
    api.delete(f"/v1/environments/{deployment['environment_id']}").ok()
    return deployment, lambda: move(api, deployment)


def archived_member(api: Api) -> Any:
    member = api.agent(name="Member")
    head = api.agent(name="Head", multiagent={"type": "coordinator", "agents": [member["id"]]})
    deployment = api.deployment(agent=head["id"])
    api.post(f"/v1/agents/{member['id']}/archive").ok()

    def mend() -> None:
        other = api.agent(name="Other")
        roster = {"type": "coordinator", "agents": [other["id"]]}
        api.post(f"/v1/agents/{head['id']}", {"multiagent": roster}).ok()
        change(api, deployment, agent=head["id"])

    return deployment, mend


def disabled_organization(api: Api) -> Any:
    deployment = api.deployment()
    disable(api, True)
    return deployment, lambda: disable(api, False)


def self_hosted(api: Api) -> Any:
    environment = api.environment(config={"type": "self_hosted"})
    deployment = api.deployment(environment_id=environment["id"], resources=[SITE])
    return deployment, lambda: change(api, deployment, resources=None)


def blocked_server(api: Api) -> Any:
    environment = api.environment(config={"type": "cloud", "networking": {"type": "limited"}})
    deployment = api.deployment(agent=api.agent(**MCP)["id"], environment_id=environment["id"])

    def mend() -> None:
        networking = {"type": "limited", "allowed_hosts": ["*.example.com"]}
        body = {"config": {"type": "cloud", "networking": networking}}
        api.post(f"/v1/environments/{environment['id']}", body).ok()

    return deployment, mend


def blocked_server_of_a_member(api: Api) -> Any:
    environment = api.environment(config={"type": "cloud", "networking": {"type": "limited"}})
    roster = {"type": "coordinator", "agents": [api.agent(name="Member", **MCP)["id"]]}
    deployment = api.deployment(agent=api.agent(multiagent=roster)["id"], environment_id=environment["id"])
    return deployment, lambda: move(api, deployment)


def overlapping_mounts(api: Api) -> Any:
    deployment = api.deployment(resources=[SITE, SITE])
    return deployment, lambda: change(api, deployment, resources=[SITE, SITE | {"mount_path": "/workspace/again"}])


def unpriced_member(api: Api) -> Any:
    member = api.agent(name="Member", model="somebodys-model")
    head = api.agent(multiagent={"type": "coordinator", "agents": [member["id"]]})
    budget = {"type": "limit", "max_list_cost": {"amount": "500", "currency": "USD"}}
    deployment = api.deployment(agent=head["id"], budget=budget)
    return deployment, lambda: change(api, deployment, budget=None)


def missing_file(api: Api) -> Any:
    deployment = api.deployment(resources=[{"type": "file", "file_id": f"file_{NEITHER_FILE_NOR_STORE}"}])
    return deployment, lambda: change(api, deployment, resources=[])


def missing_store(api: Api) -> Any:
    store = {"type": "memory_store", "memory_store_id": f"memstore_{NEITHER_FILE_NOR_STORE}"}
    deployment = api.deployment(resources=[store])
    return deployment, lambda: change(api, deployment, resources=[])


def spoilt_row(api: Api) -> Any:
    deployment = api.deployment()
    body = corrupt(api, deployment)
    return deployment, lambda: api.write(lambda tx: tx.run(SET_BODY, id=deployment["id"], body=body)) and None


TROUBLES = [
    Trouble("environment_archived_error", "environment `{environment}` is archived", archived_environment),
    Trouble(
        "environment_not_found_error",
        "session creation rejected: environment `{environment}` not found",
        deleted_environment,
    ),
    Trouble("agent_archived_error", "agent `agent_", archived_member),
    Trouble("organization_disabled_error", "organization is disabled", disabled_organization),
    Trouble("self_hosted_resources_unsupported_error", "`github_repository`", self_hosted),
    Trouble("mcp_egress_blocked_error", '"docs" (mcp.example.com)', blocked_server),
    Trouble("mcp_egress_blocked_error", '"docs" (mcp.example.com)', blocked_server_of_a_member),
    Trouble("session_creation_rejected_error", "`mount_path` overlaps another resource", overlapping_mounts),
    Trouble("session_creation_rejected_error", "somebodys-model", unpriced_member),
    Trouble(
        "file_not_found_error",
        f"Check that each `file_id` exists and is accessible: file_{NEITHER_FILE_NOR_STORE}",
        missing_file,
    ),
    Trouble("session_resource_not_found_error", "a referenced resource was not found", missing_store),
    Trouble("unknown_error", "internal error", spoilt_row),
]


def is_failed_run(run: Json, deployment: Json, kind: str, message: str) -> None:
    """The record of a fire that made no session, in full."""
    said = run["error"]["message"]
    assert run == {
        "type": "deployment_run",
        "id": run["id"],
        "deployment_id": deployment["id"],
        "trigger_context": {"type": "manual"},
        "session_id": None,
        "error": {"type": kind, "message": said},
        "agent": run["agent"],
        "created_at": run["created_at"],
    }
    assert message.format(environment=deployment["environment_id"]) in said


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.arrange.__name__)
def test_a_fire_that_fails_is_recorded_and_leaves_nothing_behind_and_works_once_it_is_mended(
    api: Api, trouble: Trouble
) -> None:
    deployment, mend = trouble.arrange(api)
    path = f"/v1/deployments/{deployment['id']}"
    before = api.read(lambda tx: tx.one(COUNT))
    shown = None if trouble.type == "unknown_error" else api.get(path).ok()
    api.clock.advance(seconds=5)
    run = api.fire(deployment)
    is_failed_run(run, deployment, trouble.type, trouble.message)
    assert run["created_at"] == "2026-03-02T12:00:05Z"
    assert api.read(lambda tx: tx.one(COUNT)) == before
    assert api.get(f"/v1/deployment_runs/{run['id']}").ok() == run
    assert api.get("/v1/sessions", query={"deployment_id": deployment["id"]}).ok()["data"] == []
    if shown is not None:
        assert api.get(path).ok() == shown, "a manual run never pauses, and never touches the deployment"
    assert mend is not None
    mend()
    good = api.fire(deployment)
    assert good["error"] is None
    assert api.get(f"/v1/sessions/{good['session_id']}").ok()["deployment_id"] == deployment["id"]
    query = {"deployment_id": deployment["id"]}
    assert api.get("/v1/deployment_runs", query=query | {"has_error": "true"}).ok()["data"] == [run]
    assert api.get("/v1/deployment_runs", query=query | {"has_error": "false"}).ok()["data"] == [good]


def test_a_run_in_an_archived_workspace_is_recorded_where_nothing_else_can_be_written(api: Api) -> None:
    workspace_id, key = second_workspace(api)
    agent = api.post("/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"}, key=key).ok()
    environment = api.post("/v1/environments", {"name": "cloud"}, key=key).ok()
    body = {"name": "x", "agent": agent["id"], "environment_id": environment["id"], "initial_events": HELLO}
    deployment = api.post("/v1/deployments", body, key=key).ok()
    api.write(lambda tx: workspaces.archive(tx, admin(api), workspace_id))
    before = api.read(lambda tx: tx.one(COUNT))
    run = api.fire(deployment, key=key)
    is_failed_run(run, deployment, "workspace_archived_error", "workspace is archived")
    assert api.read(lambda tx: tx.one(COUNT)) == before
    assert "workspace is archived" in api.post("/v1/deployments", body, key=key).refused(400)
    assert api.get("/v1/deployment_runs", key=key).ok()["data"] == [run]


def test_a_disabled_organization_comes_before_an_archived_workspace(sqlite_api: Api) -> None:
    api = sqlite_api
    workspace_id, key = second_workspace(api)
    agent = api.post("/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"}, key=key).ok()
    environment = api.post("/v1/environments", {"name": "cloud"}, key=key).ok()
    body = {"name": "x", "agent": agent["id"], "environment_id": environment["id"], "initial_events": HELLO}
    deployment = api.post("/v1/deployments", body, key=key).ok()
    api.write(lambda tx: workspaces.archive(tx, admin(api), workspace_id))
    disable(api, True)
    assert api.fire(deployment, key=key)["error"]["type"] == "organization_disabled_error"


def admin(api: Api) -> Any:
    """The organization's admin, as an action sees one."""
    return msgspec.structs.replace(api.who, workspace_id="", scope="admin")


def test_a_fire_that_nobody_foresaw_does_not_spoil_the_fires_beside_it(api: Api) -> None:
    good, bad = api.deployment(), api.deployment()
    corrupt(api, bad)
    paths = [f"/v1/deployments/{each['id']}/run" for each in (good, bad, good, bad, good)]
    runs = [answer.ok() for answer in api.gather([api.call("POST", path) for path in paths])]
    assert [run["error"] and run["error"]["type"] for run in runs] == [
        None,
        "unknown_error",
        None,
        "unknown_error",
        None,
    ]
    assert len({run["session_id"] for run in runs if run["session_id"]}) == 3


# Paused, archived, and not there


def test_a_paused_deployment_runs_by_hand_and_stays_paused(sqlite_api: Api) -> None:
    api = sqlite_api
    deployment = api.deployment()
    path = f"/v1/deployments/{deployment['id']}"
    paused = api.post(path + "/pause").ok()
    api.clock.advance(seconds=1)
    assert api.fire(deployment)["session_id"] is not None
    assert api.get(path).ok() == paused


def test_an_archived_deployment_does_not_run_and_no_run_is_recorded(sqlite_api: Api) -> None:
    api = sqlite_api
    deployment = api.deployment()
    api.post(f"/v1/deployments/{deployment['id']}/archive").ok()
    assert api.post(f"/v1/deployments/{deployment['id']}/run").refused(400) == "Cannot modify archived deployment"
    assert api.get("/v1/deployment_runs").ok()["data"] == []


def test_a_deployment_whose_agent_was_archived_does_not_run_either(api: Api) -> None:
    deployment = api.deployment()
    api.post(f"/v1/agents/{deployment['agent']['id']}/archive").ok()
    assert api.post(f"/v1/deployments/{deployment['id']}/run").refused(400) == "Cannot modify archived deployment"
    assert api.get("/v1/deployment_runs").ok()["data"] == []


def test_an_unknown_a_foreign_and_a_malformed_id_cannot_be_told_apart(sqlite_api: Api) -> None:
    api = sqlite_api
    deployment = api.deployment()
    _, stranger = second_workspace(api)
    unknown = "depl_01" + ALPHABET[:22]
    asked = [(deployment["id"], stranger), (unknown, KEY), ("depl_x", KEY), ("agent_01", KEY), ("\ufffd'\"", KEY)]
    for deployment_id, key in asked:
        answer = api.post(f"/v1/deployments/{deployment_id}/run", key=key)
        assert answer.refused(404, "not_found_error") == f"Deployment `{deployment_id}` not found."
        assert set(answer.body) == {"type", "error", "request_id"}
        assert set(answer.body["error"]) == {"type", "message"}
        assert answer.headers["x-should-retry"] == "false"
    assert api.get("/v1/deployment_runs").ok()["data"] == []
    assert api.get("/v1/deployment_runs", key=stranger).ok()["data"] == []


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"anything": 1}', b"not JSON"])
def test_a_run_has_no_body_and_ignores_one(sqlite_api: Api, raw: bytes) -> None:
    api = sqlite_api
    deployment = api.deployment()
    assert api.fire(deployment, raw=raw)["error"] is None


# Idempotency-Key


def keyed(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


def test_a_repeated_key_replays_the_first_reply_byte_for_byte(api: Api) -> None:
    deployment = api.deployment()
    path = f"/v1/deployments/{deployment['id']}/run"
    first = api.post(path, headers=keyed("once"))
    api.clock.advance(seconds=3_600)
    again = api.post(path, headers=keyed("once"))
    assert again.ok() == first.ok()
    assert again.raw == first.raw
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["request-id"] != first.headers["request-id"]
    assert api.get("/v1/deployment_runs").ok()["data"] == [first.body]


def test_a_recorded_failure_is_replayed_like_any_reply(sqlite_api: Api) -> None:
    api = sqlite_api
    deployment, mend = archived_environment(api)
    path = f"/v1/deployments/{deployment['id']}/run"
    first = api.post(path, headers=keyed("once"))
    assert first.ok()["error"]["type"] == "environment_archived_error"
    mend()
    assert api.post(path, headers=keyed("once")).raw == first.raw
    assert api.post(path, headers=keyed("twice")).ok()["error"] is None


def test_a_failure_that_nobody_foresaw_is_kept_under_its_key_too(api: Api) -> None:
    deployment, mend = spoilt_row(api)
    path = f"/v1/deployments/{deployment['id']}/run"
    first = api.post(path, headers=keyed("once"))
    assert first.ok()["error"]["type"] == "unknown_error"
    mend()
    assert api.post(path, headers=keyed("once")).raw == first.raw
    assert len(api.get("/v1/deployment_runs").ok()["data"]) == 1


def test_a_key_with_another_body_or_for_another_deployment_is_refused(sqlite_api: Api) -> None:
    api = sqlite_api
    deployment, other = api.deployment(), api.deployment()
    path = f"/v1/deployments/{deployment['id']}/run"
    api.post(path, headers=keyed("once")).ok()
    assert "Idempotency-Key" in api.post(path, raw=b"{}", headers=keyed("once")).refused(400)
    other_path = f"/v1/deployments/{other['id']}/run"
    assert "Idempotency-Key" in api.post(other_path, headers=keyed("once")).refused(400)
    assert len(api.get("/v1/deployment_runs").ok()["data"]) == 1


def test_a_key_is_forgotten_after_a_day(sqlite_api: Api) -> None:
    api = sqlite_api
    deployment = api.deployment()
    path = f"/v1/deployments/{deployment['id']}/run"
    first = api.post(path, headers=keyed("once")).ok()
    api.clock.advance(seconds=DAY / SECOND - 1)
    assert api.post(path, headers=keyed("once")).ok() == first
    api.clock.advance(seconds=2)
    assert api.post(path, headers=keyed("once")).ok()["id"] != first["id"]


def test_a_refusal_does_not_use_a_key_up(sqlite_api: Api) -> None:
    api = sqlite_api
    deployment = api.deployment()
    path = f"/v1/deployments/{deployment['id']}"
    disable(api, True)
    body = {"name": "x", "model": "claude-opus-5-5"}
    api.post("/v1/agents", body, headers=keyed("once")).refused(400)
    disable(api, False)
    assert api.post("/v1/agents", body, headers=keyed("once")).ok()["name"] == "x"
    api.post(path + "/archive").ok()
    api.post(path + "/run", headers=keyed("run")).refused(400)
    assert api.post(path + "/run", headers=keyed("run")).refused(400) == "Cannot modify archived deployment"


def test_a_key_belongs_to_its_workspace(sqlite_api: Api) -> None:
    api = sqlite_api
    _, other_key = second_workspace(api)
    body = {"name": "x", "model": "claude-opus-5-5"}
    one = api.post("/v1/agents", body, headers=keyed("same")).ok()
    other = api.post("/v1/agents", body, headers=keyed("same"), key=other_key).ok()
    assert one["id"] != other["id"]


@pytest.mark.parametrize("key", ["", "a" * 256, "\u00e9", "tab\there"])
def test_a_malformed_key_is_refused(sqlite_api: Api, key: str) -> None:
    api = sqlite_api
    deployment = api.deployment()
    assert "Idempotency-Key" in api.post(f"/v1/deployments/{deployment['id']}/run", headers=keyed(key)).refused(400)
    assert api.get("/v1/deployment_runs").ok()["data"] == []


def test_a_key_that_is_being_served_is_a_conflict_that_may_be_retried(api: Api) -> None:
    deployment = api.deployment()
    path = f"/v1/deployments/{deployment['id']}/run"
    first, second = api.gather([api.call("POST", path, headers=keyed("now")) for _ in range(2)])
    assert "Idempotency-Key" in second.refused(409)
    assert second.headers["x-should-retry"] == "true"
    assert api.post(path, headers=keyed("now")).raw == first.raw


def test_a_hundred_duplicates_at_once_make_one_run_for_each_key(api: Api) -> None:
    deployment = api.deployment()
    path = f"/v1/deployments/{deployment['id']}/run"
    names = [f"key {number}" for number in range(5)]
    waiting = [name for _ in range(100) for name in names]
    replies: dict[str, set[bytes]] = {name: set() for name in names}
    while waiting:
        answers = api.gather([api.call("POST", path, headers=keyed(name)) for name in waiting])
        late: list[str] = []
        for name, answer in zip(waiting, answers, strict=True):
            if answer.status == 409:
                late.append(name)
            else:
                answer.ok()
                replies[name].add(answer.raw)
        assert len(late) < len(waiting), "of all that ask at once, somebody is served"
        waiting = late[
            : len(late) // 2
        ]  # half of them give up, or this would take as many rounds as there are duplicates
    assert [len(raw) for raw in replies.values()] == [1] * 5
    runs = api.get("/v1/deployment_runs", query={"limit": 1000}).ok()["data"]
    assert len(runs) == 5
    assert len(api.get("/v1/sessions", query={"limit": 100}).ok()["data"]) == 5


# The session-create limiter


@pytest.fixture
def limited_api(database_url: str, tmp_path: Path, clock: HandClock) -> Any:
    with Api(database_url, tmp_path, clock, rate_limit_sessions_per_minute=2) as client:
        yield client


def test_over_the_limit_a_run_is_recorded_as_failed_and_a_session_is_429(limited_api: Api) -> None:
    api = limited_api
    deployment = api.deployment()
    api.clock.set(api.clock.now() // MINUTE * MINUTE + 10 * SECOND)
    assert [api.fire(deployment)["error"] for _ in range(2)] == [None, None]
    before = api.read(lambda tx: tx.one(COUNT))
    is_failed_run(api.fire(deployment), deployment, "session_rate_limited_error", "session creation was rate limited")
    body = {"agent": deployment["agent"]["id"], "environment_id": deployment["environment_id"]}
    answer = api.post("/v1/sessions", body)
    answer.refused(429, "rate_limit_error")
    assert answer.headers["retry-after"] == "50"
    assert "x-should-retry" not in answer.headers
    assert api.read(lambda tx: tx.one(COUNT)) == before
    assert api.get(f"/v1/deployments/{deployment['id']}").ok()["status"] == "active"
    api.clock.advance(seconds=50)
    assert api.fire(deployment)["error"] is None
    assert api.post("/v1/sessions", body).ok()["status"] == "idle"


def test_the_limiter_comes_before_every_other_reason(limited_api: Api) -> None:
    api = limited_api
    deployment = api.deployment()
    for _ in range(2):
        api.fire(deployment)
    api.post(f"/v1/environments/{deployment['environment_id']}/archive").ok()
    assert api.fire(deployment)["error"]["type"] == "session_rate_limited_error"


def test_of_fires_at_once_only_so_many_get_a_session(limited_api: Api) -> None:
    api = limited_api
    deployment = api.deployment()
    calls = [api.call("POST", f"/v1/deployments/{deployment['id']}/run") for _ in range(8)]
    errors = [answer.ok()["error"] for answer in api.gather(calls)]
    assert sum(error is None for error in errors) == 2
    assert {error["type"] for error in errors if error} == {"session_rate_limited_error"}


def test_the_limit_is_the_organizations_not_the_workspaces(limited_api: Api) -> None:
    api = limited_api
    deployment = api.deployment()
    for _ in range(2):
        api.fire(deployment)
    _, key = second_workspace(api)
    agent = api.post("/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"}, key=key).ok()
    environment = api.post("/v1/environments", {"name": "cloud"}, key=key).ok()
    body = {"agent": agent["id"], "environment_id": environment["id"]}
    api.post("/v1/sessions", body, key=key).refused(429, "rate_limit_error")
