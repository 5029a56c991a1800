"""Who gets in, with what, and where to (contract, request headers; decisions: credentials, keys, beta)."""

import math
import time
from pathlib import Path
from typing import Any

import pytest

from rota import api as table
from rota.base.clock import HandClock
from rota.http.route import Route
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.resources.workspaces.wire import CreateWorkspace
from tests.api import KEY, Api, Response

BEARER = {"authorization": f"Bearer {KEY}"}
UNAUTHENTICATED = (401, "authentication_error")
ROUTES = [route for route in table.ROUTES if route.access != "public"]
CHANGES = [route for route in ROUTES if route.method != "GET" and route.name != "deployments.run"]


def make_key(api: Api, **more: Any) -> keys.Made:
    """A key of the caller's workspace, unless told otherwise."""
    more.setdefault("workspace_id", api.who.workspace_id)
    return api.write(lambda tx: keys.create(tx, api.who.organization_id, **more))


def make_workspace(api: Api) -> str:
    return api.write(lambda tx: workspaces.create(tx, api.who, CreateWorkspace(name="Other"))).id


def call(api: Api, route: Route, **more: Any) -> Response:
    """A request for the route, about ids that do not exist, with an empty body."""
    path = "/".join("nothing" if part.startswith("{") else part for part in route.path.split("/"))
    return api.run(api.call(route.method, path, **more))


# Which header


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": KEY},
        BEARER,
        {"authorization": f"bearer   {KEY} "},
        {"x-api-key": KEY, **BEARER},
        {"x-api-key": KEY, "anthropic-version": "2023-06-01"},
        {"x-api-key": KEY, "anthropic-version": "2026-10-21"},
        {"x-api-key": KEY, "anthropic-version": "yesterday"},
    ],
    ids=str,
)
def test_a_key_opens_in_either_header_and_with_any_version(still_api: Api, headers: dict[str, str]) -> None:
    assert still_api.get("/v1/agents", key=None, headers=headers).ok()["data"] == []


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "x-api-key header is required"),
        ({"x-api-key": ""}, "x-api-key header is required"),
        ({"x-api-key": "nonsense"}, None),
        ({"authorization": "Bearer nonsense"}, "Invalid bearer token"),
        ({"authorization": KEY}, "Invalid bearer token"),
        ({"authorization": "Bearer"}, "Invalid bearer token"),
        ({"authorization": "Bearer "}, "Invalid bearer token"),
        ({"authorization": f"Basic {KEY}"}, "Invalid bearer token"),
        ({"authorization": "Bearer é"}, "Invalid bearer token"),
        ({"x-api-key": KEY, "authorization": "Bearer nonsense"}, None),
        ({"x-api-key": "nonsense", **BEARER}, None),
        ({"x-api-key": "", **BEARER}, None),
        ({"x-api-key": KEY, "authorization": "Basic x"}, None),
        ({"x-api-key": KEY.upper()}, None),
        ({"x-api-key": KEY[:-1]}, None),
        ({"x-api-key": "k" * 60_000}, None),
    ],
)
def test_whatever_is_no_good_credential_is_401(still_api: Api, headers: dict[str, str], message: str | None) -> None:
    response = still_api.get("/v1/agents", key=None, headers=headers)
    said = response.refused(*UNAUTHENTICATED)
    assert message is None or said == message
    assert response.headers["x-should-retry"] == "false"
    assert KEY not in response.raw.decode()


def test_two_different_good_credentials_are_refused(still_api: Api) -> None:
    other = make_key(still_api).key
    assert still_api.get("/v1/agents", key=other).ok()
    still_api.get("/v1/agents", headers={"authorization": f"Bearer {other}"}).refused(*UNAUTHENTICATED)


def test_no_route_answers_without_a_credential(still_api: Api) -> None:
    for route in ROUTES:
        assert call(still_api, route, key=None).refused(*UNAUTHENTICATED) == "x-api-key header is required"
        call(still_api, route, key="nonsense").refused(*UNAUTHENTICATED)


# Which key


def test_an_environment_key_opens_what_the_table_says_and_nothing_else(sqlite_api: Api) -> None:
    environment = sqlite_api.environment(config={"type": "self_hosted"})
    key = make_key(sqlite_api, environment_id=environment["id"]).key
    for route in ROUTES:
        if "environment" in route.opens:
            continue
        for sent in ({"key": key}, {"key": None, "headers": {"authorization": f"Bearer {key}"}}):
            response = call(sqlite_api, route, **sent)
            if route.unopened == "nothing":
                assert response.refused(404, "not_found_error") == "Not found"
            elif route.unopened == "scope":
                said = response.refused(403, "permission_error")
                assert said.startswith("OAuth token does not meet scope requirement any_of(")
            else:
                assert response.refused(*UNAUTHENTICATED) == "Authentication failed"


def test_an_admin_key_opens_the_organization_and_a_workspace_key_the_workspace(sqlite_api: Api) -> None:
    admin = make_key(sqlite_api, workspace_id=None).key
    for route in ROUTES:
        if route.access in ("workspace", "environment"):
            call(sqlite_api, route, key=admin).refused(403, "permission_error")
        else:
            assert call(sqlite_api, route, key=admin).status in (200, 400, 404)
        if route.access in ("admin", "environment"):
            call(sqlite_api, route).refused(403, "permission_error")


def test_a_key_sees_its_own_workspace_only(api: Api) -> None:
    other = make_key(api, workspace_id=make_workspace(api)).key
    deployment = api.deployment()
    run = api.fire(deployment)
    own = {
        "agents": deployment["agent"]["id"],
        "environments": deployment["environment_id"],
        "deployments": deployment["id"],
        "deployment_runs": run["id"],
        "sessions": run["session_id"],
        "memory_stores": api.memory_store()["id"],
    }
    for room, thing in own.items():
        assert api.get(f"/v1/{room}/{thing}").ok()["id"] == thing
        foreign = api.get(f"/v1/{room}/{thing}", key=other).refused(404, "not_found_error")
        unknown = api.get(f"/v1/{room}/{thing[:-1]}~", key=other).refused(404, "not_found_error")
        assert foreign == unknown.replace(f"{thing[:-1]}~", thing)
        assert api.get(f"/v1/{room}", key=other).ok()["data"] == []
    body = {
        "name": "n",
        "agent": own["agents"],
        "environment_id": own["environments"],
        "initial_events": deployment["initial_events"],
    }
    foreign = api.post("/v1/deployments", body, key=other).refused(404, "not_found_error")
    assert foreign == "Referenced agent not found or not accessible."
    api.post("/v1/sessions", {"agent": own["agents"], "environment_id": own["environments"]}, key=other).refused(
        404, "not_found_error"
    )
    agent = api.post("/v1/agents", {"name": "a", "model": "m"}, key=other).ok()["id"]
    foreign = api.post("/v1/deployments", {**body, "agent": agent}, key=other).refused(404, "not_found_error")
    assert foreign == "Referenced environment not found or not accessible."
    foreign = api.post("/v1/sessions", {"agent": agent, "environment_id": own["environments"]}, key=other).refused(
        404, "not_found_error"
    )
    assert foreign == f"Environment {own['environments']} not found."


# Which workspace


@pytest.mark.parametrize(
    "asked", ["default", "", "wrkspc_", "wrkspc_a b", "WRKSPC_01", "workspace", "wrkspc_" + "x" * 5000]
)
def test_a_malformed_workspace_header_is_400(still_api: Api, asked: str) -> None:
    message = still_api.get("/v1/agents", headers={"anthropic-workspace-id": asked}).refused(400)
    assert message == "anthropic-workspace-id header must be a valid workspace ID."


def test_a_workspace_header_must_name_the_keys_own_workspace(still_api: Api) -> None:
    own = still_api.who.workspace_id
    assert still_api.get("/v1/agents", headers={"anthropic-workspace-id": own}).ok()
    for other in (make_workspace(still_api), "wrkspc_01nothing"):
        message = still_api.get("/v1/agents", headers={"anthropic-workspace-id": other}).refused(404, "not_found_error")
        assert message == f"Workspace `{other}` not found."


# anthropic-beta


@pytest.mark.parametrize(
    "value",
    [
        "managed-agents-2026-04-01",
        "",
        "unheard-of-2030-01-01",
        "a,b, c",
        "agent-memory-2026-07-22,managed-agents-2026-04-01",
        "x" * 4096,
    ],
)
def test_any_beta_is_taken(still_api: Api, value: str) -> None:
    assert still_api.get("/v1/agents", headers={"anthropic-beta": value}).ok()


@pytest.mark.parametrize("value", ["a\tb", "a\x00", "\x7f", "a\r\nb", "x" * 4097])
def test_a_malformed_beta_is_400(still_api: Api, value: str) -> None:
    assert "anthropic-beta" in still_api.get("/v1/agents", headers={"anthropic-beta": value}).refused(400)


def test_headers_without_end_are_400(still_api: Api) -> None:
    still_api.get("/v1/agents", headers={f"x-{n}": "" for n in range(200)}).refused(400)
    still_api.get("/v1/agents", headers={f"x-{n}": "v" * 10_000 for n in range(10)}).refused(400)


def test_the_query_of_older_clients_is_ignored(still_api: Api) -> None:
    assert still_api.get("/v1/agents?beta=true&nonsense=1&nonsense=2").ok()


# When a key ends


def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    made = make_key(api)
    assert api.get("/v1/agents", key=made.key).ok()
    api.write(lambda tx: keys.revoke(tx, api.who.organization_id, made.id))
    response = api.get("/v1/agents", key=made.key)
    deadline = time.monotonic() + (10 if api.house.db.name == "postgres" else 0)  # there the news travels by NOTIFY
    while response.status == 200 and time.monotonic() < deadline:
        response = api.get("/v1/agents", key=made.key)
    response.refused(*UNAUTHENTICATED)
    assert api.get("/v1/agents").ok()


def test_an_expired_key_is_refused_from_the_very_instant(sqlite_api: Api, clock: HandClock) -> None:
    made = make_key(sqlite_api, expires_in=60)
    clock.advance(seconds=59.999999)
    assert sqlite_api.get("/v1/agents", key=made.key).ok()
    clock.advance(seconds=0.000001)
    sqlite_api.get("/v1/agents", key=made.key).refused(*UNAUTHENTICATED)


def test_only_a_digest_of_a_key_is_kept(sqlite_api: Api) -> None:
    made = make_key(sqlite_api)
    secret = made.key.rsplit("-", 2)[1]
    assert secret.isalnum()
    assert len(secret) * math.log2(62) > 256
    assert made.key.startswith("sk-rota-api01-")
    assert made.id.removeprefix("apikey_01") in made.key
    for name in ("rota.db", "rota.db-wal"):
        kept = Path(sqlite_api.settings.data_dir, name).read_bytes()
        assert secret.encode() not in kept
        assert KEY.encode() not in kept


# Where only reading is left


def close(api: Api, state: str) -> str:
    """Archive the workspace of a new key, or disable the organization; the key."""
    if state == "disabled":
        api.write(lambda tx: workspaces.set_disabled(tx, api.who.organization_id, True))
        return KEY
    workspace_id = make_workspace(api)
    key = make_key(api, workspace_id=workspace_id).key
    agent = api.post("/v1/agents", {"name": "a", "model": "m"}, key=key).ok()["id"]
    environment = api.post("/v1/environments", {"name": "e"}, key=key).ok()["id"]
    events = [{"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}]
    body = {"name": "n", "agent": agent, "environment_id": environment, "initial_events": events}
    api.post("/v1/deployments", body, key=key).ok()
    admin = make_key(api, workspace_id=None).key
    api.post(f"/v1/organizations/workspaces/{workspace_id}/archive", key=admin).ok()
    return key


@pytest.mark.parametrize(
    ("state", "word"), [("archived", "workspace is archived"), ("disabled", "organization is disabled")]
)
def test_where_only_reading_is_left_runs_are_recorded_and_every_other_write_is_400(
    api: Api, state: str, word: str
) -> None:
    if state == "disabled":
        api.deployment()
    admin = make_key(api, workspace_id=None).key
    key = close(api, state)
    if api.house.db.name == "postgres":  # the key's state is remembered until the notification comes
        deadline = time.monotonic() + 10
        while api.post("/v1/agents", {}, key=key).refused(400).startswith("name") and time.monotonic() < deadline:
            pass
    for route in CHANGES:
        if route.access == "workspace":
            response = call(api, route, key=key)
            assert word in response.refused(400).lower(), route.name
            assert response.headers["x-should-retry"] == "false"
        elif state == "disabled" and route.access == "admin":
            assert word in call(api, route, key=admin).refused(400).lower(), route.name
    for route in ROUTES:
        if route.method == "GET" and route.access == "workspace":
            assert call(api, route, key=key).status == (404 if route.parameters else 200), route.name
    [deployment] = api.get("/v1/deployments", key=key).ok()["data"]
    run = api.fire(deployment, key=key)
    assert run["session_id"] is None
    assert run["error"] == {
        "type": f"{'workspace_archived' if state == 'archived' else 'organization_disabled'}_error",
        "message": word,
    }
    assert api.get(f"/v1/deployment_runs/{run['id']}", key=key).ok() == run


def test_an_organization_that_is_enabled_again_goes_on(sqlite_api: Api) -> None:
    close(sqlite_api, "disabled")
    sqlite_api.post("/v1/agents", {"name": "a", "model": "m"}).refused(400)
    sqlite_api.write(lambda tx: workspaces.set_disabled(tx, sqlite_api.who.organization_id, False))
    assert sqlite_api.agent()
