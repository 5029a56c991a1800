"""Lists: bounded pages, cursors that cannot be carried elsewhere, and walks that lose and repeat nothing."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.resources.workspaces import keys
from tests.api import Api

LIMITS = {
    "/v1/deployments": (20, 100),
    "/v1/deployment_runs": (20, 1000),
    "/v1/agents": (20, 100),
    "/v1/environments": (20, 1000),
    "/v1/sessions": (20, 100),
}


@pytest.mark.parametrize("path", LIMITS)
def test_a_page_has_a_limit(sqlite_api: Api, path: str) -> None:
    for limit in ("0", "-1", str(LIMITS[path][1] + 1), "many", "1.5"):
        assert "limit" in sqlite_api.get(path, query={"limit": limit}).refused(400)
    for limit in ("1", str(LIMITS[path][1])):
        assert sqlite_api.get(path, query={"limit": limit}).ok()["data"] == []


def test_a_page_holds_twenty_unless_asked_otherwise_and_the_last_one_says_null(sqlite_api: Api) -> None:
    for _ in range(21):
        sqlite_api.agent()
    first = sqlite_api.get("/v1/agents").ok()
    assert len(first["data"]) == 20
    last = sqlite_api.get("/v1/agents", query={"page": first["next_page"]}).ok()
    assert len(last["data"]) == 1
    assert last["next_page"] is None


def test_unknown_query_parameters_are_ignored(sqlite_api: Api) -> None:
    assert sqlite_api.get("/v1/agents?beta=true&surprise=1").ok() == {"data": [], "next_page": None}


def cursor(api: Api, path: str = "/v1/agents", **query: Any) -> str:
    return api.get(path, query={"limit": 1, **query}).ok()["next_page"]


def test_a_cursor_altered_anywhere_is_refused(sqlite_api: Api) -> None:
    for _ in range(2):
        sqlite_api.agent()
    text = cursor(sqlite_api)
    assert text.startswith("page_")
    for index in range(len(text)):
        other = "A" if text[index] != "A" else "B"
        altered = text[:index] + other + text[index + 1 :]
        said = sqlite_api.get("/v1/agents", query={"page": altered}).refused(400)
        assert said == "invalid page cursor"
    for nonsense in ("page", "page_", "x" * 300, "page_!!!!"):
        assert sqlite_api.get("/v1/agents", query={"page": nonsense}).refused(400) == "invalid page cursor"


def test_a_cursor_goes_with_its_workspace_its_list_and_its_filters(sqlite_api: Api) -> None:
    for _ in range(2):
        sqlite_api.fire(sqlite_api.deployment())
    who = sqlite_api.who
    other = sqlite_api.write(other_workspace_key, who.organization_id)
    text = cursor(sqlite_api, "/v1/deployment_runs")
    for path, query, key in (
        ("/v1/deployment_runs", {}, other),
        ("/v1/deployments", {}, None),
        ("/v1/deployment_runs", {"has_error": "false"}, None),
        ("/v1/deployment_runs", {"created_at[gt]": "2026-01-01T00:00:00Z"}, None),
    ):
        more = {"key": key} if key else {}
        said = sqlite_api.get(path, query={"page": text, **query}, **more).refused(400)
        assert said == "invalid page cursor"
    sqlite_api.get("/v1/deployment_runs", query={"page": text, "limit": 7}).ok()


def other_workspace_key(tx: Any, organization_id: str) -> str:
    return keys.create(tx, organization_id, workspace_id="wrkspc_other", name="other").key


def sessions(api: Api, clock: HandClock, count: int) -> list[str]:
    body = {"agent": api.agent()["id"], "environment_id": api.environment()["id"]}
    made = []
    for number in range(count):
        if number % 3 == 0:  # some share an instant
            clock.advance(seconds=1)
        made.append(api.post("/v1/sessions", body).ok()["id"])
    return made[::-1]


def test_sessions_are_walked_back_as_they_were_walked_forward(api: Api, clock: HandClock) -> None:
    made = sessions(api, clock, 8)
    for order, expected in (("desc", made), ("asc", made[::-1])):
        pages, page = [], api.get("/v1/sessions", query={"limit": 3, "order": order}).ok()
        assert page["prev_page"] is None
        while True:
            pages.append([each["id"] for each in page["data"]])
            if page["next_page"] is None:
                break
            page = api.get("/v1/sessions", query={"limit": 3, "order": order, "page": page["next_page"]}).ok()
        assert [each for ids in pages for each in ids] == expected
        back = api.get("/v1/sessions", query={"limit": 3, "order": order, "page": page["prev_page"]}).ok()
        assert [each["id"] for each in back["data"]] == pages[-2]
        assert back["next_page"] is not None


def test_on_sessions_the_filters_may_change_but_not_the_order_nor_the_cursors_place(api: Api, clock: HandClock) -> None:
    made = sessions(api, clock, 4)
    text = cursor(api, "/v1/sessions")
    rest = api.get("/v1/sessions", query={"page": text, "statuses[]": "idle", "include_archived": "true"}).ok()["data"]
    assert [each["id"] for each in rest] == made[1:]
    said = api.get("/v1/sessions", query={"page": text, "order": "asc"}).refused(400)
    assert said == "page token order does not match request"
    said = api.get("/v1/sessions", query={"page": text, "created_at[gt]": "2030-01-01T00:00:00Z"}).refused(400)
    assert said == "invalid page cursor"
    api.get("/v1/sessions", query={"page": text, "created_at[gt]": "2020-01-01T00:00:00Z"}).ok()


def test_a_walk_under_concurrent_inserts_neither_loses_nor_repeats_a_row(api: Api) -> None:
    deployment = api.deployment()
    before = [api.fire(deployment)["id"] for _ in range(30)]
    seen: list[str] = []
    page = None
    while True:
        query = {"limit": 4} | ({"page": page} if page else {})
        calls = [
            api.call("GET", "/v1/deployment_runs", query=query),
            *(api.call("POST", f"/v1/deployments/{deployment['id']}/run") for _ in range(5)),
        ]
        found = api.gather(calls)[0].ok()
        seen += [run["id"] for run in found["data"]]
        page = found["next_page"]
        if page is None:
            break
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen)
    assert [each for each in seen if each in set(before)] == before[::-1]
