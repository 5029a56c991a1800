"""The long proof of ``rota.base.cron``, for before a release: ``python -m tests.base.prove_cron --cases 100000``.

It compares with the exhaustive oracle: every occurrence around every clock change of every zone from 2024 to 2030, for 20
expressions; and the next occurrence for random triples of expression, zone and instant from 1970 to 2037, a third of them
within six hours of a clock change. It then times the check of 10,000 hostile texts. Prints a table (or JSON) and
exits with 1 if anything differs. Takes some minutes, most of them for asking each distinct zone for the time of each hour.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from importlib import resources
from random import Random

from rich.console import Console
from rich.progress import track
from rich.table import Table

from rota.base.cron import HORIZON, CronError, check, next_after, parse, zone
from tests.base.cron_oracle import DAY, MINUTE_US, Fields, MinuteBits, instant, random_expression, shown
from tests.base.test_cron_grammar import hostile_texts

FIRST = instant("1970-01-01 00:00") // MINUTE_US
LAST_START = instant("2038-01-01 00:00") // MINUTE_US
LAST = LAST_START + HORIZON // MINUTE_US + DAY
EDGES = range(instant("2024-01-01 00:00") // MINUTE_US, instant("2031-01-01 00:00") // MINUTE_US)
AROUND = 2 * DAY

EDGE_EXPRESSIONS = [
    "* * * * *",
    "*/15 * * * *",
    "*/7 0-4 * * *",
    "0 */2 * * *",
    "20 */4 * * *",
    "0 0 * * *",
    "1 0 * * *",
    "30 0 * * *",
    "30 1 * * *",
    "45 1 * * *",
    "0 2 * * *",
    "30 2 * * *",
    "0 3 * * *",
    "59 23 * * *",
    "0,30 22-23 * * *",
    "0 7,9 * * *",
    "30 2 * * 0",
    "30 1 * * 5-7",
    "0 0 1 * *",
    "15 0-3 28-31 3,10 *",
]


@dataclass
class Tally:
    """What was compared and what differed."""

    zones: int = 0
    distinct_clocks: int = 0
    clock_changes: int = 0
    edge_cases: int = 0
    edge_occurrences: int = 0
    random_cases: int = 0
    random_without_occurrence: int = 0
    mean_microseconds: float = 0.0
    hostile_texts: int = 0
    hostile_slowest_milliseconds: float = 0.0
    seconds: float = 0.0
    divergences: list[dict[str, object]] = field(default_factory=list[dict[str, object]])


def main() -> int:
    """Run the proof; 0 if nothing differs."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cases", type=int, default=100_000, help="how many random triples")
    arguments.add_argument("--seed", type=int, default=2026)
    arguments.add_argument("--zones", type=int, default=None, help="only so many zones, for a quick look")
    arguments.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = arguments.parse_args()

    began = time.perf_counter()
    random, tally = Random(given.seed), Tally()
    names = sorted(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())
    if given.zones is not None:
        names = sorted(random.sample(names, given.zones))
    alike: dict[bytes, list[str]] = {}
    for name in names:
        file = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
        alike.setdefault(file.read_bytes(), []).append(name)
    tally.zones, tally.distinct_clocks = len(names), len(alike)

    shares = _shares(given.cases, [len(group) for group in alike.values()])
    spent = 0.0
    work = list(zip(alike.values(), shares, strict=True))
    for group, cases in track(work, "Zones", console=Console(stderr=True), disable=given.json):
        clock = MinuteBits(zone(group[0]), FIRST, LAST)
        for name in group:
            _prove_edges(tally, name, clock)
        spent += _prove_triples(tally, group, clock, cases, random)
    tally.mean_microseconds = round(spent / max(tally.random_cases, 1) * 1e6, 2)
    _time_hostile_texts(tally, random)
    tally.seconds = round(time.perf_counter() - began, 1)

    if given.json:
        print(json.dumps(vars(tally), indent=2))
    else:
        Console().print(_table(tally))
    return 1 if tally.divergences else 0


def _shares(cases: int, weights: list[int]) -> list[int]:
    """Deal out the cases in proportion, to the last one."""
    total, dealt, shares, weight_so_far = sum(weights), 0, list[int](), 0
    for weight in weights:
        weight_so_far += weight
        shares.append(cases * weight_so_far // total - dealt)
        dealt += shares[-1]
    return shares


def _prove_edges(tally: Tally, name: str, clock: MinuteBits) -> None:
    place = zone(name)
    for change in clock.changes:
        if change not in EDGES:
            continue
        tally.clock_changes += 1
        after, until = (change - AROUND) * MINUTE_US, (change + AROUND) * MINUTE_US
        for expression in EDGE_EXPRESSIONS:
            parsed, found = parse(expression), list[int]()
            at: int | None = after
            while (at := next_after(parsed, place, at)) is not None and at <= until:
                found.append(at)
            expected = clock.between(Fields.of(expression), after, until)
            tally.edge_cases += 1
            tally.edge_occurrences += len(expected)
            if found != expected:
                wrong = sorted(set(found) ^ set(expected))
                tally.divergences.append({"expression": expression, "zone": name, "at": shown(wrong)[:10]})


def _prove_triples(tally: Tally, group: list[str], clock: MinuteBits, cases: int, random: Random) -> float:
    """Compare random cases; returns the seconds spent in the implementation."""
    spent, changes = 0.0, [change for change in clock.changes if change < LAST_START]
    for _ in range(cases):
        expression, name = random_expression(random), random.choice(group)
        minute = random.randrange(FIRST, LAST_START)
        if changes and random.random() < 1 / 3:
            minute = max(FIRST, random.choice(changes) + random.randint(-360, 360))
        after = minute * MINUTE_US + random.choice([0, 0, 1, random.randrange(MINUTE_US)])
        parsed, place = parse(expression), zone(name)
        began = time.perf_counter()
        found = next_after(parsed, place, after)
        spent += time.perf_counter() - began
        expected = clock.next_after(Fields.of(expression), after, HORIZON // MINUTE_US)
        tally.random_cases += 1
        tally.random_without_occurrence += expected is None
        if found != expected:
            answers = {"found": found, "expected": expected}
            tally.divergences.append({"expression": expression, "zone": name, "after": after, **answers})
    return spent


def _time_hostile_texts(tally: Tally, random: Random) -> None:
    for text in hostile_texts(random, 5_000):
        began = time.perf_counter()
        try:
            check(text, "America/New_York", LAST_START * MINUTE_US)
        except CronError as refused:
            refused.message.encode()
        elapsed = (time.perf_counter() - began) * 1000
        tally.hostile_texts += 1
        tally.hostile_slowest_milliseconds = max(tally.hostile_slowest_milliseconds, round(elapsed, 3))


def _table(tally: Tally) -> Table:
    table = Table(title="Cron against the exhaustive oracle", show_header=False)
    for key, value in vars(tally).items():
        if key != "divergences":
            table.add_row(key.replace("_", " "), f"{value:,}")
    table.add_row("divergences", f"{len(tally.divergences):,}", end_section=True)
    for divergence in tally.divergences[:20]:
        table.add_row("divergence", json.dumps(divergence))
    return table


if __name__ == "__main__":
    sys.exit(main())
