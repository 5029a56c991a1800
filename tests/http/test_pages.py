"""Lists: how long a page may be, what a cursor is good for, and that a walk meets every row once (contract, pagination)."""

import string
from collections.abc import Iterator
from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.resources.workspaces.wire import CreateWorkspace
from tests.api import HELLO, Api

BAD = "invalid page cursor"
MAXIMA = {
    "/v1/deployments": 100,
    "/v1/deployment_runs": 1000,
    "/v1/agents": 100,
    "/v1/agents/{agent}/versions": 100,
    "/v1/environments": 1000,
    "/v1/sessions": 100,
    "/v1/sessions/{session}/events": 1000,
    "/v1/sessions/{session}/resources": 1000,
    "/v1/sessions/{session}/threads": 1000,
    "/v1/sessions/{session}/threads/{thread}/events": 1000,
}
REPOSITORIES = [{"type": "github_repository", "url": f"https://github.com/a/b{n}"} for n in range(5)]


class Place:
    """A house with five rows in every list that can have five; all of one instant."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.agent = api.agent()["id"]
        for number in range(4):
            api.post(f"/v1/agents/{self.agent}", {"name": f"Clerk {number}"}).ok()
            api.agent()
        self.environment = api.environment()["id"]
        for _ in range(4):
            api.environment()
        shape = {"agent": self.agent, "environment_id": self.environment, "resources": REPOSITORIES}
        self.deployments = [api.deployment(**shape, initial_events=HELLO * 5) for _ in range(5)]
        self.runs = [api.fire(each) for each in self.deployments]
        self.session = self.runs[0]["session_id"]
        [thread] = api.get(f"/v1/sessions/{self.session}/threads").ok()["data"]
        self.thread = thread["id"]

    def path(self, template: str) -> str:
        return template.format(agent=self.agent, session=self.session, thread=self.thread)


@pytest.fixture(scope="module")
def place(still_api: Api) -> Place:
    """For those who only read."""
    return Place(still_api)


def walk(api: Api, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    """The pages of a list from the first to the last."""
    page = api.get(path, query=query).ok()
    yield page
    while page["next_page"] is not None:
        page = api.get(path, query={**query, "page": page["next_page"]}).ok()
        yield page


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row.get("id", "") + str(row.get("version", "")) for row in rows]


# Limits


def test_a_limit_is_between_one_and_the_lists_maximum(place: Place) -> None:
    for template, maximum in MAXIMA.items():
        path = place.path(template)
        for good in (1, maximum):
            assert len(place.api.get(path, query={"limit": good}).ok()["data"]) <= good
        for bad in (0, -1, maximum + 1, 2**63, 10**30, "ten", "", "1.5", "null", "1,2", "0x10", "１"):
            response = place.api.get(path, query={"limit": bad})
            assert response.refused(400).startswith("limit: "), (path, bad)


@pytest.mark.parametrize(("path", "default"), [("/v1/agents", 20), ("/v1/environments", 20), ("/v1/sessions", 20)])
def test_the_default_is_twenty(sqlite_api: Api, path: str, default: int) -> None:
    agent, environment = sqlite_api.agent()["id"], sqlite_api.environment()["id"]
    for _ in range(21):
        if path == "/v1/agents":
            sqlite_api.agent()
        elif path == "/v1/environments":
            sqlite_api.environment()
        else:
            sqlite_api.post("/v1/sessions", {"agent": agent, "environment_id": environment}).ok()
    page = sqlite_api.get(path).ok()
    assert len(page["data"]) == default
    assert page["next_page"].startswith("page_")


# Walking


def test_a_walk_meets_every_row_once_though_all_are_of_one_instant(api: Api) -> None:
    place = Place(api)
    for template in MAXIMA:
        path = place.path(template)
        whole = api.get(path).ok()
        assert set(whole) == {"data", "next_page"} | ({"prev_page"} if path == "/v1/sessions" else set())
        assert whole["next_page"] is None
        for limit in (1, 2, 5):
            pages = list(walk(api, path, limit=limit))
            assert [row for page in pages for row in page["data"]] == whole["data"], (path, limit)
            assert all(page["data"] for page in pages)
            assert len(pages) == -(-len(whole["data"]) // limit)
    order = {"/v1/deployments": ids(place.deployments), "/v1/deployment_runs": ids(place.runs)}
    for path, made in order.items():
        assert ids(api.get(path).ok()["data"]) == made[::-1]


def test_an_empty_list_is_an_empty_page(sqlite_api: Api) -> None:
    for path in ("/v1/deployments", "/v1/deployment_runs", "/v1/agents", "/v1/environments"):
        assert sqlite_api.get(path).ok() == {"data": [], "next_page": None}
    assert sqlite_api.get("/v1/sessions").ok() == {"data": [], "next_page": None, "prev_page": None}


def test_an_empty_cursor_is_none(place: Place) -> None:
    assert place.api.get("/v1/agents?page=").ok() == place.api.get("/v1/agents").ok()


def test_the_length_of_a_page_may_change_on_the_way(place: Place) -> None:
    first = place.api.get("/v1/agents?limit=1").ok()
    rest = place.api.get("/v1/agents", query={"limit": 100, "page": first["next_page"]}).ok()
    assert ids(first["data"] + rest["data"]) == ids(place.api.get("/v1/agents").ok()["data"])


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_sessions_are_walked_back_in_the_order_of_the_way_there(api: Api, clock: HandClock, order: str) -> None:
    agent, environment = api.agent()["id"], api.environment()["id"]
    made: list[str] = []
    for number in range(7):
        clock.advance(seconds=number % 3)  # some of one instant, some not
        made.append(api.post("/v1/sessions", {"agent": agent, "environment_id": environment}).ok()["id"])
    if order == "desc":
        made.reverse()
    pages = list(walk(api, "/v1/sessions", order=order, limit=3))
    assert [ids(page["data"]) for page in pages] == [made[:3], made[3:6], made[6:]]
    assert [page["prev_page"] is None for page in pages] == [True, False, False]
    back = api.get("/v1/sessions", query={"order": order, "limit": 3, "page": pages[2]["prev_page"]}).ok()
    assert ids(back["data"]) == made[3:6]
    again = api.get("/v1/sessions", query={"order": order, "limit": 3, "page": back["prev_page"]}).ok()
    assert ids(again["data"]) == made[:3]
    assert again["prev_page"] is None
    forth = api.get("/v1/sessions", query={"order": order, "limit": 3, "page": again["next_page"]}).ok()
    assert ids(forth["data"]) == made[3:6]


def test_a_walk_loses_and_repeats_nothing_while_others_insert(api: Api, clock: HandClock) -> None:
    deployment = api.deployment()
    before = {api.fire(deployment)["id"] for _ in range(12)}
    fire = f"/v1/deployments/{deployment['id']}/run"
    for path, key, order in (
        ("/v1/deployment_runs", "id", None),
        ("/v1/sessions", "id", "desc"),
        ("/v1/sessions", "id", "asc"),
        ("/v1/environments", "id", None),
    ):
        if path != "/v1/deployment_runs":
            before = {row[key] for page in walk(api, path, limit=100) for row in page["data"]}
        met: list[str] = []
        query: dict[str, Any] = {"limit": 3} | ({"order": order} if order else {})
        while True:
            clock.advance(seconds=0.000001)
            page, *_ = api.gather(
                [
                    api.call("GET", path, query=query),
                    api.call("POST", fire),
                    api.call("POST", "/v1/environments", {"name": f"e {path} {order} {len(met)}"}),
                ]
            )
            met += [row[key] for row in page.ok()["data"]]
            if page.body["next_page"] is None or len(met) > 60:
                break
            query["page"] = page.body["next_page"]
        assert len(set(met)) == len(met)
        assert before <= set(met)


# What a cursor is good for


def cursor(api: Api, path: str, **query: Any) -> str:
    page: str = api.get(path, query={"limit": 1, **query}).ok()["next_page"]
    return page


def test_a_cursor_that_was_tampered_with_anywhere_is_refused(place: Place) -> None:
    for path in ("/v1/deployments", "/v1/sessions"):
        good = cursor(place.api, path)
        alphabet = string.ascii_letters + string.digits + "-_"
        for index, character in enumerate(good):
            near = alphabet[(alphabet.index(character) + 1) % 64]
            for other in (near, "A" if character != "A" else "B", "", "é", " ", character.swapcase(), "=="):
                if other != character:
                    bad = good[:index] + other + good[index + 1 :]
                    assert place.api.get(path, query={"page": bad}).refused(400) == BAD, (index, bad)
        for bad in (
            "page_",
            "page",
            "x",
            good + "A",
            good + "=",
            good + good,
            good[:-1],
            "page_" + "A" * 10_000,
            "\0",
            "null",
        ):
            assert place.api.get(path, query={"page": bad}).refused(400) == BAD, bad
        assert place.api.get(path, query={"page": good}).ok()


def test_a_cursor_is_good_for_its_own_list_only(place: Place) -> None:
    other_session = place.runs[1]["session_id"]
    cursors = {path: cursor(place.api, path) for path in map(place.path, MAXIMA) if not path.endswith("/threads")}
    for path, good in cursors.items():
        for elsewhere in cursors:
            response = place.api.get(elsewhere, query={"page": good})
            assert response.status == (200 if path == elsewhere else 400), (path, elsewhere)
    good = cursors[place.path("/v1/sessions/{session}/events")]
    assert place.api.get(f"/v1/sessions/{other_session}/events", query={"page": good}).refused(400) == BAD


def test_a_cursor_is_good_in_its_own_workspace_only(sqlite_api: Api) -> None:
    organization = sqlite_api.who.organization_id
    other = sqlite_api.write(lambda tx: workspaces.create(tx, sqlite_api.who, CreateWorkspace(name="Other"))).id
    key = sqlite_api.write(lambda tx: keys.create(tx, organization, workspace_id=other)).key
    second = sqlite_api.write(lambda tx: keys.create(tx, organization, workspace_id=sqlite_api.who.workspace_id)).key
    for _ in range(2):
        sqlite_api.agent()
    good = cursor(sqlite_api, "/v1/agents")
    assert sqlite_api.get("/v1/agents", query={"page": good}, key=key).refused(400) == BAD
    assert sqlite_api.get("/v1/agents", query={"page": good}, key=second).ok()["data"]


@pytest.mark.parametrize(
    "template", ["/v1/sessions", "/v1/sessions/{session}/events", "/v1/sessions/{session}/threads/{thread}/events"]
)
def test_a_cursor_carries_its_order(place: Place, template: str) -> None:
    path = place.path(template)
    for order, other in (("asc", "desc"), ("desc", "asc")):
        good = cursor(place.api, path, order=order)
        refused = place.api.get(path, query={"order": other, "page": good}).refused(400)
        assert refused == "page token order does not match request"
        assert place.api.get(path, query={"order": order, "page": good}).ok()
    assert place.api.get(path, query={"order": "sideways"}).refused(400)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("/v1/deployments", {}, {"status": "active"}),
        ("/v1/deployments", {"include_archived": "true"}, {}),
        ("/v1/deployment_runs", {"has_error": "false"}, {}),
        ("/v1/deployment_runs", {}, {"created_at[gte]": "2020-01-01T00:00:00Z"}),
        ("/v1/agents", {}, {"include_archived": "true"}),
        ("/v1/sessions/{session}/events", {"types[]": "user.message"}, {}),
    ],
)
def test_a_cursor_keeps_the_filters_it_was_made_with(
    place: Place, path: str, old: dict[str, str], new: dict[str, str]
) -> None:
    path = place.path(path)
    good = cursor(place.api, path, **old)
    assert place.api.get(path, query={"page": good, **new}).refused(400) == BAD
    assert place.api.get(path, query={"page": good, **old}).ok()


def test_the_filters_of_sessions_may_change_on_the_way_but_not_shut_out_the_place(api: Api, clock: HandClock) -> None:
    agent, environment = api.agent()["id"], api.environment()["id"]
    made: list[dict[str, Any]] = []
    for _ in range(4):
        clock.advance(seconds=10)
        made.append(api.post("/v1/sessions", {"agent": agent, "environment_id": environment}).ok())
    good = cursor(api, "/v1/sessions", limit=2)  # stands at the third
    for change in (
        {"agent_id": agent},
        {"statuses[]": "idle"},
        {"include_archived": "true"},
        {"created_at[lte]": made[2]["created_at"]},
    ):
        page = api.get("/v1/sessions", query={"page": good, **change}).ok()
        assert ids(page["data"]) == [made[1]["id"], made[0]["id"]]
    assert api.get("/v1/sessions", query={"page": good, "agent_id": "agent_01nothing"}).ok()["data"] == []
    at, before, after = made[2]["created_at"], made[1]["created_at"], made[3]["created_at"]
    for bound, moment, status in (
        ("gt", at, 400), ("gt", before, 200), ("gte", at, 200), ("gte", after, 400),
        ("lt", at, 400), ("lt", after, 200), ("lte", at, 200), ("lte", before, 400),
    ):  # fmt: skip
        assert api.get("/v1/sessions", query={"page": good, f"created_at[{bound}]": moment}).status == status, bound


# Filters as such


@pytest.mark.parametrize(
    "query",
    [
        "created_at[gte]=yesterday", "created_at[gte]=2026-13-01T00:00:00Z", "created_at[gte]=1772452800", "created_at[gte]=1e9",
        "created_at[gte]=", "created_at%5Bgte%5D=x", "created_at[gte]=2026-03-02", "created_at[gte]=null",
    ],
)  # fmt: skip
def test_a_time_that_is_none_is_400(still_api: Api, query: str) -> None:
    for path in ("/v1/deployments", "/v1/deployment_runs", "/v1/sessions", "/v1/agents"):
        assert still_api.get(f"{path}?{query}").refused(400).startswith("created_at[gte]: "), path


@pytest.mark.parametrize(
    "query",
    [
        "/v1/sessions?statuses[]=asleep", "/v1/sessions?statuses[]=idle&statuses[]=", "/v1/sessions?agent_id=a&agent_version=0",
        "/v1/sessions?agent_id=a&agent_version=99999999999999999999999", "/v1/sessions?agent_id=a&agent_version=two",
        "/v1/sessions?include_archived=perhaps", "/v1/deployments?status=archived", "/v1/deployments?include_archived=",
        "/v1/deployment_runs?has_error=maybe", "/v1/deployment_runs?has_error=", "/v1/deployment_runs?trigger_type=webhook",
        "/v1/environments?include_archived=yes", "/v1/sessions?" + "&".join(["statuses[]=idle"] * 501),
    ],
)  # fmt: skip
def test_a_known_parameter_with_a_bad_value_is_400(still_api: Api, query: str) -> None:
    assert still_api.get(query).refused(400)


def test_times_are_compared_exactly_and_in_any_zone(sqlite_api: Api) -> None:
    sqlite_api.agent()
    for moment in (
        "2026-03-02T12:00:00Z",
        "2026-03-02T13:00:00+01:00",
        "2026-03-02T12:00:00.000000Z",
        "2026-03-02T06:30:00-05:30",
    ):
        assert len(sqlite_api.get("/v1/agents", query={"created_at[gte]": moment}).ok()["data"]) == 1, moment
        assert len(sqlite_api.get("/v1/agents", query={"created_at[lte]": moment}).ok()["data"]) == 1, moment
    assert sqlite_api.get("/v1/agents", query={"created_at[gte]": "2026-03-02T12:00:00.000001Z"}).ok()["data"] == []
    assert sqlite_api.get("/v1/agents", query={"created_at[lte]": "2026-03-02T11:59:59.999999Z"}).ok()["data"] == []
