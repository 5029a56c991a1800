"""The routes of deployments."""

from collections.abc import Callable
from functools import partial
from typing import Any

from rota.base import log
from rota.base.errors import Fault, Refusal
from rota.http.request import Request
from rota.http.route import Route
from rota.resources.deployment_runs.wire import DeploymentRun, ManualTrigger
from rota.resources.deployments import actions, wire
from rota.resources.deployments import check as dry
from rota.resources.deployments import run as door

_logger = log.get("deployments")


async def create(req: Request) -> Any:
    """Make a deployment."""
    return await req.write(actions.create, req.body, req.policy)


async def list_(req: Request) -> Any:
    """List deployments."""
    return await req.page(actions.list_, req.query)


async def retrieve(req: Request) -> Any:
    """Fetch one deployment."""
    return await req.read(actions.get, req.id)


async def update(req: Request) -> Any:
    """Change a deployment."""
    return await req.write(actions.update, req.id, req.body, req.policy)


async def pause(req: Request) -> Any:
    """Pause a deployment."""
    return await req.write(actions.pause, req.id)


async def unpause(req: Request) -> Any:
    """Unpause a deployment."""
    return await req.write(actions.unpause, req.id, req.policy)


async def archive(req: Request) -> Any:
    """Archive a deployment."""
    return await req.write(actions.archive, req.id)


async def run(req: Request) -> Any:
    """Fire a deployment now. What nobody foresaw was rolled back; a second transaction records that it happened."""
    fire = door.Fire(req.who, req.id, ManualTrigger(), req.policy)
    try:
        return await req.batch(door.run, fire)
    except (Refusal, Fault):
        raise
    except Exception as exc:
        _logger.error("a run failed unexpectedly", deployment_id=req.id, exc_info=exc)
        return await req.write(door.record_unknown, fire)


async def check(req: Request) -> Any:
    """Say what a run would come to now, and what it depends on."""
    return await _dry(req, dry.check, dry.unforeseen)


async def explain(req: Request) -> Any:
    """Say why a run came to what it did, and whether the next one would too."""
    return await _dry(req, dry.explain, partial(dry.explain, readable=False))


async def _dry(req: Request, fn: Callable[..., Any], unforeseen: Callable[..., Any]) -> Any:
    """A dry run; one that fails in a way that nobody foresaw says so, as a run would."""
    try:
        return await req.read(fn, req.id, req.policy)
    except (Refusal, Fault):
        raise
    except Exception as exc:
        _logger.error("a dry run failed unexpectedly", id=req.id, exc_info=exc)
        return await req.read(unforeseen, req.id, req.policy)


_ONE = "/v1/deployments/{deployment_id}"

ROUTES = [
    Route(
        "POST", "/v1/deployments", "deployments.create", "Create a deployment", create,
        wire.Deployment, body=wire.CreateDeployment, writes=True, creates=True,
    ),
    Route(
        "GET", "/v1/deployments", "deployments.list", "List deployments, newest first", list_,
        wire.Deployment, query=wire.ListDeployments, paged=True,
    ),
    Route("GET", _ONE, "deployments.retrieve", "Retrieve a deployment", retrieve, wire.Deployment),
    Route(
        "POST", _ONE, "deployments.update", "Update a deployment", update,
        wire.Deployment, body=wire.UpdateDeployment, writes=True,
    ),
    Route("POST", _ONE + "/pause", "deployments.pause", "Pause a deployment", pause, wire.Deployment, writes=True),
    Route("POST", _ONE + "/unpause", "deployments.unpause", "Unpause a deployment", unpause, wire.Deployment, writes=True),
    Route("POST", _ONE + "/archive", "deployments.archive", "Archive a deployment", archive, wire.Deployment, writes=True),
    # Not ``writes``: in an archived workspace a run is recorded with the error that says so.
    Route("POST", _ONE + "/run", "deployments.run", "Run a deployment now", run, DeploymentRun, creates=True),
    # Ours, and about runs too, which alone know nothing of deployments.
    Route(
        "GET", "/rota" + _ONE + "/check", "deployments.check", "Say what a run of a deployment would come to now", check,
        wire.DeploymentCheck,
    ),
    Route(
        "GET", "/rota/v1/deployment_runs/{deployment_run_id}/explain", "deployment_runs.explain",
        "Say why a run came to what it did, and whether the next one would too", explain, wire.RunExplanation,
    ),
]  # fmt: skip
