"""`python -m bench`: measure the rows, show one table, write JSON.

It never judges: an aim that is missed is shown as missed, and the exit status is 1 only when a row could not be
measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console

from bench import database, machine
from bench.report import Results, Section, print_table, write_json
from bench.rounds import FULL_PLAN, QUICK_PLAN, Plan
from bench.rows.bare_route import bare_route
from bench.rows.files import files
from bench.rows.idle import idle
from bench.rows.list_runs import list_runs
from bench.rows.memory import memory
from bench.rows.postgres import postgres
from bench.rows.run_full import run_full
from bench.rows.run_now import durability, run_now
from bench.rows.sandbox import sandbox
from bench.rows.slow_disk import slow_disk
from bench.rows.streams import streams
from bench.rows.usual import usual_way
from bench.stage import Stage

RESULTS = Path(__file__).resolve().parent / "results" / "latest.json"


WIDTH_OF_A_FILE = 170  # when the table does not go to a terminal


class Row(msgspec.Struct, frozen=True):
    """A row by its number, its name, and the function that measures it."""

    number: int
    name: str
    measure: Callable[[Stage], Section]


ROWS = (
    Row(1, "run-now", run_now),
    Row(2, "slow-disk", slow_disk),
    Row(3, "durability", durability),
    Row(4, "postgres", postgres),
    Row(5, "usual", usual_way),
    Row(6, "bare-route", bare_route),
    Row(7, "lists", list_runs),
    Row(8, "idle", idle),
    Row(9, "memory", memory),
    Row(10, "run-full", run_full),
    Row(11, "files", files),
    Row(12, "streams", streams),
    Row(13, "sandbox", sandbox),
)


def chosen(words: str) -> list[Row]:
    """The rows that `--only` names, by number or name, in the order of the table."""
    wanted = {word.strip() for word in words.split(",") if word.strip()}
    unknown = wanted - {str(row.number) for row in ROWS} - {row.name for row in ROWS}
    if unknown:
        names = ", ".join(f"{row.number} or {row.name}" for row in ROWS)
        raise SystemExit(f"--only: {', '.join(sorted(unknown))} is not a row; there are {names}")
    return [row for row in ROWS if not wanted or str(row.number) in wanted or row.name in wanted]


def measure(row: Row, plan: Plan) -> Section:
    """One row in a scratch folder of its own; a row that fails says so and does not end the others."""
    began = time.monotonic()

    def tell(progress: str) -> None:
        print(
            f"{time.monotonic() - began:6.1f} s  row {row.number} {row.name}: {progress}", file=sys.stderr, flush=True
        )

    tell("begins")
    # A folder that another user's PostgreSQL worked in may resist removal; the figures are worth more than that.
    with tempfile.TemporaryDirectory(prefix="rota-bench-", ignore_cleanup_errors=True) as scratch:
        try:
            return row.measure(Stage(plan, Path(scratch), tell))
        except Exception as error:
            tell(f"failed: {error}")
            return Section(row.number, row.name, row.name, "", [], failure=f"{type(error).__name__}: {error}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure rota, side by side with what it is held against."
    )
    parser.add_argument("--quick", action="store_true", help="shorter rounds and fewer of them: to see that it works")
    parser.add_argument("--only", default="", metavar="ROW,...", help="rows by number or name; default: all")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="default: bench/results/latest.json")
    return parser.parse_args()


def main() -> int:
    """Run what was asked for; 1 if a row could not be measured."""
    options = arguments()
    rows = chosen(options.only)
    plan = QUICK_PLAN if options.quick else FULL_PLAN
    facts = machine.look(database.version())
    results = Results(options.quick, facts, [measure(row, plan) for row in rows])
    write_json(results, options.json)
    console = Console()
    print_table(results, console if console.is_terminal else Console(width=WIDTH_OF_A_FILE))
    return 1 if any(section.failure for section in results.sections) else 0


if __name__ == "__main__":
    sys.exit(main())
