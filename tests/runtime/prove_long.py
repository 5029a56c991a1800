"""``python -m tests.runtime.prove_long``: what a step of a turn costs as its session's log grows, as a table.

A session whose turn has had so many events is gone on with, on SQLite in this process, by a model that calls a short tool each time: a
round is one request and one call, two steps and four events. The figures are CPU of the whole process for a step; in them is nothing of
a model or a tool.
"""

import argparse
import json
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from rota.base.clock import HandClock
from rota.resources.sessions import sql, turns
from rota.runtime import events
from rota.runtime.advance import Limits
from rota.runtime.log import State
from rota.runtime.pen import Pen
from rota.runtime.provider import ModelRequest, Reply
from rota.store.tx import Tx
from tests.api import Api
from tests.runtime.paper import NOON
from tests.runtime.players import USAGE, say, use
from tests.runtime.stage import Stage, message

EVENTS = (100, 2_000, 10_000)
ROUNDS = 20
"""Over which the CPU of a step is taken."""
A_ROUND, STEPS = 4, 2


def history(length: int) -> list[turns.LogEvent]:
    """The events of a turn that has come so far."""
    pen = Pen(State(self_hosted=False), NOON)
    pen.write("session.status_running")
    pen.write("session.thread_status_running", {"session_thread_id": "sthr_1", "agent_name": "Clerk"})
    pen.write("user.message", {"content": message()["content"]})
    usage = {name: getattr(USAGE, name) for name in USAGE.__struct_fields__ if name.endswith("tokens")}
    for number in range(length // A_ROUND):
        block = use("bash", number, command="true")
        began = pen.write("span.model_request_start")
        body = events.call("bash", block["input"], "allow", {"type": "always_allow"})
        pen.write("agent.tool_use", body, notes={"model_id": block["id"], "started": NOON})
        notes = {"reply": [block], "stop_reason": "tool_use"}
        end = {"model_request_start_id": began.id, "is_error": False, "model_usage": usage}
        pen.write("span.model_request_end", end, notes=notes)
        [call] = pen.state.calls
        pen.write(*events.result(call, events.text("Ran."), is_error=False))
    return pen.new


def cost(api: Api, length: int) -> float:
    """Milliseconds of CPU for a step of a turn that has had so many events."""
    marks: list[float] = []

    def play(request: ModelRequest) -> Reply:
        assert len(request.messages) >= length // STEPS
        marks.append(time.process_time())
        return say("", use("bash", length + len(marks), command="true"))

    def write(tx: Tx) -> None:
        tx.insert(sql.APPEND_NOTED, [turns._row(stage.id, event) for event in history(length)])

    limits = Limits(requests=length + ROUNDS)
    stage = Stage(api, *[play] * (ROUNDS + 2), limits=limits, initial_events=[message("Go on.")])
    stage.player.asked = deque(maxlen=1)  # type: ignore[assignment]
    api.write(write)
    assert stage.turn() == 1
    return (marks[-1] - marks[1]) / (len(marks) - 2) / STEPS * 1000


def measure(lengths: Sequence[int]) -> dict[int, float]:
    """The cost of a step at each length of the log."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/rota.db"
        with Api(url, Path(folder), HandClock(NOON), sqlite_synchronous="NORMAL") as api:
            return {length: cost(api, length) for length in lengths}


def main() -> None:
    """Measure, and say."""
    parser = argparse.ArgumentParser(prog="python -m tests.runtime.prove_long", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=list(EVENTS), help="at which lengths of the log")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    found = measure(given.events)
    if given.json:
        print(json.dumps(found))
        return
    for length, spent in found.items():
        print(f"{length:8,} events {spent:8.2f} ms of CPU a step")


if __name__ == "__main__":
    main()
