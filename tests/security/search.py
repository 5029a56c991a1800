"""Looking for canaries in everything that a server leaves behind."""

import os
import sqlite3
from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg

_CHUNK = 1 << 22


def forms(text: str) -> list[bytes]:
    """A text as it may turn up: as it is, reversed, as hex, in UTF-16, and in base64 wherever it may stand there."""
    raw = text.encode()
    found = [raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode(), text.encode("utf-16-le")]
    for shift in range(3):
        coded = b64encode(b"\0" * shift + raw).rstrip(b"=")
        found.append(coded[(0, 2, 3)[shift] : len(coded) - (1 if (shift + len(raw)) % 3 else 0)])
    return found


def within(data: bytes, needles: Iterable[str]) -> list[str]:
    """Those of the needles that are in there in some form."""
    return [needle for needle in needles if any(form in data for form in forms(needle))]


def in_file(path: Path, needles: Iterable[str]) -> list[str]:
    """The same for a file of any size."""
    needles = list(needles)
    overlap = max(len(form) for needle in needles for form in forms(needle))
    found: set[str] = set()
    with path.open("rb") as file:
        before = b""
        while chunk := file.read(_CHUNK):
            found.update(within(before + chunk, needles))
            before = chunk[-overlap:]
    return sorted(found)


def files(folder: Path) -> Iterator[Path]:
    """Every file below a folder."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root) / name
            if path.is_file() and not path.is_symlink():
                yield path


def rows(url: str) -> Iterator[tuple[str, str]]:
    """Every value of every table, as text, with the table's name."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True)
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f"SELECT * FROM {table}"):
                yield (
                    table,
                    "\x1f".join(value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row),
                )
        connection.close()
        return
    with psycopg.connect(url) as connection:
        tables = [
            row[0]
            for row in connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
        ]
        for table in tables:
            for row in connection.execute(f"SELECT * FROM {table}"):  # type: ignore[arg-type]
                yield (
                    table,
                    "\x1f".join(value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row),
                )


def database_files(url: str) -> list[Path]:
    """The files in which a database rests, its log of writes among them, brought up to date."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return [each for each in path.parent.glob(path.name + "*") if each.is_file()]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SHOW data_directory").fetchone()
        oid = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
    assert row is not None
    assert oid is not None
    folder = Path(row[0])
    shared = [each for each in files(folder) if "base" not in each.relative_to(folder).parts]
    return [*files(folder / "base" / str(oid[0])), *shared]
