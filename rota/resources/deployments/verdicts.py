"""What becomes of the occurrences of a schedule that has come due: which one fires, which are missed, which is skipped.

Pure: plain values in, plain values out. Promises: every occurrence from the one that was due to the present is either the
one that fires, or in a lapse, or still due; none is two of them.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from rota.base.timing import ON_TIME, CatchUp, Overlap, Timing
from rota.base.who import Who
from rota.resources.deployments import schedules, sql
from rota.resources.deployments.schedules import Lapse
from rota.resources.deployments.wire import Cron
from rota.store.tx import Row


class Rules(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a deployment departs from the server's timing; None is the server's. ``window`` in microseconds."""

    catch_up: CatchUp | None = None
    window: int | None = None
    limit: int | None = None
    overlap: Overlap | None = None

    def over(self, timing: Timing) -> Timing:
        """The rules that hold for the deployment."""
        departures: Mapping[str, Any] = {
            name: value for name, value in msgspec.structs.asdict(self).items() if value is not None
        }
        return msgspec.structs.replace(timing, **departures)


rules_of = msgspec.json.Decoder(Rules).decode


class Pending(Struct, frozen=True, kw_only=True):
    """A schedule that is due, as its row has it. Instants in microseconds UTC."""

    deployment_id: str
    who: Who
    agent: tuple[str, int]
    live: bool
    due_at: int
    accounted_at: int
    skipping: bool
    rewound_at: int | None
    rules: Rules | None
    schedule: Cron


class Verdict(Struct, frozen=True, kw_only=True):
    """What becomes of it: the occurrence that ``fires``, and the ``moment`` at which it should have; what lapses; and the
    occurrence that is due then. ``skips`` is an occurrence that is skipped right after another one."""

    accounted_at: int
    due_at: int | None
    fires: int | None = None
    moment: int = 0
    lapses: tuple[Lapse, ...] = ()


def pending(row: Row) -> Pending:
    """A row of ``sql.CLAIM``."""
    schedule = sql.schedule_of(row[11], row[12])
    assert schedule is not None, "a deployment without a schedule is due"
    return Pending(
        deployment_id=row[0],
        who=Who(organization_id=row[1], workspace_id=row[2], key_id=""),
        agent=(row[3], row[4]),
        live=row[5] is None,
        due_at=row[6],
        accounted_at=row[7],
        skipping=bool(row[8]),
        rewound_at=row[9],
        rules=None if row[10] is None else rules_of(row[10]),
        schedule=schedule,
    )


def decide(
    due: Pending, now: int, timing: Timing, *, running: bool = False, fired: Collection[int] = frozenset()
) -> Verdict:
    """The verdict on one schedule at ``now``, under the rules that hold for it.

    ``running``: a session of the deployment is. ``fired``: occurrences that have a run although they are due, which can
    only be when the clock was set back; they are passed over.
    """
    first, schedule = due.due_at, due.schedule
    after = schedules.following(schedule, first)
    if first in fired:
        return _pass_over(due, timing, now, fired)
    newest, late = _newest(due, timing, after, now), False
    if (other := min((each for each in fired if each > first), default=None)) is not None and other <= newest:
        # One further on has fired already: of those before it, none is the newest.
        last = schedules.last_until(schedule, first - 1, other - 1)
        newest, late = first if last is None else last, True
    lapses: list[Lapse] = []
    fires: int | None = newest
    if timing.catch_up == "all":
        fires = _oldest_within(schedule, first, newest, timing.limit)
        if fires != first:
            lapses.append(_missed(due, first, fires - 1))
    elif late or not _fires(timing, newest, _moment(due, timing, newest), now):
        lapses.append(_missed(due, first, newest))
        fires = None
    elif newest != first:
        lapses.append(_missed(due, first, newest - 1))
    accounted_at = newest if fires is None else fires
    if fires is not None and running and timing.overlap == "skip":
        lapses.append(schedules.stretch(due.deployment_id, schedule, "skipped", "session_running", fires, fires))
        fires = None
    return Verdict(
        accounted_at=accounted_at,
        due_at=schedules.following(schedule, accounted_at),
        fires=fires,
        moment=0 if fires is None else _moment(due, timing, fires),
        lapses=tuple(lapses),
    )


def _pass_over(due: Pending, timing: Timing, now: int, fired: Collection[int]) -> Verdict:
    """Go on to the first occurrence that has not fired."""
    accounted_at, at = due.due_at, schedules.following(due.schedule, due.due_at)
    while at is not None and at in fired and _moment(due, timing, at) <= now:
        accounted_at, at = at, schedules.following(due.schedule, at)
    return Verdict(accounted_at=accounted_at, due_at=at)


def _moment(due: Pending, timing: Timing, occurrence: int) -> int:
    return schedules.moment(timing, due.deployment_id, due.schedule, occurrence)


def _newest(due: Pending, timing: Timing, after: int | None, now: int) -> int:
    """The last occurrence whose moment has come."""
    if after is None or _moment(due, timing, after) > now:
        return due.due_at
    last = schedules.last_until(due.schedule, due.due_at, now)
    assert last is not None
    if _moment(due, timing, last) <= now:
        return last
    before = schedules.last_until(due.schedule, due.due_at, last - 1)
    return due.due_at if before is None else before


def _fires(timing: Timing, occurrence: int, moment: int, now: int) -> bool:
    """Whether the newest occurrence still fires: it is on time, or young enough to be caught up with."""
    return now - moment < ON_TIME or (timing.catch_up == "latest" and now - occurrence <= timing.window)


def _oldest_within(schedule: Cron, first: int, newest: int, limit: int) -> int:
    """Of the occurrences from ``first`` to ``newest``, the oldest of the last ``limit``."""
    if first == newest or schedules.count(schedule, first - 1, newest) <= limit:
        return first
    low, high = first, newest  # more than ``limit`` after low, fewer than that after high
    while high - low > 1:
        middle = (low + high) // 2
        if schedules.count(schedule, middle, newest) >= limit:
            low = middle
        else:
            high = middle
    found = schedules.following(schedule, low)
    assert found is not None
    return found


def _missed(due: Pending, first: int, until: int) -> Lapse:
    return schedules.stretch(due.deployment_id, due.schedule, "missed", "not_fired_in_time", first, until)
