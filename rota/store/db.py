"""The store's front: what every database offers, and how one is opened by its URL.

Promises: ``write`` and ``batch`` return only after the data is durable; writes are serializable on both databases;
``read`` sees one snapshot. All three raise the Refusal that the function raised, ``Unavailable`` when the database cannot
be used, or whatever else went wrong.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from rota.base.clock import Clock
from rota.base.errors import Unusable
from rota.store.tx import BatchFn, Item, Outcome, Tx

P = ParamSpec("P")
R = TypeVar("R")


class Db(Protocol):
    """One database, open."""

    name: str

    def write(self, fn: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Run ``fn(tx, …)`` in a read-write transaction; returns after the commit."""
        ...

    def read(self, fn: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Run ``fn(tx, …)`` on one read-only snapshot."""
        ...

    def batch(self, fn: BatchFn[Item, Outcome], item: Item) -> Awaitable[Outcome]:
        """Hand ``item`` to ``fn`` together with whatever else waits for ``fn``; returns its outcome after the commit.

        No timer: a lone caller is served at once, sets appear only under load. An exception raised by ``fn`` for a set
        makes the store run its items one by one.
        """
        ...

    def stamp(self, topic: str) -> object:
        """A value that changes when somebody touched ``topic``, here or in another process. Cheap; never blocks on a lock."""
        ...

    def subscribe(self, topic: str, listener: Callable[[], None]) -> None:
        """Call ``listener`` on the event loop after each commit here that woke ``topic``; see ``Tx.wake`` for others' commits."""
        ...

    def unsubscribe(self, topic: str, listener: Callable[[], None]) -> None:
        """Call it no more. No error if it was not subscribed."""
        ...

    def say(self, topic: str, text: str) -> None:
        """Say a text of one line to the other processes that hear ``topic``, a shared one, if there are any.

        It may be lost, and is if its UTF-8 has more than 7000 bytes. Called on the event loop, and never waits.
        """
        ...

    def hear(self, topic: str, hearer: Callable[[str], None] | None) -> None:
        """Call ``hearer`` on the event loop for what other processes say; None for nobody any more."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then release everything."""
        ...


def is_sqlite(url: str) -> bool:
    """Whether the URL names an embedded database."""
    return url.startswith("sqlite:")


def sqlite_path(url: str) -> Path:
    """The file of ``sqlite:///relative`` or ``sqlite:////absolute``."""
    path = url.removeprefix("sqlite://").removeprefix("/")
    if not url.startswith("sqlite:///") or not path:
        raise Unusable(f"The database URL {url!r} names no file; write sqlite:///path/to/rota.db")
    return Path(path)


def open_db(
    url: str,
    clock: Clock,
    *,
    serving: bool = False,
    upgrade: bool = False,
    synchronous: str = "FULL",
    connections: int = 4,
) -> Db:
    """Open the database that ``url`` names (``sqlite:///…`` or ``postgresql://…``); an empty one is given its schema.

    ``serving`` takes the lock that keeps a second server off an embedded database; ``upgrade`` applies pending
    migrations; ``synchronous`` is SQLite's durability setting; ``connections`` bounds PostgreSQL's, for reads and for
    writes each. Unusable if the URL is of no known kind, or the database cannot be opened or is of another version.
    """
    if is_sqlite(url):
        from rota.store.sqlite import SqliteDb  # each driver is loaded only where it is used

        return SqliteDb(sqlite_path(url), clock, serving=serving, upgrade=upgrade, synchronous=synchronous)
    if url.startswith(("postgresql://", "postgres://")):
        from rota.store.postgres import PostgresDb  # psycopg costs 100 ms and 15 MB that SQLite users need not pay

        return PostgresDb(url, clock, upgrade=upgrade, connections=connections)
    raise Unusable(
        f"The database URL {url.split(':', 1)[0]!r}:… is of no known kind; write sqlite:///… or postgresql://…"
    )
