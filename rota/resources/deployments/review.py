"""Working out anew when schedules are due: after an update of the time zones, another jitter, a clock that was set back.

Promises: what is still to come follows the time zones of today, and what has been is left as it was; after a step of the
clock backwards, occurrences that have no run yet fire at their time, those that have one do not fire twice, and lapses that
now lie ahead are taken back. May be done at any time, by several servers at once, and again; it changes only what differs.
A server with an older edition of the time zones than was used here before leaves things alone.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from rota.base import cron
from rota.base.clock import SECOND
from rota.base.policy import Policy
from rota.resources.deployments import schedules, sql
from rota.resources.deployments.wire import Cron
from rota.store.tx import Row, Tx

_BASIS = "schedule_basis"

Need: TypeAlias = Literal["none", "all", "outdated"]


def need(tx: Tx, policy: Policy) -> Need:
    """Whether dates have to be worked out anew before anything is fired; ``outdated``: not by us, who know less."""
    row = tx.one(sql.GET_BASIS, key=_BASIS)
    if row is not None and _edition(row[0]) > cron.edition():
        return "outdated"
    if row is None or row[0] != _basis(policy) or tx.one(sql.ASTRAY, ahead=tx.now + SECOND) is not None:
        return "all"
    return "none"


def settle(tx: Tx, policy: Policy) -> None:
    """Remember by which edition and jitter all dates have been worked out."""
    tx.run(sql.SET_BASIS, key=_BASIS, value=_basis(policy))


def differing(tx: Tx, policy: Policy, after: str, limit: int) -> tuple[list[str], str | None]:
    """Among the next ``limit`` scheduled deployments in the order of their ids, those whose dates are not what they should
    be; and the last id, None at the end."""
    rows = tx.all(sql.REVIEW, after=after, limit=limit)
    return [row[0] for row in rows if not _right(row, tx.now, policy)], rows[-1][0] if len(rows) == limit else None


def mend(tx: Tx, policy: Policy, deployment_ids: Sequence[str]) -> int:
    """Put the dates of these right; how many were not."""
    wrong = [row for row in tx.all(sql.REVIEW_THESE, ids=deployment_ids) if not _right(row, tx.now, policy)]
    for row in wrong:
        deployment_id, status, _, _, accounted_at, stalled_at, *_ = row
        schedule = _schedule(row)
        if status != "active":
            schedules.stop(tx, [deployment_id])
        elif not accounted_at or accounted_at > tx.now + SECOND:
            schedules.begin(tx, deployment_id, schedule, policy.timing)
        else:
            due_at = schedules.following(schedule, accounted_at)
            fire_at = None if due_at is None else schedules.moment(policy.timing, deployment_id, schedule, due_at)
            if stalled_at is not None and fire_at is not None:
                fire_at = max(fire_at, row[2])
            tx.run(sql.REDATE, id=deployment_id, due_at=due_at, fire_at=fire_at)
            tx.wake(schedules.TOPIC)
    return len(wrong)


def _basis(policy: Policy) -> str:
    return f"{cron.edition()} {policy.timing.jitter}"


def _edition(basis: str) -> str:
    return basis.partition(" ")[0]


def _schedule(row: Row) -> Cron:
    schedule = sql.schedule_of(row[6], row[7])
    assert schedule is not None
    return schedule


def _right(row: Row, now: int, policy: Policy) -> bool:
    deployment_id, status, fire_at, due_at, accounted_at, stalled_at, *_ = row
    if status != "active":
        return due_at is None
    try:
        schedule = _schedule(row)
        expected = schedules.following(schedule, accounted_at)
    except (
        Exception
    ):  # one that cannot be read keeps its dates and holds up nobody; the fire records what is wrong with it
        return True
    if not accounted_at or accounted_at > now + SECOND:
        return False
    if due_at != expected or expected is None:
        return due_at is expected
    return stalled_at is not None or fire_at == schedules.moment(policy.timing, deployment_id, schedule, expected)
