"""The routes of webhooks: a workspace's endpoints (ours), the organization's (published), and their deliveries (ours).

Making one takes no Idempotency-Key: the kept reply would hold the signing secret, which rests nowhere in the clear.
"""

from functools import partial
from typing import Any

from rota.base.errors import NotFound
from rota.http.request import Request
from rota.http.route import Route
from rota.resources.webhooks import actions, deliveries, wire
from rota.store.tx import Tx


async def create(req: Request) -> Any:
    """Make an endpoint of the workspace."""
    return await req.write(actions.create, actions.workspace(req.who), req.body, req.policy)


async def list_(req: Request) -> Any:
    """List the workspace's endpoints."""
    return await req.page(actions.list_, req.query)


async def retrieve(req: Request) -> Any:
    """Fetch one endpoint of the workspace."""
    return await req.read(actions.get, actions.workspace(req.who), req.id)


async def update(req: Request) -> Any:
    """Change an endpoint of the workspace."""
    return await req.write(actions.update, actions.workspace(req.who), req.id, req.body, req.policy)


async def delete(req: Request) -> Any:
    """Delete an endpoint of the workspace."""
    return await req.write(actions.delete, actions.workspace(req.who), req.id, req.policy)


async def regenerate(req: Request) -> Any:
    """Make a new signing secret for an endpoint of the workspace."""
    return await req.write(actions.regenerate, actions.workspace(req.who), req.id, req.policy)


async def test(req: Request) -> Any:
    """Send an endpoint of the workspace an event about nothing."""
    return await req.write(_test, req.id)


async def list_deliveries(req: Request) -> Any:
    """List the deliveries to an endpoint of the workspace."""
    return await req.page(_list_deliveries, req.id, req.query)


async def retrieve_delivery(req: Request) -> Any:
    """Fetch one delivery."""
    return await req.read(_get_delivery, *req.params)


async def resend_delivery(req: Request) -> Any:
    """Begin a delivery anew."""
    return await req.write(_resend, *req.params)


async def create_of_organization(req: Request) -> Any:
    """Make an endpoint of the organization."""
    _check_beta(req)
    return await req.write(actions.create, actions.organization(req.who), req.body, req.policy)


async def list_of_organization(req: Request) -> Any:
    """List the organization's endpoints."""
    _check_beta(req)
    return await req.read(actions.list_of_organization, req.query)


async def retrieve_of_organization(req: Request) -> Any:
    """Fetch one endpoint of the organization."""
    _check_beta(req)
    return await req.read(actions.get, actions.organization(req.who), req.id)


async def update_of_organization(req: Request) -> Any:
    """Change an endpoint of the organization."""
    _check_beta(req)
    return await req.write(actions.update, actions.organization(req.who), req.id, req.body, req.policy)


async def delete_of_organization(req: Request) -> Any:
    """Delete an endpoint of the organization."""
    _check_beta(req)
    return await req.write(actions.delete, actions.organization(req.who), req.id, req.policy)


async def regenerate_of_organization(req: Request) -> Any:
    """Make a new signing secret for an endpoint of the organization."""
    _check_beta(req)
    return await req.write(actions.regenerate, actions.organization(req.who), req.id, req.policy)


def _check_beta(req: Request) -> None:
    """Without its beta this part of the published API is not there (contract, headers)."""
    if not req.asks_for(wire.BETA):
        raise NotFound("not found")


def _test(tx: Tx, who: Any, endpoint_id: str) -> wire.Delivery:
    return deliveries.test(tx, who, actions.find(tx, actions.workspace(who), endpoint_id))


def _list_deliveries(tx: Tx, who: Any, position: Any, endpoint_id: str, query: wire.ListDeliveries) -> Any:
    return deliveries.list_(tx, who, position, actions.find(tx, actions.workspace(who), endpoint_id), query)


def _get_delivery(tx: Tx, who: Any, endpoint_id: str, delivery_id: str) -> wire.Delivery:
    return deliveries.get(tx, actions.find(tx, actions.workspace(who), endpoint_id), delivery_id)


def _resend(tx: Tx, who: Any, endpoint_id: str, delivery_id: str) -> wire.Delivery:
    return deliveries.resend(tx, actions.find(tx, actions.workspace(who), endpoint_id), delivery_id)


_admin = partial(Route, access="admin")
_OURS = "/rota/v1/webhooks"
_ONE = _OURS + "/{endpoint_id}"
_DELIVERIES = _ONE + "/deliveries"
_PUBLISHED = "/v1/organizations/webhooks"
_PUBLISHED_ONE = _PUBLISHED + "/{webhook_endpoint_id}"

ROUTES = [
    Route(
        "POST", _OURS, "webhooks.create", "Create a webhook endpoint of this workspace", create,
        wire.NewEndpoint, body=wire.CreateEndpoint, writes=True,
    ),
    Route(
        "GET", _OURS, "webhooks.list", "List this workspace's webhook endpoints, newest first", list_,
        wire.Endpoint, query=wire.ListEndpoints, paged=True,
    ),
    Route("GET", _ONE, "webhooks.retrieve", "Retrieve a webhook endpoint", retrieve, wire.Endpoint),
    Route(
        "POST", _ONE, "webhooks.update", "Update a webhook endpoint", update,
        wire.Endpoint, body=wire.UpdateEndpoint, writes=True,
    ),
    Route("DELETE", _ONE, "webhooks.delete", "Delete a webhook endpoint", delete, wire.EndpointDeleted, writes=True),
    Route(
        "POST", _ONE + "/regenerate_signing_secret", "webhooks.regenerate_signing_secret",
        "Make a new signing secret; the one before signs beside it for a day", regenerate, wire.SigningSecret, writes=True,
    ),
    Route("POST", _ONE + "/test", "webhooks.test", "Send a test event", test, wire.Delivery, writes=True),
    Route(
        "GET", _DELIVERIES, "webhooks.deliveries.list", "List deliveries, newest first", list_deliveries,
        wire.Delivery, query=wire.ListDeliveries, paged=True,
    ),
    Route(
        "GET", _DELIVERIES + "/{delivery_id}", "webhooks.deliveries.retrieve", "Retrieve a delivery", retrieve_delivery,
        wire.Delivery,
    ),
    Route(
        "POST", _DELIVERIES + "/{delivery_id}/resend", "webhooks.deliveries.resend", "Send a delivery again",
        resend_delivery, wire.Delivery, writes=True,
    ),
    _admin(
        "POST", _PUBLISHED, "organizations.webhooks.create", "Create a webhook endpoint of the organization",
        create_of_organization, wire.NewEndpoint, body=wire.CreateOrganizationEndpoint, writes=True,
    ),
    _admin(
        "GET", _PUBLISHED, "organizations.webhooks.list", "List the organization's webhook endpoints",
        list_of_organization, wire.EndpointList, query=wire.ListOrganizationEndpoints,
    ),
    _admin(
        "GET", _PUBLISHED_ONE, "organizations.webhooks.retrieve", "Retrieve a webhook endpoint of the organization",
        retrieve_of_organization, wire.Endpoint,
    ),
    _admin(
        "POST", _PUBLISHED_ONE, "organizations.webhooks.update", "Update a webhook endpoint of the organization",
        update_of_organization, wire.Endpoint, body=wire.UpdateOrganizationEndpoint, writes=True,
    ),
    _admin(
        "DELETE", _PUBLISHED_ONE, "organizations.webhooks.delete", "Delete a webhook endpoint of the organization",
        delete_of_organization, wire.EndpointDeleted, writes=True,
    ),
    _admin(
        "POST", _PUBLISHED_ONE + "/regenerate_signing_secret", "organizations.webhooks.regenerate_signing_secret",
        "Make a new signing secret for an endpoint of the organization", regenerate_of_organization, wire.SigningSecret,
        writes=True,
    ),
]  # fmt: skip
