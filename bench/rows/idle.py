"""Row 8: what an idle server holds in memory, and how long it takes from its start to its first 200."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.gauge import Gauge
from bench.report import AtMost, Section, figure
from bench.rounds import Spread, spread
from bench.servers import ROOT, environment, free_port, rota_arguments, rota_settings, stop, wait_until_answers
from bench.stage import Stage

STARTS = 9
QUICK_STARTS = 4
SETTLE_SECONDS = 1.0
MEMORY_AIM = AtMost(90.0)
START_AIM = AtMost(1.0)


def start_once(directory: Path) -> tuple[float, float]:
    """Start a server on `directory` and stop it; seconds to the first 200 on /readyz, resident megabytes when idle."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    log = directory / "rota.log"
    with log.open("ab") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *rota_arguments(port, directory, None)],
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=environment(rota_settings()),
        )
    try:
        wait_until_answers(process, port, "/readyz", log, pause=0.002)
        seconds = time.perf_counter() - began
        time.sleep(SETTLE_SECONDS)
        return seconds, Gauge(process.pid).resident() / 2**20
    finally:
        stop(process)


def several(directories: list[Path], stage: Stage, what: str) -> tuple[Spread, Spread]:
    """Start on each of the folders; the seconds and the megabytes."""
    seen: list[tuple[float, float]] = []
    for number, directory in enumerate(directories):
        stage.tell(f"{what}, start {number + 1} of {len(directories)}")
        seen.append(start_once(directory))
    return spread([seconds for seconds, _ in seen]), spread([megabytes for _, megabytes in seen])


def idle(stage: Stage) -> Section:
    """Row 8: starts on an empty folder (all migrations) and on one that is in order; memory one second after."""
    starts = QUICK_STARTS if stage.plan.quick else STARTS
    start_once(stage.scratch / "warm")  # fills the bytecode and page caches
    first, _ = several([stage.scratch / f"new-{number}" for number in range(starts)], stage, "empty folder")
    again, memory = several([stage.scratch / "warm"] * starts, stage, "existing database")
    return Section(
        8,
        "idle",
        "an idle server",
        "SQLite, WAL, synchronous=FULL",
        [
            figure("resident memory, one second after the first 200", memory, "MB", MEMORY_AIM),
            figure("start to first 200 on /readyz, existing database", again, "s", START_AIM),
            figure("start to first 200 on /readyz, empty folder", first, "s", START_AIM),
        ],
    )
