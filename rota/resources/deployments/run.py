"""Firing deployments: the one door for a run that somebody asks for and, in time, for the schedule.

A set of fires is one step: load the deployments and all that they name, decide each, write sessions and run records. Every
fire ends in exactly one of: a refusal that leaves no trace (no such deployment, archived), or one run record that holds a
session or an error.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from rota.base.clock import from_datetime
from rota.base.errors import InvalidRequest, NotFound, Refusal
from rota.base.policy import Policy
from rota.base.recall import Recall
from rota.base.seal import Place
from rota.base.who import Who
from rota.resources.deployment_runs import actions as deployment_runs
from rota.resources.deployment_runs.wire import DeploymentRun, RunError, ScheduleTrigger, Trigger
from rota.resources.deployments import failures, sql
from rota.resources.sessions import drafts, mounts
from rota.store.tx import Row, Tx

ARCHIVED = "Cannot modify archived deployment"


class Fire(Struct, frozen=True):
    """One deployment to be fired, by whom and why."""

    who: Who
    deployment_id: str
    trigger: Trigger
    policy: Policy


def run(tx: Tx, fires: Sequence[Fire]) -> list[DeploymentRun | Refusal]:
    """Fire each deployment: its run record, or a NotFound or InvalidRequest as a value. In order."""
    policy = fires[0].policy
    rows = {row[0]: row for row in tx.all(sql.GET_MANY, ids=sorted({fire.deployment_id for fire in fires}))}
    outcomes: list[DeploymentRun | Refusal | None] = [_refuse(fire, rows.get(fire.deployment_id)) for fire in fires]
    due = [index for index, refusal in enumerate(outcomes) if refusal is None]
    if not due:
        return [outcome for outcome in outcomes if outcome is not None]
    wished = {
        deployment_id: wish_of(rows[deployment_id])
        for deployment_id in dict.fromkeys(fires[index].deployment_id for index in due)
    }
    with_repositories = [name for name, wish in wished.items() if "github_repository" in wish.resources.kinds]
    if with_repositories:
        for (deployment_id, position), token in _tokens(tx, with_repositories, policy).items():
            wish = wished[deployment_id]
            wished[deployment_id] = msgspec.structs.replace(wish, tokens={**wish.tokens, position: token})
    wishes = [wished[fires[index].deployment_id] for index in due]
    decided = drafts.decide_all(wishes, drafts.load(tx, wishes, policy), policy, tx.now)
    drafts.write(tx, [each for each in decided if isinstance(each, drafts.Draft)], policy)
    records = deployment_runs.record(
        tx,
        [
            _row(tx, fires[index], rows[fires[index].deployment_id], each)
            for index, each in zip(due, decided, strict=True)
        ],
    )
    for index, record in zip(due, records, strict=True):
        outcomes[index] = record
    return [outcome for outcome in outcomes if outcome is not None]


def record_unknown(tx: Tx, _who: Who, fire: Fire) -> DeploymentRun:
    """Record a fire that raised something nobody foresaw, after its own transaction was rolled back."""
    row = next(iter(tx.all(sql.GET_MANY, ids=[fire.deployment_id])), None)
    if (refusal := _refuse(fire, row)) is not None:
        raise refusal
    assert row is not None
    [record] = deployment_runs.record(tx, [_run_row(tx, fire, row, None, failures.UNKNOWN)])
    return record


def _refuse(fire: Fire, row: Row | None) -> Refusal | None:
    if row is None or row[1] != fire.who.workspace_id:
        return NotFound(f"Deployment `{fire.deployment_id}` not found.")
    if row[3] is not None:
        return InvalidRequest(ARCHIVED)
    return None


_wishes: Recall[str, tuple[Row, drafts.Wish]] = Recall(8_000_000)
"""What deployments that were fired want, beside the row that it was made from; weighed by the length of that."""
_LEAST = 2_000


def wish_of(row: Row) -> drafts.Wish:
    """What a deployment (a row of ``GET_MANY``) wants of a session, but for the tokens of its repositories.

    Decoding a large deployment takes longer than all the rest of a run; so it is remembered, and taken only while the row
    is the same to the last character.
    """
    known = _wishes.find([row[0]]).get(row[0])
    if known is not None and known[0] == row:
        return known[1]
    wish = _decode(row)
    _wishes.keep(row[0], (row, wish), _LEAST + len(row[7]))
    return wish


def _decode(row: Row) -> drafts.Wish:
    deployment_id, workspace_id, organization_id, _, agent_id, agent_version, environment_id, text = row
    body = sql.fire_body_of(text)
    return drafts.Wish(
        organization_id=organization_id,
        workspace_id=workspace_id,
        agent_id=agent_id,
        agent_version=agent_version,
        environment_id=environment_id,
        title=body.name,
        resources=mounts.look_through(body.resources),
        vault_ids=body.vault_ids,
        budget=body.budget,
        events=[drafts.entry_of_json(bytes(event).decode()) for event in body.initial_events],
        deployment_id=deployment_id,
    )


def _tokens(tx: Tx, deployment_ids: Sequence[str], policy: Policy) -> dict[tuple[str, int], str]:
    return {(row[0], row[1]): open_token(row, policy) for row in tx.all(sql.GET_TOKENS, ids=deployment_ids)}


def open_token(row: Row, policy: Policy) -> str:
    """The token of a row of ``GET_TOKENS``. ValueError if it was sealed with another key, Unusable if there is none."""
    return policy.sealer.get().open(bytes(row[2]), token_place(row[0], row[1]))


def token_place(deployment_id: str, position: int) -> Place:
    """What a repository token in a deployment is sealed to."""
    return sql.TOKENS.place(deployment_id, position)


def _row(tx: Tx, fire: Fire, row: Row, decided: drafts.Draft | drafts.SessionRefusal) -> Row:
    if isinstance(decided, drafts.Draft):
        return _run_row(tx, fire, row, decided.session_id, None)
    return _run_row(tx, fire, row, None, failures.to_run_error(decided))


def _run_row(tx: Tx, fire: Fire, row: Row, session_id: str | None, error: RunError | None) -> Row:
    scheduled_at = from_datetime(fire.trigger.scheduled_at) if isinstance(fire.trigger, ScheduleTrigger) else None
    return deployment_runs.new_row(
        tx,
        workspace_id=row[1],
        deployment_id=row[0],
        agent=(row[4], row[5]),
        scheduled_at=scheduled_at,
        session_id=session_id,
        error=error,
    )
