"""The whole list of differences between the two databases, as far as SQL text goes.

SQL is written once, in the common subset, with ``:name`` parameters. What is rewritten:

=====================  ======================================  =============================
written                SQLite                                  PostgreSQL
=====================  ======================================  =============================
``:name``              ``:name``                               ``%(name)s``
``= ANY(:names)``      ``IN (SELECT value FROM json_each())``  ``= ANY(%(names)s)``
``TEXT``               ``TEXT`` (byte order)                   ``text COLLATE "C"``
``INTEGER``            ``INTEGER`` (64 bit)                    ``bigint``
``BLOB``               ``BLOB``                                ``bytea``
``WITHOUT ROWID``      kept: one B-tree instead of two         dropped
``FOR UPDATE …``       dropped: there is one writer            kept
``v.name`` in Update   ``?1``: the statement, once a row        a column of ``unnest(…) AS v``
``-- only: sqlite``    kept up to the next blank line          dropped up to there
``-- only: postgres``  dropped                                 kept
=====================  ======================================  =============================

Everything else (upsert, RETURNING, CTEs, row comparison, partial indexes, CHECK) both understand as it stands.
"""

import re
from typing import Literal, TypeAlias

Name: TypeAlias = Literal["sqlite", "postgres"]

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_SET = re.compile(r"= ANY\(:(\w+)\)")
_LOCK = re.compile(r"\s+FOR UPDATE\b[\w\s]*$")
_VALUE = re.compile(r"\bv\.(\w+)")
_ONLY = re.compile(r"^-- only: (sqlite|postgres)\n(.*?)(?=^\s*$|\Z)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*")
_TYPES = [
    (re.compile(r"\bTEXT\b"), 'text COLLATE "C"'),
    (re.compile(r"\bINTEGER\b"), "bigint"),
    (re.compile(r"\bBLOB\b"), "bytea"),
    (re.compile(r"\s*WITHOUT ROWID"), ""),
]


def set_names(sql: str) -> frozenset[str]:
    """The parameters of ``sql`` that stand for a set of values."""
    return frozenset(_SET.findall(sql))


def query(sql: str, name: Name) -> str:
    """A named query in the words of one database."""
    if name == "sqlite":
        return _SET.sub(r"IN (SELECT value FROM json_each(:\1))", _LOCK.sub("", sql))
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))


def head(sql: str, column: str) -> str:
    """PostgreSQL's way to end a list before its rows are too much together (``Tx.head``); SQLite just stops reading.

    Each row comes with the bytes of what is before it, of which ``octet_length`` need not fetch one, and the number of all.
    """
    before = f"sum(octet_length({column})) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    weighed = f"SELECT q.*, {before} AS before_it, count(*) OVER () AS of_all FROM ({sql}) q"
    return f"SELECT * FROM ({weighed}) w WHERE coalesce(before_it, 0) < :room"


CHUNK = 32
"""How many rows SQLite is given with one statement where there are as many: a third less CPU a row than one by one."""


def insert(table: str, columns: dict[str, str], name: Name, suffix: str = "", rows: int = 1) -> str:
    """The statement that inserts many rows at once: so many prepared rows for SQLite, arrays for PostgreSQL."""
    names = ", ".join(columns)
    if name == "sqlite":
        row = f"({', '.join('?' * len(columns))})"
        return f"INSERT INTO {table} ({names}) VALUES {', '.join([row] * rows)} {suffix}".rstrip()
    arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
    return f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) {suffix}".rstrip()


def update(sql: str, columns: dict[str, str], name: Name) -> str:
    """The statement that changes many rows, each by values of its own: a prepared row for SQLite, arrays for PostgreSQL."""
    if name == "sqlite":
        places = {column: f"?{number}" for number, column in enumerate(columns, 1)}
        return _VALUE.sub(lambda match: places[match[1]], sql)
    arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
    head, where, tail = sql.partition("WHERE")
    return f"{head}FROM unnest({arrays}) AS v({', '.join(columns)}) {where}{tail}"


def schema(sql: str, name: Name) -> str:
    """A migration file in the words of one database."""
    sql = _ONLY.sub(lambda m: m[2] if m[1] == name else "", sql)
    if name == "postgres":
        sql = _COMMENT.sub("", sql)
        for pattern, replacement in _TYPES:
            sql = pattern.sub(replacement, sql)
    return sql
