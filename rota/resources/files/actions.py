"""What happens to files (contract, files)."""

from collections.abc import Sequence

from msgspec import Struct

from rota.store.tx import Tx


class Facts(Struct, frozen=True):
    """What a fire or a session needs to know of a file. ``blob`` names its bytes (see ``sql``)."""

    id: str
    workspace_id: str
    filename: str
    mime_type: str
    size_bytes: int
    blob: str


def find_many(tx: Tx, file_ids: Sequence[str]) -> dict[str, Facts]:  # noqa: ARG001 - the room is being built
    """Those of the files that exist and have not expired, in any workspace."""
    return {}


def copy_many(tx: Tx, wanted: Sequence[tuple[Facts, str]]) -> list[str]:  # noqa: ARG001 - the room is being built
    """Give sessions copies of files, (file, session id) each; the ids of the copies, in order."""
    return []


def delete_scoped(tx: Tx, session_id: str) -> None:
    """Remove the files of a session."""
