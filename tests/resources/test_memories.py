"""Memories: what may be written where, what is shown, and what two writers can rely on (contract, memory stores)."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from tests.api import Api
from tests.conftest import START

CONFLICT = "memory_path_conflict_error"
FAILED = "memory_precondition_failed_error"
CHANGED = "precondition content_sha256 failed: content has changed"
DIGEST = sha256(b"").hexdigest()


def at(store: dict[str, Any], memory: dict[str, Any] | None = None, more: str = "") -> str:
    return f"/v1/memory_stores/{store['id']}/memories" + (f"/{memory['id']}" if memory else "") + more


def create(api: Api, store: dict[str, Any], path: str, content: str = "") -> Any:
    return api.post(at(store), {"path": path, "content": content})


def given(digest: str) -> dict[str, str]:
    return {"type": "content_sha256", "content_sha256": digest}


# Making and reading


def test_a_memory_shows_what_it_is_and_its_content_only_in_full(api: Api) -> None:
    store = api.memory_store()
    content = "Grüße, 世界\r\n"
    basic = create(api, store, "/a/b.md", content).ok()
    raw = content.encode()
    assert basic == {
        "type": "memory",
        "id": basic["id"],
        "memory_store_id": store["id"],
        "memory_version_id": basic["memory_version_id"],
        "path": "/a/b.md",
        "content": None,
        "content_sha256": sha256(raw).hexdigest(),
        "content_size_bytes": len(raw),
        "created_at": "2026-03-02T12:00:00Z",
        "updated_at": "2026-03-02T12:00:00Z",
    }
    assert basic["id"].startswith("mem_01")
    assert basic["memory_version_id"].startswith("memver_01")
    full = basic | {"content": content}
    assert api.get(at(store, basic)).ok() == full
    assert api.get(at(store, basic, "?view=full")).ok() == full
    assert api.get(at(store, basic, "?view=basic")).ok() == basic
    assert api.get(at(store)).ok() == {"data": [basic], "next_page": None, "prefixes": []}
    assert api.get(at(store, None, "?view=full")).ok()["data"] == [full]


def test_every_answer_has_the_view_that_was_asked_for(sqlite_api: Api) -> None:
    store = sqlite_api.memory_store()
    made = sqlite_api.post(at(store, None, "?view=full"), {"path": "/a", "content": "one"}).ok()
    assert made["content"] == "one"
    for view, shown in (("", None), ("?view=basic", None), ("?view=full", "two")):
        changed = sqlite_api.post(at(store, made, view), {"content": "two"}).ok()
        assert changed["content"] == shown
    moved = sqlite_api.post(at(store, made, "?view=full"), {"path": "/b"}).ok()
    assert (moved["path"], moved["content"]) == ("/b", "two")
    sqlite_api.get(at(store, made, "?view=whole")).refused(400)


@pytest.mark.parametrize("length", [0, 1, 102_400])
def test_a_content_is_at_most_102400_bytes_long(sqlite_api: Api, length: int) -> None:
    store = sqlite_api.memory_store()
    memory = sqlite_api.memory(store, "/a", "x" * length)
    assert (memory["content_size_bytes"], len(memory["content"])) == (length, length)


@pytest.mark.parametrize("content", ["x" * 102_401, "é" * 51_201, "日" * 34_134])
def test_a_longer_content_is_refused_by_its_bytes(still_api: Api, content: str) -> None:
    store = still_api.memory_store()
    said = "content must be at most 102400 bytes"
    assert create(still_api, store, "/a", content).refused(400) == said
    memory = still_api.memory(store)
    assert still_api.post(at(store, memory), {"content": content}).refused(400) == said


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"path": "/a"}, "content: value is required"),
        ({"path": "/a", "content": None}, "content: value is required"),
        ({"content": ""}, "path: Field required"),
        ({"path": None, "content": ""}, "path: expected string, got null"),
        ({"path": "/a", "content": 1}, "content: expected string or null, got integer"),
        ({"path": "/a", "content": "", "view": "full"}, 'Failed to parse request body: unknown field "view"'),
    ],
)
def test_what_a_creation_refuses(still_api: Api, body: dict[str, Any], message: str) -> None:
    assert still_api.post(at(still_api.memory_store()), body).refused(400) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        *(
            (body, "v1_update_memory_params: at least one of content or path must be provided")
            for body in ({}, {"content": None}, {"path": None, "content": None}, {"precondition": given(DIGEST)})
        ),
        ({"path": "ab"}, "path: must start with /"),
        ({"content": "", "precondition": {}}, "precondition.type: Field required"),
        ({"content": "", "precondition": {"type": "content_sha256"}}, "precondition.content_sha256: Field required"),
        (
            {"content": "", "precondition": {"type": "etag", "content_sha256": DIGEST}},
            'Failed to parse request: precondition.type: "etag" is not a valid value',
        ),
        (
            {"content": "", "precondition": given("abc")},
            "precondition.content_sha256: must be 64 characters (and 1 more validation errors)",
        ),
        (
            {"content": "", "precondition": given(DIGEST.upper())},
            "precondition.content_sha256: must match the pattern ^[0-9a-f]{64}$",
        ),
    ],
)
def test_what_an_update_refuses(still_api: Api, body: dict[str, Any], message: str) -> None:
    store = still_api.memory_store()
    memory = still_api.memory(store)
    for send in (still_api.post, still_api.patch):
        assert send(at(store, memory), body).refused(400) == message
    assert still_api.get(at(store, memory)).ok() == memory


def test_an_unknown_memory_is_not_in_the_store(still_api: Api) -> None:
    store, other = still_api.memory_store(), still_api.memory_store()
    elsewhere = still_api.memory(other)["id"]
    for memory_id in ("mem_01AAAAAAAAAAAAAAAAAAAAAA", "nonsense", elsewhere):
        for response in (
            still_api.get(f"{at(store)}/{memory_id}"),
            still_api.post(f"{at(store)}/{memory_id}", {"content": "x"}),
            still_api.delete(f"{at(store)}/{memory_id}"),
        ):
            assert response.refused(404, "not_found_error") == f"memory not found: {memory_id}"


# Changing


def test_what_is_omitted_or_null_stays_and_the_id_with_it(api: Api, clock: HandClock) -> None:
    store = api.memory_store()
    old = api.memory(store, "/a", "one")
    clock.advance(seconds=1)
    new = api.post(at(store, old, "?view=full"), {"content": "two", "path": None}).ok()
    assert new == old | {
        "content": "two",
        "content_sha256": sha256(b"two").hexdigest(),
        "memory_version_id": new["memory_version_id"],
        "updated_at": "2026-03-02T12:00:01Z",
    }
    clock.advance(seconds=1)
    moved = api.patch(at(store, old, "?view=full"), {"path": "/b/c", "content": None}).ok()
    assert moved == new | {
        "path": "/b/c", "memory_version_id": moved["memory_version_id"], "updated_at": "2026-03-02T12:00:02Z",
    }  # fmt: skip
    assert len({each["memory_version_id"] for each in (old, new, moved)}) == 3
    assert api.get(at(store, old)).ok() == moved


def test_what_changes_nothing_makes_no_version(sqlite_api: Api, clock: HandClock) -> None:
    store = sqlite_api.memory_store()
    memory = sqlite_api.memory(store, "/a", "one")
    clock.advance(seconds=1)
    for body in ({"content": "one"}, {"path": "/a"}, {"content": "one", "path": "/a"}):
        assert sqlite_api.post(at(store, memory, "?view=full"), body).ok() == memory
        body |= {"precondition": given(DIGEST)}
        assert sqlite_api.post(at(store, memory), body).refused(409, FAILED) == CHANGED
    [version] = sqlite_api.get(f"/v1/memory_stores/{store['id']}/memory_versions").ok()["data"]
    assert version["id"] == memory["memory_version_id"]


def test_an_update_goes_through_only_from_the_content_that_it_expects(api: Api) -> None:
    store = api.memory_store()
    memory = api.memory(store, "/a", "one")
    response = api.post(at(store, memory), {"content": "two", "precondition": given(DIGEST)})
    assert response.refused(409, FAILED) == CHANGED
    assert set(response.body["error"]) == {"type", "message"}
    assert response.headers["x-should-retry"] == "false"
    assert api.get(at(store, memory)).ok() == memory
    good = {"content": "two", "path": "/b", "precondition": given(memory["content_sha256"])}
    assert api.post(at(store, memory), good).ok()["path"] == "/b"
    assert api.post(at(store, memory), good).refused(409, FAILED) == CHANGED


def test_a_deletion_goes_through_only_from_the_content_that_it_expects(api: Api) -> None:
    store = api.memory_store()
    memory = api.memory(store, "/a", "one")
    for bad in ("", "abc", "z" * 63, "a" * 65):
        said = api.delete(at(store, memory), query={"expected_content_sha256": bad}).refused(400)
        assert said == "expected_content_sha256: must be 64 characters (and 1 more validation errors)"
    api.delete(at(store, memory), query={"expected_content_sha256": "Z" * 64}).refused(400)
    response = api.delete(at(store, memory), query={"expected_content_sha256": DIGEST})
    assert response.refused(409, FAILED) == CHANGED
    assert response.headers["x-should-retry"] == "false"
    good = {"expected_content_sha256": memory["content_sha256"]}
    assert api.delete(at(store, memory), query=good).ok() == {"type": "memory_deleted", "id": memory["id"]}
    api.delete(at(store, memory), query=good).refused(404, "not_found_error")
    assert api.memory(store, "/a", "again")["id"] != memory["id"]


# Where


def test_a_path_is_taken_by_one_memory(api: Api) -> None:
    store = api.memory_store()
    first, second = api.memory(store, "/a"), api.memory(store, "/b")
    conflict = {"conflicting_path": "/a", "conflicting_memory_id": first["id"]}
    response = create(api, store, "/a")
    said = f"path `/a` is already used by `{first['id']}`; use update to modify it"
    assert response.refused(409, CONFLICT) == said
    assert response.body["error"] == {"type": CONFLICT, "message": said, **conflict}
    assert response.headers["x-should-retry"] == "false"
    response = api.post(at(store, second), {"path": "/a"})
    said = f"path `/a` is already used by `{first['id']}`; delete it first to rename-and-replace"
    assert response.refused(409, CONFLICT) == said
    assert response.body["error"] == {"type": CONFLICT, "message": said, **conflict}
    assert create(api, api.memory_store(), "/a").ok()


@pytest.mark.parametrize(
    ("there", "wanted"),
    [("/a", "/a/b"), ("/a", "/a/b/c/d"), ("/a/b", "/a"), ("/a/b/c/d", "/a/b"), ("/x/é", "/x/é/!"), ("/x/ ~", "/x")],
)
def test_a_memory_lies_neither_above_nor_below_another(api: Api, there: str, wanted: str) -> None:
    store = api.memory_store()
    first, second = api.memory(store, there), api.memory(store, "/elsewhere")
    said = (
        f"path `{wanted}` conflicts with existing memory at `{there}`: a memory and a path prefix of it cannot coexist. "
        "Delete or rename the other memory first."
    )
    for response in (create(api, store, wanted), api.post(at(store, second), {"path": wanted})):
        assert response.refused(409, CONFLICT) == said
        assert response.body["error"]["conflicting_path"] == there
        assert response.body["error"]["conflicting_memory_id"] == first["id"]
    api.delete(at(store, first)).ok()
    assert create(api, store, wanted).ok()


def test_names_that_only_begin_alike_live_side_by_side(api: Api) -> None:
    store = api.memory_store()
    for path in ("/a/b", "/a/b.md", "/a/b-", "/a/b0", "/a/bb", "/a/b c", "/A/b", "/a/B/c", "/a/bé", "/a0", "/a."):
        assert create(api, store, path).ok()


def test_a_memory_may_move_below_or_above_where_it_was(api: Api) -> None:
    store = api.memory_store()
    memory = api.memory(store, "/a")
    for path in ("/a/b/c", "/a/b", "/a"):
        assert api.post(at(store, memory), {"path": path}).ok()["path"] == path


def test_a_store_holds_so_many_memories_and_no_more(database_url: str, tmp_path: Path) -> None:
    with Api(database_url, tmp_path, HandClock(START), max_memories_per_store=3) as api:
        store = api.memory_store()
        made = [api.memory(store, f"/{n}") for n in range(3)]
        said = f"memory store {store['id']} holds 3 memories, and may hold 3; delete some first"
        assert create(api, store, "/3").refused(400) == said
        assert create(api, store, "/2").refused(409, CONFLICT)
        assert api.post(at(store, made[0]), {"path": "/3"}).ok()
        api.delete(at(store, made[1])).ok()
        api.memory(store, "/4")
        assert create(api, store, "/5").refused(400) == said
        assert api.memory(api.memory_store(), "/0")


def test_the_limit_is_2000_unless_the_operator_says_otherwise(still_api: Api) -> None:
    assert still_api.settings.max_memories_per_store == 2000
    assert still_api.house.app.policy.max_memories == 2000


def test_an_archived_store_takes_nothing_new_but_lets_go(api: Api) -> None:
    store = api.memory_store()
    memory, other = api.memory(store, "/a"), api.memory(store, "/b")
    api.post(f"/v1/memory_stores/{store['id']}/archive").ok()
    said = f"cannot modify archived resource: memory store {store['id']}"
    assert create(api, store, "/c").refused(400) == said
    assert api.post(at(store, memory), {"content": "new"}).refused(400) == said
    assert api.get(at(store, memory)).ok() == memory
    assert api.delete(at(store, memory)).ok()
    assert api.get(at(store, None, "?view=full")).ok()["data"] == [other]
