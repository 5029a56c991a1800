"""Workers that are frozen in the middle of a turn, and wake when another has ended it: one server for the API, two that turn
sessions, one PostgreSQL database.

In each round one worker stands still while the other takes a new session up; then that one is frozen at the round's point, its
hold is let lapse, and the first goes on with the session until it rests. What was frozen wakes up as a zombie: it has a reply
or a result in its hands, and would write it down if it could.
"""

import json
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rota.resources.sessions.turns import LogEvent
from tests.acceptance.server import SECONDS
from tests.crash.rounds import House
from tests.runtime.judge import Illegal, judge
from tests.runtime.stage import short

POINTS = ("first request", "tool", "second request")
"""While the model is asked, so that its reply comes to a process that stands still; and while a tool has had its effect but not
come back yet."""
ANYWHERE = "anywhere"
"""At a random moment of the turn."""
HOLD = 31.0
"""Seconds after which what was not held anew is nobody's."""
_DELAY = 0.6
"""Seconds that a reply takes, and the tool: time for the freeze to come in between."""
_CUT = "cut short by a restart"
_STORY = [
    "S:running", "T:running", "user.message", "agent.message", "agent.tool_use", "agent.tool_result", "agent.message",
    "T:idle end_turn", "S:usage", "S:idle end_turn",
]  # fmt: skip
_LOST = re.compile(r'^rota_turn_turns(?:_total)?\{end="lost"\} (\S+)$', re.MULTILINE)


@dataclass
class Toll:
    """What the rounds at one point have come to.

    ``missed`` rounds do not count: the freeze came when the turn had passed the point. ``asked_again`` and ``cut_short`` are
    requests and calls that the zombie had begun. ``refused`` zombies learnt that the session was lost; logs that one of them
    ``changed`` nevertheless, ``torn`` ones, which do not tell each event once and in order, and effects that came ``twice``, are
    findings.
    """

    point: str
    rounds: int = 0
    missed: int = 0
    asked_again: int = 0
    cut_short: int = 0
    refused: int = 0
    changed: int = 0
    torn: int = 0
    twice: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list[str])

    @property
    def clean(self) -> bool:
        """Whether every zombie was refused, and nothing came of it."""
        return not self.findings

    def show(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Haunted:
    """The three servers, for the length of a ``with``. The clock of the installation is turned by hand, unless ``patient``: then each
    round waits until a hold has lapsed by itself."""

    def __init__(self, folder: Path, database: str, *, patient: bool = False) -> None:
        self._folder, self._patient = folder, patient
        flags = () if patient else ("--test-clock",)
        place = {"ROTA_BLOBS": (folder / "blobs").as_uri(), "ROTA_SEAL_KEY_FILE": str(folder / "seal.key")}
        work = {"ROTA_ONLY": "worker", "ROTA_MODEL_PROVIDER": "scripted", "ROTA_SANDBOX": "unsafe-local", **place}
        self.api = House(folder / "api", database, *flags, ROTA_ONLY="api", **place)
        self.workers = [House(folder / name, database, *flags, **work) for name in ("one", "other")]
        self._body: dict[str, Any] = {}

    def __enter__(self) -> Self:
        try:
            for server in (self.api, *self.workers):
                server.start()
            toolset = {"type": "agent_toolset_20260401"}
            agent = self.api.ask("POST", "/v1/agents", {"name": "Clerk", "model": "m", "tools": [toolset]}).ok()
            environment = self.api.ask("POST", "/v1/environments", {"name": "office"}).ok()
        except BaseException as exc:
            self.__exit__(type(exc), exc, None)
            raise
        self._body = {"agent": agent["id"], "environment_id": environment["id"]}
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        for server in (*self.workers, self.api):
            server.__exit__(kind, value, traceback)

    def haunt(self, toll: Toll, number: int, chance: random.Random) -> None:
        """One round; what is wrong with it is in the toll."""
        begun = time.monotonic()
        zombie, heir = self.workers if number % 2 else self.workers[::-1]
        ledger = self._folder / f"ledger {toll.point} {number}"
        lost = _lost(zombie)
        heir.freeze()
        try:
            session = self._begin(ledger)
            if toll.point == ANYWHERE:
                self._until(lambda: self._log(session)[0]["processed_at"] is not None, "the turn does not begin")
                threading.Event().wait(chance.uniform(0, 4 * _DELAY))  # the moment is what is being tried out
            else:
                self._until(lambda: self._is_at(session, ledger) == toll.point, f"it never came to the {toll.point}")
            zombie.freeze()
        finally:
            heir.thaw()
        try:
            place = self._is_at(session, ledger)
            self._lapse()
            self._until(lambda: self._status(session) == "idle", "the heir does not end the turn")
            before = self._log(session)
        finally:
            zombie.thaw()
        if place is None or toll.point not in (place, ANYWHERE):
            toll.missed += 1
            return
        toll.rounds += 1
        self._until(lambda: _lost(zombie) > lost, "the zombie does not learn that its session is lost")
        toll.refused += 1
        self._judge(toll, number, before, self._log(session), ledger)
        toll.seconds += time.monotonic() - begun

    def _begin(self, ledger: Path) -> str:
        """A session whose tool writes a line each time that it runs."""
        command = f"echo ran >> '{ledger}'; sleep {_DELAY}"
        use = {"name": "bash", "input": {"command": command}}
        lines = [
            {"delay_ms": _DELAY * 1000, "text": "One.", "tool_use": use},
            {"delay_ms": _DELAY * 1000, "text": "Two."},
        ]
        script = "\n".join(["#!script", *(json.dumps(line) for line in lines)])
        events = [{"type": "user.message", "content": [{"type": "text", "text": script}]}]
        return self.api.ask("POST", "/v1/sessions", {**self._body, "initial_events": events}).ok()["id"]

    def _is_at(self, session: str, ledger: Path) -> str | None:
        """Where the turn is, as far as anybody can see who is not in it; None before it has begun and when it is over."""
        types = [event["type"] for event in self._log(session) if event["processed_at"] is not None]
        if not types or types[-1] == "session.status_idle":
            return None
        if types[-1] == "span.model_request_start":
            return "first request" if types.count("span.model_request_start") == 1 else "second request"
        in_tool = "agent.tool_use" in types and "agent.tool_result" not in types and ledger.exists()
        return "tool" if in_tool else "in between"

    def _lapse(self) -> None:
        """Let the zombie's hold lapse."""
        if self._patient:
            return  # it does by itself
        self.api.ask("POST", "/rota/v1/test_clock/advance", {"seconds": HOLD}).ok()

    def _judge(
        self, toll: Toll, number: int, before: list[dict[str, Any]], after: list[dict[str, Any]], ledger: Path
    ) -> None:
        told = [short({**event, "is_error": False}) for event in after if not event["type"].startswith("span.")]
        cut = any(_CUT in str(event.get("content")) for event in after)
        requests = [event["is_error"] for event in after if event["type"] == "span.model_request_end"]
        toll.asked_again += any(requests)
        toll.cut_short += cut
        wrong: list[str] = []
        if after != before:
            toll.changed += 1
            wrong.append(f"the zombie changed the log: {[short(event) for event in before]}")
        try:
            judge([_event(place, event) for place, event in enumerate(after, 1)])
            assert told == _STORY, "it does not tell the turn"
        except (Illegal, AssertionError) as exc:
            toll.torn += 1
            wrong.append(str(exc))
        effects = len(ledger.read_text().split()) if ledger.exists() else 0
        if effects > 1 or (effects == 0 and not cut):  # it may be frozen between the note and the call
            toll.twice += effects > 1
            wrong.append(f"the tool had its effect {effects} times")
        shown = [short(event) for event in after]
        toll.findings += [f"{toll.point}, round {number}: {each}: {shown}" for each in wrong]

    def _status(self, session: str) -> str:
        return self.api.ask("GET", f"/v1/sessions/{session}").ok()["status"]

    def _log(self, session: str) -> list[dict[str, Any]]:
        return self.api.ask("GET", f"/v1/sessions/{session}/events").ok()["data"]

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            said = "\n".join(server.errors() for server in self.workers)
            assert time.monotonic() < deadline, f"{otherwise}\n{said}"
            time.sleep(0.02)


def _lost(worker: House) -> float:
    """How many turns the worker has found to be another's."""
    found = _LOST.search(worker.ask("GET", "/metrics").raw.decode())
    return float(found[1]) if found else 0.0


def _event(place: int, shown: dict[str, Any]) -> LogEvent:
    at = round(datetime.fromisoformat(shown["processed_at"]).timestamp() * 1_000_000)
    return LogEvent(id=shown["id"], type=shown["type"], position=place, processed_at=at, body=shown)


def haunt(folder: Path, database: str, points: dict[str, int], *, seed: int = 1, patient: bool = False) -> list[Toll]:
    """So many rounds at each point; the tolls in the order of the points."""
    chance, tolls = random.Random(seed), [Toll(point) for point in points]
    with Haunted(folder, database, patient=patient) as haunted:
        for toll in tolls:
            number = 0
            while toll.rounds < points[toll.point]:
                number += 1
                assert number <= 3 * points[toll.point] + 3, f"the freeze never comes in time: {toll}"
                haunted.haunt(toll, number, chance)
    return tolls
