"""Where deployments rest."""

import msgspec
from msgspec import Raw, Struct

from rota.base.wire import Metadata, encode
from rota.resources.deployments.wire import Cron
from rota.resources.sessions.mounts import ResourceParam
from rota.resources.sessions.wire import Budget
from rota.store.sealed import SealedColumn
from rota.store.tx import Insert, Listing, Query, Update

_COLUMNS = """id, created_at, updated_at, archived_at, status, paused_error, agent_id, agent_version, environment_id,
       last_run_at, body, expression, timezone"""
_FROM = "FROM deployments LEFT JOIN schedules ON deployment_id = id"

INSERT = Insert(
    "Keep a new deployment.",
    "deployments",
    {
        "id": "text",
        "organization_id": "text",
        "workspace_id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "status": "text",
        "agent_id": "text",
        "agent_version": "bigint",
        "environment_id": "text",
        "scheduled": "bigint",
        "body": "text",
    },
)
GET = Query(
    "One deployment of a workspace.",
    f"SELECT {_COLUMNS} {_FROM} WHERE id = :id AND workspace_id = :workspace_id",
)
GET_MANY = Query(
    "Deployments that are to be fired.",
    """SELECT id, workspace_id, organization_id, archived_at, agent_id, agent_version, environment_id, body
       FROM deployments WHERE id = ANY(:ids)""",
)
LIST = Listing(
    "Deployments of a workspace, newest first.",
    f"SELECT {_COLUMNS} {_FROM} WHERE workspace_id = :workspace_id",
    filters={
        "live": "archived_at IS NULL AND :live = 1",
        "agent_id": "agent_id = :agent_id",
        "status": "status = :status",
        "created_at_gte": "created_at >= :created_at_gte",
        "created_at_lte": "created_at <= :created_at_lte",
    },
    weight="body",
)
UPDATE = Query(
    "Replace a deployment's changeable parts.",
    """UPDATE deployments SET updated_at = :updated_at, archived_at = :archived_at, status = :status,
       paused_error = :paused_error, agent_id = :agent_id, agent_version = :agent_version,
       environment_id = :environment_id, scheduled = :scheduled, body = :body WHERE id = :id""",
)
PINNED = Query(
    "The live deployments of an agent.",
    "SELECT id FROM deployments WHERE agent_id = :agent_id AND archived_at IS NULL",
)
COUNT_SCHEDULED = Query(
    "How many live deployments of an organization have a schedule, besides this one.",
    """SELECT count(*) FROM deployments
       WHERE organization_id = :organization_id AND scheduled = 1 AND archived_at IS NULL AND id <> :id""",
)
TOKENS = SealedColumn("deployment_tokens", "deployment_id", "position")
GET_SCHEDULE = Query(
    "When a deployment's schedule is due, and where it departs from the server's timing.",
    "SELECT fire_at, due_at, stalled_at, rules FROM schedules WHERE deployment_id = :id",
)
SET_RULES = Query(
    "Let a deployment depart from the server's timing.",
    """INSERT INTO schedules (deployment_id, accounted_at, skipping, rules) VALUES (:id, :now, 0, :rules)
       ON CONFLICT (deployment_id) DO UPDATE SET rules = excluded.rules""",
)
COUNT_LAPSES = Query(
    "How many occurrences of a deployment did not fire, by kind.",
    "SELECT kind, CAST(sum(count) AS BIGINT) FROM lapses WHERE deployment_id = :id GROUP BY kind",
)
LIST_FIRED = Query(
    "Occurrences of a deployment that have a run, newest first.",
    """SELECT scheduled_at, id FROM deployment_runs WHERE deployment_id = :id AND scheduled_at IS NOT NULL
       AND scheduled_at >= :since AND scheduled_at <= :until ORDER BY scheduled_at DESC LIMIT :limit""",
)
LIST_LAPSES = Query(
    "Stretches of a deployment's schedule that did not fire, newest first.",
    """SELECT first_at, last_at, kind, reason, expression, timezone FROM lapses
       WHERE deployment_id = :id AND last_at >= :since AND first_at <= :until AND kind = ANY(:kinds)
       ORDER BY last_at DESC LIMIT :limit""",
)
LAST_SCHEDULED = Query(
    "The last occurrence that has a run, if it lies ahead because the clock was set back.",
    """SELECT max(scheduled_at) FROM deployment_runs
       WHERE deployment_id = :id AND scheduled_at IS NOT NULL AND scheduled_at > :now""",
)
BEGIN_SCHEDULE = Query(
    "Let a schedule be due from now on; what happened under it before stays known.",
    """INSERT INTO schedules
       (deployment_id, expression, timezone, fire_at, due_at, accounted_at, rewound_at, skipping)
       VALUES (:id, :expression, :timezone, :fire_at, :due_at, :now, :rewound_at, 0)
       ON CONFLICT (deployment_id) DO UPDATE SET expression = excluded.expression, timezone = excluded.timezone,
       fire_at = excluded.fire_at, due_at = excluded.due_at, accounted_at = excluded.accounted_at,
       rewound_at = excluded.rewound_at, stalled_at = NULL, skipping = 0""",
)
SET_SCHEDULE = Query(
    "Give a deployment a schedule that is not kept yet, or take it away.",
    """INSERT INTO schedules (deployment_id, expression, timezone, accounted_at, skipping)
       VALUES (:id, :expression, :timezone, :now, 0)
       ON CONFLICT (deployment_id) DO UPDATE SET expression = excluded.expression, timezone = excluded.timezone""",
)
HOLD_SCHEDULES = Query(
    "Change nothing, but let no fire come between: whoever fires these waits for us, or we for them.",
    "UPDATE schedules SET skipping = skipping WHERE deployment_id = ANY(:ids) AND fire_at IS NOT NULL",
)
OVERDUE = Query(
    "Which of these have an occurrence due that has not been dealt with.",
    """SELECT deployment_id, due_at, rewound_at, expression, timezone FROM schedules
       WHERE deployment_id = ANY(:ids) AND due_at <= :now""",
)
STOP_SCHEDULES = Query(
    "Let nothing be due any more.",
    """UPDATE schedules SET fire_at = NULL, due_at = NULL, accounted_at = :now, stalled_at = NULL, skipping = 0
       WHERE deployment_id = ANY(:ids) AND fire_at IS NOT NULL""",
)
_DUE = """SELECT deployment_id, organization_id, workspace_id, agent_id, agent_version, archived_at, due_at, accounted_at,
          skipping, rewound_at, rules, expression, timezone FROM schedules JOIN deployments ON id = deployment_id"""
CLAIM = Query(
    "The deployments that are due longest, those aside that somebody else is dealing with.",
    f"{_DUE} WHERE fire_at <= :now ORDER BY fire_at, deployment_id LIMIT :limit FOR UPDATE OF schedules SKIP LOCKED",
)
CLAIM_THESE = Query(
    "Those of some deployments that are due.",
    f"{_DUE} WHERE deployment_id = ANY(:ids) AND fire_at <= :now FOR UPDATE OF schedules SKIP LOCKED",
)
FIRST_DUE = Query(
    "The deployment that is due next, and when.",
    "SELECT fire_at, deployment_id FROM schedules WHERE fire_at IS NOT NULL ORDER BY fire_at, deployment_id LIMIT 1",
)
DUE_IDS = Query(
    "The deployments that are due longest.",
    "SELECT deployment_id FROM schedules WHERE fire_at <= :now ORDER BY fire_at, deployment_id LIMIT :limit",
)
WITH_SESSION_RUNNING = Query(
    "Which of these have a session that is running.",
    """SELECT DISTINCT deployment_id FROM sessions
       WHERE deployment_id = ANY(:ids) AND status IN ('running', 'rescheduling')""",
)
FIRED = Query(
    "Occurrences of some deployments that have a run, from one instant to another.",
    """SELECT deployment_id, scheduled_at FROM deployment_runs
       WHERE deployment_id = ANY(:ids) AND scheduled_at IS NOT NULL AND scheduled_at >= :since AND scheduled_at <= :until""",
)
PASS_OVER = Query(
    "Let a schedule see that it is due at occurrences that have a run.",
    """UPDATE schedules SET rewound_at =
       (SELECT max(scheduled_at) FROM deployment_runs WHERE deployment_runs.deployment_id = :id AND scheduled_at IS NOT NULL)
       WHERE deployment_id = :id""",
)
_MOVED = {
    "deployment_id": "text", "was_due_at": "bigint", "fire_at": "bigint", "due_at": "bigint", "accounted_at": "bigint",
    "last_run_at": "bigint", "skipping": "bigint",
}  # fmt: skip
ADVANCE = Update(
    "Move schedules on, each only if what was due is still due.",
    """UPDATE schedules SET fire_at = v.fire_at, due_at = v.due_at, accounted_at = v.accounted_at,
       last_run_at = coalesce(v.last_run_at, schedules.last_run_at), skipping = v.skipping, stalled_at = NULL
       WHERE schedules.deployment_id = v.deployment_id AND schedules.due_at = v.was_due_at""",
    _MOVED,
)
STALL = Query(
    "Leave a deployment alone for a while.",
    """UPDATE schedules SET fire_at = :fire_at, stalled_at = :now
       WHERE deployment_id = ANY(:ids) AND fire_at <= :now""",
)
PAUSE_FAILED = Query(
    "Pause deployments whose scheduled fire failed; ``updated_at`` is not for fires to move.",
    """UPDATE deployments SET status = 'paused', paused_error = :error
       WHERE id = ANY(:ids) AND status = 'active' AND archived_at IS NULL""",
)
ARCHIVE_MANY = Query(
    "Archive deployments.",
    """UPDATE deployments SET archived_at = :now, updated_at = :now, status = 'active', paused_error = NULL
       WHERE id = ANY(:ids) AND archived_at IS NULL""",
)
KEEP_LAPSES = Insert(
    "Keep account of occurrences that did not fire.",
    "lapses",
    {
        "deployment_id": "text",
        "last_at": "bigint",
        "first_at": "bigint",
        "count": "bigint",
        "kind": "text",
        "reason": "text",
        "created_at": "bigint",
        "expression": "text",
        "timezone": "text",
    },
)
EXTEND_LAPSES = Update(
    "Add one more occurrence to stretches that go on.",
    """UPDATE lapses SET last_at = v.last_at, count = lapses.count + 1
       WHERE lapses.deployment_id = v.deployment_id AND lapses.last_at = v.was_last_at""",
    {"deployment_id": "text", "was_last_at": "bigint", "last_at": "bigint"},
)
_REVIEWED = """SELECT deployment_id, status, fire_at, due_at, accounted_at, stalled_at, expression, timezone
               FROM schedules JOIN deployments ON id = deployment_id
               WHERE expression IS NOT NULL AND archived_at IS NULL"""
REVIEW = Query(
    "The dates of live scheduled deployments, in the order of their ids.",
    f"{_REVIEWED} AND deployment_id > :after ORDER BY deployment_id LIMIT :limit",
)
REVIEW_THESE = Query("The dates of some live scheduled deployments.", f"{_REVIEWED} AND deployment_id = ANY(:ids)")
ASTRAY = Query(
    "A schedule that was dealt with up to an instant ahead of the clock.",
    "SELECT deployment_id FROM schedules WHERE accounted_at > :ahead AND fire_at IS NOT NULL LIMIT 1",
)
REDATE = Query(
    "Date a schedule anew.", "UPDATE schedules SET fire_at = :fire_at, due_at = :due_at WHERE deployment_id = :id"
)
LAPSES_AHEAD = Query(
    "Lapses that end ahead of the clock.",
    "SELECT first_at, last_at, expression, timezone FROM lapses WHERE deployment_id = :id AND last_at > :now",
)
DROP_LAPSE = Query("Take back a lapse.", "DELETE FROM lapses WHERE deployment_id = :id AND last_at = :last_at")
SHORTEN_LAPSE = Query(
    "Take back the end of a lapse.",
    "UPDATE lapses SET last_at = :new_last_at, count = :count WHERE deployment_id = :id AND last_at = :last_at",
)
GET_BASIS = Query("By what all dates were worked out.", "SELECT value FROM installation WHERE key = :key")
SET_BASIS = Query(
    "Remember by what all dates were worked out.",
    """INSERT INTO installation (key, value) VALUES (:key, :value)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value""",
)
KEEP_TOKENS = Insert(
    "Keep sealed repository tokens.",
    "deployment_tokens",
    {"deployment_id": "text", "position": "bigint", "sealed": "bytea"},
)
DROP_TOKENS = Query(
    "Forget a deployment's tokens.", "DELETE FROM deployment_tokens WHERE deployment_id = :deployment_id"
)
GET_TOKENS = Query(
    "Sealed tokens of deployments that are to be fired.",
    "SELECT deployment_id, position, sealed FROM deployment_tokens WHERE deployment_id = ANY(:ids)",
)


class Body(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that SQL never looks at. First events stay JSON: they are echoed and fired as they were sent."""

    name: str
    initial_events: list[Raw]
    description: str | None = None
    resources: list[ResourceParam] = []
    vault_ids: list[str] = []
    metadata: Metadata = {}
    budget: Budget | None = None


class FireBody(Struct, frozen=True, kw_only=True):
    """What a fire needs of it."""

    name: str
    initial_events: list[Raw]
    resources: list[ResourceParam] = []
    vault_ids: list[str] = []
    budget: Budget | None = None


body_of = msgspec.json.Decoder(Body).decode
fire_body_of = msgspec.json.Decoder(FireBody).decode


def schedule_of(expression: str | None, timezone: str | None) -> Cron | None:
    """A schedule from its columns."""
    return (
        None if expression is None or timezone is None else Cron(type="cron", expression=expression, timezone=timezone)
    )


def to_text(body: Body) -> str:
    """The ``body`` column."""
    return encode(body).decode()
