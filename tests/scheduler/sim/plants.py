"""Bugs that are planted on purpose, to see that the simulation finds them: each in a few seeds, or it proves little."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from rota.base.timing import Timing
from rota.resources.deployments import due, failures, review, schedules, sql, verdicts
from rota.scheduler.ticker import Ticker
from rota.store.tx import Query, Update

Plant = Callable[[contextlib.ExitStack], None]
LAST_RUN = Query("When it ran.", "UPDATE schedules SET last_run_at = :now WHERE deployment_id = :id")


def _set(stack: contextlib.ExitStack, where: Any, name: str, what: Any) -> None:
    stack.enter_context(patch.object(where, name, what))


def _fires_early(stack: contextlib.ExitStack) -> None:
    _set(stack, sql, "CLAIM", Query("Early.", sql.CLAIM.text.replace("<= :now", "<= :now + 900000")))
    _set(
        stack,
        sql,
        "FIRST_DUE",
        Query("Early.", sql.FIRST_DUE.text.replace("SELECT fire_at,", "SELECT fire_at - 900000,")),
    )


def _fires_in_two_steps(stack: contextlib.ExitStack) -> None:
    """Two transactions where there should be one: what is between them is lost in a crash."""

    def advance(tx: Any, policy: Any, limit: int) -> list[Any]:
        rows = [verdicts.pending(row) for row in tx.all(sql.CLAIM, now=tx.now, limit=limit)]
        decided = due._decide(tx, rows, policy)
        due._move_on(tx, decided, {}, set(), policy)
        return [due._to_fire(each, verdict.fires, policy) for each, verdict in decided if verdict.fires is not None]

    def make(tx: Any, fires: Any, policy: Any) -> None:
        for fire, record in zip(fires, due.run(tx, fires), strict=True):
            due.announce_all(tx, due._told(fire.who, record))
            if record.error is None:
                tx.run(LAST_RUN, id=fire.deployment_id, now=tx.now)
            elif failures.failure(record.error.type).pauses:
                schedules.stop(tx, [fire.deployment_id])
                due._pause(tx, [(fire.who, fire.deployment_id, record.error.type)])

    async def batch(self: Ticker, *, overtake: bool) -> Any:
        del overtake
        fires = await self._db.write(advance, self._policy, self._size)
        if fires:
            await self._db.write(make, fires, self._policy)
        return due.Happened(taken=len(fires))

    _set(stack, Ticker, "_batch", batch)


def _loses_what_was_missed(stack: contextlib.ExitStack) -> None:
    original = verdicts.decide

    def decide(*args: Any, **more: Any) -> Any:
        verdict = original(*args, **more)
        return replace(verdict, lapses=tuple(each for each in verdict.lapses if each.kind != "missed"))

    _set(stack, verdicts, "decide", decide)


def _counts_one_too_few(stack: contextlib.ExitStack) -> None:
    original = schedules.stretch

    def stretch(*args: Any) -> Any:
        lapse = original(*args)
        return replace(lapse, count=max(1, lapse.count - 1))

    _set(stack, schedules, "stretch", stretch)


def _fires_while_paused(stack: contextlib.ExitStack) -> None:
    _set(stack, schedules, "stop", lambda _tx, _ids: None)


def _stops_in_silence(stack: contextlib.ExitStack) -> None:
    _set(stack, sql, "OVERDUE", Query("Nothing.", sql.OVERDUE.text + " AND 1 = 0"))


def _backfills(stack: contextlib.ExitStack) -> None:
    original = schedules.begin

    def begin(tx: Any, deployment_id: str, schedule: Any, timing: Any, *, new: bool = False) -> None:
        original(tx, deployment_id, schedule, timing, new=new)
        earlier = schedules.following(schedule, tx.now - 180_000_000)
        if not new and earlier is not None and earlier <= tx.now:
            tx.run(Query("Back.", "UPDATE schedules SET accounted_at = :d - 1, due_at = :d, fire_at = :d WHERE deployment_id = :i"),
                   d=earlier, i=deployment_id)  # fmt: skip

    _set(stack, schedules, "begin", begin)


def _failed_fires_move_last_run(stack: contextlib.ExitStack) -> None:
    text = sql.ADVANCE.text.replace("coalesce(v.last_run_at, schedules.last_run_at)", "v.accounted_at")
    _set(stack, sql, "ADVANCE", Update("Wrong.", text, sql.ADVANCE.columns))


def _never_pauses(stack: contextlib.ExitStack) -> None:
    _set(stack, sql, "PAUSE_FAILED", Query("Nothing.", sql.PAUSE_FAILED.text + " AND 1 = 0"))


def _pauses_for_everything(stack: contextlib.ExitStack) -> None:
    original = failures.failure
    _set(stack, failures, "failure", lambda kind: replace(original(kind), pauses=True))


def _fires_move_updated_at(stack: contextlib.ExitStack) -> None:
    _set(
        stack,
        sql,
        "PAUSE_FAILED",
        Query("Moves.", sql.PAUSE_FAILED.text.replace("SET status", "SET updated_at = updated_at + 1, status")),
    )


def _fires_the_oldest(stack: contextlib.ExitStack) -> None:
    _set(stack, verdicts, "_newest", lambda due_, _timing, _after, _now: due_.due_at)


def _ignores_running_sessions(stack: contextlib.ExitStack) -> None:
    _set(stack, sql, "WITH_SESSION_RUNNING", Query("None.", sql.WITH_SESSION_RUNNING.text + " AND 1 = 0"))


def _ignores_jitter(stack: contextlib.ExitStack) -> None:
    _set(stack, schedules, "moment", lambda _timing, _id, _schedule, due_at: due_at)


def _says_nothing(stack: contextlib.ExitStack) -> None:
    _set(stack, due, "_told", lambda _who, _record: [])


def _begins_anew_at_each_start(stack: contextlib.ExitStack) -> None:
    def mend(tx: Any, policy: Any, deployment_ids: Any) -> int:
        for row in tx.all(sql.REVIEW_THESE, ids=deployment_ids):
            schedules.begin(tx, row[0], review._schedule(row), policy.timing)
        return len(deployment_ids)

    _set(stack, review, "need", lambda _tx, _policy: "all")
    _set(stack, review, "_right", lambda row, _now, _policy: row[1] != "active")
    _set(stack, review, "mend", mend)


def _forgets_what_is_due_when_something_else_changes(stack: contextlib.ExitStack) -> None:
    def hold(tx: Any, deployment_id: str) -> None:
        [schedule] = tx.all(
            Query("Its text.", "SELECT expression, timezone FROM schedules WHERE deployment_id = :id"), id=deployment_id
        )
        schedules.begin(tx, deployment_id, sql.schedule_of(*schedule), Timing())

    _set(stack, schedules, "hold", hold)


def _catches_up_beyond_the_window(stack: contextlib.ExitStack) -> None:
    _set(stack, verdicts, "_fires", lambda _timing, _occurrence, _moment, _now: True)


def _makes_up_for_one_too_many(stack: contextlib.ExitStack) -> None:
    original = verdicts._oldest_within
    _set(
        stack,
        verdicts,
        "_oldest_within",
        lambda schedule, first, newest, limit: original(schedule, first, newest, limit + 1),
    )


PLANTS: dict[str, Plant] = {
    name.strip("_").replace("_", "-"): plant
    for name, plant in list(globals().items())
    if name.startswith("_") and callable(plant) and getattr(plant, "__module__", "") == __name__ and name != "_set"
}


@contextlib.contextmanager
def planted(name: str | None) -> Iterator[None]:
    """With one of the bugs in place, or none."""
    with contextlib.ExitStack() as stack:
        if name is not None:
            PLANTS[name](stack)
        yield
