"""The ticker: fires schedules when they are due.

It sleeps until the next schedule is due, is woken when one changes (``queue.wake``), and looks at each whole minute and
every few seconds besides, because a wake-up may be lost, and what other processes change may not ring here at all: an
occurrence is a whole minute, so nothing that another process adds can be due before the next one.

Promises: fires nothing early and everything that is due, by the database's clock where it has one, in batches small enough
that others are hardly held up; a deployment that cannot be fired does not hold up the others, and is recorded as failed, or
at least left alone for an hour; the loop outlives whatever goes wrong. Any number of tickers may run, here and elsewhere.
Holds no state that matters: everything that decides is in the database.
"""

import asyncio
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from rota.base import cron, log
from rota.base.clock import MINUTE, SECOND, Clock, KeptClock, to_datetime
from rota.base.errors import Fault
from rota.base.policy import Policy
from rota.http.metrics import Count, Spread
from rota.queue.wake import Wake
from rota.queue.wakes.local import LocalWake
from rota.resources.deployments import due, review, schedules
from rota.resources.deployments.due import Happened, Look
from rota.store.db import Db
from rota.store.tx import Tx

FIRES = (schedules.TOPIC,)
"""What wakes a ticker."""
BATCH = {"sqlite": 300, "postgres": 600}
"""Deployments that one transaction fires. Larger ones gain little, and hold others up where there is one writer; decision 24."""
_SMALLEST = 16
BEAT = 5.0
"""Seconds between two looks at most."""
_PATIENCE = 1.0
"""Seconds without progress after which a batch no longer waits for its turn: whoever has it may have been stopped."""
_SPELL = 0.01
"""Seconds, about, until a batch that found its turn taken, or its rows, tries again."""
_BACKOFF = (0.2, 5.0)
_REVIEWED = 500
_REVIEW_EVERY = 6 * 3600.0
"""How many schedules are looked at in one transaction, and the seconds from one review to the next."""
_LOGGED = 20
"""Lapses that one line of the log names."""
_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_logger = log.get("ticker")


class Ticker:
    """Fires what is due. ``start`` begins, ``stop`` ends; see ``main.Engine``."""

    def __init__(self, db: Db, clock: Clock, policy: Policy, *, wake: Wake | None = None, beat: float = BEAT) -> None:
        self._db = db
        self._clock = clock
        self._policy = policy
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = LocalWake(db, [schedules.TOPIC]) if wake is None else wake
        self._beat = beat
        self._most = self._size = BATCH[db.name]
        self._began = False
        self._latest = 0
        self._late = [0] * (len(_BOUNDS) + 1)
        self._lateness = 0.0
        self._tallies: dict[str, Counter[str]] = {
            name: Counter() for name in ("fires", "missed", "skipped", "paused", "troubles")
        }
        self._looks = 0

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._review_again())]

    async def stop(self) -> None:
        """End. A batch that the store has begun is finished there."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    async def fire(self) -> Look:
        """Fire until nothing is due; what is due next."""
        if not self._began:
            await self._begin()
        present = asyncio.get_running_loop().time
        blocked_since, blocked_by = 0.0, None
        while True:
            look = await self._db.read(due.look)
            self._looks += 1
            if look.now < self._latest - SECOND:
                await self.review()
                look = await self._db.read(due.look)
            self._latest = look.now
            if look.fire_at is None or look.fire_at > look.now:
                return look
            overtake = look.deployment_id == blocked_by and present() - blocked_since > _PATIENCE
            happened = await self._batch(overtake=overtake)
            if happened.taken:
                continue
            if look.deployment_id != blocked_by:
                blocked_since, blocked_by = present(), look.deployment_id
            await asyncio.sleep(_SPELL * random.uniform(0.5, 1.5))  # noqa: S311 - keeps tickers apart, hides nothing

    async def walk(self, until: int, clock: KeptClock, put: Callable[[Tx, int], None]) -> None:
        """Take ``clock`` to ``until``, through every moment at which something is due, in order.

        A stretch of it is one transaction, which also keeps the clock (``put``).
        """

        def stretch(tx: Tx) -> tuple[int, list[Happened]]:
            reached, happened = due.walk(tx, self._policy, until, self._most)
            put(tx, reached)
            return reached, happened

        def step(tx: Tx) -> int:
            look = due.look(tx)
            reached = until if look.fire_at is None else min(until, max(look.fire_at, look.now))
            put(tx, reached)
            return reached

        reached = (await self.fire()).now
        while reached < until:
            try:
                reached, happened = await self._db.write(stretch)
                for each in happened:
                    self._note(each)
            except Fault:
                raise
            except Exception as exc:  # one of them cannot be fired: on foot, then, which finds out who
                _logger.warning("a stretch of time is walked step by step", reason=str(exc))
                reached = await self._db.write(step)
            clock.set(reached)
            await self.fire()

    async def review(self) -> int:
        """Work out anew when each schedule is due, and mend what differs; how many did. See ``deployments/review``."""
        changed, after = 0, ""
        while after is not None:
            wrong, after = await self._db.read(review.differing, self._policy, after, _REVIEWED)
            if wrong:
                changed += await self._db.write(review.mend, self._policy, wrong)
        await self._db.write(review.settle, self._policy)
        if changed:
            _logger.info("schedules were dated anew", changed=changed, time_zones=cron.edition())
        return changed

    async def _begin(self) -> None:
        """Before the first fire, see whether the dates in the database are still the right ones."""
        need = await self._db.read(review.need, self._policy)
        if need == "all":
            await self.review()
        elif need == "outdated":
            _logger.warning("another server has newer time zones; update the tzdata package here", have=cron.edition())
        self._began = True

    async def _review_again(self) -> None:
        """Now and then, beside the firing: servers with older time zones may have been at work meanwhile."""
        while True:
            await asyncio.sleep(_REVIEW_EVERY)
            try:
                if await self._db.read(review.need, self._policy) != "outdated":
                    await self.review()
            except Exception as exc:  # the next time may be better
                self._trouble(exc, loud=True)

    def counts(self) -> Iterator[Count | Spread]:
        """What has been done, for the metrics."""
        for name, label, text in (
            ("fires", "outcome", "Scheduled runs by outcome: session, or the run error."),
            ("missed", "reason", "Occurrences of schedules that did not fire, by reason."),
            ("skipped", "reason", "Occurrences of schedules that were passed over, by reason."),
            ("paused", "error", "Deployments that a failed fire paused, by run error."),
            ("troubles", "kind", "What went wrong with firing itself."),
        ):
            numbers: dict[tuple[str, ...], float] = {(value,): n for value, n in self._tallies[name].items()}
            yield Count(f"rota_schedule_{name}", text, (label,), numbers)
        yield Count(
            "rota_schedule_looks", "Looks at what is due; they stop when the ticker does.", (), {(): self._looks}
        )
        yield Spread(
            "rota_schedule_lateness_seconds", "How long after its moment a scheduled run was made.",
            _BOUNDS, self._late, self._lateness,
        )  # fmt: skip

    async def _run(self) -> None:
        delay, well = _BACKOFF[0], True
        while True:
            try:
                pause = self._until(await self.fire())
                if not well:
                    _logger.info("firing goes on")
                delay, well = _BACKOFF[0], True
            except Exception as exc:  # whatever it was, the next look may go better
                self._trouble(exc, loud=well)
                pause, delay, well = delay, min(delay * 2, _BACKOFF[1]), False
            await self._wake.wait(schedules.TOPIC, seconds=pause)

    def _until(self, look: Look) -> float:
        """Seconds to sleep."""
        minute = MINUTE - look.now % MINUTE
        ahead = minute if look.fire_at is None else min(look.fire_at - look.now, minute)
        return min(self._clock.seconds(ahead), self._beat)

    def _trouble(self, error: Exception, *, loud: bool) -> None:
        kind = type(error).__name__ if isinstance(error, Fault) else "unexpected"
        self._tallies["troubles"][kind] += 1
        if not isinstance(error, Fault):
            _logger.error("firing failed", exc_info=error)
        elif loud:
            _logger.warning("firing has to wait", fault=kind, reason=str(error))

    async def _batch(self, *, overtake: bool) -> Happened:
        try:
            happened = await self._db.write(due.fire, self._policy, self._size, overtake=overtake)
        except Fault:
            self._size = max(self._size // 2, _SMALLEST)  # a smaller one is less in others' way
            raise
        except Exception as exc:
            _logger.error("a batch failed; its deployments are fired one by one", exc_info=exc)
            self._tallies["troubles"]["batch"] += 1
            return await self._apart(await self._db.read(due.due_ids, self._size))
        self._size = min(self._size * 2, self._most)
        self._note(happened)
        return happened

    async def _apart(self, deployment_ids: Sequence[str]) -> Happened:
        """Fire a set that failed in halves, down to whoever is to blame."""
        if not deployment_ids:  # another server has fired them meanwhile
            return Happened()
        if len(deployment_ids) == 1:
            return await self._alone(deployment_ids[0])
        middle = len(deployment_ids) // 2
        for half in (deployment_ids[:middle], deployment_ids[middle:]):
            try:
                self._note(await self._db.write(due.fire, self._policy, 0, only=half, overtake=True))
            except Fault:
                raise
            except Exception:
                await self._apart(half)
        return Happened(taken=len(deployment_ids))

    async def _alone(self, deployment_id: str) -> Happened:
        """One deployment that failed: once more, then recorded as failed, then left alone."""
        try:
            happened = await self._db.write(due.fire, self._policy, 0, only=[deployment_id], overtake=True)
        except Fault:
            raise
        except Exception as exc:
            _logger.error("a scheduled fire failed unexpectedly", deployment_id=deployment_id, exc_info=exc)
            try:
                happened = await self._db.write(due.record_failure, self._policy, deployment_id)
                self._tallies["troubles"]["recorded"] += 1
            except Fault:
                raise
            except Exception as worse:
                await self._db.write(due.stall, deployment_id)
                self._tallies["troubles"]["stalled"] += 1
                _logger.error(
                    "a scheduled fire could not even be recorded; the deployment is left alone for an hour",
                    deployment_id=deployment_id, exc_info=worse,
                )  # fmt: skip
                return Happened(taken=1)
        self._note(happened)
        return Happened(taken=1)

    def _note(self, happened: Happened) -> None:
        for late in happened.late:
            seconds = late / SECOND
            self._late[bisect_left(_BOUNDS, seconds)] += 1
            self._lateness += seconds
        self._tallies["fires"].update("session" if error is None else error for error in happened.errors)
        self._tallies["paused"].update(happened.paused)
        for lapse in happened.lapses:
            self._tallies[lapse.kind][lapse.reason] += lapse.count
        if happened.paused:
            _logger.warning("scheduled fires failed and paused their deployments", errors=Counter(happened.paused))
        if happened.archived:
            _logger.warning("deployments whose agent is gone were archived", count=happened.archived)
        for kind, say in (("missed", _logger.warning), ("skipped", _logger.info)):
            lapses = [lapse for lapse in happened.lapses if lapse.kind == kind]
            if lapses:
                say(
                    f"occurrences were {kind}",
                    occurrences=sum(lapse.count for lapse in lapses),
                    deployments=len(lapses),
                    which=[_shown(lapse) for lapse in lapses[:_LOGGED]],
                )


def _shown(lapse: schedules.Lapse) -> str:
    """A lapse as the log has it; all of them are listed under ``/rota/v1/deployments/{id}/occurrences``."""
    first, last = (to_datetime(instant).strftime("%Y-%m-%dT%H:%MZ") for instant in (lapse.first_at, lapse.last_at))
    return f"{lapse.deployment_id} {lapse.reason} {lapse.count} {first}..{last}"
