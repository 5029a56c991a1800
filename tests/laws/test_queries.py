"""Every named query is one that both databases understand, and says what it is for."""

import contextlib
import importlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rota.base.clock import HandClock
from rota.store.tx import Insert, Listing, Query, Update
from tests.conftest import open_and_close

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "rota").rglob("*.py"))
    if path.name == "sql.py" or path.parent.name == "store"
]


def named() -> Iterator[tuple[str, Query | Insert | Update | Listing]]:
    for module in MODULES:
        for name, value in vars(importlib.import_module(module)).items():
            if isinstance(value, Query | Insert | Update | Listing):
                yield f"{module}.{name}", value


def texts() -> Iterator[tuple[str, Query | Insert | Update]]:
    """The queries, each listing in every direction, bare, with each filter alone, and with all of them."""
    for name, value in named():
        if not isinstance(value, Listing):
            yield name, value
            continue
        for order in ("asc", "desc"):
            for names in {(), *((each,) for each in value.filters), tuple(value.filters)}:
                for seek in (False, True):
                    yield f"{name}({','.join(names)} {order} {seek})", value.query(names, order, seek=seek)


def test_there_are_queries() -> None:
    assert len(list(named())) > 40


@pytest.mark.parametrize(("name", "value"), list(named()), ids=[name for name, _ in named()])
def test_a_query_says_what_it_is_for(name: str, value: Query | Insert | Listing) -> None:
    assert value.note.endswith((".", ")")), name
    assert len(value.note) > 8, name


def test_every_query_prepares_on_sqlite(tmp_path: Path, clock: HandClock) -> None:
    path = tmp_path / "rota.db"
    open_and_close(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    for name, value in texts():
        if name.startswith("rota.store.postgres."):
            continue
        parameters = dict.fromkeys(_parameters(value)) if isinstance(value, Query) else [None] * len(value.columns)
        for key in value.sets if isinstance(value, Query) else ():
            parameters[key] = "[]"  # type: ignore[index, call-overload]
        try:
            connection.execute("EXPLAIN " + value.sqlite, parameters)
        except sqlite3.Error as exc:
            pytest.fail(f"{name}: {exc}")
    connection.close()


def test_every_query_prepares_on_postgres(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for number, (name, value) in enumerate(texts()):
            try:
                prepare(connection, f"q{number}", value)
                if isinstance(value, Query) and value.weight is not None:
                    text = numbered(value.postgres_head, ["room", *_parameters(value)])
                    connection.execute(f"PREPARE h{number} AS {text}")  # type: ignore[arg-type]
            except psycopg.Error as exc:
                pytest.fail(f"{name}: {exc}")


def prepare(connection: psycopg.Connection[Any], name: str, value: Query | Insert) -> None:
    """Let PostgreSQL look at a text."""
    if isinstance(value, Query):
        text = numbered(value.postgres, _parameters(value))
    else:
        text = value.postgres
        for position in range(1, len(value.columns) + 1):
            text = text.replace("%s", f"${position}", 1)
        text = text.replace("%%", "%")
    connection.execute(f"PREPARE {name} AS {text}")  # type: ignore[arg-type]


def numbered(text: str, names: list[str]) -> str:
    """A text with its parameters by number."""
    for position, key in enumerate(names, 1):
        text = text.replace(f"%({key})s", f"${position}")
    return text.replace("%%", "%")


def explain(path: Path, query: Query) -> list[str]:
    """The steps in which SQLite would run a text without sets."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("EXPLAIN QUERY PLAN " + query.sqlite, dict.fromkeys(_parameters(query))).fetchall()
    return [row[3] for row in rows]


def test_a_list_is_walked_by_an_index_and_never_sorted(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    open_and_close(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    for name, value in named():
        if not isinstance(value, Listing) or value.key[0] != "created_at":
            continue
        for seek in (False, True):
            query = value.query((), "desc", seek=seek)
            plan = connection.execute(
                "EXPLAIN QUERY PLAN " + query.sqlite, dict.fromkeys(_parameters(query))
            ).fetchall()
            assert not any("TEMP B-TREE" in row[3] for row in plan), (name, plan)
    connection.close()


def _parameters(query: Query | Insert) -> list[str]:
    import re

    assert isinstance(query, Query)
    return list(dict.fromkeys(re.findall(r"(?<![:\w]):([a-z_]\w*)", query.text)))
