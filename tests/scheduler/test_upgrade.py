"""A database from before there was anybody to fire schedules is taken over: right dates, nothing early, nothing twice."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from rota.base import ids
from rota.base.clock import DAY, MINUTE, SECOND, HandClock, SystemClock
from rota.base.errors import Unusable
from rota.base.who import Who
from rota.resources.agents import actions as agents
from rota.resources.agents.wire import CreateAgent
from rota.resources.deployments import review
from rota.resources.environments import actions as environments
from rota.resources.environments.wire import CreateEnvironment
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.scheduler.ticker import Ticker
from rota.store import migrate
from rota.store.db import open_db
from rota.store.tx import Insert, Tx
from tests.api import HELLO, KEY, Api
from tests.conftest import START
from tests.databases import fresh
from tests.scheduler.test_clock_steps import check, live
from tests.scheduler.test_firing import path, times
from tests.scheduler.test_timetable import scheduling

LAST_WITHOUT = 14
"""The last migration that knows nothing of due dates."""
LONG_AGO = START - 30 * DAY
OLD = Insert(
    "A deployment as it was kept then.",
    "deployments",
    {
        "id": "text", "organization_id": "text", "workspace_id": "text", "created_at": "bigint", "updated_at": "bigint",
        "archived_at": "bigint", "status": "text", "paused_error": "text", "agent_id": "text", "agent_version": "bigint",
        "environment_id": "text", "scheduled": "bigint", "last_run_at": "bigint", "body": "text",
    },
)  # fmt: skip


class Case(NamedTuple):
    """One deployment of that time, and when it is due first, if the new version starts on Monday, 2 March 2026, at noon."""

    expression: str | None
    timezone: str = "UTC"
    status: str = "active"
    paused_error: str | None = None
    archived: bool = False
    last_run_at: int | None = None
    due: str | None = None
    """None: nothing is to be due."""


CASES = {
    "every minute": Case("* * * * *", due="2026-03-02T12:01:00Z"),
    "hourly": Case("0 * * * *", "Europe/Berlin", due="2026-03-02T13:00:00Z"),
    "nightly": Case("30 2 * * *", "America/New_York", due="2026-03-03T07:30:00Z"),
    "on half hours of Lord Howe": Case("15 23 * * *", "Australia/Lord_Howe", due="2026-03-02T12:15:00Z"),
    "at noon": Case("0 12 * * *", due="2026-03-03T12:00:00Z"),
    "leap days": Case("0 12 29 2 *", due="2028-02-29T12:00:00Z"),
    "that has run": Case("0 0 1 * *", last_run_at=LONG_AGO + MINUTE, due="2026-04-01T00:00:00Z"),
    "paused by hand": Case("* * * * *", status="paused"),
    "paused by an error": Case("* * * * *", status="paused", paused_error="environment_archived_error"),
    "archived": Case("* * * * *", archived=True),
    "without a schedule": Case(None),
    "that had a schedule": Case(None, last_run_at=LONG_AGO + 7 * SECOND),
    "of a time zone that is no more": Case("* * * * *", "Mars/Olympus"),
}


@pytest.fixture(params=["sqlite", "postgres"])
def old(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, dict[str, str]]]:
    """The URL of a database as the last version without schedules left it, and its deployments' ids by case."""
    postgres = request.getfixturevalue("postgres") if request.param == "postgres" else None
    with fresh(request.param, tmp_path, postgres) as url:
        every = migrate.migrations()
        with monkeypatch.context() as older:
            older.setattr(migrate, "migrations", lambda: every[:LAST_WITHOUT])
            made = asyncio.run(_fill(url))
        yield url, made


async def _fill(url: str) -> dict[str, str]:
    db = open_db(url, HandClock(LONG_AGO))
    await db.write(workspaces.bootstrap, KEY)
    who = await db.read(keys.admit, KEY)
    assert who is not None
    made = await db.write(_make, who)
    await db.close()
    return made


def _make(tx: Tx, who: Who) -> dict[str, str]:
    agent = agents.create(tx, who, msgspec.convert({"name": "Clerk", "model": "claude-opus-5-5"}, CreateAgent))
    home = environments.create(tx, who, msgspec.convert({"name": "home"}, CreateEnvironment))
    made = {name: ids.new(ids.DEPLOYMENT) for name in CASES}
    rows: list[Any] = []
    for name, case in CASES.items():
        body: dict[str, Any] = {"name": name, "initial_events": HELLO}
        if case.expression is not None:
            body["schedule"] = {"type": "cron", "expression": case.expression, "timezone": case.timezone}
        rows.append(
            (
                made[name], who.organization_id, who.workspace_id, tx.now, tx.now, tx.now if case.archived else None,
                case.status, case.paused_error, agent.id, 1, home.id, int(case.expression is not None),
                case.last_run_at, json.dumps(body),
            )
        )  # fmt: skip
    tx.insert(OLD, rows)
    return made


def _migrate(url: str) -> None:
    with pytest.raises(Unusable, match="rota migrate"):
        open_db(url, HandClock(START))
    asyncio.run(open_db(url, HandClock(START), upgrade=True).close())


def _due(api: Api, made: dict[str, str]) -> dict[str, str | None]:
    return {name: scheduling(api, {"id": made[name]})["next_occurrence_at"] for name in CASES}


EXPECTED = {name: case.due for name, case in CASES.items()}


def test_what_is_taken_over_is_due_at_its_next_occurrence_and_no_earlier(
    old: tuple[str, dict[str, str]], tmp_path: Path, clock: HandClock
) -> None:
    url, made = old
    _migrate(url)
    with Api(url, tmp_path, clock) as api:
        api.tick()
        assert _due(api, made) == EXPECTED
        assert api.get("/v1/deployment_runs").ok()["data"] == [], "a month without a scheduler is no downtime"
        assert all(scheduling(api, {"id": each})["missed"] == 0 for each in made.values())
        live(api, 3 * 3600, stride=60)
        fired = {name: times(api, {"id": each}) for name, each in made.items()}
        assert {name for name, found in fired.items() if found} == {
            "every minute", "hourly", "on half hours of Lord Howe",
        }  # fmt: skip
        assert len(fired["every minute"]) == 180
        assert fired["hourly"] == ["2026-03-02T13:00:00Z", "2026-03-02T14:00:00Z", "2026-03-02T15:00:00Z"]
        assert fired["on half hours of Lord Howe"] == ["2026-03-02T12:15:00Z"]
        for each in made.values():
            check(api, {"id": each})


def test_what_was_known_of_a_deployment_is_known_afterwards(
    old: tuple[str, dict[str, str]], tmp_path: Path, clock: HandClock
) -> None:
    url, made = old
    _migrate(url)
    with Api(url, tmp_path, clock) as api:
        api.tick()
        for name, case in CASES.items():
            if case.timezone != "Mars/Olympus":
                shown = api.get(path({"id": made[name]})).ok()
                schedule = shown["schedule"] or {"expression": None}
                assert shown["status"] == case.status
                assert (shown["archived_at"] is not None) == case.archived
                assert (shown["paused_reason"] is not None) == (case.status == "paused")
                assert schedule["expression"] == case.expression
        ran = api.get(path({"id": made["that has run"]})).ok()
        assert ran["schedule"]["last_run_at"] == "2026-01-31T12:01:00Z"
        again = api.post(
            path({"id": made["that had a schedule"]}),
            {"schedule": {"type": "cron", "expression": "* * * * *", "timezone": "UTC"}},
        ).ok()
        assert again["schedule"]["last_run_at"] == "2026-01-31T12:00:07Z"


def test_those_that_were_paused_go_on_when_they_are_told_to(
    old: tuple[str, dict[str, str]], tmp_path: Path, clock: HandClock
) -> None:
    url, made = old
    _migrate(url)
    with Api(url, tmp_path, clock) as api:
        api.tick()
        live(api, 120)
        for name in ("paused by hand", "paused by an error"):
            api.post(path({"id": made[name]}, "unpause")).ok()
        live(api, 120)
        for name in ("paused by hand", "paused by an error"):
            assert times(api, {"id": made[name]}) == ["2026-03-02T12:03:00Z", "2026-03-02T12:04:00Z"]


def test_two_that_take_over_at_once_come_to_the_same_and_fire_once(
    old: tuple[str, dict[str, str]], tmp_path: Path, clock: HandClock
) -> None:
    url, made = old
    _migrate(url)
    with Api(url, tmp_path, clock) as api:
        others = [Ticker(api.house.db, clock, api.house.app.policy) for _ in range(3)]

        async def at_once() -> None:
            await asyncio.gather(*(each.fire() for each in others))

        api.run(at_once())
        assert _due(api, made) == EXPECTED
        for _ in range(5):
            clock.advance(seconds=60)
            api.run(at_once())
        assert len(check(api, {"id": made["every minute"]})) == 5


def test_one_that_is_cut_short_is_gone_on_with(
    old: tuple[str, dict[str, str]], tmp_path: Path, clock: HandClock
) -> None:
    url, made = old
    _migrate(url)
    with Api(url, tmp_path, clock) as api:
        policy = api.house.app.policy
        wrong, after = api.read(review.differing, policy, "", 4)
        assert wrong
        assert after is not None
        api.write(review.mend, policy, wrong)
        assert api.read(review.need, policy) == "all"
    clock.advance(seconds=90)  # it was away, and what it had dated came due meanwhile
    with Api(url, tmp_path, clock) as api:
        api.tick()
        assert api.read(review.need, policy) == "none"
        live(api, 150)
        assert check(api, {"id": made["every minute"]})[-1] == START + 4 * MINUTE
        assert set(_due(api, made)) == set(EXPECTED)
        assert _due(api, made)["nightly"] == EXPECTED["nightly"]


def test_the_machines_clock_has_no_say_on_it(old: tuple[str, dict[str, str]], tmp_path: Path, clock: HandClock) -> None:
    url, made = old
    asyncio.run(open_db(url, SystemClock(), upgrade=True).close())
    with Api(url, tmp_path, clock) as api:
        api.tick()
        assert _due(api, made) == EXPECTED
