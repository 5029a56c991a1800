"""How much of long bodies is in memory at a time, whatever many callers send at once."""

import asyncio
from typing import Any

import pytest

from rota.base.errors import Crowded
from rota.base.wire import LONG_BODY
from rota.http import space
from rota.http.space import Space
from tests.api import Api


def run(work: Any) -> None:
    asyncio.run(work())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_whoever_comes_while_there_is_no_space_waits_in_line() -> None:
    async def work() -> None:
        room = Space(10)
        await room.take(6)
        large, small = asyncio.ensure_future(room.take(5)), asyncio.ensure_future(room.take(1))
        await settle()
        assert not large.done()
        assert not small.done()  # there would be space for it, but it came later
        room.give(1)
        await settle()
        assert large.done()
        assert not small.done()
        room.give(5)
        await settle()
        assert small.done()
        room.give(6)
        await room.take(10)

    run(work)


def test_whoever_waits_too_long_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        room = Space(10)
        await room.take(10)
        monkeypatch.setattr(space, "PATIENCE", 0)
        with pytest.raises(Crowded):
            await room.take(1)
        monkeypatch.setattr(space, "PATIENCE", 10)
        room.give(10)
        await room.take(10)  # nothing was lost

    run(work)


def test_whoever_leaves_the_line_makes_way_and_loses_nothing() -> None:
    async def work() -> None:
        room = Space(10)
        await room.take(5)
        first, second = asyncio.ensure_future(room.take(10)), asyncio.ensure_future(room.take(5))
        await settle()
        first.cancel()
        await settle()
        assert second.done()
        third = asyncio.ensure_future(room.take(3))
        await settle()
        room.give(10)
        third.cancel()  # at the moment at which its turn has come
        await settle()
        await room.take(10)

    run(work)


class Ledger(Space):
    """Notes how much was taken at most."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.taken = self.most = self.times = 0

    async def take(self, size: int) -> None:
        await super().take(size)
        self.times += 1
        self.taken += size
        self.most = max(self.most, self.taken)

    def give(self, size: int) -> None:
        self.taken -= size
        super().give(size)


def body(number: int) -> bytes:
    return b'{"name":"e%d","description":"%s"}' % (number, b"x" * LONG_BODY)


@pytest.mark.parametrize("pieces", [False, True], ids=["with its length", "in chunks"])
def test_long_bodies_share_what_there_is_and_all_get_their_answer(sqlite_api: Api, pieces: bool) -> None:
    app = sqlite_api.house.app
    whole = 32 * 1024 * 1024 if pieces else len(body(0))  # who does not say how long it is may send the most
    app.space = ledger = Ledger(2 * whole)

    def raw(number: int) -> Any:
        text = body(number)
        return [text[:1000], text[1000:-5], text[-5:]] if pieces else text

    answers = sqlite_api.gather([sqlite_api.call("POST", "/v1/environments", raw=raw(n)) for n in range(8)])
    assert [answer.status for answer in answers] == [400] * 8  # a description that is too long
    assert ledger.times == 8
    assert ledger.most <= 2 * whole
    assert ledger.taken == 0


def test_short_bodies_do_not_ask(sqlite_api: Api) -> None:
    sqlite_api.house.app.space = Ledger(0)
    sqlite_api.environment()
    assert sqlite_api.post("/v1/environments", raw=b'{"name":"x"}'.ljust(LONG_BODY - 1)).ok()


def test_a_crowd_is_503_and_may_come_again(sqlite_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "PATIENCE", 0)
    app = sqlite_api.house.app
    app.space = Ledger(LONG_BODY)
    sqlite_api.run(app.space.take(1))
    refused = sqlite_api.post("/v1/environments", raw=b'{"name":"x"}'.ljust(LONG_BODY))
    assert "long requests" in refused.refused(503, "overloaded_error")
    assert refused.headers["retry-after"] == "1"
    app.space.give(1)
    assert sqlite_api.post("/v1/environments", raw=b'{"name":"x"}'.ljust(LONG_BODY)).ok()
