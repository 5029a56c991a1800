"""``python -m tests.vendor.prove``: the vendor's own suites, at each version, against real servers, and a table.

The exit code is 1 if a test failed, was skipped by its authors, or no longer needs its exception. ``--json`` prints every
test's outcome instead.
"""

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.vendor.families import FAMILIES
from tests.vendor.run import Result, run
from tests.vendor.suites import VERSIONS

WIDTH = 150
"""Of tables that go into a file."""

_SHOWN = ("passed", "excepted", "mocked", "not yet", "skipped", "stale", "failed")


def show(version: str, results: Sequence[Result], console: Console) -> None:
    """A version's tables: outcomes by family, exceptions by reason, and what went wrong, if anything did."""
    table = Table("family", "collected", "asked", *_SHOWN, title=f"anthropic {version}")
    for family in [*FAMILIES, "all"]:
        of = [result for result in results if family in (result.family, "all")]
        if of:
            counts = Counter(result.outcome for result in of)
            asked = sum(result.asked for result in of)
            table.add_row(family, str(len(of)), str(asked), *(str(counts[name]) for name in _SHOWN))
    console.print(table)
    reasons = Counter(reason for result in results if result.outcome == "excepted" for reason in result.reasons)
    told = Table("tests excepted for", "count")
    for reason, count in reasons.most_common():
        told.add_row(reason, str(count))
    console.print(told)
    for (outcome, test, why), count in sorted(Counter(map(_told, filter(is_trouble, results))).items()):
        console.print(f"{outcome} {count} times: {test}\n    {why}", markup=False, highlight=False, soft_wrap=True)


def _told(result: Result) -> tuple[str, str, str]:
    """What a trouble is, without what only tells its occurrences apart."""
    test = re.sub(r"::\w+(::\w+)(\[.*)?$", r"\1", result.test)
    why = re.sub(r", 'request_id': 'req_\w+'", "", result.why)
    return result.outcome, test, " ".join([*why.split("\n")[:3], *(f"({reason})" for reason in result.reasons)])


def is_trouble(result: Result) -> bool:
    """Whether an outcome needs somebody's attention."""
    return result.outcome in ("failed", "stale", "skipped")


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.vendor.prove", description=__doc__)
    parser.add_argument("--versions", nargs="+", default=VERSIONS, help=f"default: {' '.join(VERSIONS)}")
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--servers", type=int, default=2, help="servers, each with a test process of its own")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    found: dict[str, list[Result]] = {}
    for version in given.versions:
        with tempfile.TemporaryDirectory(prefix="rota-suite-") as folder:
            found[version] = run(version, given.families, Path(folder), given.servers)
        if not given.json:
            show(version, found[version], console)
    if given.json:
        told = {version: [result._asdict() for result in results] for version, results in found.items()}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return int(any(is_trouble(result) for results in found.values() for result in results))


if __name__ == "__main__":
    sys.exit(main())
