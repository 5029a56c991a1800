"""``python -m tests.crash.prove --kills 500``: kill servers for as long as it is worth, and a table.

Every seed is a fresh database, killed ``--each`` times at the instants that the seed fixes, while the server fires
deployments or, with ``--of memories``, keeps notes. ``--copies`` adds copies of a busy SQLite database, opened as after a
power cut. The exit code is 1 if anything was lost, doubled or half made. A seed that failed is tried again with ``--first
SEED --kills EACH``.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.crash.notes import Notes
from tests.crash.power import Cuts, cuts
from tests.crash.rounds import House, Runs, Toll, Work, rounds
from tests.databases import fresh, postgres_server

COLUMNS = (
    "kills", "kills_in_start", "acknowledged", "repeated", "caught_up", "broken", "kept_unanswered",
    "lost", "doubled", "half_made",
)  # fmt: skip
WORK: dict[str, Callable[[House], Work]] = {"runs": Runs, "memories": Notes}
WIDTH = 150
"""Of tables that go into a file."""


def prove(
    kind: str, seeds: Sequence[int], kills: int, each: int, postgres: str | None, progress: Console, of: str
) -> list[Toll]:
    """So many kills on one database, seed by seed."""
    tolls: list[Toll] = []
    for number in seeds:
        left = kills - sum(toll.kills for toll in tolls)
        if left <= 0:
            break
        with tempfile.TemporaryDirectory(prefix="rota-crash-") as folder, fresh(kind, Path(folder), postgres) as url:
            toll = rounds(Path(folder), url, kind, number, min(each, left), WORK[of])
        tolls.append(toll)
        progress.print(f"{kind} seed {number}: " + ", ".join(f"{name} {getattr(toll, name):,}" for name in COLUMNS))
        for finding in toll.findings[:20]:
            progress.print(finding, markup=False, highlight=False, soft_wrap=True)
        if not toll.clean:
            progress.print(f"killed after {toll.instants} s (negative: before it listened)")
    return tolls


def cut(copies: int, each: int, first: int, progress: Console) -> Cuts:
    """So many copies of busy databases, a new one for each seed, because what is in them grows."""
    found = Cuts()
    while found.copies < copies:
        with tempfile.TemporaryDirectory(prefix="rota-power-") as folder:
            of_seed = cuts(Path(folder), first, min(each, copies - found.copies))
        found.add(of_seed)
        progress.print(
            f"power seed {first}: {of_seed.copies} copies, lost {of_seed.lost}, half made {of_seed.half_made}"
        )
        for finding in of_seed.findings[:20]:
            progress.print(finding, markup=False, highlight=False, soft_wrap=True)
        first += 1
    return found


def show(tolls: Sequence[Toll], power: Cuts | None, console: Console) -> None:
    """The tables."""
    table = Table("database", "seeds", *(name.replace("_", " ") for name in COLUMNS), "seconds")
    for kind in dict.fromkeys(toll.database for toll in tolls):
        of = [toll for toll in tolls if toll.database == kind]
        sums = (f"{sum(getattr(toll, name) for toll in of):,}" for name in COLUMNS)
        table.add_row(kind, f"{of[0].seed}-{of[-1].seed}", *sums, f"{sum(toll.seconds for toll in of):,.0f}")
    if tolls:
        console.print(table)
    if power is not None:
        copied = Table("copies", "torn", "runs in them", "lost", "half made")
        copied.add_row(*(f"{n:,}" for n in (power.copies, power.torn, power.runs, power.lost, power.half_made)))
        console.print(copied)


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.prove", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="kills on each database")
    parser.add_argument("--each", type=int, default=25, help="kills, or copies, for each seed")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--of", choices=list(WORK), default="runs", help="what the server does meanwhile")
    parser.add_argument("--copies", type=int, default=0, help="copies of a busy SQLite database")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    given = parser.parse_args()
    kinds = ["sqlite", "postgres"] if given.database == "both" else [given.database]
    progress = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    tolls: list[Toll] = []
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(postgres_server()) if "postgres" in kinds and given.kills else None
        for kind in kinds:
            seeds = range(given.first, given.first + given.kills)
            tolls += prove(kind, seeds, given.kills, given.each, postgres, progress, given.of)
    power = cut(given.copies, given.each, given.first, progress) if given.copies else None
    if given.json:
        found: dict[str, Any] = {"seeds": [toll.show() for toll in tolls], "power": asdict(power) if power else None}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        show(tolls, power, Console(width=None if sys.stdout.isatty() else WIDTH))
    return int(any(not toll.clean for toll in tolls) or bool(power and power.findings))


if __name__ == "__main__":
    sys.exit(main())
