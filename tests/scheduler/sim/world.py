"""One seed: an installation, the people who use it, and everything that happens to it for an hour or some days."""

import asyncio
import itertools
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec

from rota import api  # it wires who follows whom
from rota.base import ids
from rota.base.clock import DAY, MINUTE, SECOND, HandClock, SystemClock
from rota.base.errors import Fault, Refusal
from rota.base.key_file import LazySealer
from rota.base.policy import Policy
from rota.base.timing import Timing
from rota.base.who import Who
from rota.resources.agents import actions as agents
from rota.resources.agents.wire import CreateAgent
from rota.resources.deployment_runs.wire import ManualTrigger
from rota.resources.deployments import actions, timetable
from rota.resources.deployments.run import Fire, run
from rota.resources.deployments.wire import CreateDeployment, UpdateDeployment, UpdateScheduling
from rota.resources.environments import actions as environments
from rota.resources.environments.wire import CreateEnvironment
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.scheduler.ticker import Ticker
from rota.store.db import open_db
from rota.store.tx import Query, Tx
from tests.base.cron_oracle import instant
from tests.scheduler.sim.judge import Judge
from tests.scheduler.sim.loop import VirtualLoop
from tests.scheduler.sim.plants import planted
from tests.scheduler.sim.store import Core, Front, Lot

assert api.ROUTES
KEY = "a-key-for-a-simulation"
HELLO = [{"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}]
TWICE = [{"type": "github_repository", "url": "https://github.com/acme/site"}] * 2
"""Resources that do not go together: a run of them is rejected, which pauses nothing."""
EXPRESSIONS = ["* * * * *"] * 6 + [
    "*/2 * * * *",
    "*/5 * * * *",
    "1-59/3 * * * *",
    "30 * * * *",
    "30 1,2 * * *",
    "15 2 * * *",
]
ZONES = ["UTC", "America/New_York", "Australia/Lord_Howe", "Europe/Berlin"]
STARTS = [
    instant("2026-03-08 06:40"), instant("2026-11-01 05:10"), instant("2026-04-04 14:50"), instant("2026-10-25 00:20"),
    instant("2028-02-28 23:30"), instant("2026-06-10 12:00"),
]  # fmt: skip
SPOIL = Query("Nobody can read it.", "UPDATE deployments SET body = '{' || body WHERE id = :id AND body NOT LIKE '{{%'")
MEND = Query("It can be read again.", "UPDATE deployments SET body = substr(body, 2) WHERE body LIKE '{{%'")
END_SESSIONS = Query("Its sessions end.", "UPDATE sessions SET status = 'idle' WHERE deployment_id = :id")


@dataclass
class Outcome:
    """What came of one seed."""

    seed: int
    fires: int = 0
    failed: int = 0
    missed: int = 0
    skipped: int = 0
    deaths: int = 0
    commits: int = 0
    minutes: float = 0.0
    wrong: list[str] = field(default_factory=list[str])


@cache
def _image() -> tuple[bytes, Who, list[str], list[str]]:
    """A database with agents and environments in it, as bytes, since every seed begins with a copy."""

    async def make(path: Path) -> tuple[Who, list[str], list[str]]:
        db = open_db(f"sqlite:///{path}", HandClock(STARTS[0] - 30 * DAY))
        await db.write(workspaces.bootstrap, KEY)
        who = await db.read(keys.admit, KEY)
        assert who is not None

        def ground(tx: Tx) -> tuple[list[str], list[str]]:
            agent = msgspec.convert({"name": "Clerk", "model": "claude-opus-5-5"}, CreateAgent)
            homes = [msgspec.convert({"name": f"home {number}"}, CreateEnvironment) for number in range(6)]
            return (
                [agents.create(tx, who, agent).id for _ in range(6)],
                [environments.create(tx, who, home).id for home in homes],
            )

        made = await db.write(ground)
        await db.close()
        return who, *made

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rota.db"
        who, agent_ids, environment_ids = asyncio.run(make(path))
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = DELETE")
        image = connection.serialize()
        connection.close()
    return image, who, agent_ids, environment_ids


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, *, faults: bool) -> None:
        self.chance = Random(seed)
        image, self.who, self.agents, self.environments = _image()
        self.agents, self.environments = list(self.agents), list(self.environments)
        self.start = self.chance.choice(STARTS) + self.chance.randrange(60) * SECOND + self.chance.randrange(SECOND)
        self.core = Core(image, self.now)
        self.judge = Judge(self.core)
        self.lot = Lot(self.chance, faults=faults)
        self.api = Front(self.core, self.chance, Lot(self.chance, faults=False), "api")
        self.timing = Timing(
            jitter=self.chance.choice(["off", "off", "published"]),
            catch_up=self.chance.choice(["latest", "latest", "none", "all"]),
            window=self.chance.choice([0, 5 * MINUTE, 60 * MINUTE]),
            limit=self.chance.choice([1, 3, 20]),
            overlap=self.chance.choice(["allow", "allow", "skip"]),
        )
        self.policy = Policy(LazySealer(None, Path("nowhere")), timing=self.timing)
        self.deployments: list[str] = []
        self.outcome = Outcome(seed)

    def now(self) -> int:
        """The database's time."""
        return self.start + int(asyncio.get_running_loop().time() * SECOND)

    async def live(self) -> None:
        """From the first deployment to the last judgement."""
        chance = self.chance
        for _ in range(chance.choice([3, 10, 25])):
            await self._deploy()
        length = chance.choice([10, 20, 30]) * 60.0
        tickers = [asyncio.create_task(self._ticker(number, length)) for number in range(chance.choice([1, 2, 2, 3]))]
        people = [asyncio.create_task(self._person(length)) for _ in range(chance.choice([0, 1, 2]))]
        await asyncio.gather(*tickers, *people)
        if chance.random() < 0.3:  # nobody is there for a while
            await asyncio.sleep(chance.choice([90.0, 1800.0, 7000.0, 2 * 86400.0]))
        end = await self._settle()
        self.outcome.fires = len(self.judge.fired)
        self.outcome.failed = sum(fired.error is not None for fired in self.judge.fired)
        for kind, count in self.core.connection.execute("SELECT kind, sum(count) FROM lapses GROUP BY kind"):
            setattr(self.outcome, kind, count)
        self.outcome.commits = self.core.commits
        self.outcome.minutes = (self.now() - self.start) / MINUTE
        self.outcome.wrong = self.judge.verdict(end)

    async def _deploy(self) -> None:
        chance = self.chance
        body = {
            "name": "Work",
            "agent": chance.choice(self.agents),
            "environment_id": chance.choice(self.environments[:3]),
            "initial_events": HELLO,
            "schedule": self._schedule(),
            "resources": TWICE if chance.random() < 0.08 else None,
        }
        rules = {}
        if chance.random() < 0.4:
            rules = {
                "catch_up": chance.choice([None, "latest", "none", "all"]),
                "catch_up_window_seconds": chance.choice([None, 0, 300, 3600]),
                "catch_up_limit": chance.choice([None, 1, 4]),
                "overlap": chance.choice([None, "allow", "skip"]),
            }
        create = msgspec.convert(body, CreateDeployment)

        def make(tx: Tx) -> str:
            made = actions.create(tx, self.who, create, self.policy)
            if rules:
                timetable.update(tx, self.who, made.id, msgspec.convert(rules, UpdateScheduling), self.policy)
            self.judge.rules[made.id] = Timing(
                jitter=self.timing.jitter,
                catch_up=rules.get("catch_up") or self.timing.catch_up,
                window=self.timing.window if (own := rules.get("catch_up_window_seconds")) is None else own * SECOND,
                limit=rules.get("catch_up_limit") or self.timing.limit,
                overlap=rules.get("overlap") or self.timing.overlap,
            )
            return made.id

        self.deployments.append(await self.api.write(make))

    def _schedule(self) -> dict[str, str]:
        return {"type": "cron", "expression": self.chance.choice(EXPRESSIONS), "timezone": self.chance.choice(ZONES)}

    async def _ticker(self, number: int, length: float) -> None:
        """A process that fires, dies now and then, and comes back."""
        loop, chance = asyncio.get_running_loop(), self.chance
        while loop.time() < length:
            front = Front(self.core, chance, self.lot, f"ticker {number}")
            if number == 0:
                self.api.subscribe(
                    "schedules", lambda front=front: [ring() for ring in front._listeners.get("schedules", [])]
                )
            skewed = SystemClock()  # a machine's own clock tells nothing here: only the database's is asked
            ticker = Ticker(front, skewed, self.policy, beat=chance.choice([5.0, 60.0]))  # type: ignore[arg-type]
            ticker._size = chance.choice([1, 3, 300])
            ticker.start()
            ends = length - loop.time() if chance.random() < 0.7 else chance.uniform(0, length / 2)
            try:
                async with asyncio.timeout(max(ends, 0.1)):
                    await front.died.wait()
                self.outcome.deaths += 1
            except TimeoutError:
                self.outcome.deaths += loop.time() < length
            await ticker.stop()
            if loop.time() < length:
                await asyncio.sleep(chance.choice([0.1, 3.0, 70.0, 400.0]))

    async def _person(self, length: float) -> None:
        """Somebody who changes things at all the wrong moments."""
        loop, chance = asyncio.get_running_loop(), self.chance
        while loop.time() < length:
            if chance.random() < 0.6:  # close to a whole minute, where it hurts
                to_minute = (MINUTE - self.now() % MINUTE) / SECOND
                await asyncio.sleep(max(to_minute + chance.choice([0, 60, 120]) + chance.uniform(-0.1, 0.2), 0))
            else:
                await asyncio.sleep(chance.uniform(1, 150))
            try:
                await self._act(chance.choice(self.deployments))
            except (Refusal, Fault, msgspec.DecodeError):  # the last is a poisoned deployment: an error 500
                continue

    async def _act(self, deployment_id: str) -> None:
        chance, write, who = self.chance, self.api.write, self.who
        match chance.randrange(15):
            case 0 | 1 | 2:
                await write(actions.pause, who, deployment_id)
            case 3 | 4 | 5 | 6:
                await write(actions.unpause, who, deployment_id, self.policy)
            case 7:
                await self._update(deployment_id, schedule=self._schedule() if chance.random() < 0.8 else None)
            case 8:
                await self._update(
                    deployment_id, name=f"Renamed {chance.random()}", environment_id=chance.choice(self.environments)
                )
            case 9:
                if chance.random() < 0.3:
                    await write(actions.archive, who, deployment_id)
            case 10:
                if chance.random() < 0.2:
                    await write(agents.archive, who, chance.choice(self.agents))
            case 11:
                if chance.random() < 0.4:
                    await write(environments.archive, who, chance.choice(self.environments[:3]))
            case 12:
                await write(run, [Fire(who, deployment_id, ManualTrigger(), self.policy)])
            case 13:
                await write(lambda tx: tx.run(END_SESSIONS, id=deployment_id))
            case _:
                if chance.random() < 0.3:
                    await write(lambda tx: tx.run(SPOIL, id=deployment_id))
                else:
                    await write(lambda tx: tx.run(MEND))

    async def _update(self, deployment_id: str, **body: Any) -> None:
        await self.api.write(
            actions.update, self.who, deployment_id, msgspec.convert(body, UpdateDeployment), self.policy
        )

    async def _settle(self) -> int:
        """Everything is well again, and whatever is due is dealt with; the instant at which nothing is due any more."""
        await self.api.write(lambda tx: tx.run(MEND))
        front = Front(self.core, self.chance, Lot(self.chance, faults=False), "ticker last")
        look = await Ticker(front, SystemClock(), self.policy).fire()  # type: ignore[arg-type]
        return look.now


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Ids by number and chance by seed, so that a seed is the same world every time."""
    numbers = itertools.count(1)
    random.seed(seed)
    with patch.object(ids, "new", lambda prefix: f"{prefix}01{next(numbers):022d}"):
        yield


def simulate(seed: int, *, faults: bool = True, plant: str | None = None) -> Outcome:
    """One world from beginning to end."""
    _image()
    with _deterministic(seed), planted(plant), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_one(seed, faults))


async def _one(seed: int, faults: bool) -> Outcome:
    world = World(seed, faults=faults)
    try:
        async with asyncio.timeout(40 * 86400):
            await world.live()
    except Exception as exc:
        world.outcome.wrong.append(f"{type(exc).__name__}: {exc}")
    finally:
        world.core.connection.close()
    return world.outcome
