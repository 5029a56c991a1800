"""Commands of the operator beside a live server: the next request knows."""

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.acceptance.server import KEY, Answer, Server, read_answer
from tests.cli.process import answer, eventually


@pytest.fixture
def connection(server: Server) -> Iterator[HTTPConnection]:
    """A connection that stays open, as clients keep theirs."""
    opened = server.connection()
    yield opened
    opened.close()


def ask(connection: HTTPConnection, key: str) -> Answer:
    connection.request("GET", "/v1/agents", headers={"x-api-key": key})
    return read_answer(connection.getresponse())


def test_a_revoked_key_is_refused_from_its_next_request_on(server: Server, connection: HTTPConnection) -> None:
    made = answer("keys", "create", *server.place)
    for _ in range(3):
        ask(connection, made["key"]).ok()
    answer("keys", "revoke", made["id"], *server.place)
    assert ask(connection, made["key"]).refused(401, "authentication_error") == "invalid x-api-key"
    ask(connection, KEY).ok()


def test_an_expired_key_is_refused(server: Server, connection: HTTPConnection) -> None:
    made = answer("keys", "create", "--expires-in", "1", *server.place)
    refused = eventually(lambda: found if (found := ask(connection, made["key"])).status != 200 else None)
    assert "expired" in refused.refused(401, "authentication_error")
    ask(connection, KEY).ok()


def test_a_key_of_another_workspace_sees_nothing_of_this_one(server: Server, connection: HTTPConnection) -> None:
    deployment = server.deployment("ours")
    other = answer("workspaces", "create", "other", *server.place)
    made = answer("keys", "create", "--workspace", other["id"], *server.place)
    assert ask(connection, made["key"]).ok()["data"] == []
    for name in (deployment, "depl_01AAAAAAAAAAAAAAAAAAAAAA"):
        for method, path in [("GET", ""), ("POST", "/run"), ("POST", "/archive"), ("POST", "")]:
            refused = server.ask(method, f"/v1/deployments/{name}{path}", key=made["key"])
            assert refused.refused(404, "not_found_error") == f"Deployment `{name}` not found."
    assert server.ask("GET", "/v1/deployment_runs", key=made["key"]).ok()["data"] == []


def test_a_run_in_an_archived_workspace_is_recorded_with_that_error(server: Server) -> None:
    other = answer("workspaces", "create", "other", *server.place)
    key = answer("keys", "create", "--workspace", other["id"], *server.place)["key"]
    server.key = key
    deployment = server.deployment("theirs")
    assert server.ask("POST", f"/v1/deployments/{deployment}/run").ok()["error"] is None
    answer("workspaces", "archive", other["id"], *server.place)
    run = server.ask("POST", f"/v1/deployments/{deployment}/run").ok()
    assert (run["session_id"], run["error"]["type"]) == (None, "workspace_archived_error")
    assert server.ask("GET", "/v1/deployment_runs?has_error=true").ok()["data"] == [run]
    server.ask("POST", f"/v1/deployments/{deployment}/pause").refused(400, "invalid_request_error")


def test_a_run_in_a_disabled_organization_is_recorded_with_that_error(server: Server) -> None:
    deployment = server.deployment("ours")
    answer("organizations", "disable", *server.place)
    run = server.ask("POST", f"/v1/deployments/{deployment}/run").ok()
    assert (run["session_id"], run["error"]["type"]) == (None, "organization_disabled_error")
    server.ask("POST", f"/v1/deployments/{deployment}/pause").refused(400, "invalid_request_error")
    answer("organizations", "enable", *server.place)
    assert server.ask("POST", f"/v1/deployments/{deployment}/run").ok()["error"] is None


def test_a_run_over_the_session_limit_is_recorded_and_a_session_over_it_is_429(tmp_path: Path) -> None:
    with Server(tmp_path, ROTA_RATE_LIMIT_SESSIONS_PER_MINUTE="2") as server:
        deployment = server.deployment("eager")
        runs = [server.ask("POST", f"/v1/deployments/{deployment}/run").ok() for _ in range(3)]
        assert [run["error"] and run["error"]["type"] for run in runs] == [None, None, "session_rate_limited_error"]
        found = server.ask("GET", f"/v1/deployments/{deployment}").ok()
        body = {"agent": found["agent"]["id"], "environment_id": found["environment_id"]}
        limited = server.ask("POST", "/v1/sessions", body)
        limited.refused(429, "rate_limit_error")
        assert 1 <= int(limited.headers["retry-after"]) <= 60
