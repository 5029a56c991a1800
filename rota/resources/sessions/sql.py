"""Where sessions, threads and events rest."""

import msgspec
from msgspec import Raw, Struct

from rota.base.clock import to_datetime
from rota.base.wire import Metadata, encode
from rota.resources.agents.sql import VersionBody
from rota.resources.environments.wire import Limited, Unrestricted
from rota.resources.sessions.mounts import SessionResource
from rota.resources.sessions.wire import Budget, OutcomeEvaluation, Usage
from rota.resources.skills.actions import Pinned
from rota.store.sealed import SealedColumn
from rota.store.tx import Insert, Listing, Query, Row, Update

WAITING = 1 << 52
"""Positions from here on are those of events that wait; an event takes its place in the log when it is consumed."""

_COLUMNS = """id, created_at, updated_at, archived_at, status, agent_id, agent_version, environment_id, deployment_id,
       self_hosted, body"""

INSERT = Insert(
    "Keep new sessions.",
    "sessions",
    {
        "id": "text",
        "workspace_id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "status": "text",
        "agent_id": "text",
        "agent_version": "bigint",
        "environment_id": "text",
        "self_hosted": "bigint",
        "deployment_id": "text",
        "wants_turn_at": "bigint",
        "run_epoch": "bigint",
        "body": "text",
    },
)
INSERT_THREADS = Insert(
    "Keep new threads.",
    "session_threads",
    {
        "session_id": "text",
        "id": "text",
        "parent_thread_id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "status": "text",
        "body": "text",
    },
)
APPEND = Insert(
    "Append events to their sessions' logs.",
    "session_events",
    {
        "session_id": "text",
        "position": "bigint",
        "id": "text",
        "thread_id": "text",
        "type": "text",
        "processed_at": "bigint",
        "body": "text",
    },
)
TOKENS = SealedColumn("session_tokens", "session_id", "resource_id")
KEEP_TOKENS = Insert(
    "Keep sealed repository tokens; a new one takes the place of the old.",
    "session_tokens",
    {"session_id": "text", "resource_id": "text", "sealed": "bytea"},
    suffix="ON CONFLICT (session_id, resource_id) DO UPDATE SET sealed = excluded.sealed",
)
ATTACH_STORES = Insert(
    "Note which memory stores sessions have.",
    "session_memory_stores",
    {"memory_store_id": "text", "session_id": "text"},
)
GET = Query(
    "One session of a workspace.", f"SELECT {_COLUMNS} FROM sessions WHERE id = :id AND workspace_id = :workspace_id"
)
LIST = Listing(
    "Sessions of a workspace by age.",
    f"SELECT {_COLUMNS} FROM sessions WHERE workspace_id = :workspace_id",
    filters={
        "live": "archived_at IS NULL AND status <> 'terminated' AND :live = 1",
        "agent_id": "agent_id = :agent_id",
        "agent_version": "agent_version = :agent_version",
        "deployment_id": "deployment_id = :deployment_id",
        "memory_store_id": "id IN (SELECT session_id FROM session_memory_stores WHERE memory_store_id = :memory_store_id)",
        "statuses": "status = ANY(:statuses)",
        "created_at_gt": "created_at > :created_at_gt",
        "created_at_gte": "created_at >= :created_at_gte",
        "created_at_lt": "created_at < :created_at_lt",
        "created_at_lte": "created_at <= :created_at_lte",
    },
    weight="body",
)
UPDATE = Query(
    "Replace a session's changeable parts.",
    """UPDATE sessions SET updated_at = :updated_at, archived_at = :archived_at, status = :status, body = :body
       WHERE id = :id""",
)
WANT_TURN = Query(
    "Mark a session for the turn engine, and show it running.",
    "UPDATE sessions SET status = :status, wants_turn_at = :now, updated_at = :now WHERE id = :id",
)
WANTING = Query(
    "Sessions that want a turn and that nobody is turning, the longest waiting first.",
    """SELECT id FROM sessions
       WHERE wants_turn_at <= :now AND (held_until IS NULL OR held_until <= :now) AND NOT id = ANY(:held)
       ORDER BY wants_turn_at LIMIT :limit FOR UPDATE SKIP LOCKED""",
)
HOLD = Query(
    "Take sessions up: whoever held them before is fenced off.",
    """UPDATE sessions SET run_epoch = run_epoch + 1, held_until = :until
       WHERE id = ANY(:ids) RETURNING id, run_epoch""",
)
RENEW = Update(
    "Keep hold of the sessions that are still one's own.",
    """UPDATE sessions SET held_until = v.until WHERE sessions.id = v.id AND sessions.run_epoch = v.epoch""",
    {"until": "bigint", "id": "text", "epoch": "bigint"},
)
EPOCHS = Query("Whose turn it is in each of these sessions.", "SELECT id, run_epoch FROM sessions WHERE id = ANY(:ids)")
INTERRUPTED = Query(
    "Those of the sessions in which an interrupt waits.",
    f"""SELECT DISTINCT session_id FROM session_events
        WHERE session_id = ANY(:ids) AND position >= {WAITING} AND type = 'user.interrupt'""",
)
NEXT_WANTING = Query(
    "When the next session wants a turn, or wanted it, that nobody is turning.",
    """SELECT wants_turn_at FROM sessions
       WHERE wants_turn_at IS NOT NULL AND (held_until IS NULL OR held_until <= :now) AND NOT id = ANY(:held)
       ORDER BY wants_turn_at LIMIT 1""",
)
LAPSE = Query("End every hold.", "UPDATE sessions SET held_until = NULL WHERE held_until IS NOT NULL")
GET_TURN = Query(
    "A session as the turn engine takes it up.",
    """SELECT sessions.id, sessions.workspace_id, workspaces.organization_id, sessions.run_epoch, sessions.agent_id,
              sessions.agent_version, sessions.environment_id, sessions.self_hosted, sessions.body, session_threads.id
       FROM sessions JOIN workspaces ON workspaces.id = sessions.workspace_id
            JOIN session_threads ON session_threads.session_id = sessions.id
       WHERE sessions.id = :id AND session_threads.parent_thread_id IS NULL""",
)
GET_FENCE = Query(
    "What an append must know of a session.",
    "SELECT run_epoch, archived_at, status, body FROM sessions WHERE id = :id",
)
KEEP_TURN = Query(
    "Show what a turn has come to so far.",
    "UPDATE sessions SET status = :status, updated_at = :now, body = :body WHERE id = :id",
)
LET_GO = Query(
    "A turn ends; whether and when another is wanted.",
    "UPDATE sessions SET held_until = NULL, wants_turn_at = :wants_turn_at WHERE id = :id AND run_epoch = :epoch",
)
HAND_BACK = Query(
    "A turn is given up, for anybody to go on with at once.",
    "UPDATE sessions SET held_until = NULL WHERE id = :id AND run_epoch = :epoch",
)
KEEP_THREAD = Query(
    "Show what a primary thread has come to so far.",
    """UPDATE session_threads SET status = :status, updated_at = :now, body = :body
       WHERE session_id = :session_id AND parent_thread_id IS NULL""",
)
ARCHIVE_THREAD = Query(
    "Close a thread for good.",
    """UPDATE session_threads SET status = 'terminated', archived_at = :now, updated_at = :now, body = :body
       WHERE session_id = :session_id AND id = :id""",
)
DELETE = Query("Remove a session.", "DELETE FROM sessions WHERE id = :id")
DELETE_THREADS = Query("Remove a session's threads.", "DELETE FROM session_threads WHERE session_id = :id")
DELETE_EVENTS = Query("Remove a session's log.", "DELETE FROM session_events WHERE session_id = :id")
DELETE_TOKENS = Query("Remove a session's sealed tokens.", "DELETE FROM session_tokens WHERE session_id = :id")
DELETE_STORES = Query(
    "Remove a session's store attachments.", "DELETE FROM session_memory_stores WHERE session_id = :id"
)
COUNT_SELF_HOSTED = Query(
    "Live sessions of a self-hosted environment.",
    """SELECT count(*) FROM sessions
       WHERE environment_id = :environment_id AND self_hosted = 1 AND archived_at IS NULL""",
)

_THREAD_COLUMNS = "id, created_at, updated_at, archived_at, parent_thread_id, status, body"
LIST_THREADS = Listing(
    "Threads of a session in order of creation.",
    f"SELECT {_THREAD_COLUMNS} FROM session_threads WHERE session_id = :session_id",
    filters={"statuses": "status = ANY(:statuses)"},
)
GET_THREAD = Query(
    "One thread of a session.",
    f"SELECT {_THREAD_COLUMNS} FROM session_threads WHERE session_id = :session_id AND id = :id",
)
SET_THREAD_STATUS = Query(
    "Show a session's primary thread in a new status.",
    """UPDATE session_threads SET status = :status, updated_at = :now
       WHERE session_id = :session_id AND parent_thread_id IS NULL""",
)

_EVENT_COLUMNS = "id, position, type, processed_at, body"
_TIMES = {
    "created_at_gt": "processed_at > :created_at_gt",
    "created_at_gte": "processed_at >= :created_at_gte",
    "created_at_lt": "processed_at < :created_at_lt",
    "created_at_lte": "processed_at <= :created_at_lte",
}
LIST_EVENTS = Listing(
    "A session's log as its primary view.",
    f"SELECT {_EVENT_COLUMNS} FROM session_events WHERE session_id = :session_id AND thread_id IS NULL",
    filters={"types": "type = ANY(:types)", **_TIMES},
    key=("position", "id"),
    weight="body",
)
ABOUT_THE_SESSION = (
    "session.status_running", "session.status_idle", "session.status_rescheduled", "session.status_terminated",
    "session.usage", "session.updated",
)  # fmt: skip
"""Types of events that concern the session as a whole, and no thread."""
LIST_PRIMARY_EVENTS = Listing(
    "The primary thread's own log: the session's view without what concerns the session as a whole.",
    f"""SELECT {_EVENT_COLUMNS} FROM session_events WHERE session_id = :session_id AND thread_id IS NULL
        AND type NOT IN ({", ".join(f"'{kind}'" for kind in ABOUT_THE_SESSION)})""",
    key=("position", "id"),
    weight="body",
)
LIST_THREAD_EVENTS = Listing(
    "A child thread's log.",
    f"SELECT {_EVENT_COLUMNS} FROM session_events WHERE session_id = :session_id AND thread_id = :thread_id",
    key=("position", "id"),
    weight="body",
)
LAST_EVENT = Query(
    "Where a session's log ends, what waits aside.",
    f"""SELECT position, processed_at FROM session_events WHERE session_id = :session_id AND position < {WAITING}
        ORDER BY position DESC LIMIT 1""",
)
LAST_WAITING = Query(
    "Where what waits ends.",
    f"SELECT coalesce(max(position), {WAITING}) FROM session_events WHERE session_id = :session_id AND position >= {WAITING}",
)
RECENT = Query(
    "What stands behind a position of a session's log, what waits included.",
    """SELECT position, id, thread_id, type, processed_at, body, notes FROM session_events
       WHERE session_id = :session_id AND position > :after ORDER BY position""",
)
SINCE_REQUEST = Query(
    "The tool calls since the last model request of the primary thread began, and what was said about them.",
    """SELECT id, type, body, processed_at FROM session_events
       WHERE session_id = :session_id AND thread_id IS NULL
       AND type IN ('agent.tool_use', 'agent.mcp_tool_use', 'agent.custom_tool_use', 'agent.tool_result',
                    'agent.mcp_tool_result', 'user.tool_confirmation', 'user.tool_result', 'user.custom_tool_result')
       AND position > coalesce((SELECT position FROM session_events WHERE session_id = :session_id
                                AND type = 'span.model_request_start' AND thread_id IS NULL
                                ORDER BY position DESC LIMIT 1), 0)
       ORDER BY position""",
)
LOG_ENDS = Query(
    "Where the logs of many sessions end, what waits aside; sessions that have ended are left out.",
    f"""SELECT id, coalesce((SELECT max(position) FROM session_events
                         WHERE session_id = sessions.id AND position < {WAITING}), 0)
       FROM sessions WHERE id = ANY(:ids) AND status <> 'terminated'""",
)
TAIL = Query(
    "What was processed in a session behind a position, of all of its threads.",
    f"""SELECT {_EVENT_COLUMNS}, thread_id FROM session_events
       WHERE session_id = :session_id AND position > :after AND position < {WAITING}
       ORDER BY position LIMIT :limit""",
    weight="body",
)
STATE = Query(
    "Whether a session goes on.", "SELECT status, coalesce(archived_at, updated_at) FROM sessions WHERE id = :id"
)
IS_TERMINATED = Query(
    "Whether a session's log tells of its end.",
    """SELECT 1 FROM session_events
       WHERE session_id = :session_id AND thread_id IS NULL AND type = 'session.status_terminated'""",
)
FIND_CALLS = Query(
    "Events that an answer may refer to.",
    "SELECT id, type, body, thread_id FROM session_events WHERE session_id = :session_id AND id = ANY(:ids)",
)
APPEND_NOTED = Insert(
    "Append events to a session's log, with what the turn engine must remember of them.",
    "session_events",
    {**APPEND.columns, "notes": "text"},
)
TAKE_UP = Update(
    "Give events that waited their places in the log.",
    """UPDATE session_events SET position = v.position, processed_at = v.processed_at
       WHERE session_events.session_id = v.session_id AND session_events.position = v.waited_at""",
    {"position": "bigint", "processed_at": "bigint", "session_id": "text", "waited_at": "bigint"},
)
NOTE = Update(
    "Write down what the turn engine must remember of events.",
    """UPDATE session_events SET notes = v.notes
       WHERE session_events.session_id = v.session_id AND session_events.position = v.position""",
    {"notes": "text", "session_id": "text", "position": "bigint"},
)
WAITING_ANSWERS = Query(
    "Answers that came before their turn.",
    f"""SELECT type, body FROM session_events WHERE session_id = :session_id AND position >= {WAITING}
        AND type IN ('user.tool_confirmation', 'user.custom_tool_result', 'user.tool_result')""",
)
ANY_WAITING = Query(
    "Whether anything that a client sent waits for the engine.",
    f"SELECT id FROM session_events WHERE session_id = :session_id AND position >= {WAITING} LIMIT 1",
)
OUTCOMES = Query(
    "Outcomes that were defined and not yet judged for good.",
    """SELECT id FROM session_events WHERE session_id = :session_id AND type = 'user.define_outcome'
       AND NOT EXISTS (SELECT 1 FROM session_events AS verdict WHERE verdict.session_id = :session_id
                       AND verdict.type = 'span.outcome_evaluation_end' AND verdict.position > session_events.position
                       AND verdict.body NOT LIKE '%needs_revision%')""",
)


class Body(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that SQL never looks at. ``agent`` only when the snapshot differs from the agent's version.

    ``networking`` and ``skills`` are what they were when the session was made, whatever becomes of the environment and of the
    skills' latest versions; only sessions whose tools run on the server have them. ``active_seconds`` are those until it last
    began to run, at ``running_since`` if it still does; ``ended_at`` is when it ended by itself.
    """

    title: str | None = None
    metadata: Metadata = {}
    resources: list[SessionResource] = []
    vault_ids: list[str] = []
    budget: Budget | None = None
    agent: VersionBody | None = None
    usage: Usage = Usage()
    active_seconds: float = 0.0
    running_since: int | None = None
    ended_at: int | None = None
    outcome_evaluations: list[OutcomeEvaluation] = []
    networking: Unrestricted | Limited | None = None
    skills: list[Pinned] = []


class ThreadBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a thread has consumed; nothing until it has run."""

    usage: Usage | None = None
    active_seconds: float | None = None
    ended_at: int | None = None


body_of = msgspec.json.Decoder(Body).decode
thread_body_of = msgspec.json.Decoder(ThreadBody).decode


def to_event(row: Row) -> Raw:
    """An event as it goes out, spliced from its stored JSON: events can be large, and nothing in them needs a look."""
    event_id, _, kind, processed_at, body = row
    moment = "null" if processed_at is None else encode(to_datetime(processed_at)).decode()
    rest = body[1:] if body == "{}" else "," + body[1:]
    return Raw(f'{{"id":"{event_id}","type":"{kind}","processed_at":{moment}{rest}'.encode())
