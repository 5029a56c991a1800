"""Many processes on one PostgreSQL, each with one duty, two of each: what is due fires once, whoever is killed or restarted."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.server import Server
from tests.courier.receiver import Receiver, receiving

SETTINGS = {
    "ROTA_WAKES": "procrastinate",
    "ROTA_ALLOW_PRIVATE_HOSTS": "127.0.0.1",
    "ROTA_SEAL_KEY": "c2l4dGVlbiBzaXh0ZWVuIHNpeHRlZW4gc2l4dGVlbiE",
}
EVERY_MINUTE = {"type": "cron", "expression": "* * * * *", "timezone": "UTC"}
HELLO = {"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}
DUTIES = ("api", "scheduler", "courier")


class Machines:
    """Two servers for each duty, on a clock that stands still until ``minute`` turns it in the database, for all of them."""

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url
        self.all = {
            duty: [
                Server(folder / f"{duty}-{number}", url, "--test-clock", "--only", duty, **SETTINGS)
                for number in range(2)
            ]
            for duty in DUTIES
        }
        self.minutes = 0

    async def start(self) -> None:
        first, *others = [server for duty in DUTIES for server in self.all[duty]]
        await asyncio.to_thread(first.start)
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in others))

    async def stop(self) -> None:
        running = [server for duty in DUTIES for server in self.all[duty] if server._process is not None]
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in running))

    def kill(self) -> None:
        for duty in DUTIES:
            for server in self.all[duty]:
                if server._process is not None:
                    server.kill()

    def minute(self) -> None:
        """A minute passes, for whoever looks at the clock next."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(
                "UPDATE installation SET value = (value::bigint + 60000000)::text WHERE key = 'test_clock'"
            )
        self.minutes += 1

    def deployment(self) -> str:
        api = self.all["api"][0]
        agent = api.ask("POST", "/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"}).ok()
        environment = api.ask("POST", "/v1/environments", {"name": "office"}).ok()
        body = {
            "name": "Report", "agent": agent["id"], "environment_id": environment["id"],
            "initial_events": [HELLO], "schedule": EVERY_MINUTE,
        }  # fmt: skip
        return api.ask("POST", "/v1/deployments", body).ok()["id"]


def runs(api: Server, deployment: str) -> dict[str, str]:
    """The runs by the occurrence that they are of. Fails if an occurrence has two."""
    found = api.ask("GET", f"/v1/deployment_runs?deployment_id={deployment}&limit=100").ok()["data"]
    by_occurrence = {run["trigger_context"]["scheduled_at"]: run["id"] for run in found}
    assert len(by_occurrence) == len(found), found
    return by_occurrence


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.05)


async def told(receiver: Receiver, run_ids: set[str]) -> None:
    """Wait until the beginning of each run was told."""
    async with asyncio.timeout(60), receiver._more:
        await receiver._more.wait_for(
            lambda: all(any(i in each.body for each in receiver.told["/ok"]) for i in run_ids)
        )


@pytest.mark.slow
def test_two_of_each_duty_fire_and_tell_each_occurrence_once_though_they_are_killed_and_restarted(
    postgres_url: str, tmp_path: Path
) -> None:
    async def work(machines: Machines, receiver: Receiver) -> None:
        await machines.start()
        one, other = machines.all["api"]
        endpoint = {"url": receiver.url("/ok"), "enabled_events": ["deployment_run.started"]}
        await asyncio.to_thread(lambda: one.ask("POST", "/rota/v1/webhooks", endpoint).ok())
        deployment = await asyncio.to_thread(machines.deployment)

        async def passes(api: Server) -> None:
            """A minute passes, and its occurrence has fired, as the other machine sees it."""
            await asyncio.to_thread(machines.minute)
            await eventually(lambda: len(runs(api, deployment)) >= machines.minutes)

        await passes(other)
        await told(receiver, set(runs(other, deployment).values()))

        scheduler = machines.all["scheduler"][0]
        await asyncio.to_thread(scheduler.kill)
        await passes(other)
        await asyncio.to_thread(scheduler.start)

        for duty in DUTIES:  # a rolling restart: always one of two is away
            for server, witness in ((0, 1), (1, 0)):
                leaving = machines.all[duty][server]
                leaving.terminate()
                await passes(machines.all["api"][witness])
                assert await asyncio.to_thread(leaving.wait) == 0, leaving.errors()
                await asyncio.to_thread(leaving.start)

        fired = await asyncio.to_thread(runs, other, deployment)
        assert len(fired) == machines.minutes
        await told(receiver, set(fired.values()))
        lapses = other.ask("GET", f"/rota/v1/deployments/{deployment}/occurrences").ok()["data"]
        assert {each["kind"] for each in lapses} <= {"fired", "upcoming"}, lapses
        await machines.stop()
        said = "".join(server.errors() for duty in DUTIES for server in machines.all[duty])
        assert "wake-ups between processes are interrupted" not in said
        assert "the queue engine does not end" not in said

    async def run() -> None:
        machines = Machines(tmp_path, postgres_url)
        async with receiving() as receiver:
            try:
                await work(machines, receiver)
            finally:
                await asyncio.to_thread(machines.kill)

    asyncio.run(run())
