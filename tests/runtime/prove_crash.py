"""``python -m tests.runtime.prove_crash``: generated crashes of the turn engine, as a table.

First every point of a scripted session, then random handfuls of them, over both databases in this process; then, with
``--processes N``, a real server that is killed N times at random moments while it turns sessions.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from rota.base.clock import HandClock
from tests.acceptance.server import Server
from tests.api import Api
from tests.databases import fresh, postgres_server
from tests.runtime.crashes import Life, baseline
from tests.runtime.paper import NOON
from tests.runtime.stage import short


def points(kind: str, postgres: str | None, handfuls: int, seed: int) -> tuple[int, int]:
    """Rounds and deaths in which everything held, over one database. AssertionError otherwise, with the deaths."""
    chance, rounds, deaths = random.Random(seed), 0, 0
    with tempfile.TemporaryDirectory() as folder, fresh(kind, Path(folder), postgres) as url:
        clock = HandClock(NOON)
        with Api(url, Path(folder), clock, sqlite_synchronous="NORMAL") as api:
            expected, names = baseline(api, clock)
            plans = [[number] for number in range(1, len(names) + 1)]
            plans += [sorted(chance.sample(range(1, 2 * len(names)), chance.randint(2, 5))) for _ in range(handfuls)]
            for plan in plans:
                life = Life(api, clock, *plan)
                api.run(life.live())
                try:
                    life.check(expected)
                except AssertionError as exc:
                    raise AssertionError(f"{kind}, deaths at {plan}: {exc}") from exc
                rounds, deaths = rounds + 1, deaths + len(plan) - len(life.fate.deaths)
    return rounds, deaths


SESSION = '#!script\n{"delay_ms": 40, "text": "One.", "tool_use": {"name": "bash", "input": {"command": "true"}}}\n{"delay_ms": 40, "text": "Two."}'


def processes(kills: int, seed: int) -> Counter[str]:
    """Kill a server at random moments; what became of the sessions that it was turning."""
    chance, seen, ids = random.Random(seed), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), ROTA_MODEL_PROVIDER="scripted", ROTA_SANDBOX="off", ROTA_ONLY="api,worker")
        server.start()
        agent = server.ask(
            "POST", "/v1/agents", {"name": "A", "model": "m", "tools": [{"type": "agent_toolset_20260401"}]}
        ).ok()["id"]
        environment = server.ask("POST", "/v1/environments", {"name": "e"}).ok()["id"]
        body = {
            "agent": agent, "environment_id": environment,
            "initial_events": [{"type": "user.message", "content": [{"type": "text", "text": SESSION}]}],
        }  # fmt: skip
        for _ in range(kills):
            ids += [server.ask("POST", "/v1/sessions", body).ok()["id"] for _ in range(4)]
            time.sleep(chance.uniform(0, 0.2))
            server.kill()
            server.start()
        deadline = time.monotonic() + 60
        while any(server.ask("GET", f"/v1/sessions/{each}").ok()["status"] != "idle" for each in ids):
            assert time.monotonic() < deadline, "sessions are left behind"
            time.sleep(0.1)
        for each in ids:
            events = server.ask("GET", f"/v1/sessions/{each}/events").ok()["data"]
            kept = [short({**event, "is_error": False}) for event in events if not event["type"].startswith("span.")]
            assert kept == [
                "S:running", "T:running", "user.message", "agent.message", "agent.tool_use", "agent.tool_result",
                "agent.message", "T:idle end_turn", "S:usage", "S:idle end_turn",
            ], kept  # fmt: skip
            assert len({event["id"] for event in events}) == len(events)
            broken = sum(event.get("is_error") is True and event["type"].startswith("span.") for event in events)
            restarted = any("cut short by a restart" in str(event.get("content")) for event in events)
            seen["asked again"] += bool(broken)
            seen["not run again"] += restarted
            seen["sessions"] += 1
        server.stop()
    return seen


def main() -> None:
    """Say what was proven."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--handfuls", type=int, default=100)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with ExitStack() as stack:
        postgres = stack.enter_context(postgres_server())
        for kind in ("sqlite", "postgres"):
            begun = time.perf_counter()
            rounds, deaths = points(kind, postgres, options.handfuls, options.seed)
            print(
                f"{kind:10} {rounds:5} sessions {deaths:5} deaths  {time.perf_counter() - begun:6.1f} s  all as without"
            )
    if options.processes:
        seen = processes(options.processes, options.seed)
        print(f"{'processes':10} {options.processes:5} kills  {dict(seen)}")


if __name__ == "__main__":
    main()
