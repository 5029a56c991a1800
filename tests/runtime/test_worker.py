"""The worker: it hears of sessions, turns them side by side, and leaves them well when it stops."""

import asyncio

from rota.runtime.worker import Worker
from tests.api import HELLO, Api
from tests.runtime.players import Bench, Player, say, use
from tests.runtime.stage import TOOLSET


def worker(api: Api, player: Player, bench: Bench) -> Worker:
    wake = next(engine for engine in api.house.engines if hasattr(engine, "wait"))
    return Worker(api.house.db, wake, api.clock, api.house.app.policy, player, bench, blobs=api.house.blobs)  # type: ignore[arg-type]


def test_a_session_is_turned_as_soon_as_it_is_made(api: Api) -> None:
    player, bench = Player(say("", use("bash", command="ls")), say("Done.")), Bench()
    agent = api.agent(tools=[TOOLSET])["id"]
    environment = api.environment()["id"]

    async def work() -> list[str]:
        turning = worker(api, player, bench)
        turning.start()
        try:
            made = await api.call(
                "POST", "/v1/sessions", {"agent": agent, "environment_id": environment, "initial_events": HELLO}
            )
            path = f"/v1/sessions/{made.ok()['id']}"
            async with asyncio.timeout(10):
                while (await api.call("GET", path)).ok()["status"] != "idle":
                    await asyncio.sleep(0.01)
            return [event["type"] for event in (await api.call("GET", f"{path}/events")).ok()["data"]]
        finally:
            await turning.stop()

    types = api.run(work())
    assert types[-1] == "session.status_idle"
    assert types.count("agent.tool_result") == 1
    assert bench.ran == [("bash", {"command": "ls"})]
