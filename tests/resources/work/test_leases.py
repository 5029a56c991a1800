"""Who has an item, for how long, and what whoever lost it may still do (contract, work: endpoints, failures)."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from tests.api import Response
from tests.resources.work.office import Hold, Office, token_of

FAILED = "The last heartbeat of work item {} is not the expected one; another worker may hold the lease."


def lost(response: Response, work: str) -> dict[str, Any]:
    """The lease as the server holds it, from the refusal of a heartbeat."""
    assert response.refused(412) == FAILED.format(work)
    assert response.headers["x-should-retry"] == "false"
    details = response.body["error"]["details"]
    assert set(details) == {"error_code", "current_state"}
    assert details["error_code"] == "heartbeat_precondition_failed"
    assert set(details["current_state"]) == {"last_heartbeat", "lease_extended", "state", "ttl_seconds"}
    assert details["current_state"]["lease_extended"] is False
    return details["current_state"]


# Acknowledging


def test_an_item_that_is_acknowledged_starts(office: Office) -> None:
    office.session()
    item = office.poll()
    assert item is not None
    started = office.ack(item["id"]).ok()
    assert (started["state"], started["acknowledged_at"]) == ("starting", "2026-03-02T12:00:00Z")
    refused = office.ack(item["id"])
    assert refused.refused(409) == (
        f"Work item {item['id']} must be in QUEUED state to acknowledge. Current state: starting."
    )
    assert refused.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("state", ["active", "stopping", "stopped"])
def test_only_what_is_queued_can_be_acknowledged(office: Office, state: str) -> None:
    office.session()
    hold = office.take()
    hold.beat().ok()
    if state != "active":
        office.stop(hold.id, force=state == "stopped").ok()
    assert office.ack(hold.id).refused(409).endswith(f"Current state: {state}.")


def test_what_nobody_acknowledges_is_handed_out_again(office: Office, clock: HandClock) -> None:
    office.session()
    first = office.poll()
    clock.advance(seconds=4.999999)
    assert office.poll() is None
    clock.advance(seconds=0.000001)
    second = office.poll()
    assert first is not None
    assert second is not None
    assert second["id"] == first["id"]
    assert token_of(second) != token_of(first)


@pytest.mark.parametrize(("older_than", "after"), [(0, 0), (1, 0.001), (60_000, 60)])
def test_how_soon_is_for_the_poller_to_say(office: Office, clock: HandClock, older_than: int, after: float) -> None:
    office.session()
    query = {"reclaim_older_than_ms": older_than}
    assert office.poll(query=query) is not None
    if after:
        clock.advance(seconds=after - 0.000001)
        assert office.poll(query=query) is None
        clock.advance(seconds=0.000001)
    assert office.poll(query=query) is not None


def test_what_is_acknowledged_is_handed_out_to_nobody_else(office: Office, clock: HandClock) -> None:
    office.session()
    office.take()
    clock.advance(seconds=299)
    assert office.poll(query={"reclaim_older_than_ms": 0}) is None


def test_of_two_who_have_an_item_that_nobody_acknowledged_the_first_heartbeat_decides(
    office: Office, clock: HandClock
) -> None:
    office.session()
    slow = Hold(office, office.poll() or {})
    clock.advance(seconds=6)
    quick = Hold(office, office.poll() or {})
    office.ack(slow.id).ok()
    office.ack(quick.id).refused(409)  # which the official worker takes for: somebody else has it
    slow.beat().ok()
    lost(quick.beat(), quick.id)
    quick.stop().refused(409)
    assert office.states() == ["active"]
    slow.beat().ok()


# Heartbeats


def test_the_first_heartbeat_makes_an_item_active(office: Office) -> None:
    office.session()
    hold = office.take()
    assert hold.beat().ok() == {
        "type": "work_heartbeat",
        "last_heartbeat": "2026-03-02T12:00:00Z",
        "lease_extended": True,
        "state": "active",
        "ttl_seconds": 300,
    }
    [item] = office.items()
    assert (item["state"], item["latest_heartbeat_at"]) == ("active", "2026-03-02T12:00:00Z")


def test_no_two_heartbeats_are_the_same_text(office: Office) -> None:
    office.session()
    hold = office.take()
    assert len({hold.beat().ok()["last_heartbeat"] for _ in range(5)}) == 5


def test_the_last_heartbeat_must_be_echoed_to_the_letter(office: Office, clock: HandClock) -> None:
    office.session()
    hold = office.take()
    state = lost(hold.beat(expected_last_heartbeat="2026-03-02T12:00:00Z"), hold.id)
    assert state == {"last_heartbeat": None, "lease_extended": False, "state": "starting", "ttl_seconds": 300}
    last = hold.beat().ok()["last_heartbeat"]
    for wrong in ("NO_HEARTBEAT", "2026-03-02T12:00:00.000000Z", "2026-03-02T12:00:00+00:00", "", "nonsense"):
        assert lost(hold.beat(expected_last_heartbeat=wrong), hold.id)["last_heartbeat"] == last
    clock.advance(seconds=1)
    hold.beat().ok()
    assert lost(hold.beat(expected_last_heartbeat=last), hold.id)["last_heartbeat"] == hold.last


def test_without_an_expectation_it_is_accepted(office: Office) -> None:
    office.session()
    hold = office.take()
    for _ in range(2):
        assert hold.beat(expected_last_heartbeat=None).ok()["lease_extended"] is True


@pytest.mark.parametrize(
    ("desired", "effective"), [(None, 300), (120, 120), (9, 10), (-5, 10), (10, 10), (3600, 3600), (10**12, 3600)]
)
def test_a_lease_is_as_long_as_is_wished_within_bounds(
    sqlite_office: Office, clock: HandClock, desired: int | None, effective: int
) -> None:
    office = sqlite_office
    office.session()
    hold = office.take()
    assert hold.beat(desired_ttl_seconds=desired).ok()["ttl_seconds"] == effective
    clock.advance(seconds=effective - 0.000001)
    assert [item["state"] for item in office.items()] == ["active"]
    clock.advance(seconds=0.000001)
    assert [item["state"] for item in office.items()] == ["queued"]


def test_a_heartbeat_before_the_acknowledgement_holds_nothing(office: Office) -> None:
    office.session()
    hold = Hold(office, office.poll() or {})
    assert lost(hold.beat(), hold.id)["state"] == "queued"


def test_an_environment_key_can_keep_a_lease_as_well(office: Office) -> None:
    office.session()
    hold = office.take()
    hold.token = office.key
    for _ in range(3):
        hold.beat().ok()


# Losing it


@pytest.mark.parametrize("beaten", [False, True])
def test_a_lease_that_ends_puts_the_item_back(office: Office, clock: HandClock, beaten: bool) -> None:
    session = office.session()
    hold = office.take()
    if beaten:
        hold.beat().ok()
    clock.advance(seconds=300)
    [item] = office.items()
    assert (item["state"], item["latest_heartbeat_at"], item["acknowledged_at"]) == ("queued", None, None)
    assert (item["created_at"], item["started_at"]) == ("2026-03-02T12:00:00Z", "2026-03-02T12:05:00Z")
    assert lost(hold.beat(), hold.id) == {
        "last_heartbeat": None, "lease_extended": False, "state": "queued", "ttl_seconds": 300,
    }  # fmt: skip
    next_ = office.take()
    assert (next_.id, next_.session) == (hold.id, session)
    assert next_.token != hold.token
    next_.beat().ok()
    assert lost(hold.beat(), hold.id)["state"] == "active"
    assert lost(hold.beat(expected_last_heartbeat=next_.last), hold.id)["state"] == "active"


def test_whoever_lost_an_item_cannot_stop_it_nor_do_anything_for_its_session(office: Office, clock: HandClock) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    call = office.call(session)
    clock.advance(seconds=300)
    next_ = office.take()
    assert hold.stop().refused(409) == (
        f"Work item {hold.id} was handed out anew; only whoever has it now may stop it."
    )
    assert hold.answer(call).refused(401, "authentication_error") == "OAuth access token has been revoked."
    office.api.get(f"/v1/sessions/{session}", key=hold.token).refused(401, "authentication_error")
    next_.beat().ok()
    next_.answer(call).ok()
    assert office.states() == ["active"]


def test_a_lease_ends_though_nobody_looks(office: Office, clock: HandClock) -> None:
    office.session()
    hold = office.take()
    hold.beat().ok()
    clock.advance(seconds=86_400)
    assert hold.beat().status == 412
    assert office.take().id == hold.id


def test_a_worker_that_was_told_to_stop_and_died_leaves_nothing_behind(office: Office, clock: HandClock) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    office.stop(hold.id).ok()
    clock.advance(seconds=300)
    assert office.states() == ["stopped"]
    office.send(session).ok()
    assert office.take().session == session
    assert office.states() == ["stopped", "starting"]


# Stopping


@pytest.mark.parametrize("beaten", [False, True])
def test_a_worker_is_asked_to_stop_and_does(office: Office, beaten: bool) -> None:
    office.session()
    hold = office.take()
    if beaten:
        hold.beat().ok()
    asked = office.stop(hold.id, force=False).ok()
    assert (asked["state"], asked["stop_requested_at"]) == ("stopping", "2026-03-02T12:00:00Z")
    assert office.stop(hold.id).ok() == asked
    told = hold.beat().ok()
    assert (told["state"], told["lease_extended"]) == ("stopping", False)
    assert told["last_heartbeat"] == (hold.last if beaten else "")
    stopped = hold.stop().ok()
    assert (stopped["state"], stopped["stopped_at"]) == ("stopped", "2026-03-02T12:00:00Z")


def test_a_worker_that_lingers_over_a_session_at_rest_is_sent_home(office: Office, clock: HandClock) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    office.rest(session)

    def waits(*seconds: int) -> list[bool]:
        extended: list[bool] = []
        for each in seconds:
            clock.advance(seconds=each)
            extended.append(hold.beat().ok()["lease_extended"])
        return extended

    assert waits(299, 299) == [True, True]
    office.send(session).ok()  # there is something to do again
    assert waits(299, 299, 299) == [True, True, True]
    office.rest(session)
    assert waits(299, 299, 1, 1) == [True, True, True, False]
    assert hold.beat().ok()["state"] == "stopping"
    office.send(session).ok()
    hold.stop().ok()
    assert office.states() == ["stopped", "queued"]
    hold = office.take()
    assert waits(0, 299, 299, 299) == [True] * 4


def test_a_stop_by_force_is_at_once_and_again_is_the_same(office: Office, clock: HandClock) -> None:
    office.session()
    hold = office.take()
    stopped = office.api.post(f"{office.path}/{hold.id}/stop", {"force": True}).ok()
    assert stopped["state"] == "stopped"
    clock.advance(seconds=1)
    for body in ({"force": True}, {"force": False}, {}, None):
        assert office.api.post(f"{office.path}/{hold.id}/stop", body).ok() == stopped


def test_a_worker_that_is_stopped_can_still_write_down_what_it_has(office: Office, clock: HandClock) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    call = office.call(session)
    office.stop(hold.id, force=True).ok()
    clock.advance(seconds=299)
    assert hold.beat().ok()["lease_extended"] is False
    hold.answer(call).ok()
    clock.advance(seconds=1)
    office.api.get(f"/v1/sessions/{session}", key=hold.token).refused(401, "authentication_error")


def test_but_not_once_the_session_is_in_another_s_hands(office: Office) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    office.call(session)
    office.stop(hold.id, force=True).ok()
    office.take().beat().ok()
    office.api.get(f"/v1/sessions/{session}", key=hold.token).refused(401, "authentication_error")
    assert hold.stop().ok()["state"] == "stopped"  # which it is, and what it asked for


def test_the_token_of_a_worker_that_went_home_opens_nothing(office: Office) -> None:
    session = office.session()
    hold = office.take()
    hold.beat().ok()
    hold.stop().ok()
    office.api.get(f"/v1/sessions/{session}", key=hold.token).refused(401, "authentication_error")


def test_an_absent_item_is_404(sqlite_office: Office) -> None:
    office = sqlite_office
    office.session()
    hold = office.take()
    other = Office(office.api)
    for work in ("work_nothing", "nonsense", hold.id[:-1] + "~"):
        for verb in ("ack", "heartbeat", "stop"):
            message = office.api.post(f"{office.path}/{work}/{verb}", key=office.key).refused(404, "not_found_error")
            assert message == f"Work item {work} not found."
    message = other.api.post(f"{other.path}/{hold.id}/stop", key=other.key).refused(404, "not_found_error")
    assert message == f"Work item {hold.id} not found."
