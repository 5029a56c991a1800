"""``python -m tests.courier.prove``: a real server, endpoints that are dead in every way, and a courier that is killed.

Two tables. *Lateness*: events at a steady pace to one healthy endpoint while ``--dead`` others hang, drip, refuse, redirect, lie and
slam the door; from the instant in the event to its arrival, by one clock. *Kills*: the server is killed (-9) again and again
while things happen; every change that was acknowledged must be told at least once. The exit code is 1 if the healthy
endpoint's p99 is over a second, or anything was lost.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.acceptance.server import Server
from tests.cli.process import answer
from tests.courier.receiver import Receiver, receiving
from tests.databases import fresh, postgres_server

WAYS = ("hang", "drip", "500", "404", "redirect", "lies", "slams")
SETTINGS = {"ROTA_ALLOW_PRIVATE_HOSTS": "127.0.0.1"}
MOST = 32
"""Endpoints of one workspace."""
LEASE = 60.0
"""Seconds after which what a killed courier had in its hands is told again."""


def subscribe(server: Server, url: str, key: str = "") -> None:
    """Make an endpoint in the workspace of a key (the first one's if none is given)."""
    server.ask("POST", "/rota/v1/webhooks", {"url": url, "enabled_events": ["agent.created"]}, key=key).ok()


def agent(server: Server, name: str, key: str = "") -> str:
    """Let something happen in the workspace of a key; the id of what it happened to."""
    return server.ask("POST", "/v1/agents", {"name": name, "model": "m"}, key=key).ok()["id"]


def workspace(server: Server, name: str) -> str:
    """The key of a new workspace."""
    made = answer("workspaces", "create", name, *server.place)
    return answer("keys", "create", "--workspace", made["id"], *server.place)["key"]


def told(receiver: Receiver, path: str) -> dict[str, float]:
    """When each agent was first told, by its id: seconds from the event's instant to its arrival."""
    offset = time.time() - time.monotonic()
    first: dict[str, float] = {}
    for each in receiver.told[path]:
        event = json.loads(each.body)
        happened = datetime.fromisoformat(event["created_at"]).timestamp()
        first.setdefault(event["data"]["id"], each.at + offset - happened)
    return first


async def lateness(url: str, folder: Path, dead: int, events: int, pace: float) -> dict[str, Any]:
    """The healthy endpoint's lateness at ``pace`` events a second, beside ``dead`` others that get the same."""
    async with receiving() as receiver:
        with Server(folder, url, **SETTINGS) as server:
            subscribe(server, receiver.url("/ok"))
            others = [workspace(server, f"workspace {number}") for number in range(-(-dead // MOST))]
            for number in range(dead):
                subscribe(server, receiver.url(f"/{WAYS[number % len(WAYS)]}/{number}"), others[number // MOST])
            began = time.monotonic()
            for number in range(events):
                for key in ("", *others):
                    await asyncio.to_thread(agent, server, f"agent {number}", key)
                await asyncio.sleep(max(0.0, began + number / pace - time.monotonic()))
            await receiver.got("/ok", events, seconds=60)
            late = sorted(told(receiver, "/ok").values())
            await receiver.close()  # what hangs would hold up the server's end
            return {
                "events": events, "dead endpoints": dead, "attempts on the dead": sum(
                    len(found) for path, found in receiver.told.items() if path != "/ok"
                ), "p50 s": late[len(late) // 2], "p99 s": late[int(len(late) * 0.99)], "max s": late[-1],
            }  # fmt: skip


async def kills(url: str, folder: Path, count: int, seed: int) -> dict[str, Any]:
    """What arrives of what was acknowledged, if the server is killed ``count`` times meanwhile."""
    chance = random.Random(seed)
    acknowledged: list[str] = []
    async with receiving() as receiver:
        server = Server(folder, url, **SETTINGS)
        server.start()
        subscribe(server, receiver.url("/ok"))
        for _ in range(count):
            until = time.monotonic() + chance.uniform(0.05, 0.6)
            while time.monotonic() < until:
                acknowledged.append(await asyncio.to_thread(agent, server, f"agent {len(acknowledged)}"))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        deadline = time.monotonic() + LEASE + 30
        while (missing := set(acknowledged) - told(receiver, "/ok").keys()) and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        await asyncio.to_thread(server.stop)
        arrived = len(receiver.told["/ok"])
        return {
            "kills": count, "acknowledged": len(acknowledged), "lost": len(missing),
            "told again": arrived - len(told(receiver, "/ok")),
        }  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.courier.prove", description=__doc__)
    parser.add_argument("--dead", type=int, default=50, help="dead endpoints, in workspaces beside the healthy one")
    parser.add_argument("--events", type=int, default=400)
    parser.add_argument("--pace", type=float, default=20.0, help="events a second")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    asked = parser.parse_args(arguments)
    console, good = Console(width=None if sys.stdout.isatty() else 150), True
    with postgres_server() as postgres:
        for kind in ("sqlite", "postgres") if asked.database == "both" else (asked.database,):
            for title, work in (
                ("lateness", lambda url, folder: lateness(url, folder, asked.dead, asked.events, asked.pace)),
                ("kills", lambda url, folder: kills(url, folder, asked.kills, asked.seed)),
            ):
                with (
                    tempfile.TemporaryDirectory(prefix="rota-courier-") as name,
                    fresh(kind, Path(name), postgres) as url,
                ):
                    found = asyncio.run(work(url, Path(name)))
                table = Table("what", kind, title=f"{title}, {kind}")
                for what, value in found.items():
                    table.add_row(what, f"{value:.3f}" if isinstance(value, float) else f"{value:,}")
                console.print(table)
                good = good and found.get("lost", 0) == 0 and found.get("p99 s", 0.0) <= 1.0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
