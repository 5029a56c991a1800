"""Memory stores, memories and their versions as they travel (contract, memory stores)."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

from rota.base.errors import InvalidRequest
from rota.base.wire import ListQuery, Metadata, MetadataPatch, Wire

MAX_BASIC, MAX_FULL = 100, 20
"""The longest page of a list, without and with contents."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
Description: TypeAlias = Annotated[str, Meta(max_length=1024)]
View: TypeAlias = Literal["basic", "full"]
"""``basic`` leaves ``content`` null, ``full`` fills it."""
Operation: TypeAlias = Literal["created", "modified", "deleted"]
Limit: TypeAlias = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MAX_BASIC})]
"""Refused in the words on record, which ``_check_limit`` says."""
Path: TypeAlias = Annotated[str, Meta(extra_json_schema={"minLength": 2, "maxLength": 1024})]
"""Checked by ``paths``: its length counts in bytes, and there is more to it."""


# Stores


class ListMemoryStores(ListQuery):
    """Query of ``GET /v1/memory_stores``."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    include_archived: bool = False
    created_at_gte: datetime | None = field(name="created_at[gte]", default=None)
    created_at_lte: datetime | None = field(name="created_at[lte]", default=None)


class CreateMemoryStore(Wire):
    """Body of ``POST /v1/memory_stores``."""

    name: Name
    description: Description | None = None
    metadata: Metadata = {}


class UpdateMemoryStore(Wire):
    """Body of ``POST /v1/memory_stores/{id}``: what is omitted stays. A null in place of name or metadata is refused by
    the action, in the words on record."""

    name: Annotated[str, Meta(max_length=255)] | None | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    metadata: MetadataPatch | None | UnsetType = UNSET


class MemoryStore(Struct, tag="memory_store", tag_field="type", frozen=True, kw_only=True):
    """A memory store as it goes out. ``archived_at`` is absent until there is one (recorded)."""

    id: str
    name: str
    description: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | UnsetType = UNSET


class MemoryStoreDeleted(Struct, tag="memory_store_deleted", tag_field="type", frozen=True):
    """What the deletion of a store answers."""

    id: str


# Who changes memories


class SessionActor(Struct, tag="session_actor", tag_field="type", frozen=True):
    """An agent, writing through the mount of its session."""

    session_id: str


class ApiActor(Struct, tag="api_actor", tag_field="type", frozen=True):
    """A direct caller of the API, by the key that it used."""

    api_key_id: str


class UserActor(Struct, tag="user_actor", tag_field="type", frozen=True):
    """A person."""

    user_id: str


class ServiceAccountActor(Struct, tag="service_account_actor", tag_field="type", frozen=True):
    """A workload with an identity of its own."""

    service_account_id: str


Actor: TypeAlias = SessionActor | ApiActor | UserActor | ServiceAccountActor


# Memories


class ShowMemory(Struct, kw_only=True):
    """Query of the routes that answer with one memory or version; each route has its own default view."""

    view: View | None = None


class DeleteMemory(Struct, kw_only=True):
    """Query of ``DELETE …/memories/{id}``."""

    expected_content_sha256: str | None = None


class ListMemories(ListQuery):
    """Query of ``GET …/memories``. ``view`` is no filter, so it may change on the way."""

    FREE = frozenset({"view"})

    limit: Limit = 20
    path_prefix: str | None = None
    depth: int | None = None
    view: View = "basic"

    def __post_init__(self) -> None:
        """InvalidRequest for what does not go together, in the words on record."""
        _check_limit(self.limit)
        prefix = self.path_prefix
        if prefix is not None and not (prefix.startswith("/") and prefix.endswith("/") and "//" not in prefix):
            raise InvalidRequest("path_prefix must be segment-aligned and end with /")
        if self.depth not in (None, 0, 1):
            raise InvalidRequest("depth must be 0 or 1 when provided")
        if self.depth == 0 and prefix is not None:
            raise InvalidRequest("depth must be 1 beside path_prefix; leave it out to list everything below the prefix")

    @property
    def page_length(self) -> int:
        """How many items a page has: contents cap it, whatever ``limit`` says."""
        return min(self.limit, MAX_FULL) if self.view == "full" else self.limit


class CreateMemory(Wire):
    """Body of ``POST …/memories``. ``content`` must be there; that it is missing is said in the words on record."""

    path: Path
    content: str | None = None


class Precondition(Wire):
    """The state that a memory must have for an update to apply."""

    type: Literal["content_sha256"]
    content_sha256: str


class UpdateMemory(Wire):
    """Body of ``POST …/memories/{id}``: what is omitted or null stays."""

    content: str | None = None
    path: Path | None = None
    precondition: Precondition | None = None


class Memory(Struct, tag="memory", tag_field="type", frozen=True, kw_only=True):
    """A memory as it goes out; ``content`` is null in the basic view."""

    id: str
    memory_store_id: str
    memory_version_id: str
    path: str
    content: str | None
    content_sha256: str
    content_size_bytes: int
    created_at: datetime
    updated_at: datetime


class MemoryPrefix(Struct, tag="memory_prefix", tag_field="type", frozen=True):
    """All memories below one name, as one item of a list of depth 1. ``path`` ends with a slash."""

    path: str


ListItem: TypeAlias = Memory | MemoryPrefix


class MemoryDeleted(Struct, tag="memory_deleted", tag_field="type", frozen=True):
    """What the deletion of a memory answers."""

    id: str


# Versions


class ListVersions(ListQuery):
    """Query of ``GET …/memory_versions``."""

    FREE = frozenset({"view"})

    limit: Limit = 20
    memory_id: str | None = None
    operation: Operation | None = None
    session_id: str | None = None
    api_key_id: str | None = None
    service_account_id: str | None = None
    created_at_gte: datetime | None = field(name="created_at[gte]", default=None)
    created_at_lte: datetime | None = field(name="created_at[lte]", default=None)
    view: View = "basic"

    def __post_init__(self) -> None:
        """InvalidRequest for a limit out of range."""
        _check_limit(self.limit)

    @property
    def page_length(self) -> int:
        """How many items a page has: contents cap it, whatever ``limit`` says."""
        return min(self.limit, MAX_FULL) if self.view == "full" else self.limit


class MemoryVersion(Struct, tag="memory_version", tag_field="type", frozen=True, kw_only=True):
    """One change to a memory, and who made it.

    ``content`` is null in the basic view, in a version that records a deletion, and in a redacted one; digest and size
    are null in the latter two, ``path`` in the last.
    """

    id: str
    memory_store_id: str
    memory_id: str
    operation: Operation
    path: str | None
    content: str | None
    content_sha256: str | None
    content_size_bytes: int | None
    created_by: Actor
    created_at: datetime
    redacted_at: datetime | None
    redacted_by: Actor | None


def _check_limit(limit: int) -> None:
    """Two ranges, one behind the other, as on record."""
    if not 1 <= limit <= 1000:
        raise InvalidRequest("limit: must be greater than or equal to 1 and less than or equal to 1000")
    if limit > MAX_BASIC:
        raise InvalidRequest("limit: value must be greater than or equal to 1 and less than or equal to 100")
