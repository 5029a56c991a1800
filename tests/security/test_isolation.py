"""Nobody sees, changes or even notices what is another tenant's, whatever route is asked and however."""

from collections.abc import Iterator
from typing import Any

import pytest

from rota.base.errors import NotFound
from rota.http.request import Request
from rota.http.route import Route, Router
from rota.resources.agents import sql
from rota.resources.agents.wire import Agent
from rota.store.tx import Query, Tx
from tests.security.cells import ALWAYS_EMPTY, CLOSED, GUARDED, NEED_MORE, cells, row_noun
from tests.security.makers import BODIES, FILLERS, MAKERS, PREFIXES, ROUTE, ROUTES, THINGS
from tests.security.matrix import Cell, judge, opened
from tests.security.references import NOWHERE, body_places, looks_like_an_id, nowhere_nouns, query_places
from tests.security.world import World

SHOWN = [route for route in ROUTES if route.method == "GET" and route.parameters and not route.paged]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def before(world: World) -> dict[str, bytes]:
    """What the owner sees of its things while nobody has tried anything."""
    return world.view(world.owner, SHOWN)


@pytest.fixture(scope="module")
def judged(world: World, before: dict[str, bytes]) -> dict[str, list[Cell]]:
    """The whole matrix, by route."""
    return {named(route): [judge(world, cell) for cell in cells(world, route)] for route in GUARDED}


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_every_cell_of_a_route_is_as_expected(judged: dict[str, list[Cell]], route: Route) -> None:
    wrong = [(cell.column, cell.detail, cell.problems) for cell in judged[named(route)] if cell.problems]
    assert wrong == []


def test_the_matrix_is_large(judged: dict[str, list[Cell]]) -> None:
    assert sum(map(len, judged.values())) >= 2_000
    assert all(len(found) >= 20 for found in judged.values())


def test_what_the_owner_sees_of_its_things_has_not_changed(
    world: World, before: dict[str, bytes], judged: dict[str, list[Cell]]
) -> None:
    assert world.view(world.owner, SHOWN) == before


# The matrix meets what is new, and has no entry that is not needed


def test_everything_could_be_made(world: World) -> None:
    assert world.missing == {}


@pytest.mark.parametrize("noun", PREFIXES)
def test_there_is_a_maker_for_every_noun(noun: str) -> None:
    path = PREFIXES[noun].rpartition("/")[0]
    posted = [route for route in ROUTES if route.method == "POST" and route.path == path]
    assert posted or noun in MAKERS, "a POST on the collection that makes one, or an entry in MAKERS"


@pytest.mark.parametrize("route", [route for route in ROUTES if route.paged], ids=lambda route: route.name)
def test_every_list_can_be_given_rows(route: Route) -> None:
    noun = row_noun(route)
    made = noun is not None and noun != "thread"  # a session has one until it runs
    assert made or route.name in FILLERS or route.name in SHORT | ALWAYS_EMPTY
    assert not (made and route.name in FILLERS)


SHORT = {"sessions.threads.list", "deployments.occurrences.list"}
"""Lists for whose second row more is needed than requests; their cursors are minted with the server's own key."""


def test_whatever_looks_like_an_id_is_known_to_refer_to_something() -> None:
    words = {"name"}  # of tools and the like, as long as an id may be
    for route in ROUTES:
        known = {place.name for place in body_places(route)}
        assert all(path.rpartition(".")[2] in words for path in set(looks_like_an_id(route)) - known), route.name


ROOMS_TO_COME = {"event"}
"""What fields refer to and no route's path leads to. Whoever builds such a room takes its name out of here."""


def test_whatever_is_referred_to_has_a_maker() -> None:
    places = [place for route in ROUTES for place in body_places(route) + query_places(route)]
    assert {place.noun for place in places} - {""} - set(PREFIXES) == ROOMS_TO_COME


def test_no_entry_is_out_of_date() -> None:
    assert set(MAKERS) <= set(PREFIXES)
    assert set(FILLERS) | set(BODIES) | set(THINGS) | set(CLOSED) | ALWAYS_EMPTY | SHORT <= set(ROUTE)
    variants = {place.variant for route in ROUTES for place in body_places(route)}
    assert all(any(each.startswith(start) for each in variants) for start in NEED_MORE)
    assert set(NOWHERE) == {noun for route in ROUTES for noun in nowhere_nouns(route)}


# The matrix can fail

_ANYBODYS = Query(
    "An agent, whoever asks.",
    f"{sql.GET.text.partition('WHERE')[0]} WHERE id = :id",
)


def leak(kind: str) -> Route:
    """A route about agents that gives something away."""

    def read(tx: Tx, who: Any, agent_id: str) -> dict[str, str]:
        found, own = tx.one(_ANYBODYS, id=agent_id), tx.one(sql.GET, id=agent_id, workspace_id=who.workspace_id)
        if own is not None or (found is not None and kind == "the thing"):
            return {"id": agent_id}
        if found is not None and kind == "a word":
            raise NotFound(f"Agent `{agent_id}` is not yours.")
        if found is not None and kind == "a moment":
            tx.one(_ANYBODYS, id="another")
        raise NotFound(
            f"Agent `{agent_id}` not found.", details={"hint": "x"} if found and kind == "a detail" else None
        )

    async def handle(req: Request) -> Any:
        return await req.read(read, req.id)

    return Route("GET", "/v1/agents/{agent_id}/leak", "agents.leak", "Leaks", handle, Agent)


@pytest.mark.parametrize("kind", ["the thing", "a word", "a moment", "a detail", "nothing"])
def test_a_route_that_gives_something_away_is_found(world: World, kind: str) -> None:
    route = leak(kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.api.house.app, "router", Router([*ROUTES, route]))
        found = [judge(world, cell) for cell in cells(world, route)]
    wrong = {cell.column for cell in found if cell.problems}
    assert wrong == (set() if kind == "nothing" else {"foreign id"})
