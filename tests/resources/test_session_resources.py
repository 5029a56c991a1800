"""What is mounted in a session: given to it when it is made, listed, added, rotated, removed (contract, session resources)."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.base.seal import Sealer
from rota.resources.sessions.drafts import token_place
from rota.store.tx import Query
from tests.api import HELLO, Api
from tests.forms import Field, file
from tests.resources.scenes import Scene, run_sql

Json = dict[str, Any]
TOKEN = "github-canary-0123456789abcdef"
NO_FILE = "file_01AbCdEfGhJkLmNpQrStUvWx"
NO_STORE = "memstore_01AbCdEfGhJkLmNpQrStUvWx"
READING = [{"type": "agent_toolset_20260401"}]
TOKENS = Query("Sealed tokens.", "SELECT session_id, resource_id, sealed FROM session_tokens")
ATTACHED = Query(
    "Attachments.", "SELECT memory_store_id, session_id FROM session_memory_stores ORDER BY memory_store_id"
)


def create(api: Api, resources: list[Json], **fields: Any) -> Json:
    """A session of an agent that can read."""
    body = {"agent": api.agent(tools=READING)["id"], "environment_id": api.environment()["id"], **fields}
    return api.post("/v1/sessions", body | {"resources": resources}).ok()


def path(session: Json, resource_id: str | None = None) -> str:
    more = "" if resource_id is None else f"/{resource_id}"
    return f"/v1/sessions/{session['id']}/resources{more}"


def store(memory_store: Json, **more: Any) -> Json:
    return {"type": "memory_store", "memory_store_id": memory_store["id"], **more}


def repository(name: str = "site", **more: Any) -> Json:
    return {"type": "github_repository", "url": f"https://github.com/acme/{name}", **more}


# Memory stores


def test_a_store_is_shown_as_it_was_when_it_was_attached(api: Api) -> None:
    notes = api.memory_store(name="Team notes", description="of the week")
    plain = api.memory_store(name="Team Notes!")
    session = create(
        api,
        [store(notes, access="read_only", instructions="Read first."), store(plain, access=None, instructions=None)],
    )
    assert session["resources"] == [
        {
            "type": "memory_store",
            "memory_store_id": notes["id"],
            "name": "Team notes",
            "description": "of the week",
            "access": "read_only",
            "mount_path": "/mnt/memory/team-notes",
            "instructions": "Read first.",
        },
        {
            "type": "memory_store",
            "memory_store_id": plain["id"],
            "name": "Team Notes!",
            "description": "",
            "access": "read_write",
            "mount_path": "/mnt/memory/team-notes-2",
        },
    ]
    assert api.get(path(session)).ok() == {"data": session["resources"], "next_page": None}
    api.post(f"/v1/memory_stores/{notes['id']}", {"name": "Other"}).ok()
    api.delete(f"/v1/memory_stores/{plain['id']}").ok()
    assert api.get(f"/v1/sessions/{session['id']}").ok()["resources"] == session["resources"]


def test_sessions_are_found_by_their_store_until_they_are_deleted(api: Api) -> None:
    one, other = api.memory_store(), api.memory_store()
    both, first = create(api, [store(one), store(other)]), create(api, [store(one)])
    deployment = api.deployment(resources=[store(other)])
    fired = api.fire(deployment)["session_id"]

    def having(memory_store: Json) -> set[str]:
        query = {"memory_store_id": memory_store["id"]}
        return {session["id"] for session in api.get("/v1/sessions", query=query).ok()["data"]}

    assert having(one) == {both["id"], first["id"]}
    assert having(other) == {both["id"], fired}
    api.delete(f"/v1/sessions/{both['id']}").ok()
    assert having(one) == {first["id"]}
    assert api.read(lambda tx: tx.all(ATTACHED)) == sorted([(one["id"], first["id"]), (other["id"], fired)])


def test_a_store_that_is_not_there_or_archived_or_twice_is_refused(still_api: Api) -> None:
    api = still_api
    live, old = api.memory_store(), api.memory_store()
    api.post(f"/v1/memory_stores/{old['id']}/archive").ok()
    body = {"agent": api.agent()["id"], "environment_id": api.environment()["id"]}
    before = len(api.get("/v1/sessions", query={"limit": 100}).ok()["data"])
    for resources, status, kind, message in [
        ([store({"id": NO_STORE})], 404, "not_found_error", f"Memory store `{NO_STORE}` not found."),
        ([store({"id": "nonsense"})], 404, "not_found_error", "Memory store `nonsense` not found."),
        ([store(live), store(old)], 400, "invalid_request_error", f"Memory store {old['id']} is archived."),
        (
            [store(live)] * 2,
            400,
            "invalid_request_error",
            f"resources contains duplicate memory_store_id: {live['id']}",
        ),
    ]:
        assert api.post("/v1/sessions", {**body, "resources": resources}).refused(status, kind) == message
    many = [store(api.memory_store(name=f"Store {number}")) for number in range(9)]
    api.post("/v1/sessions", {**body, "resources": many}).refused(400)
    assert len(api.post("/v1/sessions", {**body, "resources": many[:8]}).ok()["resources"]) == 8
    assert len(api.get("/v1/sessions", query={"limit": 100}).ok()["data"]) == before + 1


# Repositories


def kept(api: Api) -> dict[str, str]:
    """The tokens that are kept for repositories in sessions, opened, by the resource's id."""
    sealer: Sealer = api.house.app.policy.sealer.get()
    rows = api.read(lambda tx: tx.all(TOKENS))
    assert all(TOKEN.encode() not in bytes(row[2]) for row in rows)
    return {row[1]: sealer.open(bytes(row[2]), token_place(row[0], row[1])) for row in rows}


def test_a_token_is_rotated_and_the_old_one_forgotten(api: Api, clock: HandClock) -> None:
    session = create(api, [repository(authorization_token=TOKEN), repository("open")])
    one, other = session["resources"]
    assert kept(api) == {one["id"]: TOKEN}
    clock.advance(seconds=5)
    rotated = api.post(path(session, one["id"]), {"authorization_token": f"{TOKEN}-2"}).ok()
    assert rotated == one | {"updated_at": "2026-03-02T12:00:05Z"}
    api.post(path(session, other["id"]), {"authorization_token": f"{TOKEN}-3"}).ok()
    assert kept(api) == {one["id"]: f"{TOKEN}-2", other["id"]: f"{TOKEN}-3"}
    assert api.get(path(session, one["id"])).ok() == rotated
    shown = api.get(f"/v1/sessions/{session['id']}").ok()
    assert shown["resources"][0] == rotated
    assert shown["updated_at"] == "2026-03-02T12:00:05Z"
    assert api.get(f"/v1/sessions/{session['id']}/events").ok()["data"] == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "authorization_token: Field required"),
        ({"authorization_token": ""}, "authorization_token: value is required"),
        ({"authorization_token": "t" * 4097}, "authorization_token: must be at most 4096 characters"),
        ({"authorization_token": None}, None),
        ({"authorization_token": "t", "url": "u"}, 'Failed to parse request body: unknown field "url"'),
    ],
)
def test_a_rotation_takes_a_token_and_nothing_else(still_api: Api, body: Json, message: str | None) -> None:
    session = create(still_api, [repository(authorization_token=TOKEN)])
    [resource] = session["resources"]
    said = still_api.post(path(session, resource["id"]), body).refused(400)
    assert message is None or said == message
    assert kept(still_api)[resource["id"]] == TOKEN


def test_a_repository_stays_as_long_as_the_session(still_api: Api) -> None:
    session = create(still_api, [repository()])
    assert "cannot be removed" in still_api.delete(path(session, session["resources"][0]["id"])).refused(400)
    assert still_api.get(path(session)).ok()["data"] == session["resources"]


# What is not there, and what has ended


@pytest.mark.parametrize("asked", ["sesrsc_01AbCdEfGhJkLmNpQrStUvWx", "nonsense", NO_STORE])
def test_a_resource_that_is_not_there_is_not_found_by_any_route(still_api: Api, asked: str) -> None:
    api = still_api
    notes = api.memory_store()
    session, stranger = create(api, [repository(), store(notes)]), create(api, [repository()])
    for resource_id in (asked, notes["id"], stranger["resources"][0]["id"]):
        for response in (
            api.get(path(session, resource_id)),
            api.post(path(session, resource_id), {"authorization_token": "t"}),
            api.delete(path(session, resource_id)),
        ):
            assert response.refused(404, "not_found_error") == f"Resource not found: {resource_id}"


def test_a_session_that_has_ended_keeps_its_resources_as_they_are(still_api: Api) -> None:
    api = still_api
    session = create(api, [repository(authorization_token=TOKEN)])
    [resource] = session["resources"]
    api.post(f"/v1/sessions/{session['id']}/archive").ok()
    said = f"Cannot modify archived session: {session['id']}"
    assert api.post(path(session, resource["id"]), {"authorization_token": "t"}).refused(400) == said
    assert api.delete(path(session, resource["id"])).refused(400) == said
    assert api.post(path(session), {"type": "file", "file_id": NO_FILE}).refused(400) == said
    assert api.get(path(session)).ok()["data"] == [resource]
    assert kept(api)[resource["id"]] == TOKEN


# Files


def upload(api: Api, name: str = "report.csv", content: bytes = b"1,2\n", **form: str) -> Json:
    """A new file."""
    fields = [file(content, name, "text/csv"), *(Field(key, value.encode()) for key, value in form.items())]
    return api.post("/v1/files", form=fields).ok()


def mounted(uploaded: Json, **more: Any) -> Json:
    return {"type": "file", "file_id": uploaded["id"], **more}


def files_of(api: Api, session: Json) -> dict[str, Json]:
    """The files of a session, by id."""
    found = api.get("/v1/files", query={"scope_id": session["id"], "limit": 1000}).ok()["data"]
    return {each["id"]: each for each in found}


def test_a_session_has_copies_of_its_own(api: Api, clock: HandClock) -> None:
    report, notes = upload(api), upload(api, "notes.txt", b"hello")
    clock.advance(seconds=5)
    session = create(api, [mounted(report), mounted(notes, mount_path="/n.txt"), mounted(report, mount_path="b/r.csv")])
    assert [each["mount_path"] for each in session["resources"]] == [
        f"/mnt/session/uploads/{report['id']}",
        "/mnt/session/uploads/n.txt",
        "/mnt/session/uploads/b/r.csv",
    ]
    copies = files_of(api, session)
    assert len(copies) == 3
    for resource, original in zip(session["resources"], (report, notes, report), strict=True):
        assert set(resource) == {"type", "id", "file_id", "mount_path", "created_at", "updated_at"}
        assert resource["id"].startswith("sesrsc_01")
        assert resource["created_at"] == resource["updated_at"] == session["created_at"]
        assert resource["file_id"] != original["id"]
        assert copies[resource["file_id"]] == original | {
            "id": resource["file_id"],
            "created_at": session["created_at"],
            "downloadable": False,
            "scope": {"type": "session", "id": session["id"]},
        }
    assert {each["id"] for each in api.get("/v1/files").ok()["data"]} == {report["id"], notes["id"]}
    assert api.get(f"/v1/sessions/{session['id']}").ok() == session
    api.delete(f"/v1/files/{report['id']}").ok()
    assert files_of(api, session) == copies
    assert api.get(path(session)).ok()["data"] == session["resources"]


def test_each_run_makes_copies_that_go_with_its_session(api: Api) -> None:
    report = upload(api)
    deployment = api.deployment(agent=api.agent(tools=READING)["id"], resources=[mounted(report)])
    assert deployment["resources"] == [mounted(report)]
    paths = [f"/v1/deployments/{deployment['id']}/run"] * 3
    runs = [answer.ok() for answer in api.gather([api.call("POST", each) for each in paths])]
    sessions = [api.get(f"/v1/sessions/{run['session_id']}").ok() for run in runs]
    shown = [session["resources"][0]["file_id"] for session in sessions]
    assert len(set(shown)) == 3
    for session, copy_id in zip(sessions, shown, strict=True):
        assert set(files_of(api, session)) == {copy_id}
    run_sql(api, ["UPDATE sessions SET status = 'idle'"])
    api.delete(f"/v1/sessions/{sessions[0]['id']}").ok()
    api.get(f"/v1/files/{shown[0]}").refused(404, "not_found_error")
    assert set(files_of(api, sessions[1])) == {shown[1]}
    assert api.get(f"/v1/files/{report['id']}").ok() == report


def test_a_file_that_has_expired_is_not_there(api: Api, clock: HandClock) -> None:
    report = upload(api, expires_in_seconds="3600")
    deployment = api.deployment(agent=api.agent(tools=READING)["id"], resources=[mounted(report)])
    assert api.fire(deployment)["error"] is None
    clock.advance(seconds=3600)
    assert api.fire(deployment)["error"]["type"] == "file_not_found_error"
    body = {"agent": deployment["agent"]["id"], "environment_id": deployment["environment_id"]}
    said = api.post("/v1/sessions", body | {"resources": [mounted(report)]}).refused(404, "not_found_error")
    assert said.endswith(report["id"])


def test_a_file_is_added_and_removed_with_its_copy(api: Api, clock: HandClock) -> None:
    report = upload(api)
    session = create(api, [repository()], initial_events=HELLO)
    clock.advance(seconds=5)
    added = api.post(path(session), mounted(report)).ok()
    assert added == {
        "type": "file",
        "id": added["id"],
        "file_id": added["file_id"],
        "mount_path": f"/mnt/session/uploads/{report['id']}",
        "created_at": "2026-03-02T12:00:05Z",
        "updated_at": "2026-03-02T12:00:05Z",
    }
    shown = api.get(f"/v1/sessions/{session['id']}").ok()
    assert shown["resources"] == [*session["resources"], added]
    assert (shown["status"], shown["updated_at"]) == ("running", "2026-03-02T12:00:05Z")
    assert api.get(path(session, added["id"])).ok() == added
    assert set(files_of(api, session)) == {added["file_id"]}
    clock.advance(seconds=5)
    assert api.delete(path(session, added["id"])).ok() == {"type": "session_resource_deleted", "id": added["id"]}
    shown = api.get(f"/v1/sessions/{session['id']}").ok()
    assert (shown["resources"], shown["updated_at"]) == (session["resources"], "2026-03-02T12:00:10Z")
    assert files_of(api, session) == {}
    api.delete(path(session, added["id"])).refused(404, "not_found_error")
    assert api.get(f"/v1/files/{report['id']}").ok() == report
    assert [event["type"] for event in api.get(f"/v1/sessions/{session['id']}/events").ok()["data"]] == ["user.message"]


def test_a_file_whose_copy_was_deleted_by_itself_can_still_be_removed(still_api: Api) -> None:
    session = create(still_api, [mounted(upload(still_api))])
    [resource] = session["resources"]
    still_api.delete(f"/v1/files/{resource['file_id']}").ok()
    assert still_api.post(path(session, resource["id"]), {"authorization_token": "t"}).refused(400) == (
        "authorization_token: only `github_repository` resources have one"
    )
    still_api.delete(path(session, resource["id"])).ok()
    assert still_api.get(path(session)).ok()["data"] == []


def test_a_place_that_is_taken_is_refused(still_api: Api) -> None:
    api = still_api
    report = upload(api)
    session = create(api, [mounted(report, mount_path="/a/b")])
    for place in ("/a/b", "/uploads/a/b/c", "/a"):
        said = api.post(path(session), mounted(report, mount_path=place)).refused(400)
        full = f"/mnt/session/uploads{place.removeprefix('/uploads')}"
        assert said == (
            f"Invalid `file` resource: `mount_path` overlaps another resource: /mnt/session/uploads/a/b and {full}; "
            "set distinct `mount_path` values"
        )
    assert len(files_of(api, session)) == 1
    body = {"agent": session["agent"]["id"], "environment_id": session["environment_id"]}
    twice = api.post("/v1/sessions", body | {"resources": [mounted(report)] * 2}).refused(400)
    assert "overlaps another resource" in twice


def test_a_session_has_at_most_five_hundred_files(still_api: Api) -> None:
    api = still_api
    report = upload(api)
    session = create(api, [mounted(report, mount_path=f"/part/{number}") for number in range(500)])
    assert len(files_of(api, session)) == len({each["file_id"] for each in session["resources"]}) == 500
    assert "at most 500 files" in api.post(path(session), mounted(report, mount_path="/more")).refused(400)
    api.delete(path(session, session["resources"][0]["id"])).ok()
    api.post(path(session), mounted(report, mount_path="/more")).ok()


def test_another_workspaces_file_is_not_there(still_api: Api) -> None:
    api = still_api
    scene = Scene(api)
    [theirs, _] = scene.files
    body = {"agent": api.agent(tools=READING)["id"], "environment_id": api.environment()["id"]}
    said = api.post("/v1/sessions", body | {"resources": [{"type": "file", "file_id": theirs}]}).refused(
        404, "not_found_error"
    )
    assert said.endswith(theirs)
    session = create(api, [])
    assert api.post(path(session), {"type": "file", "file_id": theirs}).refused(404, "not_found_error") == said
    shown = {"type": "document", "source": {"type": "file", "file_id": theirs}}
    sent = {"events": [{"type": "user.message", "content": [shown]}]}
    assert api.post(f"/v1/sessions/{session['id']}/events", sent).refused(400) == said


def test_a_walk_goes_on_rightly_while_files_come_and_go(still_api: Api) -> None:
    api = still_api
    report = upload(api)
    notes = api.memory_store()
    parts = [mounted(report, mount_path=f"/part/{number}") for number in range(6)]
    session = create(api, [*parts[:3], store(notes), *parts[3:], repository()])
    ids = [each.get("id", notes["id"]) for each in session["resources"]]

    def walk(page: str | None, limit: int = 2) -> Json:
        query = {"limit": limit} | ({} if page is None else {"page": page})
        return api.get(path(session), query=query).ok()

    def seen(found: Json) -> list[str]:
        return [each.get("id", notes["id"]) for each in found["data"]]

    first = walk(None)
    assert seen(first) == ids[:2]
    api.delete(path(session, ids[0])).ok()  # before where the walk stands
    second = walk(first["next_page"])
    assert seen(second) == ids[2:4]
    third = walk(second["next_page"])  # a page that ended with a store, which has no id
    assert seen(third) == ids[4:6]
    api.delete(path(session, ids[5])).ok()  # where it stands
    api.delete(path(session, ids[1])).ok()
    added = api.post(path(session), mounted(report, mount_path="/late")).ok()
    rest = walk(third["next_page"], 10)
    assert seen(rest) == [*ids[6:], added["id"]]
    assert rest["next_page"] is None


# Files that are refused


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (
            {"type": "memory_store", "memory_store_id": NO_STORE},
            400,
            'Failed to parse request: type: "memory_store" is not a valid value',
        ),
        (
            {"type": "github_repository", "url": "https://github.com/acme/site"},
            400,
            'Failed to parse request: type: "github_repository" is not a valid value',
        ),
        ({"file_id": NO_FILE}, 400, "type: Field required"),
        ({"type": "file"}, 400, "file_id: Field required"),
        ({"type": "file", "file_id": NO_FILE, "name": "x"}, 400, 'Failed to parse request body: unknown field "name"'),
        ({"type": "file", "file_id": "file_none"}, 400, 'Invalid file resource: invalid file_id: "file_none"'),
        ({"type": "file", "file_id": NO_FILE, "mount_path": "/.."}, 400, "`mount_path` must not hold `..` or NUL"),
        (
            {"type": "file", "file_id": NO_FILE},
            404,
            f"One or more files not found. Check that each `file_id` exists and is accessible: {NO_FILE}",
        ),
    ],
)
def test_only_a_file_that_is_there_is_added(still_api: Api, body: Json, status: int, message: str) -> None:
    session = create(still_api, [])
    kind = "not_found_error" if status == 404 else "invalid_request_error"
    assert still_api.post(path(session), body).refused(status, kind) == message
    assert still_api.get(path(session)).ok()["data"] == []


@pytest.mark.parametrize(
    "tools",
    [
        [],
        [{"type": "agent_toolset_20260401", "configs": [{"name": "read", "enabled": False}]}],
        [
            {
                "type": "agent_toolset_20260401",
                "default_config": {"enabled": False},
                "configs": [{"name": "bash", "enabled": True}],
            }
        ],
    ],
)
def test_a_file_needs_an_agent_that_can_read_it(still_api: Api, tools: list[Json]) -> None:
    api = still_api
    body = {"agent": api.agent(tools=tools)["id"], "environment_id": api.environment()["id"]}
    session = api.post("/v1/sessions", body).ok()
    said = api.post(path(session), {"type": "file", "file_id": NO_FILE}).refused(400)
    assert said == (
        "Missing required tool: file resources require the read tool to be usable (enabled and not always_deny) on the "
        "session's `agent_toolset`"
    )
    api.post(f"/v1/sessions/{session['id']}", {"agent": {"tools": READING}}).ok()
    api.post(path(session), {"type": "file", "file_id": NO_FILE}).refused(404, "not_found_error")


def test_a_self_hosted_session_takes_no_file(still_api: Api) -> None:
    environment = still_api.environment(config={"type": "self_hosted"})
    session = create(still_api, [], environment_id=environment["id"])
    assert "only memory stores" in still_api.post(path(session), {"type": "file", "file_id": NO_FILE}).refused(400)


def test_resources_of_a_session_that_is_not_there_are_not_found(still_api: Api) -> None:
    session = {"id": "sesn_01x"}
    for response in (
        still_api.get(path(session)),
        still_api.get(path(session, "sesrsc_01x")),
        still_api.post(path(session), {"type": "file", "file_id": NO_FILE}),
        still_api.post(path(session, "sesrsc_01x"), {"authorization_token": "t"}),
        still_api.delete(path(session, "sesrsc_01x")),
    ):
        assert response.refused(404, "not_found_error") == "Session `sesn_01x` not found."


def test_a_running_session_may_be_changed(still_api: Api) -> None:
    session = create(still_api, [repository()], initial_events=HELLO)
    still_api.post(path(session, session["resources"][0]["id"]), {"authorization_token": "t"}).ok()
    still_api.post(path(session), {"type": "file", "file_id": NO_FILE}).refused(404, "not_found_error")
