"""What happens to organizations and workspaces (contract, organization, workspaces)."""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Struct

from rota.base import ids
from rota.base.clock import from_datetime, to_datetime
from rota.base.errors import InvalidRequest, NotFound
from rota.base.who import Who
from rota.resources.workspaces import keys, sql
from rota.resources.workspaces.wire import (
    CreateWorkspace,
    DataResidency,
    ListWorkspaces,
    Organization,
    UpdateWorkspace,
    Workspace,
    WorkspaceList,
    check_tags,
    merge_residency,
    neighbour,
)
from rota.store.tx import Row, Tx, page

if TYPE_CHECKING:
    from datetime import datetime

_COLOR = "#5B7C99"


class OrganizationFacts(Struct, frozen=True):
    """An organization as its operator sees it."""

    id: str
    name: str
    disabled: bool
    default_workspace_id: str


class Bootstrapped(Struct, frozen=True):
    """What an empty database was begun with."""

    organization_id: str
    workspace_id: str
    key_id: str
    key: str


class State(Struct, frozen=True):
    """What decides whether a workspace may start new work."""

    organization_id: str
    workspace_archived: bool
    organization_disabled: bool


def found(tx: Tx) -> OrganizationFacts | None:
    """The organization of this installation (the oldest, were there several); None in an empty database."""
    rows = tx.all(sql.ORGANIZATIONS)
    return _to_facts(tx, rows[0]) if rows else None


def make(tx: Tx, name: str = "Default") -> OrganizationFacts:
    """Make an organization with its default workspace. ``id`` is a bare lower-case UUID, as clients expect."""
    organization_id = str(uuid.uuid4())
    tx.insert(sql.INSERT_ORGANIZATION, [(organization_id, tx.now, tx.now, 0, name)])
    workspace = _insert(tx, organization_id, CreateWorkspace(name="Default"), is_default=True)
    return OrganizationFacts(organization_id, name, False, workspace.id)


def bootstrap(tx: Tx, api_key: str | None) -> Bootstrapped | None:
    """Begin an empty database: an organization, its default workspace, and one API key; None where there is one already.

    ``api_key`` is the operator's own text for the key; without it a random one is made.
    """
    if found(tx) is not None:
        return None
    organization = make(tx)
    made = keys.create(
        tx, organization.id, workspace_id=organization.default_workspace_id, name="first key", token=api_key
    )
    return Bootstrapped(organization.id, organization.default_workspace_id, made.id, made.key)


def set_disabled(tx: Tx, organization_id: str, disabled: bool) -> OrganizationFacts:
    """Disable an organization (its keys then only read, and its runs are recorded as failed), or enable it again."""
    tx.run(sql.SET_DISABLED, id=organization_id, disabled=int(disabled), updated_at=tx.now)
    tx.touch(keys.TOPIC)
    row = tx.one(sql.GET_ORGANIZATION, id=organization_id)
    if row is None:
        raise NotFound(f"Organization {organization_id} not found.")
    return _to_facts(tx, row)


def me(tx: Tx, who: Who) -> Organization:
    """The caller's own organization."""
    row = tx.one(sql.GET_ORGANIZATION, id=who.organization_id)
    assert row is not None
    return Organization(row[0], row[1])


def states(tx: Tx, workspace_ids: Sequence[str]) -> dict[str, State]:
    """The states of those of the workspaces that exist."""
    rows = tx.all(sql.STATES, ids=list(workspace_ids))
    return {row[0]: State(row[1], row[2] is not None, bool(row[3])) for row in rows}


def create(tx: Tx, who: Who, body: CreateWorkspace) -> Workspace:
    """Make a workspace."""
    return _insert(tx, who.organization_id, body, is_default=False)


def get(tx: Tx, who: Who, workspace_id: str) -> Workspace:
    """The workspace, archived ones too. A workspace key sees only its own. NotFound."""
    return sql.to_workspace(_row(tx, who, workspace_id))


def list_(tx: Tx, who: Who, query: ListWorkspaces) -> WorkspaceList:
    """A page of workspaces, newest first. The default one is left out unless it is asked for."""
    position = neighbour(query, lambda workspace_id: _row(tx, who, workspace_id)[1])
    filters = {
        "only": None if who.scope == "admin" else who.workspace_id,
        "ids": query.ids,
        "live": None if query.include_archived else 1,
        "is_default": None if query.include_default else 0,
    }
    rows = page(
        tx,
        sql.LIST_WORKSPACES,
        limit=query.limit,
        position=position,
        filters=filters,
        organization_id=who.organization_id,
    )
    workspaces = [sql.to_workspace(row) for row in rows.items]
    return WorkspaceList(
        data=workspaces,
        has_more=(rows.prev if position is not None and position.back else rows.next) is not None,
        first_id=workspaces[0].id if workspaces else None,
        last_id=workspaces[-1].id if workspaces else None,
    )


def update(tx: Tx, who: Who, workspace_id: str, body: UpdateWorkspace) -> Workspace:
    """Change what was sent. An archived workspace is not changed any more."""
    old = get(tx, who, workspace_id)
    if old.archived_at is not None:
        raise InvalidRequest("The workspace is archived; it cannot be changed.")
    _check_unsupported(body.external_key_id, body.user_profile_id)
    tags = dict(old.tags)
    for key, value in (body.tags or {}).items():
        if value is None:
            tags.pop(key, None)
        else:
            tags[key] = value
    new = msgspec.structs.replace(
        old,
        name=body.name or old.name,
        display_color=body.display_color or old.display_color,
        data_residency=merge_residency(
            None if body.data_residency is UNSET else body.data_residency, old.data_residency
        ),
        tags=check_tags(tags),
    )
    return old if new == old else _save(tx, new)


def archive(tx: Tx, who: Who, workspace_id: str) -> Workspace:
    """Archive for good; again is the same answer. InvalidRequest for the default workspace."""
    row = _row(tx, who, workspace_id)
    old = sql.to_workspace(row)
    if old.archived_at is not None:
        return old
    if row[3]:
        raise InvalidRequest("The default workspace cannot be archived: an organization always keeps one.")
    now: datetime = to_datetime(tx.now)
    saved = _save(tx, msgspec.structs.replace(old, archived_at=now))
    tx.touch(keys.TOPIC)
    return saved


def check_open(tx: Tx, who: Who, workspace_id: str) -> None:
    """NotFound, or InvalidRequest for an archived workspace: what lies below it is closed (contract, workspaces)."""
    if get(tx, who, workspace_id).archived_at is not None:
        raise InvalidRequest(f"The workspace {workspace_id} is archived.")


def _insert(tx: Tx, organization_id: str, body: CreateWorkspace, *, is_default: bool) -> Workspace:
    _check_unsupported(body.external_key_id, body.user_profile_id)
    workspace = Workspace(
        id=ids.new(ids.WORKSPACE),
        name=body.name,
        compartment_id=str(uuid.uuid4()),
        data_residency=merge_residency(body.data_residency, DataResidency()),
        display_color=body.display_color or _COLOR,
        tags=check_tags(body.tags or {}),
        created_at=to_datetime(tx.now),
        archived_at=None,
    )
    row = (workspace.id, organization_id, tx.now, tx.now, None, int(is_default), sql.to_body(workspace))
    tx.insert(sql.INSERT_WORKSPACE, [row])
    return workspace


def _row(tx: Tx, who: Who, workspace_id: str) -> Row:
    row = tx.one(sql.GET_WORKSPACE, id=workspace_id, organization_id=who.organization_id)
    if row is None or (who.scope != "admin" and workspace_id != who.workspace_id):
        raise NotFound(f"Workspace `{workspace_id}` not found.")
    return row


def _save(tx: Tx, workspace: Workspace) -> Workspace:
    archived_at = None if workspace.archived_at is None else from_datetime(workspace.archived_at)
    tx.run(
        sql.UPDATE_WORKSPACE, id=workspace.id, updated_at=tx.now, archived_at=archived_at, body=sql.to_body(workspace)
    )
    return workspace


def _to_facts(tx: Tx, row: Row) -> OrganizationFacts:
    workspace = tx.one(sql.DEFAULT_WORKSPACE, organization_id=row[0])
    assert workspace is not None
    return OrganizationFacts(row[0], row[1], bool(row[2]), workspace[0])


def _check_unsupported(external_key_id: object, user_profile_id: object) -> None:
    if external_key_id not in (None, UNSET):
        raise InvalidRequest("external_key_id: keys held outside are not supported by this server; leave it out")
    if user_profile_id not in (None, UNSET):
        raise InvalidRequest("user_profile_id: user profiles are not supported by this server; leave it out")
