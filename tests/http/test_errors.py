"""What every response has in common, and what an error looks like (contract, headers and errors)."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from rota.base.errors import DiskFull, Unavailable
from rota.http.admit import Admission
from rota.http.app import App
from rota.http.request import Request
from rota.http.route import MAX_BODY, Route
from rota.resources.workspaces import keys
from rota.store.tx import Query, Tx
from tests.api import KEY, Api, Response

REQUEST_ID = re.compile(r"req_01[0-9A-HJ-Za-z]{22}")
CANARY = "canary-5dba6c41"

Call = Callable[[Api], Response]

REFUSALS: dict[str, tuple[Call, int, str]] = {
    "a body that does not fit": (lambda api: api.post("/v1/deployments", {}), 400, "invalid_request_error"),
    "a bad filter": (lambda api: api.get("/v1/deployments?status=gone"), 400, "invalid_request_error"),
    "a malformed header": (
        lambda api: api.get("/v1/deployments", headers={"anthropic-beta": "a\x07"}), 400, "invalid_request_error",
    ),
    "no credential": (lambda api: api.get("/v1/deployments", key=None), 401, "authentication_error"),
    "an unknown credential": (lambda api: api.get("/v1/deployments", key="nonsense"), 401, "authentication_error"),
    "a route of the organization's": (
        lambda api: api.post("/v1/organizations/workspaces", {"name": "W"}), 403, "permission_error",
    ),
    "an unknown id": (lambda api: api.get("/v1/deployments/depl_01nothing"), 404, "not_found_error"),
    "an unknown path": (lambda api: api.get("/v1/nothing"), 404, "not_found_error"),
    "another method": (lambda api: api.run(api.call("PUT", "/v1/deployments")), 405, "invalid_request_error"),
    "a lost race": (
        lambda api: api.post(f"/v1/agents/{api.agent()['id']}", {"version": 7}), 409, "invalid_request_error",
    ),
    "too large a body": (
        lambda api: api.post("/v1/deployments", raw=b"{}", headers={"content-length": str(MAX_BODY + 1)}),
        413,
        "request_too_large",
    ),
}  # fmt: skip


def broken(api: Api, error: Exception) -> App:
    """The application with one route more, ``GET /broken``, that fails with ``error``."""

    async def handle(_request: Request) -> Any:
        raise error

    routes = [Route("GET", "/broken", "broken", "Fails", handle, dict), *api.house.routes]
    admission = Admission(api.house.db, api.clock, keys.admit)
    return App(routes, api.house.db, admission, api.house.app.cursors, api.house.app.policy, api.house.app.blobs)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_the_envelope_and_is_not_to_be_retried(still_api: Api, name: str) -> None:
    call, status, kind = REFUSALS[name]
    response = call(still_api)
    assert response.refused(status, kind)
    assert set(response.body) == {"type", "error", "request_id"}
    assert set(response.body["error"]) == {"type", "message"}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(response.raw))
    assert response.headers["x-should-retry"] == "false"
    assert REQUEST_ID.fullmatch(response.headers["request-id"])


def test_every_response_has_a_request_id_of_its_own(sqlite_api: Api) -> None:
    calls: list[Call] = [call for call, _, _ in REFUSALS.values()]
    calls += [
        lambda api, path=path: api.get(path) for path in ("/v1/deployments", "/healthz", "/metrics", "/openapi.json")
    ]
    found = [call(sqlite_api).headers["request-id"] for call in calls * 2]
    assert len(set(found)) == len(found)
    assert all(REQUEST_ID.fullmatch(request_id) for request_id in found)


def test_details_are_there_only_where_they_are_on_record(sqlite_api: Api) -> None:
    environment = sqlite_api.environment()
    path = f"/v1/environments/{environment['id']}"
    refused = sqlite_api.post(path, {"config": {"type": "self_hosted"}}).body["error"]
    assert refused["details"] == {"error_code": "invalid_config_type_change"}
    sqlite_api.post(f"{path}/archive").ok()
    assert sqlite_api.post(path, {}).body["error"]["details"] == {"error_code": "environment_archived"}


@pytest.mark.parametrize(
    ("error", "status", "kind", "retry_after"),
    [
        (RuntimeError(CANARY), 500, "api_error", None),
        (KeyError(CANARY), 500, "api_error", None),
        (Unavailable(CANARY), 503, "overloaded_error", "1"),
        (DiskFull(CANARY), 503, "overloaded_error", "30"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_fault_says_nothing_of_its_cause_and_may_be_retried(
    sqlite_api: Api, error: Exception, status: int, kind: str, retry_after: str | None
) -> None:
    sqlite_api.house.app = broken(sqlite_api, error)
    response = sqlite_api.get("/broken")
    message = response.refused(status, kind)
    assert CANARY not in response.raw.decode()
    assert message.endswith(".")
    assert "x-should-retry" not in response.headers
    assert response.headers.get("retry-after") == retry_after


def test_a_broken_database_is_not_described_to_clients(api: Api) -> None:
    def drop(tx: Tx) -> None:
        tx.run(Query("Break something.", "DROP TABLE environments"))

    api.write(drop)
    response = api.get("/v1/environments")
    assert response.refused(500, "api_error") == "Internal server error."
    assert b"environments" not in response.raw


def test_responses_name_organization_and_workspace(still_api: Api) -> None:
    for response in (
        still_api.get("/v1/deployments"),
        still_api.get("/v1/deployments/depl_01nothing"),
        still_api.post("/v1/agents", {}),
        still_api.get("/v1/organizations/me"),
    ):
        assert response.headers["anthropic-organization-id"] == still_api.who.organization_id
        assert response.headers["anthropic-workspace-id"] == still_api.who.workspace_id
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", still_api.who.organization_id
    )
    assert still_api.who.workspace_id.startswith("wrkspc_01")


def test_responses_name_neither_before_the_caller_is_known(still_api: Api) -> None:
    for response in (
        still_api.get("/v1/deployments", key=None),
        still_api.get("/v1/deployments", key="nonsense"),
        still_api.get("/v1/nothing"),
        still_api.run(still_api.call("PUT", "/v1/deployments")),
        still_api.get("/healthz"),
    ):
        assert "anthropic-organization-id" not in response.headers
        assert "anthropic-workspace-id" not in response.headers


def test_responses_about_environments_name_neither(sqlite_api: Api) -> None:
    environment = sqlite_api.environment()
    path = f"/v1/environments/{environment['id']}"
    for response in (
        sqlite_api.get("/v1/environments"),
        sqlite_api.get(path),
        sqlite_api.post(path, {}),
        sqlite_api.get("/v1/environments/env_01nothing"),
        sqlite_api.post(f"{path}/archive"),
        sqlite_api.delete(path),
    ):
        assert "anthropic-organization-id" not in response.headers
        assert "anthropic-workspace-id" not in response.headers


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/v1/deployments/", "/v1//deployments", "/v1/deployments/a/b/c", "/V1/deployments", "/v1/deployments\0",
     "/v2/deployments", "/v1/deployments/depl_x/run/", "", "*"],
)  # fmt: skip
def test_an_unknown_path_is_not_found_whoever_asks(still_api: Api, path: str) -> None:
    for key in (KEY, None):
        assert still_api.get(path, key=key).refused(404, "not_found_error") == "not found"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "get", ""])
def test_a_method_that_a_path_does_not_have_is_named_beside_those_that_it_has(still_api: Api, method: str) -> None:
    response = still_api.run(still_api.call(method, "/v1/deployments/depl_01x"))
    assert response.refused(405) == f"{method} is not allowed here; use GET or POST."
    assert response.headers["allow"] == "GET, POST"


def test_an_unknown_and_a_malformed_id_are_not_found_in_the_same_words(api: Api) -> None:
    for room in ("deployments", "deployment_runs", "sessions", "agents", "environments"):
        unknown = api.get(f"/v1/{room}/zzz").refused(404, "not_found_error")
        for thing in ("depl_01nothing", "nonsense", "ü", "a b", "'; DROP TABLE sessions", "x" * 5000):
            assert api.get(f"/v1/{room}/{thing}").refused(404, "not_found_error") == unknown.replace("zzz", thing)
        assert api.get(f"/v1/{room}/a\0b").refused(404, "not_found_error")
