"""Migrations: one numbered list of plain SQL files, forward only.

Promises: each file is applied once, in order, in a transaction of its own, under a lock; an empty database is filled in one
transaction, so that a first start that was cut short begins anew; a database that is newer than the program, or whose
history differs from the program's files, is refused with what to do about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import Protocol

from rota.base.errors import Unusable
from rota.store.dialect import Name, schema


@dataclass(frozen=True)
class Migration:
    """One file: its number, name, text and the checksum that is recorded when it has been applied."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """A digest of the file's text, the same for both databases."""
        return sha256(self.text.encode()).hexdigest()[:16]


class Target(Protocol):
    """A connection that migrations can be applied to."""

    dialect: Name

    def history(self) -> list[tuple[int, str]]:
        """(number, checksum) of what was applied, in order; creates the ledger if it is not there."""
        ...

    def apply(self, scripts: Sequence[tuple[Migration, str]]) -> None:
        """Run each migration's script and record it, all in one transaction."""
        ...


def migrations() -> list[Migration]:
    """All files, in order."""
    folder = resources.files("rota.store") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Migration(int(name[:4]), name[5:-4], (folder / name).read_text()) for name in names]


def pending(history: list[tuple[int, str]]) -> list[Migration]:
    """What has yet to be applied. Unusable if the database does not belong to this program's line of history."""
    known = migrations()
    for migration, (number, checksum) in zip(known, history, strict=False):
        if (migration.number, migration.checksum) != (number, checksum):
            raise Unusable(
                f"The database's migration {number:04} is not the one that this version of rota carries "
                f"({migration.number:04} {migration.name}). Restore a backup, or run the version that wrote it."
            )
    if len(history) > len(known):
        raise Unusable(
            f"The database is at migration {history[-1][0]:04}, this version of rota knows only {known[-1].number:04}. "
            "Upgrade rota, or restore a backup from before the upgrade."
        )
    return known[len(history) :]


def prepare(target: Target, *, upgrade: bool) -> list[Migration]:
    """Make the schema whole: an empty database is filled, one that is behind only when ``upgrade`` is asked for.

    Returns what was applied. Unusable if the database is behind (and says what to run), newer, or of another history.
    """
    history = target.history()
    todo = pending(history)
    if history and todo and not upgrade:
        raise Unusable(
            f"The database is at migration {history[-1][0]:04}; this version of rota needs {todo[-1].number:04}. "
            "Make a backup, then run `rota migrate`."
        )
    scripts = [(migration, schema(migration.text, target.dialect)) for migration in todo]
    for together in [[script] for script in scripts] if history else [scripts]:
        target.apply(together)
    return todo
