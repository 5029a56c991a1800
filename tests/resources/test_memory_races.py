"""Many writers of one store at once: whatever they want of one path or one memory, exactly one of them gets it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from tests.api import Api, Response
from tests.conftest import START

CALLERS = 24
CONFLICT = "memory_path_conflict_error"
FAILED = "memory_precondition_failed_error"


class Houses:
    """One house on SQLite, where there is only one writer anyway; three on one PostgreSQL database, each with its own."""

    def __init__(self, apis: list[Api]) -> None:
        self.apis = apis
        self.first = apis[0]

    def race(self, ask: Callable[[Api, int], Awaitable[Response]], callers: int = CALLERS) -> list[Response]:
        """Everybody asks at once, spread over the houses."""
        found: list[list[Response]] = [[] for _ in self.apis]
        together = threading.Barrier(len(self.apis))

        def of_one(number: int, api: Api) -> None:
            async def work() -> list[Response]:
                calls = [ask(api, caller) for caller in range(number, callers, len(self.apis))]
                return list(await asyncio.gather(*calls))

            together.wait(30)
            found[number] = api.run(work())

        threads = [threading.Thread(target=of_one, args=pair) for pair in enumerate(self.apis)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answers = [response for each in found for response in each]
        assert len(answers) == callers
        return answers


@pytest.fixture
def houses(database_url: str, tmp_path: Path) -> Iterator[Houses]:
    count = 3 if database_url.startswith("postgres") else 1
    with ExitStack() as stack:
        yield Houses([stack.enter_context(Api(database_url, tmp_path, HandClock(START))) for _ in range(count)])


def one_winner(answers: list[Response], kind: str) -> Any:
    """The winner's body; everybody else lost for that reason."""
    winners = [answer.body for answer in answers if answer.status == 200]
    assert len(winners) == 1, [answer.body for answer in answers]
    for answer in answers:
        if answer.status != 200:
            answer.refused(409, kind)
            assert answer.headers["x-should-retry"] == "false"
    return winners[0]


def history(api: Api, store: dict[str, Any]) -> list[str]:
    listed = api.get(f"/v1/memory_stores/{store['id']}/memory_versions?limit=100").ok()["data"]
    return [each["operation"] for each in listed][::-1]


def test_of_many_creations_at_one_path_one_succeeds(houses: Houses) -> None:
    store = houses.first.memory_store()
    path = f"/v1/memory_stores/{store['id']}/memories"
    answers = houses.race(lambda api, n: api.call("POST", path, {"path": "/a", "content": str(n)}))
    won = one_winner(answers, CONFLICT)
    losers = {answer.body["error"]["conflicting_memory_id"] for answer in answers if answer.status != 200}
    assert losers == {won["id"]}
    assert [each["id"] for each in houses.first.get(path).ok()["data"]] == [won["id"]]
    assert history(houses.first, store) == ["created"]


def test_of_creations_above_and_below_one_another_one_kind_succeeds(houses: Houses) -> None:
    store = houses.first.memory_store()
    path = f"/v1/memory_stores/{store['id']}/memories"
    names = ["/a", "/a/b", "/a/b/c", "/a/b/c/d"]
    answers = houses.race(lambda api, n: api.call("POST", path, {"path": names[n % 4], "content": ""}))
    one_winner(answers, CONFLICT)


def test_of_many_updates_from_one_content_one_succeeds(houses: Houses) -> None:
    store = houses.first.memory_store()
    memory = houses.first.memory(store, "/a", "before")
    path = f"/v1/memory_stores/{store['id']}/memories/{memory['id']}"
    given = {"type": "content_sha256", "content_sha256": memory["content_sha256"]}

    def ask(api: Api, caller: int) -> Awaitable[Response]:
        if caller % 3 == 2:
            return api.call("DELETE", path, query={"expected_content_sha256": memory["content_sha256"]})
        return api.call("POST", path, {"content": f"by {caller}", "precondition": given})

    answers = houses.race(ask)
    winners = [answer.body for answer in answers if answer.status == 200]
    assert len(winners) == 1
    gone = winners[0]["type"] == "memory_deleted"
    for answer in answers:
        if answer.status != 200 and gone:
            assert answer.status in (404, 409)
        elif answer.status != 200:
            answer.refused(409, FAILED)
    assert history(houses.first, store) == ["created", "deleted" if gone else "modified"]


def test_of_many_renames_to_one_path_one_succeeds(houses: Houses) -> None:
    store = houses.first.memory_store()
    memories = [houses.first.memory(store, f"/{n}") for n in range(12)]
    path = f"/v1/memory_stores/{store['id']}/memories"
    answers = houses.race(lambda api, n: api.call("POST", f"{path}/{memories[n]['id']}", {"path": "/target"}), 12)
    assert one_winner(answers, CONFLICT)["path"] == "/target"


def test_writers_at_different_paths_all_succeed_and_are_counted(houses: Houses) -> None:
    store = houses.first.memory_store()
    path = f"/v1/memory_stores/{store['id']}/memories"
    answers = houses.race(lambda api, n: api.call("POST", path, {"path": f"/{n}", "content": str(n)}), 90)
    assert all(answer.status == 200 for answer in answers)
    listed = houses.first.get(path, query={"limit": 100}).ok()["data"]
    assert {each["id"] for each in listed} == {answer.body["id"] for answer in answers}
    assert history(houses.first, store) == ["created"] * 90


def test_a_store_is_never_overfilled(houses: Houses) -> None:
    for api in houses.apis:
        api.house.app.policy.max_memories = 10
    store = houses.first.memory_store()
    path = f"/v1/memory_stores/{store['id']}/memories"
    answers = houses.race(lambda api, n: api.call("POST", path, {"path": f"/{n}", "content": ""}))
    assert sorted(answer.status for answer in answers) == [200] * 10 + [400] * (CALLERS - 10)


def test_what_is_written_while_a_store_is_archived_is_written_before_or_refused(houses: Houses) -> None:
    store = houses.first.memory_store()
    path = f"/v1/memory_stores/{store['id']}"

    def ask(api: Api, caller: int) -> Awaitable[Response]:
        if caller == 7:
            return api.call("POST", f"{path}/archive")
        return api.call("POST", f"{path}/memories", {"path": f"/{caller}", "content": ""})

    answers = houses.race(ask)
    made = [answer.body for answer in answers if answer.status == 200 and answer.body["type"] == "memory"]
    for answer in answers:
        if answer.status != 200:
            assert answer.refused(400) == f"cannot modify archived resource: memory store {store['id']}"
    listed = houses.first.get(f"{path}/memories", query={"limit": 100}).ok()["data"]
    assert {each["id"] for each in listed} == {each["id"] for each in made}
