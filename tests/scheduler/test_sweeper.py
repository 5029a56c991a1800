"""Housekeeping is done when it is due, whatever happens to some of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rota.base.clock import DAY, HandClock
from rota.main import build
from rota.queue.chore import Chore, Tools
from rota.scheduler import sweeper as module
from rota.scheduler.sweeper import Sweeper
from tests.api import Api
from tests.conftest import START


def chore(name: str, done: list[str], seconds: float = 100, *, fails: bool = False) -> Chore:
    async def run(_tools: Tools) -> int:
        done.append(name)
        if fails:
            raise RuntimeError("no luck")
        return 3

    return Chore(name, seconds, run)


def sweep(api: Api, sweeper: Sweeper) -> None:
    api.run(sweeper.sweep())


def tools(api: Api) -> Tools:
    return Tools(db=api.house.db, blobs=api.house.blobs, policy=api.house.app.policy)


def numbers(sweeper: Sweeper) -> dict[str, dict[tuple[str, ...], float]]:
    return {count.name: count.numbers for count in sweeper.counts()}


def test_a_chore_is_done_once_in_each_span_give_or_take_a_tenth(still_api: Api) -> None:
    clock, done = HandClock(START), list[str]()
    sweeper = Sweeper([chore("a", done)], tools(still_api), clock)
    clock.advance(seconds=101)
    sweep(still_api, sweeper)
    assert done == ["a"]
    for _ in range(20):
        clock.advance(seconds=89)
        sweep(still_api, sweeper)
        before = len(done)
        clock.advance(seconds=22)
        sweep(still_api, sweeper)
        assert len(done) == before + 1, "never before nine tenths of its span, always after eleven"
    assert numbers(sweeper)["rota_chore_tidied"] == {("a",): 3 * len(done)}


def test_servers_that_start_together_do_not_sweep_together(still_api: Api) -> None:
    clock = HandClock(START)
    dues = {Sweeper([chore("a", [])], tools(still_api), clock)._records[0].due for _ in range(20)}
    assert len(dues) == 20
    assert all(START <= due <= START + 100_000_000 for due in dues)


def test_a_chore_that_fails_stops_nothing_and_is_tried_again(still_api: Api) -> None:
    clock, done = HandClock(START), list[str]()
    sweeper = Sweeper([chore("bad", done, fails=True), chore("good", done)], tools(still_api), clock)
    for _ in range(3):
        clock.advance(seconds=120)
        sweep(still_api, sweeper)
    assert done == ["bad", "good"] * 3
    assert numbers(sweeper)["rota_chore_runs"] == {
        ("bad", "done"): 0, ("bad", "failed"): 3, ("good", "done"): 3, ("good", "failed"): 0,
    }  # fmt: skip


@pytest.mark.parametrize("jump", [-3650 * DAY, 3650 * DAY])
def test_a_clock_that_jumps_delays_no_chore_and_repeats_none(still_api: Api, jump: int) -> None:
    clock, done = HandClock(START), list[str]()
    sweeper = Sweeper([chore("a", done)], tools(still_api), clock)
    clock.advance(seconds=101)
    sweep(still_api, sweeper)
    clock.set(clock.now() + jump)
    sweep(still_api, sweeper)
    sweep(still_api, sweeper)
    assert len(done) <= 2
    clock.advance(seconds=111)
    sweep(still_api, sweeper)
    assert len(done) >= 2


def until(api: Api, condition: Callable[[], Any], work: Callable[[], Awaitable[None]]) -> None:
    """Let a started sweeper run on this loop until a condition holds."""

    async def wait() -> None:
        await work()
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)

    api.run(wait())


def test_it_runs_by_itself_and_ends_while_a_chore_is_under_way(still_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHORTEST", 0.001)
    clock, done, cut = HandClock(START), list[str](), list[str]()

    async def endless(_tools: Tools) -> int:
        done.append("endless")
        try:
            await asyncio.Event().wait()
        finally:
            cut.append("endless")
        return 0

    sweeper = Sweeper([Chore("endless", 0.001, endless)], tools(still_api), clock)

    async def start() -> None:
        sweeper.start()
        clock.advance(seconds=1)

    until(still_api, lambda: done, start)
    still_api.run(sweeper.stop())
    assert cut == done == ["endless"]
    still_api.run(sweeper.stop())


def test_its_sleep_is_neither_none_nor_long(still_api: Api) -> None:
    for seconds in (0.0, 1e-9, 1.0, 1e9):
        sweeper = Sweeper([chore("a", [], seconds)], tools(still_api), HandClock(START))
        assert 0.01 < sweeper._pause() <= 5
    assert Sweeper([], tools(still_api), HandClock(START))._pause() == 5


def test_a_house_sweeps_if_that_is_its_duty_and_says_what_it_did(sqlite_api: Api) -> None:
    assert Sweeper in [type(each) for each in sqlite_api.house.engines]
    text = sqlite_api.get("/metrics", key=None).body
    for name in ("rota_chore_runs_total", "rota_chore_tidied_total", "rota_chore_seconds_total"):
        assert f"# TYPE {name.removesuffix('_total')}_total counter" in text or f"# TYPE {name} counter" in text


def test_a_house_without_that_duty_does_not_sweep(tmp_path: Any) -> None:
    from rota.base.settings import Settings

    settings = Settings(database=f"sqlite:///{tmp_path / 'rota.db'}", data_dir=str(tmp_path), only="api")

    async def work() -> int:
        async with build(settings) as house:
            return sum(isinstance(engine, Sweeper) for engine in house.engines)

    assert asyncio.run(work()) == 0
