"""Firing what is due: one batch, one transaction, through the same door as a run by hand.

Promises: a batch takes deployments whose moment has come by the transaction's own clock, never before; decides for each
what becomes of the occurrences until now (``verdicts``); fires with ``run``; and moves each schedule on, only if what was
due is still due. Sessions, run records, pauses, lapses, announcements and the schedules' new dates are one commit.
So a crash leaves either all of it or nothing, and what it left is still due. Any number of servers may do this at once.
Does not sleep, and does not know when it will be called again (``scheduler/ticker``).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from rota.base.clock import MINUTE, to_datetime
from rota.base.errors import Refusal
from rota.base.policy import Policy
from rota.base.who import Who
from rota.queue.outbox import announce_all
from rota.resources.agents import actions as agents
from rota.resources.deployment_runs.wire import DeploymentRun, ScheduleTrigger
from rota.resources.deployments import failures, schedules, sql, verdicts
from rota.resources.deployments.run import Fire, record_unknown, run
from rota.resources.deployments.schedules import Lapse
from rota.resources.deployments.verdicts import Pending, Verdict
from rota.store.tx import Moment, Row, Tx

Door: TypeAlias = Callable[[Tx, Sequence[Fire]], Sequence[DeploymentRun | Refusal]]

TURN = "firing"
STALLED = 60 * MINUTE
"""How long a deployment is left alone that can neither be fired nor be recorded as failed."""


class Happened(Struct, frozen=True, kw_only=True):
    """What came of one batch. ``late`` are the microseconds after its moment at which each run was made."""

    busy: bool = False
    taken: int = 0
    late: Sequence[int] = ()
    errors: Sequence[str | None] = ()
    lapses: Sequence[Lapse] = ()
    paused: Sequence[str] = ()
    archived: int = 0


class Look(Struct, frozen=True):
    """What is due first, and when, in microseconds UTC; ``now`` is the present instant by the same clock."""

    now: int
    fire_at: int | None
    deployment_id: str | None


def look(tx: Tx) -> Look:
    """When there is something to be done next."""
    row = tx.one(sql.FIRST_DUE)
    return Look(tx.now, *row) if row is not None else Look(tx.now, None, None)


def due_ids(tx: Tx, limit: int) -> list[str]:
    """The deployments that are due longest."""
    return [row[0] for row in tx.all(sql.DUE_IDS, now=tx.now, limit=limit)]


def fire(tx: Tx, policy: Policy, limit: int, *, only: Sequence[str] | None = None, overtake: bool = False) -> Happened:
    """Fire at most ``limit`` deployments that are due, or those ``only``.

    One batch at a time goes ahead: under SERIALIZABLE two that run at once would look at each other's rows, and one of
    them would be run again. A caller that finds the place taken is told that it is ``busy``; one that has waited long may
    ``overtake``, and is then kept from the rows of the other by their locks alone.
    """
    if not (tx.turn(TURN) or overtake):
        return Happened(busy=True)
    named = only is not None
    rows = tx.all(sql.CLAIM_THESE, ids=only, now=tx.now) if named else tx.all(sql.CLAIM, now=tx.now, limit=limit)
    return _deal_with(tx, [verdicts.pending(row) for row in rows], policy) if rows else Happened()


def record_failure(tx: Tx, policy: Policy, deployment_id: str) -> Happened:
    """Record a fire that raises something nobody foresaw, after its own transaction was rolled back, and pause it."""
    rows = tx.all(sql.CLAIM_THESE, ids=[deployment_id], now=tx.now)
    if not rows:
        return Happened()
    due_at: int = rows[0][6]
    if tx.one(sql.FIRED, ids=[deployment_id], since=due_at, until=due_at) is not None:
        tx.run(sql.PASS_OVER, id=deployment_id)  # it has its run, and must not have another
        return Happened(taken=1)
    return _deal_with(tx, [verdicts.pending(rows[0])], policy, door=_fail)


def _fail(tx: Tx, fires: Sequence[Fire]) -> list[DeploymentRun | Refusal]:
    return [record_unknown(tx, fire.who, fire) for fire in fires]


def stall(tx: Tx, deployment_id: str) -> None:
    """Leave a deployment alone for an hour; what it misses meanwhile is kept account of when it goes on."""
    tx.run(sql.STALL, ids=[deployment_id], now=tx.now, fire_at=tx.now + STALLED)


def walk(tx: Tx, policy: Policy, until: int, limit: int) -> tuple[int, list[Happened]]:
    """Fire everything that comes due from now to ``until``, each at its own moment; how far it went, and what happened.

    Stops early after about ``limit`` fires, or before what another server holds at this moment.
    """
    now, happened = tx.now, list[Happened]()
    while sum(each.taken for each in happened) < limit:
        row = tx.one(sql.FIRST_DUE)
        if row is None or row[0] > until:
            return until, happened
        now = max(now, row[0])
        done = fire(Moment(tx, now), policy, limit, overtake=True)
        if not done.taken:
            break
        happened.append(done)
    return now, happened


def _deal_with(tx: Tx, due: Sequence[Pending], policy: Policy, door: Door = run) -> Happened:
    known = agents.find_many(tx, sorted({pending.agent[0] for pending in due}))
    dead = [pending for pending in due if not pending.live or pending.agent[0] not in known]
    _bury(tx, dead)
    buried = {pending.deployment_id for pending in dead}
    decided = _decide(tx, [pending for pending in due if pending.deployment_id not in buried], policy)
    fires = [(pending, verdict.fires, verdict.moment) for pending, verdict in decided if verdict.fires is not None]
    outcomes: Sequence[DeploymentRun | Refusal] = ()
    if fires:
        outcomes = door(tx, [_to_fire(pending, occurrence, policy) for pending, occurrence, _ in fires])
    runs: dict[str, DeploymentRun] = {}
    for (pending, _, _), outcome in zip(fires, outcomes, strict=True):
        if isinstance(outcome, Refusal):  # it was there, and live, and its row is ours
            raise AssertionError(f"{pending.deployment_id} was due and is refused: {outcome.message}")
        runs[pending.deployment_id] = outcome
    failed = [
        (pending.who, pending.deployment_id, error.type)
        for pending, _, _ in fires
        if (error := runs[pending.deployment_id].error) is not None and failures.failure(error.type).pauses
    ]
    announce_all(tx, [told for pending, _, _ in fires for told in _told(pending.who, runs[pending.deployment_id])])
    lapses = _move_on(tx, decided, runs, {deployment_id for _, deployment_id, _ in failed}, policy)
    _pause(tx, failed)
    return Happened(
        taken=len(due),
        late=[tx.now - moment for _, _, moment in fires],
        errors=[error.type if (error := runs[pending.deployment_id].error) else None for pending, _, _ in fires],
        lapses=lapses,
        paused=[error for _, _, error in failed],
        archived=len(dead),
    )


def _decide(tx: Tx, due: Sequence[Pending], policy: Policy) -> list[tuple[Pending, Verdict]]:
    """The verdict on each, with what it depends on looked up: one query for each kind, and only if a rule asks for it."""
    rules = [policy.timing if each.rules is None else each.rules.over(policy.timing) for each in due]
    single = [each.deployment_id for each, timing in zip(due, rules, strict=True) if timing.overlap == "skip"]
    running = {row[0] for row in tx.all(sql.WITH_SESSION_RUNNING, ids=single)} if single else set[str]()
    fired: dict[str, set[int]] = {}
    if rewound := [each for each in due if each.rewound_at is not None and each.due_at <= each.rewound_at]:
        since = min(each.due_at for each in rewound)
        names = [each.deployment_id for each in rewound]
        for deployment_id, scheduled_at in tx.all(sql.FIRED, ids=names, since=since, until=tx.now):
            fired.setdefault(deployment_id, set()).add(scheduled_at)
    return [
        (
            each,
            verdicts.decide(
                each, tx.now, timing, running=each.deployment_id in running, fired=fired.get(each.deployment_id, ())
            ),
        )
        for each, timing in zip(due, rules, strict=True)
    ]


def _to_fire(pending: Pending, occurrence: int, policy: Policy) -> Fire:
    return Fire(pending.who, pending.deployment_id, ScheduleTrigger(to_datetime(occurrence)), policy)


def _move_on(
    tx: Tx,
    decided: Sequence[tuple[Pending, Verdict]],
    runs: Mapping[str, DeploymentRun],
    stopped: Collection[str],
    policy: Policy,
) -> list[Lapse]:
    """Write the new dates, and keep account of what lapsed, which is returned."""
    rows: list[Row] = []
    new: list[Lapse] = []
    longer: list[Row] = []
    told: list[Lapse] = []
    for pending, verdict in decided:
        due_at, lapses = verdict.due_at, list(verdict.lapses)
        made = runs.get(pending.deployment_id)
        if pending.deployment_id in stopped:
            if due_at is not None and due_at <= tx.now:  # was to be caught up with next
                lapses += schedules.overtaken(tx, pending.deployment_id, pending.schedule, due_at, pending.rewound_at)
            due_at = None
        skipped = bool(lapses) and lapses[-1].kind == "skipped"
        if skipped and pending.skipping and len(lapses) == 1:
            longer.append((pending.deployment_id, pending.accounted_at, lapses[0].last_at))
        else:
            new += lapses
        told += lapses
        rows.append(
            (
                pending.deployment_id, pending.due_at,
                None if due_at is None else schedules.moment(policy.timing, pending.deployment_id, pending.schedule, due_at),
                due_at, verdict.accounted_at, tx.now if made is not None and made.session_id is not None else None,
                int(skipped),
            )
        )  # fmt: skip
    if tx.update(sql.ADVANCE, rows) != len(rows):
        raise AssertionError("a schedule was moved by somebody else while its row was ours")
    tx.insert(sql.KEEP_LAPSES, [lapse.row(tx.now) for lapse in new])
    if tx.update(sql.EXTEND_LAPSES, longer) != len(longer):
        raise AssertionError("a stretch of skipped occurrences is not there to be extended")
    return told


def _pause(tx: Tx, failed: Sequence[tuple[Who, str, str]]) -> None:
    """Pause each deployment with its error."""
    for error in sorted({error for _, _, error in failed}):
        tx.run(sql.PAUSE_FAILED, ids=[deployment_id for _, deployment_id, each in failed if each == error], error=error)
    announce_all(tx, [(who, "deployment.paused", deployment_id) for who, deployment_id, _ in failed])


def _bury(tx: Tx, dead: Sequence[Pending]) -> None:
    """Archive deployments whose agent is gone: no run is recorded (contract, deployments: state machine)."""
    if not dead:
        return
    ids = [pending.deployment_id for pending in dead]
    schedules.stop(tx, ids)
    tx.run(sql.ARCHIVE_MANY, ids=ids, now=tx.now)
    announce_all(tx, [(each.who, "deployment.archived", each.deployment_id) for each in dead if each.live])


def _told(who: Who, record: DeploymentRun) -> list[tuple[Who, str, str]]:
    """What is announced of a scheduled run: that it started, and what came of it."""
    outcome = "deployment_run.succeeded" if record.error is None else "deployment_run.failed"
    return [(who, "deployment_run.started", record.id), (who, outcome, record.id)]
