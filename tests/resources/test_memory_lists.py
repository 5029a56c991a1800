"""Lists of memories: newest first, or one folder in the order of its paths, page by page (contract, pagination)."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota.base.clock import HandClock
from rota.store.tx import Insert, Query
from tests.api import Api

UNALIGNED = "path_prefix must be segment-aligned and end with /"
FILL = Insert(
    "Many memories at once.",
    "memories",
    {
        "id": "text", "memory_store_id": "text", "created_at": "bigint", "updated_at": "bigint", "path": "text",
        "version_id": "text", "body": "text",
    },
)  # fmt: skip
EMPTY = Query("Take all memories out of a store.", "DELETE FROM memories WHERE memory_store_id = :id")
BODY = '{"digest":"d","size":1}'


def at(store: dict[str, Any], more: str = "memories") -> str:
    return f"/v1/memory_stores/{store['id']}/{more}"


def fill(api: Api, store: dict[str, Any], paths: Sequence[str]) -> None:
    """Put memories into a store behind the API's back: for lists that only look at paths."""
    rows = [(f"{store['id']}-{n:05}", store["id"], n, n, path, "memver", BODY) for n, path in enumerate(paths)]
    api.write(lambda tx: tx.insert(FILL, rows))


def walk(api: Api, store: dict[str, Any], **query: Any) -> Iterator[list[Any]]:
    """The pages of a list, from the first to the last."""
    page: dict[str, Any] = {"next_page": ""}
    while page["next_page"] is not None:
        page = api.get(at(store), query={**query, "page": page["next_page"]}).ok()
        assert set(page) == {"data", "next_page", "prefixes"}
        assert page["prefixes"] == []
        yield page["data"]


def names(items: Sequence[Any]) -> list[str]:
    return [item["path"] for item in items]


def folder(paths: Sequence[str], prefix: str) -> list[str]:
    """What is right in a folder, worked out from all paths: the reference for the list."""
    found: set[str] = set()
    for path in paths:
        if path.startswith(prefix):
            name, slash, _ = path[len(prefix) :].partition("/")
            found.add(prefix + name + slash)
    return sorted(found, key=str.encode)


# Newest first


def test_memories_are_listed_newest_first_whatever_their_paths(api: Api, clock: HandClock) -> None:
    store = api.memory_store()
    for number, path in enumerate(("/b", "/c/d", "/a", "/c/e")):
        clock.advance(seconds=number % 2)
        memory = api.memory(store, path)
    api.post(at(store, f"memories/{memory['id']}"), {"path": "/0"}).ok()
    assert names(api.get(at(store)).ok()["data"]) == ["/0", "/a", "/c/d", "/b"]
    for limit in (1, 2, 3, 4):
        pages = list(walk(api, store, limit=limit))
        assert names([item for page in pages for item in page]) == ["/0", "/a", "/c/d", "/b"]
        assert len(pages) == -(-4 // limit)


def test_a_prefix_matches_whole_segments(api: Api) -> None:
    store = api.memory_store()
    for path in ("/notes/a", "/notes/b/c", "/notes-archive/a", "/notesy", "/Notes/a", "/o", "/notes0"):
        api.memory(store, path)
    assert names(api.get(at(store), query={"path_prefix": "/notes/"}).ok()["data"]) == ["/notes/b/c", "/notes/a"]
    assert names(api.get(at(store), query={"path_prefix": "/notes/b/"}).ok()["data"]) == ["/notes/b/c"]
    assert api.get(at(store), query={"path_prefix": "/note/"}).ok()["data"] == []
    whole = api.get(at(store)).ok()
    assert api.get(at(store), query={"path_prefix": "/"}).ok() == whole
    assert api.get(at(store), query={"depth": 0}).ok() == whole
    assert [names(page) for page in walk(api, store, path_prefix="/notes/", limit=1)] == [["/notes/b/c"], ["/notes/a"]]


@pytest.mark.parametrize("prefix", ["", "notes/", "/notes", "//", "/a//", "notes", "/a//b/", "\\"])
def test_a_prefix_that_is_no_folder_is_refused(still_api: Api, prefix: str) -> None:
    for more in ({}, {"depth": 1}):
        response = still_api.get(at(still_api.memory_store()), query={"path_prefix": prefix, **more})
        assert response.refused(400) == UNALIGNED


@pytest.mark.parametrize("prefix", ["/../", "/./", "/%2e%2e/", "/" + "x" * 5000 + "/", "/\u202e/", "/e\u0301/"])
def test_a_prefix_that_no_path_can_have_matches_nothing(still_api: Api, prefix: str) -> None:
    store = still_api.memory_store()
    still_api.memory(store)
    for more in ({}, {"depth": 1}):
        assert still_api.get(at(store), query={"path_prefix": prefix, **more}).ok()["data"] == []


# How long a page may be


@pytest.mark.parametrize("listed", ["memories", "memory_versions"])
@pytest.mark.parametrize(
    ("limit", "message"),
    [
        *((limit, "limit: must be greater than or equal to 1 and less than or equal to 1000") for limit in (0, -1, 1001, 2**63, 10**30)),
        *((limit, "limit: value must be greater than or equal to 1 and less than or equal to 100") for limit in (101, 1000)),
        *((limit, None) for limit in ("ten", "", "1.5", "null")),
    ],
)  # fmt: skip
def test_a_page_has_1_to_100_items(still_api: Api, listed: str, limit: Any, message: str | None) -> None:
    for view in ("basic", "full"):
        query = {"limit": limit, "view": view}
        said = still_api.get(at(still_api.memory_store(), listed), query=query).refused(400)
        assert said.startswith("limit: ")
        assert message is None or said == message


@pytest.mark.parametrize("listed", ["memories", "memory_versions"])
def test_contents_make_a_page_20_items_long_at_most(sqlite_api: Api, listed: str) -> None:
    store = sqlite_api.memory_store()
    for number in range(23):
        sqlite_api.memory(store, f"/{number:02}", str(number))
    for query, length in (({}, 20), ({"limit": 100}, 23), ({"limit": 22}, 22)):
        assert len(sqlite_api.get(at(store, listed), query=query).ok()["data"]) == length
        page = sqlite_api.get(at(store, listed), query={**query, "view": "full"}).ok()
        assert [item["content"] for item in page["data"]] == [str(n) for n in range(22, 2, -1)]
        rest = sqlite_api.get(at(store, listed), query={**query, "view": "full", "page": page["next_page"]}).ok()
        assert [item["content"] for item in rest["data"]] == ["2", "1", "0"]


def test_the_view_may_change_on_the_way_and_nothing_else(sqlite_api: Api) -> None:
    store, other = sqlite_api.memory_store(), sqlite_api.memory_store()
    for path in ("/a/1", "/a/2", "/a/3"):
        sqlite_api.memory(store, path)
    cursor = sqlite_api.get(at(store), query={"limit": 1}).ok()["next_page"]
    rest = sqlite_api.get(at(store), query={"view": "full", "page": cursor}).ok()["data"]
    assert [(item["path"], item["content"]) for item in rest] == [("/a/2", "A note."), ("/a/1", "A note.")]
    for place, query in ((store, {"path_prefix": "/a/"}), (store, {"depth": 1}), (store, {"depth": 0}), (other, {})):
        said = sqlite_api.get(at(place), query={**query, "page": cursor}).refused(400)
        assert said == "invalid page cursor"
    said = sqlite_api.get(at(store, "memory_versions"), query={"page": cursor}).refused(400)
    assert said == "invalid page cursor"


# One folder


@pytest.mark.parametrize("depth", [-1, 2, 100, "x", "", "null", "1.5"])
def test_a_depth_is_0_or_1(still_api: Api, depth: Any) -> None:
    said = still_api.get(at(still_api.memory_store()), query={"depth": depth}).refused(400)
    assert said.startswith("depth")
    if isinstance(depth, int):
        assert said == "depth must be 0 or 1 when provided"


def test_depth_0_is_refused_beside_a_prefix(still_api: Api) -> None:
    query = {"depth": 0, "path_prefix": "/a/"}
    assert "path_prefix" in still_api.get(at(still_api.memory_store()), query=query).refused(400)


def test_a_folder_shows_its_memories_and_its_folders_once_in_path_order(api: Api) -> None:
    store = api.memory_store()
    memories = {
        path: api.memory(store, path) for path in ("/b/c/d", "/b-c", "/a", "/b/c/e", "/b/d", "/b.c", "/c", "/b/c/f")
    }
    listed = api.get(at(store), query={"depth": 1}).ok()
    basic = {path: memory | {"content": None} for path, memory in memories.items()}
    inner = {"type": "memory_prefix", "path": "/b/"}
    assert listed["data"] == [basic["/a"], basic["/b-c"], basic["/b.c"], inner, basic["/c"]]
    listed = api.get(at(store), query={"depth": 1, "path_prefix": "/b/", "view": "full"}).ok()
    assert listed["data"] == [{"type": "memory_prefix", "path": "/b/c/"}, memories["/b/d"]]
    assert api.get(at(store), query={"depth": 1, "path_prefix": "/a/"}).ok()["data"] == []


SEGMENT = st.sampled_from(["a", "b", "b-", "b0", "é", "a b", " ", "!", "~", "日", "0", ".x", "\U0010fffd"])
PATHS = st.sets(st.lists(SEGMENT, min_size=1, max_size=4).map(tuple), max_size=40)


def fitting(drawn: set[tuple[str, ...]]) -> list[str]:
    """Of some paths as many as can be in one store."""
    kept: list[tuple[str, ...]] = []
    for path in sorted(drawn):
        if not any(path[: len(other)] == other or other[: len(path)] == path for other in kept):
            kept.append(path)
    return ["/" + "/".join(path) for path in kept]


@given(drawn=PATHS, limit=st.integers(1, 12), data=st.data())
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_walk_through_a_folder_meets_every_item_once_in_order(
    lasting_api: Api, drawn: set[tuple[str, ...]], limit: int, data: st.DataObject
) -> None:
    paths = fitting(drawn)
    store = lasting_api.memory_store()
    fill(lasting_api, store, paths)
    prefixes = sorted({path[: path.rfind("/") + 1] for path in paths} | {"/"})
    prefix = data.draw(st.sampled_from(prefixes))
    pages = list(walk(lasting_api, store, depth=1, path_prefix=prefix, limit=limit))
    expected = folder(paths, prefix)
    assert names([item for page in pages for item in page]) == expected
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert len(pages) == max(1, -(-len(expected) // limit))
    for item in (item for page in pages for item in page):
        assert (item["type"] == "memory_prefix") == item["path"].endswith("/")
    lasting_api.write(lambda tx: tx.run(EMPTY, id=store["id"]))


def test_a_walk_goes_on_where_it_was_though_the_place_is_gone(api: Api) -> None:
    store = api.memory_store()
    made = {path: api.memory(store, path) for path in ("/a", "/b/1", "/b/2", "/c")}
    query = {"depth": 1, "limit": 1}
    page = api.get(at(store), query=query).ok()
    api.delete(at(store, f"memories/{made['/a']['id']}")).ok()
    page = api.get(at(store), query={**query, "page": page["next_page"]}).ok()
    assert names(page["data"]) == ["/b/"]
    for path in ("/b/1", "/b/2"):
        api.delete(at(store, f"memories/{made[path]['id']}")).ok()
    api.memory(store, "/b0")
    page = api.get(at(store), query={**query, "page": page["next_page"]}).ok()
    assert names(page["data"]) == ["/b0"]


def test_a_place_with_the_longest_path_fits_into_a_cursor(sqlite_api: Api) -> None:
    store = sqlite_api.memory_store()
    long = "/" + "日" * 341
    assert len(long.encode()) == 1024
    sqlite_api.memory(store, long)
    sqlite_api.memory(store, long[:-1] + "本")
    assert [names(page) for page in walk(sqlite_api, store, depth=1, limit=1)] == [[long], [long[:-1] + "本"]]


class Counting:
    """A transaction that counts what it is asked, and how many rows it hands out."""

    def __init__(self, tx: Any) -> None:
        self.tx = tx
        self.asked = 0
        self.rows = 0

    def all(self, query: Any, **parameters: Any) -> Any:
        found = self.tx.all(query, **parameters)
        self.asked += 1
        self.rows += len(found)
        return found

    def one(self, query: Any, **parameters: Any) -> Any:
        return self.tx.one(query, **parameters)


@pytest.mark.parametrize("shape", ["flat", "one folder", "wide", "deep", "even"])
@pytest.mark.parametrize("limit", [1, 20, 100])
def test_a_folders_page_costs_little_however_full_the_store_is(sqlite_api: Api, shape: str, limit: int) -> None:
    from rota.resources.memory_stores import memories
    from rota.resources.memory_stores.wire import ListMemories

    paths = {
        "flat": [f"/{n:04}" for n in range(2000)],
        "one folder": [f"/a/{n:04}" for n in range(2000)],
        "wide": [f"/{n:04}/x" for n in range(2000)],
        "deep": [f"/{n // 100:02}/{n // 10 % 10}/{n % 10}" for n in range(2000)],
        "even": [f"/{n // 45:02}/{n % 45:02}" for n in range(2000)],
    }[shape]
    store = sqlite_api.memory_store()
    fill(sqlite_api, store, paths)

    def first(tx: Any) -> tuple[Counting, Any]:
        counting = Counting(tx)
        found = memories.list_(counting, sqlite_api.who, None, store["id"], ListMemories(limit=limit, depth=1))  # type: ignore[arg-type]
        return counting, found

    counting, found = sqlite_api.read(first)
    assert names_of(found.items) == folder(paths, "/")[:limit]
    reach = limit + 1
    assert counting.asked <= min(reach, len(paths) // reach + 1) + 2
    assert counting.rows <= counting.asked * reach


def names_of(items: Sequence[Any]) -> list[str]:
    return [item.path for item in items]
