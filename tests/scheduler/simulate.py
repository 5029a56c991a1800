"""``python -m tests.scheduler.simulate --seeds 10000``: installations in virtual time, with everything that can go wrong.

Each seed is a world of its own: deployments with all kinds of schedules and rules, one to three tickers (the real ones, over
the real SQL), people who pause, change and archive at the worst moments, processes that are slow, stop, die in the middle of
whatever they do, a store that fails before, during or after a commit. Every occurrence is then matched to exactly one run
or one counted lapse (see ``sim.judge``). A seed that fails says what is wrong, and fails again with ``--seed N``.

``--plant NAME`` plants a bug, ``--plant all`` each in turn, to see how soon the simulation finds it.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from multiprocessing import Pool
from typing import Any

from rich.console import Console
from rich.table import Table

from rota.base import log
from tests.scheduler.sim.plants import PLANTS
from tests.scheduler.sim.world import Outcome, simulate

WIDTH = 150
_PATIENCE = 400
"""Seeds after which a planted bug counts as not found."""


def _quiet() -> None:
    log.configure(level="critical")


def prove(seeds: Iterable[int], jobs: int, progress: Console) -> list[Outcome]:
    """All of these seeds; what is wrong with any is printed as it comes."""
    outcomes: list[Outcome] = []
    started = time.monotonic()

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        for sentence in outcome.wrong[:10]:
            progress.print(f"seed {outcome.seed}: {sentence}", highlight=False, soft_wrap=True)
        if len(outcomes) % 500 == 0:
            fires = sum(each.fires for each in outcomes)
            progress.print(f"{len(outcomes):,} seeds, {fires:,} fires, {time.monotonic() - started:,.0f} s")

    if jobs == 1:
        for seed in seeds:
            note(simulate(seed))
    else:
        with Pool(jobs, _quiet) as pool:
            for outcome in pool.imap_unordered(simulate, seeds, chunksize=20):
                note(outcome)
    return outcomes


def find(plant: str, first: int, progress: Console) -> tuple[int, str] | None:
    """How many seeds it took to find a planted bug, and by what."""
    for number in range(_PATIENCE):
        outcome = simulate(first + number, plant=plant)
        if outcome.wrong:
            progress.print(f"{plant}: seed {outcome.seed}: {outcome.wrong[0]}", highlight=False, soft_wrap=True)
            return number + 1, outcome.wrong[0]
    return None


def show(outcomes: list[Outcome], seconds: float, console: Console) -> None:
    """The table."""
    names = ("commits", "fires", "failed", "missed", "skipped", "deaths")
    table = Table("seeds", *names, "virtual minutes", "wrong seeds", "seconds", "times real time")
    minutes = sum(outcome.minutes for outcome in outcomes)
    table.add_row(
        f"{len(outcomes):,}",
        *(f"{sum(getattr(outcome, name) for outcome in outcomes):,}" for name in names),
        f"{minutes:,.0f}",
        f"{sum(bool(outcome.wrong) for outcome in outcomes)}",
        f"{seconds:,.0f}",
        f"{minutes * 60 / seconds:,.0f}",
    )
    console.print(table)


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.scheduler.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--plant", choices=["all", *PLANTS], help="a bug to be found, or all of them, one after the other"
    )
    given = parser.parse_args()
    _quiet()
    progress = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    if given.plant:
        table: Any = Table("planted bug", "found after seeds", "by")
        missed = 0
        for plant in PLANTS if given.plant == "all" else [given.plant]:
            found = find(plant, given.first, progress)
            missed += found is None
            table.add_row(plant.replace("-", " "), *(("not found", "") if found is None else (str(found[0]), found[1])))
        console.print(table)
        return int(missed > 0)
    started = time.monotonic()
    seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.seeds)
    outcomes = prove(seeds, given.jobs, progress)
    show(outcomes, time.monotonic() - started, console)
    return int(any(outcome.wrong for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
