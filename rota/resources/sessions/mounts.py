"""What is mounted into a session: as sent, as a deployment echoes it, and as a session resolves it (contract, resources).

Pure functions of what was sent; whether the things exist is decided elsewhere.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from posixpath import normpath
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base import ids
from rota.base.errors import InvalidRequest
from rota.base.wire import Dialect, Id, Secret, Wire

UPLOADS = "/mnt/session/uploads"
MEMORY = "/mnt/memory"
MAX_FOLDER = 255
"""The longest name of a folder, in bytes, that file systems take."""
MAX_FILES = 500
MAX_MEMORY_STORES = 8
MAX_TEXT = 4096
_FILE_ID = re.compile(f"{ids.FILE}01[{ids.ALPHABET}]{{22}}")
_BETWEEN = re.compile("[^A-Za-z0-9]+")
_REPOSITORY = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]{0,38})/([A-Za-z0-9._-]{1,100})")

MountPath: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]
Token: TypeAlias = Annotated[Secret, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_TEXT})]
Instructions: TypeAlias = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_TEXT})]
"""The lengths of these two are refused in other words by sessions than by deployments, so ``check_lengths`` looks at them."""


class Branch(Wire, tag="branch", tag_field="type"):
    """A branch to check out."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]


class Commit(Wire, tag="commit", tag_field="type"):
    """A commit to check out."""

    sha: Annotated[str, Meta(min_length=7, max_length=64, pattern="^[0-9a-fA-F]+$(?!\n)")]


class FileParam(Wire, tag="file", tag_field="type"):
    """A file to mount, as sent and as a deployment echoes it."""

    file_id: Id
    mount_path: MountPath | None | UnsetType = UNSET


class RepositoryParam(Wire, tag="github_repository", tag_field="type"):
    """A repository to clone, as sent. ``authorization_token`` is write-only."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    authorization_token: Token | UnsetType = UNSET
    checkout: Branch | Commit | None | UnsetType = UNSET
    mount_path: MountPath | None | UnsetType = UNSET


class MemoryStoreParam(Wire, tag="memory_store", tag_field="type"):
    """A memory store to attach, as sent and as a deployment echoes it."""

    memory_store_id: Id
    access: Literal["read_write", "read_only"] | None | UnsetType = UNSET
    instructions: Instructions | None | UnsetType = UNSET


ResourceParam: TypeAlias = FileParam | RepositoryParam | MemoryStoreParam


class FileResource(Struct, tag="file", tag_field="type", frozen=True, kw_only=True):
    """A file mounted in a session; ``file_id`` is the session's own copy."""

    id: str
    file_id: str
    mount_path: str
    created_at: datetime
    updated_at: datetime


class RepositoryResource(Struct, tag="github_repository", tag_field="type", frozen=True, kw_only=True):
    """A repository cloned in a session."""

    id: str
    url: str
    mount_path: str
    created_at: datetime
    updated_at: datetime
    checkout: Branch | Commit | UnsetType = UNSET


class MemoryStoreResource(Struct, tag="memory_store", tag_field="type", frozen=True, kw_only=True):
    """A memory store attached to a session; it has no id of its own."""

    memory_store_id: str
    name: str
    description: str
    access: Literal["read_write", "read_only"]
    mount_path: str
    instructions: str | UnsetType = UNSET


SessionResource: TypeAlias = FileResource | RepositoryResource | MemoryStoreResource


def repository_name(url: str) -> str | None:
    """The repository's own name in ``https://github.com/{owner}/{repo}``, or None if the URL has not that form."""
    match = _REPOSITORY.fullmatch(url)
    if match is None or match[2].endswith(".git") or match[2] in (".", ".."):
        return None
    return match[2]


def kind_of(resource: ResourceParam) -> str:
    """The resource's type on the wire."""
    tag = resource.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def mount_path(resource: FileParam | RepositoryParam) -> str:
    """Where it goes: the default, or the path that was sent, re-rooted where the contract says so. InvalidRequest."""
    sent = resource.mount_path
    if isinstance(resource, RepositoryParam):
        name = repository_name(resource.url)
        path = _normal(sent) if isinstance(sent, str) else f"/workspace/{name}"
        if path == "/workspace" or not path.startswith("/workspace/"):
            raise InvalidRequest(
                f"Invalid `github_repository` resource: `mount_path` must be below /workspace, got {sent}"
            )
        return path
    if not isinstance(sent, str):
        return f"{UPLOADS}/{resource.file_id}"
    path = _normal(sent)
    if path == UPLOADS or path.startswith(UPLOADS + "/"):
        inside = path.removeprefix(UPLOADS)
    else:
        inside = path.removeprefix("/uploads") if path == "/uploads" or path.startswith("/uploads/") else path
    if inside in ("", "/"):
        raise InvalidRequest(f"Invalid file resource: `mount_path` names no file: {sent}")
    return UPLOADS + inside


def _normal(path: str) -> str:
    if "\0" in path or any(part == ".." for part in path.split("/")):
        raise InvalidRequest("`mount_path` must not hold `..` or NUL")
    return normpath("/" + path.lstrip("/"))


def check_sent(resources: Sequence[ResourceParam]) -> None:
    """What a session refuses before it looks anything up, in the recorded words. InvalidRequest."""
    check_lengths(resources, "proto")
    for resource in resources:
        if isinstance(resource, FileParam):
            check_file_id(resource.file_id)


def check_file_id(file_id: str) -> None:
    """A malformed file id is told from an unknown one, as hosted (contract, ids). InvalidRequest."""
    if not _FILE_ID.fullmatch(file_id):
        raise InvalidRequest(f'Invalid file resource: invalid file_id: "{file_id}"')


def check_lengths(resources: Sequence[ResourceParam], dialect: Dialect) -> None:
    """Tokens and instructions, in the words on record for a session (``proto``) or a deployment. InvalidRequest."""
    for index, resource in enumerate(resources):
        if isinstance(resource, RepositoryParam):
            field, text, least = "authorization_token", resource.authorization_token, 1
        elif isinstance(resource, MemoryStoreParam):
            field, text, least = "instructions", resource.instructions, 0
        else:
            continue
        if not isinstance(text, str) or least <= len(text) <= MAX_TEXT:
            continue
        if dialect == "proto":
            at = f"resources.{index}.{kind_of(resource)}.{field}"
            raise InvalidRequest(f"{at}: must be at most {MAX_TEXT} characters" if text else f"{at}: value is required")
        bound = f"maximum string length is {MAX_TEXT}" if text else f"minimum string length is {least}"
        raise InvalidRequest(f"resources[{index}].{field}: {bound}")


def check(resources: Sequence[ResourceParam], *, path: str = "resources") -> None:
    """The rules on the list as such: lengths, repository URLs. InvalidRequest (deployments check these when written)."""
    check_lengths(resources, "path")
    for resource in resources:
        if isinstance(resource, RepositoryParam) and repository_name(resource.url) is None:
            raise InvalidRequest(
                f"validate deployment {path}: invalid GitHub repository URL: repo URL must be https://github.com/{{owner}}/{{repo}}"
            )


class Wanted(Struct, frozen=True, kw_only=True):
    """A list of resources, looked through once: what follows from the list alone, and so need not be found out at each fire.

    ``places`` has the mount path of each resource in order, None where there is none (a store's follows from its name) or
    where it leads nowhere. ``files`` are the ids of files to be mounted with their places, in order; ``others`` the rest,
    with their indices. ``troubles`` says why a session would refuse the list, whatever the things are that it names.
    """

    given: Sequence[ResourceParam] = ()
    places: Sequence[str | None] = ()
    files: Sequence[tuple[str, str]] = ()
    others: Sequence[tuple[int, RepositoryParam | MemoryStoreParam]] = ()
    file_ids: Sequence[str] = ()
    memory_store_ids: Sequence[str] = ()
    kinds: frozenset[str] = frozenset()
    troubles: Sequence[str] = ()


NOTHING = Wanted()


def look_through(resources: Sequence[ResourceParam]) -> Wanted:
    """The list, looked through."""
    if not resources:
        return NOTHING
    places: list[str | None] = []
    troubles: list[str] = []
    stores = [resource.memory_store_id for resource in resources if isinstance(resource, MemoryStoreParam)]
    seen: set[str] = set()
    for resource in resources:
        place = None
        if isinstance(resource, MemoryStoreParam):
            if resource.memory_store_id in seen:
                troubles.append(f"resources contains duplicate memory_store_id: {resource.memory_store_id}")
            seen.add(resource.memory_store_id)
        elif isinstance(resource, RepositoryParam) and repository_name(resource.url) is None:
            troubles.append(
                "Invalid `github_repository` resource: invalid github_repository url: must be "
                "https://github.com/{owner}/{repo} with no .git suffix"
            )
        else:
            try:
                place = mount_path(resource)
            except InvalidRequest as exc:
                troubles.append(exc.message)
        places.append(place)
    troubles += [
        overlap(resources[later], places[earlier] or "", places[later] or "") for earlier, later in overlaps(places)
    ]
    if len(seen) > MAX_MEMORY_STORES:
        troubles.append(f"resources: at most {MAX_MEMORY_STORES} memory stores may be attached, got {len(seen)}")
    return Wanted(
        given=resources,
        places=places,
        files=[
            (resource.file_id, place)
            for resource, place in zip(resources, places, strict=True)
            if isinstance(resource, FileParam) and place is not None
        ],
        others=[(index, each) for index, each in enumerate(resources) if not isinstance(each, FileParam)],
        file_ids=list(dict.fromkeys(each.file_id for each in resources if isinstance(each, FileParam))),
        memory_store_ids=list(dict.fromkeys(stores)),
        kinds=frozenset(map(kind_of, resources)),
        troubles=list(dict.fromkeys(troubles)),
    )


def overlap(resource: ResourceParam, one: str, other: str) -> str:
    """That ``resource`` cannot go to ``other``, in the recorded words."""
    return (
        f"Invalid `{kind_of(resource)}` resource: `mount_path` overlaps another resource: {one} and {other}; "
        "set distinct `mount_path` values"
    )


def overlaps(places: Sequence[str | None]) -> list[tuple[int, int]]:
    """The places that lie at or within, or around, an earlier one: pairs (earlier, later), each later one once, in order.

    Sorted, whatever lies within a place follows it directly, so that one pass with the chain of places around the present
    one finds them all: 500 long paths compared with one another would take longer than everything else about a session.
    """
    ranked = sorted((place + "/", index) for index, place in enumerate(places) if place is not None)
    first: dict[int, int] = {}
    around: list[tuple[str, int]] = []
    for place, index in ranked:
        while around and not place.startswith(around[-1][0]):
            around.pop()
        for _, other in around:
            earlier, later = sorted((index, other))
            first[later] = min(earlier, first.get(later, earlier))
        around.append((place, index))
    return [(first[later], later) for later in sorted(first)]


def slugs(stores: Sequence[tuple[str, str]]) -> list[str]:
    """The folder below ``/mnt/memory`` of each (memory store id, name), in order (contract, mount semantics).

    ASCII letters and digits of the name in lower case, whatever lies between them one hyphen; the store's id for a name
    without any; a folder that is taken gets ``-2``, ``-3`` and so on.
    """
    taken: dict[str, None] = {}
    for store_id, name in stores:
        wanted = _slug(name) or _slug(store_id)
        slug, number = wanted, 1
        while slug in taken:
            number += 1
            slug = f"{wanted[: MAX_FOLDER - len(str(number)) - 1]}-{number}"
        taken[slug] = None
    return list(taken)


def _slug(text: str) -> str:
    return _BETWEEN.sub("-", text).strip("-").lower()


def new_files(copies: Sequence[tuple[str, str]], now: datetime) -> list[FileResource]:
    """Files as the session shows them: (its own copy, where it is mounted) each."""
    return [
        FileResource(id=resource_id, file_id=copy_id, mount_path=place, created_at=now, updated_at=now)
        for resource_id, (copy_id, place) in zip(ids.many(ids.SESSION_RESOURCE, len(copies)), copies, strict=True)
    ]


def new_repository(resource: RepositoryParam, place: str, now: datetime) -> RepositoryResource:
    """A repository as the session shows it."""
    checkout = resource.checkout if isinstance(resource.checkout, Branch | Commit) else UNSET
    return RepositoryResource(
        id=ids.new(ids.SESSION_RESOURCE),
        url=resource.url,
        mount_path=place,
        checkout=checkout,
        created_at=now,
        updated_at=now,
    )


def new_store(resource: MemoryStoreParam, folder: str, name: str, description: str) -> MemoryStoreResource:
    """A memory store as the session shows it: name and description are those of this moment."""
    return MemoryStoreResource(
        memory_store_id=resource.memory_store_id,
        name=name,
        description=description,
        access="read_only" if resource.access == "read_only" else "read_write",
        mount_path=f"{MEMORY}/{folder}",
        instructions=resource.instructions if isinstance(resource.instructions, str) else UNSET,
    )
