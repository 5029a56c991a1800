"""A share of the day of a million schedules; ``python -m tests.scheduler.day`` is the whole."""

import asyncio
from collections import Counter
from pathlib import Path

from rich.console import Console

from rota.base import cron
from rota.base.clock import MINUTE, HandClock
from rota.store.db import open_db
from rota.store.tx import Query
from tests.base.cron_oracle import walk
from tests.scheduler.day import MIX, START, fires_a_day, live

COUNT = 2_000
UNTIL = START + 30 * MINUTE
RUNS = Query("What fired.", "SELECT deployment_id, scheduled_at FROM deployment_runs")
KEPT = Query("Who is scheduled.", "SELECT deployment_id, expression, timezone FROM schedules")


def test_what_fires_is_what_the_mix_says_and_takes_the_rows_that_the_arithmetic_counts(
    database_url: str, tmp_path: Path
) -> None:
    kind = "sqlite" if database_url.startswith("sqlite") else "postgres"
    day = asyncio.run(live(kind, database_url, COUNT, 600, None, Console(quiet=True), UNTIL))

    async def look() -> tuple[list[tuple[str, int]], list[tuple[str, str, str]]]:
        db = open_db(database_url, HandClock(UNTIL))
        found = await db.read(
            lambda tx: ([(r[0], r[1]) for r in tx.all(RUNS)], [(r[0], r[1], r[2]) for r in tx.all(KEPT)])
        )
        await db.close()
        return found

    runs, kept = asyncio.run(look())
    dues = {(expression, zone) for _, expression, zone in kept}
    walked = {each: list(walk(each[0], cron.zone(each[1]), START, UNTIL)) for each in dues}
    assert Counter(runs) == Counter((name, due) for name, *each in kept for due in walked[each[0], each[1]])
    assert day.fires == len(runs) > COUNT / 50
    assert day.late == sorted(day.late)
    assert day.late[0] >= 0
    rows = {name: day.after.of[name][0] for name in day.after.of}
    once = ("deployment_runs", "sessions", "session_threads", "session_events")
    assert {name: rows[name] for name in once} == dict.fromkeys(once, day.fires)
    assert rows["outbox"] - day.before.of["outbox"][0] == 2 * day.fires
    assert rows["lapses"] == 0


def test_the_mix_is_a_whole() -> None:
    assert sum(kind.share for kind in MIX) == 1
    assert fires_a_day(1_000_000) == 4_194_286
