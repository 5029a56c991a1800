"""The routes of environments. Their responses name neither organization nor workspace (contract, response headers)."""

from functools import partial
from typing import Any

from rota.http.request import Request
from rota.http.route import Route
from rota.resources.environments import actions, wire


async def create(req: Request) -> Any:
    """Make an environment."""
    return await req.write(actions.create, req.body)


async def list_(req: Request) -> Any:
    """List environments."""
    return await req.page(actions.list_, req.query)


async def retrieve(req: Request) -> Any:
    """Fetch one environment."""
    return await req.read(actions.get, req.id)


async def update(req: Request) -> Any:
    """Change an environment."""
    return await req.write(actions.update, req.id, req.body)


async def archive(req: Request) -> Any:
    """Archive an environment."""
    return await req.write(actions.archive, req.id)


async def delete(req: Request) -> Any:
    """Delete an environment."""
    return await req.write(actions.delete, req.id, force=req.query.force)


_route = partial(Route, id_headers=False, dialect="tagged")

ROUTES = [
    _route(
        "POST", "/v1/environments", "environments.create", "Create an environment", create,
        wire.Environment, body=wire.CreateEnvironment, writes=True, creates=True,
    ),
    _route(
        "GET", "/v1/environments", "environments.list", "List environments, newest first", list_,
        wire.Environment, query=wire.ListEnvironments, paged=True,
    ),
    _route(
        "GET", "/v1/environments/{environment_id}", "environments.retrieve", "Retrieve an environment", retrieve,
        wire.Environment,
    ),
    _route(
        "POST", "/v1/environments/{environment_id}", "environments.update", "Update an environment", update,
        wire.Environment, body=wire.UpdateEnvironment, writes=True,
    ),
    _route(
        "DELETE", "/v1/environments/{environment_id}", "environments.delete", "Delete an environment", delete,
        wire.EnvironmentDeleted, query=wire.DeleteEnvironment, writes=True,
    ),
    _route(
        "POST", "/v1/environments/{environment_id}/archive", "environments.archive", "Archive an environment", archive,
        wire.Environment, writes=True,
    ),
]  # fmt: skip
