"""Jitter as published: a little late, never early, in order, and the same on every server."""

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rota.base import cron
from rota.base.clock import MINUTE, SECOND, HandClock
from rota.base.timing import fire_at
from tests.api import Api
from tests.base.cron_oracle import instant
from tests.scheduler.test_firing import EVERY_MINUTE, path, times

HOUR = 60 * MINUTE
intervals = st.integers(1, 60 * 24 * 366).map(lambda minutes: minutes * MINUTE)
instants = st.integers(0, instant("2100-01-01") // MINUTE).map(lambda minutes: minutes * MINUTE)
names = st.text("0123456789abcdef", min_size=1).map("depl_".__add__)


@given(names, instants, intervals)
def test_it_is_at_most_a_share_of_the_interval_and_follows_from_what_is_given(
    name: str, due: int, interval: int
) -> None:
    moment = fire_at("published", name, due, due + interval)
    assert due <= moment < due + min(max(interval * 15 // 100, 5 * SECOND), 9 * MINUTE)
    assert moment == fire_at("published", name, due, due + interval)


@given(names, instants)
def test_the_last_occurrence_has_the_longest_share(name: str, due: int) -> None:
    assert due <= fire_at("published", name, due, None) < due + 9 * MINUTE


@given(names, instants, intervals)
def test_off_is_on_time(name: str, due: int, interval: int) -> None:
    assert fire_at("off", name, due, due + interval) == due


def test_it_differs_from_fire_to_fire_and_from_deployment_to_deployment() -> None:
    delays = {fire_at("published", name, n * HOUR, (n + 1) * HOUR) - n * HOUR for name in "abc" for n in range(100)}
    assert len(delays) == 300
    assert min(delays) < 10 * SECOND
    assert max(delays) > 8 * MINUTE


@given(names, st.sampled_from(["* * * * *", "*/7 * * * *", "30 1 * * *", "0,1,59 0-2 * * *", "0 9 1 * *"]), instants)
def test_two_occurrences_never_change_places(name: str, expression: str, start: int) -> None:
    zone = cron.zone("America/New_York")
    found = cron.upcoming(cron.parse(expression), zone, start, 12)
    moments = [fire_at("published", name, due, following) for due, following in pairwise(found)]
    assert moments == sorted(moments)
    assert len(set(moments)) == len(moments)


def test_a_fire_waits_for_its_moment_and_its_occurrence_stays_exact(
    database_url: str, tmp_path: Path, clock: HandClock
) -> None:
    with Api(database_url, tmp_path, clock, schedule_jitter="published") as api:
        deployment = api.deployment(schedule=EVERY_MINUTE)
        assert deployment["schedule"]["upcoming_runs_at"][0] == "2026-03-02T12:01:00Z"
        due = clock.now() + MINUTE
        delay = fire_at("published", deployment["id"], due, due + MINUTE) - due
        api.tick(seconds=60)
        clock.set(due + delay - 1)
        api.tick()
        assert times(api, deployment) == []
        clock.set(due + delay)
        api.tick()
        assert times(api, deployment) == ["2026-03-02T12:01:00Z"]
        for _ in range(16):
            api.tick(seconds=12)
        assert times(api, deployment)[:4] == [f"2026-03-02T12:0{minute}:00Z" for minute in range(1, 5)]
        assert api.get(path(deployment)).ok()["schedule"]["upcoming_runs_at"][0] == "2026-03-02T12:05:00Z"


def test_a_server_that_is_told_otherwise_dates_what_is_to_come_anew(tmp_path: Path, clock: HandClock) -> None:
    url = f"sqlite:///{tmp_path / 'rota.db'}"
    with Api(url, tmp_path, clock, schedule_jitter="published") as api:
        deployment = api.deployment(schedule=EVERY_MINUTE)
        api.tick()
    with Api(url, tmp_path, clock) as api:
        api.tick(seconds=60)
        assert times(api, deployment) == ["2026-03-02T12:01:00Z"]
