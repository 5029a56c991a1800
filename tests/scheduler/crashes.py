"""Rounds of kill and restart of servers that fire schedules: the work behind ``test_crashes`` and ``prove_crash``.

Real processes on a real database; only their clock is made up, sixty times as fast as the world's (``fast_server``), so
that a schedule of every minute fires each second. They are forked off a process that has read the program's modules already
and done nothing else, because reading them takes longer than a server lives here. A seed fixes when who is killed, stopped or made to kill itself, and
where. In the end every occurrence must have exactly one run, whole, or be in exactly one counted lapse.
"""

import asyncio
import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rota.base import cron
from rota.base.clock import MINUTE, HandClock
from rota.base.policy import policy
from rota.base.settings import Settings
from rota.resources.deployments import timetable
from rota.resources.deployments.wire import UpdateScheduling
from rota.resources.environments import actions as environments
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.store.db import open_db, sqlite_path
from rota.store.tx import Query, Tx
from tests.acceptance.server import KEY
from tests.base.cron_oracle import instant, walk
from tests.cli.process import environment
from tests.crash import tables
from tests.crash.rounds import House
from tests.scheduler import fast_server
from tests.scheduler.fast_server import PLACES
from tests.scheduler.stock import ground, stock

FACTOR = 60
START = instant("2026-03-08 06:30")
STEADY, LATEST, FAILING = 50, 40, 10
"""Deployments that catch up with everything, that catch up with the latest, and whose first fire fails and pauses them."""
_EXPRESSION = "* * * * *"


@dataclass
class Toll:
    """What one seed has come to."""

    database: str
    seed: int
    servers: int
    kills: int = 0
    at_places: int = 0
    stops: int = 0
    occurrences: int = 0
    runs: int = 0
    missed: int = 0
    lost: int = 0
    doubled: int = 0
    early: int = 0
    half_made: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list[str])


_FORKS = multiprocessing.get_context("forkserver")


def _serve(arguments: Sequence[str], variables: dict[str, str], log: Path, out: Any) -> None:
    """In a process of its own: be ``rota serve``."""
    os.environ.clear()
    os.environ.update(variables)
    with log.open("ab") as errors:
        os.dup2(errors.fileno(), 2)
    os.dup2(out.fileno(), 1)
    fast_server.main(arguments)


class Forked:
    """A server's process, with as much of what a ``Popen`` can do as is asked for here."""

    def __init__(self, arguments: Sequence[str], variables: dict[str, str], log: Path) -> None:
        _FORKS.set_forkserver_preload(["tests.scheduler.fast_server"])
        self.stdout, out = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(target=_serve, args=(arguments, variables, log, out))
        self._process.start()
        out.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("rota serve", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Ticking(House):
    """A server whose clock runs fast."""

    def __init__(self, folder: Path, url: str, since: int, plant: str | None, **variables: str) -> None:
        fast = {"ROTA_FAST": f"{START} {since} {FACTOR}", "ROTA_LOG_LEVEL": "error", **variables}
        # Not the courier, who would carry the announcements off that are looked for in the end.
        super().__init__(
            folder, url, "--only", "scheduler", key=KEY, **fast, **({"ROTA_PLANT": plant} if plant else {})
        )

    def _launch(self, port: int) -> Any:
        return Forked([*self._command[3:], "--port", str(port)], environment(**self._variables), self.log)

    def freeze(self) -> None:
        """Stop every thread of the process where it is; returns when it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            _wait(0.001)

    def start_with_fuse(self, place: str, number: int) -> None:
        """Start it so that it kills itself at a place."""
        self._variables["ROTA_CRASH_AT"] = f"{place} {number}"
        try:
            self.start()
        finally:
            del self._variables["ROTA_CRASH_AT"]

    @property
    def is_dead(self) -> bool:
        """Whether it has ended by itself."""
        return self.process.poll() is not None


def rounds(folder: Path, url: str, kind: str, seed: int, kills: int, *, servers: int, plant: str | None = None) -> Toll:
    """Kill servers so many times, and see what came of every occurrence. ``plant`` is a bug to be found."""
    chance = random.Random(seed)
    toll = Toll(kind, seed, servers)
    started = time.monotonic()
    asyncio.run(_prepare(url))
    since = time.time_ns() // 1000
    with contextlib.ExitStack() as stack:
        crew = [stack.enter_context(Ticking(folder / str(number), url, since, plant)) for number in range(servers)]
        while toll.kills < kills:
            _harm(crew, chance, toll)
        _settle(url)
    _judge(url, toll)
    if kind == "sqlite":
        toll.findings += tables.sound(sqlite_path(url))
    toll.seconds = round(time.monotonic() - started, 1)
    return toll


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)  # the instant of the harm is what is being tried out


def _harm(crew: Sequence[Ticking], chance: random.Random, toll: Toll) -> None:
    """Stop one for a while; or kill some, let them kill themselves, then have them back."""
    _wait(chance.uniform(0.02, 1.0))  # a minute of theirs
    if len(crew) > 1 and chance.random() < 0.25:
        server = chance.choice(crew)
        server.freeze()
        _wait(chance.choice([0.2, 1.0, 4.0]))
        server.thaw()
        toll.stops += 1
        return
    victims = chance.sample(crew, chance.randint(1, len(crew)))
    for server in victims:
        server.kill()
    patience = 8.0 if len(crew) == 1 else 2.5  # among several the turn may be another's
    with ThreadPoolExecutor(len(victims)) as pool:
        ways = [(server, random.Random(chance.random()), patience) for server in victims]
        for kills, at_places in pool.map(lambda way: _bring_back(*way), ways):
            toll.kills += 1 + kills
            toll.at_places += at_places


def _bring_back(server: Ticking, chance: random.Random, patience: float) -> tuple[int, int]:
    """Start a server, some times only for it to kill itself; how often it was killed, and how often by itself."""
    kills = at_places = 0
    while chance.random() < 0.5:
        server.start_with_fuse(chance.choice(PLACES), chance.choice([1, 1, 2, 3]))
        deadline = time.monotonic() + patience
        while not server.is_dead and time.monotonic() < deadline:
            _wait(0.02)
        at_places += server.is_dead
        kills += 1
        server.kill()
    server.start()
    return kills, at_places


async def _prepare(url: str) -> None:
    """Deployments that are all due each minute, from the first whole one on."""
    db = open_db(url, HandClock(START))
    await db.write(workspaces.bootstrap, KEY)
    who = await db.read(keys.admit, KEY)
    assert who is not None
    agent_id, environment_id = await db.write(ground, who)
    rules = policy(Settings())

    def make(tx: Tx) -> None:
        first = START + MINUTE
        steady = stock(tx, who, agent_id, environment_id, STEADY, first)
        for deployment_id in steady:
            timetable.update(tx, who, deployment_id, UpdateScheduling(catch_up="all", catch_up_limit=100_000), rules)
        stock(tx, who, agent_id, environment_id, LATEST, first)
        failing = environments.create(tx, who, _archived())
        stock(tx, who, agent_id, failing.id, FAILING, first)
        environments.archive(tx, who, failing.id)

    await db.write(make)
    await db.close()


def _archived() -> Any:
    import msgspec

    from rota.resources.environments.wire import CreateEnvironment

    return msgspec.convert({"name": "over"}, CreateEnvironment)


_FIRST = Query("What is due first.", "SELECT min(fire_at) FROM schedules WHERE fire_at IS NOT NULL")


def _settle(url: str) -> None:
    """Wait until whatever was due has been dealt with: until what is due first is no longer what it was, and not late."""

    async def look() -> int:
        db = open_db(url, HandClock(0))
        try:
            row = await db.read(lambda tx: tx.one(_FIRST))
            return row[0] if row is not None else 0
        finally:
            await db.close()

    deadline = time.monotonic() + 60
    before = asyncio.run(look())
    while time.monotonic() < deadline:
        _wait(1.5)
        now = asyncio.run(look())
        if now - before >= FACTOR * 1_000_000:  # it keeps pace with the clock
            return
        before = now


def _rows(url: str) -> Iterator[list[Any]]:
    queries = (
        "SELECT id, expression, accounted_at, fire_at, last_run_at, status, paused_error"
        " FROM deployments JOIN schedules ON deployment_id = id",
        "SELECT id, deployment_id, scheduled_at, created_at, session_id, error_type FROM deployment_runs",
        "SELECT deployment_id, first_at, last_at, count FROM lapses",
        "SELECT id, deployment_id FROM sessions",
        "SELECT session_id FROM session_threads",
        "SELECT session_id, position, type FROM session_events",
        "SELECT event, resource_id FROM outbox WHERE event LIKE 'deployment%'",
    )

    async def read() -> list[list[Any]]:
        db = open_db(url, HandClock(0))
        try:
            return await db.read(lambda tx: [tx.all(Query("A look.", text)) for text in queries])
        finally:
            await db.close()

    yield from asyncio.run(read())


def _judge(url: str, toll: Toll) -> None:
    """Match every occurrence to one run or one lapse, and see that each run is whole."""
    deployments, runs, lapses, sessions, threads, events, announced = _rows(url)
    zone = cron.zone("UTC")
    found: dict[str, Counter[int]] = defaultdict(Counter)
    last_good: dict[str, int] = {}
    told: dict[str, list[str]] = defaultdict(list)
    for event, of in announced:
        told[of].append(event)
    of_session = dict(sessions)
    whole = Counter(row[0] for row in threads)
    logs = Counter(row[0] for row in events)
    used: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for run_id, deployment_id, due, at, session_id, error in runs:
        found[deployment_id][due] += 1
        toll.runs += 1
        toll.early += at < due
        if error is None:
            last_good[deployment_id] = max(at, last_good.get(deployment_id, 0))
            used[session_id] += 1
            if of_session.get(session_id) != deployment_id or whole[session_id] != 1 or logs[session_id] != 1:
                toll.half_made += 1
                toll.findings.append(f"half made: {run_id} with {session_id}")
        else:
            failed[deployment_id] += 1
        outcome = "deployment_run.succeeded" if error is None else "deployment_run.failed"
        if sorted(told[run_id]) != sorted(["deployment_run.started", outcome]):
            toll.half_made += 1
            toll.findings.append(f"half told: {run_id} {told[run_id]}")
    for session_id in of_session.keys() - used.keys():
        toll.half_made += 1
        toll.findings.append(f"half made: {session_id} has no run")
    for deployment_id, first, last, count in lapses:
        stretch = list(walk(_EXPRESSION, zone, first - 1, last))
        found[deployment_id].update(stretch)
        toll.missed += count
        if len(stretch) != count:
            toll.findings.append(f"{deployment_id}: {count} counted, {len(stretch)} there")
    for deployment_id, expression, accounted_at, fire_at, last_run_at, status, paused_error in deployments:
        targets = Counter(walk(expression, zone, START, accounted_at))
        toll.occurrences += len(targets)
        for due in (targets - found[deployment_id]).elements():
            toll.lost += 1
            toll.findings.append(f"lost: {deployment_id} {due}")
        for due in (found[deployment_id] - targets).elements():
            toll.doubled += 1
            toll.findings.append(f"doubled, or never to be: {deployment_id} {due}")
        if last_run_at != last_good.get(deployment_id):
            toll.findings.append(
                f"{deployment_id}: last_run_at is {last_run_at}, it was {last_good.get(deployment_id)}"
            )
        if failed[deployment_id] and (status, paused_error, fire_at) != ("paused", "environment_archived_error", None):
            toll.findings.append(f"{deployment_id}: failed, and is {status} by {paused_error}, due at {fire_at}")
        if failed[deployment_id] != told[deployment_id].count("deployment.paused"):
            toll.findings.append(
                f"{deployment_id}: {failed[deployment_id]} failures, pauses told: {told[deployment_id]}"
            )
    if sum(failed.values()) != FAILING:
        toll.findings.append(f"{sum(failed.values())} failed, {FAILING} were to")
    toll.findings += [f"{toll.early} were early"] if toll.early else []
