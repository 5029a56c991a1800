"""What happens to skills (contract, skills)."""

from collections.abc import Sequence

from msgspec import Struct

from rota.store.tx import Tx

LATEST = "latest"
PREBUILT = frozenset({"docx", "pdf", "pptx", "xlsx"})
"""The vendor's own skills, which every server has."""


class Facts(Struct, frozen=True):
    """What a fire or an agent needs to know of a custom skill. ``versions`` are the ids that exist of those asked for."""

    id: str
    workspace_id: str
    latest_version_id: str | None
    versions: frozenset[str]


def find_many(tx: Tx, refs: Sequence[tuple[str, str]]) -> dict[str, Facts]:  # noqa: ARG001 - the room is being built
    """Those of the custom skills that exist, in any workspace; ``refs`` are (skill id, version or ``latest``)."""
    return {}
