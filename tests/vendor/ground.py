"""What a live server keeps, its database and the bytes of its files, brought back to a seed from beside it.

Promises: one short transaction, and none at all when nobody has committed since the last; what the server remembers stays
true, because ids of the seed are never given to anything else and versions in it are the first ones.
Used by the plug-in too, so it needs nothing but the standard library.
"""

import shutil
import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any

_KEPT = {"installation", "migrations", "stamps"}
"""Tables that say how the server is installed, or only ever count on."""


class Ground:
    """The database of one live server, and the copy of its tables that it is brought back to."""

    def __init__(self, database: str, seed: str, key: str) -> None:
        self._live, self._kept = Path(database).parent / "blobs", Path(seed).parent / "blobs"
        self._objects = [path.relative_to(self._kept) for path in self._kept.rglob("*") if path.is_file()]
        self._digest = sha256(key.encode()).hexdigest()
        self._connection = sqlite3.connect(database, isolation_level=None, uri=True)
        for pragma in ("busy_timeout = 10000", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("ATTACH ? AS seed", (f"file:{seed}?mode=ro&immutable=1",))
        # What carries a trigger is append-only: its rows stay as they are by promise, and more of them harm nobody.
        self._tables = [
            name
            for (name,) in self._connection.execute(
                """SELECT name FROM seed.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
                   AND name NOT IN (SELECT tbl_name FROM seed.sqlite_master WHERE type = 'trigger') ORDER BY name"""
            )
            if name not in _KEPT
        ]
        self._state: tuple[Any, str, str] = (None, "workspace", "")

    def restore(self, *, scope: str = "workspace", work: str = "", environment: str = "") -> None:
        """Bring the tables back, if anyone has committed since the last time; make the callers' key what it must be.

        ``work`` is the state of the item of work, in environments that are then self-hosted ones; ``environment`` is whose key
        it is, where that is its scope.
        """
        [number] = self._connection.execute("PRAGMA data_version").fetchone()
        if (number, scope, work) == self._state:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        for table in self._tables:
            self._connection.execute(f"DELETE FROM main.{table}")
            self._connection.execute(f"INSERT INTO main.{table} SELECT * FROM seed.{table}")
        if scope == "admin":
            self._connection.execute(
                "UPDATE main.keys SET scope = 'admin', workspace_id = NULL WHERE digest = ?", (self._digest,)
            )
        if scope == "environment":
            self._connection.execute(
                "UPDATE main.keys SET scope = ?, environment_id = ? WHERE digest = ?",
                (scope, environment, self._digest),
            )
        if work:
            self._connection.execute("UPDATE main.work SET state = ?", (work,))
            self._connection.execute(
                "UPDATE main.environments SET body = json_set(body, '$.config', json('{\"type\": \"self_hosted\"}'))"
            )
        if scope != self._state[1]:  # the server remembers keys until it is told
            self._connection.execute("UPDATE main.stamps SET value = value + 1 WHERE topic = 'keys'")
        self._connection.execute("COMMIT")
        self._restore_objects()
        [number] = self._connection.execute("PRAGMA data_version").fetchone()
        self._state = (number, scope, work)

    def _restore_objects(self) -> None:
        """Bring back the bytes that the server has removed meanwhile; what it has added stays, and nothing leads to it."""
        for name in self._objects:
            if not (self._live / name).exists():
                (self._live / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._kept / name, self._live / name)

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
