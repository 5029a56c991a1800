"""The routes of deployment runs: two readers, since runs are written by fires alone."""

from typing import Any

from rota.http.request import Request
from rota.http.route import Route
from rota.resources.deployment_runs import actions, wire


async def list_(req: Request) -> Any:
    """List runs."""
    return await req.page(actions.list_, req.query)


async def retrieve(req: Request) -> Any:
    """Fetch one run."""
    return await req.read(actions.get, req.id)


ROUTES = [
    Route(
        "GET", "/v1/deployment_runs", "deployment_runs.list", "List deployment runs, newest first", list_,
        wire.DeploymentRun, query=wire.ListDeploymentRuns, paged=True,
    ),
    Route(
        "GET", "/v1/deployment_runs/{deployment_run_id}", "deployment_runs.retrieve", "Retrieve a deployment run", retrieve,
        wire.DeploymentRun,
    ),
]  # fmt: skip
