"""Whether and when a deployment's schedule is due: what creating, changing, pausing and archiving do to it.

Promises: whoever changes a deployment that is scheduled also writes its row in ``schedules``, so that a fire comes wholly
before the change or wholly after it; a schedule that begins (new, replaced, unpaused) counts from that instant on; an
occurrence that was due and is overtaken by the change is kept account of, so that none vanishes in silence.
Does not fire (``due`` does).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from msgspec import Struct

from rota.base import cron
from rota.base.clock import MINUTE
from rota.base.timing import Timing, fire_at
from rota.resources.deployments import sql
from rota.resources.deployments.wire import Cron
from rota.store.tx import Row, Tx

TOPIC = "schedules"
"""Woken when something may be due earlier than it was."""

Kind: TypeAlias = Literal["missed", "skipped"]
Reason: TypeAlias = Literal["not_fired_in_time", "superseded", "session_running"]


class Lapse(Struct, frozen=True, kw_only=True):
    """A stretch of a schedule that did not fire, from its first occurrence to its last."""

    deployment_id: str
    kind: Kind
    reason: Reason
    first_at: int
    last_at: int
    count: int
    schedule: Cron

    def row(self, now: int) -> Row:
        """Its row."""
        return (
            self.deployment_id, self.last_at, self.first_at, self.count, self.kind, self.reason, now,
            self.schedule.expression, self.schedule.timezone,
        )  # fmt: skip


def begin(tx: Tx, deployment_id: str, schedule: Cron, timing: Timing, *, new: bool = False) -> None:
    """Let a schedule be due at its occurrences after now. ``new``: the deployment was only now made."""
    due_at = following(schedule, tx.now)
    last = None if new else tx.one(sql.LAST_SCHEDULED, id=deployment_id, now=tx.now)
    if not new:
        _take_back(tx, deployment_id)
    tx.run(
        sql.BEGIN_SCHEDULE,
        id=deployment_id,
        expression=schedule.expression,
        timezone=schedule.timezone,
        due_at=due_at,
        fire_at=None if due_at is None else moment(timing, deployment_id, schedule, due_at),
        now=tx.now,
        rewound_at=last[0] if last is not None else None,
    )
    tx.wake(TOPIC)


def stop(tx: Tx, deployment_ids: Sequence[str]) -> None:
    """Let nothing be due any more: paused, archived, cleared, or about to be replaced. Called before that is written."""
    lapses: list[Lapse] = []
    for deployment_id, due_at, rewound_at, *text in tx.all(sql.OVERDUE, ids=deployment_ids, now=tx.now):
        if (schedule := sql.schedule_of(*text)) is not None:
            lapses += overtaken(tx, deployment_id, schedule, due_at, rewound_at)
    tx.insert(sql.KEEP_LAPSES, [lapse.row(tx.now) for lapse in lapses])
    tx.run(sql.STOP_SCHEDULES, ids=deployment_ids, now=tx.now)


def put(tx: Tx, deployment_id: str, schedule: Cron | None) -> None:
    """Note the schedule of a deployment that is paused, or that it has none any more."""
    expression, timezone = (None, None) if schedule is None else (schedule.expression, schedule.timezone)
    tx.run(sql.SET_SCHEDULE, id=deployment_id, expression=expression, timezone=timezone, now=tx.now)


def hold(tx: Tx, deployment_id: str) -> None:
    """Change a deployment in another respect than its schedule: no fire may come between the old and the new."""
    tx.run(sql.HOLD_SCHEDULES, ids=[deployment_id])


def overtaken(tx: Tx, deployment_id: str, schedule: Cron, first_at: int, rewound_at: int | None) -> list[Lapse]:
    """What a change overtakes of the occurrences from ``first_at`` to now: all but those that have a run already, which can
    only be when the clock was set back."""
    fired: list[int] = []
    if rewound_at is not None and first_at <= rewound_at:
        fired = sorted(row[1] for row in tx.all(sql.FIRED, ids=[deployment_id], since=first_at, until=tx.now))
    lapses: list[Lapse] = []
    start: int | None = first_at
    for until, occurrence in [*((each - 1, each) for each in fired), (tx.now, None)]:
        if start is not None and start <= until:
            lapses.append(stretch(deployment_id, schedule, "missed", "superseded", start, until))
        start = None if occurrence is None else following(schedule, occurrence)
    return lapses


def stretch(deployment_id: str, schedule: Cron, kind: Kind, reason: Reason, first_at: int, until: int) -> Lapse:
    """The occurrences from ``first_at``, which is one, to the last at or before ``until``."""
    parsed, zone = _read(schedule.expression, schedule.timezone)
    last_at = cron.last_until(parsed, zone, first_at, until)
    return Lapse(
        deployment_id=deployment_id,
        kind=kind,
        reason=reason,
        first_at=first_at,
        last_at=first_at if last_at is None else last_at,
        count=1 if last_at is None else 1 + cron.count(parsed, zone, first_at, last_at),
        schedule=schedule,
    )


def moment(timing: Timing, deployment_id: str, schedule: Cron, due_at: int) -> int:
    """When to fire an occurrence."""
    if timing.jitter == "off":
        return due_at
    return fire_at(timing.jitter, deployment_id, due_at, following(schedule, due_at))


def following(schedule: Cron, after: int) -> int | None:
    """The first occurrence strictly after an instant; remembered, because many deployments share a schedule."""
    return _following(schedule.expression, schedule.timezone, after // MINUTE * MINUTE)


def last_until(schedule: Cron, after: int, until: int) -> int | None:
    """The last occurrence after one instant and at or before another."""
    return cron.last_until(*_read(schedule.expression, schedule.timezone), after, until)


def count(schedule: Cron, after: int, until: int) -> int:
    """How many occurrences there are after one instant and at or before another."""
    return cron.count(*_read(schedule.expression, schedule.timezone), after, until)


def _take_back(tx: Tx, deployment_id: str) -> None:
    """Lapses that lie ahead of a clock that was set back have not happened yet."""
    for first_at, last_at, expression, timezone in tx.all(sql.LAPSES_AHEAD, id=deployment_id, now=tx.now):
        schedule = Cron(type="cron", expression=expression, timezone=timezone)
        kept = last_until(schedule, first_at - 1, tx.now)
        if kept is None:
            tx.run(sql.DROP_LAPSE, id=deployment_id, last_at=last_at)
        else:
            shorter = count(schedule, first_at - 1, kept)
            tx.run(sql.SHORTEN_LAPSE, id=deployment_id, last_at=last_at, new_last_at=kept, count=shorter)


@lru_cache(16384)
def _following(expression: str, timezone: str, after: int) -> int | None:
    return cron.next_after(*_read(expression, timezone), after)


@lru_cache(4096)
def _read(expression: str, timezone: str) -> "tuple[cron.Cron, cron.ZoneInfo]":
    return cron.parse(expression), cron.zone(timezone)
