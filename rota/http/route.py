"""A route is one declarative record; everything else about the API is derived from the list of them.

Promises: routing, decoding, OpenAPI, the CLI verbs and the test matrices all read these records and nothing else; finding
a route costs one dictionary step a path segment, however many routes there are.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from msgspec import Struct

from rota.base.errors import MethodNotAllowed, NotFound
from rota.base.wire import Dialect

Handler: TypeAlias = Callable[[Any], Awaitable[Any]]
"""Takes the ``http.request.Request``; untyped here because a request refers to its route."""
Method: TypeAlias = Literal["GET", "POST", "PATCH", "DELETE"]
Access: TypeAlias = Literal["workspace", "organization", "admin", "environment", "public"]
"""``workspace``: a workspace key. ``organization``: a workspace key or an admin key. ``admin``: an admin key.
``environment``: none of these, only what ``opens`` names. ``public``: no key at all."""
Worker: TypeAlias = Literal["environment", "session"]
"""The credentials of a worker: its environment's key, and the sessions token that it is given with each item of work."""
Unopened: TypeAlias = Literal["nobody", "scope", "nothing"]
"""How a worker's credential that does not open a route is told so: it is nobody there (401), its scope is another (403), or
nothing is there (404). Which of them where is recorded (contract, environment key)."""


MAX_BODY = 32 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class Route:
    """One operation.

    ``name`` is ``noun.verb`` (nouns may nest: ``agents.versions.list``) and becomes the operation id and the CLI verb.
    ``body`` and ``query`` are the Structs that come in, ``returns`` the Struct that goes out (an item's, if ``paged``); ``str``
    is plain text, ``bytes`` a file. ``upload`` is the Struct that describes a form (``multipart/form-data``): its ``bytes``
    fields are files. ``max_body`` bounds what comes in, in bytes.
    ``writes`` is refused for an archived workspace or a disabled organization, ``creates`` takes an Idempotency-Key.
    ``id_headers`` tells whether responses name the organization and workspace (contract, response headers).
    ``also`` are further methods that do the same, for clients of other ages; ``beside`` names lists that stand beside
    ``data`` in every page and are always empty (contract, pagination: memories). ``opens`` names the workers' credentials that
    open the route beside the keys of ``access``, and ``unopened`` says how the others are refused; ``late`` lets in a sessions
    token whose hand-out is over, because the action itself has an answer for it. ``dated`` is what goes out instead to callers
    of an old, dated beta (a whole page, if ``paged``); only the OpenAPI document looks at it. ``streams``: what goes out is a
    stream of events, each a ``returns``, for as long as the caller stays.
    """

    method: Method
    path: str
    name: str
    summary: str
    handle: Handler
    returns: Any
    body: type | None = None
    upload: type[Struct] | None = None
    query: type[Struct] | None = None
    dialect: Dialect = "path"
    access: Access = "workspace"
    paged: bool = False
    writes: bool = False
    creates: bool = False
    id_headers: bool = True
    also: tuple[Method, ...] = ()
    beside: tuple[str, ...] = ()
    opens: tuple[Worker, ...] = ()
    unopened: Unopened = "nobody"
    late: bool = False
    dated: Any = None
    streams: bool = False
    max_body: int = MAX_BODY
    tally: "Tally" = field(default_factory=lambda: Tally(), repr=False)

    @property
    def parameters(self) -> list[str]:
        """Names of the path's parameters, in order."""
        return [segment[1:-1] for segment in self.path.split("/") if segment.startswith("{")]


class Tally:
    """Counts of one route's responses by status, and how long they took; plain numbers, since only the event loop writes."""

    BOUNDS: ClassVar[tuple[float, ...]] = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
    __slots__ = ("buckets", "limited", "seconds", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(self.BOUNDS) + 1)
        self.seconds = 0.0
        self.limited = 0
        """How many of the 429 were the request limiter's."""

    def add(self, status: int, seconds: float) -> None:
        """Count one response."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.seconds += seconds
        for index, bound in enumerate(self.BOUNDS):
            if seconds <= bound:
                self.buckets[index] += 1
                return
        self.buckets[-1] += 1


class _Node:
    __slots__ = ("child", "literal", "routes")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.child: _Node | None = None
        self.routes: dict[str, Route] = {}


class Router:
    """The routes as a tree of path segments."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self.routes = list(routes)
        for route in self.routes:
            node = self._root
            for segment in route.path.split("/")[1:]:
                if segment.startswith("{"):
                    node.child = node.child or _Node()
                    node = node.child
                else:
                    node = node.literal.setdefault(segment, _Node())
            for method in (route.method, *route.also):
                if method in node.routes:
                    raise ValueError(f"two routes for {method} {route.path}")
                node.routes[method] = route

    def find(self, method: str, path: str) -> tuple[Route, list[str]]:
        """The route and the values of its path parameters. NotFound or MethodNotAllowed."""
        node = self._root
        values: list[str] = []
        for segment in path.split("/")[1:]:
            below = node.literal.get(segment)
            if below is None:
                below = node.child
                if below is None or not segment:
                    raise NotFound("not found")
                values.append(segment)
            node = below
        route = node.routes.get(method)
        if route is None:
            if node.routes:
                known = sorted(node.routes)
                raise MethodNotAllowed(
                    f"{method} is not allowed here; use {' or '.join(known)}.", headers={"allow": ", ".join(known)}
                )
            raise NotFound("not found")
        return route, values
