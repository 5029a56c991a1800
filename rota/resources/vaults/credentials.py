"""What happens to the credentials of a vault (contract, vaults).

Promises: a secret is sealed to its vault, credential and field in the transaction that brings it, and is gone in the one
that archives the credential; of what is shown nothing is opened. Those who use a credential read it with ``held``, talk to
other hosts outside of any transaction, and save over nothing but what they had read.
Does not talk to other hosts.
"""

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import UNSET, Struct

from rota.base import ids
from rota.base.clock import SECOND, to_datetime
from rota.base.errors import Conflict, InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.policy import Policy
from rota.base.who import Who
from rota.base.wire import check_metadata, patch_metadata
from rota.outgoing.failures import ForbiddenAddress
from rota.queue.outbox import announce
from rota.resources.vaults import actions as vaults
from rota.resources.vaults import resolve, sql
from rota.resources.vaults.auth import (
    Auth,
    EnvironmentVariable,
    McpOauth,
    SecretField,
    Secrets,
)
from rota.resources.vaults.sql import CredentialBody, Stored
from rota.resources.vaults.wire import (
    MAX_CREDENTIALS,
    CreateCredential,
    Credential,
    CredentialDeleted,
    ListVaults,
    UpdateCredential,
)
from rota.store.tx import Found, Tx, page


class Held(Struct, frozen=True, kw_only=True):
    """A credential in use, its secrets open. ``revision`` is what they were read at, at the
    instant ``read_at`` (microseconds UTC)."""

    vault_id: str
    credential_id: str
    revision: int
    read_at: int
    auth: Auth
    secrets: Secrets

    def __repr__(self) -> str:
        """Which it is, and none of its secrets."""
        return f"Held({self.vault_id}, {self.credential_id}, revision {self.revision})"


def create(tx: Tx, who: Who, vault_id: str, body: CreateCredential, policy: Policy) -> Credential:
    """Put a credential into a vault. Conflict if an active one is for the same server or variable."""
    vault = vaults.get_live(tx, who, vault_id)
    check_metadata(body.metadata)
    auth, secrets = resolve.resolve(body.auth, tx.now)
    target = resolve.target_of(auth)
    taken = {row[0] for row in tx.all(sql.ACTIVE_TARGETS, vault_id=vault.id)}
    if target in taken:
        what = "secret name" if isinstance(auth, EnvironmentVariable) else "MCP server URL"
        raise Conflict(f"A credential already exists for this {what}.")
    if len(taken) >= MAX_CREDENTIALS:
        raise InvalidRequest(
            f"The vault already has {MAX_CREDENTIALS} active credentials, which is the most; archive or delete one."
        )
    stored = Stored(
        id=ids.new(ids.CREDENTIAL),
        vault_id=vault.id,
        created_at=tx.now,
        updated_at=tx.now,
        archived_at=None,
        revision=1,
        body=CredentialBody(auth=auth, display_name=body.display_name, metadata=body.metadata),
    )
    text = sql.credential_body(stored.body)
    tx.insert(sql.INSERT_CREDENTIAL, [(stored.id, vault.id, tx.now, tx.now, target, stored.revision, text)])
    _keep(tx, stored, secrets, policy)
    announce(tx, who, "vault_credential.created", stored.id, data={"vault_id": vault.id})
    return sql.to_credential(stored)


def get(tx: Tx, who: Who, vault_id: str, credential_id: str) -> Credential:
    """The credential, archived ones too. NotFound, also under another vault than its own."""
    return sql.to_credential(_find(tx, who, vault_id, credential_id))


def list_(tx: Tx, who: Who, position: Position | None, vault_id: str, query: ListVaults) -> Found:
    """A page of a vault's credentials, newest first."""
    vault = vaults.get(tx, who, vault_id)
    live = None if query.include_archived else 1
    found = page(
        tx, sql.LIST_CREDENTIALS, limit=query.limit, position=position, filters={"live": live}, vault_id=vault.id
    )
    return found.map(lambda row: sql.to_credential(sql.to_stored(row)))


def update(tx: Tx, who: Who, vault_id: str, credential_id: str, body: UpdateCredential, policy: Policy) -> Credential:
    """Change what was sent. A body that changes nothing leaves ``updated_at`` alone; a secret sent again is a change."""
    vaults.get_live(tx, who, vault_id)
    old = _find(tx, who, vault_id, credential_id)
    if old.archived_at is not None:
        raise InvalidRequest("Credential is archived.")
    auth, secrets = (
        (old.body.auth, Secrets()) if body.auth is UNSET else resolve.change(old.body.auth, body.auth, tx.now)
    )
    changed = CredentialBody(
        auth=auth,
        display_name=old.body.display_name if body.display_name is UNSET else body.display_name,
        metadata=old.body.metadata if body.metadata is None else patch_metadata(old.body.metadata, body.metadata),
    )
    if changed == old.body and not secrets:
        return sql.to_credential(old)
    new = msgspec.structs.replace(old, body=changed, updated_at=tx.now, revision=old.revision + bool(secrets))
    _save(tx, new)
    _keep(tx, new, secrets, policy)
    return sql.to_credential(new)


def archive(tx: Tx, who: Who, vault_id: str, credential_id: str) -> Credential:
    """Archive for good: its secrets are forgotten, the record stays. Again is the same answer."""
    old = _find(tx, who, vault_id, credential_id)
    if old.archived_at is not None:
        return sql.to_credential(old)
    new = msgspec.structs.replace(old, archived_at=tx.now, updated_at=tx.now, revision=old.revision + 1)
    _save(tx, new)
    tx.run(sql.PURGE_SECRETS, vault_id=new.vault_id, credential_id=new.id)
    announce(tx, who, "vault_credential.archived", new.id, data={"vault_id": new.vault_id})
    return sql.to_credential(new)


def delete(tx: Tx, who: Who, vault_id: str, credential_id: str) -> CredentialDeleted:
    """Remove for good."""
    old = _find(tx, who, vault_id, credential_id)
    tx.run(sql.PURGE_SECRETS, vault_id=old.vault_id, credential_id=old.id)
    tx.run(sql.DELETE_CREDENTIAL, id=old.id)
    announce(tx, who, "vault_credential.deleted", old.id, data={"vault_id": old.vault_id})
    return CredentialDeleted(old.id)


# Using credentials


def find_for_urls(tx: Tx, vault_ids: Sequence[str], urls: Sequence[str]) -> dict[str, tuple[str, str]]:
    """For each of these MCP servers that has one, the vault and the credential: that of the first vault that has a match.

    The vaults are whoever asks's own to choose; nothing here looks at workspaces.
    """
    targets: dict[str, str] = {}
    for url in urls:
        try:
            targets[url] = resolve.target_of_url(url)
        except ForbiddenAddress:
            continue
    rows = tx.all(sql.FOR_TARGETS, vault_ids=list(vault_ids), targets=sorted(set(targets.values())))
    found = {(row[7], row[4]): row[0] for row in rows}
    return {
        url: next((vault_id, found[target, vault_id]) for vault_id in vault_ids if (target, vault_id) in found)
        for url, target in targets.items()
        if any((target, vault_id) in found for vault_id in vault_ids)
    }


def held(tx: Tx, who: Who, vault_id: str, credential_id: str, policy: Policy) -> Held:
    """A credential with its secrets open; an archived one has none. NotFound; ValueError if a secret cannot be opened."""
    stored = _find(tx, who, vault_id, credential_id)
    rows = tx.all(sql.GET_SECRETS, vault_id=stored.vault_id, credential_id=stored.id)
    secrets: Secrets = {}
    for field, sealed in rows:
        place = sql.SECRETS.place(stored.vault_id, stored.id, field)
        secrets[cast("SecretField", field)] = policy.sealer.get().open(bytes(sealed), place)
    return Held(
        vault_id=stored.vault_id,
        credential_id=stored.id,
        revision=stored.revision,
        read_at=tx.now,
        auth=stored.body.auth,
        secrets=secrets,
    )


def save_refreshed(tx: Tx, who: Who, used: Held, secrets: Secrets, expires_in: float | None, policy: Policy) -> bool:
    """Keep what a token endpoint gave, unless the secrets were changed or archived since they were read; whether it was kept.

    ``expires_in`` is in seconds from now, None where the endpoint did not say.
    """
    stored = _unchanged(tx, who, used)
    if stored is None or not isinstance(stored.body.auth, McpOauth):
        return False
    expires_at = UNSET if expires_in is None else to_datetime(tx.now + int(expires_in * SECOND))
    body = msgspec.structs.replace(stored.body, auth=msgspec.structs.replace(stored.body.auth, expires_at=expires_at))
    new = msgspec.structs.replace(stored, body=body, updated_at=tx.now, revision=stored.revision + 1)
    _save(tx, new)
    _keep(tx, new, secrets, policy)
    return True


def tell_refresh_failed(tx: Tx, who: Who, used: Held) -> None:
    """Announce that a refresh brought no token, unless its secrets were changed meanwhile: then it says nothing of them."""
    if _unchanged(tx, who, used) is not None:
        announce(tx, who, "vault_credential.refresh_failed", used.credential_id, data={"vault_id": used.vault_id})


def _unchanged(tx: Tx, who: Who, used: Held) -> Stored | None:
    try:
        stored = _find(tx, who, used.vault_id, used.credential_id)
    except NotFound:
        return None
    return stored if stored.revision == used.revision else None


def _find(tx: Tx, who: Who, vault_id: str, credential_id: str) -> Stored:
    vault = vaults.get(tx, who, vault_id)
    row = tx.one(sql.GET_CREDENTIAL, id=credential_id, vault_id=vault.id)
    if row is None:
        raise NotFound("Credential not found.")
    return sql.to_stored(row)


def _save(tx: Tx, stored: Stored) -> None:
    tx.run(
        sql.UPDATE_CREDENTIAL,
        id=stored.id,
        updated_at=stored.updated_at,
        archived_at=stored.archived_at,
        revision=stored.revision,
        body=sql.credential_body(stored.body),
    )


def _keep(tx: Tx, stored: Stored, secrets: Secrets, policy: Policy) -> None:
    rows = [
        (
            stored.vault_id,
            stored.id,
            field,
            policy.sealer.get().seal(secret, sql.SECRETS.place(stored.vault_id, stored.id, field)),
        )
        for field, secret in secrets.items()
    ]
    tx.insert(sql.KEEP_SECRETS, rows)
