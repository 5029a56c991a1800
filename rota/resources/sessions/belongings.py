"""What the place where a session's tools run asks about it: which files belong in it, whether it still is this turn's, whether
it is there at all. Reads only.
"""

from collections.abc import Sequence

from msgspec import Struct

from rota.base.who import Who
from rota.resources.files import actions as files
from rota.resources.sessions import sql
from rota.resources.sessions.mounts import FileResource
from rota.resources.sessions.rows import stored
from rota.resources.sessions.turns import TurnSession
from rota.store.tx import Tx

GONE = "sessions.gone"
"""The topic that is woken when a session has been deleted."""


class Staged(Struct, frozen=True):
    """A file that is to be mounted: at which path, where its bytes lie, how many there are."""

    mount_path: str
    location: str
    size: int


def files_of(tx: Tx, who: Who, session_id: str) -> list[FileResource]:
    """The files that the session has at this moment; none if it is gone."""
    row = tx.one(sql.GET, id=session_id, workspace_id=who.workspace_id)
    if row is None:
        return []
    return [each for each in stored(row).body.resources if isinstance(each, FileResource)]


def staged(tx: Tx, who: Who, resources: Sequence[FileResource]) -> list[Staged]:
    """Where the bytes of files lie; one whose copy somebody has deleted is left out."""
    if not resources:
        return []
    found = files.find_many(tx, [each.file_id for each in resources])
    facts = [(each.mount_path, found.get(each.file_id)) for each in resources]
    return [
        Staged(path, each.blob, each.size_bytes)
        for path, each in facts
        if each is not None and each.workspace_id == who.workspace_id
    ]


def is_ours(tx: Tx, session: TurnSession) -> bool:
    """Whether the session is there and nobody else has taken it up since."""
    rows = tx.all(sql.EPOCHS, ids=[session.id])
    return bool(rows) and rows[0][1] == session.epoch


def present(tx: Tx, session_ids: Sequence[str]) -> set[str]:
    """Those of the sessions that are there, in any workspace."""
    return {row[0] for row in tx.all(sql.EPOCHS, ids=list(session_ids))}
