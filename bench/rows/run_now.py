"""Rows 1 and 3: run-now over HTTP on SQLite, by number of callers, and what full durability costs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from bench.report import AtLeast, AtMost, Line, Section, arm, figure
from bench.rounds import Sample, callers_of, drive, in_turn, job, ratio
from bench.servers import Server, rota
from bench.stage import Stage
from bench.workload import RUN_EXPECTED, deploy, run_requests

CPU_AIM = AtMost(0.30)
CALLERS = (1, 16, 64)


def one_round(server: Server, requests: list[bytes], callers: int, stage: Stage) -> Sample:
    """One round of run-now."""
    return drive(job(server, requests, callers, stage.plan, RUN_EXPECTED), {"server": server.gauge})


def run_now(stage: Stage) -> Section:
    """Row 1: 1, 16 and 64 callers, and 16 callers of the largest deployment; synchronous=FULL."""
    with rota(stage.scratch / "rota") as server:
        small = run_requests(server, deploy(server))
        large = run_requests(server, deploy(server, "large"))
        arms = {callers_of(count): partial(one_round, server, small, count, stage) for count in CALLERS}
        arms["16 callers, largest shapes"] = partial(one_round, server, large, 16, stage)
        seen = in_turn(arms, stage.plan.rounds, stage.tell)
    held = {"16 callers", "64 callers"}
    return Section(
        1,
        "run-now",
        "run-now over HTTP, SQLite",
        "WAL, synchronous=FULL: a 200 has been flushed to the disk",
        [arm(name, samples, cpu_aim=CPU_AIM if name in held else None) for name, samples in seen.items()],
        ["largest shapes: 50 initial events of 2,000 characters, a system prompt of 100,000 and 256 custom tools"],
    )


def durability(stage: Stage) -> Section:
    """Row 3: 32 callers with synchronous=FULL against 32 callers with NORMAL, two servers in turn."""
    with contextlib.ExitStack() as stack:
        arms: dict[str, Callable[[], Sample]] = {}
        for mode in ("FULL", "NORMAL"):
            server = stack.enter_context(rota(stage.scratch / mode.lower(), synchronous=mode))
            arms[mode] = partial(one_round, server, run_requests(server, deploy(server)), 32, stage)
        seen = in_turn(arms, stage.plan.rounds, stage.tell)
    rates = {mode: [sample.rate for sample in samples] for mode, samples in seen.items()}
    lines: list[Line] = [arm(f"32 callers, {mode}", samples) for mode, samples in seen.items()]
    lines.append(figure("FULL / NORMAL, runs per second", ratio(rates["FULL"], rates["NORMAL"]), "x", AtLeast(0.7)))
    return Section(
        3,
        "durability",
        "what full durability costs",
        "WAL; FULL flushes at every commit, NORMAL only at checkpoints (a power cut may lose the newest runs)",
        lines,
    )
