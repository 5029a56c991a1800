"""The routes of agents and of their versions."""

from functools import partial
from typing import Any

from rota.http.request import Request
from rota.http.route import Route
from rota.resources.agents import actions, wire


async def create(req: Request) -> Any:
    """Make an agent."""
    return await req.write(actions.create, req.body)


async def list_(req: Request) -> Any:
    """List agents."""
    return await req.page(actions.list_, req.query)


async def retrieve(req: Request) -> Any:
    """Fetch one agent."""
    return await req.read(actions.get, req.id, req.query.version)


async def update(req: Request) -> Any:
    """Write a new version of an agent."""
    return await req.write(actions.update, req.id, req.body)


async def archive(req: Request) -> Any:
    """Archive an agent."""
    return await req.write(actions.archive, req.id)


async def list_versions(req: Request) -> Any:
    """List an agent's versions."""
    return await req.page(actions.list_versions, req.id, req.query)


_route = partial(Route, dialect="proto")

ROUTES = [
    _route(
        "POST", "/v1/agents", "agents.create", "Create an agent", create,
        wire.Agent, body=wire.CreateAgent, writes=True, creates=True,
    ),
    _route(
        "GET", "/v1/agents", "agents.list", "List agents in their latest versions, newest first", list_,
        wire.Agent, query=wire.ListAgents, paged=True,
    ),
    _route(
        "GET", "/v1/agents/{agent_id}", "agents.retrieve", "Retrieve an agent", retrieve,
        wire.Agent, query=wire.RetrieveAgent,
    ),
    _route(
        "POST", "/v1/agents/{agent_id}", "agents.update", "Update an agent: write its next version", update,
        wire.Agent, body=wire.UpdateAgent, writes=True,
    ),
    _route(
        "POST", "/v1/agents/{agent_id}/archive", "agents.archive", "Archive an agent and the deployments that pin it",
        archive, wire.Agent, writes=True,
    ),
    _route(
        "GET", "/v1/agents/{agent_id}/versions", "agents.versions.list", "List an agent's versions, newest first",
        list_versions, wire.Agent, query=wire.ListAgentVersions, paged=True,
    ),
]  # fmt: skip
