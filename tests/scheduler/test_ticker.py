"""The loop that fires: when it looks, what it outlives, and whom a deployment that cannot be fired holds up."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rota.base.clock import MINUTE, SECOND, HandClock, SystemClock
from rota.base.errors import Unavailable
from rota.http.metrics import Count
from rota.resources.sessions.drafts import TURNS
from rota.scheduler.ticker import Ticker
from rota.store import sqlite
from rota.store.tx import Query
from tests.api import Api
from tests.conftest import START
from tests.scheduler.test_firing import EVERY_MINUTE, path, times

R = TypeVar("R")
PATIENCE = 30.0


class Running(SystemClock):
    """A clock that runs as the machine's does, but shows another time. PostgreSQL's own is not asked."""

    ruler = "hand"

    def __init__(self, now: int) -> None:
        self._ahead = now - super().now()

    def now(self) -> int:
        return super().now() + self._ahead

    def set(self, now: int) -> None:
        self._ahead = now - super().now()


def tallies(api: Api, name: str) -> dict[str, float]:
    """One of the ticker's counters, by its label."""
    [found] = [each for each in api.house.ticker.counts() if each.name == f"rota_schedule_{name}"]
    assert isinstance(found, Count)
    return {"".join(labels): number for labels, number in found.numbers.items()}


def with_ticker(api: Api, work: Callable[[asyncio.Event], Awaitable[R]]) -> R:
    """Do something beside a running ticker; the event is set after each commit that made sessions."""

    async def both() -> R:
        fired = asyncio.Event()
        api.house.db.subscribe(TURNS, fired.set)
        api.house.start()
        try:
            async with asyncio.timeout(PATIENCE):
                return await work(fired)
        finally:
            await api.house.stop()

    return api.run(both())


# When it looks


def test_it_sleeps_until_the_next_schedule_is_due_and_fires_then(database_url: str, tmp_path: Path) -> None:
    clock = Running(START)
    with Api(database_url, tmp_path, clock) as api:  # type: ignore[arg-type]
        deployment = api.deployment(schedule=EVERY_MINUTE)
        clock.set(START + MINUTE - SECOND // 2)

        async def until_fired(fired: asyncio.Event) -> None:
            await fired.wait()

        with_ticker(api, until_fired)
        [run] = api.runs(deployment)
        assert run["trigger_context"]["scheduled_at"] == "2026-03-02T12:01:00Z"
        assert run["created_at"].startswith("2026-03-02T12:01:")


def test_a_change_wakes_it(database_url: str, tmp_path: Path) -> None:
    clock = Running(START)
    with Api(database_url, tmp_path, clock) as api:  # type: ignore[arg-type]
        deployment = api.deployment()
        clock.set(START + 5 * SECOND)
        api.house.ticker._beat = 2 * PATIENCE

        async def schedule_now(fired: asyncio.Event) -> None:
            while not tallies(api, "looks").get(""):
                await asyncio.sleep(0)
            clock.set(START + MINUTE - SECOND // 4)  # it sleeps much longer than that, unless it is woken
            (await api.call("POST", path(deployment), {"schedule": EVERY_MINUTE})).ok()
            await fired.wait()

        with_ticker(api, schedule_now)
        assert times(api, deployment) == ["2026-03-02T12:01:00Z"]


@pytest.mark.parametrize(
    ("now", "ahead", "expected"),
    [
        (0, None, 5.0),
        (58 * SECOND, None, 2.0),
        (0, 3 * SECOND, 3.0),
        (0, 3600 * SECOND, 5.0),
        (59 * SECOND, SECOND // 2, 0.5),
    ],
)
def test_it_sleeps_to_what_is_due_to_the_next_minute_or_to_its_beat(
    sqlite_api: Api, now: int, ahead: int | None, expected: float
) -> None:
    from rota.resources.deployments.due import Look

    ticker = Ticker(sqlite_api.house.db, SystemClock(), sqlite_api.house.app.policy)
    start = START - START % MINUTE + now
    assert ticker._until(Look(start, None if ahead is None else start + ahead, "depl_1")) == pytest.approx(expected)


# What it outlives


def test_a_database_that_is_away_holds_nothing_up_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: HandClock
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_MS", 100)  # no test should wait as long as a server does
    with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock) as api:
        deployment = api.deployment(schedule=EVERY_MINUTE)
        lock = sqlite3.connect(tmp_path / "rota.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        clock.advance(seconds=60)

        async def until_it_was_tried(fired: asyncio.Event) -> None:
            while not tallies(api, "troubles"):
                await asyncio.sleep(0.01)
            lock.execute("ROLLBACK")
            await fired.wait()

        with_ticker(api, until_it_was_tried)
        lock.close()
        assert set(tallies(api, "troubles")) == {Unavailable.__name__}
        assert times(api, deployment) == ["2026-03-02T12:01:00Z"]


# Deployments that cannot be fired

SPOIL = Query("A body that nobody can read.", "UPDATE deployments SET body = '{' WHERE id = :id")
MEND = Query("A body that can be read.", "UPDATE deployments SET body = :body WHERE id = :id")
BODY = Query("The body.", "SELECT body FROM deployments WHERE id = :id")


def herd(api: Api, number: int) -> list[dict[str, Any]]:
    agent, environment = api.agent()["id"], api.environment()["id"]
    return [api.deployment(agent=agent, environment_id=environment, schedule=EVERY_MINUTE) for _ in range(number)]


def test_a_deployment_that_cannot_be_fired_holds_up_nobody_and_is_recorded(api: Api) -> None:
    made = herd(api, 9)
    poison = made.pop(4)
    body = api.read(lambda tx: tx.one(BODY, id=poison["id"]))
    api.write(lambda tx: tx.run(SPOIL, id=poison["id"]))
    api.tick(seconds=60)
    assert [times(api, each) for each in made] == [["2026-03-02T12:01:00Z"]] * 8
    [run] = api.runs(poison)
    assert run["trigger_context"]["scheduled_at"] == "2026-03-02T12:01:00Z"
    assert run["error"]["type"] == "unknown_error"
    assert tallies(api, "troubles") == {"batch": 1, "recorded": 1}
    assert tallies(api, "fires") == {"session": 8, "unknown_error": 1}
    assert tallies(api, "paused") == {"unknown_error": 1}
    api.write(lambda tx: tx.run(MEND, id=poison["id"], body=body[0]))
    paused = api.get(path(poison)).ok()
    assert paused["paused_reason"] == {"type": "error", "error": {"type": "unknown_error"}}
    api.post(path(poison, "unpause")).ok()
    api.tick(seconds=60)
    assert times(api, poison) == ["2026-03-02T12:01:00Z", "2026-03-02T12:02:00Z"]


def test_one_that_cannot_even_be_recorded_is_left_alone_for_an_hour(sqlite_api: Api, tmp_path: Path) -> None:
    made = herd(sqlite_api, 5)
    poison = made.pop(1)
    database = sqlite3.connect(tmp_path / "rota.db", isolation_level=None)
    database.execute(
        f"CREATE TRIGGER no_runs BEFORE INSERT ON deployment_runs WHEN NEW.deployment_id = '{poison['id']}'"
        " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    )
    sqlite_api.tick(seconds=60)
    assert [times(sqlite_api, each) for each in made] == [["2026-03-02T12:01:00Z"]] * 4
    assert tallies(sqlite_api, "troubles") == {"batch": 1, "stalled": 1}
    database.execute("DROP TRIGGER no_runs")
    database.close()
    for _ in range(59):
        sqlite_api.tick(seconds=60)
    assert times(sqlite_api, poison) == []
    sqlite_api.tick(seconds=60)
    assert times(sqlite_api, poison) == ["2026-03-02T13:01:00Z"]
    assert tallies(sqlite_api, "missed") == {"not_fired_in_time": 60}


def test_an_occurrence_that_has_its_run_never_gets_another(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.tick(seconds=60)
    again = Query(
        "As if the fire had never been noted.",
        "UPDATE schedules SET due_at = :due, fire_at = :due, accounted_at = :due - 1 WHERE deployment_id = :id",
    )
    api.write(lambda tx: tx.run(again, due=START + MINUTE, id=deployment["id"]))
    api.tick()
    api.tick(seconds=60)
    assert times(api, deployment) == ["2026-03-02T12:01:00Z", "2026-03-02T12:02:00Z"]
    assert api.get(path(deployment)).ok()["status"] == "active"


# What it tells


def test_the_metrics_tell_what_was_fired_and_how_late(sqlite_api: Api) -> None:
    deployment = sqlite_api.deployment(schedule=EVERY_MINUTE)
    sqlite_api.tick(seconds=60.2)
    sqlite_api.tick(seconds=180)
    sqlite_api.post(f"/v1/environments/{deployment['environment_id']}/archive").ok()
    sqlite_api.tick(seconds=60)
    text = sqlite_api.get("/metrics", key=None).body
    for line in (
        'rota_schedule_fires_total{outcome="session"} 2.0',
        'rota_schedule_fires_total{outcome="environment_archived_error"} 1.0',
        'rota_schedule_missed_total{reason="not_fired_in_time"} 2.0',
        'rota_schedule_paused_total{error="environment_archived_error"} 1.0',
        'rota_schedule_lateness_seconds_bucket{le="0.1"} 0.0',
        'rota_schedule_lateness_seconds_bucket{le="0.25"} 3.0',
        "rota_schedule_lateness_seconds_count 3.0",
    ):
        assert line in text
    assert "# TYPE rota_schedule_skipped_total counter" in text


# Many


def test_tickers_of_several_servers_share_the_work_and_double_nothing(database_url: str, tmp_path: Path) -> None:
    clock = HandClock(START)
    with Api(database_url, tmp_path, clock) as api:
        made = herd(api, 40)
        tickers = [Ticker(api.house.db, clock, api.house.app.policy) for _ in range(3)]
        for ticker in tickers:
            ticker._size = 4

        async def together() -> None:
            await asyncio.gather(*(ticker.fire() for ticker in tickers))

        for minute in range(1, 4):
            clock.advance(seconds=60)
            api.run(together())
            assert [len(times(api, each)) for each in made] == [minute] * 40


def test_a_batch_finds_its_turn_taken_while_another_is_under_way(api: Api) -> None:
    if api.house.db.name != "postgres":
        return
    import psycopg

    from rota.resources.deployments import due

    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.clock.advance(seconds=60)
    assert api.settings.database is not None
    with psycopg.connect(api.settings.database) as other:
        other.execute("SELECT pg_advisory_xact_lock(7310206, hashtext(%s))", (due.TURN,))
        assert api.write(due.fire, api.house.app.policy, 10).busy
        api.run(api.house.ticker.fire())  # waits for its turn, and then does without
    assert times(api, deployment) == ["2026-03-02T12:01:00Z"]


def test_rows_that_another_ticker_holds_are_left_to_it(api: Api) -> None:
    if api.house.db.name != "postgres":
        return
    import psycopg

    made = herd(api, 3)
    api.clock.advance(seconds=60)
    assert api.settings.database is not None
    with psycopg.connect(api.settings.database) as other:
        other.execute("SELECT 1 FROM schedules WHERE deployment_id = %s FOR UPDATE", (made[0]["id"],))

        async def while_held() -> None:
            firing = asyncio.create_task(api.house.ticker.fire())
            while tallies(api, "fires") != {"session": 2}:
                await asyncio.sleep(0.01)
            other.rollback()
            await firing

        api.run(while_held())
    assert [times(api, each) for each in made] == [["2026-03-02T12:01:00Z"]] * 3
