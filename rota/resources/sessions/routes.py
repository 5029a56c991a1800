"""The routes of sessions, their events, threads and resources."""

from functools import partial
from typing import Any

from rota.http.request import Reply, Request
from rota.http.route import Route
from rota.http.stream import reply
from rota.resources.sessions import actions, log, mounts, resources, stream, threads, wire


async def create(req: Request) -> Any:
    """Make a session."""
    return await req.write(actions.create, req.body, req.policy)


async def list_(req: Request) -> Any:
    """List sessions."""
    return await req.page(actions.list_, req.query)


async def retrieve(req: Request) -> Any:
    """Fetch one session."""
    return await req.read(actions.get, req.id)


async def update(req: Request) -> Any:
    """Change a session."""
    return await req.write(actions.update, req.id, req.body)


async def archive(req: Request) -> Any:
    """Archive a session."""
    return await req.write(actions.archive, req.id)


async def delete(req: Request) -> Any:
    """Delete a session."""
    return await req.write(actions.delete, req.id)


async def list_events(req: Request) -> Any:
    """List a session's events."""
    return await req.page(log.list_, req.id, req.query)


async def send_events(req: Request) -> Any:
    """Send events to a session."""
    return await req.write(log.send, req.id, req.body)


async def stream_events(req: Request) -> Reply:
    """Follow a session's events."""
    return _follow(req, await req.read(stream.open_session, req.id))


async def stream_thread_events(req: Request) -> Reply:
    """Follow a thread's events."""
    session_id, thread_id = req.params
    return _follow(req, await req.read(stream.open_thread, session_id, thread_id))


def _follow(req: Request, opening: stream.Opening) -> Reply:
    listener = req.feed.listen(
        opening.session_id, opening.view, opening.position, frozenset(req.query.event_deltas), over=opening.over
    )
    return reply(listener)


async def list_resources(req: Request) -> Any:
    """List what is mounted in a session."""
    return await req.page(resources.list_, req.id, req.query)


async def add_resource(req: Request) -> Any:
    """Mount a file in a session."""
    return await req.write(resources.add, req.id, req.body)


async def retrieve_resource(req: Request) -> Any:
    """Fetch one resource."""
    session_id, resource_id = req.params
    return await req.read(resources.get, session_id, resource_id)


async def update_resource(req: Request) -> Any:
    """Give a repository another token."""
    session_id, resource_id = req.params
    return await req.write(resources.rotate, session_id, resource_id, req.body, req.policy)


async def delete_resource(req: Request) -> Any:
    """Unmount a file."""
    session_id, resource_id = req.params
    return await req.write(resources.remove, session_id, resource_id)


async def list_threads(req: Request) -> Any:
    """List a session's threads."""
    return await req.page(threads.list_, req.id, req.query)


async def retrieve_thread(req: Request) -> Any:
    """Fetch one thread."""
    session_id, thread_id = req.params
    return await req.read(threads.get, session_id, thread_id)


async def archive_thread(req: Request) -> Any:
    """Archive a child thread."""
    session_id, thread_id = req.params
    return await req.write(threads.archive, session_id, thread_id)


async def list_thread_events(req: Request) -> Any:
    """List a thread's events."""
    session_id, thread_id = req.params
    return await req.page(threads.list_events, session_id, thread_id, req.query)


_route = partial(Route, dialect="proto")
_ONE = "/v1/sessions/{session_id}"
_RESOURCE = _ONE + "/resources/{resource_id}"
_THREAD = _ONE + "/threads/{thread_id}"
_WORKERS = ("environment", "session")
"""What a worker needs of the session that it serves (contract, environment key)."""

ROUTES = [
    _route(
        "POST", "/v1/sessions", "sessions.create", "Create a session", create,
        wire.Session, body=wire.CreateSession, writes=True, creates=True,
    ),
    _route(
        "GET", "/v1/sessions", "sessions.list", "List sessions, newest first unless asked otherwise", list_,
        wire.Session, query=wire.ListSessions, paged=True,
    ),
    _route("GET", _ONE, "sessions.retrieve", "Retrieve a session", retrieve, wire.Session, opens=_WORKERS),
    _route(
        "POST", _ONE, "sessions.update", "Update a session", update,
        wire.Session, body=wire.UpdateSession, writes=True,
    ),
    _route("DELETE", _ONE, "sessions.delete", "Delete a session", delete, wire.SessionDeleted, writes=True),
    _route("POST", _ONE + "/archive", "sessions.archive", "Archive a session", archive, wire.Session, writes=True),
    _route(
        "GET", _ONE + "/events", "sessions.events.list", "List a session's events", list_events,
        wire.Event, query=wire.ListEvents, paged=True, opens=_WORKERS,
    ),
    _route(
        "POST", _ONE + "/events", "sessions.events.send", "Send events to a session", send_events,
        wire.SentEvents, body=wire.SendEvents, writes=True, creates=True, opens=_WORKERS,
    ),
    _route(
        "GET", _ONE + "/events/stream", "sessions.events.stream", "Follow a session's events from now on", stream_events,
        wire.StreamEvent, query=wire.StreamEvents, streams=True, opens=_WORKERS,
    ),
    _route(
        "GET", _ONE + "/stream", "sessions.stream", "Follow a session's events, under an older address", stream_events,
        wire.StreamEvent, query=wire.StreamEvents, streams=True, opens=_WORKERS,
    ),
    _route(
        "GET", _ONE + "/resources", "sessions.resources.list", "List what is mounted in a session", list_resources,
        mounts.SessionResource, query=wire.ListResources, paged=True,
    ),
    _route(
        "POST", _ONE + "/resources", "sessions.resources.add", "Mount a file in a session", add_resource,
        mounts.FileResource, body=wire.AddResource, writes=True, creates=True,
    ),
    _route(
        "GET", _RESOURCE, "sessions.resources.retrieve", "Retrieve what is mounted in a session", retrieve_resource,
        mounts.SessionResource,
    ),
    _route(
        "POST", _RESOURCE, "sessions.resources.update", "Give a session's repository another token", update_resource,
        mounts.SessionResource, body=wire.UpdateResource, writes=True,
    ),
    _route(
        "DELETE", _RESOURCE, "sessions.resources.delete", "Unmount a file from a session", delete_resource,
        wire.SessionResourceDeleted, writes=True,
    ),
    _route(
        "GET", _ONE + "/threads", "sessions.threads.list", "List a session's threads", list_threads,
        wire.Thread, query=wire.ListThreads, paged=True, opens=_WORKERS,
    ),
    _route("GET", _THREAD, "sessions.threads.retrieve", "Retrieve a thread", retrieve_thread, wire.Thread, opens=_WORKERS),
    _route(
        "POST", _THREAD + "/archive", "sessions.threads.archive", "Archive a child thread", archive_thread,
        wire.Thread, writes=True,
    ),
    _route(
        "GET", _THREAD + "/stream", "sessions.threads.events.stream", "Follow a thread's events from now on",
        stream_thread_events, wire.StreamEvent, query=wire.StreamEvents, streams=True, opens=_WORKERS,
    ),
    _route(
        "GET", _THREAD + "/events", "sessions.threads.events.list", "List a thread's events", list_thread_events,
        wire.Event, query=wire.ListThreadEvents, paged=True, opens=_WORKERS,
    ),
]  # fmt: skip
