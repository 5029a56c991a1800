"""What comes into an environment's queue, in which order it is handed out, and when it leaves (contract, work: life cycle)."""

import asyncio
from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.queue.chore import Tools
from rota.resources.work import actions
from tests.api import HELLO
from tests.resources.work.office import INTERRUPT, Office, token_of

KEYS = {
    "type", "id", "environment_id", "state", "data", "metadata", "secret", "created_at", "acknowledged_at", "started_at",
    "latest_heartbeat_at", "stop_requested_at", "stopped_at",
}  # fmt: skip
NOON = "2026-03-02T12:00:00Z"


def test_a_session_that_begins_with_a_message_is_queued(office: Office) -> None:
    session = office.session()
    [item] = office.items()
    assert set(item) == KEYS
    assert item["id"].startswith("work_01")
    assert item["data"] == {"type": "session", "id": session}
    assert (item["type"], item["environment_id"], item["state"]) == ("work", office.environment, "queued")
    assert (item["created_at"], item["started_at"], item["metadata"]) == (NOON, NOON, {})
    empty = ("secret", "acknowledged_at", "latest_heartbeat_at", "stop_requested_at", "stopped_at")
    assert [item[name] for name in empty] == [None] * 5


def test_one_without_anything_to_do_is_not(office: Office) -> None:
    session = office.api.post("/v1/sessions", {"agent": office.agent, "environment_id": office.environment}).ok()["id"]
    assert office.items() == []
    office.send(session).ok()
    assert [item["data"]["id"] for item in office.items()] == [session]


def test_neither_is_one_whose_tools_the_server_runs(office: Office) -> None:
    cloud = office.api.environment()["id"]
    session = office.session(environment_id=cloud)
    office.send(session).ok()
    assert office.items() == []
    office.api.get(f"/v1/environments/{cloud}/work").refused(404, "not_found_error")


def test_a_run_of_a_deployment_queues_its_session(office: Office) -> None:
    deployment = office.api.deployment(agent=office.agent, environment_id=office.environment)
    runs = [office.api.fire(deployment) for _ in range(3)]
    assert [item["data"]["id"] for item in reversed(office.items())] == [run["session_id"] for run in runs]


def test_an_empty_queue_answers_null_at_once(office: Office) -> None:
    response = office.api.get(f"{office.path}/poll", key=office.key)
    assert (response.status, response.headers["content-type"], response.raw) == (200, "application/json", b"null")


def test_items_are_handed_out_in_the_order_in_which_they_came_each_once(office: Office, clock: HandClock) -> None:
    sessions = []
    for _ in range(3):
        sessions.append(office.session())
        clock.advance(seconds=1)
    items = [office.poll() for _ in range(4)]
    assert [item and item["data"]["id"] for item in items] == [*sessions, None]
    assert [item["state"] for item in items[:3]] == ["queued"] * 3  # type: ignore[index]


def test_a_hand_out_brings_a_secret_that_is_shown_nowhere_else(office: Office) -> None:
    office.session()
    item = office.poll()
    assert item is not None
    assert token_of(item).startswith("sk-rota-session01-")
    assert office.items()[0]["secret"] is None
    assert office.ack(item["id"]).ok()["secret"] is None
    assert office.api.get(f"{office.path}/{item['id']}").ok()["secret"] is None


@pytest.mark.parametrize("block_ms", [0, 1000, -1, "x", ""])
def test_how_long_a_poll_waits_is_bounded(sqlite_office: Office, block_ms: Any) -> None:
    response = sqlite_office.api.get(f"{sqlite_office.path}/poll", key=sqlite_office.key, query={"block_ms": block_ms})
    assert response.refused(400).startswith("block_ms: ")


def test_a_poll_that_waits_is_answered_when_something_comes(office: Office) -> None:
    api = office.api
    session = api.post("/v1/sessions", {"agent": office.agent, "environment_id": office.environment}).ok()["id"]

    async def wait() -> Any:
        polls = [
            asyncio.ensure_future(api.call("GET", f"{office.path}/poll?block_ms=999", key=office.key)) for _ in range(3)
        ]
        await asyncio.wait(polls, timeout=0.05)
        assert not any(poll.done() for poll in polls)
        await api.call("POST", f"/v1/sessions/{session}/events", {"events": HELLO})
        return await asyncio.gather(*polls)

    found = [response.ok() for response in api.run(wait())]
    assert sorted(item["data"]["id"] if item else "" for item in found) == ["", "", session]


def test_a_session_has_one_live_item_however_much_it_is_sent(office: Office) -> None:
    session = office.session()
    for _ in range(3):
        office.send(session).ok()
    assert office.states() == ["queued"]
    hold = office.take()
    office.send(session).ok()
    hold.beat().ok()
    office.send(session).ok()
    assert office.states() == ["active"]


def test_a_turn_that_ends_before_anybody_took_it_up_leaves_nothing_in_the_queue(office: Office) -> None:
    session = office.session()
    office.rest(session)
    assert office.states() == ["stopped"]
    assert office.poll() is None
    office.send(session).ok()
    assert office.states() == ["stopped", "queued"]


def test_a_turn_that_ends_while_a_worker_has_it_leaves_it_to_the_worker(office: Office) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    office.rest(session)
    assert office.states() == ["active"]


# Who stops, and what came meanwhile


def test_an_item_that_its_worker_is_done_with_is_not_queued_again(office: Office) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    call = office.call(session)
    hold.answer(call).ok()
    office.rest(session)
    assert hold.stop().ok()["state"] == "stopped"
    assert office.states() == ["stopped"]


def test_a_message_in_the_worker_s_last_moments_gets_an_item_of_its_own(office: Office, clock: HandClock) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    office.rest(session)
    clock.advance(seconds=60)
    office.send(session).ok()
    assert office.states() == ["active"]
    hold.stop().ok()
    assert office.states() == ["stopped", "queued"]
    assert office.take().session == session


def test_a_call_that_came_after_the_hand_out_survives_its_worker(office: Office) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    office.call(session)
    hold.stop().ok()
    assert office.states() == ["stopped", "queued"]


def test_a_worker_that_cannot_serve_a_session_is_not_given_it_for_ever(office: Office) -> None:
    session = office.session()
    office.call(session)
    office.take().stop().ok()
    assert office.states() == ["stopped"]
    assert office.poll() is None
    office.send(session, INTERRUPT).ok()
    assert office.states() == ["stopped", "queued"]
    assert office.take().session == session


def test_an_interrupt_of_a_session_that_rests_queues_nothing(office: Office) -> None:
    session = office.session()
    office.rest(session)
    office.send(session, INTERRUPT).ok()
    assert office.states() == ["stopped"]


def test_a_queued_item_that_is_stopped_is_gone(office: Office) -> None:
    session = office.session()
    office.send(session).ok()
    [item] = office.items()
    assert office.stop(item["id"]).ok()["state"] == "stopped"
    assert office.states() == ["stopped"]


@pytest.mark.parametrize("how", ["archive", "delete"])
def test_a_session_that_ends_takes_its_item_along(office: Office, clock: HandClock, how: str) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    office.rest(session)
    path = f"/v1/sessions/{session}"
    (office.api.post(f"{path}/archive") if how == "archive" else office.api.delete(path)).ok()
    assert office.states() == ["stopped"]
    told = hold.beat().ok()
    assert (told["state"], told["lease_extended"]) == ("stopped", False)
    assert hold.stop().ok()["state"] == "stopped"
    clock.advance(seconds=3600)
    assert office.poll() is None
    assert office.states() == ["stopped"]


# What is shown


def test_work_is_listed_newest_first_in_pages(office: Office, clock: HandClock) -> None:
    sessions = []
    for _ in range(5):
        sessions.append(office.session())
        clock.advance(seconds=1)
    seen: list[str] = []
    page = None
    while True:
        query = {"limit": 2, **({"page": page} if page else {})}
        body = office.api.get(office.path, key=office.key, query=query).ok()
        assert set(body) == {"data", "next_page"}
        seen += [item["data"]["id"] for item in body["data"]]
        page = body["next_page"]
        if page is None:
            break
    assert seen == sessions[::-1]


def test_metadata_is_patched(office: Office) -> None:
    office.session()
    [item] = office.items()
    path = f"{office.path}/{item['id']}"
    assert office.api.post(path, {"metadata": {"a": "1", "b": "2"}}).ok()["metadata"] == {"a": "1", "b": "2"}
    assert office.api.post(path, {"metadata": {"a": None, "c": "3"}}).ok()["metadata"] == {"b": "2", "c": "3"}
    assert office.api.post(path, {}).ok() == office.api.get(path).ok()
    assert office.api.get(path).ok()["metadata"] == {"b": "2", "c": "3"}
    office.api.post(path, {"metadata": {"k" * 65: "v"}}).refused(400)


def test_the_queue_can_be_counted(office: Office, clock: HandClock) -> None:
    def stats() -> dict[str, Any]:
        return office.api.get(f"{office.path}/stats").ok()

    empty = {"type": "work_queue_stats", "depth": 0, "pending": 0, "oldest_queued_at": None, "workers_polling": 0}
    assert stats() == empty
    for _ in range(3):
        office.session()
        clock.advance(seconds=1)
    assert stats() == {**empty, "depth": 3, "oldest_queued_at": NOON}
    first = office.poll(headers={"anthropic-worker-id": "one"})
    assert first is not None
    office.poll(headers={"anthropic-worker-id": "two"})
    assert stats() == {**empty, "depth": 1, "pending": 2, "oldest_queued_at": NOON, "workers_polling": 2}
    office.ack(first["id"]).ok()
    assert stats() == {
        **empty, "depth": 1, "pending": 1, "oldest_queued_at": "2026-03-02T12:00:01Z", "workers_polling": 2,
    }  # fmt: skip
    clock.advance(seconds=20)
    office.poll(headers={"anthropic-worker-id": "one"})
    clock.advance(seconds=11)
    assert stats()["workers_polling"] == 1


def test_an_environment_with_work_in_its_queue_is_deleted_by_force_only(office: Office) -> None:
    session = office.session()
    path = f"/v1/environments/{office.environment}"
    assert office.api.delete(path).refused(409) == (
        "Cannot delete self-hosted environment with work in the queue. Either archive the environment first to allow the "
        "queue to drain, or use force=true to delete immediately."
    )
    hold = office.take()
    assert office.api.delete(path).refused(409) == "Environment has 1 active session. Use force=true to delete anyway."
    office.api.delete(f"{path}?force=true").ok()
    assert hold.beat().ok()["state"] == "stopped"
    office.api.get(f"{office.path}/poll", key=office.key).refused(404, "not_found_error")
    assert office.api.get(f"/v1/sessions/{session}").ok()


def test_an_archived_environment_drains(office: Office) -> None:
    session = office.session()
    office.api.post(f"/v1/environments/{office.environment}/archive").ok()
    assert office.take().session == session


def test_what_was_done_long_ago_is_forgotten(sqlite_office: Office, clock: HandClock) -> None:
    office = sqlite_office
    office.rest(office.session())
    office.session()
    office.take().beat().ok()
    clock.advance(seconds=31 * 24 * 3600)
    house = office.api.house
    [chore] = actions.CHORES
    assert office.api.run(chore.run(Tools(db=house.db, blobs=house.blobs, policy=house.app.policy))) == 1
    assert office.states() == ["queued"]
