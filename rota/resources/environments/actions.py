"""What happens to environments (contract, environments)."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET, Struct

from rota.base import ids
from rota.base.clock import from_datetime, to_datetime
from rota.base.errors import Conflict, InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.who import Who
from rota.base.wire import check_metadata, patch_metadata
from rota.queue.outbox import announce, consult
from rota.resources.environments import sql
from rota.resources.environments.wire import (
    Config,
    CreateEnvironment,
    Environment,
    EnvironmentDeleted,
    ListEnvironments,
    Scope,
    SelfHosted,
    UpdateEnvironment,
    resolve,
)
from rota.store.tx import Found, Tx, page


class Facts(Struct, frozen=True):
    """What a fire or a session needs to know of an environment."""

    id: str
    workspace_id: str
    archived: bool
    config: Config


def create(tx: Tx, who: Who, body: CreateEnvironment) -> Environment:
    """Make an environment. Conflict if a live one has the name."""
    check_metadata(body.metadata)
    _check_scope(body.scope)
    now = to_datetime(tx.now)
    environment = Environment(
        id=ids.new(ids.ENVIRONMENT),
        name=body.name,
        description=body.description,
        config=resolve(body.config),
        metadata=body.metadata,
        scope="organization",
        created_at=now,
        updated_at=now,
        archived_at=None,
    )
    _check_name(tx, who, environment)
    tx.insert(
        sql.INSERT,
        [(environment.id, tx.now, tx.now, None, environment.name, sql.to_body(environment), who.workspace_id)],
    )
    announce(tx, who, "environment.created", environment.id)
    return environment


def get(tx: Tx, who: Who, environment_id: str) -> Environment:
    """The environment, archived ones too. NotFound."""
    row = tx.one(sql.GET, id=environment_id, workspace_id=who.workspace_id)
    if row is None:
        raise NotFound(f"Environment {environment_id} not found.")
    return sql.to_environment(row)


def find_many(tx: Tx, environment_ids: Sequence[str]) -> dict[str, Facts]:
    """Those of the environments that exist, in any workspace."""
    rows = tx.all(sql.GET_MANY, ids=list(environment_ids))
    return {row[0]: Facts(row[0], row[1], row[2] is not None, sql.to_config(row[3])) for row in rows}


def list_(tx: Tx, who: Who, position: Position | None, query: ListEnvironments) -> Found:
    """A page of environments, newest first."""
    live = None if query.include_archived else 1
    found = page(
        tx, sql.LIST, limit=query.limit, position=position, filters={"live": live}, workspace_id=who.workspace_id
    )
    return found.map(sql.to_environment)


def update(tx: Tx, who: Who, environment_id: str, body: UpdateEnvironment) -> Environment:
    """Change what was sent; a body that changes nothing leaves ``updated_at`` alone and is not announced."""
    old = get(tx, who, environment_id)
    if old.archived_at is not None:
        raise InvalidRequest(
            f"Environment {environment_id} is archived and cannot be updated.",
            details={"error_code": "environment_archived"},
        )
    if body.scope is not UNSET:
        _check_scope(body.scope)
    new = msgspec.structs.replace(
        old,
        name=old.name if body.name is UNSET or body.name is None else body.name,
        description=old.description if body.description is UNSET else body.description,
        config=old.config if body.config is UNSET else resolve(body.config, old.config),
        metadata=old.metadata
        if body.metadata is UNSET
        else patch_metadata(old.metadata, body.metadata, empty_deletes=True),
    )
    if new == old:
        return old
    if new.name != old.name:
        _check_name(tx, who, new)
    return _save(tx, who, new, "environment.updated")


def archive(tx: Tx, who: Who, environment_id: str) -> Environment:
    """Archive for good; again is the same answer, unannounced."""
    old = get(tx, who, environment_id)
    if old.archived_at is not None:
        return old
    now: datetime = to_datetime(tx.now)
    return _save(tx, who, msgspec.structs.replace(old, archived_at=now), "environment.archived")


def delete(tx: Tx, who: Who, environment_id: str, *, force: bool) -> EnvironmentDeleted:
    """Remove for good. A self-hosted one that is in use is a Conflict unless ``force`` (contract, environments)."""
    environment = get(tx, who, environment_id)
    if isinstance(environment.config, SelfHosted) and not force:
        consult(tx, who, "environment.deleting", environment.id)
    tx.run(sql.DELETE, id=environment.id)
    announce(tx, who, "environment.deleted", environment.id)
    return EnvironmentDeleted(environment.id)


def _save(tx: Tx, who: Who, environment: Environment, event: str) -> Environment:
    saved = msgspec.structs.replace(environment, updated_at=to_datetime(tx.now))
    archived_at = None if saved.archived_at is None else from_datetime(saved.archived_at)
    tx.run(
        sql.UPDATE, id=saved.id, updated_at=tx.now, archived_at=archived_at, name=saved.name, body=sql.to_body(saved)
    )
    announce(tx, who, event, saved.id)
    return saved


def _check_name(tx: Tx, who: Who, environment: Environment) -> None:
    if tx.one(sql.BY_NAME, workspace_id=who.workspace_id, name=environment.name, id=environment.id) is not None:
        raise Conflict(
            f'An environment named "{environment.name}" already exists in this workspace; choose another name.'
        )


def _check_scope(scope: Scope | None) -> None:
    if scope == "account":
        raise InvalidRequest('scope: "account" is not available to API organizations; use organization')
