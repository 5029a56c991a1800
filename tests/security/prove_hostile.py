"""Hostile requests against a real server: ``python -m tests.security.prove_hostile --requests 100000``.

A tenth comes from Schemathesis on our own OpenAPI document, a tenth from Hypothesis on the Structs, the rest are seeded
mutants of good requests; every kind goes to things that exist, with ids learned from the answers. Then come the bytes that
are not quite HTTP, and bodies that are dear to read. The server must never answer with 5xx, write a traceback or an error to its log, answer an error
outside of the envelope or without its request id, or a success that does not fit its schema. Prints a table, and exits with 1
if anything is wrong. Bounded, on the loopback interface, in a temporary folder.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.security.hostile.campaign import Campaign, Findings


def main() -> int:
    """Run it; 0 if nothing is wrong."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--requests", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=2026)
    arguments.add_argument("--clients", type=int, default=4, help="how many send mutants at once")
    arguments.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), given.requests, given.seed, given.database, given.clients)
        findings = campaign.run(Console(stderr=True))
    show(findings)
    return 1 if findings.wrong else 0


def show(findings: Findings) -> None:
    """The table."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table(title="Hostile requests", show_header=False)
    for name, value in findings.figures().items():
        table.add_row(name, value)
    console.print(table)
    alike = Counter(line[:40] for line in findings.wrong)
    shown: set[str] = set()
    for line in findings.wrong:  # the first of each kind
        if line[:40] not in shown:
            shown.add(line[:40])
            console.print(f"{alike[line[:40]]:,} × {line}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
