"""A clock that can be turned, for tests of whatever depends on time (``rota serve --test-clock``).

Promises: it stands still unless it is told to move; it is kept in the database, so that a restart finds it where it was and
every server of an installation goes by it; a request that turns it is answered after the fires that it caused are committed.
The routes are there only with the flag.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from rota.base.clock import SECOND, KeptClock, from_datetime, to_datetime
from rota.base.errors import InvalidRequest
from rota.base.wire import Wire
from rota.http.request import Request
from rota.http.route import Route
from rota.resources.sessions import turns
from rota.scheduler import sql
from rota.scheduler.ticker import Ticker
from rota.store.tx import Tx

_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class SetClock(Wire):
    """Body of ``POST /rota/v1/test_clock/set``."""

    now: datetime


class AdvanceClock(Wire):
    """Body of ``POST /rota/v1/test_clock/advance``."""

    seconds: Annotated[float, Meta(ge=0, le=100 * 366 * 86400)]


class TestClock(Struct, tag="test_clock", tag_field="type", frozen=True):
    """What the clock shows."""

    now: datetime


def begin(tx: Tx) -> int:
    """The kept time; the present one at the first start."""
    tx.run(sql.BEGIN_CLOCK, now=str(tx.now))
    return read(tx)


def read(tx: Tx) -> int:
    """What the clock shows, in microseconds UTC."""
    row = tx.one(sql.GET_CLOCK)
    return tx.now if row is None else int(row[0])


def put(tx: Tx, now: int) -> None:
    """Turn the clock."""
    tx.run(sql.SET_CLOCK, now=str(now))
    tx.wake(turns.TOPIC)  # a session may have waited for this moment


def routes(ticker: Ticker, clock: KeptClock) -> list[Route]:
    """The routes that turn ``clock``; ``ticker`` fires what comes due."""
    turning = asyncio.Lock()

    async def show(req: Request) -> Any:
        return TestClock(to_datetime(await req.db.read(read)))

    async def set_(req: Request) -> Any:
        body: SetClock = req.body
        moment = body.now if body.now.tzinfo is not None else body.now.replace(tzinfo=UTC)
        if not _EARLIEST <= moment <= _LATEST:
            raise InvalidRequest("now: must be between 1970-01-02 and 9000-01-01")
        async with turning:
            await req.db.write(put, now := from_datetime(moment))
            clock.set(now)
            await ticker.fire()
        return TestClock(to_datetime(now))

    async def advance(req: Request) -> Any:
        body: AdvanceClock = req.body
        async with turning:
            until = await req.db.read(read) + int(body.seconds * SECOND)
            if until > from_datetime(_LATEST):
                raise InvalidRequest("seconds: the clock goes to 9000-01-01 and no further")
            await ticker.walk(until, clock, put)
        return TestClock(to_datetime(until))

    return [
        Route("GET", "/rota/v1/test_clock", "test_clock.retrieve", "Say what the test clock shows", show, TestClock),
        Route(
            "POST", "/rota/v1/test_clock/set", "test_clock.set", "Put the test clock at an instant, forwards or backwards",
            set_, TestClock, body=SetClock, writes=True,
        ),
        Route(
            "POST", "/rota/v1/test_clock/advance", "test_clock.advance", "Turn the test clock forward through all that is due",
            advance, TestClock, body=AdvanceClock, writes=True,
        ),
    ]  # fmt: skip
