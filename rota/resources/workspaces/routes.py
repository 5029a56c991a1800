"""The routes of organizations, workspaces and API keys: reads for a workspace key about its own, the rest for an admin key."""

from functools import partial
from typing import Any

from rota.base.errors import InvalidRequest, NotFound
from rota.http.request import ListPage, Request
from rota.http.route import Route
from rota.resources.workspaces import actions, keys, wire


async def me(req: Request) -> Any:
    """Fetch the caller's organization."""
    return await req.read(actions.me)


async def create(req: Request) -> Any:
    """Make a workspace."""
    return await req.write(actions.create, req.body)


async def list_(req: Request) -> Any:
    """List workspaces."""
    return await req.read(actions.list_, req.query)


async def retrieve(req: Request) -> Any:
    """Fetch one workspace."""
    return await req.read(actions.get, req.id)


async def update(req: Request) -> Any:
    """Change a workspace."""
    return await req.write(actions.update, req.id, req.body)


async def archive(req: Request) -> Any:
    """Archive a workspace."""
    return await req.write(actions.archive, req.id)


async def list_keys(req: Request) -> Any:
    """List API keys."""
    return await req.read(keys.list_, req.query)


async def retrieve_key(req: Request) -> Any:
    """Fetch one API key."""
    return await req.read(keys.get, req.id)


async def update_key(req: Request) -> Any:
    """Change an API key."""
    return await req.write(keys.update, req.id, req.body)


async def list_rate_limits(req: Request) -> Any:
    """List the organization's limits of the hosted Messages API: there are none."""
    if req.query.model:
        raise NotFound(f"The model {req.query.model} has no rate limits.")
    return _nothing(req)


async def list_workspace_rate_limits(req: Request) -> Any:
    """List a workspace's overrides of them: there are none."""
    await req.read(actions.check_open, req.id)
    return _nothing(req)


def _nothing(req: Request) -> ListPage:
    if req.query.page:
        raise InvalidRequest("invalid page cursor")
    return ListPage([], None)


_route = partial(Route, dialect="path", access="organization")
_admin = partial(Route, dialect="path", access="admin", writes=True)
_WORKSPACES = "/v1/organizations/workspaces"
_KEYS = "/v1/organizations/api_keys"

ROUTES = [
    _route("GET", "/v1/organizations/me", "organizations.me", "Retrieve the key's organization", me, wire.Organization),
    _admin(
        "POST", _WORKSPACES, "organizations.workspaces.create", "Create a workspace", create,
        wire.Workspace, body=wire.CreateWorkspace, creates=True,
    ),
    _route(
        "GET", _WORKSPACES, "organizations.workspaces.list", "List workspaces, newest first", list_,
        wire.WorkspaceList, query=wire.ListWorkspaces,
    ),
    _route(
        "GET", f"{_WORKSPACES}/{{workspace_id}}", "organizations.workspaces.retrieve", "Retrieve a workspace", retrieve,
        wire.Workspace,
    ),
    _admin(
        "POST", f"{_WORKSPACES}/{{workspace_id}}", "organizations.workspaces.update", "Update a workspace", update,
        wire.Workspace, body=wire.UpdateWorkspace,
    ),
    _admin(
        "POST", f"{_WORKSPACES}/{{workspace_id}}/archive", "organizations.workspaces.archive", "Archive a workspace",
        archive, wire.Workspace,
    ),
    _route(
        "GET", f"{_WORKSPACES}/{{workspace_id}}/rate_limits", "organizations.workspaces.rate_limits.list",
        "List a workspace's rate limits: there are none", list_workspace_rate_limits,
        wire.WorkspaceRateLimit, query=wire.ListWorkspaceRateLimits, paged=True,
    ),
    _route(
        "GET", _KEYS, "organizations.api_keys.list", "List API keys, newest first", list_keys,
        wire.ApiKeyList, query=wire.ListApiKeys,
    ),
    _route(
        "GET", f"{_KEYS}/{{api_key_id}}", "organizations.api_keys.retrieve", "Retrieve an API key", retrieve_key,
        wire.ApiKey,
    ),
    _admin(
        "POST", f"{_KEYS}/{{api_key_id}}", "organizations.api_keys.update", "Rename an API key or change its state",
        update_key, wire.ApiKey, body=wire.UpdateApiKey,
    ),
    _route(
        "GET", "/v1/organizations/rate_limits", "organizations.rate_limits.list",
        "List the organization's rate limits: there are none", list_rate_limits,
        wire.RateLimit, query=wire.ListRateLimits, paged=True,
    ),
]  # fmt: skip
