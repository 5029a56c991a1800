"""The ground that a history stands on: an organization of its own in a house that many histories share, and looks behind
the API, into the tables.

A fresh organization is a cheap reset: nothing of one history can be seen from another.
"""

from typing import Any

from rota.resources.sessions.sql import WAITING
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.store.tx import Query, Tx
from tests.api import Api
from tests.model.things import Workspace

FINISH_SESSION = Query(
    "End a session's turn.", "UPDATE sessions SET status = 'idle', wants_turn_at = NULL WHERE id = :id"
)
FINISH_THREAD = Query("End its thread's turn.", "UPDATE session_threads SET status = 'idle' WHERE session_id = :id")
BOTH_OR_NEITHER = Query(
    "Runs that do not have exactly one of a session and an error.",
    """SELECT id FROM deployment_runs
       WHERE workspace_id = ANY(:workspaces) AND (session_id IS NULL) = (error_type IS NULL)""",
)
RUN_SESSIONS = Query(
    "The sessions that runs made, and whether they are there.",
    """SELECT r.session_id, s.id, s.deployment_id, r.deployment_id FROM deployment_runs r
       LEFT JOIN sessions s ON s.id = r.session_id
       WHERE r.workspace_id = ANY(:workspaces) AND r.session_id IS NOT NULL""",
)
FIRED_SESSIONS = Query(
    "Sessions of deployments.",
    "SELECT id FROM sessions WHERE workspace_id = ANY(:workspaces) AND deployment_id IS NOT NULL",
)
THREADS = Query(
    "Threads of sessions: how many, how many primary ones, events, and the last place in the log and behind it together.",
    f"""SELECT s.id, (SELECT count(*) FROM session_threads t WHERE t.session_id = s.id),
              (SELECT count(*) FROM session_threads t WHERE t.session_id = s.id AND t.parent_thread_id IS NULL),
              (SELECT count(*) FROM session_events e WHERE e.session_id = s.id),
              (SELECT coalesce(max(e.position), 0) FROM session_events e
               WHERE e.session_id = s.id AND e.position < {WAITING})
              + (SELECT coalesce(max(e.position) - {WAITING}, 0) FROM session_events e
                 WHERE e.session_id = s.id AND e.position >= {WAITING}),
              (SELECT count(*) FROM session_tokens k WHERE k.session_id = s.id)
       FROM sessions s WHERE s.workspace_id = ANY(:workspaces)""",
)
LEFT_BEHIND = Query(
    "What is still there of sessions that are gone.",
    """SELECT session_id FROM session_threads WHERE session_id = ANY(:gone)
       UNION ALL SELECT session_id FROM session_events WHERE session_id = ANY(:gone)
       UNION ALL SELECT session_id FROM session_tokens WHERE session_id = ANY(:gone)""",
)
DEPLOYMENT_TOKENS = Query(
    "Where deployments keep tokens.",
    """SELECT k.deployment_id, k.position FROM deployment_tokens k JOIN deployments d ON d.id = k.deployment_id
       WHERE d.workspace_id = ANY(:workspaces)""",
)


class Ground:
    """One organization, made now."""

    def __init__(self, api: Api) -> None:
        self.api = api
        made = api.write(workspaces.make, "model")
        self.organization_id = made.id
        self._admin = api.write(keys.create, made.id).key

    def open_workspace(self) -> Workspace:
        """One more workspace, with a key."""
        path = "/v1/organizations/workspaces"
        workspace_id = self.api.post(path, {"name": "room"}, key=self._admin).ok()["id"]

        def create_key(tx: Tx) -> str:
            return keys.create(tx, self.organization_id, workspace_id=workspace_id).key

        return Workspace(workspace_id, self.api.write(create_key))

    def archive_workspace(self, workspace: Workspace) -> None:
        """By the admin's key; a workspace's own opens no such door."""
        shown = self.api.post(f"/v1/organizations/workspaces/{workspace.id}/archive", key=self._admin).ok()
        assert shown["archived_at"] is not None

    def disable(self, disabled: bool) -> None:
        """What only the operator can do, beside the API."""
        self.api.write(workspaces.set_disabled, self.organization_id, disabled)

    def finish_turn(self, session_id: str) -> None:
        """Stand in for the turn engine: the session's turn is over."""

        def finish(tx: Tx) -> None:
            tx.run(FINISH_SESSION, id=session_id)
            tx.run(FINISH_THREAD, id=session_id)

        self.api.write(finish)

    def all(self, query: Query, **parameters: Any) -> list[Any]:
        """The rows of a query."""
        return self.api.read(lambda tx: tx.all(query, **parameters))
