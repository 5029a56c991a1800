"""What happens to webhook endpoints (contract, webhooks §10.5). Their deliveries are in ``deliveries``.

Promises: an endpoint is told what happened while it was subscribed, and nothing else: before a subscription changes, the
announcements that wait are shared out under the old one, in the same transaction. A signing secret is shown once and rests
sealed; after a new one was made, the one before signs beside it for a day.
"""

import secrets
from base64 import b64encode
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from rota.base import ids
from rota.base.clock import DAY
from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.policy import Policy
from rota.base.who import Who
from rota.outgoing import guard
from rota.outgoing.failures import ForbiddenAddress
from rota.resources.webhooks import deliveries, sql
from rota.resources.webhooks.sql import Body, Stored
from rota.resources.webhooks.wire import (
    CreateEndpoint,
    CreateOrganizationEndpoint,
    Endpoint,
    EndpointDeleted,
    EndpointList,
    ListEndpoints,
    ListOrganizationEndpoints,
    NewEndpoint,
    SigningSecret,
    UpdateEndpoint,
    UpdateOrganizationEndpoint,
)
from rota.store.tx import Found, Tx, page

MAX_ENDPOINTS: Final = 32
"""Of one workspace, or of an organization as a whole (published for the latter)."""
OVERLAP: Final = DAY
"""For how long a replaced secret goes on signing beside its successor, in microseconds."""
_LIMIT: Final = 20


class Owner(NamedTuple):
    """Whose endpoints are meant: a workspace's, or those of the organization as a whole (``workspace_id`` is None)."""

    organization_id: str
    workspace_id: str | None

    @property
    def key(self) -> dict[str, str]:
        """As the queries name it."""
        return {"organization_id": self.organization_id, "workspace_id": self.workspace_id or ""}


def workspace(who: Who) -> Owner:
    """The caller's workspace."""
    return Owner(who.organization_id, who.workspace_id)


def organization(who: Who) -> Owner:
    """The caller's organization."""
    return Owner(who.organization_id, None)


def create(
    tx: Tx, who: Who, owner: Owner, body: CreateEndpoint | CreateOrganizationEndpoint, policy: Policy
) -> NewEndpoint:
    """Make an endpoint, enabled. InvalidRequest for a URL that may not be asked, or one endpoint too many."""
    _check_url(body.url, policy)
    counted = tx.one(sql.COUNT, **owner.key)
    if counted is not None and counted[0] >= MAX_ENDPOINTS:
        raise InvalidRequest(f"There are {MAX_ENDPOINTS} webhook endpoints already; delete one first.")
    deliveries.share_out(tx, policy, who.organization_id)
    endpoint = Stored(
        id=ids.new(ids.WEBHOOK_ENDPOINT),
        created_at=tx.now,
        updated_at=tx.now,
        workspace_id=owner.workspace_id,
        state="enabled",
        body=Body(
            url=body.url,
            enabled_events=sorted(set(body.enabled_events)),
            name=body.name,
            description=body.description,
        ),
    )
    row = (
        endpoint.id, owner.organization_id, owner.workspace_id, tx.now, tx.now, "enabled", 0, sql.to_text(endpoint.body),
    )  # fmt: skip
    tx.insert(sql.INSERT, [row])
    made = _new_secret(tx, endpoint.id, policy)
    return NewEndpoint(**msgspec.structs.asdict(sql.to_endpoint(endpoint)), signing_secret=made)


def get(tx: Tx, _who: Who, owner: Owner, endpoint_id: str) -> Endpoint:
    """One endpoint. NotFound."""
    return sql.to_endpoint(find(tx, owner, endpoint_id))


def list_(tx: Tx, who: Who, position: Position | None, query: ListEndpoints) -> Found:
    """A page of a workspace's endpoints, newest first."""
    found = page(tx, sql.LIST, limit=query.limit, position=position, workspace_id=who.workspace_id)
    return found.map(lambda row: sql.to_endpoint(sql.stored(row)))


def list_of_organization(tx: Tx, who: Who, query: ListOrganizationEndpoints) -> EndpointList:
    """A page of the organization's endpoints, from a neighbour's id on (published).

    ``before_id`` gives the first ones of the list that stand before that endpoint, not those just before it.
    """
    limit = query.limit or _LIMIT
    owner = organization(who)
    if query.after_id and query.before_id:
        raise InvalidRequest("after_id: give after_id or before_id, not both")
    position = None
    if query.after_id:
        edge = _edge(tx, owner, query.after_id, "after_id")
        position = Position(edge.created_at, edge.id, query.order)
    found = page(
        tx, sql.LIST_OF_ORGANIZATION, limit=MAX_ENDPOINTS if query.before_id else limit, position=position,
        order=query.order, organization_id=who.organization_id,
    )  # fmt: skip
    rows, more = list(found.items), found.next is not None
    if query.before_id:
        edge = _edge(tx, owner, query.before_id, "before_id")
        before = [row[0] for row in rows].index(edge.id)
        rows, more = rows[: min(before, limit)], before > limit
    shown = [sql.to_endpoint(sql.stored(row)) for row in rows]
    return EndpointList(
        data=shown,
        has_more=more,
        first_id=shown[0].id if shown else None,
        last_id=shown[-1].id if shown else None,
    )


def update(
    tx: Tx, who: Who, owner: Owner, endpoint_id: str, body: UpdateEndpoint | UpdateOrganizationEndpoint, policy: Policy
) -> Endpoint:
    """Change what was sent. Enabling forgives what went wrong; what is on its way to one that is disabled is given up."""
    old = find(tx, owner, endpoint_id)
    if body.url is not UNSET:
        _check_url(body.url, policy)
    state = old.state if body.state is UNSET else body.state
    changed = msgspec.structs.replace(
        old.body,
        url=old.body.url if body.url is UNSET else body.url,
        name=old.body.name if body.name is UNSET else body.name,
        description=old.body.description if body.description is UNSET else body.description,
        enabled_events=sorted(set(body.enabled_events))
        if body.enabled_events is not UNSET and body.enabled_events
        else old.body.enabled_events,
        disabled_reason="" if body.state is not UNSET else old.body.disabled_reason,
    )
    new = msgspec.structs.replace(old, state=state, body=changed)
    if new == old:
        return sql.to_endpoint(old)
    deliveries.share_out(tx, policy, who.organization_id)
    if state == "disabled":
        tx.run(sql.DROP_PENDING, endpoint_id=old.id)
    return sql.to_endpoint(deliveries.save(tx, new))


def delete(tx: Tx, who: Who, owner: Owner, endpoint_id: str, policy: Policy) -> EndpointDeleted:
    """Remove an endpoint, its secrets and the record of its deliveries."""
    endpoint = find(tx, owner, endpoint_id)
    deliveries.share_out(tx, policy, who.organization_id)
    for query in (sql.DELETE_DELIVERIES, sql.DELETE_SECRETS):
        tx.run(query, endpoint_id=endpoint.id)
    tx.run(sql.DELETE, id=endpoint.id)
    return EndpointDeleted(endpoint.id)


def regenerate(tx: Tx, _who: Who, owner: Owner, endpoint_id: str, policy: Policy) -> SigningSecret:
    """A new signing secret. Deliveries carry both signatures until the one before ends, a day from now."""
    endpoint = find(tx, owner, endpoint_id)
    tx.run(sql.DROP_SECRETS, endpoint_id=endpoint.id, now=tx.now)
    tx.run(sql.RETIRE_SECRETS, endpoint_id=endpoint.id, expires_at=tx.now + OVERLAP)
    return SigningSecret(_new_secret(tx, endpoint.id, policy))


def find(tx: Tx, owner: Owner, endpoint_id: str) -> Stored:
    """An endpoint's row. NotFound, in one form whoever else may own it."""
    row = tx.one(sql.GET, id=endpoint_id, **owner.key)
    if row is None:
        raise NotFound(f"Webhook endpoint `{endpoint_id}` not found.")
    return sql.stored(row)


def _edge(tx: Tx, owner: Owner, endpoint_id: str, name: str) -> Stored:
    try:
        return find(tx, owner, endpoint_id)
    except NotFound as exc:
        raise InvalidRequest(f"{name}: {exc.message}") from None


def _new_secret(tx: Tx, endpoint_id: str, policy: Policy) -> str:
    """A secret of 32 random bytes, in the form that Standard Webhooks gives it, kept sealed."""
    secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    secret_id = ids.new(ids.WEBHOOK_SIGNER)
    sealed = policy.sealer.get().seal(secret, sql.SECRETS_AT_REST.place(endpoint_id, secret_id))
    tx.insert(sql.KEEP_SECRET, [(endpoint_id, secret_id, sealed)])
    return secret


def _check_url(url: str, policy: Policy) -> None:
    """A URL of a form that is asked at all; the addresses behind it are judged anew at every attempt."""
    try:
        guard.check(guard.parse(url), guard.allowed(policy.allow_private_hosts))
    except ForbiddenAddress as exc:
        raise InvalidRequest(f"url: {exc}") from None
