"""The cells of the tenant isolation matrix, route by route: what is asked, and beside what it must not stand out.

Paths, bodies, queries and lists come from the route table, things from ``makers``; so a new route has its cells by itself.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from rota.base.page import Position
from rota.http import request as http_request
from rota.http.app import _query
from rota.http.route import Route
from rota.resources.workspaces import keys
from tests.security.makers import FILLERS, PREFIXES, ROUTES, Home, Params, Sent, noun_of, parents, shift
from tests.security.references import Place, body_places, plant, query_places
from tests.security.world import Ask, World, header, nowhere

GUARDED = [
    variant
    for route in ROUTES
    if route.access != "public"
    for variant in (route, *(replace(route, method=method, also=()) for method in route.also))
]
"""Every operation that wants a key, once for each method that it answers to."""
MALFORMED = {
    "a word": "nonsense",
    "a number": "12345",
    "an over-long text": "x" * 5000,
    "SQL": "'; DROP TABLE keys --",
    "a pattern": "%",
    "another script": "münze",
    "an emoji": "😀",
    "a NUL": "a\0b",
    "words": "two words",
    "dots": "..",
    "a newline": "a\nb",
    "JSON": '{"id":1}',
}
"""Texts that are no ids, at the place of an id."""


@dataclass
class Cell:
    """One field of the matrix. Without a ``reference``, only the status is looked at."""

    route: str
    column: str
    detail: str
    probe: Ask
    reference: Ask | None
    expected: int | None
    """The status that both must have; None where only their being the same is asked for."""
    follow: bool = False
    """Whether what was made is to be looked at, too: everything below it, and what comes of running it."""
    problems: list[str] = field(default_factory=list[str])
    status: int = 0


ALWAYS_EMPTY = frozenset({"organizations.rate_limits.list", "organizations.workspaces.rate_limits.list"})
"""Lists that never have a row, and so no cursor: every one is refused."""
NEED_MORE = {
    # An answer to a tool call, of which a session has none before a model has taken its turn.
    "SendEvents.events [] ToolConfirmation.session_thread_id": 400,
    "SendEvents.events [] CustomToolResult.": 400,
    # Only a worker may send it.
    "SendEvents.events [] ToolResult.": 403,
    # A session keeps the vaults that it was created with (contract).
    "UpdateSession.vault_ids []": 400,
}
"""Places, by how their variant begins, where one's own thing alone is not enough for a success, and what comes of it."""
OLD_CLIENT = "files-api-2025-04-14,skills-2025-10-02"
"""Betas that ask for the old shapes, which take other ways through the code."""
CLOSED = {"organizations.workspaces.rate_limits.list": 400}
"""Reads that an archived workspace does not answer (contract, workspaces: what lies below one is closed)."""


BY_SHAPE = {("version", "a number"): (400, "numbers of versions are for clients of the dated beta (contract, skills)")}
"""Texts at the place of an id that are refused for what they look like, whatever is there, and why."""


def cells(world: World, route: Route) -> Iterator[Cell]:
    """All cells of a route. Each is made when the one before it has been judged, since both may need fresh things."""
    if not makeable(world, route):
        return
    yield from controls(world, route)
    yield from credentials(world, route)
    yield from workers(world, route)
    if route.parameters:
        yield from foreign_ids(world, route)
        yield from odd_ids(world, route)
    yield from shut_doors(world, route)
    yield from workspace_headers(world, route)
    for place in body_places(route):
        yield from references(world, route, place)
    for place in query_places(route):
        yield from filters(world, route, place)
    if route.paged and "page" in route.query.__struct_fields__:  # type: ignore[union-attr]
        yield from cursors(world, route)
    if route.creates and route.writes:
        yield from idempotency(world, route)


def makeable(world: World, route: Route) -> bool:
    """Whether there is a maker for everything that the route is about; a law fails where there is none."""
    nouns = {noun_of(parameter) for parameter in route.parameters}
    return not {*nouns, row_noun(route)} & set(world.missing)


def own_key(home: Home, route: Route, params: Params | None = None) -> tuple[tuple[str, str], ...]:
    return header(home.key_for(route, params))


def params_of(home: Home, route: Route) -> Params:
    return home.params_for(route)


def absent(params: Params, names: Iterable[str] | None = None) -> Params:
    """The same parameters, those of the names (or all) leading nowhere."""
    changed = set(params if names is None else names)
    return {name: nowhere(value) if name in changed else value for name, value in params.items()}


def pair(
    route: Route,
    column: str,
    detail: str,
    expected: int | None,
    headers: tuple[tuple[str, str], ...],
    there: Params,
    not_there: Params,
    sent: Sent,
) -> Cell:
    """The same request about ``there`` and about ``not_there``."""
    probe = Ask(route, there, headers, sent, hide=tuple(there.values()))
    reference = Ask(route, not_there, headers, sent, hide=tuple(not_there.values()))
    return Cell(route.name, column, detail, probe, reference, expected)


def controls(world: World, route: Route) -> Iterator[Cell]:
    """What must work, lest the rest prove nothing: the owner's own request, also with its own things in each place."""
    owner = world.owner
    things = owner.fresh_for(route)
    headers = own_key(owner, route, things)
    own = Ask(route, things, headers, owner.body(route))
    yield Cell(route.name, "one's own", "as it is", own, None, 200)
    for place in body_places(route):
        if place.noun in PREFIXES and place.noun not in world.missing:
            params, thing = owner.fresh_for(route), owner.real(place.noun)
            if parents(place.noun) and parents(place.noun) <= set(params):
                below = owner.fresh(place.noun, params)  # of the very thing that the path is about
                thing = list(below.values())[-1]
            sent = planted(owner, route, place, thing)
            expected = next((status for start, status in NEED_MORE.items() if place.variant.startswith(start)), 200)
            yield Cell(route.name, "one's own", place.variant, Ask(route, params, headers, sent), None, expected)


def credentials(world: World, route: Route) -> Iterator[Cell]:
    """Nobody, and the keys of other kinds, about things that are there and that are not."""
    there = params_of(world.owner, route)
    sent = world.owner.body(route)
    for name, headers in world.bad.items():
        yield pair(route, "credential", name, 401, headers, there, absent(there), sent)
    if route.access in ("workspace", "environment"):
        for name, home in (("the admin key", world.owner), ("a stranger's admin key", world.stranger)):
            yield pair(route, "credential", name, 403, header(home.admin), there, absent(there), sent)
    if route.access in ("admin", "environment"):
        for name, home in (("a workspace key", world.owner), ("a sibling's key", world.sibling)):
            yield pair(route, "credential", name, 403, header(home.key), there, absent(there), sent)


UNOPENED = {"nobody": 401, "scope": 403, "nothing": 404}
LATE = {"environments.work.heartbeat": 412, "environments.work.stop": 409}
"""What a worker is told that lost its item, where it is told so."""


def workers(world: World, route: Route) -> Iterator[Cell]:
    """The credentials of workers: what the table opens for them, of their own, and that nothing else is there for them."""
    there, sent = params_of(world.owner, route), world.owner.body(route)

    def shut(name: str, credential: str, expected: int, things: Params = there) -> Cell:
        return pair(route, "worker", name, expected, header(credential), things, absent(things), sent)

    shifts = {"a worker": world.shift, "a stranger's worker": world.stranger_shift}
    if "environment" not in route.opens:
        for name, each in shifts.items():
            yield shut(f"{name}, by the environment's key", each.key, UNOPENED[route.unopened])
    else:
        # Where no environment is named there is the session's, or the workspace's thing.
        foreign = 403 if "environment_id" in route.parameters else 404
        own = at_work(world, route)
        yield Cell(route.name, "worker", "the environment's key", Ask(route, own[0], header(own[1]), sent), None, 200)
        yield shut("a stranger's environment key", world.stranger_shift.key, foreign)
        if "skill_id" not in route.parameters:
            yield shut("the key of another environment", world.colleague.key, foreign)
    if "session" not in route.opens:
        for name, each in shifts.items():
            yield shut(f"{name}, by a sessions token", each.token, UNOPENED[route.unopened])
    else:
        own = at_work(world, route)
        yield Cell(route.name, "worker", "its token", Ask(route, own[0], header(own[2]), sent), None, 200)
        foreign = 403 if "environment_id" in route.parameters else 404
        yield shut("a stranger's token", world.stranger_shift.token, foreign)
        if "skill_id" not in route.parameters:
            yield shut("the token of another session", world.colleague.token, foreign)
        if "memory_store_id" in route.parameters:
            reader = shift(world.owner, "read_only")
            ask = Ask(route, reader.params_for(route), header(reader.token), sent)
            yield Cell(route.name, "worker", "that may only read", ask, None, 403 if route.writes else 200)
    if route.late:
        ask = Ask(route, world.late.params_for(route), header(world.late.token), sent)
        yield Cell(route.name, "worker", "that has lost its item", ask, None, LATE[route.name])
    else:
        yield shut("a worker that has lost its item", world.late.token, 401)


def at_work(world: World, route: Route) -> tuple[Params, str, str]:
    """Things that are a worker's for a route, its environment's key, and its token: of a new one where it uses them up."""
    worker = shift(world.owner) if route.writes else world.shift
    if route.name == "environments.work.ack":  # an item that nobody has acknowledged yet
        params = world.owner.fresh("work", {"environment_id": worker.environment_id})
        return params, worker.key, worker.token
    return worker.params_for(route), worker.key, worker.token


def attackers(world: World, route: Route) -> Iterator[tuple[str, Home, tuple[tuple[str, str], ...]]]:
    """Good credentials for the route, of somebody to whom the owner's things do not belong."""
    if route.access != "admin":
        named = {"a sibling": world.sibling, "a stranger": world.stranger, "a shut workspace": world.shut}
        for name, home in named.items():
            yield name, home, header(home.key) if route.access != "environment" else own_key(home, route)
    if route.access in ("organization", "admin"):
        yield "a stranger's admin", world.stranger, header(world.stranger.admin)


def foreign_ids(world: World, route: Route) -> Iterator[Cell]:
    """Another tenant's ids in each path parameter, and the children of other parents."""
    theirs = params_of(world.owner, route)
    by_environment = route.access == "environment"  # whose keys see that a path names another one, before all else
    for name, home, headers in attackers(world, route):
        expected = 400 if home is world.shut and route.writes else 404
        sent = home.body(route)
        foreign = 403 if by_environment else expected
        yield pair(route, "foreign id", f"{name}", foreign, headers, theirs, absent(theirs), sent)
        if route.body is not None:
            bad = Sent.json({"no such field": 1})
            yield pair(
                route, "foreign id", f"{name}, a body that does not fit", 400, headers, theirs, absent(theirs), bad
            )
        if len(theirs) > 1:
            own = params_of(home, route)
            for parameter in theirs:
                mixed = own | {parameter: theirs[parameter]}
                detail = f"{name}, only {parameter} foreign"
                apart = 403 if by_environment and parameter == "environment_id" else expected
                yield pair(route, "foreign id", detail, apart, headers, mixed, absent(mixed, [parameter]), sent)
    if route.access != "admin":
        old = (*own_key(world.sibling, route), ("anthropic-beta", OLD_CLIENT))
        if route.access == "organization":
            old = (*header(world.sibling.key), ("anthropic-beta", OLD_CLIENT))
        sent = world.sibling.body(route)
        expected = None if "version" in theirs else 404  # which is a number there, and an id is no number
        expected = 403 if by_environment else expected
        yield pair(route, "foreign id", "a sibling, as an old client", expected, old, theirs, absent(theirs), sent)
    if len(theirs) > 1:
        last = list(theirs)[-1]
        cousin = theirs | {last: world.owner.fresh(noun_of(last))[last]}
        sent = world.owner.body(route)
        headers = own_key(world.owner, route)
        yield pair(route, "foreign id", f"{last} of another parent", 404, headers, cousin, absent(cousin, [last]), sent)


def odd_ids(world: World, route: Route) -> Iterator[Cell]:
    """Ids of other kinds, and texts that are no ids, in each path parameter."""
    own = params_of(world.owner, route)
    headers, sent = own_key(world.owner, route), world.owner.body(route)
    for parameter in own:
        not_there = absent(own, [parameter])
        expected = 403 if route.access == "environment" and parameter == "environment_id" else 404
        for noun in PREFIXES:
            if noun != noun_of(parameter) and noun not in world.missing:
                there = own | {parameter: world.owner.real(noun)}
                detail = f"{parameter} is of {noun}"
                yield pair(route, "another type", detail, expected, headers, there, not_there, sent)
        for name, text in MALFORMED.items():
            there = own | {parameter: text}
            if (by_shape := BY_SHAPE.get((noun_of(parameter), name))) is not None:
                detail, probe = f"{parameter} is {name}", Ask(route, there, headers, sent)
                yield Cell(route.name, "malformed id", detail, probe, None, by_shape[0])
                continue
            cell = pair(route, "malformed id", f"{parameter} is {name}", expected, headers, there, not_there, sent)
            shown = text.replace("\0", "\ufffd")
            yield replace(cell, probe=replace(cell.probe, hide=(shown, *cell.probe.hide)))


def shut_doors(world: World, route: Route) -> Iterator[Cell]:
    """The keys of an archived workspace and of a disabled organization, about their own things."""
    for name, home in (("an archived workspace", world.shut), ("a disabled organization", world.stopped)):
        there, sent = params_of(home, route), home.body(route)
        if route.access == "admin" and home is world.shut:
            continue  # the organization's own affair
        headers = header(home.admin) if route.access == "admin" else header(home.key)
        if route.access == "environment":
            headers = own_key(home, route)
        if route.writes:
            names = [name for name in there if name != "environment_id" or route.access != "environment"]
            yield pair(route, "only reading", name, 400, headers, there, absent(there, names), sent)
        else:
            expected = CLOSED.get(route.name, 200) if home is world.shut else 200
            yield Cell(route.name, "only reading", name, Ask(route, there, headers, sent), None, expected)


def workspace_headers(world: World, route: Route) -> Iterator[Cell]:
    """The header that names a workspace, naming another's."""
    if route.access == "admin":
        return
    for name, home in (("a sibling", world.sibling), ("a stranger", world.stranger)):
        own, sent = params_of(home, route), home.body(route)
        asked, unknown = world.owner.workspace_id, nowhere(world.owner.workspace_id)

        def ask(workspace_id: str, home: Home = home, own: Params = own, sent: Sent = sent) -> Ask:
            key = own_key(home, route) if route.access == "environment" else header(home.key)
            headers = (*key, ("anthropic-workspace-id", workspace_id))
            return Ask(route, own, headers, sent, hide=(workspace_id,))

        yield Cell(route.name, "workspace header", name, ask(asked), ask(unknown), 404)


def references(world: World, route: Route, place: Place) -> Iterator[Cell]:
    """Another tenant's thing named in a body. What must come of it depends on the field; that nothing tells it from a
    thing that does not exist, does not."""
    if place.noun not in PREFIXES or place.noun in world.missing:
        return
    theirs = world.owner.real(place.noun)
    for name, home, headers in attackers(world, route):
        if home is world.shut:
            continue

        def ask(value: str, home: Home = home, headers: tuple[tuple[str, str], ...] = headers) -> Ask:
            own = home.fresh_for(route)
            return Ask(route, own, headers, planted(home, route, place, value), hide=(value,))

        cell = Cell(
            route.name, "foreign reference", f"{name}, {place.variant}", ask(theirs), ask(nowhere(theirs)), None
        )
        yield replace(cell, follow=True)


def planted(home: Home, route: Route, place: Place, value: str) -> Sent:
    """The route's body with an id at a place."""
    return Sent.json(json.loads(home.body(route).raw or b"{}") | plant(place, value, home.real))


def filters(world: World, route: Route, place: Place) -> Iterator[Cell]:
    """Another tenant's id as a filter."""
    noun = place.noun or next(noun for noun, prefix in PREFIXES.items() if prefix.rpartition("/")[0] == route.path)
    if noun not in PREFIXES or noun in world.missing:
        return
    theirs = world.owner.real(noun)
    for name, home, headers in attackers(world, route):
        own = params_of(home, route)
        [(parameter, _)] = plant(place, "", home.real).items()

        def ask(value: str, own: Params = own, headers: Any = headers, parameter: str = parameter) -> Ask:
            return Ask(route, own, headers, query=((parameter, value),), hide=(value,))

        yield Cell(route.name, "foreign filter", f"{name}, {parameter}", ask(theirs), ask(nowhere(theirs)), None)


def cursor(world: World, home: Home, route: Route, params: Params) -> str:
    """A cursor that the server takes from this tenant for this list: its own, or minted where the list is too short."""
    page = home.ask(route, params, query={"limit": 1}).ok()
    if page["next_page"]:
        return page["next_page"]
    request = http_request.Request(world.api.house.app, route, _who(world, home), list(params.values()), "")
    request.query = _query(b"limit=1", route)
    order = getattr(request.query, "order", "desc")
    return world.api.house.app.cursors.write(Position(1, "x_1", order), request._binding())


def _who(world: World, home: Home) -> Any:
    return world.api.read(keys.admit, home.key)


def cursors(world: World, route: Route) -> Iterator[Cell]:
    """Cursors that were given to somebody else, for another list, or for another parent."""
    owner = world.owner
    theirs = owner.fresh_for(route)
    if (fill := FILLERS.get(route.name)) is not None:
        fill(owner, theirs)
    elif (noun := row_noun(route)) is not None:
        for _ in range(2):
            owner.fresh(noun, theirs)
    good = cursor(world, owner, route, theirs)
    altered = good[:-1] + ("A" if good[-1] != "A" else "B")

    def cell(detail: str, home: Home, params: Params, page: str, expected: int | None = 400) -> Cell:
        headers = own_key(home, route, params)
        probe = Ask(route, params, headers, query=(("page", page), ("limit", 1)))
        reference = replace(probe, query=(("page", "page_nonsense"), ("limit", 1)))
        return Cell(route.name, "cursor", detail, probe, reference, expected)

    own = Ask(route, theirs, own_key(owner, route), query=(("page", good), ("limit", 1)))
    yield Cell(route.name, "cursor", "one's own", own, None, 400 if route.name in ALWAYS_EMPTY else 200)
    for name, home in (("a sibling's", world.sibling), ("a stranger's", world.stranger)):
        yield cell(f"the owner's, in {name} hands", home, params_of(home, route), good)
        if theirs:
            yield cell(f"the owner's, in {name} hands, for the owner's list", home, theirs, good, None)
    yield cell("altered", owner, theirs, altered)
    for other in GUARDED:
        if other.paged and other is not route and other.name not in ALWAYS_EMPTY and makeable(world, other):
            page = cursor(world, owner, other, params_of(owner, other))
            yield cell(f"of {other.name}", owner, theirs, page)
    if theirs:
        another = owner.fresh_for(route)
        yield cell("of another parent", owner, another, good)


def row_noun(route: Route) -> str | None:
    return next(
        (noun for noun, prefix in PREFIXES.items() if prefix.rpartition("/")[0] == route.path.removeprefix("/rota")),
        None,
    )


def idempotency(world: World, route: Route) -> Iterator[Cell]:
    """An Idempotency-Key that another tenant has used, with the very same bytes: about one's own things, and about theirs."""
    owner = world.owner
    for name, home, headers in attackers(world, route):
        if home is world.shut:
            continue
        for whose in ("own", "the owner's") if route.parameters else ("own",):
            sent, theirs = owner.body(route), owner.fresh_for(route)
            used, unused = (f"{word} by {name} for {whose} {route.name}" for word in ("used", "unused"))
            owner.ask(route, theirs, sent, headers={"idempotency-key": used}).ok()
            mine = theirs if whose != "own" else home.fresh_for(route)
            probe = Ask(route, mine, (*headers, ("idempotency-key", used)), sent)
            another = theirs if whose != "own" else home.fresh_for(route)
            reference = Ask(route, another, (*headers, ("idempotency-key", unused)), owner.body(route))
            expected = None if whose == "own" else 404
            yield Cell(route.name, "idempotency key", f"{name}, {whose} things", probe, reference, expected)
