"""``python -m tests.scheduler.prove_crash --kills 1000``: kill servers that fire schedules, and a table.

Every seed is a fresh database with a hundred deployments that are due every minute of a clock that runs sixty times as
fast: one server on SQLite, three on PostgreSQL, of which one to all are killed, stopped, or made to kill themselves in the middle of a
batch every second or so. The exit code is 1 if an occurrence was lost, doubled, early or half made. A seed that failed is
tried again with ``--first SEED --kills EACH --database …``.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.databases import fresh, postgres_server
from tests.scheduler.crashes import Toll, rounds
from tests.scheduler.sim.plants import PLANTS

COLUMNS = ("kills", "at_places", "stops", "occurrences", "runs", "missed", "lost", "doubled", "early", "half_made")
WIDTH = 150


def prove(
    kind: str, first: int, kills: int, each: int, postgres: str | None, progress: Console, plant: str | None
) -> list[Toll]:
    """So many kills on one database, seed by seed."""
    tolls: list[Toll] = []
    while (done := sum(toll.kills for toll in tolls)) < kills:
        number = first + len(tolls)
        with tempfile.TemporaryDirectory(prefix="rota-crash-") as folder, fresh(kind, Path(folder), postgres) as url:
            servers = 1 if kind == "sqlite" else 3
            toll = rounds(Path(folder), url, kind, number, min(each, kills - done), servers=servers, plant=plant)
        tolls.append(toll)
        progress.print(f"{kind} seed {number}: " + ", ".join(f"{name} {getattr(toll, name):,}" for name in COLUMNS))
        for finding in toll.findings[:20]:
            progress.print(finding, markup=False, highlight=False, soft_wrap=True)
    return tolls


def show(tolls: Sequence[Toll], console: Console) -> None:
    """The table."""
    table = Table("database", "servers", "seeds", *(name.replace("_", " ") for name in COLUMNS), "seconds")
    for kind in dict.fromkeys(toll.database for toll in tolls):
        of = [toll for toll in tolls if toll.database == kind]
        sums = (f"{sum(getattr(toll, name) for toll in of):,}" for name in COLUMNS)
        seconds = sum(toll.seconds for toll in of)
        table.add_row(kind, str(of[0].servers), f"{of[0].seed}-{of[-1].seed}", *sums, f"{seconds:,.0f}")
    console.print(table)


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.scheduler.prove_crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="kills on each database")
    parser.add_argument("--each", type=int, default=25, help="kills for each seed")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--plant", choices=[*PLANTS], help="a bug, to see that it is found")
    given = parser.parse_args()
    kinds = ["sqlite", "postgres"] if given.database == "both" else [given.database]
    progress = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    tolls: list[Toll] = []
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(postgres_server()) if "postgres" in kinds else None
        for kind in kinds:
            tolls += prove(kind, given.first, given.kills, given.each, postgres, progress, given.plant)
    show(tolls, Console(width=None if sys.stdout.isatty() else WIDTH))
    return int(any(toll.findings for toll in tolls))


if __name__ == "__main__":
    sys.exit(main())
