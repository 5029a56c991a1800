"""Recording and reading runs. Nothing here changes a run (contract, deployment run object)."""

from collections.abc import Sequence
from typing import Any

from rota.base import ids
from rota.base.errors import NotFound
from rota.base.page import Position
from rota.base.who import Who
from rota.resources.deployment_runs import sql
from rota.resources.deployment_runs.wire import DeploymentRun, ListDeploymentRuns, RunError
from rota.store.tx import Found, Row, Tx, page


def new_row(
    tx: Tx,
    *,
    workspace_id: str,
    deployment_id: str,
    agent: tuple[str, int],
    scheduled_at: int | None,
    session_id: str | None = None,
    error: RunError | None = None,
) -> Row:
    """The row of one fire: with the session that it made, or why it made none."""
    return (
        ids.new(ids.DEPLOYMENT_RUN), workspace_id, deployment_id, tx.now, scheduled_at, session_id,
        error.type if error else None, error.message if error else None, *agent,
    )  # fmt: skip


def record(tx: Tx, rows: Sequence[Row]) -> list[DeploymentRun]:
    """Write the rows of ``new_row``; the records as they go out."""
    tx.insert(sql.INSERT, rows)
    return [sql.to_run((row[0], row[3], row[2], *row[4:])) for row in rows]


def get(tx: Tx, who: Who, run_id: str) -> DeploymentRun:
    """One run. NotFound."""
    row = tx.one(sql.GET, id=run_id, workspace_id=who.workspace_id)
    if row is None:
        raise NotFound(f"Deployment run `{run_id}` not found.")
    return sql.to_run(row)


def list_(tx: Tx, who: Who, position: Position | None, query: ListDeploymentRuns) -> Found:
    """A page of runs, newest first; an unknown deployment has none."""
    filters: dict[str, Any] = {
        "deployment_id": query.deployment_id,
        "manual": 1 if query.trigger_type == "manual" else None,
        "scheduled": 1 if query.trigger_type == "schedule" else None,
        "failed": 1 if query.has_error is True else None,
        "succeeded": 1 if query.has_error is False else None,
        **query.times(),
    }
    found = page(tx, sql.LIST, limit=query.limit, position=position, filters=filters, workspace_id=who.workspace_id)
    return found.map(sql.to_run)
