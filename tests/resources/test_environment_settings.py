"""Networking, packages, names and deletion of environments in depth (contract, environments)."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.resources.environments.wire import Limited
from rota.store.tx import Query
from tests.api import Api

MANAGERS = ("npm", "pip")
UNSUPPORTED = ("apt", "cargo", "gem", "go")
SET_STATUS = Query("What a turn would leave.", "UPDATE sessions SET status = 'idle' WHERE id = :id")


def limited(*hosts: str, **more: Any) -> dict[str, Any]:
    return {"type": "cloud", "networking": {"type": "limited", "allowed_hosts": list(hosts), **more}}


def path(environment: dict[str, Any], more: str = "") -> str:
    return f"/v1/environments/{environment['id']}{more}"


def networking(environment: dict[str, Any]) -> dict[str, Any]:
    return environment["config"]["networking"]


# Hosts


@pytest.mark.parametrize(
    "host",
    ["example.com", "API.Example.COM", "*.example.com", "*.com", "localhost", "xn--mnchen-3ya.de", "1.2.3.4", "a-b.c1", "h" * 63 + ".com",
     ".".join(["a" * 49] * 5)],
)  # fmt: skip
def test_a_host_is_a_bare_name_and_is_kept_as_it_was_written(still_api: Api, host: str) -> None:
    environment = still_api.environment(config=limited(host))
    assert networking(environment)["allowed_hosts"] == [host]
    assert still_api.get(path(environment)).ok() == environment


@pytest.mark.parametrize(
    "host",
    [
        "https://example.com", "example.com:443", "example.com/path", "example.com?x", "user@example.com", "*", "*.", "*.*.example.com",
        "a.*.example.com", "*example.com", "**.example.com", ".example.com", "example.com.", "exa mple.com", "", " ", "-a.com", "a-.com", "a..b",
        "under_score.com", "münchen.de", "h" * 64 + ".com", ".".join(["a" * 50] * 6), "example.com\n", "[::1]", "::1",
    ],
)  # fmt: skip
def test_anything_else_is_no_host(still_api: Api, host: str) -> None:
    said = still_api.post("/v1/environments", {"name": "x", "config": limited("good.example", host)}).refused(400)
    assert "allowed_hosts[1]" in said
    environment = still_api.environment(config=limited("good.example"))
    still_api.post(path(environment), {"config": limited(host)}).refused(400)
    assert still_api.get(path(environment)).ok() == environment


@pytest.mark.parametrize(
    ("entries", "host", "admitted"),
    [
        ([], "example.com", False),
        (["example.com"], "example.com", True),
        (["example.com"], "EXAMPLE.com.", True),
        (["EXAMPLE.com"], "example.com", True),
        (["example.com"], "www.example.com", False),
        (["example.com"], "notexample.com", False),
        (["example.com"], "example.com.evil.net", False),
        (["*.example.com"], "a.example.com", True),
        (["*.example.com"], "a.b.c.example.com", True),
        (["*.Example.com"], "A.example.COM", True),
        (["*.example.com"], "example.com", False),
        (["*.example.com"], "badexample.com", False),
        (["*.example.com"], ".example.com", False),
        (["*.example.com"], "a.example.com.evil.net", False),
        (["*.example.com"], "", False),
        (["other.org", "*.example.com"], "a.example.com", True),
    ],
)
def test_a_wildcard_covers_any_depth_below_and_needs_the_dot(entries: list[str], host: str, admitted: bool) -> None:
    assert Limited(allowed_hosts=entries).admits(host) is admitted


def test_limited_networking_without_hosts_blocks_all(still_api: Api) -> None:
    for config in (limited(), {"type": "cloud", "networking": {"type": "limited"}}, limited(allow_mcp_servers=None)):
        assert networking(still_api.environment(config=config)) == {
            "type": "limited", "allow_mcp_servers": False, "allow_package_managers": False, "allowed_hosts": [],
        }  # fmt: skip


# What an update keeps


@pytest.mark.parametrize(
    ("sent", "changed"),
    [
        ({"type": "limited"}, {}),
        ({"type": "limited", "allowed_hosts": None, "allow_mcp_servers": None}, {}),
        ({"type": "limited", "allowed_hosts": []}, {"allowed_hosts": []}),
        ({"type": "limited", "allow_mcp_servers": False}, {"allow_mcp_servers": False}),
        ({"type": "limited", "allow_package_managers": True}, {"allow_package_managers": True}),
        (None, {}),
    ],
)
def test_what_limited_networking_omits_keeps_its_value(still_api: Api, sent: Any, changed: dict[str, Any]) -> None:
    old = still_api.environment(config=limited("a.example", allow_mcp_servers=True))
    new = still_api.post(path(old), {"config": {"type": "cloud", "networking": sent}}).ok()
    assert networking(new) == {**networking(old), **changed}


def test_another_kind_of_networking_starts_from_its_defaults(still_api: Api) -> None:
    environment = still_api.environment(config=limited("a.example", allow_mcp_servers=True))
    opened = still_api.post(
        path(environment), {"config": {"type": "cloud", "networking": {"type": "unrestricted"}}}
    ).ok()
    assert networking(opened) == {"type": "unrestricted"}
    closed = still_api.post(path(environment), {"config": {"type": "cloud", "networking": {"type": "limited"}}}).ok()
    assert networking(closed)["allowed_hosts"] == []
    assert networking(closed)["allow_mcp_servers"] is False


def test_package_lists_are_kept_one_by_one(still_api: Api) -> None:
    given: dict[str, list[str]] = {manager: [] for manager in UNSUPPORTED}
    given |= {manager: [f"{manager}-thing==1.0"] for manager in MANAGERS}
    environment = still_api.environment(config={"type": "cloud", "packages": {"type": "packages", **given}})
    assert environment["config"]["packages"] == {"type": "packages", **given}
    new = still_api.post(path(environment), {"config": {"type": "cloud", "packages": {"pip": [], "npm": None}}}).ok()
    assert new["config"]["packages"] == {"type": "packages", **given, "pip": []}
    assert networking(new) == {"type": "unrestricted"}


@pytest.mark.parametrize("manager", UNSUPPORTED)
def test_what_is_not_installed_is_refused_when_it_is_asked_for(still_api: Api, manager: str) -> None:
    config = {"type": "cloud", "packages": {manager: ["thing"]}}
    told = still_api.post("/v1/environments", {"name": "x", "config": config}).refused(400)
    assert told.startswith(f"config.packages.{manager}: not supported by this server; ")
    environment = still_api.environment(config={"type": "cloud", "packages": {manager: []}})
    assert still_api.post(path(environment), {"config": config}).refused(400) == told


@pytest.mark.parametrize("manager", MANAGERS)
def test_packages_under_limited_networking_need_package_managers(still_api: Api, manager: str) -> None:
    packages = {"packages": {manager: ["thing"]}}
    still_api.post("/v1/environments", {"name": "x", "config": limited() | packages}).refused(400)
    environment = still_api.environment(config=limited(allow_package_managers=True) | packages)
    still_api.post(path(environment), {"config": limited(allow_package_managers=False)}).refused(400)
    assert still_api.get(path(environment)).ok() == environment
    emptied = {"config": limited(allow_package_managers=False) | {"packages": {manager: []}}}
    assert networking(still_api.post(path(environment), emptied).ok())["allow_package_managers"] is False
    bare = still_api.environment(config=limited())
    still_api.post(path(bare), {"config": {"type": "cloud", **packages}}).refused(400)
    free = still_api.environment(config={"type": "cloud", **packages})
    still_api.post(path(free), {"config": limited()}).refused(400)


@pytest.mark.parametrize(
    "body",
    [
        {"name": None}, {"name": "n" * 257}, {"name": 5}, {"name": "x", "description": "d" * 1025}, {"name": "x", "metadata": None},
        {"name": "x", "metadata": {"k": None}}, {"name": "x", "metadata": {f"k{number}": "v" for number in range(17)}},
        {"name": "x", "config": {}}, {"name": "x", "config": {"type": "cloud", "networking": {}}}, {"name": "x", "config": "cloud"},
        {"name": "x", "config": {"type": "self_hosted", "networking": {"type": "unrestricted"}}}, {"name": "x", "scope": "galaxy"},
        {"name": "x", "config": {"type": "cloud", "networking": {"type": "unrestricted", "allowed_hosts": []}}},
        {"name": "x", "config": {"type": "cloud", "packages": {"brew": []}}}, {"name": "x", "config": {"type": "cloud", "packages": {"pip": "rich"}}},
        {"name": "x", "config": {"type": "cloud", "packages": {"type": "other"}}}, {"name": "x", "type": "environment"}, {"name": "x", "id": "env_01x"},
    ],
)  # fmt: skip
def test_a_new_environment_is_refused(still_api: Api, body: dict[str, Any]) -> None:
    still_api.post("/v1/environments", body).refused(400)
    assert "x" not in [each["name"] for each in still_api.get("/v1/environments?limit=1000").ok()["data"]]


def test_a_wrong_kind_is_told_what_would_fit(still_api: Api) -> None:
    body = {"name": "x", "config": {"type": "cloud", "networking": {"type": "open"}}}
    assert still_api.post("/v1/environments", body).refused(400) == (
        "config.networking: Input tag 'open' found using 'type' does not match any of the expected tags: 'limited', 'unrestricted'"
    )


def test_the_account_scope_is_not_for_api_organizations(still_api: Api) -> None:
    still_api.post("/v1/environments", {"name": "x", "scope": "account"}).refused(400)
    for scope in ("organization", None):
        environment = still_api.environment(scope=scope)
        assert environment["scope"] == "organization"
        still_api.post(path(environment), {"scope": "account"}).refused(400)
        assert still_api.post(path(environment), {"scope": scope}).ok() == environment


def test_an_empty_description_is_kept_and_a_null_one_is_none(still_api: Api) -> None:
    assert still_api.environment(description="")["description"] == ""
    assert still_api.environment(description=None)["description"] is None
    environment = still_api.environment(description="d" * 1024)
    assert still_api.post(path(environment), {"description": ""}).ok()["description"] == ""
    assert still_api.post(path(environment), {"metadata": {}}).ok()["description"] == ""
    assert still_api.post(path(environment), {"description": None}).ok()["description"] is None


def test_an_empty_string_deletes_a_key_and_the_limit_holds_for_the_result(still_api: Api) -> None:
    environment = still_api.environment(metadata={f"k{number}": "v" for number in range(16)})
    still_api.post(path(environment), {"metadata": {"more": "v"}}).refused(400)
    patched = still_api.post(path(environment), {"metadata": {"more": "v", "k0": "", "k1": None, "zz": ""}}).ok()
    assert set(patched["metadata"]) == {"more"} | {f"k{number}" for number in range(2, 16)}
    still_api.post(path(environment), {"metadata": None}).refused(400)


def test_an_update_that_changes_nothing_moves_nothing(sqlite_api: Api, clock: HandClock) -> None:
    environment = sqlite_api.environment(config=limited("a.example"), metadata={"k": "v"})
    clock.advance(seconds=1)
    same: list[dict[str, Any]] = [
        {},
        {"name": environment["name"]},
        {"config": environment["config"]},
        {"metadata": {"k": "v"}},
    ]
    for sent in same:
        assert sqlite_api.post(path(environment), sent).ok() == environment
    assert sqlite_api.post(path(environment), {"name": "other"}).ok()["updated_at"] == "2026-03-02T12:00:01Z"


# Names


def test_of_creates_at_once_with_one_name_one_wins(api: Api) -> None:
    answers = api.gather([api.call("POST", "/v1/environments", {"name": "Office"}) for _ in range(8)])
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    for answer in answers:
        if answer.status == 409:
            answer.refused(409)
            assert answer.headers["x-should-retry"] == "false"
    assert len(api.get("/v1/environments").ok()["data"]) == 1


def test_a_deleted_environments_name_is_free_and_case_counts(sqlite_api: Api) -> None:
    first = sqlite_api.environment(name="Office")
    assert sqlite_api.environment(name="office")
    assert sqlite_api.environment(name="Office ")
    sqlite_api.post(path(first), {"name": "Office"}).ok()
    sqlite_api.post(path(first), {"name": "office"}).refused(409)
    sqlite_api.delete(path(first)).ok()
    assert sqlite_api.environment(name="Office")


# Archive and deletion


def test_archiving_and_deleting_what_is_not_there_is_404(still_api: Api) -> None:
    for unknown in ("env_01nothing", "nonsense"):
        said = f"Environment {unknown} not found."
        assert still_api.delete(f"/v1/environments/{unknown}").refused(404, "not_found_error") == said
        assert still_api.delete(f"/v1/environments/{unknown}?force=true").refused(404, "not_found_error") == said
        assert still_api.post(f"/v1/environments/{unknown}/archive").refused(404, "not_found_error") == said
        assert still_api.get(f"/v1/environments/{unknown}").refused(404, "not_found_error") == said


def test_a_self_hosted_environment_is_held_by_its_sessions(api: Api) -> None:
    environment = api.environment(config={"type": "self_hosted"})
    body = {"agent": api.agent()["id"], "environment_id": environment["id"]}
    sessions = [api.post("/v1/sessions", body).ok()["id"] for _ in range(4)]
    response = api.delete(path(environment))
    assert response.refused(409) == "Environment has 4 active sessions. Use force=true to delete anyway."
    assert response.headers["x-should-retry"] == "false"
    api.delete(path(environment, "?force=false")).refused(409)
    api.delete(path(environment, "?force=perhaps")).refused(400)
    for session in sessions:
        api.write(lambda tx, session=session: tx.run(SET_STATUS, id=session))
        api.post(f"/v1/sessions/{session}/archive").ok()
    assert api.delete(path(environment)).ok() == {"type": "environment_deleted", "id": environment["id"]}
    other = api.environment(config={"type": "self_hosted"})
    api.post("/v1/sessions", {**body, "environment_id": other["id"]}).ok()
    assert api.delete(path(other, "?force=true")).ok() == {"type": "environment_deleted", "id": other["id"]}
    api.get(path(other)).refused(404, "not_found_error")
    assert len(api.get("/v1/sessions").ok()["data"]) == 1


def test_an_archived_environment_can_still_be_deleted(still_api: Api) -> None:
    for config in ({"type": "cloud"}, {"type": "self_hosted"}):
        environment = still_api.environment(config=config)
        still_api.post(path(environment, "/archive")).ok()
        still_api.delete(path(environment)).ok()
        still_api.get(path(environment)).refused(404, "not_found_error")
