"""The stream of a session's events: what is in it, where it begins and ends (contract, SSE wire format)."""

from collections.abc import Callable
from typing import Any

import pytest

from rota.http import app
from rota.resources.sessions import log
from rota.resources.workspaces import keys
from rota.store.tx import Query, Tx
from tests.api import HELLO, Api
from tests.resources.test_threads import create, spawn, threads
from tests.streams import Stream

CONSUME = Query(
    "Let an event take its place in the log, as the turn engine does.",
    "UPDATE session_events SET position = :position, processed_at = :now WHERE session_id = :session_id AND id = :id",
)


def stream(api: Api, session: str, **more: Any) -> Stream:
    return Stream(api, f"/v1/sessions/{session}/events/stream", **more)


def append(api: Api, session: str, *kinds: str, thread: str | None = None, body: str = "{}") -> list[str]:
    """Processed events at the end of the log; their ids."""

    def work(tx: Tx) -> list[str]:
        rows = log.append(tx, session, [(kind, body) for kind in kinds], thread_id=thread)
        return [row[2] for row in rows]

    return api.write(work)


def consume(api: Api, session: str, event: str) -> None:
    def work(tx: Tx) -> None:
        tx.run(CONSUME, session_id=session, id=event, position=log.end(tx, session).position + 1, now=tx.now)
        tx.wake(log.topic(session))

    api.write(work)


def listed(api: Api, session: str, **query: Any) -> list[dict[str, Any]]:
    return api.get(f"/v1/sessions/{session}/events", query=query).ok()["data"]


@pytest.mark.parametrize("address", ["/v1/sessions/{}/events/stream", "/v1/sessions/{}/stream"])
def test_the_head_goes_out_before_anything_happens(api: Api, address: str) -> None:
    session = create(api)
    with Stream(api, address.format(session)) as found:
        assert found.head["status"] == 200
        assert found.head["content-type"] == "text/event-stream; charset=utf-8"
        assert found.head["cache-control"] == "no-cache"
        assert found.head["x-accel-buffering"] == "no"
        assert found.head["request-id"].startswith("req_")
        assert "content-length" not in found.head
        assert found.frames == []


def test_events_come_as_the_list_shows_them_from_now_on(api: Api) -> None:
    session = create(api)
    append(api, session, "session.status_running")
    with stream(api, session) as first:
        later = append(api, session, "span.model_request_start", "agent.message", body='{"content":[]}')
        assert [frame.id for frame in first.take(2)] == later
        with stream(api, session) as second:
            more = append(api, session, "session.usage")
            assert [frame.data for frame in first.take(1)] == [frame.data for frame in second.take(1)]
            shown = listed(api, session)
            assert [event["id"] for event in shown[1:]] == later + more
        assert stream_equals_list(api, session, first, shown)


def stream_equals_list(api: Api, session: str, found: Stream, shown: list[dict[str, Any]]) -> bool:
    [event] = append(api, session, "agent.thinking")
    [frame] = found.take(1)
    return frame.data == listed(api, session)[-1] and frame.id == event and len(shown) == len(listed(api, session)) - 1


def test_what_waits_is_not_streamed_until_it_is_consumed(api: Api) -> None:
    session = create(api)
    with stream(api, session) as found:
        [sent] = api.post(f"/v1/sessions/{session}/events", {"events": HELLO}).ok()["data"]
        assert sent["processed_at"] is None
        [running] = append(api, session, "session.status_running")
        consume(api, session, sent["id"])
        assert [frame.id for frame in found.take(2)] == [running, sent["id"]]
        assert found.frames == []


def test_what_is_consumed_on_receipt_is_streamed_at_once(api: Api) -> None:
    session = create(api)
    [call] = append(api, session, "agent.custom_tool_use", body='{"name":"look","input":{}}')
    with stream(api, session) as found:
        answer = {"type": "user.custom_tool_result", "custom_tool_use_id": call}
        [sent] = api.post(f"/v1/sessions/{session}/events", {"events": [answer]}).ok()["data"]
        assert found.take(1)[0].data == sent


def test_an_update_is_streamed(api: Api) -> None:
    session = create(api)
    with stream(api, session) as found:
        api.post(f"/v1/sessions/{session}", {"title": "Another"}).ok()
        [frame] = found.take(1)
        assert (frame.name, frame.data["title"]) == ("session.updated", "Another")


def test_archiving_ends_a_stream_and_is_on_no_list(api: Api) -> None:
    session = create(api)
    [primary] = threads(api, session)
    before = listed(api, session)
    own = f"/v1/sessions/{session}/threads/{primary['id']}/stream"
    with stream(api, session) as found, stream(api, session) as other, Stream(api, own) as thread:
        ended = api.post(f"/v1/sessions/{session}/archive").ok()
        [frame] = found.rest()
        assert set(frame.data) == {"id", "type", "processed_at"}
        assert (frame.name, frame.data["processed_at"]) == ("session.status_terminated", ended["archived_at"])
        assert other.rest() == [frame]
        assert thread.rest() == []
    assert listed(api, session) == before
    for address in (f"/v1/sessions/{session}/events/stream", own):
        with Stream(api, address) as late:
            assert late.head["status"] == 200
            assert late.rest() == []


def test_a_session_that_terminates_by_itself_says_so_once(api: Api) -> None:
    session = create(api)
    end = Query("End a session.", "UPDATE sessions SET status = 'terminated' WHERE id = :id")

    def terminate(tx: Tx) -> None:
        log.append(tx, session, [("session.error", "{}"), ("session.status_terminated", "{}")])
        tx.run(end, id=session)

    with stream(api, session) as found:
        api.write(terminate)
        assert [frame.name for frame in found.rest()] == ["session.error", "session.status_terminated"]


def test_deletion_ends_a_stream(api: Api) -> None:
    session = create(api)
    append(api, session, "session.status_idle")
    spawn(api, session, "sthr_01child")
    with stream(api, session) as found, Stream(api, f"/v1/sessions/{session}/threads/sthr_01child/stream") as thread:
        api.delete(f"/v1/sessions/{session}").ok()
        [frame] = found.rest()
        assert set(frame.data) == {"id", "type", "processed_at"}
        assert frame.name == "session.deleted"
        assert [each.id for each in thread.rest()] == [frame.id]
    api.get(f"/v1/sessions/{session}/events/stream").refused(404, "not_found_error")


def test_each_view_shows_its_own(api: Api) -> None:
    session = create(api)
    spawn(api, session, "sthr_01child")
    [primary, _] = threads(api, session)
    base = f"/v1/sessions/{session}/threads"
    with (
        stream(api, session) as whole,
        Stream(api, f"{base}/{primary['id']}/stream") as own,
        Stream(api, f"{base}/sthr_01child/stream") as child,
    ):
        first = append(api, session, "session.status_running", "session.thread_status_running", "agent.message")
        [inner] = append(api, session, "agent.tool_use", thread="sthr_01child")
        last = append(api, session, "session.thread_status_idle", "session.usage", "session.status_idle")
        assert [frame.id for frame in whole.take(6)] == first + last
        assert [frame.id for frame in own.take(3)] == [first[1], first[2], last[0]]
        assert [frame.id for frame in child.take(1)] == [inner]
        for address, view in (
            (f"{base}/{primary['id']}/events", [first[1], first[2], last[0]]),
            (f"{base}/sthr_01child/events", [inner]),
        ):
            assert [event["id"] for event in api.get(address).ok()["data"]] == view


def test_a_thread_that_is_not_there_has_no_stream(still_api: Api) -> None:
    session = create(still_api)
    address = f"/v1/sessions/{session}/threads/sthr_01nobody/stream"
    assert still_api.get(address).refused(404, "not_found_error") == "Thread not found: sthr_01nobody"
    still_api.get("/v1/sessions/sesn_01nobody/events/stream").refused(404, "not_found_error")


@pytest.mark.parametrize("address", ["events/stream", "stream"])
def test_what_may_be_previewed_is_a_short_list_of_known_types(still_api: Api, address: str) -> None:
    path = f"/v1/sessions/{create(still_api)}/{address}"
    still_api.get(path, query={"event_deltas[]": ["agent.message", "agent.thinking"]}).ok()
    still_api.get(path, query={"event_deltas[]": ["agent.message"] * 100}).ok()
    said = still_api.get(path, query={"event_deltas[]": ["agent.message", "agent.tool_use"]}).refused(400)
    assert said.startswith("event_deltas[1]:")
    assert "100" in still_api.get(path, query={"event_deltas[]": ["agent.message"] * 101}).refused(400)


def test_a_session_with_the_older_prefix_is_followed_too(api: Api) -> None:
    session = create(api)
    with stream(api, "session_" + session.removeprefix("sesn_")) as found:
        [event] = append(api, session, "agent.message")
        assert [frame.id for frame in found.take(1)] == [event]


@pytest.fixture
def child(api: Api) -> Callable[[str], tuple[str, str]]:
    def make(status: str) -> tuple[str, str]:
        session = create(api)
        spawn(api, session, "sthr_01child", status)
        return session, f"/v1/sessions/{session}/threads/sthr_01child"

    return make


def test_a_child_thread_is_archived_once(api: Api, child: Callable[[str], tuple[str, str]]) -> None:
    session, address = child("idle")
    with stream(api, session) as whole, Stream(api, f"{address}/stream") as own:
        archived = api.post(f"{address}/archive").ok()
        assert (archived["status"], archived["id"]) == ("terminated", "sthr_01child")
        assert archived["archived_at"] == archived["updated_at"]
        [told] = whole.take(1)
        assert told.name == "session.thread_status_terminated"
        assert (told.data["session_thread_id"], told.data["agent_name"]) == ("sthr_01child", "Clerk")
        assert [frame.name for frame in own.rest()] == ["session.thread_status_terminated"]
        assert api.post(f"{address}/archive").ok() == archived
        assert [event["type"] for event in listed(api, session)] == ["session.thread_status_terminated"]
    with Stream(api, f"{address}/stream") as late:
        assert late.rest() == []


@pytest.mark.parametrize("status", ["running", "rescheduling"])
def test_a_thread_that_works_is_not_archived(api: Api, child: Callable[[str], tuple[str, str]], status: str) -> None:
    session, address = child(status)
    assert status in api.post(f"{address}/archive").refused(400)
    assert listed(api, session) == []
    assert api.get(address).ok()["archived_at"] is None


def test_the_primary_thread_goes_with_its_session(api: Api) -> None:
    session = create(api)
    [primary] = threads(api, session)
    said = api.post(f"/v1/sessions/{session}/threads/{primary['id']}/archive").refused(400)
    assert said == "The primary thread cannot be archived; archive the session instead."
    api.post(f"/v1/sessions/{session}/threads/sthr_01nobody/archive").refused(404, "not_found_error")


def test_a_stream_ends_with_its_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_RECHECK", 0.01)
    session = create(api)
    key = api.write(lambda tx: keys.create(tx, api.who.organization_id, workspace_id=api.who.workspace_id))
    with stream(api, session, key=key.key) as revoked, stream(api, session) as other:
        append(api, session, "agent.message")
        revoked.take(1)
        api.write(lambda tx: keys.revoke(tx, api.who.organization_id, key.id))
        assert revoked.rest() == []
        append(api, session, "agent.thinking")
        assert [frame.name for frame in other.take(2)] == ["agent.message", "agent.thinking"]
