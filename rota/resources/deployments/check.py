"""What a run of a deployment would come to now, and why an earlier one came to what it did.

Both are reads: a dry run loads and decides exactly as a fire does, by the same functions, and writes nothing; it does not use up
one of the minute's sessions either. Promises: everything that is broken is told, not only what a run would record. A dry
run cannot foresee what nobody foresaw (``unknown_error``), except where reading itself fails.
"""

from typing import Literal

import msgspec

from rota.base import cron
from rota.base.clock import to_datetime
from rota.base.errors import NotFound, Unusable
from rota.base.policy import Policy
from rota.base.who import Who
from rota.resources.deployment_runs import actions as deployment_runs
from rota.resources.deployment_runs.wire import RunError
from rota.resources.deployments import actions, failures, run, sql
from rota.resources.deployments.wire import Checked, DeploymentCheck, RunExplanation
from rota.resources.sessions import actions as sessions
from rota.resources.sessions import drafts
from rota.resources.sessions.mounts import RepositoryParam
from rota.resources.sessions.survey import survey
from rota.store.tx import Tx

_UNPAUSE = "Unpause it, and the schedule goes on at its next occurrence."


def check(tx: Tx, who: Who, deployment_id: str, policy: Policy) -> DeploymentCheck:
    """A dry run of the deployment. NotFound."""
    deployment = actions.find(tx, who, deployment_id)
    [row] = tx.all(sql.GET_MANY, ids=[deployment_id])
    wish, sealed_shut = _open(tx, run.wish_of(row), policy)
    found = drafts.load(tx, [wish], policy, dry=True)
    [decided] = drafts.decide_all([wish], found, policy, tx.now)
    error = None if isinstance(decided, drafts.Draft) else failures.to_run_error(decided)
    if sealed_shut:  # a fire opens the tokens before it decides
        error = failures.UNKNOWN
    checks = [*_own(tx, deployment), *sealed_shut]
    for sight in survey(wish, found, policy):
        kind = None if sight.refusal is None else failures.type_of(sight.refusal)
        checks.append(
            Checked(
                what=sight.what,
                id=sight.id,
                found=sight.found,
                verdict="ok" if kind is None else "broken",
                error=kind,
                recorded=sight.refusal is not None and failures.to_run_error(sight.refusal) == error,
                mend=None if kind is None else failures.failure(kind).mend,
            )
        )
    return _result(tx, deployment.id, error, checks, archived=deployment.archived_at is not None)


def unforeseen(tx: Tx, who: Who, deployment_id: str, _policy: Policy) -> DeploymentCheck:
    """The dry run of a deployment that cannot even be read: a fire would not get further. NotFound."""
    row = next(iter(tx.all(sql.GET_MANY, ids=[deployment_id])), None)
    if row is None or row[1] != who.workspace_id:
        raise NotFound(f"Deployment `{deployment_id}` not found.")
    broken = _unknown("deployment", deployment_id, "cannot be read; the server's log has the details")
    return _result(tx, deployment_id, failures.UNKNOWN, [broken], archived=row[3] is not None)


def explain(tx: Tx, who: Who, run_id: str, policy: Policy, *, readable: bool = True) -> RunExplanation:
    """Why a run came to what it did, and whether the next one would too. NotFound. ``readable`` says whether its deployment is."""
    record = deployment_runs.get(tx, who, run_id)
    now = (
        check(tx, who, record.deployment_id, policy) if readable else unforeseen(tx, who, record.deployment_id, policy)
    )
    if record.error is None:
        assert record.session_id is not None
        status = sessions.status_of(tx, who, record.session_id)
        meaning = f"It made the session {record.session_id}, which " + (
            "was deleted since." if status is None else f"is {status} now."
        )
        still, row = None, None
    else:
        row = failures.failure(record.error.type)
        meaning = row.meaning
        still = [each for each in now.checks if each.error == record.error.type]
    return RunExplanation(
        deployment_run_id=record.id,
        deployment_id=record.deployment_id,
        created_at=record.created_at,
        session_id=record.session_id,
        error=record.error,
        meaning=meaning,
        pauses_schedule=row is not None and row.pauses,
        still_broken=None if still is None else bool(still),
        mend=row.mend if row is not None and still else None,
        now=now.says,
        checks=still or [],
    )


def _open(tx: Tx, wish: drafts.Wish, policy: Policy) -> tuple[drafts.Wish, list[Checked]]:
    """The wish with the tokens of its repositories, and those that no key opens."""
    assert wish.deployment_id is not None
    if "github_repository" not in wish.resources.kinds:
        return wish, []
    tokens: dict[int, str] = {}
    shut: list[Checked] = []
    for row in tx.all(sql.GET_TOKENS, ids=[wish.deployment_id]):
        position: int = row[1]
        try:
            tokens[position] = run.open_token(row, policy)
        except (ValueError, OSError, Unusable):
            tokens[position] = ""
            mend = "Bring back the sealing key (seal.key, ROTA_SEAL_KEY), or update the deployment's `resources` with the token."
            given = wish.resources.given[position]
            name = given.url if isinstance(given, RepositoryParam) else None
            shut.append(_unknown("github_repository", name, "its token was sealed with a key that is not here", mend))
    return msgspec.structs.replace(wish, tokens=tokens), shut


def _own(tx: Tx, deployment: actions.Stored) -> list[Checked]:
    """The deployment itself, and its schedule."""
    if deployment.archived_at is not None:
        gone = "Make a new deployment: archiving is for good."
        return [Checked(what="deployment", id=deployment.id, found="archived", verdict="broken", mend=gone)]
    if deployment.status == "active":
        state, mend = "active", None
    elif deployment.paused_error is None:
        state, mend = "paused by hand; it still runs when asked to", _UNPAUSE
    else:
        state = f"paused since a scheduled run failed with {deployment.paused_error}; it still runs when asked to"
        mend = f"Mend what is broken. {_UNPAUSE}"
    own = [Checked(what="deployment", id=deployment.id, found=state, mend=mend)]
    schedule = deployment.schedule
    if schedule is None:
        return [*own, Checked(what="schedule", id=None, found="none: it runs only when asked to")]
    [due, *_] = cron.upcoming(cron.parse(schedule.expression), cron.zone(schedule.timezone), tx.now, 1) or [None]
    next_ = "no occurrence ahead" if due is None else f"next at {to_datetime(due):%Y-%m-%d %H:%M} UTC"
    waits = "" if deployment.status == "active" else ", but it is paused"
    said = f"{schedule.expression} in {schedule.timezone}, {next_}{waits}"
    return [*own, Checked(what="schedule", id=None, found=said)]


def _unknown(
    what: Literal["deployment", "github_repository"], name: str | None, found: str, mend: str | None = None
) -> Checked:
    return Checked(
        what=what,
        id=name,
        found=found,
        verdict="broken",
        error="unknown_error",
        recorded=True,
        mend=mend or failures.failure("unknown_error").mend,
    )


def _result(
    tx: Tx, deployment_id: str, error: RunError | None, checks: list[Checked], *, archived: bool
) -> DeploymentCheck:
    if archived:
        outcome, error = "refused", None
        checks = [msgspec.structs.replace(each, recorded=False) for each in checks]
        says = f"A run now would be refused and leave no record: {run.ARCHIVED}."
    elif error is None:
        outcome, says = "session", "A run now would make a session."
    else:
        outcome, says = "error", f"A run now would make no session and record {error.type}."
    return DeploymentCheck(
        deployment_id=deployment_id,
        checked_at=to_datetime(tx.now),
        outcome=outcome,
        error=error,
        says=says,
        checks=checks,
    )
