"""Webhook endpoints and deliveries as they travel (contract, webhooks §10.5).

Endpoints of a workspace (our own ``/rota/v1/webhooks``) and of the organization (published) are the same object; they differ
in the events that they may subscribe to, and in how their lists are walked.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base.wire import ListQuery, Wire
from rota.resources.webhooks.events import Event, OrganizationEvent

State: TypeAlias = Literal["enabled", "disabled"]
DeliveryState: TypeAlias = Literal["pending", "delivered", "failed", "dropped"]
Name: TypeAlias = Annotated[str, Meta(max_length=256)]
Description: TypeAlias = Annotated[str, Meta(max_length=1024)]
Url: TypeAlias = Annotated[str, Meta(min_length=1, max_length=2048)]

BETA = "webhooks-2026-10-07"
"""Without this beta the published organization routes are not there (contract, headers)."""


class CreateEndpoint(Wire):
    """Body of ``POST /rota/v1/webhooks``."""

    url: Url
    enabled_events: Annotated[list[Event], Meta(min_length=1)]
    name: Name = ""
    description: Description = ""


class CreateOrganizationEndpoint(Wire):
    """Body of ``POST /v1/organizations/webhooks``."""

    url: Url
    enabled_events: Annotated[list[OrganizationEvent], Meta(min_length=1)]
    name: Name = ""
    description: Description = ""


class UpdateEndpoint(Wire):
    """Body of ``POST /rota/v1/webhooks/{id}``: what is omitted stays; an empty list of events leaves them as they are."""

    url: Url | UnsetType = UNSET
    enabled_events: list[Event] | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    state: State | UnsetType = UNSET


class UpdateOrganizationEndpoint(Wire):
    """Body of ``POST /v1/organizations/webhooks/{id}``; as for a workspace's endpoint."""

    url: Url | UnsetType = UNSET
    enabled_events: list[OrganizationEvent] | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    state: State | UnsetType = UNSET


class ListEndpoints(ListQuery):
    """Query of ``GET /rota/v1/webhooks``."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class ListOrganizationEndpoints(Struct, kw_only=True):
    """Query of ``GET /v1/organizations/webhooks``. A limit of 0 is the default, 20 (published)."""

    after_id: str | None = None
    before_id: str | None = None
    limit: Annotated[int, Meta(ge=0, le=100)] = 0
    order: Literal["asc", "desc"] = "desc"


class ListDeliveries(ListQuery):
    """Query of ``GET /rota/v1/webhooks/{id}/deliveries``."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    state: DeliveryState | None = None


class Endpoint(Struct, frozen=True, kw_only=True):
    """An endpoint as it goes out. ``disabled_reason`` is empty unless the server itself disabled it."""

    id: str
    url: str
    name: str
    description: str
    enabled_events: list[Event]
    state: State
    disabled_reason: str
    created_at: datetime
    updated_at: datetime


class NewEndpoint(Endpoint, frozen=True, kw_only=True):
    """An endpoint just made, with its signing secret, which nothing shows again."""

    signing_secret: str


class SigningSecret(Struct, frozen=True):
    """A new signing secret, which nothing shows again. The one before stays valid beside it for a day."""

    signing_secret: str


class EndpointDeleted(Struct, tag="webhook_endpoint_deleted", tag_field="type", frozen=True):
    """What a deletion answers."""

    id: str


class EndpointList(Struct, frozen=True, kw_only=True):
    """A page of the organization's endpoints."""

    data: list[Endpoint]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Outcome(Struct, frozen=True, kw_only=True):
    """How one attempt ended: the status that came back, or why none did. ``seconds`` is how long it took."""

    at: datetime
    status: int | None = None
    error: str | None = None
    seconds: float = 0.0


class Delivery(Struct, tag="webhook_delivery", tag_field="type", frozen=True, kw_only=True):
    """One event on its way to one endpoint. ``event`` is what is sent, to the byte but for white space.

    ``state``: pending (``next_attempt_at`` says when), delivered (a 2xx came back), failed (after the last attempt), dropped
    (the endpoint was disabled or deleted meanwhile).
    """

    id: str
    endpoint_id: str
    event: dict[str, Any]
    state: DeliveryState
    attempts: int
    last_attempt: Outcome | None
    next_attempt_at: datetime | None
    created_at: datetime
