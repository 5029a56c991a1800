"""What happens to vaults (contract, vaults). Credentials are in ``credentials``."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from rota.base import ids
from rota.base.clock import to_datetime
from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.who import Who
from rota.base.wire import check_metadata, patch_metadata
from rota.queue.outbox import announce
from rota.resources.vaults import sql
from rota.resources.vaults.wire import CreateVault, ListVaults, UpdateVault, Vault, VaultDeleted
from rota.store.tx import Found, Tx, page


class Facts(Struct, frozen=True):
    """What a fire or a session needs to know of a vault."""

    id: str
    workspace_id: str
    archived: bool


def create(tx: Tx, who: Who, body: CreateVault) -> Vault:
    """Make a vault."""
    check_metadata(body.metadata)
    now = to_datetime(tx.now)
    vault = Vault(
        id=ids.new(ids.VAULT),
        display_name=body.display_name,
        metadata=body.metadata,
        created_at=now,
        updated_at=now,
        archived_at=None,
    )
    tx.insert(sql.INSERT, [(vault.id, who.workspace_id, tx.now, tx.now, sql.vault_body(vault))])
    announce(tx, who, "vault.created", vault.id)
    return vault


def get(tx: Tx, who: Who, vault_id: str) -> Vault:
    """The vault, archived ones too. NotFound."""
    row = tx.one(sql.GET, id=vault_id, workspace_id=who.workspace_id)
    if row is None:
        raise NotFound("Vault not found.")
    return sql.to_vault(row)


def find_many(tx: Tx, vault_ids: Sequence[str]) -> dict[str, Facts]:
    """Those of the vaults that exist, in any workspace."""
    rows = tx.all(sql.GET_MANY, ids=list(vault_ids))
    return {row[0]: Facts(row[0], row[1], row[2] is not None) for row in rows}


def get_live(tx: Tx, who: Who, vault_id: str) -> Vault:
    """The vault. NotFound; InvalidRequest for an archived one."""
    vault = get(tx, who, vault_id)
    if vault.archived_at is not None:
        raise InvalidRequest("Vault is archived.")
    return vault


def list_(tx: Tx, who: Who, position: Position | None, query: ListVaults) -> Found:
    """A page of vaults, newest first."""
    live = None if query.include_archived else 1
    found = page(
        tx, sql.LIST, limit=query.limit, position=position, filters={"live": live}, workspace_id=who.workspace_id
    )
    return found.map(sql.to_vault)


def update(tx: Tx, who: Who, vault_id: str, body: UpdateVault) -> Vault:
    """Change what was sent; a body that changes nothing leaves ``updated_at`` alone. There is no event for it."""
    old = get_live(tx, who, vault_id)
    new = msgspec.structs.replace(
        old,
        display_name=old.display_name if body.display_name is None else body.display_name,
        metadata=old.metadata if body.metadata is None else patch_metadata(old.metadata, body.metadata),
    )
    if new == old:
        return old
    return _save(tx, msgspec.structs.replace(new, updated_at=to_datetime(tx.now)), None)


def archive(tx: Tx, who: Who, vault_id: str) -> Vault:
    """Archive for good, its credentials with it: their secrets are forgotten, the records stay. Again is the same answer."""
    old = get(tx, who, vault_id)
    if old.archived_at is not None:
        return old
    now = to_datetime(tx.now)
    vault = _save(tx, msgspec.structs.replace(old, archived_at=now, updated_at=now), tx.now)
    archived = [row[0] for row in tx.all(sql.ARCHIVE_CREDENTIALS, vault_id=vault.id, now=tx.now)]
    tx.run(sql.PURGE_ALL_SECRETS, vault_id=vault.id)
    announce(tx, who, "vault.archived", vault.id)
    if archived:
        announce(tx, who, "vault_credential.archived", *archived, data={"vault_id": vault.id})
    return vault


def delete(tx: Tx, who: Who, vault_id: str) -> VaultDeleted:
    """Remove for good, its credentials with it."""
    vault = get(tx, who, vault_id)
    tx.run(sql.PURGE_ALL_SECRETS, vault_id=vault.id)
    removed = [row[0] for row in tx.all(sql.DELETE_CREDENTIALS, vault_id=vault.id)]
    tx.run(sql.DELETE, id=vault.id)
    if removed:
        announce(tx, who, "vault_credential.deleted", *removed, data={"vault_id": vault.id})
    announce(tx, who, "vault.deleted", vault.id)
    return VaultDeleted(vault.id)


def _save(tx: Tx, vault: Vault, archived_at: int | None) -> Vault:
    tx.run(sql.UPDATE, id=vault.id, updated_at=tx.now, archived_at=archived_at, body=sql.vault_body(vault))
    return vault
