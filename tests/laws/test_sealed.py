"""Every column that holds sealed secrets is known to rotation, and nothing else holds bytes that nobody explained."""

import re
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from rota import api
from rota.store.migrate import migrations
from rota.store.sealed import SealedColumn
from tests.conftest import open_and_close
from tests.laws.test_queries import explain, prepare

TABLE = re.compile(r"CREATE TABLE (\w+) \((.*?)\n\)", re.DOTALL)
PLAIN: dict[str, str] = {}
"""Columns of bytes that hold no secret (``table.column``), and what they hold."""


def blobs() -> dict[str, tuple[str, ...]]:
    """Every column of bytes in the schema, with the primary key of its table."""
    found: dict[str, tuple[str, ...]] = {}
    for migration in migrations():
        text = re.sub(r"--[^\n]*", "", migration.text)
        assert "ADD COLUMN" not in text or not re.search(r"ADD COLUMN \w+ BLOB", text), "say it here too"
        for table, columns in TABLE.findall(text):
            single = re.search(r"(\w+)\s+\w+ PRIMARY KEY", columns)
            several = re.search(r"PRIMARY KEY \(([^)]*)\)", columns)
            key = (single[1],) if single else tuple(re.split(r",\s*", several[1])) if several else ()
            for column in re.findall(r"(\w+)\s+BLOB", columns):
                found[f"{table}.{column}"] = key
    return found


def test_every_sealed_column_is_rotated_and_every_other_column_of_bytes_is_explained() -> None:
    registered = {f"{column.table}.sealed": column._key for column in api.SEALED}
    assert {name: key for name, key in blobs().items() if name not in PLAIN} == registered


def test_no_two_secrets_have_the_same_place() -> None:
    tables = [column.table for column in api.SEALED]
    assert len(set(tables)) == len(tables)
    assert not any(one.startswith(f"{other}/") for one, other in pairwise(sorted(tables)))
    assert SealedColumn("t", "a", "b").place("x", 1) == "t/x/1"


@pytest.mark.parametrize("column", api.SEALED, ids=lambda column: column.table)
def test_the_queries_of_a_sealed_column_prepare_on_both_databases(
    column: SealedColumn, tmp_path: Path, postgres_url: str
) -> None:
    open_and_close(f"sqlite:///{tmp_path / 'rota.db'}")
    for query in column.queries:
        assert not any("TEMP B-TREE FOR ORDER" in step for step in explain(tmp_path / "rota.db", query))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for number, query in enumerate(column.queries):
            prepare(connection, f"s{number}", query)
