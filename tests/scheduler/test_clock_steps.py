"""A clock that jumps, a machine that slept, time zones that changed: nothing early, nothing twice, and soon on time again."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import DAY, MINUTE, SECOND, HandClock, from_datetime
from rota.resources.deployments import review
from rota.store.tx import Query
from tests.api import Api
from tests.conftest import START
from tests.scheduler.test_firing import EVERY_MINUTE, path, times
from tests.scheduler.test_timetable import occurrences, scheduling

HOUR = 60 * MINUTE
STEPS = [sign * size for size in (SECOND, 59 * SECOND, 61 * SECOND, HOUR, DAY) for sign in (1, -1)]


def live(api: Api, seconds: int, *, stride: int = 5) -> None:
    """Let time go by, with a look now and then, as the ticker would."""
    for _ in range(seconds // stride):
        api.tick(seconds=stride)


def instants(api: Api, deployment: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Of each scheduled run, oldest first: the occurrence, and when it was made."""
    for run in reversed(api.runs(deployment, trigger_type="schedule")):
        yield tuple(  # type: ignore[misc]
            from_datetime(datetime.fromisoformat(moment))
            for moment in (run["trigger_context"]["scheduled_at"], run["created_at"])
        )


def check(api: Api, deployment: dict[str, Any]) -> list[int]:
    """Nothing early, nothing twice; the occurrences that fired."""
    fired = list(instants(api, deployment))
    assert all(made >= due for due, made in fired), "early"
    assert len({due for due, _ in fired}) == len(fired), "twice"
    return [due for due, _ in fired]


@pytest.mark.parametrize("step", STEPS)
def test_after_a_step_of_the_clock_it_fires_again_within_a_minute(sqlite_api: Api, step: int) -> None:
    clock: HandClock = sqlite_api.clock
    live(sqlite_api, 10)
    deployment = sqlite_api.deployment(schedule=EVERY_MINUTE)
    live(sqlite_api, 170)  # fires at 12:01, 12:02, 12:03
    before = check(sqlite_api, deployment)
    assert len(before) == 3
    clock.set(clock.now() + step)
    live(sqlite_api, 60)
    after = check(sqlite_api, deployment)
    if -3 * MINUTE < step < 0:  # all of that minute's occurrences have fired; the next that has not is not due yet
        assert after == before
        live(sqlite_api, -step // SECOND + 5)
        after = check(sqlite_api, deployment)
    assert len(after) > len(before)
    live(sqlite_api, 300)
    assert len(check(sqlite_api, deployment)) == len(after) + 5
    if step < 0:
        sqlite_api.tick(seconds=-step / SECOND + 60)  # and over the stretch that it has seen before
        check(sqlite_api, deployment)


@pytest.mark.parametrize("step", [HOUR, 12 * HOUR])
def test_a_step_forward_that_was_a_mistake_is_taken_back(api: Api, step: int) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    live(api, 60)
    api.clock.set(api.clock.now() + step)
    live(api, 120)
    wrong = scheduling(api, deployment)["missed"]
    assert wrong == step // MINUTE - 1
    api.clock.set(api.clock.now() - step)
    live(api, 60)
    fired = check(api, deployment)
    assert START + 4 * MINUTE in fired
    assert scheduling(api, deployment)["missed"] == 2, "12:02 and 12:03 were missed, what lay ahead was not"
    live(api, step // SECOND, stride=60)
    fired = check(api, deployment)
    assert len(fired) + 2 == step // MINUTE + 4
    kinds = [kind for _, kind in occurrences(api, deployment, limit=1000)]
    assert kinds.count("missed") == 2
    assert kinds.count("fired") == len(fired)


def test_after_ten_hours_of_sleep_the_newest_fires_and_the_rest_is_missed(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    live(api, 60)
    api.tick(seconds=10 * 3600)
    assert times(api, deployment) == ["2026-03-02T12:01:00Z", "2026-03-02T22:01:00Z"]
    assert scheduling(api, deployment)["missed"] == 599
    live(api, 120)
    assert times(api, deployment)[2:] == ["2026-03-02T22:02:00Z", "2026-03-02T22:03:00Z"]


def test_a_clock_that_was_set_back_while_the_server_was_off_is_noticed_when_it_starts(
    database_url: str, tmp_path: Path, clock: HandClock
) -> None:
    with Api(database_url, tmp_path, clock) as api:
        deployment = api.deployment(schedule=EVERY_MINUTE)
        live(api, 120)
    clock.set(START - DAY)
    with Api(database_url, tmp_path, clock) as api:
        live(api, 120)
        assert sorted(times(api, deployment))[:2] == ["2026-03-01T12:01:00Z", "2026-03-01T12:02:00Z"]
        check(api, deployment)


def test_unpausing_behind_a_clock_that_was_set_back_fires_nothing_twice(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    live(api, 180)
    api.post(path(deployment, "pause")).ok()
    api.clock.set(START)
    api.post(path(deployment, "unpause")).ok()
    live(api, 300)
    assert len(check(api, deployment)) == 5


def test_what_was_missed_ahead_of_a_clock_that_was_set_back_is_taken_back_when_a_paused_schedule_goes_on(
    api: Api,
) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    live(api, 60)
    api.clock.set(api.clock.now() + HOUR)
    api.post(path(deployment, "pause")).ok()  # before anybody has looked what is due at that hour
    assert scheduling(api, deployment)["missed"] == 60
    api.clock.set(api.clock.now() - HOUR)
    api.post(path(deployment, "unpause")).ok()
    assert scheduling(api, deployment)["missed"] == 0
    live(api, HOUR // SECOND + 60, stride=60)
    assert len(check(api, deployment)) == 62
    assert [kind for _, kind in occurrences(api, deployment, limit=1000)].count("missed") == 0


def test_what_fired_before_the_clock_was_set_back_is_not_missed_when_its_schedule_is_stopped(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    live(api, 60)
    api.clock.advance(seconds=2 * 3600)
    live(api, 60)  # 12:01, 14:01 and 14:02 have fired
    api.clock.set(START)
    live(api, 5)
    api.clock.set(START + 3 * MINUTE + 5 * SECOND)
    api.post(path(deployment, "pause")).ok()
    kinds = [each for each in occurrences(api, deployment) if each[0] < "13"]
    assert kinds == [("12:03", "missed"), ("12:02", "missed"), ("12:01", "fired")]


# Time zones

BASIS = Query("As another edition left it.", "UPDATE installation SET value = :value WHERE key = 'schedule_basis'")
ELSEWHEN = Query("As other rules would date it.", "UPDATE schedules SET due_at = due_at + :by, fire_at = fire_at + :by")


@pytest.fixture
def redated(database_url: str, tmp_path: Path, clock: HandClock) -> Iterator[tuple[Api, dict[str, Any]]]:
    """A house whose hourly schedule has fired once; its next date, an hour off, is of other rules."""
    with Api(database_url, tmp_path, clock) as api:
        deployment = api.deployment(schedule=EVERY_MINUTE | {"expression": "0 * * * *"})
        api.tick(seconds=3600)
        api.write(lambda tx: tx.run(ELSEWHEN, by=30 * MINUTE))
        yield api, deployment


def again(api: Api) -> None:
    """What a server does first when it starts."""
    api.house.ticker._began = False
    api.tick()


def test_what_is_to_come_follows_new_time_zones_and_what_has_been_stays(redated: tuple[Api, dict[str, Any]]) -> None:
    api, deployment = redated
    [run] = api.runs(deployment)
    api.write(lambda tx: tx.run(BASIS, value="2019a off"))
    again(api)
    assert scheduling(api, deployment)["next_occurrence_at"] == "2026-03-02T14:00:00Z"
    assert api.runs(deployment) == [run]
    assert api.read(review.need, api.house.app.policy) == "none"
    api.tick(seconds=3600)
    assert times(api, deployment) == ["2026-03-02T13:00:00Z", "2026-03-02T14:00:00Z"]


def test_a_server_with_older_time_zones_leaves_the_dates_alone(redated: tuple[Api, dict[str, Any]]) -> None:
    api, deployment = redated
    api.write(lambda tx: tx.run(BASIS, value="9999z off"))
    assert api.read(review.need, api.house.app.policy) == "outdated"
    again(api)
    assert scheduling(api, deployment)["next_occurrence_at"] == "2026-03-02T14:30:00Z"


def test_dates_are_reviewed_now_and_then_anyway(redated: tuple[Api, dict[str, Any]]) -> None:
    api, deployment = redated
    assert api.run(api.house.ticker.review()) == 1
    assert scheduling(api, deployment)["next_occurrence_at"] == "2026-03-02T14:00:00Z"
    assert api.run(api.house.ticker.review()) == 0


def test_a_schedule_from_before_there_was_anybody_to_fire_it_is_dated(api: Api) -> None:
    deployment, paused = api.deployment(schedule=EVERY_MINUTE), api.deployment(schedule=EVERY_MINUTE)
    api.post(path(paused, "pause")).ok()
    undated = Query(
        "As the migration leaves it.", "UPDATE schedules SET fire_at = NULL, due_at = NULL, accounted_at = 0"
    )
    api.write(lambda tx: tx.run(undated))
    api.tick(seconds=86400)
    api.tick(seconds=60)
    assert times(api, deployment) == ["2026-03-03T12:01:00Z"]
    assert times(api, paused) == []
    api.post(path(paused, "unpause")).ok()
    api.tick(seconds=60)
    assert times(api, paused) == ["2026-03-03T12:02:00Z"]


def test_a_sleep_after_a_step_back_is_dealt_with_in_a_few_batches(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    live(api, 60)
    api.clock.set(START - DAY)
    live(api, 60)
    api.tick(seconds=10 * 3600)
    assert scheduling(api, deployment)["missed"] == 599
    assert api.read(lambda tx: tx.one(STRETCHES)) == (1,)
    live(api, 14 * 3600 + 60, stride=3600)
    check(api, deployment)


STRETCHES = Query("How many stretches there are.", "SELECT count(*) FROM lapses")
