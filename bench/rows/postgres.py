"""Row 4: run-now over HTTP on PostgreSQL, against pgbench playing the same SQL with the same batches again."""

from __future__ import annotations

from bench.database import Cluster, cluster
from bench.replay import CaptureError, Played, Replay, play, prepare
from bench.report import AtLeast, AtMost, Line, Section, arm, figure
from bench.rounds import Plan, Sample, drive, job, ratio, spread
from bench.servers import Server, rota
from bench.stage import Stage
from bench.workload import RUN_EXPECTED, deploy, run_requests

CALLERS = (16, 64)
CPU_AIM = AtMost(0.5)
RATE_AIM = AtLeast(0.3)
CAPTURE = Plan(rounds=1, seconds=1.0, quick=True)


def one_round(server: Server, database: Cluster, requests: list[bytes], callers: int, plan: Plan) -> Sample:
    """One round of run-now, with the CPU of both sides."""
    gauges = {"server": server.gauge, "database": database.gauge}
    return drive(job(server, requests, callers, plan, RUN_EXPECTED), gauges)


class Arm:
    """One number of callers and one size of deployment: its own capture, its rounds, and the rounds of its replay."""

    def __init__(self, what: str, callers: int, requests: list[bytes], *, held: bool) -> None:
        self.what = what
        self.callers = callers
        self.requests = requests
        self.held = held
        self.replay: Replay | None = None
        self.reason = ""
        self.seen: list[Sample] = []
        self.played: list[Played] = []

    def capture(self, server: Server, database: Cluster, stage: Stage) -> None:
        """Take the server's transactions from the database's log while it is under this load."""
        with database.captured() as entries:
            one_round(server, database, self.requests, self.callers, CAPTURE)
        try:
            self.replay = prepare(database, entries, stage.scratch / "scripts" / self.what.replace(" ", "-"))
        except CaptureError as reason:
            self.reason = str(reason)

    def drive(self, server: Server, database: Cluster, stage: Stage, turn: int) -> None:
        """One round of the server and one of the replay."""
        self.seen.append(one_round(server, database, self.requests, self.callers, stage.plan))
        if self.replay is None or self.reason:
            return
        try:
            self.played.append(play(database, self.replay, stage.plan.seconds, turn))
        except CaptureError as reason:
            self.reason = str(reason)

    def lines(self) -> list[Line]:
        """The lines of this arm."""
        lines = [arm(self.what, self.seen, cpu_aim=CPU_AIM if self.held else None)]
        if self.replay is None or len(self.played) != len(self.seen):
            return lines
        batches = f"{self.replay.connections} connections, {self.replay.mean_runs:.1f} runs a batch"
        lines.append(
            Line(
                what=f"the same SQL by pgbench ({batches})",
                rate=spread([one.rate for one in self.played]),
                cpu={"database": spread([one.cpu for one in self.played])},
            )
        )
        value = ratio([one.rate for one in self.seen], [one.rate for one in self.played])
        lines.append(figure(f"{self.what}: run-now / pgbench", value, "x", RATE_AIM if self.held else None))
        return lines


def postgres(stage: Stage) -> Section:
    """Row 4: 16 and 64 callers, and 16 callers of the largest deployment; server and database measured apart."""
    with cluster(stage.scratch / "pg") as database, rota(stage.scratch / "rota", database=database.url) as server:
        small = run_requests(server, deploy(server))
        large = run_requests(server, deploy(server, "large"))
        arms = [Arm(f"{callers} callers", callers, small, held=True) for callers in CALLERS]
        arms.append(Arm("16 callers, largest shapes", 16, large, held=False))
        for one in arms:
            stage.tell(f"capturing the SQL of {one.what}")
            one.capture(server, database, stage)
        for number in range(stage.plan.rounds):
            for place, one in enumerate(arms):
                stage.tell(f"round {number + 1} of {stage.plan.rounds}: {one.what}")
                one.drive(server, database, stage, 1 + number * len(arms) + place)
        number_of_version = database.ask("SHOW server_version")[0][0]
    return Section(
        4,
        "postgres",
        f"run-now over HTTP, PostgreSQL {number_of_version}",
        "fsync on, synchronous_commit on; everything else as PostgreSQL comes; Unix socket",
        [line for one in arms for line in one.lines()],
        [f"{one.what}: no replay by pgbench: {one.reason}" for one in arms if one.reason]
        + ["pgbench plays transactions that were captured from the server under the same load, with fresh ids"],
    )
