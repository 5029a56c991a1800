"""Whether the time of a refusal tells anything: ``python -m tests.security.prove_timing --pairs 10000``.

Pairs of requests to the application in this process, in random order within each pair, so that whatever else the machine does
meets both alike. First wrong keys: one that differs from a good one in the first character of its secret, and one that
differs in the last; checksum and locator are right in both, so that only the comparison can tell them apart. Then each GET
about one thing: another workspace's, and one that does not exist. The difference of a pair, with the slowest twentieth cut
down to its edge, is judged by Student's t. For keys it must be below 4. For ids it need not: that a row of another workspace
was found and left, in the index of a table, takes the database a few tenths of a microsecond, which enough pairs always bring
to light; a difference tells something if it is beyond chance (t) and more than 5 µs, a hundredth of what any network adds.
The command exits with 1 if any does. Not part of the tests: a busy machine is enough to fail it.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from rota.http.route import Route
from rota.resources.workspaces import keys
from tests.security.cells import makeable
from tests.security.makers import ROUTES, fill_path
from tests.security.matrix import opened
from tests.security.world import World, header, nowhere

BAR = 4.0
MICROSECONDS = 5.0
KEYS = "a wrong key, first or last character"


class Clocked:
    """Asks the application and tells how long it took, in microseconds."""

    def __init__(self, world: World) -> None:
        self._app = world.api.house.app

    async def ask(self, method: str, path: str, headers: list[tuple[bytes, bytes]], expected: int) -> float:
        """One request, which must have this status."""
        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        began = time.perf_counter_ns()
        await self._app(scope, receive, send)
        elapsed = time.perf_counter_ns() - began
        assert statuses == [expected], (path, statuses)
        return elapsed / 1000


def t_of(first: list[float], second: list[float]) -> tuple[float, float]:
    """Student's t of the paired differences, and their mean; what is slower than nineteen of twenty counts as those do."""
    edge = sorted([*first, *second])[len(first + second) * 19 // 20]
    differences = [min(a, edge) - min(b, edge) for a, b in zip(first, second, strict=True)]
    spread = stdev(differences)
    mean = fmean(differences)
    return (mean / (spread / math.sqrt(len(differences))) if spread else 0.0), mean


def wrong_keys(world: World) -> tuple[Callable[[], str], Callable[[], str]]:
    """Makers of keys that are wrong in the first and in the last character of their secret, all else being right."""
    owner = world.owner
    good = world.api.write(lambda tx: keys.create(tx, owner.organization_id, workspace_id=owner.workspace_id)).key
    text, _, _ = good.rpartition("-")
    head, _, secret = text.rpartition("-")
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    random = Random(1)

    def other(letter: str) -> str:
        return random.choice(letters.replace(letter, ""))

    def finished(spoilt: str) -> str:
        return f"{head}-{spoilt}-{keys._checksum(f'{head}-{spoilt}')}"

    return lambda: finished(other(secret[0]) + secret[1:]), lambda: finished(secret[:-1] + other(secret[-1]))


async def _compare(pairs: int, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[float, float, float]:
    random, times = Random(2), ([], [])
    for _ in range(min(500, pairs)):
        await first()
        await second()
    for _ in range(pairs):
        order = [(first, times[0]), (second, times[1])]
        random.shuffle(order)
        for ask, into in order:
            into.append(await ask())
    t, mean = t_of(*times)
    return t, mean, fmean(times[0])


def main() -> int:
    """Run it; 0 if no refusal tells anything."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pairs", type=int, default=10_000, help="pairs of wrong keys")
    arguments.add_argument("--ids", type=int, default=2_000, help="pairs of ids for each route")
    given = arguments.parse_args()
    table = Table("refusal", "pairs", "mean µs", "difference µs", "t", title="Whether time tells anything")
    telling: list[str] = []
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as world:
        clocked = Clocked(world)

        def row(name: str, pairs: int, first: Callable[[], Any], second: Callable[[], Any]) -> None:
            t, mean, whole = world.api.run(_compare(pairs, first, second))
            if abs(t) >= BAR and (name == KEYS or abs(mean) >= MICROSECONDS):
                telling.append(name)
            table.add_row(name, f"{pairs:,}", f"{whole:.1f}", f"{mean:+.2f}", f"{t:+.2f}")

        makers = wrong_keys(world)

        def wrong(make: Callable[[], str]) -> Callable[[], Any]:
            return lambda: clocked.ask("GET", "/v1/agents", [(b"x-api-key", make().encode())], 401)

        row(KEYS, given.pairs, wrong(makers[0]), wrong(makers[1]))
        asked = [(n.encode(), v.encode()) for n, v in header(world.stranger.key)]

        def about(route: Route, path: str) -> Callable[[], Any]:
            return lambda: clocked.ask(route.method, path, asked, 404)

        one_thing = [
            route
            for route in ROUTES
            if route.method == "GET" and route.parameters and not route.paged
            if route.access == "workspace" and makeable(world, route)
        ]
        for route in track(one_thing, "Routes", console=Console(stderr=True)):
            there = world.owner.params_for(route)
            missing = {name: nowhere(value) for name, value in there.items()}
            row(
                route.name,
                given.ids,
                about(route, fill_path(route.path, there)),
                about(route, fill_path(route.path, missing)),
            )
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    print(
        f"telling: {', '.join(telling) or 'none'} (|t| of {BAR:.0f} or more; for ids, also {MICROSECONDS:.0f} µs or more)"
    )
    return 1 if telling else 0


if __name__ == "__main__":
    sys.exit(main())
