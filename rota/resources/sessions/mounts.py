"""What is mounted into a session: as sent, as a deployment echoes it, and as a session resolves it (contract, resources).

Pure functions of what was sent; whether the things exist is decided elsewhere.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base import ids
from rota.base.errors import InvalidRequest
from rota.base.wire import Dialect, Id, Secret, Wire

UPLOADS = "/mnt/session/uploads"
MAX_MEMORY_STORES = 8
MAX_TEXT = 4096
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
    return str(PurePosixPath("/") / path.lstrip("/"))


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
            at = f"resources.{index}.{resource.__struct_config__.tag}.{field}"
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


def check_together(resources: Sequence[ResourceParam]) -> None:
    """What only a session refuses: overlapping mounts, a store twice, too many stores, bad repository URLs. InvalidRequest."""
    taken: list[str] = []
    stores: set[str] = set()
    for resource in resources:
        if isinstance(resource, MemoryStoreParam):
            if resource.memory_store_id in stores:
                raise InvalidRequest(f"resources contains duplicate memory_store_id: {resource.memory_store_id}")
            stores.add(resource.memory_store_id)
            continue
        if isinstance(resource, RepositoryParam) and repository_name(resource.url) is None:
            raise InvalidRequest(
                "Invalid `github_repository` resource: invalid github_repository url: must be "
                "https://github.com/{owner}/{repo} with no .git suffix"
            )
        path = mount_path(resource)
        for other in taken:
            if path == other or path.startswith(other + "/") or other.startswith(path + "/"):
                kind = "file" if isinstance(resource, FileParam) else "github_repository"
                raise InvalidRequest(
                    f"Invalid `{kind}` resource: `mount_path` overlaps another resource: {other} and {path}; "
                    "set distinct `mount_path` values"
                )
        taken.append(path)
    if len(stores) > MAX_MEMORY_STORES:
        raise InvalidRequest(f"resources: at most {MAX_MEMORY_STORES} memory stores may be attached, got {len(stores)}")


def resolve_repository(resource: RepositoryParam, now: datetime) -> RepositoryResource:
    """A repository as the session shows it."""
    checkout = resource.checkout if isinstance(resource.checkout, Branch | Commit) else UNSET
    return RepositoryResource(
        id=ids.new(ids.SESSION_RESOURCE),
        url=resource.url,
        mount_path=mount_path(resource),
        checkout=checkout,
        created_at=now,
        updated_at=now,
    )
