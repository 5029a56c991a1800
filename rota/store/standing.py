"""How a database stands, looked at without changing it: there or not, which version, which migrations.

Promises: makes no file, takes no lock and applies nothing; whatever is wrong is a sentence in the result.
"""

import sqlite3
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from msgspec import Struct

from rota.base.errors import Unusable
from rota.base.log import redact
from rota.store import migrate
from rota.store.db import is_sqlite, sqlite_path
from rota.store.tx import Query

_HISTORY = Query(
    "The migrations that were applied, in order.", "SELECT number, name, checksum FROM migrations ORDER BY number"
)


class Standing(Struct, frozen=True, kw_only=True):
    """What was found. ``applied`` and ``pending`` name migrations; ``problem`` says what is wrong and how to mend it."""

    server: str
    exists: bool = True
    applied: list[str] = []
    pending: list[str] = []
    problem: str | None = None


def standing(url: str) -> Standing:
    """How the database that ``url`` names stands."""
    try:
        server, rows = _sqlite(sqlite_path(url)) if is_sqlite(url) else _postgres(url)
    except (Unusable, sqlite3.Error) as exc:
        return Standing(
            server="an unknown database",
            exists=False,
            problem=f"The database cannot be read: {redact(str(exc)).strip()}",
        )
    applied = [f"{number:04} {name}" for number, name, _ in rows or []]
    try:
        pending = migrate.pending([(number, checksum) for number, _, checksum in rows or []])
    except Unusable as exc:
        return Standing(server=server, applied=applied, problem=str(exc))
    return Standing(
        server=server,
        exists=rows is not None,
        applied=applied,
        pending=[f"{migration.number:04} {migration.name}" for migration in pending],
    )


def _sqlite(path: Path) -> tuple[str, list[Any] | None]:
    server = f"SQLite {sqlite3.sqlite_version}"
    if not path.exists():
        return server, None
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
    try:
        return server, connection.execute(_HISTORY.sqlite).fetchall()
    except sqlite3.OperationalError as exc:
        if "no such table" in str(exc):
            return server, None
        raise
    finally:
        connection.close()


def _postgres(url: str) -> tuple[str, list[Any] | None]:
    import psycopg  # loaded only for those who use it, as in store.db

    from rota.store.postgres import connect

    if not url.startswith(("postgresql://", "postgres://")):
        raise Unusable("its URL is of no known kind; write sqlite:///… or postgresql://…")
    try:
        with connect(url, psycopg.IsolationLevel.READ_COMMITTED) as connection:
            number = connection.info.server_version
            server = f"PostgreSQL {number // 10000}.{number % 10000}"
            try:
                return server, connection.execute(cast("Any", _HISTORY.postgres)).fetchall()
            except psycopg.errors.UndefinedTable:
                return server, None
    except psycopg.Error as exc:
        raise Unusable(str(exc)) from exc
