"""Rounds of kill, restart and check on one database: what is behind ``test_crash``, ``test_memories`` and ``prove``.

A seed fixes the instants at which the server is killed. The rest of a crash is up to the machine, so that a seed that
failed fails again only if its instants are what mattered.
"""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.acceptance.server import KEY, SECONDS, Server
from tests.cli.process import environment
from tests.crash import tables
from tests.crash.clients import Client, Counter, Gate

_SHORTEST, _LONGEST = 0.01, 0.45
"""Seconds of work between two kills."""
_IN_START = 0.2
"""The share of kills that meet a server before it listens."""
_RUNNERS, _KEYED = 3, 3
HELLO = {"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}
SITE = {"type": "github_repository", "url": "https://github.com/acme/site", "authorization_token": "ghp_secret"}


@dataclass
class Toll:
    """What the kills of one seed have come to.

    ``acknowledged`` runs (or versions of memories) were answered. Of requests whose connection broke, those with a key were ``repeated``, and were
    found done already ``caught_up`` times; of the others (``broken``), ``kept_unanswered`` were done.
    """

    database: str
    seed: int
    kills: int = 0
    kills_in_start: int = 0
    acknowledged: int = 0
    repeated: int = 0
    caught_up: int = 0
    broken: int = 0
    kept_unanswered: int = 0
    lost: int = 0
    doubled: int = 0
    half_made: int = 0
    seconds: float = 0.0
    instants: list[float] = field(default_factory=list[float])
    """Seconds from the start of each stretch of work (or of the server, if negative) to the kill."""
    findings: list[str] = field(default_factory=list[str])

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, doubled, half made, or otherwise odd."""
        return not self.findings

    def show(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Work(Protocol):
    """What keeps a server busy while it is killed, and knows what must be there afterwards."""

    gate: Gate

    def resume(self) -> None:
        """Let the clients in."""
        ...

    def finish(self) -> None:
        """Let every client finish what it has begun, then end."""
        ...

    def check(self, url: str, toll: Toll) -> None:
        """After a restart, with no client about."""
        ...

    def settle(self, url: str, toll: Toll) -> None:
        """In the end."""
        ...


class House(Server):
    """A server that can also be killed before it listens."""

    def kill_in_start(self, port: int, delay: float) -> None:
        """Start it, and kill it after a while, whatever it has come to."""
        self.kill_when(lambda: True, delay, port)

    def kill_when(self, condition: Callable[[], bool], delay: float, port: int = 0) -> None:
        """Start it, and kill it so many seconds after a condition has come true."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*self._command, "--port", str(port)],
                env=environment(**self._variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            deadline = time.monotonic() + SECONDS
            while not condition():
                assert time.monotonic() < deadline, "the server never came that far"
            threading.Event().wait(delay)  # the instant of the kill is what is being tried out
        finally:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """Stop every thread of the process where it is; returns when it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "the server ended by itself"

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


class Busy:
    """A server with clients that never stop asking."""

    def __init__(self, server: House, *, counter: bool = True) -> None:
        self.server = server
        self.gate = Gate()
        good, broken = self._prepare()
        self.clients = [Client(self.gate, each, keyed=n >= _RUNNERS) for n, each in enumerate([*good[:-1], *broken])]
        for client in self.clients[-2:]:
            client.keyed = client is self.clients[-1]
        self.counter = Counter(self.gate, good[-1]) if counter else None
        self.threads: list[threading.Thread] = [*self.clients, *([self.counter] if self.counter else [])]
        for thread in self.threads:
            thread.start()

    def _prepare(self) -> tuple[list[str], list[str]]:
        """Deployments that make sessions, one for each client and one to count in; and two that only make failed runs."""
        ask = self.server.ask
        agent = ask("POST", "/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"}).ok()["id"]
        live = ask("POST", "/v1/environments", {"name": "live"}).ok()["id"]
        over = ask("POST", "/v1/environments", {"name": "over"}).ok()["id"]
        body = {"name": "Work", "agent": agent, "initial_events": [HELLO, HELLO], "resources": [SITE]}
        made = [
            ask("POST", "/v1/deployments", body | {"environment_id": environment_id}).ok()["id"]
            for environment_id in [*[live] * (_RUNNERS + _KEYED + 1), over, over]
        ]
        ask("POST", f"/v1/environments/{over}/archive").ok()
        return made[:-2], made[-2:]

    def resume(self) -> None:
        """Let the clients in."""
        self.gate.port = self.server.port
        self.gate.open.set()

    def finish(self) -> None:
        """Let every client finish what it has begun, then end."""
        self.gate.closing_time.set()
        self.resume()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), f"{thread.name} does not come to an end"

    def answered(self) -> dict[str, bytes]:
        """All runs that any client was told of until now."""
        return {run_id: raw for client in self.clients for run_id, raw in list(client.told.answered.items())}


class Runs(Busy):
    """Clients that fire deployments, and what their runs must have come to."""

    def __init__(self, server: House) -> None:
        super().__init__(server)
        self._checked: set[str] = set()

    def check(self, url: str, toll: Toll) -> None:
        """What clients were told is there, byte for byte, and nothing is half made."""
        _check(self, url, toll, self._checked)

    def settle(self, url: str, toll: Toll) -> None:
        """Each deployment has as many runs as its client must have made, and keys still replay what they did."""
        _settle(self, url, toll)


def rounds(folder: Path, url: str, kind: str, seed: int, kills: int, begin: Callable[[House], Work] = Runs) -> Toll:
    """Kill a server so many times while it does the work that ``begin`` gives it, and see what it has kept."""
    chance = random.Random(seed)
    toll = Toll(kind, seed)
    started = time.monotonic()
    server = House(folder, url, key=KEY)
    if chance.random() < 0.5:  # on the empty database: in the middle of the first migrations
        _kill_in_start(server, 0, chance, toll)
    with server:
        busy = begin(server)
        port = server.port
        while toll.kills < kills:
            busy.resume()
            delay = chance.uniform(_SHORTEST, _LONGEST)
            threading.Event().wait(delay)  # the instant of the kill is what is being tried out
            busy.gate.open.clear()
            server.kill()
            toll.kills += 1
            toll.instants.append(round(delay, 4))
            while toll.kills < kills and chance.random() < _IN_START:
                _kill_in_start(server, port, chance, toll)
            server.start(port)
            busy.check(url, toll)
        busy.finish()
        busy.check(url, toll)
        busy.settle(url, toll)
    if kind == "sqlite":
        toll.findings += tables.sound(folder / "rota.db")
    toll.seconds = round(time.monotonic() - started, 1)
    return toll


def _kill_in_start(server: House, port: int, chance: random.Random, toll: Toll) -> None:
    delay = chance.uniform(0.05, 0.5)
    server.kill_in_start(port, delay)
    toll.kills += 1
    toll.kills_in_start += 1
    toll.instants.append(-round(delay, 4))


def _check(busy: Busy, url: str, toll: Toll, checked: set[str]) -> None:
    answered = busy.answered()
    seen = tables.look(url)
    new = [sentence for sentence in seen.half_made if sentence not in toll.findings]
    toll.half_made += len(new)
    toll.findings += new
    connection = busy.server.connection()
    for run_id in answered.keys() - checked:
        connection.request("GET", f"/v1/deployment_runs/{run_id}", headers={"x-api-key": KEY})
        raw = connection.getresponse().read()
        if run_id not in seen.runs or raw != answered[run_id]:
            toll.lost += 1
            toll.findings.append(f"lost: {answered[run_id]!r}, now {raw!r}")
    connection.close()
    checked |= answered.keys()


def _settle(busy: Busy, url: str, toll: Toll) -> None:
    seen = tables.look(url)
    for client in busy.clients:
        told, runs = client.told, seen.runs_of(client.deployment_id)
        toll.acknowledged += len(told.answered)
        toll.repeated += told.repeated
        toll.caught_up += told.caught_up
        toll.broken += told.broken
        toll.findings += told.surprises
        if client.keyed:
            least = most = len(told.keys)
            if len(told.answered) != len(told.keys):
                toll.findings.append(f"{client.name}: {len(told.keys)} keys gave {len(told.answered)} runs")
            _replay(busy.server, client, toll)
        else:
            least, most = len(told.answered), len(told.answered) + told.broken
            toll.kept_unanswered += runs - least
        if runs > most:
            toll.doubled += runs - most
            toll.findings.append(f"doubled: {client.name} has {runs} runs, at most {most} were asked for")
        if runs < least:
            toll.lost += least - runs
            toll.findings.append(f"lost: {client.name} has {runs} runs, {least} were answered")
    if (counter := busy.counter) is not None:
        toll.findings += counter.surprises
        kept = busy.server.ask("GET", f"/v1/deployments/{counter.deployment_id}").ok()["metadata"].get("count", "0")
        if not counter.answered <= int(kept) <= counter.sent:
            toll.lost += 1
            toll.findings.append(f"the count is {kept}; {counter.answered} was answered, {counter.sent} was sent")


def _replay(server: House, client: Client, toll: Toll) -> None:
    """The newest keys once more: the same bytes, and marked as a replay."""
    for key, raw in list(client.told.keys.items())[-20:]:
        answer = server.ask("POST", f"/v1/deployments/{client.deployment_id}/run", headers={"idempotency-key": key})
        if answer.raw != raw or answer.headers.get("idempotent-replayed") != "true":
            toll.doubled += 1
            toll.findings.append(f"{key} was {raw!r} and is now {answer.raw!r}")
