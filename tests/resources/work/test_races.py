"""Many pollers at once, at one server and at several: every item is handed out to one of them."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from tests.api import Api, Response
from tests.conftest import START
from tests.resources.work.office import Office, token_of

ITEMS, POLLERS = 12, 30


@pytest.fixture
def houses(database_url: str, tmp_path: Path) -> Iterator[list[Api]]:
    """Two servers of one database, where it can have two."""
    with ExitStack() as stack:
        clock = HandClock(START)
        count = 1 if database_url.startswith("sqlite") else 2
        yield [stack.enter_context(Api(database_url, tmp_path, clock)) for _ in range(count)]


def at_once(houses: list[Api], office: Office, polls: int, **more: Any) -> list[Response]:
    """So many polls at the same time, at each server in turn."""

    async def poll(house: Api) -> Response:
        return await house.call("GET", f"{office.path}/poll", key=office.key, **more)

    async def all_() -> list[Response]:
        return list(await asyncio.gather(*(poll(houses[number % len(houses)]) for number in range(polls))))

    return houses[0].run(all_())


def test_each_item_is_handed_out_to_one_poller(houses: list[Api]) -> None:
    office = Office(houses[0])
    sessions = [office.session() for _ in range(ITEMS)]
    found = [response.ok() for response in at_once(houses, office, POLLERS)]
    given = [item for item in found if item is not None]
    assert sorted(item["data"]["id"] for item in given) == sorted(sessions)
    assert len({token_of(item) for item in given}) == ITEMS


def test_pollers_that_wait_share_what_comes(houses: list[Api]) -> None:
    office = Office(houses[0])
    api = houses[0]
    bodies = {"agent": office.agent, "environment_id": office.environment}
    sessions = [api.post("/v1/sessions", bodies).ok()["id"] for _ in range(ITEMS)]

    async def poll(house: Api) -> Response:
        return await house.call("GET", f"{office.path}/poll?block_ms=999", key=office.key)

    async def race() -> list[Response]:
        polls = [asyncio.ensure_future(poll(houses[number % len(houses)])) for number in range(POLLERS)]
        await asyncio.wait(polls, timeout=0.05)
        hello = {"events": [{"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}]}
        await asyncio.gather(*(api.call("POST", f"/v1/sessions/{each}/events", hello) for each in sessions))
        return list(await asyncio.gather(*polls))

    given = [response.ok() for response in api.run(race())]
    assert sorted(item["data"]["id"] for item in given if item is not None) == sorted(sessions)


def test_many_messages_at_once_queue_a_session_once(houses: list[Api]) -> None:
    office = Office(houses[0])
    api = houses[0]
    session = api.post("/v1/sessions", {"agent": office.agent, "environment_id": office.environment}).ok()["id"]
    hello = {"events": [{"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}]}

    async def race() -> list[Response]:
        calls = [houses[n % len(houses)].call("POST", f"/v1/sessions/{session}/events", hello) for n in range(12)]
        return list(await asyncio.gather(*calls))

    assert all(response.status == 200 for response in api.run(race()))
    assert office.states() == ["queued"]


def test_of_two_workers_with_one_item_one_keeps_it(houses: list[Api]) -> None:
    office = Office(houses[0])
    office.session()
    tokens = [
        token_of(response.ok())
        for _ in range(3)
        for response in at_once(houses, office, 1, query={"reclaim_older_than_ms": 0})
    ]
    [item] = office.items()
    office.ack(item["id"]).ok()
    path = f"{office.path}/{item['id']}/heartbeat?expected_last_heartbeat=NO_HEARTBEAT"

    async def race() -> list[Response]:
        return list(
            await asyncio.gather(
                *(houses[n % len(houses)].call("POST", path, key=token) for n, token in enumerate(tokens))
            )
        )

    assert sorted(response.status for response in houses[0].run(race())) == [200, 412, 412]
