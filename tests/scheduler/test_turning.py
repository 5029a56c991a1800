"""A clock that can be turned: ``rota serve --test-clock`` and its routes."""

import itertools
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import KeptClock, from_datetime
from rota.cli import serve
from tests.acceptance.server import Server
from tests.api import Api
from tests.cli.process import refusal
from tests.conftest import START
from tests.scheduler.test_firing import EVERY_MINUTE, HOURLY, times
from tests.scheduler.test_timetable import occurrences, ours

NEW_YORK = "America/New_York"
CLOCK = "/rota/v1/test_clock"


@pytest.fixture
def turned(database_url: str, tmp_path: Path) -> Iterator[Api]:
    """A house with a clock that can be turned, on each kind of database."""
    with Api(database_url, tmp_path, KeptClock(START), test_clock=True) as api:
        yield api


def advance(api: Api, seconds: float) -> str:
    return api.post(CLOCK + "/advance", {"seconds": seconds}).ok()["now"]


def put(api: Api, now: str) -> str:
    return api.post(CLOCK + "/set", {"now": now}).ok()["now"]


def test_it_stands_still_until_it_is_turned(turned: Api) -> None:
    assert turned.get(CLOCK).ok() == {"type": "test_clock", "now": "2026-03-02T12:00:00Z"}
    assert turned.agent()["created_at"] == turned.agent()["created_at"] == "2026-03-02T12:00:00Z"
    assert advance(turned, 90.5) == "2026-03-02T12:01:30.500000Z"
    assert turned.agent()["created_at"] == "2026-03-02T12:01:30.500000Z"
    assert put(turned, "2030-01-01T00:00:00+02:00") == "2029-12-31T22:00:00Z"
    assert turned.agent()["created_at"] == "2029-12-31T22:00:00Z"


def test_advancing_goes_through_every_due_instant_in_order(turned: Api) -> None:
    minutely, hourly = turned.deployment(schedule=EVERY_MINUTE), turned.deployment(schedule=HOURLY)
    assert advance(turned, 2 * 3600 + 30) == "2026-03-02T14:00:30Z"
    assert len(times(turned, minutely)) == 120
    assert times(turned, hourly) == ["2026-03-02T13:00:00Z", "2026-03-02T14:00:00Z"]
    for each in (minutely, hourly):
        runs = turned.runs(each)
        assert all(run["created_at"] == run["trigger_context"]["scheduled_at"] for run in runs)
    together = turned.get("/v1/deployment_runs", query={"limit": 1000}).ok()["data"]
    moments = [run["created_at"] for run in together]
    assert moments == sorted(moments, reverse=True)


def test_a_jump_is_like_a_changed_clock_the_catch_up_rule_applies_and_nothing_fires_twice(turned: Api) -> None:
    deployment = turned.deployment(schedule=EVERY_MINUTE)
    put(turned, "2026-03-02T12:10:30Z")
    assert times(turned, deployment) == ["2026-03-02T12:10:00Z"]
    assert [kind for _, kind in occurrences(turned, deployment)].count("missed") == 9
    put(turned, "2026-03-02T12:08:30Z")
    advance(turned, 240)
    fired = times(turned, deployment)
    assert sorted(fired) == [f"2026-03-02T12:{minute}:00Z" for minute in ("09", "10", "11", "12")]
    assert [kind for _, kind in occurrences(turned, deployment)].count("missed") == 8


@pytest.mark.parametrize(
    ("start", "schedule", "seconds", "expected"),
    [
        ("2026-03-07T12:00:00Z", ("30 2 * * *", NEW_YORK), 3 * 86400, ["03-09T06:30", "03-10T06:30"]),
        ("2026-10-31T12:00:00Z", ("30 1 * * *", NEW_YORK), 86400, ["11-01T05:30", "11-01T06:30"]),
        ("2028-02-01T00:00:00Z", ("0 12 29 2 *", "UTC"), 40 * 86400, ["02-29T12:00"]),
        ("2026-10-24T12:00:00Z", ("30 2 * * *", "Europe/Berlin"), 86400, ["10-25T00:30", "10-25T01:30"]),
    ],
)
def test_a_night_on_which_the_clocks_change_and_a_leap_day(
    turned: Api, start: str, schedule: tuple[str, str], seconds: int, expected: list[str]
) -> None:
    put(turned, start)
    expression, zone = schedule
    deployment = turned.deployment(schedule={"type": "cron", "expression": expression, "timezone": zone})
    advance(turned, seconds)
    assert [when[5:16] for when in times(turned, deployment)] == expected


def test_a_deployment_that_cannot_be_fired_does_not_stop_the_clock(turned: Api) -> None:
    from tests.scheduler.test_ticker import SPOIL

    good, poison = turned.deployment(schedule=EVERY_MINUTE), turned.deployment(schedule=EVERY_MINUTE)
    turned.write(lambda tx: tx.run(SPOIL, id=poison["id"]))
    assert advance(turned, 180) == "2026-03-02T12:03:00Z"
    assert len(times(turned, good)) == 3
    assert [run["error"]["type"] for run in turned.runs(poison)] == ["unknown_error"]


def test_keys_and_idempotency_keys_expire_by_it(turned: Api) -> None:
    from rota.resources.workspaces import keys

    short = turned.write(
        lambda tx: keys.create(tx, turned.who.organization_id, workspace_id=turned.who.workspace_id, expires_in=86400)
    ).key
    turned.get("/v1/agents", key=short).ok()
    deployment = turned.deployment()
    first = turned.fire(deployment, headers={"idempotency-key": "one"})
    assert turned.fire(deployment, headers={"idempotency-key": "one"}) == first
    advance(turned, 86400)
    turned.get("/v1/agents", key=short).refused(401, "authentication_error")
    assert turned.fire(deployment, headers={"idempotency-key": "one"}) != first


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("set", {}), ("set", {"now": "tomorrow"}), ("set", {"now": "0001-01-01T00:00:00Z"}), ("set", {"now": None}),
        ("advance", {}), ("advance", {"seconds": -1}), ("advance", {"seconds": "1"}), ("advance", {"seconds": 1e12}),
        ("advance", {"minutes": 1}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_turns_nothing(tmp_path: Path, verb: str, body: dict[str, Any]) -> None:
    with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, KeptClock(START), test_clock=True) as api:
        api.post(f"{CLOCK}/{verb}", body).refused(400)
        assert api.get(CLOCK).ok()["now"] == "2026-03-02T12:00:00Z"


def test_without_the_flag_there_are_no_such_routes(still_api: Api) -> None:
    still_api.get(CLOCK).refused(404, "not_found_error")
    still_api.post(CLOCK + "/set", {"now": "2026-03-02T12:00:00Z"}).refused(404, "not_found_error")
    still_api.post(CLOCK + "/advance", {"seconds": 1}).refused(404, "not_found_error")


# A real server


def test_it_begins_with_the_present_and_outlives_a_restart_and_kill_9(database_url: str, tmp_path: Path) -> None:
    before = time.time()
    server = Server(tmp_path, database_url, "--test-clock")
    with server:
        shown = server.ask("GET", CLOCK).ok()["now"]
        assert before <= from_datetime(datetime.fromisoformat(shown)) / 1e6 <= time.time()
        turned = server.ask("POST", CLOCK + "/advance", {"seconds": 3600}).ok()["now"]
        assert turned != shown
        server.kill()
        server.start()
        assert server.ask("GET", CLOCK).ok()["now"] == turned


def test_every_server_of_an_installation_goes_by_it(postgres_url: str, tmp_path: Path) -> None:
    one = Server(tmp_path / "one", postgres_url, "--test-clock")
    other = Server(tmp_path / "other", postgres_url, "--test-clock")
    with one, other:
        turned = one.ask("POST", CLOCK + "/advance", {"seconds": 86400}).ok()["now"]
        agent = other.ask("POST", "/v1/agents", {"name": "a", "model": "m"}).ok()
        assert agent["created_at"] == turned
        assert other.ask("GET", CLOCK).ok()["now"] == turned


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "rota.example.com"])
def test_it_is_refused_on_an_address_that_others_can_reach(tmp_path: Path, host: str) -> None:
    assert not serve.is_loopback(host)
    said = refusal("serve", "--test-clock", "--host", host, "--port", "0", "--data-dir", str(tmp_path))
    assert "--test-clock" in said
    assert host in said


def test_a_year_goes_by_quickly(sqlite_api: Api, tmp_path: Path) -> None:
    with Api(f"sqlite:///{tmp_path / 'year.db'}", tmp_path, KeptClock(START), test_clock=True) as api:
        deployment = api.deployment(schedule=EVERY_MINUTE | {"expression": "0 */6 * * *"})
        advance(api, 365 * 86400)
        counted = itertools.count()
        page: dict[str, Any] = {}
        while True:
            body = api.get(ours(deployment, "occurrences"), query={"kind": "fired", "limit": 1000, **page}).ok()
            for _ in body["data"]:
                next(counted)
            if body["next_page"] is None:
                break
            page = {"page": body["next_page"]}
        assert next(counted) == 365 * 4
