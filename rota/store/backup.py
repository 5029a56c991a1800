"""Copies of a live store, and putting one back: the database, and the objects of a folder.

Promises: a copy of a database is one consistent moment of it, taken while servers write; it holds no remains of what was deleted;
what is copied has been through fsync when a function returns; nothing that exists is written over. PostgreSQL is copied by
its own tools, ``pg_dump`` and ``pg_restore``, whose password travels in their environment and on no command line.
Does not decide where copies go, and knows no key.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from rota.base.errors import Unusable
from rota.base.log import redact
from rota.store.standing import standing

_ENGINE: Final = "rota_wakes_*"
"""Schemas of the engine that wakes processes: nothing in them is worth keeping."""


def copy_sqlite(path: Path, copy: Path) -> None:
    """Write what an SQLite database holds at this moment to a new file. Servers go on reading and writing meanwhile.

    ``VACUUM INTO`` rather than a copy of pages: free pages, in which deleted content may remain, are left behind.
    """
    try:
        source = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, isolation_level=None)
        try:
            os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            source.execute("VACUUM INTO ?", (str(copy),))
        finally:
            source.close()
        check_sqlite(copy)
    except (sqlite3.Error, OSError) as exc:
        raise Unusable(f"The database file {path} cannot be copied: {exc}") from exc
    _sync(copy)


def check_sqlite(path: Path) -> None:
    """Unusable if an SQLite file is damaged."""
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)
    try:
        [(found,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as exc:
        found = str(exc)
    finally:
        connection.close()
    if found != "ok":
        raise Unusable(f"The database file {path} is damaged: {found}")


def restore_sqlite(copy: Path, path: Path) -> None:
    """Put a copy in the place of a database that is not there. Unusable if there is one, or the copy is damaged."""
    for beside in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
        if beside.exists():
            raise Unusable(f"{beside} exists. Stop the server, move its files away, and restore again.")
    check_sqlite(copy)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _copy(copy, path)


def dump_postgres(url: str, copy: Path) -> None:
    """Write what a PostgreSQL database holds at this moment to a new file, in the custom format of ``pg_dump``."""
    _run("pg_dump", url, "--format=custom", "--no-owner", "--no-acl", f"--exclude-schema={_ENGINE}", f"--file={copy}")
    copy.chmod(0o600)
    _sync(copy)


def restore_postgres(copy: Path, url: str) -> None:
    """Fill an empty PostgreSQL database from a copy, in one transaction. Unusable if it is not empty."""
    if standing(url).exists:
        raise Unusable("The database has tables of rota already. Make an empty one, and restore into that.")
    _run("pg_restore", url, "--no-owner", "--no-acl", "--single-transaction", "--exit-on-error", str(copy))


def copy_objects(root: Path, copy: Path) -> int:
    """Copy every whole object of a folder; how many there were. One that is removed meanwhile is passed over."""
    count = 0
    for path in _objects(root):
        target = copy / path.relative_to(root)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            _copy(path, target)
        except FileNotFoundError:
            continue
        except FileExistsError:
            if target.stat().st_size != path.stat().st_size:
                raise Unusable(f"{target} exists and is another object.") from None
        count += 1
    return count


def _objects(root: Path) -> Iterator[Path]:
    """Unfinished writes are called ``….part``; see ``store.blobs.directory``."""
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in sorted(names) if not name.endswith(".part"))


def _copy(source: Path, target: Path) -> None:
    """A new file with another's bytes, durable. No half of one is left under that name."""
    if target.exists():
        raise FileExistsError(target)
    draft = target.with_name(target.name + ".part")
    with (
        source.open("rb") as reading,
        os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as writing,
    ):
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())
    draft.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _run(tool: str, url: str, *arguments: str) -> None:
    """One of PostgreSQL's tools on a database, to its end."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # loaded only for those who use it, as in store.db

    program = shutil.which(tool)
    if program is None:
        raise Unusable(
            f"{tool} is not on the PATH. Install PostgreSQL's client programs, of the server's version or newer, or back the "
            "database up by other means; docs/operating.md says what belongs to a backup."
        )
    named: dict[str, Any] = dict(conninfo_to_dict(url))
    secret = named.pop("password", None)
    done = subprocess.run(  # noqa: S603 - the program is PostgreSQL's own, the arguments are ours
        [program, "--no-password", f"--dbname={make_conninfo('', **named)}", *arguments],
        env={**os.environ, **({"PGPASSWORD": str(secret)} if secret else {})},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        raise Unusable(f"{tool} failed: {redact(done.stderr).strip()}")
