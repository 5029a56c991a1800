"""What happens to vaults (contract, vaults)."""

from collections.abc import Sequence

from msgspec import Struct

from rota.store.tx import Tx


class Facts(Struct, frozen=True):
    """What a fire or a session needs to know of a vault."""

    id: str
    workspace_id: str
    archived: bool


def find_many(tx: Tx, vault_ids: Sequence[str]) -> dict[str, Facts]:  # noqa: ARG001 - the room is being built
    """Those of the vaults that exist, in any workspace."""
    return {}
