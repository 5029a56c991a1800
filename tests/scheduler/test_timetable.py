"""How a schedule is kept, and what became of each of its occurrences, under ``/rota/v1/deployments/{id}``."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.store.tx import Query
from tests.api import Api
from tests.scheduler.test_firing import EVERY_MINUTE, HOURLY, path, times
from tests.scheduler.test_ticker import tallies

IDLE = Query(
    "As if the sessions had come to their end.", "UPDATE sessions SET status = 'idle' WHERE deployment_id = :id"
)


def ours(deployment: dict[str, Any], what: str) -> str:
    return f"/rota/v1/deployments/{deployment['id']}/{what}"


def occurrences(api: Api, deployment: dict[str, Any], **query: Any) -> list[tuple[str, str]]:
    """All of them, page by page, as (time, kind)."""
    found: list[tuple[str, str]] = []
    page: dict[str, Any] = {}
    while True:
        body = api.get(ours(deployment, "occurrences"), query={**query, **page}).ok()
        found += [(each["scheduled_at"][11:16], each["kind"]) for each in body["data"]]
        if body["next_page"] is None:
            return found
        page = {"page": body["next_page"]}


def scheduling(api: Api, deployment: dict[str, Any]) -> dict[str, Any]:
    return api.get(ours(deployment, "scheduling")).ok()


# Occurrences


def test_a_new_schedule_has_only_occurrences_that_are_to_come(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    assert occurrences(api, deployment) == [(f"12:0{minute}", "upcoming") for minute in (5, 4, 3, 2, 1)]
    assert occurrences(api, api.deployment()) == []


def test_each_occurrence_is_in_one_place(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.tick(seconds=60)
    api.tick(seconds=180)
    expected = [("12:02", "missed"), ("12:03", "missed")]
    assert occurrences(api, deployment, kind="missed") == expected[::-1]
    assert occurrences(api, deployment, kind="fired") == [("12:04", "fired"), ("12:01", "fired")]
    assert occurrences(api, deployment)[5:] == [
        ("12:04", "fired"), ("12:03", "missed"), ("12:02", "missed"), ("12:01", "fired"),
    ]  # fmt: skip
    assert scheduling(api, deployment)["missed"] == 2
    assert tallies(api, "missed") == {"not_fired_in_time": 2}


def test_one_that_fired_leads_to_its_run_and_one_that_did_not_says_why(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.tick(seconds=120)
    [run] = api.runs(deployment)
    [fired] = api.get(ours(deployment, "occurrences"), query={"kind": "fired"}).ok()["data"]
    assert fired == {
        "type": "occurrence", "scheduled_at": "2026-03-02T12:02:00Z", "kind": "fired",
        "deployment_run_id": run["id"], "reason": None,
    }  # fmt: skip
    [missed] = api.get(ours(deployment, "occurrences"), query={"kind": "missed"}).ok()["data"]
    assert missed == {
        "type": "occurrence", "scheduled_at": "2026-03-02T12:01:00Z", "kind": "missed",
        "deployment_run_id": None, "reason": "not_fired_in_time",
    }  # fmt: skip


def test_one_that_is_due_and_not_dealt_with_is_still_to_come(api: Api, clock: HandClock) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    clock.advance(seconds=90)
    assert occurrences(api, deployment)[-1] == ("12:01", "upcoming")


def test_a_month_of_missed_minutes_is_one_row_and_43200_occurrences(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.tick(seconds=30 * 86400 + 30)
    rows = Query("How many rows.", "SELECT count(*) FROM lapses")
    assert api.read(lambda tx: tx.one(rows)) == (1,)
    assert scheduling(api, deployment)["missed"] == 43_199
    first = api.get(ours(deployment, "occurrences"), query={"kind": "missed", "limit": 1000}).ok()
    assert len(first["data"]) == 1000
    assert first["data"][0]["scheduled_at"] == "2026-04-01T11:59:00Z"
    assert first["data"][-1]["scheduled_at"] == "2026-03-31T19:20:00Z"
    then = api.get(ours(deployment, "occurrences"), query={"kind": "missed", "limit": 1000, "page": first["next_page"]})
    assert then.ok()["data"][0]["scheduled_at"] == "2026-03-31T19:19:00Z"


def test_a_stretch_of_time_can_be_asked_for(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.tick(seconds=600)
    query = {"scheduled_at[gte]": "2026-03-02T12:08:00Z", "scheduled_at[lte]": "2026-03-02T12:11:00Z"}
    found = [("12:11", "upcoming"), ("12:10", "fired"), ("12:09", "missed"), ("12:08", "missed")]
    assert occurrences(api, deployment, **query) == found
    assert occurrences(api, deployment, **query, limit=1) == found


def test_what_a_pause_or_an_update_overtook_is_missed_and_what_came_while_paused_is_nothing(
    api: Api, clock: HandClock
) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    clock.advance(seconds=150)
    api.post(path(deployment, "pause")).ok()
    assert occurrences(api, deployment) == [("12:02", "missed"), ("12:01", "missed")]
    clock.advance(seconds=600)
    api.post(path(deployment, "unpause")).ok()
    clock.advance(seconds=60)
    api.post(path(deployment), {"schedule": HOURLY}).ok()
    assert occurrences(api, deployment, kind="missed") == [
        ("12:13", "missed"),
        ("12:02", "missed"),
        ("12:01", "missed"),
    ]
    assert occurrences(api, deployment, kind="upcoming")[-1] == ("13:00", "upcoming")
    clock.advance(seconds=2 * 3600)
    api.post(f"/v1/agents/{deployment['agent']['id']}/archive").ok()
    assert occurrences(api, deployment)[:2] == [("14:00", "missed"), ("13:00", "missed")]
    [newest, *_] = api.get(ours(deployment, "occurrences")).ok()["data"]
    assert newest["reason"] == "superseded"


def test_another_workspace_sees_nothing_of_it(api: Api) -> None:
    for what in ("occurrences", "scheduling"):
        api.get(f"/rota/v1/deployments/depl_nobody/{what}").refused(404, "not_found_error")


# Catching up


def test_the_server_sets_what_is_caught_up_with(database_url: str, tmp_path: Any, clock: HandClock) -> None:
    with Api(database_url, tmp_path, clock, catch_up="all", catch_up_limit=3) as api:
        deployment = api.deployment(schedule=EVERY_MINUTE)
        api.tick(seconds=600)
        assert times(api, deployment) == [f"2026-03-02T12:{minute}:00Z" for minute in ("08", "09", "10")]
        assert scheduling(api, deployment)["missed"] == 7


@pytest.mark.parametrize(
    ("rules", "fired"),
    [
        ({}, ["13:00"]),
        ({"catch_up": "none"}, []),
        ({"catch_up": "all"}, ["13:00"]),
        ({"catch_up_window_seconds": 60}, []),
    ],
)
def test_a_deployment_may_depart_from_it(sqlite_api: Api, rules: dict[str, Any], fired: list[str]) -> None:
    deployment = sqlite_api.deployment(schedule=HOURLY)
    sqlite_api.post(ours(deployment, "scheduling"), rules).ok()
    sqlite_api.tick(seconds=3600 + 120)
    assert [when[11:16] for when in times(sqlite_api, deployment)] == fired


def test_a_pause_by_error_ends_catching_up_and_what_was_left_is_missed(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.post(ours(deployment, "scheduling"), {"catch_up": "all"}).ok()
    api.post(f"/v1/environments/{deployment['environment_id']}/archive").ok()
    api.tick(seconds=300)
    assert occurrences(api, deployment) == [(f"12:0{minute}", "missed") for minute in (5, 4, 3, 2)] + [
        ("12:01", "fired")
    ]


# Overlap


def test_an_occurrence_is_skipped_while_a_session_is_running_and_counted(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    other = api.deployment(schedule=EVERY_MINUTE)
    api.post(ours(deployment, "scheduling"), {"overlap": "skip"}).ok()
    for _ in range(3):
        api.tick(seconds=60)
    assert occurrences(api, deployment)[5:] == [("12:03", "skipped"), ("12:02", "skipped"), ("12:01", "fired")]
    assert len(times(api, other)) == 3
    assert api.get(path(deployment)).ok()["status"] == "active"
    api.write(lambda tx: tx.run(IDLE, id=deployment["id"]))
    api.tick(seconds=60)
    api.tick(seconds=60)
    assert occurrences(api, deployment)[5:7] == [("12:05", "skipped"), ("12:04", "fired")]
    rows = Query("The stretches.", "SELECT count FROM lapses WHERE deployment_id = :id ORDER BY last_at")
    assert api.read(lambda tx: tx.all(rows, id=deployment["id"])) == [(2,), (1,)]
    assert scheduling(api, deployment)["skipped"] == 3
    assert tallies(api, "skipped") == {"session_running": 3}


def test_a_session_that_somebody_started_by_hand_counts_too(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.post(ours(deployment, "scheduling"), {"overlap": "skip"}).ok()
    api.fire(deployment)
    api.tick(seconds=60)
    assert times(api, deployment) == []


def test_the_server_may_skip_and_a_deployment_allow(tmp_path: Any, clock: HandClock) -> None:
    with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock, overlap="skip") as api:
        skips, allows = api.deployment(schedule=EVERY_MINUTE), api.deployment(schedule=EVERY_MINUTE)
        api.post(ours(allows, "scheduling"), {"overlap": "allow"}).ok()
        for _ in range(2):
            api.tick(seconds=60)
        assert [len(times(api, each)) for each in (skips, allows)] == [1, 2]


# The rules themselves


def test_the_rules_are_shown_and_go_back_to_the_servers(api: Api) -> None:
    deployment = api.deployment(schedule=HOURLY)
    server = {
        "jitter": "off", "catch_up": "latest", "catch_up_window_seconds": 3600, "catch_up_limit": 100, "overlap": "allow",
    }  # fmt: skip
    assert scheduling(api, deployment) == {
        "type": "deployment_scheduling", "deployment_id": deployment["id"],
        "catch_up": None, "catch_up_window_seconds": None, "catch_up_limit": None, "overlap": None, "effective": server,
        "next_occurrence_at": "2026-03-02T13:00:00Z", "next_fire_at": "2026-03-02T13:00:00Z", "stalled_at": None,
        "missed": 0, "skipped": 0,
    }  # fmt: skip
    own = {"catch_up": "all", "catch_up_window_seconds": 60, "catch_up_limit": 5, "overlap": "skip"}
    changed = api.post(ours(deployment, "scheduling"), own).ok()
    assert changed["effective"] == server | own
    assert api.get(path(deployment)).ok() == deployment
    api.post(ours(deployment, "scheduling"), {"catch_up": None}).ok()
    kept = scheduling(api, deployment)
    assert (kept["catch_up"], kept["overlap"]) == (None, "skip")
    api.post(ours(deployment, "scheduling"), dict.fromkeys(own)).ok()
    assert scheduling(api, deployment)["effective"] == server


def test_rules_outlive_the_schedule_and_may_come_before_it(api: Api) -> None:
    deployment = api.deployment()
    api.post(ours(deployment, "scheduling"), {"overlap": "skip"}).ok()
    api.post(path(deployment), {"schedule": HOURLY}).ok()
    api.post(path(deployment), {"schedule": None}).ok()
    found = scheduling(api, deployment)
    assert (found["overlap"], found["next_fire_at"]) == ("skip", None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"catch_up": "some"}, 'catch_up: "some" is not a valid value'),
        ({"catch_up_window_seconds": -1}, "catch_up_window_seconds: must be greater than or equal to 0"),
        ({"catch_up_limit": 0}, "catch_up_limit: must be greater than or equal to 1"),
        ({"overlap": "queue"}, 'overlap: "queue" is not a valid value'),
        ({"jitter": "off"}, "jitter: Extra inputs are not permitted"),
    ],
)
def test_rules_that_do_not_fit_are_refused(still_api: Api, body: dict[str, Any], said: str) -> None:
    deployment = still_api.deployment(schedule=HOURLY)
    assert still_api.post(ours(deployment, "scheduling"), body).refused(400) == said


def test_an_archived_deployment_keeps_its_rules(still_api: Api) -> None:
    deployment = still_api.deployment(schedule=HOURLY)
    still_api.post(path(deployment, "archive")).ok()
    said = still_api.post(ours(deployment, "scheduling"), {"overlap": "skip"}).refused(400)
    assert said == "Cannot modify archived deployment"


def test_a_deployment_that_could_not_be_fired_says_that_it_is_left_alone(sqlite_api: Api) -> None:
    from rota.resources.deployments import due

    deployment = sqlite_api.deployment(schedule=EVERY_MINUTE)
    sqlite_api.clock.advance(seconds=61)
    sqlite_api.write(due.stall, deployment["id"])
    found = scheduling(sqlite_api, deployment)
    assert found["stalled_at"] == "2026-03-02T12:01:01Z"
    assert found["next_occurrence_at"] == "2026-03-02T12:01:00Z"
    assert found["next_fire_at"] == "2026-03-02T13:01:01Z"
