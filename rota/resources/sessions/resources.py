"""What is mounted in a session, one by one: list, read, add a file, rotate a token, remove (contract, session resources).

The list lives in the session's row, in the order in which things were attached. A change moves the session's ``updated_at``
and is told in no event: the log's ``session.updated`` has no place for resources. Adding to a session that runs is allowed;
what is in its sandbox follows before the next tool call. Repositories and memory stores stay as long as the session does.
"""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from rota.base.clock import to_datetime
from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.policy import Policy
from rota.base.who import Who
from rota.queue.outbox import announce
from rota.resources.agents import actions as agents
from rota.resources.files import actions as files
from rota.resources.sessions import drafts, mounts, refusals
from rota.resources.sessions.mounts import (
    FileParam,
    FileResource,
    MemoryStoreResource,
    RepositoryResource,
    SessionResource,
)
from rota.resources.sessions.rows import Stored, find, find_live, save
from rota.resources.sessions.wire import AddResource, ListResources, SessionResourceDeleted, UpdateResource
from rota.store.tx import Found, Tx


def list_(tx: Tx, who: Who, position: Position | None, session_id: str, query: ListResources) -> Found:
    """A page of what is mounted, in order of attachment. A walk goes on rightly while files are added and removed."""
    resources = find(tx, who, session_id).body.resources
    start = 0 if position is None else _after(resources, position)
    end = start + query.limit
    onward = Position(end, _name(resources[end - 1]), "asc") if end < len(resources) else None
    return Found(resources[start:end], onward)


def _name(resource: SessionResource) -> str:
    return resource.memory_store_id if isinstance(resource, MemoryStoreResource) else resource.id


def _after(resources: Sequence[SessionResource], position: Position) -> int:
    """Where the list goes on after the element that a page ended with, whatever was removed since."""
    later = len(resources)
    for index, resource in enumerate(resources):
        if _name(resource) == position.id:
            return index + 1
        if later == len(resources) and not isinstance(resource, MemoryStoreResource) and resource.id > position.id:
            later = index  # ids grow with time, and the list is in the order of attachment
    return min(later, position.at - 1)


def get(tx: Tx, who: Who, session_id: str, resource_id: str) -> SessionResource:
    """One resource; a memory store has no id of its own. NotFound."""
    session = find(tx, who, session_id)
    return session.body.resources[_find(session, resource_id)]


def add(tx: Tx, who: Who, session_id: str, body: AddResource) -> FileResource:
    """Mount a file: the session gets a copy of its own. NotFound for a file that is not there, InvalidRequest for the rest."""
    mounts.check_file_id(body.file_id)
    session = find_live(tx, who, session_id)
    given = FileParam(file_id=body.file_id, mount_path=body.mount_path)
    place = mounts.mount_path(given)
    if session.self_hosted:
        raise refusals.SelfHostedResourcesUnsupported(["file"])
    if not _can_read(tx, session):
        raise InvalidRequest(
            "Missing required tool: file resources require the read tool to be usable (enabled and not always_deny) on the "
            "session's `agent_toolset`"
        )
    facts = files.find_many(tx, [body.file_id]).get(body.file_id)
    if facts is None or facts.workspace_id != who.workspace_id:
        raise refusals.FileNotFound([body.file_id])
    resources = session.body.resources
    if sum(isinstance(resource, FileResource) for resource in resources) >= mounts.MAX_FILES:
        raise InvalidRequest(f"resources: a session has at most {mounts.MAX_FILES} files; remove one first")
    if taken := mounts.overlaps([*(resource.mount_path for resource in resources), place]):
        raise InvalidRequest(mounts.overlap(given, resources[taken[-1][0]].mount_path, place))
    [copy_id] = files.copy_many(tx, [(facts, session.id)])
    [added] = mounts.new_files([(copy_id, place)], to_datetime(tx.now))
    _save(tx, who, session, [*resources, added])
    return added


def rotate(
    tx: Tx, who: Who, session_id: str, resource_id: str, body: UpdateResource, policy: Policy
) -> SessionResource:
    """Give a repository another token; the old one is forgotten. InvalidRequest for another kind of resource."""
    token = body.authorization_token
    if not 1 <= len(token) <= mounts.MAX_TEXT:
        raise InvalidRequest(
            f"authorization_token: must be at most {mounts.MAX_TEXT} characters"
            if token
            else "authorization_token: value is required"
        )
    session = find_live(tx, who, session_id)
    index = _find(session, resource_id)
    old = session.body.resources[index]
    if not isinstance(old, RepositoryResource):
        raise InvalidRequest("authorization_token: only `github_repository` resources have one")
    drafts.keep_tokens(tx, [(session.id, old.id, token)], policy)
    new = msgspec.structs.replace(old, updated_at=to_datetime(tx.now))
    _save(tx, who, session, [*session.body.resources[:index], new, *session.body.resources[index + 1 :]])
    return new


def remove(tx: Tx, who: Who, session_id: str, resource_id: str) -> SessionResourceDeleted:
    """Unmount a file, and remove the session's copy of it. InvalidRequest for a repository."""
    session = find_live(tx, who, session_id)
    index = _find(session, resource_id)
    old = session.body.resources[index]
    if not isinstance(old, FileResource):
        raise InvalidRequest(
            "`github_repository` resources cannot be removed: they are attached as long as the session is"
        )
    _save(tx, who, session, [*session.body.resources[:index], *session.body.resources[index + 1 :]])
    with suppress(NotFound):  # somebody may have deleted the copy by itself
        files.delete(tx, who, old.file_id)
    return SessionResourceDeleted(resource_id)


def _find(session: Stored, resource_id: str) -> int:
    for index, resource in enumerate(session.body.resources):
        if not isinstance(resource, MemoryStoreResource) and resource.id == resource_id:
            return index
    raise NotFound(f"Resource not found: {resource_id}")


def _can_read(tx: Tx, session: Stored) -> bool:
    if session.body.agent is not None:
        return agents.traits_of(agents.override(session.agent_ref, session.body.agent)).has_usable_read_tool
    return agents.traits_many(tx, [session.agent_ref])[session.agent_ref].has_usable_read_tool


def _save(tx: Tx, who: Who, session: Stored, resources: list[SessionResource]) -> None:
    body = msgspec.structs.replace(session.body, resources=resources)
    save(tx, msgspec.structs.replace(session, body=body, updated_at=tx.now))
    announce(tx, who, "session.updated", session.id)
