"""Organizations, workspaces and API keys as they travel (contract, organization, workspaces, keys, rate limits)."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.wire import Wire

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
Color: TypeAlias = Annotated[str, Meta(pattern=r"^#[0-9A-Fa-f]{6}$(?!\n)")]
Tags: TypeAlias = dict[str, str]
Geo: TypeAlias = Literal["global", "us"]
Geos: TypeAlias = list[Geo] | Literal["unrestricted"]
Status: TypeAlias = Literal["active", "inactive", "archived"]
ShownStatus: TypeAlias = Literal["active", "inactive", "archived", "expired"]
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
GroupType: TypeAlias = Literal["batch", "files", "model_group", "skills", "token_count", "web_search"]

MAX_TAGS = 16


class IdQuery(Struct, kw_only=True):
    """What the lists of this room take: a neighbour's id instead of a cursor, in one of the two directions."""

    after_id: str | None = None
    before_id: str | None = None
    limit: Limit = 20


class ListWorkspaces(IdQuery):
    """Query of ``GET /v1/organizations/workspaces``."""

    ids: Annotated[list[str], Meta(max_length=100)] | None = msgspec.field(name="ids[]", default=None)
    include_archived: bool = False
    include_default: bool = False


class ListApiKeys(IdQuery):
    """Query of ``GET /v1/organizations/api_keys``."""

    created_by_user_id: str | None = None
    status: ShownStatus | None = None
    workspace_id: str | None = None


class ListRateLimits(Struct, kw_only=True):
    """Query of ``GET /v1/organizations/rate_limits``."""

    group_type: GroupType | None = None
    limit: Limit | None = None
    model: str | None = None
    page: str | None = None


class ListWorkspaceRateLimits(Struct, kw_only=True):
    """Query of ``GET /v1/organizations/workspaces/{id}/rate_limits``."""

    group_type: GroupType | None = None
    include_inherited: bool = False
    limit: Limit | None = None
    page: str | None = None


class DataResidencyIn(Wire):
    """Data residency as first sent; what is omitted or null gets its default."""

    workspace_geo: Literal["us"] | None = None
    allowed_inference_geos: Geos | None = None
    default_inference_geo: Geo | None = None


class DataResidencyPatch(Wire):
    """Data residency as sent in an update: the workspace's own geography never changes."""

    allowed_inference_geos: Geos | None = None
    default_inference_geo: Geo | None = None


class CreateWorkspace(Wire):
    """Body of ``POST /v1/organizations/workspaces``. Keys held outside and user profiles do not exist here."""

    name: Name
    data_residency: DataResidencyIn | None = None
    display_color: Color | None = None
    external_key_id: str | None = None
    tags: Tags | None = None
    user_profile_id: str | None = None


class UpdateWorkspace(Wire):
    """Body of ``POST /v1/organizations/workspaces/{id}``: what is omitted or null stays; a tag set to null goes."""

    name: Name | None | UnsetType = UNSET
    data_residency: DataResidencyPatch | None | UnsetType = UNSET
    display_color: Color | None | UnsetType = UNSET
    external_key_id: str | None | UnsetType = UNSET
    tags: dict[str, str | None] | None | UnsetType = UNSET
    user_profile_id: str | None | UnsetType = UNSET


class UpdateApiKey(Wire):
    """Body of ``POST /v1/organizations/api_keys/{id}``: what is omitted or null stays."""

    name: Name | None = None
    status: Status | None = None


class Organization(Struct, tag="organization", tag_field="type", frozen=True):
    """An organization as it goes out. ``id`` is a bare lower-case UUID (contract, response headers)."""

    id: str
    name: str


class DataResidency(Struct, frozen=True, kw_only=True):
    """Where data may be kept and models may run. Recorded for clients; one installation is one place."""

    workspace_geo: Literal["us"] = "us"
    allowed_inference_geos: Geos = "unrestricted"
    default_inference_geo: Geo = "global"


class Workspace(Struct, tag="workspace", tag_field="type", frozen=True, kw_only=True):
    """A workspace as it goes out."""

    id: str
    name: str
    compartment_id: str
    data_residency: DataResidency
    display_color: str
    tags: Tags
    external_key_id: str | None = None
    user_profile_id: str | None = None
    created_at: datetime
    archived_at: datetime | None


class WorkspaceList(Struct, frozen=True, kw_only=True):
    """A page of workspaces. ``has_more`` is about the direction that was asked for."""

    data: list[Workspace]
    has_more: bool
    first_id: str | None
    last_id: str | None


class WorkspaceScope(Struct, tag="workspace", tag_field="type", frozen=True):
    """Where a key belongs."""

    workspace_id: str


class ApiKey(Struct, tag="api_key", tag_field="type", frozen=True, kw_only=True):
    """An API key as it goes out, never with its text. Nobody is recorded as its creator: there are no users here."""

    id: str
    name: str
    status: ShownStatus
    scope: WorkspaceScope
    partial_key_hint: str
    created_at: datetime
    expires_at: datetime | None
    created_by: None = None
    principal: None = None


class ApiKeyList(Struct, frozen=True, kw_only=True):
    """A page of API keys. ``has_more`` is about the direction that was asked for."""

    data: list[ApiKey]
    has_more: bool
    first_id: str | None
    last_id: str | None


class RateLimitGroup(Struct, frozen=True):
    """What a rate limit is about."""

    id: str
    type: GroupType


class RateLimitValue(Struct, frozen=True):
    """One limiter of a group and its value."""

    type: str
    value: int


class RateLimit(Struct, tag="rate_limit", tag_field="type", frozen=True, kw_only=True):
    """A limit of the hosted Messages API. This server has no such groups, so none is ever listed."""

    id: str
    group: RateLimitGroup
    limits: list[RateLimitValue]
    models: list[str] | None


class WorkspaceRateLimit(Struct, tag="workspace_rate_limit", tag_field="type", frozen=True, kw_only=True):
    """A workspace's override of one; none is ever listed."""

    rate_limit_id: str
    workspace_id: str
    group: RateLimitGroup
    limits: list[RateLimitValue]
    models: list[str] | None


def check_tags(tags: Tags) -> Tags:
    """The tags themselves. InvalidRequest if there are too many, or a key is reserved or too long."""
    if len(tags) > MAX_TAGS:
        raise InvalidRequest(f"tags: must have no more than {MAX_TAGS} entries, not {len(tags)}")
    for key, value in tags.items():
        if not 1 <= len(key) <= 64 or key.lower().startswith("anthropic"):
            raise InvalidRequest(f'tags: "{key[:64]}" must have 1 to 64 characters and may not begin with anthropic')
        if len(value) > 512:
            raise InvalidRequest(f'tags: the value of "{key}" is longer than 512 characters')
    return tags


def merge_residency(given: DataResidencyIn | DataResidencyPatch | None, stored: DataResidency) -> DataResidency:
    """``stored`` with what was sent. InvalidRequest if the default geography is not an allowed one."""
    if given is None:
        return stored
    merged = DataResidency(
        workspace_geo=stored.workspace_geo,
        allowed_inference_geos=given.allowed_inference_geos or stored.allowed_inference_geos,
        default_inference_geo=given.default_inference_geo or stored.default_inference_geo,
    )
    allowed = merged.allowed_inference_geos
    if allowed != "unrestricted" and merged.default_inference_geo not in allowed:
        raise InvalidRequest("data_residency.default_inference_geo: must be one of allowed_inference_geos")
    return merged


def neighbour(query: IdQuery, instant: Callable[[str], int]) -> Position | None:
    """The place in a walk that ``after_id`` or ``before_id`` names; ``instant`` finds when that row was created."""
    if query.after_id is not None and query.before_id is not None:
        raise InvalidRequest("after_id: give after_id or before_id, not both")
    edge = query.after_id or query.before_id
    if not edge:
        return None
    name = "after_id" if query.after_id else "before_id"
    try:
        return Position(instant(edge), edge, "desc", back=name == "before_id")
    except NotFound as exc:
        raise InvalidRequest(f"{name}: {exc.message}") from None
