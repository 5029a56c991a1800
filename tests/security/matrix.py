"""Tenant isolation as a matrix: every route of the table against every way of asking for what is not one's own.

A cell is a pair of requests that differ in one thing: the first is about a thing that exists and is somebody else's (or is
shut to this credential), the second about one that does not exist at all. Their status must be the expected one, and status,
body, headers and the SQL that ran must be the same, so that nothing tells the two apart, not even how long it takes.
``python -m tests.security.matrix`` prints all cells.

New routes are met without being listed: paths, bodies and queries come from the route table, things from ``makers``.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from rota.base.clock import HandClock
from tests.api import Api
from tests.conftest import START
from tests.databases import fresh, postgres_server
from tests.security.cells import GUARDED, Cell, cells
from tests.security.makers import PREFIXES, ROUTES, noun_of
from tests.security.world import Ask, Outcome, World


def judge(world: World, cell: Cell) -> Cell:
    """Make the cell's requests; what is wrong is in its ``problems``."""
    found = world.outcome(cell.probe)
    cell.status = found.status
    if cell.expected is not None and found.status != cell.expected:
        cell.problems.append(f"status {found.status} instead of {cell.expected}: {found.body}")
    if cell.reference is not None:
        known = world.outcome(cell.reference)
        cell.problems += differences(found, known)
        if cell.follow and found.status == known.status == 200:
            cell.problems += follow(world, cell, found, known)
    return cell


def differences(found: Outcome, known: Outcome) -> Iterator[str]:
    """What tells two outcomes apart."""
    if found.status != known.status:
        yield f"status {found.status} beside {known.status}: {found.body} beside {known.body}"
    elif found.body != known.body:
        yield f"body {found.body} beside {known.body}"
    if found.headers != known.headers:
        yield f"headers {set(found.headers) ^ set(known.headers)}"
    if found.statements != known.statements:
        yield f"SQL {[each for each in found.statements if each not in known.statements]} beside {[each for each in known.statements if each not in found.statements]}, {len(found.statements)} and {len(known.statements)} statements"


def follow(world: World, cell: Cell, found: Outcome, known: Outcome) -> Iterator[str]:
    """What tells the things apart that two requests made or changed: all that can be read of them, and what runs of them."""
    route = cell.probe.route
    made = [json.loads(outcome.raw).get("id") for outcome in (found, known)]
    for below in ROUTES:
        if not below.parameters or not (below.method == "GET" or below.name.endswith(".run")):
            continue
        noun = noun_of(below.parameters[-1])
        create = PREFIXES[noun].rpartition("/")[0] == route.path and len(below.parameters) == len(route.parameters) + 1
        if not create and below.parameters != route.parameters:
            continue
        asks: list[Ask] = []
        for ask, thing in zip((cell.probe, cell.reference), made, strict=True):
            assert ask is not None
            params = ask.params | {below.parameters[-1]: thing} if create else ask.params
            asks.append(Ask(below, params, ask.headers, hide=ask.hide))
        outcomes = [world.outcome(ask) for ask in asks]
        yield from (f"then {below.name}: {each}" for each in differences(*outcomes))


@contextlib.contextmanager
def opened(folder: Path, url: str | None = None) -> Iterator[World]:
    """A world on SQLite in a folder, or on the database that ``url`` names."""
    with Api(url or f"sqlite:///{folder / 'rota.db'}", folder, HandClock(START)) as api:
        yield World(api)


def main() -> int:
    """Print the matrix; 0 if every cell is as it must be."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--route", help="only routes whose name begins so")
    arguments.add_argument("--all", action="store_true", help="print each cell, not the sums of a route's columns")
    arguments.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    given = arguments.parse_args()
    routes = [route for route in GUARDED if route.name.startswith(given.route or "")]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgres_server()) if given.database == "postgres" else None
        url = stack.enter_context(fresh(given.database, folder, server))
        world = stack.enter_context(opened(folder, url))
        console = Console(stderr=True)
        judged = [
            judge(world, cell) for route in track(routes, "Routes", console=console) for cell in cells(world, route)
        ]
    show(judged, each=given.all)
    return 1 if any(cell.problems for cell in judged) else 0


def show(judged: list[Cell], *, each: bool) -> None:
    """The table."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    if each:
        table = Table("route", "column", "detail", "status", "as expected")
        for cell in judged:
            table.add_row(cell.route, cell.column, cell.detail, str(cell.status), "no" if cell.problems else "yes")
    else:
        columns = list(dict.fromkeys(cell.column for cell in judged))
        table = Table("route", *columns, "cells")
        table.columns[0].no_wrap = True
        good = Counter((cell.route, cell.column) for cell in judged if not cell.problems)
        total = Counter((cell.route, cell.column) for cell in judged)
        for route in dict.fromkeys(cell.route for cell in judged):
            counts = [(good[route, column], total[route, column]) for column in columns]
            row = ["" if not n else str(n) if n == g else f"{g} of {n}" for g, n in counts]
            table.add_row(route, *row, str(sum(n for _, n in counts)))
    console.print(table)
    for cell in judged:
        for problem in cell.problems:
            console.print(f"{cell.route}, {cell.column}, {cell.detail}: {problem}", markup=False)
    right = sum(not cell.problems for cell in judged)
    console.print(f"{right:,} of {len(judged):,} cells as expected, {len({c.route for c in judged})} routes")


if __name__ == "__main__":
    sys.exit(main())
