"""``python -m tests.model.prove --steps N --seeds M``: random histories for as long as it is worth, and a table.

Each seed is a house of its own, on each database, in which histories follow each other until N steps have been compared.
The exit code is 1 if the server and the model ever differed, or if many steps never met one of the outcomes that runs can
have here. A seed that failed fails again: ``--first SEED --seeds 1``.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from rich.console import Console
from rich.table import Table

from rota.base.clock import HandClock
from tests.api import Api
from tests.conftest import START
from tests.databases import fresh, postgres_server, relax
from tests.model.comparison import TALLY
from tests.model.machine import Machine

OUTCOMES = [
    "session",
    "organization_disabled_error",
    "workspace_archived_error",
    "agent_archived_error",
    "environment_not_found_error",
    "environment_archived_error",
    "self_hosted_resources_unsupported_error",
    "file_not_found_error",
    "session_resource_not_found_error",
    "mcp_egress_blocked_error",
    "session_creation_rejected_error",
]
"""What a run can come to as long as nothing unforeseen happens and no limiter is on."""
WIDTH = 120
"""Of tables that go into a file."""
ENOUGH = 20_000
"""Steps after which every outcome must have been met."""
HISTORY = settings(
    max_examples=20,
    stateful_step_count=60,
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)


def prove_seed(number: int, kind: str, steps: int, postgres: str | None) -> dict[str, Any]:
    """One seed on one database: what was done, and the first difference, if there was one."""
    TALLY.clear()
    started = time.monotonic()
    difference = None
    with tempfile.TemporaryDirectory(prefix="rota-model-") as folder, fresh(kind, Path(folder), postgres) as url:
        if kind == "postgres":
            relax(url)
        with Api(url, Path(folder), HandClock(START), sqlite_synchronous="NORMAL") as api:
            part = 0
            while TALLY["steps"] < steps and difference is None:
                histories = seed(number * 1_000_003 + part)(partial(Machine, api))
                part += 1
                try:
                    run_state_machine_as_test(histories, settings=HISTORY)
                except BaseException as exc:  # what hypothesis raises when it has found something is of many classes
                    if isinstance(exc, KeyboardInterrupt):
                        raise
                    notes = "\n".join(getattr(exc, "__notes__", []))
                    difference = f"{traceback.format_exc()}\n{notes}"
    return {"seed": number, "database": kind, "tally": dict(TALLY), "difference": difference} | {
        "seconds": round(time.monotonic() - started, 1)
    }


def show(rows: list[dict[str, Any]], total: Counter[str], console: Console) -> None:
    """The tables."""
    table = Table("database", "seeds", "histories", "steps", "requests", "runs", "differences", "seconds")
    for kind in dict.fromkeys(row["database"] for row in rows):
        of = [row for row in rows if row["database"] == kind]
        tally = sum((Counter(row["tally"]) for row in of), Counter[str]())
        table.add_row(
            kind,
            f"{of[0]['seed']}-{of[-1]['seed']} ({len(of)})",
            *(f"{tally[name]:,}" for name in ("histories", "steps", "requests")),
            f"{sum(tally[f'run {outcome}'] for outcome in OUTCOMES):,}",
            str(sum(row["difference"] is not None for row in of)),
            f"{sum(row['seconds'] for row in of):,.0f}",
        )
    console.print(table)
    outcomes = Table("runs came to", "times")
    for outcome in OUTCOMES:
        outcomes.add_row(outcome, f"{total[f'run {outcome}']:,}")
    console.print(outcomes)


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.prove", description=__doc__)
    parser.add_argument("--steps", type=int, default=5_000, help="steps for each seed and database")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    given = parser.parse_args()
    kinds = ["sqlite", "postgres"] if given.database == "both" else [given.database]
    progress = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    rows: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(postgres_server()) if "postgres" in kinds else None
        for kind in kinds:
            for number in range(given.first, given.first + given.seeds):
                rows.append(prove_seed(number, kind, given.steps, postgres))
                done = rows[-1]
                verdict = "differs" if done["difference"] else "as predicted"
                progress.print(
                    f"{kind} seed {number}: {done['tally'].get('steps', 0):,} steps, {verdict}, {done['seconds']} s"
                )
                if done["difference"]:
                    progress.print(done["difference"], markup=False, highlight=False, soft_wrap=True)
    total = sum((Counter(row["tally"]) for row in rows), Counter[str]())
    unmet = [outcome for outcome in OUTCOMES if not total[f"run {outcome}"]] if total["steps"] >= ENOUGH else []
    if given.json:
        sys.stdout.write(json.dumps({"seeds": rows, "total": total, "never met": unmet}, indent=2) + "\n")
    else:
        show(rows, total, Console(width=None if sys.stdout.isatty() else WIDTH))
    if unmet:
        progress.print(f"never met: {', '.join(unmet)}")
    return int(bool(unmet) or any(row["difference"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
