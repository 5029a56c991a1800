"""Row 2: run-now on a slow disk, against appending to a file and flushing it on the same disk.

The disk is made slow by a small shared library, compiled here and preloaded, that waits after every fsync and
fdatasync; the bare loop runs under the same library. Without a C compiler, or elsewhere than on Linux, the row says
so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from bench.report import AtLeast, Line, Section, arm, figure, rate
from bench.rounds import Sample, callers_of, ratio
from bench.rows.run_now import one_round
from bench.servers import ROOT, environment, rota
from bench.stage import Stage
from bench.workload import deploy, run_requests

DELAYS_MS = (1, 5)
CALLERS = (1, 16, 64)
ONE_CALLER = AtLeast(0.6)
MANY_CALLERS = AtLeast(4.0)  # of 64 callers, at 1 ms
SOURCE = Path(__file__).resolve().parent.parent / "slow_fsync.c"


class SlowDiskError(Exception):
    """This machine cannot make its disk feel slow; the message says what is missing."""


def compile_shim(directory: Path) -> Path:
    """Compile the library that waits; raises SlowDiskError with the reason."""
    if sys.platform != "linux":
        raise SlowDiskError("the slow disk needs LD_PRELOAD, which only Linux has")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SlowDiskError("the slow disk needs a C compiler (cc), and there is none")
    library = directory / "slow_fsync.so"
    made = subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], capture_output=True, text=True
    )
    if made.returncode:
        raise SlowDiskError(f"the C compiler refused slow_fsync.c:\n{made.stderr}")
    return library


def append_rate(file: Path, seconds: float, shim: dict[str, str]) -> float:
    """Appends and flushes per second of the bare loop, under the shim."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.append", str(file), str(seconds)],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=environment(shim),
    )
    seen = json.loads(done.stdout)
    file.unlink()
    return seen["count"] / seen["seconds"]


def lines_of_delay(stage: Stage, library: Path, delay_ms: int) -> list[Line]:
    """Measure one delay: the bare loop and all numbers of callers in turn."""
    shim = {"LD_PRELOAD": str(library), "BENCH_FSYNC_DELAY_US": str(delay_ms * 1000)}
    floor: list[float] = []

    with rota(stage.scratch / f"rota-{delay_ms}", extra=shim) as server:
        requests = run_requests(server, deploy(server))
        seen: dict[int, list[Sample]] = {callers: [] for callers in CALLERS}
        for number in range(stage.plan.rounds):
            stage.tell(f"+{delay_ms} ms, round {number + 1} of {stage.plan.rounds}")
            floor.append(append_rate(stage.scratch / "append", stage.plan.seconds, shim))
            for callers in CALLERS:
                seen[callers].append(one_round(server, requests, callers, stage))
    lines = [rate(f"+{delay_ms} ms: bare append + fdatasync", floor)]
    lines += [arm(f"+{delay_ms} ms: {callers_of(callers)}", samples) for callers, samples in seen.items()]
    for callers, aim in ((1, ONE_CALLER), (64, MANY_CALLERS if delay_ms == 1 else None)):
        value = ratio([sample.rate for sample in seen[callers]], floor)
        lines.append(figure(f"+{delay_ms} ms: runs of {callers_of(callers)} / bare flushes", value, "x", aim))
    return lines


def slow_disk(stage: Stage) -> Section:
    """Row 2: 1, 16 and 64 callers with 1 ms and with 5 ms added to every flush; synchronous=FULL."""
    title = "run-now on a slow disk, SQLite"
    durability = "WAL, synchronous=FULL; so much added to every fsync and fdatasync of both"
    try:
        library = compile_shim(stage.scratch)
    except SlowDiskError as reason:
        return Section(2, "slow-disk", title, durability, [], failure=str(reason))
    lines = [line for delay_ms in DELAYS_MS for line in lines_of_delay(stage, library, delay_ms)]
    return Section(2, "slow-disk", title, durability, lines)
