"""The routes of memory stores, memories and memory versions."""

from functools import partial
from typing import Any

from rota.http.request import Request
from rota.http.route import Route
from rota.resources.memory_stores import actions, changes, memories, versions, wire
from rota.resources.memory_stores.changes import Deed


async def create(req: Request) -> Any:
    """Make a store."""
    return await req.write(actions.create, req.body)


async def list_(req: Request) -> Any:
    """List stores."""
    return await req.page(actions.list_, req.query)


async def retrieve(req: Request) -> Any:
    """Fetch one store."""
    return await req.read(actions.get, req.id)


async def update(req: Request) -> Any:
    """Change a store."""
    return await req.write(actions.update, req.id, req.body)


async def archive(req: Request) -> Any:
    """Archive a store."""
    return await req.write(actions.archive, req.id)


async def delete(req: Request) -> Any:
    """Delete a store and all that is in it."""
    return await req.write(actions.delete, req.id)


async def create_memory(req: Request) -> Any:
    """Make a memory."""
    return await _change(req, memories.creation(req.body))


async def list_memories(req: Request) -> Any:
    """List memories."""
    return await req.page(memories.list_, req.params[0], req.query)


async def retrieve_memory(req: Request) -> Any:
    """Fetch one memory."""
    return await req.read(memories.get, req.params[0], req.id, req.query.view)


async def update_memory(req: Request) -> Any:
    """Change a memory's content or path."""
    return await _change(req, memories.modification(req.id, req.body))


async def delete_memory(req: Request) -> Any:
    """Delete a memory; its versions stay."""
    return await _change(req, memories.deletion(req.id, req.query))


async def list_versions(req: Request) -> Any:
    """List versions."""
    return await req.page(versions.list_, req.params[0], req.query)


async def retrieve_version(req: Request) -> Any:
    """Fetch one version."""
    return await req.read(versions.get, req.params[0], req.id, req.query.view)


async def redact(req: Request) -> Any:
    """Take the content out of a version."""
    return await req.write(versions.redact, req.params[0], req.id)


async def _change(req: Request, deed: Deed) -> Any:
    """Clients that keep a folder in step send many changes to one store at once; they go together."""
    view = getattr(req.query, "view", None)
    return await req.batch(changes.write_all, memories.by(req.who, req.params[0], deed, req.policy.max_memories, view))


_route = partial(Route, dialect="proto")
_STORE = "/v1/memory_stores/{memory_store_id}"
_MEMORY = f"{_STORE}/memories/{{memory_id}}"
_WORKERS = ("session",)
"""What a worker needs to keep the attached stores on its disk in step (contract, environment key)."""
_VERSION = f"{_STORE}/memory_versions/{{memory_version_id}}"

ROUTES = [
    _route(
        "POST", "/v1/memory_stores", "memory_stores.create", "Create a memory store", create,
        wire.MemoryStore, body=wire.CreateMemoryStore, writes=True, creates=True,
    ),
    _route(
        "GET", "/v1/memory_stores", "memory_stores.list", "List memory stores, newest first", list_,
        wire.MemoryStore, query=wire.ListMemoryStores, paged=True,
    ),
    _route("GET", _STORE, "memory_stores.retrieve", "Retrieve a memory store", retrieve, wire.MemoryStore, opens=_WORKERS),
    _route(
        "POST", _STORE, "memory_stores.update", "Update a memory store", update,
        wire.MemoryStore, body=wire.UpdateMemoryStore, writes=True,
    ),
    _route(
        "DELETE", _STORE, "memory_stores.delete", "Delete a memory store with all its memories", delete,
        wire.MemoryStoreDeleted, writes=True,
    ),
    _route(
        "POST", f"{_STORE}/archive", "memory_stores.archive", "Archive a memory store", archive,
        wire.MemoryStore, writes=True,
    ),
    _route(
        "POST", f"{_STORE}/memories", "memory_stores.memories.create", "Create a memory", create_memory,
        wire.Memory, body=wire.CreateMemory, query=wire.ShowMemory, writes=True, creates=True,
        opens=_WORKERS,
    ),
    _route(
        "GET", f"{_STORE}/memories", "memory_stores.memories.list",
        "List memories, newest first, or what is in one folder", list_memories,
        wire.ListItem, query=wire.ListMemories, paged=True, beside=("prefixes",), opens=_WORKERS,
    ),
    _route(
        "GET", _MEMORY, "memory_stores.memories.retrieve", "Retrieve a memory", retrieve_memory,
        wire.Memory, query=wire.ShowMemory, opens=_WORKERS,
    ),
    _route(
        "POST", _MEMORY, "memory_stores.memories.update", "Update a memory", update_memory,
        wire.Memory, body=wire.UpdateMemory, query=wire.ShowMemory, writes=True, also=("PATCH",),
        opens=_WORKERS,
    ),
    _route(
        "DELETE", _MEMORY, "memory_stores.memories.delete", "Delete a memory", delete_memory,
        wire.MemoryDeleted, query=wire.DeleteMemory, writes=True, opens=_WORKERS,
    ),
    _route(
        "GET", f"{_STORE}/memory_versions", "memory_stores.memory_versions.list",
        "List versions of memories, newest first", list_versions,
        wire.MemoryVersion, query=wire.ListVersions, paged=True, opens=_WORKERS,
    ),
    _route(
        "GET", _VERSION, "memory_stores.memory_versions.retrieve", "Retrieve a version of a memory", retrieve_version,
        wire.MemoryVersion, query=wire.ShowMemory, opens=_WORKERS,
    ),
    _route(
        "POST", f"{_VERSION}/redact", "memory_stores.memory_versions.redact", "Redact a version of a memory", redact,
        wire.MemoryVersion, writes=True,
    ),
]  # fmt: skip
