"""Threads of a session: the primary one from the start, and children as a turn would make them (contract, threads)."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.resources.sessions import log, sql
from rota.resources.sessions.wire import Usage
from rota.store.tx import Query, Tx
from tests.api import HELLO, Api

KEYS = {
    "type", "id", "session_id", "parent_thread_id", "agent", "status", "stats", "usage", "created_at", "updated_at",
    "archived_at",
}  # fmt: skip
AGENT_KEYS = {
    "type", "id", "version", "name", "description", "system", "model", "tools", "mcp_servers", "skills", "execution_identity",
}  # fmt: skip


def create(api: Api, **fields: Any) -> str:
    body = {"agent": api.agent()["id"], "environment_id": api.environment()["id"], **fields}
    return api.post("/v1/sessions", body).ok()["id"]


def threads(api: Api, session: str, **query: Any) -> list[dict[str, Any]]:
    return api.get(f"/v1/sessions/{session}/threads", query=query).ok()["data"]


def spawn(api: Api, session: str, thread: str, status: str = "idle", body: str = "{}") -> None:
    """A child of the primary thread."""
    [primary] = [each["id"] for each in threads(api, session) if each["parent_thread_id"] is None]
    api.write(lambda tx: tx.insert(sql.INSERT_THREADS, [(session, thread, primary, tx.now, tx.now, status, body)]))


def test_a_session_has_its_primary_thread_from_the_start(api: Api) -> None:
    agent = api.agent(system="Be brief.", metadata={"k": "v"})
    session = create(api, agent=agent["id"])
    [thread] = threads(api, session)
    assert set(thread) == KEYS
    assert thread["id"].startswith("sthr_01")
    assert (thread["type"], thread["session_id"], thread["parent_thread_id"]) == ("session_thread", session, None)
    assert (thread["status"], thread["stats"], thread["usage"], thread["archived_at"]) == ("idle", None, None, None)
    assert thread["created_at"] == thread["updated_at"] == "2026-03-02T12:00:00Z"
    assert set(thread["agent"]) == AGENT_KEYS
    assert (thread["agent"]["system"], thread["agent"]["version"]) == ("Be brief.", 1)
    assert api.get(f"/v1/sessions/{session}/threads/{thread['id']}").ok() == thread
    assert api.get(f"/v1/sessions/{session}/threads").ok()["next_page"] is None


@pytest.mark.parametrize("events", [HELLO, HELLO * 3])
def test_the_primary_thread_runs_with_its_session(sqlite_api: Api, clock: HandClock, events: list[Any]) -> None:
    session = create(sqlite_api, initial_events=events)
    assert [each["status"] for each in threads(sqlite_api, session)] == ["running"]
    later = create(sqlite_api)
    clock.advance(seconds=3)
    sqlite_api.post(f"/v1/sessions/{later}/events", {"events": events}).ok()
    [thread] = threads(sqlite_api, later)
    assert (thread["status"], thread["updated_at"]) == ("running", "2026-03-02T12:00:03Z")


def test_threads_are_listed_in_the_order_in_which_they_were_made_and_by_status(api: Api, clock: HandClock) -> None:
    session = create(api, initial_events=HELLO)
    for number, status in enumerate(("idle", "running", "rescheduling", "terminated", "idle")):
        clock.advance(seconds=number % 2)
        spawn(api, session, f"sthr_01child{number}", status)
    found = [each["id"] for each in threads(api, session)]
    assert found[1:] == [f"sthr_01child{number}" for number in range(5)]
    assert [each["id"] for each in threads(api, session, **{"statuses[]": "idle"})] == [found[1], found[5]]
    several = threads(api, session, **{"statuses[]": ["running", "terminated"]})
    assert [each["id"] for each in several] == [found[0], found[2], found[4]]
    api.get(f"/v1/sessions/{session}/threads", query={"statuses[]": "asleep"}).refused(400)
    first = api.get(f"/v1/sessions/{session}/threads", query={"limit": 4}).ok()
    rest = threads(api, session, limit=4, page=first["next_page"])
    assert [each["id"] for each in first["data"] + rest] == found


def test_a_child_names_its_parent_and_shows_what_it_has_used(sqlite_api: Api, clock: HandClock) -> None:
    session = create(sqlite_api)
    spawn(sqlite_api, session, "sthr_01child", body='{"usage":{"input_tokens":7},"active_seconds":1.5}')
    clock.advance(seconds=10)
    primary, child = threads(sqlite_api, session)
    assert child["parent_thread_id"] == primary["id"]
    assert child["stats"] == {"active_seconds": 1.5, "duration_seconds": 10.0}
    assert child["usage"]["input_tokens"] == 7
    assert set(child["usage"]) == set(Usage.__struct_encode_fields__)
    assert (primary["stats"], primary["usage"]) == (None, None)


def test_a_thread_lists_its_own_log(api: Api) -> None:
    session = create(api, initial_events=HELLO)
    spawn(api, session, "sthr_01child")
    move = Query("Give it to the child.", "UPDATE session_events SET thread_id = :thread WHERE id = :id")

    def append(tx: Tx, kind: str, thread: str | None) -> str:
        [row] = log.append(tx, session, [(kind, "{}")])
        if thread is not None:
            tx.run(move, thread=thread, id=row[2])
        return row[2]

    childs = api.write(append, "agent.thinking", "sthr_01child")
    api.write(append, "session.status_running", None)
    api.write(append, "session.usage", None)
    own = api.write(append, "agent.thread_context_compacted", None)
    primary, _ = threads(api, session)
    base = f"/v1/sessions/{session}"
    listed = api.get(f"{base}/threads/{primary['id']}/events").ok()["data"]
    assert [event["type"] for event in listed] == ["agent.thread_context_compacted", "user.message"]
    assert listed[0]["id"] == own
    assert [event["id"] for event in api.get(f"{base}/threads/sthr_01child/events").ok()["data"]] == [childs]
    assert childs not in [event["id"] for event in api.get(f"{base}/events").ok()["data"]]
    assert len(api.get(f"{base}/events").ok()["data"]) == 4
    reverse = api.get(f"{base}/threads/{primary['id']}/events?order=desc").ok()["data"]
    assert reverse == listed[::-1]


def test_a_thread_is_found_in_its_own_session_only(still_api: Api) -> None:
    session, other = create(still_api), create(still_api)
    [thread] = threads(still_api, other)
    for wanted in (thread["id"], "sthr_01nothing", "nonsense"):
        for more in ("", "/events"):
            said = still_api.get(f"/v1/sessions/{session}/threads/{wanted}{more}").refused(404, "not_found_error")
            assert said == f"Thread not found: {wanted}"
    still_api.get(f"/v1/sessions/sesn_01x/threads/{thread['id']}").refused(404, "not_found_error")
    still_api.get("/v1/sessions/sesn_01x/threads").refused(404, "not_found_error")


def test_threads_outlive_an_archive_and_go_with_a_deletion(api: Api) -> None:
    session = create(api)
    [before] = threads(api, session)
    api.post(f"/v1/sessions/{session}/archive").ok()
    assert threads(api, session) == [before]
    api.delete(f"/v1/sessions/{session}").ok()
    left = Query("What is left.", "SELECT count(*) FROM session_threads")
    assert api.read(lambda tx: tx.one(left)) == (0,)
