"""``python -m tests.crash.prove_zombies --rounds 20``: freeze workers in the middle of turns, wake them when it is over, and a table.

So many rounds at each point, and as many at random moments, on PostgreSQL. ``--patient N`` adds N rounds at each point in which the
hold lapses by itself, which takes half a minute each. The exit code is 1 if a zombie wrote anything, or anything ran twice.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.crash.prove import WIDTH
from tests.crash.zombies import ANYWHERE, POINTS, Toll, haunt
from tests.databases import fresh, postgres_server

COLUMNS = ("rounds", "missed", "asked_again", "cut_short", "refused", "changed", "torn", "twice")


def show(tolls: list[tuple[str, Toll]], console: Console) -> None:
    """The table."""
    table = Table("frozen at", "hold", *(name.replace("_", " ") for name in COLUMNS), "seconds")
    for hold, toll in tolls:
        table.add_row(toll.point, hold, *(f"{getattr(toll, name):,}" for name in COLUMNS), f"{toll.seconds:,.0f}")
    console.print(table)


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.prove_zombies", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds at each point, and at random moments")
    parser.add_argument(
        "--patient", type=int, default=0, help="rounds at each point in which the hold lapses by itself"
    )
    parser.add_argument("--seed", type=int, default=1, help="fixes the random moments")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    tolls: list[tuple[str, Toll]] = []
    with postgres_server() as postgres:
        for hold, rounds, points in (
            ("turned", given.rounds, (*POINTS, ANYWHERE)),
            ("waited", given.patient, POINTS),
        ):
            with tempfile.TemporaryDirectory(prefix="rota-zombies-") as name:
                folder = Path(name)
                if rounds:
                    with fresh("postgres", folder, postgres) as url:
                        wanted = dict.fromkeys(points, rounds)
                        found = haunt(folder, url, wanted, seed=given.seed, patient=hold == "waited")
                    tolls += [(hold, toll) for toll in found]
    findings = [finding for _, toll in tolls for finding in toll.findings]
    for finding in findings[:20]:
        print(finding, file=sys.stderr)
    if given.json:
        sys.stdout.write(json.dumps([{"hold": hold, **toll.show()} for hold, toll in tolls], indent=2) + "\n")
    else:
        show(tolls, Console(width=None if sys.stdout.isatty() else WIDTH))
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
