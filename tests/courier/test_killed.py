"""A server that is killed while it tells; ``python -m tests.courier.prove`` does the same at length, and in real time."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.server import Server
from tests.courier.prove import SETTINGS, agent, subscribe, told
from tests.courier.receiver import receiving


@pytest.mark.slow
def test_what_was_acknowledged_is_told_although_the_courier_was_killed(database_url: str, tmp_path: Path) -> None:
    async def work() -> tuple[set[str], set[str]]:
        acknowledged: set[str] = set()
        async with receiving() as receiver:
            receiver.answers["/ok"] = "hang"  # so that it dies with deliveries in its hands
            server = Server(tmp_path, database_url, "--test-clock", **SETTINGS).start()
            subscribe(server, receiver.url("/ok"))
            for number in range(8):
                acknowledged.add(await asyncio.to_thread(agent, server, f"agent {number}"))
            await receiver.got("/ok", 4)
            await asyncio.to_thread(server.kill)
            receiver.answers["/ok"] = "ok"
            receiver.told.clear()
            await asyncio.to_thread(server.start)
            await receiver.got("/ok", 4)  # those that nobody held
            await asyncio.to_thread(server.ask, "POST", "/rota/v1/test_clock/advance", {"seconds": 61})
            await receiver.got("/ok", 8)  # and those whose holder is no more
            await asyncio.to_thread(server.stop)
            return acknowledged, set(told(receiver, "/ok"))

    acknowledged, heard = asyncio.run(work())
    assert heard == acknowledged
