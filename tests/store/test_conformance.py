"""One suite over both databases: what every room relies on."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.base.errors import InvalidRequest, Refusal
from rota.store.db import Db, open_db
from rota.store.tx import Insert, Listing, Query, Tx, Update, page

PUT = Insert("Keep facts.", "installation", {"key": "text", "value": "text"})
GET = Query("One fact.", "SELECT value FROM installation WHERE key = :key")
ALL = Query("Facts by key.", "SELECT key FROM installation WHERE key = ANY(:keys) ORDER BY key")
SET = Query("Change a fact.", "UPDATE installation SET value = :value WHERE key = :key")
SET_EACH = Update(
    "Change facts, each to a value of its own.",
    "UPDATE installation SET value = v.value WHERE installation.key = v.key AND installation.value <> v.unless",
    {"key": "text", "value": "text", "unless": "text"},
)
LOCK = Query(
    "Facts that nobody else holds.", "SELECT key FROM installation ORDER BY key LIMIT 5 FOR UPDATE SKIP LOCKED"
)
COUNT = Query("How many facts.", "SELECT count(*) FROM installation")
WALK = Listing(
    "Facts in order.",
    "SELECT key, length(value) FROM installation WHERE key <> :never",
    key=("length(value)", "key"),
)

HEAVY = Listing(
    "Facts in order, with what may be long.",
    "SELECT key, length(key) AS at, value FROM installation WHERE key <> :never",
    key=("length(key)", "key"),
    weight="value",
)


class Store:
    """A database with its own event loop."""

    def __init__(self, db: Db, runner: asyncio.Runner) -> None:
        self.db = db
        self.runner = runner

    def write(self, fn: Any, *args: Any) -> Any:
        return self.runner.run(self._wait(lambda: self.db.write(fn, *args)))

    def read(self, fn: Any, *args: Any) -> Any:
        return self.runner.run(self._wait(lambda: self.db.read(fn, *args)))

    def batch(self, fn: Any, items: Sequence[Any]) -> list[Any]:
        async def together() -> list[Any]:
            return await asyncio.gather(*(self.db.batch(fn, item) for item in items), return_exceptions=True)

        return self.runner.run(together())

    @staticmethod
    async def _wait(start: Any) -> Any:
        return await start()


@pytest.fixture
def store(database_url: str, clock: HandClock) -> Iterator[Store]:
    with asyncio.Runner() as runner:
        store = Store(open_db(database_url, clock, serving=True), runner)
        yield store
        runner.run(store.db.close())


def put(tx: Tx, *keys: str) -> None:
    tx.insert(PUT, [(key, "v") for key in keys])


def test_what_was_written_is_read(store: Store) -> None:
    store.write(put, "a", "b")
    assert store.read(lambda tx: tx.one(GET, key="a")) == ("v",)
    assert store.read(lambda tx: tx.one(GET, key="z")) is None


def test_a_set_of_keys_is_one_query(store: Store) -> None:
    store.write(put, "a", "b", "c")
    assert store.read(lambda tx: tx.all(ALL, keys=["c", "a", "nobody"])) == [("a",), ("c",)]
    assert store.read(lambda tx: tx.all(ALL, keys=[])) == []


def test_many_rows_are_changed_each_by_its_own_values(store: Store) -> None:
    store.write(put, "a", "b", "c")
    assert store.write(lambda tx: tx.update(SET_EACH, [("a", "1", "x"), ("b", "2", "v"), ("nobody", "3", "x")])) == 1
    assert store.write(lambda tx: tx.update(SET_EACH, [])) == 0
    assert [store.read(lambda tx, key=key: tx.one(GET, key=key)) for key in "abc"] == [("1",), ("v",), ("v",)]


def test_rows_can_be_locked_where_there_is_somebody_to_lock_them_against(store: Store) -> None:
    store.write(put, "b", "a")
    assert store.write(lambda tx: tx.all(LOCK)) == [("a",), ("b",)]
    assert store.write(lambda tx: (tx.turn("one"), tx.turn("two"))) == (True, True)


def test_a_refused_write_leaves_nothing_behind(store: Store) -> None:
    def refuse(tx: Tx) -> None:
        put(tx, "a")
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest):
        store.write(refuse)
    assert store.read(lambda tx: tx.one(COUNT)) == (0,)


@pytest.mark.parametrize("repeated", range(3), ids=["at first", "then prepared", "once prepared"])
@pytest.mark.parametrize(
    "behind",
    [
        lambda _: None,
        lambda tx: put(tx, "b"),
        lambda tx: tx.one(COUNT),
        lambda tx: tx.run(SET, key="a", value="w"),
        lambda tx: tx.update(SET_EACH, [("a", "1", "x")]),
        lambda tx: (put(tx, "b"), tx.all(LOCK)),
    ],
    ids=["nothing", "another", "a look", "a change", "many changes", "another and a look"],
)
def test_an_insert_that_fails_fails_its_transaction_whatever_comes_behind_it(
    store: Store, behind: Any, repeated: int
) -> None:
    store.write(put, "a")
    for number in range(repeated):
        store.write(put, f"c{number}")

    def twice(tx: Tx) -> None:
        put(tx, "a")
        behind(tx)

    with pytest.raises(Exception, match=r"(?i)unique"):
        store.write(twice)
    store.write(put, "d")
    assert store.read(lambda tx: tx.all(ALL, keys=["a", "b", "d"])) == [("a",), ("d",)]
    assert store.read(lambda tx: tx.one(GET, key="a")) == ("v",)


def test_a_change_tells_how_many_rows_it_touched(store: Store) -> None:
    store.write(put, "a")
    assert store.write(lambda tx: tx.run(SET, key="a", value="w")) == 1
    assert store.write(lambda tx: tx.run(SET, key="b", value="w")) == 0


def test_reading_cannot_write(store: Store) -> None:
    if store.db.name == "sqlite":
        with pytest.raises(Exception, match="readonly"):
            store.read(put, "a")


def test_items_that_wait_travel_as_one_set_and_each_gets_its_own_outcome(store: Store) -> None:
    sizes: list[int] = []

    def act(tx: Tx, items: Sequence[int]) -> list[int | Refusal]:
        sizes.append(len(items))
        put(tx, *(str(item) for item in items if item >= 0))
        return [item if item >= 0 else InvalidRequest(f"{item} is negative") for item in items]

    outcomes = store.batch(act, [*range(200), -1])
    assert outcomes[:200] == list(range(200))
    assert isinstance(outcomes[200], InvalidRequest)
    assert len(sizes) < 30
    assert max(sizes) <= 64
    assert store.read(lambda tx: tx.one(COUNT)) == (200,)


def test_one_item_that_breaks_a_set_does_not_take_the_others_with_it(store: Store) -> None:
    def act(tx: Tx, items: Sequence[str]) -> list[str]:
        put(tx, *items)
        if "bad" in items:
            raise ZeroDivisionError
        return list(items)

    outcomes = store.batch(act, ["a", "bad", "b"])
    assert outcomes[0] == "a"
    assert outcomes[2] == "b"
    assert isinstance(outcomes[1], ZeroDivisionError)
    assert store.read(lambda tx: tx.all(ALL, keys=["a", "bad", "b"])) == [("a",), ("b",)]


def test_a_group_of_writes_shares_a_commit_but_not_its_failures(store: Store) -> None:
    def one(tx: Tx, key: str) -> str:
        put(tx, key)
        if key == "k3":
            raise InvalidRequest("not this one")
        return key

    async def together() -> list[Any]:
        return await asyncio.gather(*(store.db.write(one, f"k{n}") for n in range(8)), return_exceptions=True)

    outcomes = store.runner.run(together())
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["k0", "k1", "k2", "k4", "k5", "k6", "k7"]
    assert store.read(lambda tx: tx.one(COUNT)) == (7,)


def test_writes_are_serializable(store: Store) -> None:
    """Forty callers each read a number and write it back greater by one; none is lost."""
    store.write(lambda tx: tx.insert(PUT, [("n", "0")]))

    def add(tx: Tx) -> None:
        row = tx.one(GET, key="n")
        assert row is not None
        tx.run(SET, key="n", value=str(int(row[0]) + 1))

    async def together() -> None:
        await asyncio.gather(*(store.db.write(add) for _ in range(40)))

    store.runner.run(together())
    assert store.read(lambda tx: tx.one(GET, key="n")) == ("40",)


def test_two_writers_that_both_look_before_they_leap_do_not_both_leap(store: Store) -> None:
    """The classic write skew: each inserts only if the other's row is not there."""

    def leap(tx: Tx, mine: str, other: str) -> bool:
        if tx.one(GET, key=other) is None:
            put(tx, mine)
            return True
        return False

    async def round_(number: int) -> list[bool]:
        a, b = f"a{number}", f"b{number}"
        return list(await asyncio.gather(store.db.write(leap, a, b), store.db.write(leap, b, a)))

    for number in range(20):
        assert sorted(store.runner.run(round_(number))) == [False, True]


def test_a_wake_up_comes_after_a_commit_and_never_after_a_refusal(store: Store) -> None:
    heard: list[int] = []
    store.db.subscribe("bell", lambda: heard.append(1))

    def ring(tx: Tx, fail: bool) -> None:
        tx.wake("bell")
        if fail:
            raise InvalidRequest("no")

    with pytest.raises(InvalidRequest):
        store.write(ring, True)
    assert heard == []
    store.write(ring, False)
    store.read(lambda tx: None)
    assert heard == [1]


def test_a_touched_topic_shows_in_the_stamps_of_another_process(
    store: Store, database_url: str, clock: HandClock
) -> None:
    async def scenario() -> None:
        other = open_db(database_url, clock)
        before = store.db.stamp("keys")
        await other.write(lambda tx: tx.touch("keys"))
        async with asyncio.timeout(5):
            while store.db.stamp("keys") == before:
                await asyncio.sleep(0)
        await other.close()

    store.runner.run(scenario())


def test_pages_walk_forwards_and_back_without_loss_or_repetition(store: Store) -> None:
    store.write(lambda tx: tx.insert(PUT, [(f"k{n:03}", "v" * (n // 3 + 1)) for n in range(50)]))
    for order in ("asc", "desc"):
        pages: list[list[str]] = []
        position = None
        last = None
        while True:
            found = store.read(lambda tx, p=position: page(tx, WALK, limit=7, position=p, order=order, never=""))
            pages.append([row[0] for row in found.items])
            last, position = found, found.next
            if position is None:
                break
        walked = [key for each in pages for key in each]
        assert walked == sorted(walked, reverse=order == "desc")
        assert len(walked) == len(set(walked)) == 50
        back = store.read(lambda tx, p=last.prev: page(tx, WALK, limit=7, position=p, order=order, never=""))
        assert [row[0] for row in back.items] == pages[-2]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 20])
def test_a_page_ends_before_it_is_too_large_and_the_walk_goes_on_behind_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, order: Any, limit: int
) -> None:
    values = [
        "v",
        "v" * 150,
        "v" * 30,
        "v" * 30,
        "v" * 30,
        "v" * 30,
        "ä" * 60,
        "",
        "v" * 99,
        "v",
        "v" * 100,
        "v" * 1000,
    ]
    store.write(lambda tx: tx.insert(PUT, [(f"k{n:02}", value) for n, value in enumerate(values)]))
    monkeypatch.setattr("rota.store.tx.MAX_PAGE", 100)
    weights = [len(value.encode()) for value in values]
    left = [f"k{n:02}" for n in range(len(values))][:: 1 if order == "asc" else -1]
    position, pages = None, list[list[str]]()
    while left:
        expected: list[str] = []
        while left and len(expected) < limit and sum(weights[int(key[1:])] for key in expected) < 100:
            expected.append(left.pop(0))
        found = store.read(lambda tx, p=position: page(tx, HEAVY, limit=limit, position=p, order=order, never=""))
        assert [row[0] for row in found.items] == expected
        assert [row[2] for row in found.items] == [values[int(key[1:])] for key in expected]
        assert (found.next is not None) == bool(left)
        position = found.next
        pages.append(expected)
        if len(pages) > 1:
            back = store.read(lambda tx, p=found.prev: page(tx, HEAVY, limit=limit, position=p, order=order, never=""))
            behind = [row[0] for row in back.items]
            assert behind == [key for each in pages[:-1] for key in each][-len(behind) :]


def test_the_time_of_a_transaction_stands_still_and_follows_the_clock(store: Store, clock: HandClock) -> None:
    assert store.write(lambda tx: (tx.now, tx.now)) == (clock.now(), clock.now())
    clock.advance(seconds=60)
    assert store.read(lambda tx: tx.now) == clock.now()


def test_closing_finishes_what_was_accepted(database_url: str, clock: HandClock) -> None:
    async def scenario() -> None:
        db = open_db(database_url, clock)
        writes = [asyncio.ensure_future(db.write(put, f"k{n}")) for n in range(30)]
        await db.close()
        await asyncio.gather(*writes)
        again = open_db(database_url, clock)
        assert await again.read(lambda tx: tx.one(COUNT)) == (30,)
        await again.close()

    asyncio.run(scenario())


def test_a_second_server_on_the_same_file_is_refused_and_a_command_is_not(tmp_path: Path, clock: HandClock) -> None:
    from rota.base.errors import Unusable

    url = f"sqlite:///{tmp_path / 'rota.db'}"

    async def scenario() -> None:
        server = open_db(url, clock, serving=True)
        with pytest.raises(Unusable, match="Another rota server"):
            open_db(url, clock, serving=True)
        command = open_db(url, clock)
        await command.write(put, "from a command")
        assert await server.read(lambda tx: tx.one(COUNT)) == (1,)
        await command.close()
        await server.close()
        await open_db(url, clock, serving=True).close()

    asyncio.run(scenario())


def test_a_shared_database_knows_the_time_better_than_the_machine_that_asks(postgres_url: str) -> None:
    from rota.base.clock import DAY, SECOND, SystemClock

    class Fast(SystemClock):
        def now(self) -> int:
            return super().now() + DAY

    async def scenario() -> None:
        db = open_db(postgres_url, Fast())
        for told in (await db.read(lambda tx: tx.now), await db.write(lambda tx: tx.now)):
            assert abs(told - SystemClock().now()) < 60 * SECOND
        await db.close()

    asyncio.run(scenario())
