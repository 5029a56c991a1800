"""What happens to memory stores (contract, memory stores)."""

from collections.abc import Sequence

from msgspec import Struct

from rota.store.tx import Tx


class Facts(Struct, frozen=True):
    """What a fire or a session needs to know of a memory store."""

    id: str
    workspace_id: str
    archived: bool
    name: str
    description: str


def find_many(tx: Tx, memory_store_ids: Sequence[str]) -> dict[str, Facts]:  # noqa: ARG001 - the room is being built
    """Those of the memory stores that exist, in any workspace."""
    return {}
