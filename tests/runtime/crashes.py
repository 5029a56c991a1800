"""Turns that are cut short at every point where a process can die, and gone on with by another over the same database.

A point is before or after a commit, before or after a model was asked, before or after a tool had its effect. Whoever dies
there does nothing more: no clean-up, no release. Whoever comes next has nothing but the database.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from msgspec.structs import replace

from rota.base.clock import HandClock
from rota.resources.sessions import turns
from rota.resources.sessions.turns import Claim, LogEvent
from rota.runtime.provider import ModelRequest, Piece, Reply
from rota.runtime.tool import Outcome
from rota.runtime.turn import Turn
from rota.store.tx import Tx
from tests.api import Api
from tests.runtime.judge import judge
from tests.runtime.players import Bench, Player, say, use
from tests.runtime.stage import HOLD, Stage, allow, answer, message, short


class Killed(BaseException):
    """The process has died."""


class Fate:
    """Counts the points that are passed, and kills at those that were chosen."""

    def __init__(self, *deaths: int) -> None:
        self.deaths = list(deaths)
        self.passed = 0
        self.names: list[str] = []

    def point(self, name: str) -> None:
        self.passed += 1
        self.names.append(name)
        if self.deaths and self.deaths[0] == self.passed:
            self.deaths.pop(0)
            raise Killed(name)


class MortalDb:
    """A store whose caller may die before a write, or after its commit."""

    def __init__(self, db: Any, fate: Fate) -> None:
        self._db, self._fate = db, fate
        self.read, self.name = db.read, db.name

    async def write(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._fate.point(f"before {fn.__name__}")
        done = await self._db.write(fn, *args, **kwargs)
        self._fate.point(f"after {fn.__name__}")
        return done


class Reader(Player):
    """A model that says what its script has for the place to which the conversation has come, however often it is asked."""

    def __init__(self, script: Sequence[Reply], fate: Fate) -> None:
        super().__init__()
        self._script, self._fate = script, fate

    async def _ask(self, request: ModelRequest) -> AsyncGenerator[Piece]:
        self._fate.point("before the model")
        place = sum(each["role"] == "assistant" for each in request.messages)
        yield self._script[place]
        self._fate.point("after the model")


class Effects(Bench):
    """A workshop that may die before a tool had its effect, or after."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    async def open(self, session: Any) -> "Effects":
        return self

    async def call(self, name: str, input: dict[str, Any]) -> Outcome:
        self._fate.point("before the tool")
        done = await super().call(name, input)
        await asyncio.sleep(0)
        self._fate.point("after the tool")
        return done


SCRIPT = [
    say("Looking.", use("bash", 1, n=1), use("read", 2), use("glob", 3)),
    say("", use("ask_user", 4), use("write", 5, file_path="a")),
    say("", use("bash", 6, n=2), use("bash", 7, n=3)),
    say("That was it."),
    say("Second turn.", use("bash", 8, n=4)),
    say("Done."),
]
TOOLS = [
    {"type": "agent_toolset_20260401", "configs": [{"name": "write", "permission_policy": {"type": "always_ask"}}]},
    {"type": "custom", "name": "ask_user", "description": "Asks.", "input_schema": {"type": "object"}},
]


class Life:
    """A session from its first message to its second rest, with deaths in between."""

    def __init__(self, api: Api, clock: HandClock, *deaths: int) -> None:
        self.fate = Fate(*deaths)
        self.clock = clock
        self.stage = Stage(api, tools=TOOLS, initial_events=[message("First.")])
        self.effects = Effects(self.fate)
        self.stage.bench = self.effects
        self.stage.parts = replace(
            self.stage.parts,
            db=MortalDb(api.house.db, self.fate),
            provider=Reader(SCRIPT, self.fate),
            workshop=self.effects,
        )
        self.api = api

    async def live(self) -> None:
        await self._until_rest()
        while wanted := await self._wanted():
            await self.api.call("POST", self.stage.path, {"events": wanted})
            await self._until_rest()
        await self.api.call("POST", self.stage.path, {"events": [message("Second.")]})
        await self._until_rest()

    async def _until_rest(self) -> None:
        """Let one process after the other turn, until nothing wants a turn."""
        while claimed := await self.api.house.db.write(turns.claim, 5, HOLD, []):
            for claim in claimed:
                try:
                    await Turn(self.stage.parts, claim).run()
                except Killed:
                    self.clock.advance(seconds=31)  # until its hold has lapsed

    async def _wanted(self) -> list[dict[str, Any]]:
        events = (await self.api.call("GET", self.stage.path)).ok()["data"]
        last = events[-1]
        if last["type"] != "session.status_idle" or last["stop_reason"]["type"] != "requires_action":
            return []
        kinds = {event["id"]: event["type"] for event in events}
        return [
            answer(each) if kinds[each] == "agent.custom_tool_use" else allow(each)
            for each in last["stop_reason"]["event_ids"]
        ]

    def log(self) -> list[LogEvent]:
        def read(tx: Tx) -> list[LogEvent]:
            row = turns.load(tx, Claim(self.stage.id, self._epoch(tx)))
            return row[1]

        return self.api.read(read)

    def _epoch(self, tx: Tx) -> int:
        row = tx.one(turns.sql.GET_FENCE, id=self.stage.id)
        assert row is not None
        return row[0]

    def story(self) -> list[str]:
        """The log without what a death may add: requests that came to nothing, results that nobody knows."""
        told: list[str] = []
        for event in self.log():
            if event.type == "span.model_request_start" or (
                event.type == "span.model_request_end" and event.body.get("is_error")
            ):
                continue
            told.append(
                short({"type": event.type, "processed_at": event.processed_at, **event.body, "is_error": False})
            )
        return told

    def check(self, expected: Sequence[str]) -> None:
        log = self.log()
        judge(log)
        assert self.story() == list(expected)
        assert all(event.processed_at is not None for event in log)
        effects = Counter(given["n"] for name, given in self.effects.ran if name == "bash")
        assert all(count == 1 for count in effects.values()), f"run twice: {effects}"
        assert self.stage.session()["status"] == "idle"


def baseline(api: Api, clock: HandClock) -> tuple[list[str], list[str]]:
    """The story without any death, and the points that it passes."""
    life = Life(api, clock)
    api.run(life.live())
    life.check(life.story())
    return life.story(), life.fate.names
