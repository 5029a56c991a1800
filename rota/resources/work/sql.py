"""Where work rests. Columns: what SQL filters, orders or constrains on; the rest is in ``body``."""

import msgspec
from msgspec import Struct

from rota.base.who import Access
from rota.base.wire import Metadata
from rota.store.tx import Insert, Listing, Query, Update

_COLUMNS = """id, created_at, workspace_id, environment_id, session_id, state, queued_at, delivered_at, lease_until, again,
       body"""

WANT = Insert(
    "Queue sessions. One that has a live item keeps it; if somebody has that in hand, it is noted that there is more.",
    "work",
    {
        "id": "text",
        "workspace_id": "text",
        "environment_id": "text",
        "session_id": "text",
        "created_at": "bigint",
        "state": "text",
        "queued_at": "bigint",
        "again": "bigint",
        "body": "text",
    },
    suffix="""ON CONFLICT (session_id) WHERE state <> 'stopped'
       DO UPDATE SET again = CASE WHEN work.delivered_at IS NULL THEN 0 ELSE 1 END""",
)
GET = Query(
    "One item of an environment.",
    f"""SELECT {_COLUMNS} FROM work
        WHERE id = :id AND environment_id = :environment_id AND workspace_id = :workspace_id""",
)
LIVE = Query(
    "A session's live item.", f"SELECT {_COLUMNS} FROM work WHERE session_id = :session_id AND state <> 'stopped'"
)
LIVE_IN_ENVIRONMENT = Query(
    "All live items of an environment.",
    f"SELECT {_COLUMNS} FROM work WHERE environment_id = :environment_id AND state <> 'stopped'",
)
LIST = Listing(
    "Items of an environment, newest first.",
    f"SELECT {_COLUMNS} FROM work WHERE environment_id = :environment_id AND workspace_id = :workspace_id",
    weight="body",
)
_FREE = """environment_id = :environment_id AND state <> 'stopped'
           AND ((state = 'queued' AND (delivered_at IS NULL OR delivered_at <= :before))
                OR (state IN ('starting', 'active') AND lease_until <= :now))"""
PEEK = Query(
    "Whether a poll would change anything: there is an item to hand out, or one whose end nobody has written down.",
    f"""SELECT id FROM work
        WHERE ({_FREE}) OR (environment_id = :environment_id AND state = 'stopping' AND lease_until <= :now) LIMIT 1""",
)
PICK = Query(
    "The item that has waited longest and that nobody has.",
    f"SELECT {_COLUMNS} FROM work WHERE {_FREE} ORDER BY queued_at, id LIMIT 1 FOR UPDATE SKIP LOCKED",
)
DYING = Query(
    "Items that were to be stopped by workers whose leases have ended.",
    f"SELECT {_COLUMNS} FROM work WHERE environment_id = :environment_id AND state = 'stopping' AND lease_until <= :now",
)
SAVE = Update(
    "Replace what may change of items.",
    """UPDATE work SET state = v.state, queued_at = v.queued_at, delivered_at = v.delivered_at, lease_until = v.lease_until,
       again = v.again, body = v.body WHERE work.id = v.id""",
    {
        "id": "text",
        "state": "text",
        "queued_at": "bigint",
        "delivered_at": "bigint",
        "lease_until": "bigint",
        "again": "bigint",
        "body": "text",
    },
)
END_GRACE = Query(
    "Let the credentials of a session's earlier items end now.",
    """UPDATE work SET lease_until = :now
       WHERE session_id = :session_id AND state = 'stopped' AND lease_until > :now""",
)
STATS = Query(
    "How many items wait, how many are on their way to a worker, and since when the oldest of both waits.",
    """SELECT coalesce(sum(CASE WHEN state = 'queued' AND delivered_at > :recently THEN 0 ELSE 1 END), 0),
              coalesce(sum(CASE WHEN state = 'queued' AND delivered_at > :recently THEN 1 ELSE 0 END), 0),
              min(CASE WHEN state = 'queued' THEN queued_at ELSE lease_until END)
       FROM work WHERE environment_id = :environment_id
       AND (state = 'queued' OR (state IN ('starting', 'active') AND lease_until <= :now))""",
)
COUNT_QUEUED = Query(
    "How many items of an environment wait.",
    """SELECT count(*) FROM work WHERE environment_id = :environment_id
       AND (state = 'queued' OR (state IN ('starting', 'active') AND lease_until <= :now))""",
)

KEEP_TOKEN = Insert(
    "Keep the digest of a new sessions token.",
    "work_tokens",
    {"id": "text", "work_id": "text", "round": "bigint", "created_at": "bigint", "digest": "text"},
)
ADMIT = Query(
    "The hand-out that a sessions token belongs to, its item as it is now, and the states of what it opens.",
    """SELECT t.digest, t.id, t.round, w.id, w.workspace_id, w.environment_id, w.session_id, w.lease_until, w.body,
              s.organization_id, s.archived_at, o.disabled
       FROM work_tokens t JOIN work w ON w.id = t.work_id JOIN workspaces s ON s.id = w.workspace_id
       JOIN organizations o ON o.id = s.organization_id WHERE t.id = :id""",
)
ROUND = Query("The round in which an item was handed out.", "SELECT round FROM work_tokens WHERE id = :id")
DROP_OLD_TOKENS = Query(
    "Forget hand-outs of an item that are long over.",
    "DELETE FROM work_tokens WHERE work_id = :work_id AND created_at < :before",
)

SEEN = Query(
    "When a worker last asked an environment for work.",
    "SELECT seen_at FROM work_pollers WHERE environment_id = :environment_id AND worker_id = :worker_id",
)
NOTE_POLLER = Insert(
    "Note that workers asked for work.",
    "work_pollers",
    {"environment_id": "text", "worker_id": "text", "seen_at": "bigint"},
    suffix="ON CONFLICT (environment_id, worker_id) DO UPDATE SET seen_at = excluded.seen_at",
)
DROP_OLD_POLLERS = Query(
    "Forget workers of an environment that ask no more.",
    "DELETE FROM work_pollers WHERE environment_id = :environment_id AND seen_at < :before",
)
COUNT_POLLERS = Query(
    "How many workers have asked lately.",
    "SELECT count(*) FROM work_pollers WHERE environment_id = :environment_id AND seen_at > :since",
)

OLD = Query(
    "Items that were stopped long ago.",
    "SELECT id FROM work WHERE state = 'stopped' AND lease_until < :before ORDER BY lease_until LIMIT :limit",
)
FORGET_TOKENS = Query("Forget the hand-outs of items.", "DELETE FROM work_tokens WHERE work_id = ANY(:ids)")
FORGET = Query("Forget items.", "DELETE FROM work WHERE id = ANY(:ids)")


class Body(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that SQL never looks at. ``stores`` are the memory stores of the session; ``round`` counts how often the
    item was queued anew; ``holder`` is the hand-out whose worker sent the first heartbeat of this round; ``rested_at`` is when
    its session last came to rest while somebody had it."""

    metadata: Metadata = {}
    stores: dict[str, Access] = {}
    round: int = 0
    holder: str | None = None
    ttl_seconds: int = 300
    acknowledged_at: int | None = None
    heartbeat_at: int | None = None
    rested_at: int | None = None
    stop_requested_at: int | None = None
    stopped_at: int | None = None


body_of = msgspec.json.Decoder(Body).decode
