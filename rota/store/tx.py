"""A transaction as the rooms see it, and the named queries that they run in one.

Promises: a transaction function is a plain function ``fn(tx, …)``; it cannot await, so no transaction is ever held across
a network call; it may be run again from the start after a serialization conflict, so it has no effect but through ``tx``.
Whatever it wrote is committed whole or not at all; wake-ups that it asked for are sent after the commit.
Does not open connections and does not know which database is below.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol, TypeAlias, TypeVar

from rota.base.page import Order, Position
from rota.store import dialect

Row: TypeAlias = tuple[Any, ...]

MAX_SEEK = 2**63 - 1
MAX_PAGE = 32 * 1024 * 1024
"""Bytes of large columns that one page of a list may hold. A thousand rows of thirty megabytes would end the process."""


class Query:
    """One named SQL text in the common subset, with a sentence that says what it is for.

    ``weight`` is a column of its result that may be large, for ``Tx.head``.
    """

    __slots__ = ("note", "postgres", "postgres_head", "sets", "sqlite", "text", "weight")

    def __init__(self, note: str, text: str, *, weight: str | None = None) -> None:
        self.note = note
        self.text = text
        self.weight = weight
        self.sets = dialect.set_names(text)
        self.sqlite = dialect.query(text, "sqlite")
        self.postgres = dialect.query(text, "postgres")
        self.postgres_head = dialect.query(dialect.head(text, weight), "postgres") if weight is not None else ""


class Insert:
    """A bulk insert. ``columns`` maps names to PostgreSQL types (``text``, ``bigint``, ``bytea``)."""

    __slots__ = ("columns", "note", "postgres", "sqlite", "sqlite_chunk", "table")

    def __init__(self, note: str, table: str, columns: dict[str, str], *, suffix: str = "") -> None:
        self.note = note
        self.table = table
        self.columns = columns
        self.sqlite = dialect.insert(table, columns, "sqlite", suffix)
        self.sqlite_chunk = dialect.insert(table, columns, "sqlite", suffix, rows=dialect.CHUNK)
        self.postgres = dialect.insert(table, columns, "postgres", suffix)


class Update:
    """A bulk change: each of many rows by values of its own, which the text calls ``v.<name>``.

    The text is ``UPDATE table SET … WHERE …``, with the table's own columns written ``table.<name>`` after WHERE.
    ``columns`` maps the values' names, in their order, to PostgreSQL types.
    """

    __slots__ = ("columns", "note", "postgres", "sqlite", "text")

    def __init__(self, note: str, text: str, columns: dict[str, str]) -> None:
        self.note = note
        self.text = text
        self.columns = columns
        self.sqlite = dialect.update(text, columns, "sqlite")
        self.postgres = dialect.update(text, columns, "postgres")


class Listing:
    """A list walked by keyset: a base query, optional filters, and the pair of columns that orders it.

    ``select`` ends in a WHERE clause; its first two columns are the row's id and the instant (or number) it is ordered by.
    ``key`` names the order columns in SQL. Only the filters that are asked for become part of the text, so that each
    combination can use its own index. ``weight`` is a column that may hold megabytes: a page is then as many rows as fit
    into ``MAX_PAGE``, and the walk goes on behind them.
    """

    __slots__ = ("_build", "filters", "key", "note", "weight")

    def __init__(
        self,
        note: str,
        select: str,
        *,
        filters: dict[str, str] | None = None,
        key: tuple[str, str] = ("created_at", "id"),
        weight: str | None = None,
    ) -> None:
        self.note = note
        self.filters = filters or {}
        self.key = key
        self.weight = weight

        @cache
        def build(names: tuple[str, ...], order: Order, seek: bool) -> Query:
            at, tie = self.key
            clauses = [self.filters[name] for name in names]
            if seek:
                clauses.append(f"({at}, {tie}) {'<' if order == 'desc' else '>'} (:seek_at, :seek_id)")
            where = "".join(f" AND {clause}" for clause in clauses)
            return Query(note, f"{select}{where} ORDER BY {at} {order}, {tie} {order} LIMIT :limit", weight=weight)

        self._build = build

    def query(self, names: tuple[str, ...] = (), order: Order = "desc", *, seek: bool = False) -> Query:
        """The text for one combination of filters."""
        return self._build(names, order, seek)


class Found:
    """One page: its items, and the places where the walk goes on, forwards and back (None at an end)."""

    __slots__ = ("items", "next", "prev")

    def __init__(self, items: Sequence[Any], next_: Position | None = None, prev: Position | None = None) -> None:
        self.items = items
        self.next = next_
        self.prev = prev

    def map(self, convert: Callable[[Row], Any]) -> "Found":
        """The same page with each row converted."""
        return Found([convert(row) for row in self.items], self.next, self.prev)


class Tx(Protocol):
    """What a transaction function is given."""

    @property
    def now(self) -> int:
        """The instant of this transaction, microseconds UTC; the same throughout. On PostgreSQL the database tells it."""
        ...

    def one(self, query: Query, **parameters: Any) -> Row | None:
        """The first row, or None."""
        ...

    def all(self, query: Query, **parameters: Any) -> list[Row]:
        """All rows."""
        ...

    def head(self, query: Query, room: int, **parameters: Any) -> tuple[list[Row], bool]:
        """As many of the first rows as there is room for, and whether any were left.

        ``room`` is in bytes of the column that is the query's ``weight``; what is larger than all of it comes alone.
        """
        ...

    def run(self, query: Query, **parameters: Any) -> int:
        """Execute; the number of rows that were changed."""
        ...

    def insert(self, insert: Insert, rows: Sequence[Row]) -> None:
        """Insert all rows with one statement."""
        ...

    def update(self, update: Update, rows: Sequence[Row]) -> int:
        """Change all rows with one statement; the number of rows that were changed."""
        ...

    def turn(self, topic: str) -> bool:
        """Whether this transaction may go first: false while another one, here or elsewhere, has the turn of ``topic``.

        Held until the end of the transaction, and never waited for. It keeps transactions that would run each other's
        work again out of each other's way; nothing may depend on it.
        """
        ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic`` to look.

        That is, in this process. A shared topic, which begins with ``events ``, is told to other processes, too.
        """
        ...

    def touch(self, topic: str) -> None:
        """After the commit, let every process know that what it remembers of ``topic`` is out of date."""
        ...


class Moment:
    """The same transaction at another instant, for whoever walks through time (``rota serve --test-clock``)."""

    __slots__ = ("_tx", "now")

    def __init__(self, tx: Tx, now: int) -> None:
        self._tx = tx
        self.now = now

    def one(self, query: Query, **parameters: Any) -> Row | None:
        """See ``Tx.one``."""
        return self._tx.one(query, **parameters)

    def all(self, query: Query, **parameters: Any) -> list[Row]:
        """See ``Tx.all``."""
        return self._tx.all(query, **parameters)

    def head(self, query: Query, room: int, **parameters: Any) -> tuple[list[Row], bool]:
        """See ``Tx.head``."""
        return self._tx.head(query, room, **parameters)

    def run(self, query: Query, **parameters: Any) -> int:
        """See ``Tx.run``."""
        return self._tx.run(query, **parameters)

    def insert(self, insert: Insert, rows: Sequence[Row]) -> None:
        """See ``Tx.insert``."""
        self._tx.insert(insert, rows)

    def update(self, update: Update, rows: Sequence[Row]) -> int:
        """See ``Tx.update``."""
        return self._tx.update(update, rows)

    def turn(self, topic: str) -> bool:
        """See ``Tx.turn``."""
        return self._tx.turn(topic)

    def wake(self, topic: str) -> None:
        """See ``Tx.wake``."""
        self._tx.wake(topic)

    def touch(self, topic: str) -> None:
        """See ``Tx.touch``."""
        self._tx.touch(topic)


Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

BatchFn: TypeAlias = Callable[[Tx, Sequence[Item]], Sequence[Outcome | BaseException]]
"""A set-wise action: one outcome for each item, in order; a failed check is a value, not a raised exception."""


def page(
    tx: Tx,
    listing: Listing,
    *,
    limit: int,
    position: Position | None = None,
    order: Order = "desc",
    filters: dict[str, Any] | None = None,
    **parameters: Any,
) -> Found:
    """One page of ``listing`` in ``order``, at most ``limit`` rows, from ``position`` on.

    A filter whose value is None is left out. A position with ``back`` gives the page before it, in the requested order
    (contract, pagination). A page has fewer rows than there are only if they would be larger than ``MAX_PAGE``.
    """
    active = {name: value for name, value in (filters or {}).items() if value is not None}
    back = position is not None and position.back
    direction: Order = order if not back else ("asc" if order == "desc" else "desc")
    query = listing.query(tuple(active), direction, seek=position is not None)
    if position is not None:
        parameters |= {"seek_at": position.at, "seek_id": position.id}
    cut = False
    if listing.weight is None:
        rows = tx.all(query, limit=limit + 1, **active, **parameters)
    else:
        rows, cut = tx.head(query, MAX_PAGE, limit=limit + 1, **active, **parameters)
    more = cut or len(rows) > limit
    rows = rows[:limit]
    if back:
        rows.reverse()
    if not rows:
        return Found(rows, None, None)
    first, last = rows[0], rows[-1]
    onward = Position(last[1], last[0], order) if more or back else None
    before = Position(first[1], first[0], order, back=True) if (more if back else position is not None) else None
    return Found(rows, onward, before)
