"""The columns that hold sealed secrets, as rotation sees them: where each secret lives, and how to walk through them.

A room makes a ``SealedColumn`` for its table and seals to the places that it gives; ``api.py`` lists them all, and a law
compares that list with the schema. Promises: a walk reads a bounded number of rows at a time, and a row is read again in the
transaction that replaces it. Does not know keys, and unwraps only by the sealer that it is handed.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rota.base.seal import Place, Sealer, key_id_of
from rota.store.tx import Query, Row, Tx


class SealedColumn:
    """The column ``sealed`` of a table whose primary key is ``key``: one envelope a row, bound to table and key."""

    __slots__ = ("_count", "_first", "_get", "_key", "_keys_of", "_next", "_put", "table")

    def __init__(self, table: str, *key: str) -> None:
        columns = ", ".join(key)
        ours = " AND ".join(f"{name} = :{name}" for name in key)
        select = f"SELECT {columns}, sealed FROM {table}"
        onward = f"ORDER BY {columns} LIMIT :limit"
        self.table = table
        self._key = key
        self._first = Query("The first envelopes of a walk.", f"{select} {onward}")
        self._next = Query(
            "The envelopes after a row.",
            f"{select} WHERE ({columns}) > ({', '.join(f':{name}' for name in key)}) {onward}",
        )
        self._get = Query("One envelope.", f"SELECT sealed FROM {table} WHERE {ours}")
        self._put = Query("Replace one envelope.", f"UPDATE {table} SET sealed = :sealed WHERE {ours}")
        self._count = Query("How many envelopes there are.", f"SELECT count(*) FROM {table}")
        # The key's name stands in the envelope's clear head: twelve bytes after version and length.
        self._keys_of = Query(
            "How many envelopes each key has.",
            f"SELECT substr(sealed, 3, 12), count(*) FROM {table} GROUP BY substr(sealed, 3, 12)",
        )

    @property
    def queries(self) -> list[Query]:
        """Every text, for whoever checks them."""
        return [self._first, self._next, self._get, self._put, self._count, self._keys_of]

    def place(self, *key: str | int) -> Place:
        """What the secret in the row of this key is sealed to."""
        return Place("/".join((self.table, *map(str, key))))

    def count(self, tx: Tx) -> int:
        """How many envelopes there are."""
        row = tx.one(self._count)
        return 0 if row is None else row[0]

    def keys_named(self, tx: Tx) -> dict[str, int]:
        """How many envelopes are sealed with each key, by its id."""
        return {bytes(name).decode("ascii", "replace"): number for name, number in tx.all(self._keys_of)}

    def rows(self, tx: Tx, after: Sequence[Any] | None, limit: int) -> list[tuple[Row, bytes]]:
        """Keys and envelopes in the order of the keys, at most ``limit``, from the row after a key on."""
        found = (
            tx.all(self._first, limit=limit)
            if after is None
            else tx.all(self._next, limit=limit, **dict(zip(self._key, after, strict=True)))
        )
        return [(row[:-1], bytes(row[-1])) for row in found]

    def rewrap(self, tx: Tx, keys: Sequence[Row], sealer: Sealer) -> "Rewrapped":
        """Wrap the data keys of these rows with the sealer's current key. Those that need it no more are passed over."""
        changed, broken = 0, 0
        for key in keys:
            names = dict(zip(self._key, key, strict=True))
            row = tx.one(self._get, **names)
            if row is None or key_id_of(envelope := bytes(row[0])) == sealer.current:
                continue
            try:
                tx.run(self._put, sealed=sealer.rewrap(envelope, self.place(*key)), **names)
                changed += 1
            except ValueError:
                broken += 1
        return Rewrapped(changed, broken)


class Rewrapped(NamedTuple):
    """How many envelopes were wrapped anew, and how many could not be unwrapped where they stand."""

    changed: int
    broken: int


def keys_named(tx: Tx, columns: Iterable[SealedColumn]) -> dict[str, int]:
    """How many secrets of all these columns are sealed with each key, by its id."""
    named: dict[str, int] = {}
    for column in columns:
        for name, count in column.keys_named(tx).items():
            named[name] = named.get(name, 0) + count
    return named


def any_sealed(tx: Tx, columns: Iterable[SealedColumn]) -> bool:
    """Whether there is any secret in these columns."""
    return any(column.rows(tx, None, 1) for column in columns)
