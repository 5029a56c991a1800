"""Commands of the operator: keys, workspaces, the organization, migrations.

Promises: each is one short transaction on the database itself, on a stopped system or beside a live server, which follows
at its next request; on an empty database the organization and its default workspace are made first.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
import msgspec

from rota import main
from rota.base.clock import to_datetime, to_datetime_or_none
from rota.base.errors import InvalidRequest, NotFound, Unusable
from rota.base.settings import Settings, load
from rota.base.who import Who
from rota.cli import show
from rota.cli.options import as_json, setting_flags
from rota.cli.rotate import rotate
from rota.resources.environments import actions as environments
from rota.resources.workspaces import actions
from rota.resources.workspaces import keys as keyring
from rota.resources.workspaces.actions import OrganizationFacts
from rota.resources.workspaces.wire import CreateWorkspace, ListWorkspaces, Workspace
from rota.store.standing import standing
from rota.store.tx import Tx

P = ParamSpec("P")
R = TypeVar("R")

_store_flags = setting_flags("database", "data_dir")


@click.group()
def keys() -> None:
    """Make, list and revoke keys; rotate the one that seals secrets."""


keys.add_command(rotate)


@keys.command(name="create")
@click.option(
    "--workspace", "workspace_id", metavar="ID", help="The workspace that the key opens; the default one if omitted."
)
@click.option(
    "--environment", "environment_id", metavar="ID", help="Make a key for the workers of this environment instead."
)
@click.option("--admin", is_flag=True, help="Make a key for the organization's admin routes instead.")
@click.option("--name", default="", help="What the key is for.")
@click.option(
    "--expires-in", type=click.IntRange(min=1), metavar="SECONDS", help="When the key stops working; never if omitted."
)
@_store_flags
@as_json
def create_key(
    workspace_id: str | None,
    environment_id: str | None,
    admin: bool,
    name: str,
    expires_in: int | None,
    json_: bool,
    **flags: Any,
) -> None:
    """Make a key and show it, this once."""
    if admin and (workspace_id or environment_id):
        raise click.UsageError("--admin goes with neither --workspace nor --environment.")
    made = _write(load(flags), _create_key, workspace_id, environment_id, admin=admin, name=name, expires_in=expires_in)
    if json_:
        show.json(made)
    else:
        click.echo(f"Made {made.id}. The key is shown only now:\n\n    {made.key}\n")


@keys.command(name="list")
@_store_flags
@as_json
def list_keys(json_: bool, **flags: Any) -> None:
    """List all keys of all kinds, newest first."""
    found = _write(load(flags), _list_keys)
    rows = [
        msgspec.to_builtins(key, builtin_types=())
        | {"created_at": to_datetime(key.created_at), "expires_at": to_datetime_or_none(key.expires_at)}
        for key in found
    ]
    if json_:
        show.json({"data": rows})
    else:
        show.listing(rows)


@keys.command()
@click.argument("key_id")
@_store_flags
@as_json
def revoke(key_id: str, json_: bool, **flags: Any) -> None:
    """Take a key away for good; from its next request on it is refused."""
    revoked = _write(load(flags), _revoke, key_id)
    if json_:
        show.json({"id": revoked.id, "status": revoked.status})
    else:
        click.echo(f"{revoked.id} ({revoked.name}) no longer opens anything.")


@click.group()
def workspaces() -> None:
    """Make, list and archive workspaces."""


@workspaces.command(name="create")
@click.argument("name")
@_store_flags
@as_json
def create_workspace(name: str, json_: bool, **flags: Any) -> None:
    """Make a workspace called NAME."""
    _show_workspace(_write(load(flags), _create_workspace, name), json_)


@workspaces.command(name="list")
@click.option("--archived", is_flag=True, help="Archived ones too.")
@_store_flags
@as_json
def list_workspaces(archived: bool, json_: bool, **flags: Any) -> None:
    """List workspaces, newest first."""
    found = _write(load(flags), _list_workspaces, archived=archived)
    if json_:
        show.json({"data": found})
    else:
        show.table(
            ["id", "name", "created_at", "archived_at"],
            [[workspace.id, workspace.name, workspace.created_at, workspace.archived_at] for workspace in found],
        )


@workspaces.command()
@click.argument("workspace_id")
@_store_flags
@as_json
def archive(workspace_id: str, json_: bool, **flags: Any) -> None:
    """Archive a workspace for good: its keys only read, its runs are recorded as failed."""
    _show_workspace(_write(load(flags), _archive_workspace, workspace_id), json_)


@click.group()
def organizations() -> None:
    """Show, disable and enable the organization."""


@organizations.command(name="show")
@_store_flags
@as_json
def show_organization(json_: bool, **flags: Any) -> None:
    """Show the organization."""
    _show_organization(_write(load(flags), _organization), json_)


@organizations.command()
@_store_flags
@as_json
def enable(json_: bool, **flags: Any) -> None:
    """Let the organization work again."""
    _show_organization(_write(load(flags), _set_disabled, False), json_)


@organizations.command()
@_store_flags
@as_json
def disable(json_: bool, **flags: Any) -> None:
    """Stop the organization: its keys only read, its runs are recorded as failed."""
    _show_organization(_write(load(flags), _set_disabled, True), json_)


@click.command()
@_store_flags
@as_json
def migrate(json_: bool, **flags: Any) -> None:
    """Bring the database to this version's schema. Make a backup first: there is no way back."""
    settings = load(flags)
    before = standing(settings.database_url)
    if before.problem:
        raise Unusable(before.problem)
    asyncio.run(_open_and_close(settings))
    after = standing(settings.database_url)
    applied = [name for name in after.applied if name not in before.applied]
    if json_:
        show.json({"applied": applied, "at": after.applied[-1]})
    else:
        click.echo(
            f"Applied {len(applied)}: {', '.join(applied)}."
            if applied
            else f"Nothing to do; the schema is at {after.applied[-1]}."
        )


async def _open_and_close(settings: Settings) -> None:
    await main.open_store(settings, upgrade=True).close()


def _write(
    settings: Settings, fn: Callable[Concatenate[Tx, OrganizationFacts, P], R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run ``fn(tx, organization, …)`` in one transaction; an empty database is begun first, without a key."""

    def transaction(tx: Tx) -> R:
        return fn(tx, actions.found(tx) or actions.make(tx), *args, **kwargs)

    async def act() -> R:
        db = main.open_store(settings)
        try:
            return await db.write(transaction)
        finally:
            await db.close()

    return asyncio.run(act())


def _admin(organization: OrganizationFacts) -> Who:
    return Who(organization_id=organization.id, workspace_id="", key_id="", scope="admin")


def _create_key(
    tx: Tx,
    organization: OrganizationFacts,
    workspace_id: str | None,
    environment_id: str | None,
    *,
    admin: bool,
    name: str,
    expires_in: int | None,
) -> keyring.Made:
    if admin:
        return keyring.create(tx, organization.id, name=name, expires_in=expires_in)
    if environment_id is not None:
        environment = environments.find_many(tx, [environment_id]).get(environment_id)
        if environment is None or workspace_id not in (None, environment.workspace_id):
            raise NotFound(f"Environment {environment_id} not found.")
        workspace_id = environment.workspace_id
    workspace_id = workspace_id or organization.default_workspace_id
    actions.check_open(tx, _admin(organization), workspace_id)
    return keyring.create(
        tx, organization.id, workspace_id=workspace_id, environment_id=environment_id, name=name, expires_in=expires_in
    )


def _list_keys(tx: Tx, organization: OrganizationFacts) -> list[keyring.KeyFacts]:
    return keyring.facts(tx, organization.id)


def _revoke(tx: Tx, organization: OrganizationFacts, key_id: str) -> keyring.KeyFacts:
    return keyring.revoke(tx, organization.id, key_id)


def _create_workspace(tx: Tx, organization: OrganizationFacts, name: str) -> Workspace:
    try:
        body = msgspec.convert({"name": name}, CreateWorkspace)
    except msgspec.ValidationError:
        raise InvalidRequest("A workspace's name has 1 to 256 characters.") from None
    return actions.create(tx, _admin(organization), body)


def _list_workspaces(tx: Tx, organization: OrganizationFacts, *, archived: bool) -> list[Workspace]:
    query = ListWorkspaces(limit=1000, include_default=True, include_archived=archived)
    found: list[Workspace] = []
    while True:
        page = actions.list_(tx, _admin(organization), query)
        found += page.data
        if not page.has_more:
            return found
        query = msgspec.structs.replace(query, after_id=page.last_id)


def _archive_workspace(tx: Tx, organization: OrganizationFacts, workspace_id: str) -> Workspace:
    return actions.archive(tx, _admin(organization), workspace_id)


def _organization(_tx: Tx, organization: OrganizationFacts) -> OrganizationFacts:
    return organization


def _set_disabled(tx: Tx, organization: OrganizationFacts, disabled: bool) -> OrganizationFacts:
    return actions.set_disabled(tx, organization.id, disabled)


def _show_workspace(workspace: Workspace, json_: bool) -> None:
    if json_:
        show.json(workspace)
    else:
        show.thing({"id": workspace.id, "name": workspace.name, "archived_at": workspace.archived_at})


def _show_organization(organization: OrganizationFacts, json_: bool) -> None:
    if json_:
        show.json(organization)
    else:
        show.thing(msgspec.structs.asdict(organization))
