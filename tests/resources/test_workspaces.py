"""Organizations, workspaces, keys and the limiter of new sessions, over HTTP and on both databases."""

import re
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.beta import BetaOrganization
from anthropic.types.beta.organization import BetaAPIKey, BetaWorkspace

from rota.base.clock import MINUTE, SECOND, HandClock
from rota.base.errors import InvalidRequest, NotFound
from rota.base.log import redact
from rota.resources.workspaces import actions, keys, limits
from rota.store.tx import Query
from tests.api import KEY, Api

KEYS = "/v1/organizations/api_keys"
WORKSPACES = "/v1/organizations/workspaces"
DIGESTS = Query("What is kept of keys.", "SELECT locator, digest, hint FROM keys ORDER BY created_at")


def admin(api: Api) -> str:
    """A fresh admin key."""
    return api.write(keys.create, api.who.organization_id).key


def workspace(api: Api, key: str, name: str = "Second") -> dict[str, Any]:
    return api.post(WORKSPACES, {"name": name}, key=key).ok()


def create_key(api: Api, workspace_id: str | None = None, **more: Any) -> keys.Made:
    """A fresh key of a workspace, the default one unless it is given."""

    def act(tx: Any) -> keys.Made:
        return keys.create(tx, api.who.organization_id, workspace_id=workspace_id or api.who.workspace_id, **more)

    return api.write(act)


def set_disabled(api: Api, disabled: bool) -> None:
    api.write(actions.set_disabled, api.who.organization_id, disabled)


# The beginning


def test_an_empty_database_is_begun_once(api: Api) -> None:
    found = api.read(actions.found)
    assert found is not None
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found.id)
    assert found.default_workspace_id == api.who.workspace_id
    assert found.id == api.who.organization_id
    assert api.write(actions.bootstrap, None) is None


def test_the_first_workspace_is_called_default(api: Api) -> None:
    assert api.get(f"{WORKSPACES}/{api.who.workspace_id}").ok()["name"] == "Default"


# Keys as text


def test_a_key_names_its_kind_and_its_id_and_holds_256_random_bits(api: Api) -> None:
    for made, kind in (
        (create_key(api), "api"),
        (api.write(keys.create, api.who.organization_id), "admin"),
        (create_key(api, environment_id="env_x"), "env"),
    ):
        match = re.fullmatch(rf"sk-rota-{kind}01-(\w{{22}})-(\w{{43}})-(\w{{6}})", made.key)
        assert match is not None
        assert made.id.endswith(match[1])
        assert 62**43 > 2**256


def test_of_a_key_only_its_digest_is_kept(api: Api) -> None:
    made = create_key(api)
    secret = made.key.split("-")[4]

    def rows(tx: Any) -> list[Any]:
        return tx.all(DIGESTS)

    kept = str(api.read(rows))
    assert secret not in kept
    assert KEY not in kept
    assert len(api.read(rows)) == 2


@pytest.mark.parametrize("place", [15, 40, 60, -1])
def test_a_mistyped_key_is_known_to_be_one_without_looking_it_up(sqlite_api: Api, place: int) -> None:
    key = create_key(sqlite_api).key
    letters = list(key)
    letters[place] = "0" if letters[place] != "0" else "1"
    assert keys.locator(key) is not None
    assert keys.locator("".join(letters)) is None
    sqlite_api.get("/v1/agents", key="".join(letters)).refused(401, "authentication_error")


def test_a_key_with_the_right_id_and_another_secret_is_refused(api: Api) -> None:
    key = create_key(api).key
    forged = keys.write_token("api", key.split("-")[3])
    assert keys.locator(forged) == keys.locator(key)
    assert api.read(keys.admit, forged) is None


def test_an_operator_may_choose_any_text_for_a_key(api: Api) -> None:
    found = api.read(keys.admit, KEY)
    assert found is not None
    assert found.workspace_id == api.who.workspace_id
    assert api.read(keys.admit, KEY + "x") is None


def test_a_chosen_key_that_is_one_of_ours_mistyped_is_refused(api: Api) -> None:
    key = keys.write_token("api", "0" * 22)
    with pytest.raises(InvalidRequest, match="checksum"):
        create_key(api, token=key[:-1] + ("0" if key[-1] != "0" else "1"))
    assert create_key(api, token=key).key == key


def test_a_hint_tells_keys_apart_and_gives_nothing_away(api: Api) -> None:
    shown = api.get(f"{KEYS}/{create_key(api).id}").ok()["partial_key_hint"]
    assert re.fullmatch(r"sk-rota-api01-\w{4}…\w{4}", shown)
    short = create_key(api, token="my own chosen key 1").id
    assert api.get(f"{KEYS}/{short}").ok()["partial_key_hint"] == "… 1"


def test_no_key_gets_through_the_log(sqlite_api: Api) -> None:
    key = create_key(sqlite_api).key
    assert "[redacted]" in redact(f"saw {key} here")
    assert key.split("-")[4] not in redact(f"saw {key} here")


# What a key opens


def test_each_kind_of_key_opens_its_own_routes_only(api: Api) -> None:
    api.get(WORKSPACES, key=KEY).ok()
    api.post(WORKSPACES, {"name": "x"}, key=KEY).refused(403, "permission_error")
    key = admin(api)
    api.get(WORKSPACES, key=key).ok()
    api.get("/v1/agents", key=key).refused(403, "permission_error")
    environment = create_key(api, environment_id=api.environment()["id"]).key
    api.get("/v1/agents", key=environment).refused(401, "authentication_error")
    api.get(WORKSPACES, key=environment).refused(401, "authentication_error")


def test_a_key_works_as_a_bearer_token_too(api: Api) -> None:
    api.get("/v1/agents", key=None, headers={"authorization": f"Bearer {create_key(api).key}"}).ok()


def test_a_revoked_key_stops_at_its_next_request(api: Api) -> None:
    made = create_key(api)
    api.get("/v1/agents", key=made.key).ok()
    assert api.write(keys.revoke, api.who.organization_id, made.id).status == "archived"
    api.get("/v1/agents", key=made.key).refused(401, "authentication_error")
    assert api.write(keys.revoke, api.who.organization_id, made.id).status == "archived"


def test_revoking_what_is_not_there_is_refused(api: Api) -> None:
    with pytest.raises(NotFound):
        api.write(keys.revoke, api.who.organization_id, "apikey_nope")
    with pytest.raises(NotFound):
        api.write(keys.revoke, "another organization", create_key(api).id)


def test_a_key_stops_when_it_expires(api: Api, clock: HandClock) -> None:
    made = create_key(api, expires_in=60)
    clock.advance(seconds=59)
    api.get("/v1/agents", key=made.key).ok()
    clock.advance(seconds=1)
    assert "expired" in api.get("/v1/agents", key=made.key).refused(401, "authentication_error")
    assert api.get(f"{KEYS}/{made.id}").ok()["status"] == "expired"


def test_an_inactive_key_stops_and_an_active_one_goes_on(api: Api) -> None:
    made, key = create_key(api), admin(api)
    assert api.post(f"{KEYS}/{made.id}", {"status": "inactive"}, key=key).ok()["status"] == "inactive"
    api.get("/v1/agents", key=made.key).refused(401, "authentication_error")
    assert api.post(f"{KEYS}/{made.id}", {"status": "active"}, key=key).ok()["status"] == "active"
    api.get("/v1/agents", key=made.key).ok()


def test_somebody_can_come_in_while_there_is_an_active_key(api: Api, clock: HandClock) -> None:
    assert api.read(keys.any_active)
    api.write(keys.revoke, api.who.organization_id, api.who.key_id)
    create_key(api, environment_id="env_x")
    assert not api.read(keys.any_active)
    create_key(api, expires_in=1)
    assert api.read(keys.any_active)
    clock.advance(seconds=1)
    assert not api.read(keys.any_active)


# API keys over HTTP


def test_an_api_key_fits_the_official_type(api: Api) -> None:
    shown = BetaAPIKey.model_validate_json(
        api.get(f"{KEYS}/{create_key(api, name='mine', expires_in=9).id}").raw, strict=True
    )
    assert (shown.name, shown.status, shown.created_by, shown.principal) == ("mine", "active", None, None)
    assert shown.scope.type == "workspace"
    assert shown.scope.workspace_id == api.who.workspace_id
    assert shown.expires_at is not None
    assert (shown.expires_at - shown.created_at).total_seconds() == 9


def test_a_key_is_renamed_and_archived_for_good(api: Api) -> None:
    made, key = create_key(api, name="old"), admin(api)
    assert api.post(f"{KEYS}/{made.id}", {"name": "new", "status": None}, key=key).ok()["name"] == "new"
    assert api.post(f"{KEYS}/{made.id}", {"status": "archived"}, key=key).ok()["status"] == "archived"
    assert api.post(f"{KEYS}/{made.id}", {"status": "archived"}, key=key).ok()["status"] == "archived"
    api.post(f"{KEYS}/{made.id}", {"status": "active"}, key=key).refused(400)
    api.get("/v1/agents", key=made.key).refused(401, "authentication_error")


def test_a_key_cannot_be_made_expired_by_hand(api: Api) -> None:
    api.post(f"{KEYS}/{create_key(api).id}", {"status": "expired"}, key=admin(api)).refused(400)


def test_keys_are_listed_by_status_and_workspace(api: Api, clock: HandClock) -> None:
    key = admin(api)
    second = workspace(api, key)["id"]
    there = create_key(api, second).id
    gone, off, old = create_key(api).id, create_key(api).id, create_key(api, expires_in=1).id
    api.post(f"{KEYS}/{gone}", {"status": "archived"}, key=key).ok()
    api.post(f"{KEYS}/{off}", {"status": "inactive"}, key=key).ok()
    clock.advance(seconds=1)

    def found(**query: Any) -> list[str]:
        return [each["id"] for each in api.get(KEYS, key=key, query=query).ok()["data"]]

    assert found() == [old, off, gone, there, api.who.key_id]
    assert found(status="active") == [there, api.who.key_id]
    assert found(status="inactive") == [off]
    assert found(status="archived") == [gone]
    assert found(status="expired") == [old]
    assert found(workspace_id=second) == [there]
    assert found(created_by_user_id="user_01") == []
    api.get(KEYS, key=key, query={"status": "lost"}).refused(400)


def test_a_list_of_keys_that_would_be_empty_still_refuses_neighbours_that_are_not_there(api: Api) -> None:
    for empty in ({"created_by_user_id": "user_01"}, {"workspace_id": "wrkspc_0"}):
        api.get(KEYS, query={**empty, "after_id": "apikey_0"}).refused(400)
        api.get(KEYS, query={**empty, "after_id": api.who.key_id, "before_id": api.who.key_id}).refused(400)
        assert api.get(KEYS, query={**empty, "after_id": api.who.key_id}).ok()["data"] == []


def test_a_workspace_key_sees_the_keys_of_its_own_workspace_only(api: Api) -> None:
    second = workspace(api, admin(api))["id"]
    foreign = create_key(api, second).id
    assert [each["id"] for each in api.get(KEYS).ok()["data"]] == [api.who.key_id]
    assert api.get(KEYS, query={"workspace_id": second}).ok()["data"] == []
    absent, hidden = api.get(f"{KEYS}/apikey_0"), api.get(f"{KEYS}/{foreign}")
    assert hidden.refused(404, "not_found_error").replace(foreign, "apikey_0") == absent.refused(404, "not_found_error")
    api.get(KEYS, query={"after_id": foreign}).refused(400)


def test_admin_and_environment_keys_are_the_operators_and_not_listed(api: Api) -> None:
    made = api.write(keys.create, api.who.organization_id)
    other = create_key(api, environment_id="env_x")
    assert [each["id"] for each in api.get(KEYS, key=made.key).ok()["data"]] == [api.who.key_id]
    api.get(f"{KEYS}/{other.id}", key=made.key).refused(404, "not_found_error")
    assert {each.scope for each in api.read(keys.facts, api.who.organization_id)} == {
        "workspace",
        "admin",
        "environment",
    }


# Workspaces


def test_the_organization_of_a_key_fits_the_official_type(api: Api) -> None:
    for key in (KEY, admin(api)):
        shown = BetaOrganization.model_validate_json(api.get("/v1/organizations/me", key=key).raw, strict=True)
        assert shown.id == api.who.organization_id


def test_a_plain_workspace_has_every_key_with_its_default(api: Api) -> None:
    response = api.post(WORKSPACES, {"name": "Team"}, key=admin(api))
    made = response.ok()
    BetaWorkspace.model_validate_json(response.raw, strict=True)
    assert made.pop("id").startswith("wrkspc_01")
    assert made.pop("compartment_id")
    assert re.fullmatch(r"#[0-9A-F]{6}", made.pop("display_color"))
    assert made == {
        "type": "workspace",
        "name": "Team",
        "data_residency": {
            "workspace_geo": "us",
            "allowed_inference_geos": "unrestricted",
            "default_inference_geo": "global",
        },
        "tags": {},
        "external_key_id": None,
        "user_profile_id": None,
        "created_at": "2026-03-02T12:00:00Z",
        "archived_at": None,
    }


def test_a_full_workspace_is_kept_as_it_was_sent(api: Api) -> None:
    key = admin(api)
    sent = {
        "name": "Team",
        "display_color": "#aB12Cd",
        "tags": {"cost": "blue"},
        "data_residency": {"workspace_geo": "us", "allowed_inference_geos": ["us"], "default_inference_geo": "us"},
    }
    made = api.post(WORKSPACES, sent, key=key).ok()
    assert {name: made[name] for name in sent} == sent
    assert api.get(f"{WORKSPACES}/{made['id']}", key=key).ok() == made


@pytest.mark.parametrize(
    "field",
    [
        {"name": ""},
        {"name": None},
        {"display_color": "blue"},
        {"tags": {"anthropic_x": "1"}},
        {"tags": {str(n): "" for n in range(17)}},
        {"tags": {"a": 1}},
        {"data_residency": {"workspace_geo": "eu"}},
        {"data_residency": {"allowed_inference_geos": ["us"]}},
        {"external_key_id": "ext_1"},
        {"user_profile_id": "uprof_1"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_workspace_that_cannot_be_kept_is_refused(sqlite_api: Api, field: dict[str, Any]) -> None:
    sqlite_api.post(WORKSPACES, {"name": "Team", **field}, key=admin(sqlite_api)).refused(400)


def test_an_update_changes_what_was_sent_and_nothing_else(api: Api) -> None:
    key = admin(api)
    made = api.post(WORKSPACES, {"name": "Team", "tags": {"a": "1", "b": "2"}}, key=key).ok()
    patch = {"name": "Crew", "tags": {"a": None, "c": "3"}, "data_residency": {"default_inference_geo": "us"}}
    changed = api.post(f"{WORKSPACES}/{made['id']}", patch, key=key).ok()
    assert changed["tags"] == {"b": "2", "c": "3"}
    assert changed["data_residency"]["default_inference_geo"] == "us"
    assert changed["data_residency"]["allowed_inference_geos"] == "unrestricted"
    assert changed | {"name": "Team", "tags": made["tags"], "data_residency": made["data_residency"]} == made
    assert api.post(f"{WORKSPACES}/{made['id']}", {"name": None, "tags": None}, key=key).ok() == changed
    api.post(f"{WORKSPACES}/{made['id']}", {"data_residency": {"workspace_geo": "us"}}, key=key).refused(400)


def test_archiving_is_for_good_and_can_be_repeated(api: Api, clock: HandClock) -> None:
    key = admin(api)
    made = workspace(api, key)
    archived = api.post(f"{WORKSPACES}/{made['id']}/archive", key=key).ok()
    assert archived["archived_at"] == "2026-03-02T12:00:00Z"
    clock.advance(seconds=5)
    assert api.post(f"{WORKSPACES}/{made['id']}/archive", key=key).ok() == archived
    api.post(f"{WORKSPACES}/{made['id']}", {"name": "x"}, key=key).refused(400)
    api.get(f"{WORKSPACES}/{made['id']}/rate_limits", key=key).refused(400)


def test_the_default_workspace_cannot_be_archived(api: Api) -> None:
    message = api.post(f"{WORKSPACES}/{api.who.workspace_id}/archive", key=admin(api)).refused(400)
    assert "default workspace" in message


def test_the_keys_of_an_archived_workspace_only_read(api: Api) -> None:
    key = admin(api)
    second = workspace(api, key)["id"]
    mine = create_key(api, second).key
    api.post("/v1/environments", {"name": "x"}, key=mine).ok()
    api.post(f"{WORKSPACES}/{second}/archive", key=key).ok()
    api.get("/v1/environments", key=mine).ok()
    assert "archived" in api.post("/v1/environments", {"name": "y"}, key=mine).refused(400)


def test_the_keys_of_a_disabled_organization_only_read(api: Api) -> None:
    key = admin(api)
    set_disabled(api, True)
    api.get("/v1/environments").ok()
    assert "disabled" in api.post("/v1/environments", {"name": "x"}).refused(400)
    assert "disabled" in api.post(WORKSPACES, {"name": "x"}, key=key).refused(400)
    set_disabled(api, False)
    api.post("/v1/environments", {"name": "x"}).ok()


def test_the_states_of_many_workspaces_come_in_one_look(api: Api) -> None:
    key = admin(api)
    second = workspace(api, key)["id"]
    api.post(f"{WORKSPACES}/{second}/archive", key=key).ok()
    set_disabled(api, True)
    found = api.read(actions.states, [second, api.who.workspace_id, "wrkspc_nope"])
    assert found == {
        second: actions.State(api.who.organization_id, workspace_archived=True, organization_disabled=True),
        api.who.workspace_id: actions.State(
            api.who.organization_id, workspace_archived=False, organization_disabled=True
        ),
    }


def test_an_organization_that_is_not_there_cannot_be_disabled(api: Api) -> None:
    with pytest.raises(NotFound):
        api.write(actions.set_disabled, "nope", True)


# Lists


def test_the_default_and_archived_workspaces_are_listed_when_asked_for(api: Api, clock: HandClock) -> None:
    key = admin(api)
    made: list[str] = []
    for name in "abc":
        clock.advance(seconds=1)
        made.insert(0, workspace(api, key, name)["id"])
    api.post(f"{WORKSPACES}/{made[1]}/archive", key=key).ok()

    def found(key: str = key, **query: Any) -> list[str]:
        return [each["id"] for each in api.get(WORKSPACES, key=key, query=query).ok()["data"]]

    assert found() == [made[0], made[2]]
    assert found(include_archived="true") == made
    assert found(include_default="true") == [made[0], made[2], api.who.workspace_id]
    assert found(**{"ids[]": [made[2], made[1], api.who.workspace_id]}) == [made[2]]
    assert found(key=KEY) == []
    assert found(key=KEY, include_default="true") == [api.who.workspace_id]
    api.get(WORKSPACES, key=key, query={"ids[]": ["x"] * 101}).refused(400)


@pytest.mark.parametrize("path", [WORKSPACES, KEYS])
def test_a_list_is_walked_by_neighbours_in_both_directions(api: Api, clock: HandClock, path: str) -> None:
    key = admin(api)
    for number in range(5):
        clock.advance(seconds=number % 2)
        if path == WORKSPACES:
            workspace(api, key, str(number))
        else:
            create_key(api)
    whole = [each["id"] for each in api.get(path, key=key).ok()["data"]]
    walked: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = api.get(path, key=key, query=query).ok()
        ids = [each["id"] for each in page["data"]]
        assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])
        walked += ids
        if not page["has_more"]:
            break
        query["after_id"] = page["last_id"]
    assert walked == whole
    back = api.get(path, key=key, query={"before_id": whole[3], "limit": 2}).ok()
    assert [each["id"] for each in back["data"]] == whole[1:3]
    assert back["has_more"]
    edge = api.get(path, key=key, query={"before_id": whole[2], "limit": 2}).ok()
    assert [each["id"] for each in edge["data"]] == whole[:2]
    assert not edge["has_more"]
    end = api.get(path, key=key, query={"after_id": whole[-1]}).ok()
    assert end == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": 1001}, {"after_id": "nope"}, {"before_id": "nope"}, {"after_id": "a", "before_id": "b"}],
    ids=str,
)
@pytest.mark.parametrize("path", [WORKSPACES, KEYS])
def test_a_walk_that_leads_nowhere_is_refused(sqlite_api: Api, path: str, query: dict[str, Any]) -> None:
    sqlite_api.get(path, query=query).refused(400)


@pytest.mark.parametrize("path", ["/v1/organizations/rate_limits", f"{WORKSPACES}/{{id}}/rate_limits"])
def test_there_are_no_rate_limits_of_the_messages_api(sqlite_api: Api, path: str) -> None:
    path = path.format(id=sqlite_api.who.workspace_id)
    assert sqlite_api.get(path, query={"group_type": "batch", "limit": 5}).ok() == {"data": [], "next_page": None}
    assert sqlite_api.get(path, query={"page": "page_x"}).refused(400) == "invalid page cursor"
    sqlite_api.get(path, query={"group_type": "x"}).refused(400)


def test_a_model_has_no_rate_limits_and_a_foreign_workspace_is_not_found(sqlite_api: Api) -> None:
    sqlite_api.get("/v1/organizations/rate_limits", query={"model": "claude-opus-5-5"}).refused(404, "not_found_error")
    sqlite_api.get(f"{WORKSPACES}/wrkspc_x/rate_limits").refused(404, "not_found_error")
    sqlite_api.get(f"{WORKSPACES}/wrkspc_x").refused(404, "not_found_error")


# The limiter


def test_sessions_are_granted_up_to_the_limit_of_each_minute(api: Api, clock: HandClock) -> None:
    def take(n: int, organization: str = "org") -> int:
        return api.write(limits.take, organization, n, 5)

    assert [take(3), take(3), take(3)] == [3, 2, 0]
    assert take(4, "another") == 4
    clock.advance(seconds=59.9)
    assert take(1) == 0
    clock.advance(seconds=0.1)
    assert [take(9), take(1)] == [5, 0]


def test_the_limiter_keeps_only_the_present_minute(api: Api, clock: HandClock) -> None:
    rows = Query("All of it.", "SELECT organization_id, count FROM session_creations")

    def kept(tx: Any) -> list[Any]:
        return tx.all(rows)

    for _ in range(3):
        api.write(limits.take, "org", 2, 5)
        clock.advance(seconds=60)
    assert api.read(kept) == [("org", 2)]


@pytest.mark.parametrize(
    ("now", "seconds"), [(0, 60), (1, 60), (SECOND, 59), (MINUTE - 1, 1), (MINUTE - SECOND, 1), (MINUTE, 60)]
)
def test_the_wait_for_the_next_minute_is_in_whole_seconds(now: int, seconds: int) -> None:
    assert limits.seconds_left(now) == seconds


def test_two_servers_on_one_database_share_one_organization(
    postgres_url: str, tmp_path: Path, clock: HandClock
) -> None:
    with Api(postgres_url, tmp_path, clock) as one, Api(postgres_url, tmp_path, clock) as two:
        assert one.who.organization_id == two.who.organization_id
        two.get("/v1/agents", key=create_key(one).key).ok()
