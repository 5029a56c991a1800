"""Environments, as the contract has them."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.resources.environments.wire import Limited
from tests.api import HELLO, Api

EMPTY = {"type": "packages", "apt": [], "cargo": [], "gem": [], "go": [], "npm": [], "pip": []}
CLOUD = {"type": "cloud", "networking": {"type": "unrestricted"}, "packages": EMPTY}


def path(environment: dict[str, Any], more: str = "") -> str:
    return f"/v1/environments/{environment['id']}{more}"


def test_a_new_environment_is_cloud_and_unrestricted_unless_it_says_otherwise(api: Api) -> None:
    for config in ({}, {"config": None}, {"config": {"type": "cloud"}}):
        environment = api.environment(**config)
        assert environment["config"] == CLOUD
    assert set(environment) == {
        "type", "id", "name", "description", "config", "metadata", "scope", "created_at", "updated_at", "archived_at",
    }  # fmt: skip
    assert (environment["description"], environment["scope"]) == (None, "organization")
    assert api.environment(config={"type": "self_hosted"})["config"] == {"type": "self_hosted"}
    assert api.get(path(environment)).ok() == environment


def test_what_is_omitted_in_limited_networking_keeps_its_value(api: Api) -> None:
    environment = api.environment(
        config={"type": "cloud", "networking": {"type": "limited", "allowed_hosts": ["a.example"]}}
    )
    limited = environment["config"]["networking"]
    assert limited == {
        "type": "limited",
        "allow_mcp_servers": False,
        "allow_package_managers": False,
        "allowed_hosts": ["a.example"],
    }
    sent = {"config": {"type": "cloud", "networking": {"type": "limited", "allow_package_managers": True}}}
    assert api.post(path(environment), sent).ok()["config"]["networking"] == {**limited, "allow_package_managers": True}
    sent = {"config": {"type": "cloud", "packages": {"pip": ["rich"]}}}
    assert api.post(path(environment), sent).ok()["config"]["packages"] == {**EMPTY, "pip": ["rich"]}
    assert api.get(path(environment)).ok()["config"]["networking"]["allowed_hosts"] == ["a.example"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name: Field required"),
        ({"name": ""}, "name: minimum string length is 1"),
        ({"name": "x", "kind": 1}, "kind: Extra inputs are not permitted"),
        ({"name": "x", "config": {"type": "bogus"}}, None),
        ({"name": "x", "scope": "account"}, None),
        ({"name": "x", "description": "d" * 1025}, None),
        (
            {"name": "x", "config": {"type": "cloud", "networking": {"type": "limited"}, "packages": {"pip": ["a"]}}},
            None,
        ),
        *(
            (
                {"name": "x", "config": {"type": "cloud", "networking": {"type": "limited", "allowed_hosts": [host]}}},
                None,
            )
            for host in (
                "https://a.example",
                "a.example:443",
                "a.example/x",
                "",
                "*",
                "*.",
                "a b",
                "-a.example",
                "a..b",
            )
        ),
    ],
)
def test_what_an_environment_refuses(sqlite_api: Api, body: dict[str, Any], message: str | None) -> None:
    said = sqlite_api.post("/v1/environments", body).refused(400)
    assert message is None or said == message


@pytest.mark.parametrize(
    ("entry", "host", "admitted"),
    [
        ("a.example", "a.example", True),
        ("a.example", "A.EXAMPLE", True),
        ("A.example", "a.example", True),
        ("a.example", "b.a.example", False),
        ("*.a.example", "b.a.example", True),
        ("*.a.example", "c.b.a.example", True),
        ("*.a.example", "a.example", False),
        ("*.a.example", "ba.example", False),
    ],
)
def test_a_wildcard_covers_every_depth_but_not_the_apex(entry: str, host: str, admitted: bool) -> None:
    assert Limited(allowed_hosts=[entry]).admits(host) is admitted


def test_the_kind_of_an_environment_never_changes(sqlite_api: Api) -> None:
    cloud, own = sqlite_api.environment(), sqlite_api.environment(config={"type": "self_hosted"})
    for environment, kind, message in (
        (cloud, "self_hosted", "Cannot change environment type from Cloud to BYOC"),
        (own, "cloud", "Cannot change environment type from BYOC to Cloud"),
    ):
        response = sqlite_api.post(path(environment), {"config": {"type": kind}})
        assert response.refused(400) == message
        assert response.body["error"]["details"] == {"error_code": "invalid_config_type_change"}


@pytest.mark.parametrize(
    ("sent", "key", "shown"),
    [
        ({}, "name", "old"),
        ({"name": "new"}, "name", "new"),
        ({"name": None}, "name", "old"),
        ({"description": None}, "description", None),
        ({"description": ""}, "description", ""),
        ({"metadata": {"a": "", "c": "3"}}, "metadata", {"b": "2", "c": "3"}),
        ({"metadata": {"a": None}}, "metadata", {"b": "2"}),
        ({"config": None}, "config", CLOUD),
    ],
)
def test_an_update_keeps_what_is_omitted(
    sqlite_api: Api, clock: HandClock, sent: dict[str, Any], key: str, shown: Any
) -> None:
    old = sqlite_api.environment(name="old", description="d", metadata={"a": "1", "b": "2"})
    clock.advance(seconds=1)
    new = sqlite_api.post(path(old), sent).ok()
    assert new[key] == shown
    assert (new["updated_at"] != old["updated_at"]) == (new[key] != old[key])


def test_a_name_is_taken_until_its_environment_is_archived(api: Api) -> None:
    first = api.environment(name="office")
    api.post("/v1/environments", {"name": "office"}).refused(409)
    api.post(path(first, "/archive")).ok()
    second = api.environment(name="office")
    third = api.environment(name="other")
    api.post(path(third), {"name": "office"}).refused(409)
    assert second["id"] != first["id"]


def test_an_archived_environment_is_read_only(api: Api, clock: HandClock) -> None:
    environment = api.environment()
    clock.advance(seconds=1)
    archived = api.post(path(environment, "/archive")).ok()
    clock.advance(seconds=1)
    assert api.post(path(environment, "/archive")).ok() == archived
    response = api.post(path(environment), {"name": "x"})
    response.refused(400)
    assert response.body["error"]["details"] == {"error_code": "environment_archived"}
    assert [each["id"] for each in api.get("/v1/environments").ok()["data"]] == []
    assert api.get("/v1/environments?include_archived=true").ok()["data"] == [archived]


def test_a_cloud_environment_is_deleted_under_whatever_uses_it(api: Api) -> None:
    deployment = api.deployment()
    environment_id = deployment["environment_id"]
    api.fire(deployment)
    assert api.delete(f"/v1/environments/{environment_id}").ok() == {
        "type": "environment_deleted",
        "id": environment_id,
    }
    said = api.delete(f"/v1/environments/{environment_id}").refused(404, "not_found_error")
    assert said == f"Environment {environment_id} not found."
    assert api.fire(deployment)["error"]["type"] == "environment_not_found_error"


def test_a_self_hosted_environment_in_use_is_deleted_by_force_only(api: Api) -> None:
    environment = api.environment(config={"type": "self_hosted"})
    body = {"agent": api.agent()["id"], "environment_id": environment["id"]}
    api.post("/v1/sessions", body).ok()
    assert api.delete(path(environment)).refused(409) == (
        "Environment has 1 active session. Use force=true to delete anyway."
    )
    api.post("/v1/sessions", body).ok()
    assert "has 2 active sessions" in api.delete(path(environment)).refused(409)
    api.post("/v1/sessions", {**body, "initial_events": HELLO}).ok()
    assert "with work in the queue" in api.delete(path(environment)).refused(409)
    api.delete(path(environment, "?force=true")).ok()
