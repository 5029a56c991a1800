"""``python -m tests.scheduler.prove_steps``: a real server whose clock jumps, or whose machine sleeps, and a table.

The server is ``rota serve`` with a clock ten times as fast as the world's (``fast_server``), which is set forwards and
backwards while it runs; for a sleep its process is stopped, and goes on ten hours later. Twenty deployments are due every
minute. After each jump it must fire again within a minute: within a minute of the jump, or, where a jump backwards leads to
occurrences that have run already, of the first that has not. In the end nothing may have fired early or twice, and each
occurrence of the time that was lived through must have a run or be counted as missed. The exit code is 1 otherwise.
"""

import argparse
import asyncio
import contextlib
import itertools
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from rota.base.clock import DAY, MINUTE, SECOND, HandClock
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.store.db import open_db
from rota.store.tx import Query, Tx
from tests.acceptance.server import KEY
from tests.base.cron_oracle import instant
from tests.databases import fresh, postgres_server
from tests.scheduler.crashes import Ticking
from tests.scheduler.stock import ground, stock

FACTOR = 10
START = instant("2026-06-10 12:00") + 15 * SECOND
HOUR = 60 * MINUTE
STEPS = [sign * size for size in (SECOND, 59 * SECOND, 61 * SECOND, HOUR, DAY) for sign in (1, -1)]
SLEEP = 10 * HOUR
COUNT = 20
WIDTH = 150


class Jump(NamedTuple):
    """What came of one."""

    kind: str
    name: str
    size: int
    recovered: float
    """Seconds of the server's clock."""


class Stage:
    """A server, its wrong clock, and what is in its database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._wrong = folder / "wrong"
        self._wrong.write_text("0")
        self._since = time.time_ns() // 1000
        self._by = 0
        self.server = Ticking(
            folder / "server",
            url,
            self._since,
            None,
            ROTA_FAST=f"{START} {self._since} {FACTOR}",
            ROTA_STEP=str(self._wrong),
        )

    def now(self) -> int:
        """What the server's clock shows."""
        return START + (time.time_ns() // 1000 - self._since) * FACTOR + self._by

    def jump(self, by: int) -> None:
        """Set it, at one stroke."""
        self._by += by
        new = self._wrong.with_name("new")
        new.write_text(str(self._by))
        new.replace(self._wrong)

    async def ask(self, text: str, **parameters: Any) -> list[Any]:
        """What a query finds."""
        db = open_db(self.url, HandClock(0))
        try:
            return await db.read(lambda tx: tx.all(Query("A look.", text), **parameters))
        finally:
            await db.close()

    async def fires_after(self, since: int, many: int) -> int:
        """Wait until each deployment has a run more; the instant at which the last of them was made, by its own clock."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            [[count]] = await self.ask("SELECT count(*) FROM deployment_runs")
            if count >= many + COUNT:
                rows = await self.ask("SELECT created_at FROM deployment_runs ORDER BY id")
                return max(row[0] for row in rows[many : many + COUNT])
            await asyncio.sleep(0.05)
        raise AssertionError(f"nothing has fired since {since}")


async def jump(stage: Stage, kind: str, size: int, *, asleep: bool = False) -> Jump:
    """Let it happen half a minute into a minute; wait until everything has fired again."""
    while not 20 * SECOND < stage.now() % MINUTE < 40 * SECOND:
        await asyncio.sleep(0.02)
    if asleep:
        stage.server.freeze()
    [[many]] = await stage.ask("SELECT count(*) FROM deployment_runs")
    done = {row[0] for row in await stage.ask("SELECT DISTINCT scheduled_at FROM deployment_runs")}
    stage.jump(size)
    since = stage.now()
    if asleep:
        stage.server.thaw()
    expected = since
    if size < 0:
        expected = since // MINUTE * MINUTE + MINUTE
        while expected in done:
            expected += MINUTE
    made = await stage.fires_after(since, many)
    return Jump(kind, "sleep" if asleep else "step", size, max(made - expected, 0) / SECOND)


async def prove(url: str, folder: Path, kind: str, progress: Console) -> tuple[list[Jump], list[str]]:
    """All jumps on one database, and what is wrong in the end."""
    db = open_db(url, HandClock(START))
    await db.write(workspaces.bootstrap, KEY)
    who = await db.read(keys.admit, KEY)
    assert who is not None
    place = await db.write(ground, who)

    def make(tx: Tx) -> list[str]:
        return stock(tx, who, *place, COUNT, START // MINUTE * MINUTE + MINUTE)

    await db.write(make)
    await db.close()
    stage = Stage(url, folder)
    jumps: list[Jump] = []
    with stage.server:
        for size, asleep in [*((step, False) for step in STEPS), (SLEEP, True)]:
            await stage.fires_after(0, 0)
            jumps.append(await jump(stage, kind, size, asleep=asleep))
            progress.print(f"{kind}: {_shown(size)}: {jumps[-1].recovered:.2f} s")
    return jumps, await _judge(stage)


async def _judge(stage: Stage) -> list[str]:
    runs = await stage.ask("SELECT deployment_id, scheduled_at, created_at FROM deployment_runs")
    lapses = await stage.ask("SELECT deployment_id, first_at, last_at, count FROM lapses")
    wrong = [f"{deployment_id}: {due} fired early, at {made}" for deployment_id, due, made in runs if made < due]
    found = Counter((row[0], row[1]) for row in runs)
    for deployment_id, first, last, count in lapses:
        stretch = range(first, last + MINUTE, MINUTE)
        if len(stretch) != count:
            wrong.append(f"{deployment_id}: a lapse of {count} has {len(stretch)} occurrences")
        found.update((deployment_id, due) for due in stretch)
    wrong += [
        f"{deployment_id}: {due} is there {count} times" for (deployment_id, due), count in found.items() if count > 1
    ]
    by_deployment: dict[str, list[int]] = {}
    for deployment_id, due in found:
        by_deployment.setdefault(deployment_id, []).append(due)
    for deployment_id, dues in by_deployment.items():
        # What lies before the latest run was lived through, up to the days that a jump backwards brought and ended.
        dues.sort()
        gaps = [(one, other) for one, other in itertools.pairwise(dues) if other - one != MINUTE]
        if len(gaps) > 1:  # between the day before, of which an hour or so was lived through, and the day itself
            wrong.append(f"{deployment_id}: nobody accounts for what lies between {gaps}")
    return wrong


def _shown(size: int) -> str:
    return f"{size // SECOND:+,} s"


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.scheduler.prove_steps", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    given = parser.parse_args()
    progress = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    table = Table("database", "jump", "by", "fires again after s")
    wrong: list[str] = []
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(postgres_server()) if given.database != "sqlite" else None
        for kind in ("sqlite", "postgres") if given.database == "both" else (given.database,):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rota-steps-")))
            url = stack.enter_context(fresh(kind, folder, postgres))
            jumps, found = asyncio.run(prove(url, folder, kind, progress))
            wrong += [f"{kind}: {each}" for each in found]
            for each in jumps:
                table.add_row(each.kind, each.name, _shown(each.size), f"{each.recovered:.2f}")
                if each.recovered > 60:
                    wrong.append(f"{kind}: {_shown(each.size)}: only after {each.recovered:.1f} s")
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(table)
    for sentence in wrong[:20]:
        console.print(sentence, highlight=False, soft_wrap=True)
    console.print(f"{len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
