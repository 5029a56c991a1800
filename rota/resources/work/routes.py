"""The routes of an environment's work. Who may use which follows from the table (contract, work: environment key)."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

from rota.http.request import Request
from rota.http.route import Route
from rota.queue.lobby import lobby
from rota.resources.work import actions, leases, wants, wire

_LONGEST_NAME = 256


async def poll(req: Request) -> Any:
    """Take up an item, or wait a moment for one; null if there is none."""
    name = req.header(b"anthropic-worker-id")
    asked = leases.Poll(
        who=req.who,
        environment_id=req.id,
        reclaim=req.query.reclaim_older_than_ms * leases.MILLISECOND,
        worker_id=name[:_LONGEST_NAME] if name else None,
    )
    waiting = lobby(req.db, wants.TOPIC)
    now = asyncio.get_running_loop().time
    until = now() + (req.query.block_ms or 0) / 1000
    while True:
        bell = waiting.bell
        if await req.read(leases.look, asked):
            item = await req.batch(leases.hand_out, asked)
            if item is not None:
                return item
        left = until - now()
        if left <= 0:
            return None
        with suppress(TimeoutError):
            await asyncio.wait_for(bell.wait(), left)


async def list_(req: Request) -> Any:
    """List work."""
    return await req.page(actions.list_, req.id, req.query)


async def stats(req: Request) -> Any:
    """Show how the queue stands."""
    return await req.read(actions.stats, req.id)


async def retrieve(req: Request) -> Any:
    """Fetch one item."""
    return await req.read(actions.get, *req.params)


async def update(req: Request) -> Any:
    """Change an item's metadata."""
    environment_id, work_id = req.params
    return await req.write(actions.update, environment_id, work_id, req.body)


async def acknowledge(req: Request) -> Any:
    """Say that an item has arrived."""
    return await req.write(leases.acknowledge, *req.params)


async def heartbeat(req: Request) -> Any:
    """Say that an item is still worked on."""
    environment_id, work_id = req.params
    return await req.write(leases.heartbeat, environment_id, work_id, req.query)


async def stop(req: Request) -> Any:
    """End the work on an item."""
    environment_id, work_id = req.params
    return await req.write(leases.stop, environment_id, work_id, req.body)


_route = partial(Route, id_headers=False, dialect="tagged", unopened="scope")
_ALL = "/v1/environments/{environment_id}/work"
_ONE = _ALL + "/{work_id}"

ROUTES = [
    _route(
        "GET", _ALL + "/poll", "environments.work.poll", "Take up an item of work, if there is one", poll,
        wire.Work | None, query=wire.PollWork, access="environment", opens=("environment",),
    ),
    _route(
        "GET", _ALL, "environments.work.list", "List an environment's work, newest first", list_,
        wire.Work, query=wire.ListWork, paged=True, opens=("environment",),
    ),
    _route(
        "GET", _ALL + "/stats", "environments.work.stats", "Show how an environment's queue stands", stats,
        wire.QueueStats, opens=("environment",),
    ),
    _route("GET", _ONE, "environments.work.retrieve", "Retrieve an item of work", retrieve, wire.Work),
    _route(
        "POST", _ONE, "environments.work.update", "Update an item's metadata", update,
        wire.Work, body=wire.UpdateWork, writes=True,
    ),
    _route(
        "POST", _ONE + "/ack", "environments.work.ack", "Acknowledge an item that was handed out", acknowledge,
        wire.Work, access="environment", opens=("environment",), writes=True,
    ),
    _route(
        "POST", _ONE + "/heartbeat", "environments.work.heartbeat", "Keep the lease of an item", heartbeat,
        wire.Heartbeat, query=wire.HeartbeatWork, access="environment", opens=("environment", "session"), late=True,
        writes=True,
    ),
    _route(
        "POST", _ONE + "/stop", "environments.work.stop", "Stop an item, at once or by its worker", stop,
        wire.Work, body=wire.StopWork, opens=("environment", "session"), late=True, writes=True,
    ),
]  # fmt: skip
