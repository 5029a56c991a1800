"""Row 5: run-now against the same endpoint written the usual way (`bench/usual`)."""

from __future__ import annotations

import contextlib
from functools import partial

from bench.report import AtLeast, Line, Section, arm, figure
from bench.rounds import in_turn, ratio
from bench.rows.run_now import one_round
from bench.servers import rota, usual
from bench.stage import Stage
from bench.workload import deploy, run_requests

CALLERS = 16
AIM = AtLeast(10.0)


def usual_way(stage: Stage) -> Section:
    """Row 5: 16 callers of either server in turn, the same agent, environment and deployments in both."""
    with contextlib.ExitStack() as stack:
        servers = {
            "rota": stack.enter_context(rota(stage.scratch / "rota")),
            "usual": stack.enter_context(usual(stage.scratch / "usual")),
        }
        arms = {
            name: partial(one_round, server, run_requests(server, deploy(server)), CALLERS, stage)
            for name, server in servers.items()
        }
        seen = in_turn(arms, stage.plan.rounds, stage.tell)
    lines: list[Line] = [arm(f"{CALLERS} callers, {name}", samples) for name, samples in seen.items()]
    rates = {name: [sample.rate for sample in samples] for name, samples in seen.items()}
    cpu = {name: [sample.cpu["server"] for sample in samples] for name, samples in seen.items()}
    lines.append(figure("rota / usual, runs per second", ratio(rates["rota"], rates["usual"]), "x", AIM))
    lines.append(figure("usual / rota, CPU per run", ratio(cpu["usual"], cpu["rota"]), "x", AIM))
    return Section(
        5,
        "usual",
        "the same endpoint written the usual way",
        "both: SQLite, WAL, synchronous=FULL, one process",
        lines,
        ["usual: FastAPI, SQLAlchemy asyncio on aiosqlite, one statement after another; uvicorn, uvloop, httptools"],
    )
