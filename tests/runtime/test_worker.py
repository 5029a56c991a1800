"""The worker: it hears of sessions, turns them side by side, and leaves them well when it stops."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rota.base.turning import Turning
from rota.resources.sessions import turns
from rota.runtime import worker
from rota.runtime.worker import Worker
from rota.store.tx import Query
from tests.api import HELLO, Api
from tests.runtime.players import Bench, Player, fails, say, use
from tests.runtime.stage import INTERRUPT, TOOLSET

HELD = Query(
    "Whether a session is held, and wants a turn.", "SELECT held_until, wants_turn_at FROM sessions WHERE id = :id"
)


class Shop:
    """A house, a worker in it, and sessions to be turned."""

    def __init__(self, api: Api, *replies: Any) -> None:
        self.api = api
        self.player = Player(*replies)
        self.bench = Bench()
        self.agent = api.agent(tools=[TOOLSET])["id"]
        self.environment = api.environment()["id"]

    @asynccontextmanager
    async def open(self, db: Any = None) -> AsyncGenerator[Worker]:
        house = self.api.house
        wake: Any = house.engines[0]
        made = Worker(
            db or house.db, wake, self.api.clock, house.app.policy, self.player, self.bench, blobs=house.blobs
        )
        made.start()
        try:
            yield made
        finally:
            await made.stop()

    async def begin(self) -> str:
        body = {"agent": self.agent, "environment_id": self.environment, "initial_events": HELLO}
        return (await self.api.call("POST", "/v1/sessions", body)).ok()["id"]

    async def until(self, session: str, *statuses: str) -> list[str]:
        """The types of the log, as soon as the session has one of these statuses."""
        async with asyncio.timeout(20):
            while (await self.api.call("GET", f"/v1/sessions/{session}")).ok()["status"] not in statuses:
                await asyncio.sleep(0.01)
        return [each["type"] for each in (await self.api.call("GET", f"/v1/sessions/{session}/events")).ok()["data"]]

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        return self.api.run(work())


def test_a_session_is_turned_as_soon_as_it_is_made(api: Api) -> None:
    shop = Shop(api, say("", use("bash", command="ls")), say("Done."))

    async def work() -> None:
        async with shop.open():
            types = await shop.until(await shop.begin(), "idle")
        assert types[-1] == "session.status_idle"
        assert types.count("agent.tool_result") == 1

    shop.run(work)
    assert shop.bench.ran == [("bash", {"command": "ls"})]


def test_what_waited_for_a_worker_is_taken_up_when_there_is_one(api: Api) -> None:
    shop = Shop(api)

    async def work() -> None:
        sessions = [await shop.begin() for _ in range(5)]
        async with shop.open():
            for session in sessions:
                assert "agent.message" in await shop.until(session, "idle")

    shop.run(work)


class Noted:
    """A store that notes which transactions are asked for."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self.name = db.name
        self.reads: list[str] = []
        self.writes: list[str] = []
        self.looked = asyncio.Event()

    async def read(self, fn: Callable[..., Any], *args: Any) -> Any:
        self.reads.append(fn.__name__)
        if len(self.reads) == 5:
            self.looked.set()
        return await self._db.read(fn, *args)

    async def write(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.writes.append(fn.__name__)
        return await self._db.write(fn, *args, **kwargs)


def test_a_worker_with_nothing_to_do_writes_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BEAT", 0.01)
    shop = Shop(api)

    async def work() -> list[str]:
        noted = Noted(api.house.db)
        async with shop.open(noted):
            async with asyncio.timeout(20):
                await noted.looked.wait()
            before = list(noted.writes)
            await shop.until(await shop.begin(), "idle")
            assert "claim" in noted.writes
        return before

    assert set(shop.run(work)) <= {"lapse"}


def test_one_server_turns_so_many_at_once_and_the_others_wait(api: Api) -> None:
    api.house.app.policy.turning = Turning(sessions=2)
    shop = Shop(api)
    shop.player.gate = asyncio.Event()

    async def work() -> None:
        sessions = [await shop.begin() for _ in range(5)]
        async with shop.open():
            async with asyncio.timeout(20):
                while len(shop.player.asked) < 2:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0)
            assert len(shop.player.asked) == 2
            assert shop.player.gate is not None
            shop.player.gate.set()
            for session in sessions:
                await shop.until(session, "idle")

    shop.run(work)
    assert len(shop.player.asked) == 5


def test_an_interrupt_is_heard_while_a_tool_runs(api: Api) -> None:
    shop = Shop(api, say("", use("bash")))
    shop.bench.gates["bash"] = asyncio.Event()

    async def work() -> None:
        async with shop.open():
            session = await shop.begin()
            await shop.bench.begun.wait()
            await api.call("POST", f"/v1/sessions/{session}/events", {"events": [INTERRUPT]})
            types = await shop.until(session, "idle")
            assert types[-5:-3] == ["agent.tool_result", "user.interrupt"]

    shop.run(work)
    assert shop.bench.cancelled == ["bash"]


def test_a_worker_that_stops_lets_a_step_end_and_gives_the_session_up(api: Api) -> None:
    shop = Shop(api, say("", use("bash")), say("Done."))
    gate = shop.bench.gates["bash"] = asyncio.Event()

    async def work() -> None:
        async with shop.open() as ending:
            session = await shop.begin()
            await shop.bench.begun.wait()
            stopping = asyncio.create_task(ending.stop())
            await asyncio.sleep(0.05)
            assert not stopping.done()
            gate.set()
            await stopping
        types = await shop.until(session, "running")
        assert types[-1] == "agent.tool_result"
        held, wants = await api.house.db.read(lambda tx: tx.one(HELD, id=session))
        assert held is None
        assert wants is not None
        async with shop.open():
            assert (await shop.until(session, "idle")).count("agent.tool_result") == 1

    shop.run(work)
    assert len(shop.bench.ran) == 1


def test_a_worker_that_may_not_wait_gives_up_in_the_middle(api: Api) -> None:
    api.house.app.policy.turning = Turning(patience=0.05)
    shop = Shop(api, say("", use("bash")), say("Done."))
    shop.bench.gates["bash"] = asyncio.Event()

    async def work() -> None:
        async with shop.open():
            session = await shop.begin()
            await shop.bench.begun.wait()
        held, _ = await api.house.db.read(lambda tx: tx.one(HELD, id=session))
        assert held is None
        async with shop.open():
            await shop.until(session, "idle")
        log = (await api.call("GET", f"/v1/sessions/{session}/events")).ok()["data"]
        [result] = [event for event in log if event["type"] == "agent.tool_result"]
        assert "cut short by a restart" in result["content"][0]["text"]

    shop.run(work)
    assert len(shop.bench.ran) == 1


def test_an_embedded_database_has_no_other_holders_when_its_server_starts(sqlite_api: Api) -> None:
    shop = Shop(sqlite_api)

    async def work() -> None:
        session = await shop.begin()
        assert await sqlite_api.house.db.write(turns.claim, 1, 10**12, [])  # by somebody who was killed
        async with shop.open():
            await shop.until(session, "idle")

    shop.run(work)


def test_a_turn_that_another_has_taken_up_is_stopped_when_its_hold_is_not_renewed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RENEW", 0.01)
    shop = Shop(api, say("", use("bash")))
    shop.bench.gates["bash"] = asyncio.Event()

    async def work() -> dict[str, Any]:
        async with shop.open() as late:
            session = await shop.begin()
            await shop.bench.begun.wait()
            await api.house.db.write(lambda tx: tx.all(turns.sql.HOLD, ids=[session], until=tx.now + 10**9))
            async with asyncio.timeout(20):
                while not shop.bench.cancelled:
                    await asyncio.sleep(0.01)
            while not (counts := {count.name: getattr(count, "numbers", None) for count in late.counts()})[
                "rota_turn_turns"
            ]:
                await asyncio.sleep(0)
            return counts

    assert shop.run(work)["rota_turn_turns"] == {("lost",): 1.0}


def test_a_retry_is_made_when_the_clock_has_come_to_it(api: Api) -> None:
    shop = Shop(api, fails(after=30.0), say("Done."))

    async def work() -> None:
        async with shop.open():
            session = await shop.begin()
            await shop.until(session, "rescheduling")
            api.clock.advance(seconds=31)
            await shop.until(session, "idle")

    shop.run(work)
    assert len(shop.player.asked) == 2


def test_the_counts_say_what_was_done(sqlite_api: Api) -> None:
    shop = Shop(sqlite_api, say("", use("bash")), say("Done."))

    async def work() -> dict[str, Any]:
        async with shop.open() as busy:
            await shop.until(await shop.begin(), "idle")
        return {count.name: getattr(count, "numbers", None) for count in busy.counts()}

    counts = shop.run(work)
    assert counts["rota_turn_turns"] == {("rest",): 1.0}
    assert counts["rota_turn_tool_calls"] == {("bash", "ok"): 1.0}
    assert counts["rota_turn_model_requests"] == {("ok",): 2.0}
    assert counts["rota_turn_tokens"][("input",)] == 200.0
