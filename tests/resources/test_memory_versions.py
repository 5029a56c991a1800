"""Versions of memories: the record of what happened, what redaction takes out of it, and how long it is kept."""

from datetime import datetime
from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.queue.chore import Tools
from rota.resources.memory_stores import changes, retention
from rota.resources.memory_stores.changes import Change, Create, Update
from rota.resources.memory_stores.wire import Actor, ApiActor, ServiceAccountActor, SessionActor, UserActor
from rota.store.tx import Insert, Query
from tests.api import Api

DAY = 24 * 3600
LEFT = Query("How many versions there are.", "SELECT count(*) FROM memory_versions")
NOTES = Query("Stores that are noted as deleted.", "SELECT id FROM deleted_memory_stores")
DUE = Query(
    "When versions may go.",
    "SELECT id, expires_at FROM memory_versions WHERE memory_store_id = :id ORDER BY created_at, id",
)
FILL = Insert(
    "Many versions at once.",
    "memory_versions",
    {
        "id": "text", "memory_store_id": "text", "memory_id": "text", "created_at": "bigint", "operation": "text",
        "actor_type": "text", "actor_id": "text", "body": "text", "content": "text",
    },
)  # fmt: skip


def at(store: dict[str, Any], more: str = "memory_versions") -> str:
    return f"/v1/memory_stores/{store['id']}/{more}"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def history(api: Api, store: dict[str, Any], **query: Any) -> list[Any]:
    """Versions, oldest first."""
    return api.get(at(store), query={"limit": 100, **query}).ok()["data"][::-1]


def change(api: Api, memory: dict[str, Any], **body: Any) -> dict[str, Any]:
    return api.post(f"/v1/memory_stores/{memory['memory_store_id']}/memories/{memory['id']}?view=full", body).ok()


def remove(api: Api, memory: dict[str, Any]) -> None:
    api.delete(f"/v1/memory_stores/{memory['memory_store_id']}/memories/{memory['id']}").ok()


def act(api: Api, store: dict[str, Any], actor: Actor, deed: changes.Deed) -> Any:
    """A change by somebody who does not come through the API."""
    return api.write(changes.write, Change(api.who.workspace_id, store["id"], actor, deed, 2000))


# The record


def test_every_change_is_on_record_with_who_made_it(api: Api, clock: HandClock) -> None:
    store = api.memory_store()
    first = api.memory(store, "/a", "one")
    clock.advance(seconds=1)
    second = change(api, first, content="twö")
    clock.advance(seconds=1)
    third = change(api, first, path="/b")
    clock.advance(seconds=1)
    remove(api, first)
    by = {"type": "api_actor", "api_key_id": api.who.key_id}
    common = {
        "type": "memory_version", "memory_store_id": store["id"], "memory_id": first["id"], "created_by": by,
        "content": None, "redacted_at": None, "redacted_by": None,
    }  # fmt: skip

    def of(memory: dict[str, Any], operation: str, second: int) -> dict[str, Any]:
        kept = {name: memory[name] for name in ("path", "content_sha256", "content_size_bytes")}
        moment = f"2026-03-02T12:00:0{second}Z"
        return common | kept | {"id": memory["memory_version_id"], "operation": operation, "created_at": moment}

    listed = history(api, store)
    gone = {"id": listed[3]["id"], "operation": "deleted", "path": "/b", "created_at": "2026-03-02T12:00:03Z"}
    empty = {"content_sha256": None, "content_size_bytes": None}
    assert listed == [
        of(first, "created", 0),
        of(second, "modified", 1),
        of(third, "modified", 2),
        common | empty | gone,
    ]
    assert listed[0]["id"].startswith("memver_01")
    contents = ["one", "twö", "twö", None]
    assert [each["content"] for each in history(api, store, view="full", limit=20)] == contents
    for version, content in zip(listed, contents, strict=True):
        full = version | {"content": content}
        assert api.get(at(store, f"memory_versions/{version['id']}")).ok() == full
        assert api.get(at(store, f"memory_versions/{version['id']}?view=full")).ok() == full
        assert api.get(at(store, f"memory_versions/{version['id']}?view=basic")).ok() == version


def test_what_was_refused_is_not_on_record(sqlite_api: Api) -> None:
    store = sqlite_api.memory_store()
    memory = sqlite_api.memory(store, "/a")
    sqlite_api.post(at(store, "memories"), {"path": "/a", "content": ""}).refused(409, "memory_path_conflict_error")
    bad = {"content": "x", "precondition": {"type": "content_sha256", "content_sha256": "0" * 64}}
    sqlite_api.post(at(store, f"memories/{memory['id']}"), bad).refused(409, "memory_precondition_failed_error")
    assert [each["operation"] for each in history(sqlite_api, store)] == ["created"]


def test_the_order_of_a_memorys_versions_is_that_of_its_history_even_if_the_clock_stands_or_steps_back(
    api: Api, clock: HandClock
) -> None:
    store = api.memory_store()
    memory = api.memory(store, "/a", "0")
    for number in range(1, 8):
        clock.advance(seconds=-number % 3 - 1)
        changed = change(api, memory, content=str(number))
        assert moment(changed["updated_at"]) > moment(memory["updated_at"])
        memory = changed
    assert [each["content"] for each in history(api, store, view="full")] == [str(n) for n in range(8)]
    times = [each["created_at"] for each in history(api, store)]
    assert len(set(times)) == len(times)


@pytest.mark.parametrize(
    "actor",
    [SessionActor("sesn_01x"), ApiActor("apikey_01x"), UserActor("user_01x"), ServiceAccountActor("svac_01x")],
    ids=lambda actor: type(actor).__name__,
)
def test_anybody_can_be_an_author(api: Api, actor: Actor) -> None:
    store = api.memory_store()
    made = act(api, store, actor, Create("/a", changes.text("one")))
    [version] = history(api, store)
    kind, who = {
        SessionActor: ("session_actor", "session_id"),
        ApiActor: ("api_actor", "api_key_id"),
        UserActor: ("user_actor", "user_id"),
        ServiceAccountActor: ("service_account_actor", "service_account_id"),
    }[type(actor)]
    [given] = [getattr(actor, name) for name in actor.__struct_fields__]
    assert version["created_by"] == {"type": kind, who: given}
    assert version["id"] == made.memory_version_id


def test_an_unknown_version_is_not_in_the_store(still_api: Api) -> None:
    store, other = still_api.memory_store(), still_api.memory_store()
    elsewhere = still_api.memory(other)["memory_version_id"]
    for version_id in ("memver_01AAAAAAAAAAAAAAAAAAAAAA", "nonsense", elsewhere):
        said = still_api.get(at(store, f"memory_versions/{version_id}")).refused(404, "not_found_error")
        assert said == f"memory version not found: {version_id}"
        still_api.post(at(store, f"memory_versions/{version_id}/redact")).refused(404, "not_found_error")


# Finding


def test_versions_are_found_by_memory_change_author_and_time(api: Api, clock: HandClock) -> None:
    store, other = api.memory_store(), api.memory_store()
    api.memory(other)
    first = api.memory(store, "/a", "one")
    clock.advance(seconds=1)
    session = SessionActor("sesn_01x")
    act(api, store, session, Create("/s", changes.text("seen")))
    act(api, store, session, Update(first["id"], text=changes.text("two")))
    act(api, store, ServiceAccountActor("svac_01x"), Create("/v", changes.text("")))
    clock.advance(seconds=1)
    remove(api, first)
    created, seen, changed, served, deleted = history(api, store)
    for query, expected in (
        ({}, [created, seen, changed, served, deleted]),
        ({"memory_id": first["id"]}, [created, changed, deleted]),
        ({"memory_id": "mem_01x"}, []),
        ({"operation": "created"}, [created, seen, served]),
        ({"operation": "deleted"}, [deleted]),
        ({"session_id": "sesn_01x"}, [seen, changed]),
        ({"session_id": api.who.key_id}, []),
        ({"api_key_id": api.who.key_id}, [created, deleted]),
        ({"service_account_id": "svac_01x"}, [served]),
        ({"memory_id": first["id"], "session_id": "sesn_01x"}, [changed]),
        ({"session_id": "sesn_01x", "api_key_id": api.who.key_id}, []),
        ({"created_at[gte]": deleted["created_at"]}, [deleted]),
        ({"created_at[lte]": created["created_at"]}, [created]),
        ({"created_at[gte]": seen["created_at"], "created_at[lte]": served["created_at"]}, [seen, changed, served]),
        ({"operation": "modified", "memory_id": first["id"], "created_at[gte]": seen["created_at"]}, [changed]),
    ):
        assert history(api, store, **query) == expected, query
    for bad in ("operation=moved", "created_at[gte]=yesterday", "view=whole"):
        api.get(f"{at(store)}?{bad}").refused(400)


def test_a_walk_through_versions_meets_each_once(api: Api) -> None:
    store = api.memory_store()
    memory = api.memory(store, "/a", "0")
    for number in range(1, 7):
        change(api, memory, content=str(number))
    whole = api.get(at(store)).ok()
    assert whole["next_page"] is None
    assert set(whole) == {"data", "next_page"}
    for query in ({}, {"memory_id": memory["id"]}, {"view": "full"}):
        walked: list[Any] = []
        page: dict[str, Any] = {"next_page": ""}
        while page["next_page"] is not None:
            page = api.get(at(store), query={"limit": 3, "page": page["next_page"], **query}).ok()
            walked += page["data"]
        assert [each["id"] for each in walked] == [each["id"] for each in whole["data"]]


# Redaction


def test_redaction_takes_out_what_was_written_and_leaves_who_wrote_it_and_when(api: Api, clock: HandClock) -> None:
    store = api.memory_store()
    memory = api.memory(store, "/secret", "canary-7f3a")
    change(api, memory, path="/open", content="nothing")
    old, new = history(api, store)
    clock.advance(seconds=5)
    redacted = api.post(at(store, f"memory_versions/{old['id']}/redact")).ok()
    assert redacted == old | {
        "path": None,
        "content": None,
        "content_sha256": None,
        "content_size_bytes": None,
        "redacted_at": "2026-03-02T12:00:05Z",
        "redacted_by": {"type": "api_actor", "api_key_id": api.who.key_id},
    }
    assert api.get(at(store, f"memory_versions/{old['id']}")).ok() == redacted
    assert history(api, store, view="full", limit=20) == [redacted, new | {"content": "nothing"}]
    clock.advance(seconds=5)
    assert api.post(at(store, f"memory_versions/{old['id']}/redact")).ok() == redacted
    rows = api.read(lambda tx: tx.all(Query("Everything.", "SELECT body, content FROM memory_versions")))
    assert "canary" not in str(rows)
    assert "secret" not in str(rows)


def test_the_current_version_is_not_redacted(api: Api) -> None:
    store = api.memory_store()
    memory = api.memory(store, "/a", "one")
    said = f"version is the current content of {memory['id']}; write a new version first"
    where = at(store, f"memory_versions/{memory['memory_version_id']}/redact")
    assert api.post(where).refused(400) == said
    api.post(at(store, "archive")).ok()
    assert api.post(where).refused(400) == said
    assert api.get(at(store, f"memories/{memory['id']}")).ok() == memory


def test_in_an_archived_store_and_of_a_deleted_memory_versions_are_still_redacted(api: Api) -> None:
    store = api.memory_store()
    memory = api.memory(store, "/a", "one")
    change(api, memory, content="two")
    api.post(at(store, "archive")).ok()
    first, second = history(api, store)
    assert api.post(at(store, f"memory_versions/{first['id']}/redact")).ok()["redacted_at"]
    remove(api, memory)
    third = history(api, store)[2]
    for version in (second, third):
        shown = api.post(at(store, f"memory_versions/{version['id']}/redact")).ok()
        assert (shown["path"], shown["operation"]) == (None, version["operation"])


# How long


def sweep(api: Api) -> int:
    return api.write(retention.sweep)


def test_the_newest_ten_versions_are_kept_however_old_and_the_rest_for_30_days(api: Api, clock: HandClock) -> None:
    store = api.memory_store()
    memory, still = api.memory(store, "/a", "0"), api.memory(store, "/still")
    for number in range(1, 15):
        clock.advance(seconds=DAY)
        change(api, memory, content=str(number))
    assert sweep(api) == 0
    clock.advance(seconds=16 * DAY - 0.000001)
    assert sweep(api) == 0
    for day in range(5):
        clock.advance(seconds=0.000001 if day == 0 else DAY)
        assert sweep(api) == 1, "the version of that day is 30 days old now"
        kept = [each["content"] for each in history(api, store, memory_id=memory["id"], view="full", limit=20)]
        assert kept == [str(n) for n in range(day + 1, 15)]
    clock.advance(seconds=1000 * DAY)
    assert sweep(api) == 0
    assert len(history(api, store, memory_id=memory["id"])) == 10
    assert api.get(at(store, f"memories/{still['id']}")).ok() == still
    assert len(history(api, store, memory_id=still["id"])) == 1


def test_a_version_that_ceases_to_be_among_the_newest_late_goes_at_once(api: Api, clock: HandClock) -> None:
    store = api.memory_store()
    memory = api.memory(store, "/a", "0")
    clock.advance(seconds=100 * DAY)
    for number in range(1, 11):
        assert sweep(api) == 0
        change(api, memory, content=str(number))
    assert sweep(api) == 1
    assert [each["content"] for each in history(api, store, view="full")] == [str(n) for n in range(1, 11)]


def test_the_history_of_a_deleted_memory_goes_30_days_after_its_end(api: Api, clock: HandClock) -> None:
    store = api.memory_store()
    memory, other = api.memory(store, "/a", "0"), api.memory(store, "/b")
    change(api, memory, content="1")
    clock.advance(seconds=40 * DAY)
    remove(api, memory)
    clock.advance(seconds=30 * DAY - 1)
    assert sweep(api) == 0
    operations = [each["operation"] for each in history(api, store, memory_id=memory["id"])]
    assert operations == ["created", "modified", "deleted"]
    clock.advance(seconds=1)
    assert sweep(api) == 3
    assert history(api, store, memory_id=memory["id"]) == []
    assert [each["memory_id"] for each in history(api, store)] == [other["id"]]


def test_the_current_version_never_goes_even_if_the_clock_stepped_back(api: Api, clock: HandClock) -> None:
    store = api.memory_store()
    memory = api.memory(store, "/a", "0")
    clock.advance(seconds=-500 * DAY)
    for number in range(1, 31):
        memory = change(api, memory, content=str(number))
    clock.advance(seconds=10_000 * DAY)
    while sweep(api):
        pass
    assert api.get(at(store, f"memories/{memory['id']}")).ok() == memory
    assert len(history(api, store)) == 10
    rows = api.read(lambda tx: tx.all(DUE, id=store["id"]))
    assert [row[1] for row in rows] == [None] * 10


def fill(api: Api, store: dict[str, Any], count: int) -> None:
    """Put versions into a store behind the API's back."""
    rows = [
        (f"{store['id']}-{n:05}", store["id"], "mem_01x", n, "created", "api_actor", "a", '{"path":"/a"}', "x")
        for n in range(count)
    ]
    api.write(lambda tx: tx.insert(FILL, rows))


def test_a_large_store_is_gone_at_once_and_swept_up_piece_by_piece(api: Api) -> None:
    store, kept = api.memory_store(), api.memory_store()
    api.memory(kept)
    fill(api, store, 2 * retention.AT_ONCE + 50)
    api.delete(f"/v1/memory_stores/{store['id']}").ok()
    api.get(at(store)).refused(404, "not_found_error")
    assert api.read(lambda tx: tx.all(NOTES)) == [(store["id"],)]
    assert sweep(api) == retention.AT_ONCE
    assert sweep(api) == 50
    assert sweep(api) == 0
    assert api.read(lambda tx: tx.all(NOTES)) == []
    assert api.read(lambda tx: tx.all(LEFT)) == [(1,)]


def test_the_chore_does_a_bounded_amount_and_says_how_much(sqlite_api: Api) -> None:
    stores = [sqlite_api.memory_store() for _ in range(3)]
    for store in stores:
        fill(sqlite_api, store, 900)
        sqlite_api.delete(f"/v1/memory_stores/{store['id']}").ok()
    [chore] = retention.CHORES
    host = sqlite_api.house
    tools = Tools(host.db, None, host.app.policy)  # type: ignore[arg-type]  # this chore has no business with blobs
    left = 3 * (900 - retention.AT_ONCE)
    done: list[int] = []
    while not done or done[-1]:
        done.append(sqlite_api.run(chore.run(tools)))
    assert sum(done) == left
    assert done[0] == 10 * retention.AT_ONCE
    assert sqlite_api.read(lambda tx: tx.all(LEFT)) == [(0,)]


def test_the_chore_is_on_the_list() -> None:
    from rota import api as table

    assert set(retention.CHORES) <= set(table.CHORES)
