"""How things are measured side by side: short rounds in turn, the median over rounds, and the spread beside it.

All arms of a row are up at the same time and only one of them is driven at any moment, each round in the opposite order
of the round before; what the machine does meanwhile then falls on all arms alike.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from statistics import median
from typing import TypeVar

import msgspec

from bench.gauge import Gauge
from bench.load import Job, Outcome
from bench.servers import ROOT, Server, environment

Value = TypeVar("Value")


class Plan(msgspec.Struct, frozen=True):
    """How long to look: rounds per arm, seconds per round, and whether this is the quick form."""

    rounds: int
    seconds: float
    quick: bool


FULL_PLAN = Plan(rounds=7, seconds=4.0, quick=False)
QUICK_PLAN = Plan(rounds=3, seconds=1.0, quick=True)


class Spread(msgspec.Struct, frozen=True):
    """The median of some rounds, and the lowest and highest of them."""

    median: float
    low: float
    high: float


class Sample(msgspec.Struct, frozen=True):
    """One round of one arm. `rate` is per second, `p50` and `p99` are milliseconds, `cpu` is milliseconds per operation
    by process name, `client_cpu` likewise for the load generator."""

    rate: float
    p50: float
    p99: float
    cpu: dict[str, float]
    client_cpu: float


class LoadError(Exception):
    """The server refused or answered wrongly while it was driven; the figure would mean nothing."""


def spread(values: list[float]) -> Spread:
    """Sum up rounds."""
    return Spread(median(values), min(values), max(values))


def ratio(above: list[float], below: list[float]) -> Spread:
    """The ratio round by round (both were driven in the same round), summed up."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def drive(job: Job, gauges: Mapping[str, Gauge]) -> Sample:
    """One round: start a load generator, let it warm up, read the CPU clocks around its measured stretch."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment({}),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        process.stdin.flush()
        if process.stdout.readline() != b"ready\n":
            raise LoadError(f"the load generator ended with {process.wait(10)} before it was ready")
        before = {name: gauge.cpu() for name, gauge in gauges.items()}
        process.stdin.write(b"go\n")
        process.stdin.flush()
        line = process.stdout.readline()
        after = {name: gauge.cpu() for name, gauge in gauges.items()}
        if not line:
            raise LoadError(f"the load generator ended with {process.wait(10)} before it was done")
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    seen = msgspec.json.decode(line, type=Outcome)
    if seen.refused:
        raise LoadError(f"{seen.refused} of {seen.requests} responses were refusals, the first:\n{seen.first_refused}")
    return Sample(
        rate=seen.requests / seen.seconds,
        p50=seen.p50,
        p99=seen.p99,
        cpu={name: (after[name] - before[name]) / seen.requests * 1e3 for name in gauges},
        client_cpu=seen.client_cpu / seen.requests * 1e3,
    )


def job(server: Server, requests: list[bytes], connections: int, plan: Plan, expect: str = "") -> Job:
    """The job of one round."""
    return Job(port=server.port, connections=connections, requests=requests, seconds=plan.seconds, expect=expect)


def in_turn(
    arms: Mapping[str, Callable[[], Value]], rounds: int, tell: Callable[[str], None]
) -> dict[str, list[Value]]:
    """Drive every arm once a round, back and forth; what each of them gave, round by round."""
    seen: dict[str, list[Value]] = {name: [] for name in arms}
    order = list(arms)
    for number in range(rounds):
        for name in order if number % 2 == 0 else reversed(order):
            tell(f"round {number + 1} of {rounds}: {name}")
            seen[name].append(arms[name]())
    return seen


def callers_of(count: int) -> str:
    """`1 caller`, `16 callers`."""
    return f"{count} caller" + ("" if count == 1 else "s")
