"""Memory stores from their making to their end (contract, memory stores)."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.resources.memory_stores import actions
from rota.resources.memory_stores.actions import Facts
from rota.store.tx import Query
from tests.api import Api

EVENTS = Query("What was announced.", "SELECT event, resource_id FROM outbox ORDER BY id")
LEFT = Query(
    "What is left of a store.",
    """SELECT 'memory' FROM memories WHERE memory_store_id = :id
       UNION ALL SELECT 'version' FROM memory_versions WHERE memory_store_id = :id""",
)
NULL_METADATA = (
    'Failed to parse request: params: field "metadata": null is not a valid value for a map field; omit the field to '
    "preserve, or set individual keys to null to delete them"
)
NEVER = "memstore_01AAAAAAAAAAAAAAAAAAAAAA"


def path(store: dict[str, Any], more: str = "") -> str:
    return f"/v1/memory_stores/{store['id']}{more}"


def announced(api: Api, store: dict[str, Any]) -> list[str]:
    return api.read(lambda tx: [event for event, resource_id in tx.all(EVENTS) if resource_id == store["id"]])


def test_a_new_store_has_every_key_but_the_one_of_its_end(api: Api) -> None:
    store = api.post("/v1/memory_stores", {"name": "Notes"}).ok()
    assert store == {
        "type": "memory_store",
        "id": store["id"],
        "name": "Notes",
        "description": "",
        "metadata": {},
        "created_at": "2026-03-02T12:00:00Z",
        "updated_at": "2026-03-02T12:00:00Z",
    }
    assert store["id"].startswith("memstore_01")
    assert api.get(path(store)).ok() == store
    assert announced(api, store) == ["memory_store.created"]


def test_a_name_need_not_be_its_own(sqlite_api: Api) -> None:
    assert sqlite_api.memory_store(name="Notes")["id"] != sqlite_api.memory_store(name="Notes")["id"]


@pytest.mark.parametrize("name", ["n", "n" * 255, "é" * 255, "日誌", " ", "a/b", "..", "\u202e"])
def test_a_name_may_be_any_text_of_1_to_255_characters(still_api: Api, name: str) -> None:
    assert still_api.memory_store(name=name)["name"] == name


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name: Field required"),
        ({"name": ""}, "name: minimum string length is 1"),
        ({"name": None}, "name: expected string, got null"),
        ({"name": "n" * 256}, "name: maximum string length is 255"),
        *(({"name": f"a{sign}b"}, "name: must not have control characters") for sign in "\x01\t\n\x1f\x7f\x80\x9f"),
        ({"name": "a", "description": "d" * 1025}, "description: maximum string length is 1024"),
        ({"name": "a", "kind": 1}, 'Failed to parse request body: unknown field "kind"'),
        (
            {"name": "a", "metadata": {str(n): "" for n in range(17)}},
            "invalid metadata: metadata map would have 17 entries, exceeding the maximum of 16",
        ),
    ],
)
def test_what_a_store_refuses(still_api: Api, body: dict[str, Any], message: str) -> None:
    assert still_api.post("/v1/memory_stores", body).refused(400) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "at least one of name, description, or metadata must be provided"),
        ({"name": None}, "name cannot be empty"),
        ({"name": ""}, "name cannot be empty"),
        ({"metadata": None}, NULL_METADATA),
        ({"name": "x", "metadata": None}, NULL_METADATA),
        ({"name": "n" * 256}, "name: maximum string length is 255"),
        ({"name": "a\x1bb"}, "name: must not have control characters"),
        ({"archived_at": None}, 'Failed to parse request body: unknown field "archived_at"'),
    ],
)
def test_what_an_update_refuses(still_api: Api, body: dict[str, Any], message: str) -> None:
    store = still_api.memory_store()
    assert still_api.post(path(store), body).refused(400) == message
    assert still_api.get(path(store)).ok() == store


@pytest.mark.parametrize(
    ("sent", "key", "shown"),
    [
        ({"name": "new"}, "name", "new"),
        ({"description": "other"}, "description", "other"),
        ({"description": None}, "description", ""),
        ({"description": ""}, "description", ""),
        ({"description": "d"}, "description", "d"),
        ({"metadata": {"a": None, "c": "3"}}, "metadata", {"b": "2", "c": "3"}),
        ({"metadata": {"a": ""}}, "metadata", {"a": "", "b": "2"}),
        ({"metadata": {}}, "metadata", {"a": "1", "b": "2"}),
    ],
)
def test_an_update_keeps_what_is_omitted(
    sqlite_api: Api, clock: HandClock, sent: dict[str, Any], key: str, shown: Any
) -> None:
    old = sqlite_api.memory_store(name="old", description="d", metadata={"a": "1", "b": "2"})
    clock.advance(seconds=1)
    new = sqlite_api.post(path(old), sent).ok()
    changes = old[key] != shown
    assert new == {
        **old, key: shown, "updated_at": "2026-03-02T12:00:01Z" if changes else old["updated_at"],
    }  # fmt: skip
    assert sqlite_api.get(path(old)).ok() == new
    assert announced(sqlite_api, old) == ["memory_store.created"]


def test_what_happens_to_its_memories_does_not_change_a_store(sqlite_api: Api, clock: HandClock) -> None:
    store = sqlite_api.memory_store()
    clock.advance(seconds=1)
    sqlite_api.memory(store)
    assert sqlite_api.get(path(store)).ok() == store


def test_a_store_is_archived_once_and_for_good(api: Api, clock: HandClock) -> None:
    store = api.memory_store()
    clock.advance(seconds=1)
    archived = api.post(path(store, "/archive")).ok()
    at = "2026-03-02T12:00:01Z"
    assert archived == {**store, "archived_at": at, "updated_at": at}
    clock.advance(seconds=1)
    assert api.post(path(store, "/archive")).ok() == archived
    assert api.get(path(store)).ok() == archived
    said = api.post(path(store), {"name": "x"}).refused(400)
    assert said == f"cannot modify archived resource: memory store {store['id']}"
    assert announced(api, store) == ["memory_store.created", "memory_store.archived"]


@pytest.mark.parametrize("archived", [False, True])
def test_a_deleted_store_takes_everything_with_it(api: Api, archived: bool) -> None:
    store, other = api.memory_store(), api.memory_store()
    kept = api.memory(other)
    memory = api.memory(store)
    api.memory(store, "/gone")
    if archived:
        api.post(path(store, "/archive")).ok()
    assert api.delete(path(store)).ok() == {"type": "memory_store_deleted", "id": store["id"]}
    below = [
        "", "/memories", f"/memories/{memory['id']}", "/memory_versions",
        f"/memory_versions/{memory['memory_version_id']}",
    ]  # fmt: skip
    for more in below:
        assert api.get(path(store, more)).refused(404, "not_found_error") == f"memory store not found: {store['id']}"
    assert api.read(lambda tx: tx.all(LEFT, id=store["id"])) == []
    assert api.get(path(other, "/memories?view=full")).ok()["data"] == [kept]
    api.delete(path(store)).refused(404, "not_found_error")
    assert announced(api, store)[-1] == "memory_store.deleted"


def test_an_unknown_store_is_not_there_for_anybody(still_api: Api) -> None:
    body = {"path": "/a", "content": ""}
    for method, more, sent in (
        ("GET", "", None), ("POST", "", {"name": "x"}), ("DELETE", "", None), ("POST", "/archive", None),
        ("GET", "/memories", None), ("POST", "/memories", body), ("GET", "/memories/mem_01x", None),
        ("POST", "/memories/mem_01x", body), ("DELETE", "/memories/mem_01x", None), ("GET", "/memory_versions", None),
        ("GET", "/memory_versions/memver_01x", None), ("POST", "/memory_versions/memver_01x/redact", None),
    ):  # fmt: skip
        for store_id in (NEVER, "nonsense", "env_01AAAAAAAAAAAAAAAAAAAAAA"):
            response = still_api.run(still_api.call(method, f"/v1/memory_stores/{store_id}{more}", sent))
            assert response.refused(404, "not_found_error") == f"memory store not found: {store_id}", (method, more)
            assert response.headers["x-should-retry"] == "false"


# Lists


def test_stores_are_listed_newest_first_without_archived_ones(api: Api, clock: HandClock) -> None:
    made = []
    for _ in range(25):
        clock.advance(seconds=1)
        made.append(api.memory_store())
    gone = api.post(path(made[3], "/archive")).ok()
    page = api.get("/v1/memory_stores").ok()
    assert set(page) == {"data", "next_page"}
    live = [store for store in made[::-1] if store["id"] != gone["id"]]
    assert page["data"] == live[:20]
    rest = api.get("/v1/memory_stores", query={"page": page["next_page"]}).ok()
    assert (rest["data"], rest["next_page"]) == (live[20:], None)
    everything = api.get("/v1/memory_stores?include_archived=true&limit=100").ok()["data"]
    assert everything == [gone if store["id"] == gone["id"] else store for store in made[::-1]]
    between = {"created_at[gte]": made[4]["created_at"], "created_at[lte]": made[6]["created_at"]}
    assert api.get("/v1/memory_stores", query=between).ok()["data"] == [made[6], made[5], made[4]]


@pytest.mark.parametrize("limit", [0, -1, 101, 2**63, 10**30, "ten", ""])
def test_a_page_of_stores_has_1_to_100(still_api: Api, limit: Any) -> None:
    assert still_api.get("/v1/memory_stores", query={"limit": limit}).refused(400).startswith("limit: ")


# What other rooms ask


def test_other_rooms_learn_what_they_need_of_many_stores_at_once(api: Api) -> None:
    plain, told = api.memory_store(), api.memory_store(name="Told", description="All of it.")
    api.post(path(told, "/archive")).ok()
    found = api.read(actions.find_many, [plain["id"], told["id"], NEVER])
    workspace = api.who.workspace_id
    assert found == {
        plain["id"]: Facts(plain["id"], workspace, False, "Notes", ""),
        told["id"]: Facts(told["id"], workspace, True, "Told", "All of it."),
    }
    assert api.read(actions.find_many, []) == {}
