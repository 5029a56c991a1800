"""One admitted and decoded request, as handlers see it, and the ways in which it reaches the store.

Promises: a write that carries an Idempotency-Key keeps its reply in the very transaction that did the work; a list's
cursors are bound to who asked, where, and with which filters.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec
from msgspec import Struct

from rota.base.errors import InvalidRequest
from rota.base.page import Cursors, Position
from rota.base.policy import Policy
from rota.base.who import Who
from rota.http import idempotency
from rota.http.route import Route
from rota.http.space import Space
from rota.http.upload import Form, Part
from rota.store.blob import Blobs
from rota.store.db import Db
from rota.store.tx import Found, Tx

P = ParamSpec("P")
R = TypeVar("R")
Item = TypeVar("Item")


class ListPage(Struct, frozen=True):
    """A page on the wire. ``next_page`` is null on the last one (our choice where the hosted service omits it)."""

    data: Sequence[Any]
    next_page: str | None


class TwoWayListPage(ListPage, frozen=True):
    """A page of a list that can also be walked backwards (sessions)."""

    prev_page: str | None = None


class Live(Protocol):
    """Chunks that come for as long as the caller stays: how they end, and a shorter way for them."""

    cut: "asyncio.Future[None]"
    """Set when the caller is given up: the connection is dropped, with whatever was not taken."""
    outlet: Callable[[bytes], bool] | None
    """Sends a chunk at once and says so, unless the connection takes nothing now. Set while the reply is being sent, for
    chunks that come when the last has been sent; a task need not wake up for them.
    """

    def hang_up(self) -> None:
        """Let them end."""
        ...


class Reply(Struct, frozen=True):
    """A response whose bytes are ready, or come one by one.

    With ``chunks`` they are sent as they come, and ``body`` is nothing; ``length`` is what they will be together, or None if
    that is not known beforehand. Chunks that stop short, by an exception or before ``length``, make the connection close, so
    that nobody takes what came for the whole. A caller who goes away ends them (``aclose``). ``live`` is there for chunks that
    come for as long as the caller stays.
    """

    body: bytes = b""
    content_type: bytes = b"application/json"
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    chunks: AsyncIterator[bytes] | None = None
    length: int | None = None
    live: "Live | None" = None


class Host(Protocol):
    """What a request needs of the application."""

    db: Db
    blobs: Blobs
    cursors: Cursors
    policy: Policy
    space: Space
    feed: Any


class Request:
    """A request for one route. ``who`` is the caller; ``body`` and ``query`` are the route's Structs, decoded.

    ``form`` is there for a route with ``upload``, unread. ``headers`` are as they came, names in lower case.
    """

    __slots__ = (
        "body", "form", "headers", "held", "host", "idempotency_key", "params", "path", "query", "raw_body", "route", "who",
    )  # fmt: skip

    def __init__(self, host: Host, route: Route, who: Who, params: list[str], path: str) -> None:
        self.host = host
        self.route = route
        self.who = who
        self.params = params
        self.path = path
        self.body: Any = None
        self.query: Any = None
        self.raw_body = b""
        self.held = 0
        self.form: Form | None = None
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self.idempotency_key: str | None = None

    @property
    def db(self) -> Db:
        """The store."""
        return self.host.db

    @property
    def blobs(self) -> Blobs:
        """The place for bytes that are too large for a row."""
        return self.host.blobs

    @property
    def policy(self) -> Policy:
        """What the operator has decided."""
        return self.host.policy

    @property
    def id(self) -> str:
        """The path's last parameter: the id that the request is about."""
        return self.params[-1]

    @property
    def feed(self) -> Any:
        """What is live (``queue.feed.Feed``); untyped here, because the stairs do not know each other."""
        return self.host.feed

    async def hold(self, size: int) -> None:
        """Take space for a long body, until the request has been handled. Crowded if there is none in time."""
        await self.host.space.take(size)
        self.held = size

    def header(self, name: bytes) -> str | None:
        """A header's value, by its name in lower case; the last one if there are several."""
        return next((value.decode("latin-1") for key, value in reversed(self.headers) if key == name), None)

    def asks_for(self, beta: str) -> bool:
        """Whether the caller's ``anthropic-beta`` names this value."""
        sent = (value.decode("latin-1") for name, value in self.headers if name == b"anthropic-beta")
        return any(beta == each.strip() for line in sent for each in line.split(","))

    def parts(self) -> AsyncIterator[Part]:
        """The parts of the form that comes in, for a route with ``upload``. InvalidRequest or TooLarge on the way.

        Whoever asks goes on to the end: only then is it known that the form was whole, and only then may ``write`` be called.
        """
        assert self.form is not None, "only a route with upload has parts"
        return self.form.parts()

    @property
    def key_name(self) -> idempotency.Name:
        """What the Idempotency-Key is remembered under."""
        assert self.idempotency_key is not None
        who = self.who
        scope = who.session_id or who.environment_id or who.workspace_id or who.organization_id
        return (scope, self.route.name, self.idempotency_key)

    async def read(self, fn: Callable[Concatenate[Tx, Who, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``fn(tx, who, …)`` on a snapshot."""
        return await self.host.db.read(fn, self.who, *args, **kwargs)

    async def write(self, fn: Callable[Concatenate[Tx, Who, P], R], *args: P.args, **kwargs: P.kwargs) -> R | Reply:
        """Run ``fn(tx, who, …)`` and commit; replay the first reply if the request repeats an Idempotency-Key."""
        if self.idempotency_key is None:
            return await self.host.db.write(fn, self.who, *args, **kwargs)
        return await self._once(lambda tx: fn(tx, self.who, *args, **kwargs))

    async def batch(self, fn: Callable[[Tx, Sequence[Item]], Sequence[R | BaseException]], item: Item) -> R | Reply:
        """Run the set-wise ``fn`` with ``item`` among others; alone if the request carries an Idempotency-Key."""
        if self.idempotency_key is None:
            return await self.host.db.batch(fn, item)

        def alone(tx: Tx) -> R:
            [outcome] = fn(tx, [item])
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        return await self._once(alone)

    async def page(
        self, fn: Callable[Concatenate[Tx, Who, Position | None, P], Found], *args: P.args, **kwargs: P.kwargs
    ) -> ListPage | dict[str, Any]:
        """One page of the list ``fn(tx, who, position, …)``, its cursors read and written."""
        binding = self._binding()
        position = None
        if self.query.page:
            try:
                position = self.host.cursors.read(self.query.page, binding)
            except InvalidRequest as refusal:
                raise InvalidRequest(self.query.WORDS.get("page", refusal.message)) from None
            if position.order != getattr(self.query, "order", position.order):
                raise InvalidRequest("page token order does not match request")
        found = await self.host.db.read(fn, self.who, position, *args, **kwargs)
        onward = self.host.cursors.write(found.next, binding) if found.next else None
        if self.route.beside:
            return {"data": found.items, "next_page": onward, **dict.fromkeys(self.route.beside, ())}
        if not getattr(self.query, "TWO_WAY", False):
            return ListPage(found.items, onward)
        return TwoWayListPage(found.items, onward, self.host.cursors.write(found.prev, binding) if found.prev else None)

    async def _once(self, act: Callable[[Tx], R]) -> R | Reply:
        body = self.raw_body if self.form is None else self.form.fingerprint()
        result, replay = await idempotency.once(self.host.db, self.key_name, self.path.encode() + b"\0" + body, act)
        return result if replay is None else Reply(replay, headers=(idempotency.REPLAYED,))

    def _binding(self) -> str:
        free: frozenset[str] = getattr(self.query, "FREE", frozenset())
        filters = {
            name: getattr(self.query, name)
            for name in self.query.__struct_fields__
            if name not in ("limit", "page", "order") and name not in free
        }
        where = self.who.workspace_id or self.who.organization_id
        return f"{where} {self.route.name} {' '.join(self.params)} {msgspec.json.encode(filters).decode()}"
