"""Deliveries: each event on its way to each endpoint (contract, webhooks §10.1–10.4).

The way of an event: ``queue.outbox`` left a row in the transaction that caused it → ``share_out`` turns that row into one
delivery for each endpoint that subscribed, and removes it, in one transaction → the courier takes deliveries (``claim``),
tells the endpoint, and writes down how it went (``settle``).

Promises: at least once, under one id: a crash anywhere leaves the row or the deliveries, never neither; a claim ends by
itself and carries a fence, so that two couriers can meet but not overwrite each other; an attempt that nobody wrote down does
not count as one. At most three attempts, five seconds to two minutes apart. An endpoint that answers with a redirect, stands
at an address that is not public, or fails for long is disabled, with the published reason, and what waits for it is dropped.
"""

import random
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from rota.base import ids
from rota.base.clock import DAY, MINUTE, SECOND, to_datetime
from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.policy import Policy
from rota.base.who import Who
from rota.base.wire import encode
from rota.queue import outbox
from rota.queue.chore import Chore, Tools
from rota.queue.outbox import Announcement
from rota.resources.webhooks import sql
from rota.resources.webhooks.events import ORGANIZATION, beside
from rota.resources.webhooks.sql import DeliveryBody, Stored
from rota.resources.webhooks.wire import Delivery, ListDeliveries, Outcome
from rota.store.tx import Found, Row, Tx, page

TOPIC: Final = "deliveries"
"""Woken when there is something to deliver."""
ATTEMPTS: Final = 3
LEASE: Final = MINUTE
"""How long a claim holds, in microseconds: longer than an attempt may take."""
KEPT: Final = 7 * DAY
"""How long deliveries that ended can be looked at and sent again, in microseconds."""
SHARED_AT_ONCE: Final = 500

REDIRECTED: Final = "auto-disabled: endpoint URL returned a redirect (3xx)"
NOT_PUBLIC: Final = "auto-disabled: endpoint URL resolved to an invalid address"
FAILING: Final = "auto-disabled after sustained delivery failures"
FAILURES: Final = 20
FAILING_FOR: Final = 60 * MINUTE
"""An endpoint is given up after this many failed attempts in a row, over at least this long (the published length is open)."""


class Claimed(Struct, frozen=True, kw_only=True):
    """A delivery that somebody may attempt now: where to, what, signed with which secrets (newest first)."""

    id: str
    endpoint_id: str
    claim: str
    url: str
    event_id: str
    payload: str
    attempts: int
    secrets: Sequence[str]


class Attempt(Struct, frozen=True, kw_only=True):
    """How an attempt went. ``disable`` is the published reason why the endpoint is to be asked no more, if there is one."""

    delivery: Claimed
    status: int | None
    error: str | None
    seconds: float
    disable: str | None = None

    @property
    def good(self) -> bool:
        """Whether the endpoint took it."""
        return self.status is not None and 200 <= self.status < 300


def envelope(announcement: Announcement) -> str:
    """The event as every endpoint gets it: the thin envelope, nothing more (contract, envelope)."""
    data = {"type": announcement.event, "id": announcement.resource_id, "organization_id": announcement.organization_id}
    if announcement.event not in ORGANIZATION:
        data["workspace_id"] = announcement.workspace_id
    moment = to_datetime(announcement.created_at)
    return encode(
        {"type": "event", "id": announcement.id, "created_at": moment, "data": data | announcement.data}
    ).decode()


def share_out(tx: Tx, policy: Policy, organization_id: str | None = None) -> int:
    """Turn announcements that wait into deliveries; of one organization, all of them, or else as many as go at once.

    How many there were. Announcements that nobody subscribed to are gone with that.
    """
    waiting = outbox.waiting(tx, organization_id, SHARED_AT_ONCE)
    if not waiting:
        return 0
    organizations = sorted({each.organization_id for each in waiting})
    endpoints = [(row[8], sql.stored(row)) for row in tx.all(sql.LISTENING, ids=organizations)]
    rows: list[Row] = []
    for announcement in waiting:
        listening = [
            endpoint
            for owner, endpoint in endpoints
            if owner == announcement.organization_id
            and endpoint.workspace_id in (None, announcement.workspace_id)
            and announcement.event in endpoint.body.enabled_events
        ]
        if listening:
            text = sql.to_text(DeliveryBody(event_id=announcement.id, payload=envelope(announcement)))
            rows += [_row(tx, endpoint.id, text) for endpoint in listening]
    tx.insert(sql.ENQUEUE, rows)
    outbox.remove(tx, [each.id for each in waiting])
    if rows:
        tx.wake(TOPIC)
    if organization_id is not None and len(waiting) == SHARED_AT_ONCE:
        return len(waiting) + share_out(tx, policy, organization_id)
    return len(waiting)


def waiting_endpoints(tx: Tx) -> list[str]:
    """Endpoints for which an attempt is due now."""
    return [row[0] for row in tx.all(sql.WAITING, now=tx.now)]


def next_due(tx: Tx) -> int | None:
    """The instant at which the next attempt is due, in microseconds UTC; None if nothing waits."""
    row = tx.one(sql.NEXT_DUE)
    return None if row is None else row[0]


def claim(tx: Tx, policy: Policy, endpoint_id: str, limit: int) -> list[Claimed]:
    """Take up to ``limit`` due deliveries to one endpoint, oldest first, for the length of a lease."""
    row = tx.one(sql.GET_ENABLED, id=endpoint_id)
    if row is None:
        tx.run(sql.DROP_PENDING, endpoint_id=endpoint_id)
        return []
    endpoint = sql.stored(row)
    mark = ids.new(ids.REQUEST)
    taken = tx.all(sql.CLAIM, endpoint_id=endpoint_id, now=tx.now, until=tx.now + LEASE, claim=mark, limit=limit)
    if not taken:
        return []
    sealer = policy.sealer.get()
    secrets = [
        sealer.open(bytes(sealed), sql.SECRETS_AT_REST.place(endpoint_id, secret_id))
        for secret_id, sealed in tx.all(sql.SECRETS, endpoint_id=endpoint_id, now=tx.now)
    ]
    claimed: list[Claimed] = []
    for delivery_id, _, _, _, _, attempts, text in sorted(taken):
        body = sql.delivery_body_of(text)
        claimed.append(
            Claimed(
                id=delivery_id,
                endpoint_id=endpoint_id,
                claim=mark,
                url=endpoint.body.url,
                event_id=body.event_id,
                payload=body.payload,
                attempts=attempts,
                secrets=secrets,
            )
        )
    return claimed


def settle(tx: Tx, attempts: Sequence[Attempt]) -> list[str | None]:
    """Write down how attempts went; for each, why its endpoint was disabled by it, or None. Set-wise.

    An attempt whose claim has passed to somebody else changes nothing about the delivery.
    """
    return [_settle(tx, attempt) for attempt in attempts]


def _settle(tx: Tx, attempt: Attempt) -> str | None:
    delivery = attempt.delivery
    number = delivery.attempts + 1
    state, due_at = "delivered", None
    if not attempt.good:
        state, due_at = ("failed", None) if number >= ATTEMPTS else ("pending", tx.now + back_off(number))
    moment = to_datetime(tx.now)
    last = Outcome(at=moment, status=attempt.status, error=attempt.error, seconds=round(attempt.seconds, 3))
    body = DeliveryBody(event_id=delivery.event_id, payload=delivery.payload, last=last)
    settled = tx.run(
        sql.SETTLE, id=delivery.id, claim=delivery.claim, state=state, due_at=due_at, attempts=number,
        body=sql.to_text(body),
    )  # fmt: skip
    if not settled:
        return None
    if attempt.good:
        tx.run(sql.GOOD, id=delivery.endpoint_id)
        return None
    row = tx.one(sql.BAD, id=delivery.endpoint_id, now=tx.now)
    reason = attempt.disable
    if reason is None and row is not None and row[0] >= FAILURES and tx.now - row[1] >= FAILING_FOR:
        reason = FAILING
    return reason if reason is not None and _disable(tx, delivery.endpoint_id, reason) else None


def _disable(tx: Tx, endpoint_id: str, reason: str) -> bool:
    row = tx.one(sql.GET_ENABLED, id=endpoint_id)
    if row is None:
        return False
    endpoint = sql.stored(row)
    body = msgspec.structs.replace(endpoint.body, disabled_reason=reason)
    save(tx, msgspec.structs.replace(endpoint, state="disabled", body=body))
    tx.run(sql.DROP_PENDING, endpoint_id=endpoint_id)
    return True


def back_off(failures: int) -> int:
    """How long to wait after so many failed attempts, in microseconds: 5 to 120 s, growing, jittered (contract, delivery)."""
    reach = min(120.0, 15.0 * 4 ** (failures - 1))
    return int(random.uniform(max(5.0, reach / 2), reach) * SECOND)  # noqa: S311 - a spread, not a secret


def save(tx: Tx, endpoint: Stored) -> Stored:
    """Write an endpoint back; whatever failed before is forgiven."""
    saved = msgspec.structs.replace(endpoint, updated_at=tx.now)
    tx.run(sql.UPDATE, id=saved.id, updated_at=tx.now, state=saved.state, body=sql.to_text(saved.body))
    return saved


def list_(tx: Tx, _who: Who, position: Position | None, endpoint: Stored, query: ListDeliveries) -> Found:
    """A page of the deliveries to an endpoint, newest first."""
    found = page(
        tx, sql.LIST_DELIVERIES, limit=query.limit, position=position, filters={"state": query.state},
        endpoint_id=endpoint.id,
    )  # fmt: skip
    return found.map(sql.to_delivery)


def get(tx: Tx, endpoint: Stored, delivery_id: str) -> Delivery:
    """One delivery to an endpoint. NotFound."""
    row = tx.one(sql.GET_DELIVERY, id=delivery_id, endpoint_id=endpoint.id)
    if row is None:
        raise NotFound(f"Webhook delivery `{delivery_id}` not found.")
    return sql.to_delivery(row)


def resend(tx: Tx, endpoint: Stored, delivery_id: str) -> Delivery:
    """Begin a delivery anew, under the same event id. InvalidRequest while it is still on its way."""
    delivery = get(tx, endpoint, delivery_id)
    _check_enabled(endpoint)
    if delivery.state == "pending":
        raise InvalidRequest(f"Webhook delivery `{delivery_id}` is still on its way; there is nothing to send again.")
    tx.run(sql.RESEND, id=delivery_id, now=tx.now)
    tx.wake(TOPIC)
    return get(tx, endpoint, delivery_id)


def test(tx: Tx, who: Who, endpoint: Stored) -> Delivery:
    """Send an endpoint an event about nothing: the first that it subscribed to, about a thing that does not exist."""
    _check_enabled(endpoint)
    event = endpoint.body.enabled_events[0]
    announcement = Announcement(
        id=ids.new(ids.WEBHOOK_EVENT),
        created_at=tx.now,
        organization_id=who.organization_id,
        workspace_id=endpoint.workspace_id or "",
        event=event,
        resource_id="test",
        data={extra: "test"} if (extra := beside(event)) is not None else {},
    )
    text = sql.to_text(DeliveryBody(event_id=announcement.id, payload=envelope(announcement)))
    row = _row(tx, endpoint.id, text)
    tx.insert(sql.ENQUEUE, [row])
    tx.wake(TOPIC)
    return get(tx, endpoint, row[0])


async def forget(tools: Tools) -> int:
    """Forget deliveries that ended long ago, some at a time; how many."""
    return await tools.db.write(_forget)


def _forget(tx: Tx) -> int:
    return tx.run(sql.FORGET, before=tx.now - KEPT, limit=1000)


CHORES: Final = [Chore("webhooks.forget", 600.0, forget)]


def _row(tx: Tx, endpoint_id: str, text: str) -> Row:
    return (ids.new(ids.WEBHOOK_DELIVERY), endpoint_id, tx.now, "pending", tx.now, 0, text)


def _check_enabled(endpoint: Stored) -> None:
    if endpoint.state != "enabled":
        raise InvalidRequest(
            f"The webhook endpoint `{endpoint.id}` is disabled ({endpoint.body.disabled_reason or 'by hand'}); "
            "enable it first."
        )
