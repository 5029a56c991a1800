"""A session's row, read and written: what actions on sessions, their log and their threads have in common."""

from msgspec import Struct

from rota.base.clock import SECOND
from rota.base.errors import InvalidRequest, NotFound
from rota.base.who import Who
from rota.base.wire import encode
from rota.resources.sessions import sql
from rota.resources.sessions.reasons import AgentRef
from rota.resources.sessions.wire import Status
from rota.store.tx import Row, Tx


class Stored(Struct, frozen=True, kw_only=True):
    """A session's row, decoded."""

    id: str
    created_at: int
    updated_at: int
    archived_at: int | None
    status: Status
    agent_ref: AgentRef
    environment_id: str
    deployment_id: str | None
    self_hosted: bool
    body: sql.Body


def find(tx: Tx, who: Who, session_id: str) -> Stored:
    """The session's row. NotFound, also of what a worker's credential does not open. The older prefix ``session_`` is
    understood."""
    if session_id.startswith("session_"):
        session_id = "sesn_" + session_id.removeprefix("session_")
    row = tx.one(sql.GET, id=session_id, workspace_id=who.workspace_id)
    if row is None or not _opens(who, row):
        raise NotFound(f"Session `{session_id}` not found.")
    return stored(row)


def _opens(who: Who, row: Row) -> bool:
    """An environment's key opens that environment's sessions, a sessions token its own."""
    return who.environment_id in (None, row[7]) and who.session_id in (None, row[0])


def find_live(tx: Tx, who: Who, session_id: str) -> Stored:
    """The same, of a session that may still be changed. NotFound, or InvalidRequest for one that has ended."""
    session = find(tx, who, session_id)
    if session.archived_at is not None or session.status == "terminated":
        raise InvalidRequest(f"Cannot modify archived session: {session.id}")
    return session


def stored(row: Row) -> Stored:
    """A row of ``sql.GET`` or ``sql.LIST``, decoded."""
    return Stored(
        id=row[0],
        created_at=row[1],
        updated_at=row[2],
        archived_at=row[3],
        status=row[4],
        agent_ref=(row[5], row[6]),
        environment_id=row[7],
        deployment_id=row[8],
        self_hosted=bool(row[9]),
        body=sql.body_of(row[10]),
    )


def ended_at(session: Stored) -> int | None:
    """When the session came to its end, by itself or by being archived; from then on it does not age."""
    return session.body.ended_at or session.archived_at


def running_seconds(tx: Tx, session: Stored) -> float:
    """For how long it has been running now, which its body counts when it stops."""
    since = session.body.running_since
    return 0.0 if since is None else max(0, tx.now - since) / SECOND


def save(tx: Tx, session: Stored) -> None:
    """Write back what may change."""
    tx.run(
        sql.UPDATE,
        id=session.id,
        updated_at=session.updated_at,
        archived_at=session.archived_at,
        status=session.status,
        body=encode(session.body).decode(),
    )
