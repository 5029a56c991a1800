"""How a deployment's schedule is kept, and what became of its occurrences: an addition of ours, beside the published API.

Promises: every occurrence since the schedule began is in exactly one place: it fired, was missed, was skipped, or is yet to
come; what happened while nothing was to be fired (paused, archived, no schedule) is no occurrence. Stretches of what did
not fire are kept as stretches and listed one by one.
"""

from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from rota.base.clock import SECOND, from_datetime, to_datetime, to_datetime_or_none
from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.policy import Policy
from rota.base.who import Who
from rota.base.wire import encode
from rota.resources.deployments import schedules, sql
from rota.resources.deployments.run import ARCHIVED
from rota.resources.deployments.verdicts import Rules, rules_of
from rota.resources.deployments.wire import (
    Cron,
    EffectiveTiming,
    ListOccurrences,
    Occurrence,
    Scheduling,
    UpdateScheduling,
)
from rota.store.tx import MAX_SEEK, Found, Row, Tx

UPCOMING = 5
_KINDS = ["missed", "skipped"]


def get(tx: Tx, who: Who, deployment_id: str, policy: Policy) -> Scheduling:
    """How the schedule is kept. NotFound."""
    _find(tx, who, deployment_id)
    return _render(tx, deployment_id, policy)


def update(tx: Tx, who: Who, deployment_id: str, body: UpdateScheduling, policy: Policy) -> Scheduling:
    """Depart from the server's timing, or go back to it. It holds for whatever has not been dealt with yet."""
    row = _find(tx, who, deployment_id)
    if row[3] is not None:
        raise InvalidRequest(ARCHIVED)
    kept = tx.one(sql.GET_SCHEDULE, id=deployment_id)
    rules = Rules() if kept is None or kept[3] is None else rules_of(kept[3])
    sent = {
        "catch_up": body.catch_up,
        "window": body.catch_up_window_seconds * SECOND
        if isinstance(body.catch_up_window_seconds, int)
        else body.catch_up_window_seconds,
        "limit": body.catch_up_limit,
        "overlap": body.overlap,
    }
    changed = msgspec.structs.replace(rules, **{name: value for name, value in sent.items() if value is not UNSET})
    tx.run(
        sql.SET_RULES,
        id=deployment_id,
        now=tx.now,
        rules=None if changed == Rules() else encode(changed).decode(),
    )
    return _render(tx, deployment_id, policy)


def list_(tx: Tx, who: Who, position: Position | None, deployment_id: str, query: ListOccurrences) -> Found:
    """A page of occurrences, newest first; the next few that are to come stand at its head. NotFound."""
    row = _find(tx, who, deployment_id)
    since = 0 if query.scheduled_at_gte is None else from_datetime(query.scheduled_at_gte)
    until = MAX_SEEK if query.scheduled_at_lte is None else from_datetime(query.scheduled_at_lte)
    if position is not None:
        until = min(until, position.at - 1)
    wanted = query.limit + 1
    found: list[tuple[int, Occurrence]] = []
    if query.kind in (None, "upcoming"):
        found += [(at, each) for at, each in _upcoming(tx, deployment_id, row) if since <= at <= until]
    if query.kind in (None, "fired"):
        for at, run_id in tx.all(sql.LIST_FIRED, id=deployment_id, since=since, until=until, limit=wanted):
            found.append((at, Occurrence(scheduled_at=to_datetime(at), kind="fired", deployment_run_id=run_id)))
    if query.kind != "fired" and query.kind != "upcoming":
        kinds = _KINDS if query.kind is None else [query.kind]
        lapses = tx.all(sql.LIST_LAPSES, id=deployment_id, since=since, until=until, kinds=kinds, limit=wanted)
        found += _one_by_one(lapses, since, until, wanted)
    found.sort(key=lambda each: each[0], reverse=True)
    items = [occurrence for _, occurrence in found[: query.limit]]
    onward = Position(found[query.limit - 1][0], "", "desc") if len(found) > query.limit else None
    return Found(items, onward)


def _find(tx: Tx, who: Who, deployment_id: str) -> Row:
    row = tx.one(sql.GET, id=deployment_id, workspace_id=who.workspace_id)
    if row is None:
        raise NotFound(f"Deployment `{deployment_id}` not found.")
    return row


def _render(tx: Tx, deployment_id: str, policy: Policy) -> Scheduling:
    fire_at, due_at, stalled_at, text = tx.one(sql.GET_SCHEDULE, id=deployment_id) or (None, None, None, None)
    rules = Rules() if text is None else rules_of(text)
    timing = rules.over(policy.timing)
    counts = {row[0]: row[1] for row in tx.all(sql.COUNT_LAPSES, id=deployment_id)}
    return Scheduling(
        deployment_id=deployment_id,
        catch_up=rules.catch_up,
        catch_up_window_seconds=None if rules.window is None else rules.window // SECOND,
        catch_up_limit=rules.limit,
        overlap=rules.overlap,
        effective=EffectiveTiming(
            jitter=timing.jitter,
            catch_up=timing.catch_up,
            catch_up_window_seconds=timing.window // SECOND,
            catch_up_limit=timing.limit,
            overlap=timing.overlap,
        ),
        next_occurrence_at=to_datetime_or_none(due_at),
        next_fire_at=to_datetime_or_none(fire_at),
        stalled_at=to_datetime_or_none(stalled_at),
        missed=counts.get("missed", 0),
        skipped=counts.get("skipped", 0),
    )


def _upcoming(tx: Tx, deployment_id: str, row: Row) -> Iterator[tuple[int, Occurrence]]:
    """What is to be dealt with next, and a few more."""
    kept = tx.one(sql.GET_SCHEDULE, id=deployment_id)
    schedule = sql.schedule_of(row[11], row[12])
    at = None if kept is None else kept[1]
    for _ in range(UPCOMING):
        if at is None or schedule is None:
            return
        yield at, Occurrence(scheduled_at=to_datetime(at), kind="upcoming")
        at = schedules.following(schedule, at)


def _one_by_one(lapses: list[Row], since: int, until: int, wanted: int) -> Iterator[tuple[int, Occurrence]]:
    """The occurrences of stretches, newest first, at most so many."""
    for first_at, last_at, kind, reason, expression, timezone in lapses:
        schedule = Cron(type="cron", expression=expression, timezone=timezone)
        earliest = max(first_at, since)
        at = schedules.last_until(schedule, earliest - 1, min(last_at, until))
        while at is not None and wanted > 0:
            yield at, Occurrence(scheduled_at=to_datetime(at), kind=kind, reason=reason)
            wanted -= 1
            at = schedules.last_until(schedule, earliest - 1, at - 1)
