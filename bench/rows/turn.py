"""Row 14: what the server adds to a session's work: to the model's (scripted, and so at once), and to its tools'.

A turn is timed by a client that has the session's stream open. Tool calls are timed as one turn of many, less a turn of none, and
held against the same calls made to a bare box in this process. Boxes are opened and closed in turn with a bare ``bwrap`` that
shares nothing. How many sessions can be under way is read from a server whose sessions all wait for a slow model.
"""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.report import AtMost, Line, Section, figure
from bench.rounds import Plan, ratio, spread
from bench.servers import HOST, Server, rota
from bench.stage import Stage
from bench.workload import HEADERS, MODEL, call
from rota.base.settings import Settings
from rota.runtime.sandbox import Mount, Sandbox, Spec
from rota.runtime.sandboxes import binary
from rota.runtime.sandboxes.open import open_sandbox

CALLS = 20
AT_ONCE = 100
START_AIM, CALL_AIM, READY_AIM = AtMost(15.0), AtMost(5.0), AtMost(60.0)
SETTINGS = {"ROTA_MAX_TURNING_SESSIONS": "1000"}
TOOL = {"tool_use": {"name": "bash", "input": {"command": "true"}}}
SLOW = {"delay_ms": 20_000, "text": "Done."}
"""A model that takes its time."""


class Turn(msgspec.Struct, frozen=True):
    """Milliseconds from the answer to the message until the stream shows the first event, the request, and the end."""

    first: float
    request: float
    end: float
    events: int


class Watcher:
    """A client of one session: it has the stream open, sends, and reads until the session rests."""

    def __init__(self, server: Server, session_id: str) -> None:
        self._path = f"/v1/sessions/{session_id}/events"
        self._send = http.client.HTTPConnection(HOST, server.port, timeout=60)
        self._stream = http.client.HTTPConnection(HOST, server.port, timeout=60)
        self._stream.request("GET", f"{self._path}/stream", headers=HEADERS)
        self._lines = self._stream.getresponse()

    def turn(self, *replies: dict[str, Any]) -> Turn:
        """One turn, in which the model replies so."""
        body = msgspec.json.encode({"events": [message(*replies)]})
        self._send.request("POST", self._path, body, {**HEADERS, "content-type": "application/json"})
        answer = self._send.getresponse()
        answer.read()
        if answer.status != 200:
            raise ValueError(f"{answer.status} on {self._path}")
        began, first, request = time.perf_counter(), 0.0, 0.0
        for events, kind in enumerate(self._kinds(), 1):
            now = (time.perf_counter() - began) * 1e3
            first = first or now
            if kind == "span.model_request_start":
                request = request or now
            elif kind == "session.error":
                raise ValueError("the session had an error")
            elif kind == "session.status_idle":
                return Turn(first, request, now, events)
        raise ValueError("the stream ended")

    def _kinds(self) -> Iterator[str]:
        while line := self._lines.readline():
            if line.startswith(b"event: ") and not line.startswith(b"event: ping"):
                yield line[7:].strip().decode()

    def close(self) -> None:
        """Let go of both connections."""
        self._send.close()
        self._stream.close()


def message(*replies: dict[str, Any]) -> dict[str, Any]:
    """A message that makes the scripted model reply so, in turn."""
    script = "\n".join(["#!script", *(msgspec.json.encode(reply).decode() for reply in replies)])
    return {"type": "user.message", "content": [{"type": "text", "text": script}]}


def office(server: Server) -> dict[str, Any]:
    """What every session of the row is made with."""
    tools = [{"type": "agent_toolset_20260401"}]
    agent = call(server, "POST", "/v1/agents", {"name": "bench turns", "model": MODEL, "tools": tools})
    environment = call(server, "POST", "/v1/environments", {"name": "bench turns"})
    return {"agent": agent["id"], "environment_id": environment["id"]}


def watch(server: Server, where: dict[str, Any]) -> Watcher:
    """A new session, watched."""
    return Watcher(server, call(server, "POST", "/v1/sessions", where)["id"])


def starts(server: Server, where: dict[str, Any], plan: Plan) -> list[Line]:
    """How soon a turn begins, and what a whole one takes that waits for nothing."""
    watcher = watch(server, where)
    rounds = 40 if plan.quick else 300
    watcher.turn({"text": "Warm."})
    before = server.gauge.cpu()
    seen = [watcher.turn({"text": "Done."}) for _ in range(rounds)]
    used = (server.gauge.cpu() - before) * 1e3
    watcher.close()
    return [
        figure("a message's 200 to the first event on the stream", spread([each.first for each in seen]), "ms"),
        figure("a message's 200 to span.model_request_start", spread([each.request for each in seen]), "ms", START_AIM),
        figure("a whole turn, whose model answers at once", spread([each.end for each in seen]), "ms"),
        figure("CPU an event", spread([used / sum(each.events for each in seen)]), "ms"),
    ]


async def bare(sandbox: Sandbox, folder: Path, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds: a box until it has run its first call, a bare ``bwrap`` that runs ``true``, a call in an open box."""
    spec = Spec(name="sesn_bench", mounts=(Mount(folder, "/workspace", writable=True),))
    ready, program, calls = list[float](), list[float](), list[float]()
    for _ in range(rounds):
        began = time.perf_counter()
        box = await sandbox.open(spec)
        await box.call("bash", {"command": "true"})
        ready.append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
        await box.call("bash", {"command": "true"})
        for _ in range(CALLS - 1):
            await box.call("bash", {"command": "true"})
        calls.append((time.perf_counter() - began) * 1e3 / CALLS)
        await box.close()
        program.append(await asyncio.to_thread(bare_program))
    return ready, program, calls


def bare_program() -> float:
    """Milliseconds of the sandbox's program alone, around a program that does nothing."""
    path = binary.find().path
    began = time.perf_counter()
    subprocess.run([path, "--ro-bind", "/", "/", "--unshare-all", "true"], check=True, capture_output=True)
    return (time.perf_counter() - began) * 1e3


def tools(server: Server, where: dict[str, Any], stage: Stage) -> tuple[list[Line], list[str]]:
    """What a call costs over the call itself, and how soon a box is there."""
    sandbox = open_sandbox(Settings(data_dir=str(stage.scratch / "none")))
    assert sandbox is not None

    async def measure() -> tuple[str | None, tuple[list[float], list[float], list[float]]]:
        problem = await sandbox.check()
        try:
            return problem, ([], [], []) if problem else await bare(sandbox, stage.scratch / "box", rounds)
        finally:
            await sandbox.close()

    rounds = 3 if stage.plan.quick else 10
    (stage.scratch / "box").mkdir()
    problem, (ready, program, calls) = asyncio.run(measure())
    if problem is not None:
        return [], [f"no sandbox here, so tool calls are not measured: {problem}"]
    watcher = watch(server, where)
    watcher.turn(TOOL, {"text": "Warm."})
    over: list[float] = []
    for alone in calls:
        plain = watcher.turn({"text": "Done."}).end
        full = watcher.turn(*[TOOL] * CALLS, {"text": "Done."}).end
        over.append((full - plain) / CALLS - alone)
    watcher.close()
    return [
        figure("a call in an open box, bare", spread(calls), "ms"),
        figure("the same in a turn: what it takes more, its model request included", spread(over), "ms", CALL_AIM),
        figure("a box from nothing to its first result", spread(ready), "ms", READY_AIM),
        figure("a bare bwrap that runs true", spread(program), "ms"),
        figure("a box's first result / a bare bwrap", ratio(ready, program), "x"),
    ], []


def at_once(server: Server, where: dict[str, Any], stage: Stage) -> list[Line]:
    """Sessions that are under way together: memory while they wait for their model, CPU of one from its start to its end."""
    idle, before = server.gauge.resident(), server.gauge.cpu()
    number = AT_ONCE if stage.plan.quick else 4 * AT_ONCE
    sessions = [
        call(server, "POST", "/v1/sessions", {**where, "initial_events": [message(SLOW)]}) for _ in range(number)
    ]
    wait_for(server, sessions, "span.model_request_start")
    held = (server.gauge.resident() - idle) / number
    used = server.gauge.cpu() - before
    return [
        figure("memory of a session that waits for its model", spread([held / 1024]), "kB"),
        figure("such sessions in a GB", spread([2**30 / held]), ""),
        figure("sessions that one core takes up in a second", spread([number / used]), ""),
    ]


def wait_for(server: Server, sessions: list[Any], kind: str) -> None:
    """Return when every session's log has an event of this type."""
    deadline = time.monotonic() + 120
    for session in sessions:
        path = f"/v1/sessions/{session['id']}/events?types[]={kind}"
        while not call(server, "GET", path)["data"]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {kind} in {session['id']}")
            time.sleep(0.01)


def turn(stage: Stage) -> Section:
    """Row 14."""
    with rota(stage.scratch / "rota", extra=SETTINGS) as server:
        where = office(server)
        stage.tell("turns")
        lines = starts(server, where, stage.plan)
        stage.tell("tools")
        more, notes = tools(server, where, stage)
        stage.tell("many sessions")
        lines += more + at_once(server, where, stage)
    return Section(
        14,
        "turn",
        "sessions that run, scripted model, SQLite",
        "each event is on disk before it is shown",
        lines,
        notes,
    )
