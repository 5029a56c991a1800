"""Where webhook endpoints, their secrets and their deliveries rest."""

import msgspec
from msgspec import Struct

from rota.base.clock import to_datetime, to_datetime_or_none
from rota.base.wire import encode
from rota.resources.webhooks.wire import Delivery, Endpoint, Outcome
from rota.store.sealed import SealedColumn
from rota.store.tx import Insert, Listing, Query, Row

_COLUMNS = "id, created_at, updated_at, workspace_id, state, failures, failing_since, body"

INSERT = Insert(
    "Keep a new endpoint.",
    "webhook_endpoints",
    {
        "id": "text",
        "organization_id": "text",
        "workspace_id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "state": "text",
        "failures": "bigint",
        "body": "text",
    },
)
GET = Query(
    "One endpoint of a workspace, or of an organization as a whole (workspace '').",
    f"""SELECT {_COLUMNS} FROM webhook_endpoints
        WHERE id = :id AND organization_id = :organization_id AND coalesce(workspace_id, '') = :workspace_id""",
)
LIST = Listing(
    "Endpoints of a workspace, newest first.",
    f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE workspace_id = :workspace_id",
)
LIST_OF_ORGANIZATION = Listing(
    "Endpoints of an organization as a whole.",
    f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE organization_id = :organization_id AND workspace_id IS NULL",
)
COUNT = Query(
    "How many endpoints a workspace, or an organization as a whole, has.",
    """SELECT count(*) FROM webhook_endpoints
       WHERE organization_id = :organization_id AND coalesce(workspace_id, '') = :workspace_id""",
)
LISTENING = Query(
    "The enabled endpoints of organizations, to see who is to be told.",
    f"SELECT {_COLUMNS}, organization_id FROM webhook_endpoints WHERE organization_id = ANY(:ids) AND state = 'enabled'",
)
UPDATE = Query(
    "Replace an endpoint's changeable parts.",
    """UPDATE webhook_endpoints SET updated_at = :updated_at, state = :state, failures = 0, failing_since = NULL, body = :body
       WHERE id = :id""",
)
GOOD = Query(
    "An endpoint took something: whatever failed before is forgiven.",
    "UPDATE webhook_endpoints SET failures = 0, failing_since = NULL WHERE id = :id AND failures > 0",
)
BAD = Query(
    "An endpoint failed once more.",
    """UPDATE webhook_endpoints SET failures = failures + 1, failing_since = coalesce(failing_since, :now) WHERE id = :id
       RETURNING failures, failing_since""",
)
GET_ENABLED = Query(
    "An endpoint that is still enabled, whoever owns it.",
    f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE id = :id AND state = 'enabled'",
)
DELETE = Query("Remove an endpoint.", "DELETE FROM webhook_endpoints WHERE id = :id")

SECRETS_AT_REST = SealedColumn("webhook_secrets", "endpoint_id", "id")
KEEP_SECRET = Insert(
    "Keep a sealed signing secret.", "webhook_secrets", {"endpoint_id": "text", "id": "text", "sealed": "bytea"}
)
RETIRE_SECRETS = Query(
    "Let an endpoint's present secret end at an instant.",
    "UPDATE webhook_secrets SET expires_at = :expires_at WHERE endpoint_id = :endpoint_id AND expires_at IS NULL",
)
DROP_SECRETS = Query(
    "Forget an endpoint's secrets that ended.",
    "DELETE FROM webhook_secrets WHERE endpoint_id = :endpoint_id AND expires_at <= :now",
)
SECRETS = Query(
    "The secrets that an endpoint's deliveries are signed with now, the newest first.",
    """SELECT id, sealed FROM webhook_secrets WHERE endpoint_id = :endpoint_id AND (expires_at IS NULL OR expires_at > :now)
       ORDER BY id DESC""",
)
DELETE_SECRETS = Query("Remove an endpoint's secrets.", "DELETE FROM webhook_secrets WHERE endpoint_id = :endpoint_id")

_DELIVERY = "id, created_at, endpoint_id, state, due_at, attempts, body"
ENQUEUE = Insert(
    "Put events on their way.",
    "webhook_deliveries",
    {
        "id": "text",
        "endpoint_id": "text",
        "created_at": "bigint",
        "state": "text",
        "due_at": "bigint",
        "attempts": "bigint",
        "body": "text",
    },
)
LIST_DELIVERIES = Listing(
    "Deliveries to an endpoint, newest first.",
    f"SELECT {_DELIVERY} FROM webhook_deliveries WHERE endpoint_id = :endpoint_id",
    filters={"state": "state = :state"},
)
GET_DELIVERY = Query(
    "One delivery to an endpoint.",
    f"SELECT {_DELIVERY} FROM webhook_deliveries WHERE id = :id AND endpoint_id = :endpoint_id",
)
NEXT_DUE = Query("When the next attempt is due.", "SELECT min(due_at) FROM webhook_deliveries WHERE due_at IS NOT NULL")
WAITING = Query(
    "Endpoints for which an attempt is due.",
    """SELECT id FROM webhook_endpoints AS endpoint WHERE EXISTS (
           SELECT 1 FROM webhook_deliveries WHERE endpoint_id = endpoint.id AND due_at <= :now)""",
)
CLAIM = Query(
    "Take the deliveries to one endpoint that have been due longest, for the length of a lease.",
    f"""UPDATE webhook_deliveries SET due_at = :until, claim = :claim WHERE id IN (
            SELECT id FROM webhook_deliveries WHERE endpoint_id = :endpoint_id AND due_at <= :now
            ORDER BY due_at, id LIMIT :limit)
        RETURNING {_DELIVERY}""",
)
SETTLE = Query(
    "Write down how an attempt ended, unless somebody else has taken the delivery since.",
    """UPDATE webhook_deliveries SET state = :state, due_at = :due_at, claim = NULL, attempts = :attempts, body = :body
       WHERE id = :id AND claim = :claim""",
)
RESEND = Query(
    "Begin a delivery anew.",
    "UPDATE webhook_deliveries SET state = 'pending', due_at = :now, claim = NULL, attempts = 0 WHERE id = :id",
)
DROP_PENDING = Query(
    "Give up what is on its way to an endpoint.",
    "UPDATE webhook_deliveries SET state = 'dropped', due_at = NULL, claim = NULL WHERE endpoint_id = :endpoint_id AND due_at IS NOT NULL",
)
DELETE_DELIVERIES = Query(
    "Remove an endpoint's deliveries.", "DELETE FROM webhook_deliveries WHERE endpoint_id = :endpoint_id"
)
FORGET = Query(
    "Forget old deliveries that ended, some at a time.",
    """DELETE FROM webhook_deliveries WHERE id IN (
           SELECT id FROM webhook_deliveries WHERE due_at IS NULL AND created_at < :before LIMIT :limit)""",
)


class Body(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of an endpoint that SQL never looks at."""

    url: str
    enabled_events: list[str]
    name: str = ""
    description: str = ""
    disabled_reason: str = ""


class DeliveryBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is sent, as the bytes that are signed, and how the last attempt ended."""

    event_id: str
    payload: str
    last: Outcome | None = None


class Stored(Struct, frozen=True, kw_only=True):
    """An endpoint's row, decoded. ``workspace_id`` is None for one of the whole organization; instants in microseconds."""

    id: str
    created_at: int
    updated_at: int
    workspace_id: str | None
    state: str
    body: Body


body_of = msgspec.json.Decoder(Body).decode
delivery_body_of = msgspec.json.Decoder(DeliveryBody).decode


def stored(row: Row) -> Stored:
    """A row of endpoints."""
    return Stored(
        id=row[0], created_at=row[1], updated_at=row[2], workspace_id=row[3], state=row[4], body=body_of(row[7])
    )


def to_endpoint(endpoint: Stored) -> Endpoint:
    """An endpoint as it goes out."""
    return msgspec.convert(
        {
            "id": endpoint.id,
            "state": endpoint.state,
            **msgspec.structs.asdict(endpoint.body),
            "created_at": to_datetime(endpoint.created_at),
            "updated_at": to_datetime(endpoint.updated_at),
        },
        Endpoint,
    )


def to_delivery(row: Row) -> Delivery:
    """A row of deliveries as it goes out."""
    body = delivery_body_of(row[6])
    return Delivery(
        id=row[0],
        endpoint_id=row[2],
        event=msgspec.json.decode(body.payload),
        state=row[3],
        attempts=row[5],
        last_attempt=body.last,
        next_attempt_at=to_datetime_or_none(row[4]),
        created_at=to_datetime(row[1]),
    )


def to_text(body: Body | DeliveryBody) -> str:
    """A ``body`` column."""
    return encode(body).decode()
