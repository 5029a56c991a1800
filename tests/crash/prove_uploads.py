"""``python -m tests.crash.prove_uploads --kills 200``: kill servers in the middle of uploads, and a table.

Every seed is a fresh database and a fresh folder. The exit code is 1 if anything was lost, or left and not collected.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.crash.uploads import Toll, rounds
from tests.databases import fresh, postgres_server

COLUMNS = (
    "kills", "uploaded", "deleted", "unanswered", "begun", "collected", "lost", "without_bytes", "not_collected",
)  # fmt: skip
WIDTH = 150


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.prove_uploads", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills on each database")
    parser.add_argument("--each", type=int, default=25, help="kills for each seed")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    kinds = ["sqlite", "postgres"] if given.database == "both" else [given.database]
    progress = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    tolls: list[Toll] = []
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(postgres_server()) if "postgres" in kinds else None
        for kind in kinds:
            for seed in range(given.first, given.first + given.kills):
                left = given.kills - sum(toll.kills for toll in tolls if toll.database == kind)
                if left <= 0:
                    break
                with (
                    tempfile.TemporaryDirectory(prefix="rota-uploads-") as folder,
                    fresh(kind, Path(folder), postgres) as url,
                ):
                    toll = rounds(Path(folder), url, kind, seed, min(given.each, left))
                tolls.append(toll)
                progress.print(
                    f"{kind} seed {seed}: " + ", ".join(f"{name} {getattr(toll, name):,}" for name in COLUMNS)
                )
                for finding in toll.findings[:20]:
                    progress.print(finding, markup=False, highlight=False, soft_wrap=True)
    if given.json:
        sys.stdout.write(json.dumps([toll.show() for toll in tolls], indent=2) + "\n")
    else:
        table = Table("database", "seeds", *(name.replace("_", " ") for name in COLUMNS), "seconds")
        for kind in kinds:
            of = [toll for toll in tolls if toll.database == kind]
            sums = (f"{sum(getattr(toll, name) for toll in of):,}" for name in COLUMNS)
            table.add_row(kind, f"{of[0].seed}-{of[-1].seed}", *sums, f"{sum(toll.seconds for toll in of):,.0f}")
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
    return int(any(not toll.clean for toll in tolls))


if __name__ == "__main__":
    sys.exit(main())
