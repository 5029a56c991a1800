"""Proof of the queue with real processes: ``python -m tests.resources.work.prove``.

Workers take up, acknowledge, keep and stop work, and die between any two of these; clients send messages meanwhile; the server is
killed with -9 and started again, and its clock is turned so that leases end. Then workers that do not die drain the queue.
Judged: no two workers kept one item in turns, a session never had two live items, no secret was handed out twice, and in the
end every session was served and nothing is left.
"""

import argparse
import contextlib
import itertools
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.acceptance.server import Answer, Server
from tests.cli.process import answer
from tests.databases import fresh, postgres_server
from tests.resources.work.office import MESSAGE, token_of


@dataclass
class Round:
    """One server, its workers, and what they saw."""

    server: Server
    rng: random.Random
    environment: str = ""
    key: str = ""
    sessions: list[str] = field(default_factory=list[str])
    seen: Counter[str] = field(default_factory=Counter[str])
    beats: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    """Item, heartbeat and token, of each heartbeat that was accepted."""
    tokens: list[str] = field(default_factory=list[str])
    served: set[str] = field(default_factory=set[str])
    problems: list[str] = field(default_factory=list[str])
    draining: threading.Event = field(default_factory=threading.Event)

    def furnish(self, sessions: int) -> None:
        """An environment, its key, and sessions with something to do."""
        config = {"name": "site", "config": {"type": "self_hosted"}}
        self.environment = self.server.ask("POST", "/v1/environments", config).ok()["id"]
        self.key = answer("keys", "create", "--environment", self.environment, *self.server.place)["key"]
        agent = self.server.ask("POST", "/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"}).ok()["id"]
        body = {"agent": agent, "environment_id": self.environment, "initial_events": [MESSAGE]}
        self.sessions = [self.server.ask("POST", "/v1/sessions", body).ok()["id"] for _ in range(sessions)]

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answer | None:
        """A request about work; None if the server was killed meanwhile."""
        try:
            return self.server.ask(method, f"/v1/environments/{self.environment}/work{path}", body, key=key or self.key)
        except (OSError, HTTPException):
            return None

    def dies(self) -> bool:
        """Whether a worker ends here."""
        dead = not self.draining.is_set() and self.rng.random() < 0.2
        self.seen["deaths"] += dead
        return dead

    def work(self) -> None:
        """A worker, and whoever takes its place each time that it dies, until the queue is empty."""
        empty = 0
        while empty < 3:
            polled = self.ask("GET", "/poll?block_ms=50")
            if polled is None or polled.status != 200:
                continue
            item = polled.body
            if item is None:
                empty += self.draining.is_set()
                continue
            empty = 0
            token = token_of(item)
            self.tokens.append(token)
            self.serve(item, token)

    def serve(self, item: dict[str, Any], token: str) -> None:
        """What a worker does with an item."""
        path, last = f"/{item['id']}", "NO_HEARTBEAT"
        if self.dies():
            return
        acknowledged = self.ask("POST", f"{path}/ack")
        if acknowledged is None or acknowledged.status != 200 or self.dies():
            return
        for _ in range(self.rng.randint(1, 4)):
            beat = self.ask("POST", f"{path}/heartbeat?expected_last_heartbeat={last}", key=token)
            if beat is None:
                return
            if beat.status != 200 or not beat.body["lease_extended"]:
                self.seen["lost"] += beat.status == 412
                return
            last = beat.body["last_heartbeat"]
            self.beats.append((item["id"], last, token))
            if self.dies():
                return
        stopped = self.ask("POST", f"{path}/stop", {"force": True}, key=token)
        if stopped is not None and stopped.status == 200 and stopped.body["state"] == "stopped":
            self.served.add(item["data"]["id"])
            self.seen["stops"] += 1

    def disturb(self, kills: int) -> None:
        """Kill the server, turn its clock, send messages, and look at the queue."""
        pause = threading.Event()
        for number in range(kills):
            pause.wait(self.rng.uniform(0.2, 0.8))
            port = self.server.port
            self.server.kill()
            self.server.start(port)
            self.seen["kills"] += 1
            if number % 2:
                self.server.ask("POST", "/rota/v1/test_clock/advance", {"seconds": 301}).ok()
            for session in self.rng.sample(self.sessions, 3):
                self.served.discard(session)
                self.server.ask("POST", f"/v1/sessions/{session}/events", {"events": [MESSAGE]}).ok()
            self.look()

    def live(self) -> list[dict[str, Any]]:
        """The items that are not over."""
        listed = self.ask("GET", "?limit=1000")
        return [] if listed is None else [item for item in listed.ok()["data"] if item["state"] != "stopped"]

    def look(self) -> None:
        """Whether a session has two live items."""
        twice = [session for session, n in Counter(item["data"]["id"] for item in self.live()).items() if n > 1]
        self.problems += [f"{session} has two live items" for session in twice]

    def judge(self) -> None:
        """What must not be, looked for in everything that was seen."""
        for work_id in {beat[0] for beat in self.beats}:
            order = [token for _, _, token in sorted(beat for beat in self.beats if beat[0] == work_id)]
            holders = [token for token, _ in itertools.groupby(order)]
            if len(set(holders)) != len(holders):
                self.problems.append(f"{work_id} was kept by two workers in turns")
        if len(set(self.tokens)) != len(self.tokens):
            self.problems.append("a secret was handed out twice")
        self.problems += [f"{item['id']} is {item['state']} in the end" for item in self.live()]
        self.problems += [f"{session} was not served" for session in set(self.sessions) - self.served]
        if "Traceback" in self.server.errors():
            self.problems.append("the server met something that nobody foresaw")


def play(folder: Path, url: str, *, sessions: int, workers: int, kills: int, seed: int) -> Round:
    """One round."""
    with Server(folder / "server", url, "--test-clock", ROTA_ONLY="api", ROTA_SQLITE_SYNCHRONOUS="NORMAL") as server:
        played = Round(server, random.Random(seed))
        played.furnish(sessions)
        threads = [threading.Thread(target=played.work, daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        played.disturb(kills)
        server.ask("POST", "/rota/v1/test_clock/advance", {"seconds": 301}).ok()
        played.draining.set()
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(1.0)
            server.ask("POST", "/rota/v1/test_clock/advance", {"seconds": 301}).ok()
        played.judge()
    return played


@contextlib.contextmanager
def databases(kinds: list[str], folder: Path) -> Iterator[list[tuple[str, str]]]:
    """A fresh database of each kind, by its URL."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres_server()) if "postgres" in kinds else None
        yield [(kind, stack.enter_context(fresh(kind, folder, server))) for kind in kinds]


def main() -> int:
    """Play, and print a table; 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.resources.work.prove", description=__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgres"], choices=["sqlite", "postgres"])
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    table = Table(
        "database", "sessions", "server kills", "hand-outs", "heartbeats", "deaths", "leases lost", "stops", "found"
    )
    wrong = False
    with tempfile.TemporaryDirectory() as name, databases(given.databases, Path(name)) as found:
        for kind, url in found:
            folder = Path(name) / kind
            played = play(
                folder, url, sessions=given.sessions, workers=given.workers, kills=given.kills, seed=given.seed
            )
            seen = played.seen
            numbers = (len(played.sessions), seen["kills"], len(played.tokens), len(played.beats), seen["deaths"])
            row = [*numbers, seen["lost"], seen["stops"], len(played.problems)]
            table.add_row(kind, *map(str, row))
            for problem in played.problems:
                Console().print(f"{kind}: {problem}", markup=False)
            wrong = wrong or bool(played.problems)
    Console().print(table)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
