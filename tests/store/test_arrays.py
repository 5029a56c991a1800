"""Arrays as text: PostgreSQL reads back what was written, whatever it is."""

from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.store.arrays import literal

TEXTS = st.lists(st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
AWKWARD: list[str | None] = [
    "",
    "NULL",
    "null",
    None,
    "{}",
    "}",
    ",",
    '"',
    "\\",
    '\\"',
    "\\x41",
    " a ",
    "\n\t\r",
    "é✓𝄞",
    "'",
]


@pytest.fixture(scope="module")
def connection(postgres: str) -> Any:
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


def _read(connection: Any, kind: str, values: list[Any]) -> list[Any]:
    [[found]] = connection.execute(f"SELECT %s::{kind}[]", (literal(values),)).fetchall()
    return found


def test_awkward_texts(connection: Any) -> None:
    assert _read(connection, "text", AWKWARD) == AWKWARD


@given(values=TEXTS)
def test_any_text(connection: Any, values: list[str | None]) -> None:
    assert _read(connection, "text", values) == values


@given(values=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_any_integer(connection: Any, values: list[int | None]) -> None:
    assert _read(connection, "bigint", values) == values


@given(values=st.lists(st.none() | st.binary()))
def test_any_bytes(connection: Any, values: list[bytes | None]) -> None:
    assert _read(connection, "bytea", values) == values


def test_a_text_with_nul_is_refused_before_it_is_sent(connection: Any) -> None:
    with pytest.raises(psycopg.DataError):
        _read(connection, "text", ["a\0b"])
