"""Schedules as clients see them: what is refused, and when a deployment will fire (contract, schedules)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock, from_datetime
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.resources.workspaces.wire import CreateWorkspace
from rota.store.tx import Query
from tests.api import HELLO, Api

NEW_YORK = "America/New_York"


def cron(expression: str, zone: str = NEW_YORK, **more: Any) -> dict[str, Any]:
    return {"type": "cron", "expression": expression, "timezone": zone, **more}


def path(deployment: dict[str, Any], verb: str = "") -> str:
    return f"/v1/deployments/{deployment['id']}" + (f"/{verb}" if verb else "")


def upcoming(deployment: dict[str, Any]) -> list[str]:
    return deployment["schedule"]["upcoming_runs_at"]


def at(clock: HandClock, *moment: int) -> None:
    clock.set(from_datetime(datetime(*moment, tzinfo=UTC)))  # type: ignore[arg-type]


# What is refused


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (cron("0 0 * * FRI"), 'invalid value "FRI" in field day-of-week'),
        (cron("0 0 0 * * *"), "expected 5 fields, got 6"),
        (cron("not a cron"), "not a valid 5-field cron expression: expected 5 fields, got 3"),
        (cron("@daily"), "predefined shortcuts (@daily, @hourly, ...) are not supported"),
        (cron("@weekly"), "predefined shortcuts (@daily, @hourly, ...) are not supported"),
        (cron("99 * * * *"), "field minute value 99 is out of range"),
        (cron("0 0 L * *"), 'special character "L" is not supported (5-field POSIX cron only)'),
        (cron("0 0 ? * *"), 'special character "?" is not supported (5-field POSIX cron only)'),
        (cron("0 0 * * 1#2"), 'special character "#" is not supported (5-field POSIX cron only)'),
        (cron("0 0 1 * 1"), "`schedule.expression` cannot restrict both day-of-month and day-of-week; use `*` for one"),
        (cron("0 0 */2 * 1"), "`schedule.expression` cannot restrict both day-of-month and day-of-week; use `*` for one"),
        (cron("0 0 31 2 *"), "`schedule.expression` does not produce any occurrences in the next year"),
        (cron("30 2 8 3 *"), "`schedule.expression` does not produce any occurrences in the next year"),
        (cron("0 0 29 2 *"), "`schedule.expression` does not produce any occurrences in the next year"),
        (cron("0 9 * * *", "Mars/Phobos"), '"Mars/Phobos" is not a valid IANA timezone'),
        (cron("0 9 * * *", ""), "schedule.timezone: minimum string length is 1"),
        (cron(""), "schedule.expression: minimum string length is 1"),
        (cron("0 " + "9," * 130 + "9 * * *"), "schedule.expression: maximum string length is 256"),
        ({"type": "cron", "expression": "0 9 * * *"}, "schedule.timezone: Field required"),
        ({"type": "cron", "timezone": "UTC"}, "schedule.expression: Field required"),
        ({"expression": "0 9 * * *", "timezone": "UTC"}, "schedule.type: Field required"),
        (cron("0 9 * * *") | {"type": "interval"}, 'schedule.type: "interval" is not a valid value'),
        (cron("0 9 * * *", last_run_at=None), "schedule.last_run_at: Extra inputs are not permitted"),
        (cron("0 9 * * *", upcoming_runs_at=[]), "schedule.upcoming_runs_at: Extra inputs are not permitted"),
        ("0 9 * * *", None),
        ({}, None),
    ],
)  # fmt: skip
def test_a_schedule_is_refused_at_create_and_at_update(still_api: Api, schedule: Any, message: str | None) -> None:
    kept = still_api.deployment(schedule=cron("0 9 * * *"))
    body = {key: kept[key] for key in ("name", "agent", "environment_id", "initial_events")}
    said = {
        still_api.post("/v1/deployments", {**body, "schedule": schedule}).refused(400),
        still_api.post(path(kept), {"schedule": schedule, "name": "changed"}).refused(400),
    }
    assert message is None or said == {message}
    assert still_api.get(path(kept)).ok() == kept


@pytest.mark.parametrize(
    "expression", ["* * * * *", "*/1 * * * *", "0,30 8-18/2 * 1,7 1-5", "0 0 * * 0", "0 0 * * 7", "0 0 29 2 *"]
)
def test_what_fires_within_a_year_is_accepted_as_it_was_written(
    sqlite_api: Api, clock: HandClock, expression: str
) -> None:
    at(clock, 2027, 12, 31)  # 2028 has a 29 February
    schedule = sqlite_api.deployment(schedule=cron(expression))["schedule"]
    assert set(schedule) == {"type", "expression", "timezone", "last_run_at", "upcoming_runs_at"}
    assert (schedule["type"], schedule["expression"], schedule["timezone"]) == ("cron", expression, NEW_YORK)
    assert schedule["last_run_at"] is None
    assert len(upcoming({"schedule": schedule})) == 5


# When it fires


@pytest.mark.parametrize(
    ("moment", "expression", "zone", "expected"),
    [
        ((2026, 3, 1), "30 1 1 11 *", NEW_YORK, ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2027-11-01T05:30:00Z"]),
        ((2026, 3, 7, 12), "30 2 * * *", NEW_YORK, ["2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z"]),
        ((2026, 3, 8, 5), "0 * * * *", NEW_YORK, ["2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z"]),
        ((2026, 3, 28, 12), "30 2 * * *", "Europe/Berlin", ["2026-03-30T00:30:00Z"]),
        ((2026, 10, 24, 12), "30 2 * * *", "Europe/Berlin", ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]),
        ((2026, 4, 4, 12), "45 1 * * *", "Australia/Lord_Howe", ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"]),
        ((2026, 1, 1), "0 4 1 1 *", "UTC", ["2026-01-01T04:00:00Z", "2027-01-01T04:00:00Z"]),
        ((2026, 1, 1, 4), "0 4 1 1 *", "UTC", ["2027-01-01T04:00:00Z"]),
    ],
)  # fmt: skip
def test_upcoming_runs_are_exact_instants_across_clock_changes(
    sqlite_api: Api, clock: HandClock, moment: tuple[int, ...], expression: str, zone: str, expected: list[str]
) -> None:
    at(clock, *moment)
    assert upcoming(sqlite_api.deployment(schedule=cron(expression, zone)))[: len(expected)] == expected


def test_five_runs_are_shown_all_after_now_and_they_move_with_the_clock(sqlite_api: Api, clock: HandClock) -> None:
    deployment = sqlite_api.deployment(schedule=cron("* * * * *", "UTC"))
    assert upcoming(deployment) == [f"2026-03-02T12:0{minute}:00Z" for minute in range(1, 6)]
    clock.advance(seconds=59.999999)
    assert upcoming(sqlite_api.get(path(deployment)).ok()) == upcoming(deployment)
    clock.advance(seconds=0.000001)
    later = sqlite_api.get(path(deployment)).ok()
    assert upcoming(later)[0] == "2026-03-02T12:02:00Z"
    assert later["updated_at"] == deployment["updated_at"]
    [listed] = sqlite_api.get("/v1/deployments").ok()["data"]
    assert listed == later


def test_a_paused_deployment_keeps_its_upcoming_runs_and_an_archived_one_has_none(api: Api) -> None:
    deployment = api.deployment(schedule=cron("0 9 * * *"))
    assert upcoming(api.post(path(deployment, "pause")).ok()) == upcoming(deployment)
    assert upcoming(api.post(path(deployment, "unpause")).ok()) == upcoming(deployment)
    archived = api.post(path(deployment, "archive")).ok()
    assert archived["schedule"] == {**deployment["schedule"], "upcoming_runs_at": []}
    assert api.get(path(deployment)).ok()["schedule"] == archived["schedule"]


def test_a_replaced_schedule_counts_from_now_and_a_cleared_one_is_null(sqlite_api: Api, clock: HandClock) -> None:
    deployment = sqlite_api.deployment(schedule=cron("0 9 * * *", "UTC"))
    clock.advance(seconds=3600)
    moved = sqlite_api.post(path(deployment), {"schedule": cron("30 13 * * *", "UTC")}).ok()
    assert upcoming(moved)[0] == "2026-03-02T13:30:00Z"
    assert moved["updated_at"] == "2026-03-02T13:00:00Z"
    assert sqlite_api.post(path(deployment), {"name": "renamed"}).ok()["schedule"] == moved["schedule"]
    assert sqlite_api.post(path(deployment), {"schedule": None}).ok()["schedule"] is None
    assert upcoming(sqlite_api.post(path(deployment), {"schedule": cron("0 9 * * *", "UTC")}).ok())


def test_the_last_run_is_kept_when_the_schedule_is_replaced_or_the_deployment_archived(still_api: Api) -> None:
    deployment = still_api.deployment(schedule=cron("0 9 * * *"))
    ran = Query(
        "What a scheduled fire would leave.", "UPDATE schedules SET last_run_at = :at WHERE deployment_id = :id"
    )
    still_api.write(lambda tx: tx.run(ran, at=1_772_452_809_500_000, id=deployment["id"]))
    shown = "2026-03-02T12:00:09.500000Z"
    assert still_api.get(path(deployment)).ok()["schedule"]["last_run_at"] == shown
    moved = still_api.post(path(deployment), {"schedule": cron("0 10 * * *")}).ok()
    assert moved["schedule"]["last_run_at"] == shown
    assert still_api.post(path(deployment, "archive")).ok()["schedule"]["last_run_at"] == shown


def test_a_run_by_hand_touches_neither_the_schedule_nor_the_deployment(api: Api, clock: HandClock) -> None:
    deployment = api.deployment(schedule=cron("0 9 * * *"))
    clock.advance(seconds=60)
    api.fire(deployment)
    assert api.get(path(deployment)).ok() == deployment


def test_a_schedule_that_fired_within_a_year_when_it_was_made_stays_valid(sqlite_api: Api, clock: HandClock) -> None:
    at(clock, 2028, 2, 1)
    deployment = sqlite_api.deployment(schedule=cron("0 0 29 2 *", "UTC"))
    at(clock, 2028, 3, 1)
    assert upcoming(sqlite_api.get(path(deployment)).ok())[0] == "2032-02-29T00:00:00Z"
    assert sqlite_api.post(path(deployment), {"name": "renamed"}).ok()


# How many there may be


def test_schedules_are_counted_for_the_organization_paused_ones_too(tmp_path: Path, clock: HandClock) -> None:
    with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock, max_scheduled_deployments=2) as api:
        organization = api.who.organization_id
        other = api.write(lambda tx: workspaces.create(tx, api.who, CreateWorkspace(name="Other"))).id
        key = api.write(lambda tx: keys.create(tx, organization, workspace_id=other)).key
        first = api.deployment(schedule=cron("0 9 * * *"))
        agent = api.post("/v1/agents", {"name": "a", "model": "m"}, key=key).ok()["id"]
        environment = api.post("/v1/environments", {"name": "e"}, key=key).ok()["id"]
        body = {"name": "n", "agent": agent, "environment_id": environment, "initial_events": HELLO}
        scheduled = {**body, "schedule": cron("0 9 * * *")}
        api.post("/v1/deployments", scheduled, key=key).ok()
        api.post("/v1/deployments", scheduled, key=key).refused(400)
        api.post(path(first, "pause")).ok()
        api.post("/v1/deployments", scheduled, key=key).refused(400)
        manual = api.post("/v1/deployments", body, key=key).ok()
        api.post(path(manual), {"schedule": cron("0 9 * * *")}, key=key).refused(400)
        api.post(path(first), {"schedule": cron("0 8 * * *")}).ok()
        api.post(path(first), {"schedule": None}).ok()
        api.post(path(manual), {"schedule": cron("0 9 * * *")}, key=key).ok()
        api.post(path(first), {"schedule": cron("0 8 * * *")}).refused(400)
        api.post(path(manual, "archive"), key=key).ok()
        api.post(path(first), {"schedule": cron("0 8 * * *")}).ok()


def test_no_bound_is_no_bound(tmp_path: Path, clock: HandClock) -> None:
    with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock, max_scheduled_deployments=0) as api:
        assert all(api.deployment(schedule=cron("0 9 * * *")) for _ in range(3))


def test_the_bound_holds_against_creates_at_once(database_url: str, tmp_path: Path, clock: HandClock) -> None:
    with Api(database_url, tmp_path, clock, max_scheduled_deployments=3) as api:
        deployment = api.deployment()
        body = {key: deployment[key] for key in ("name", "agent", "environment_id", "initial_events")}
        body["schedule"] = cron("0 9 * * *")
        answers = api.gather([api.call("POST", "/v1/deployments", body) for _ in range(10)])
        assert sorted(answer.status for answer in answers) == [200] * 3 + [400] * 7
