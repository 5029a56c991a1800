"""The sweeper: does the chores that the rooms have listed, again and again, for as long as the server runs.

Promises: a chore that fails is logged and spoils neither the others nor its own next time; chores are due by the house's
clock, and a clock that is turned is noticed within seconds; several servers do not sweep at the same moment, because each
waits a little longer or shorter than told. Does not decide what is tidied, and keeps no state that matters.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from rota.base import log
from rota.base.clock import SECOND, Clock
from rota.base.errors import Fault
from rota.http.metrics import Count
from rota.queue.chore import Chore, Tools

_LONGEST = 5.0
_SHORTEST = 0.05
"""Seconds that one sleep lasts at most, since the clock may be turned meanwhile, and at least."""
_JITTER = 0.1
_logger = log.get("sweeper")


class _Record:
    """How one chore is doing."""

    def __init__(self, chore: Chore, due: int) -> None:
        self.chore = chore
        self.due = due
        self.runs = 0
        self.failures = 0
        self.tidied = 0
        self.seconds = 0.0


class Sweeper:
    """Does chores. ``start`` begins, ``stop`` cuts short what is under way; see ``main.Engine``."""

    def __init__(self, chores: Sequence[Chore], tools: Tools, clock: Clock) -> None:
        self._tools = tools
        self._clock = clock
        now = clock.now()
        self._records = [_Record(chore, now + _spread(chore.seconds * random.random())) for chore in chores]  # noqa: S311 - spreads work, hides nothing
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="sweeper")

    async def stop(self) -> None:
        """End, and wait until nothing is under way."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def sweep(self) -> None:
        """Do what is due, one chore after the other."""
        for record in self._records:
            now = self._clock.now()
            if record.due <= now:
                await self._do(record)
                record.due = self._clock.now() + _wait(record.chore)
            else:  # the clock may have gone back, and what was near would be far
                record.due = min(record.due, now + _spread(record.chore.seconds * (1 + _JITTER)))

    def counts(self) -> Iterator[Count]:
        """What has been done, for the metrics."""
        yield Count(
            "rota_chore_runs", "Housekeeping by chore and outcome.", ("chore", "outcome"),
            {(each.chore.name, outcome): number for each in self._records for outcome, number in
             (("done", each.runs), ("failed", each.failures))},
        )  # fmt: skip
        yield Count(
            "rota_chore_tidied", "Things that housekeeping tidied away.", ("chore",),
            {(each.chore.name,): each.tidied for each in self._records},
        )  # fmt: skip
        yield Count(
            "rota_chore_seconds", "Time spent on housekeeping.", ("chore",),
            {(each.chore.name,): each.seconds for each in self._records},
        )  # fmt: skip

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause())
            await self.sweep()

    def _pause(self) -> float:
        """Seconds until something may be due."""
        now = self._clock.now()
        nearest = min((record.due - now for record in self._records), default=_spread(_LONGEST))
        return min(max(nearest / SECOND, _SHORTEST), _LONGEST)

    async def _do(self, record: _Record) -> None:
        started = time.perf_counter()
        try:
            record.tidied += await record.chore.run(self._tools)
            record.runs += 1
        except Fault as fault:  # the database or the place for files is away; the chore can wait
            record.failures += 1
            _logger.warning("a chore failed", chore=record.chore.name, fault=type(fault).__name__, reason=str(fault))
        except Exception as exc:  # the next time may be better
            record.failures += 1
            _logger.warning("a chore failed", chore=record.chore.name, exc_info=exc)
        finally:
            record.seconds += time.perf_counter() - started


def _wait(chore: Chore) -> int:
    return _spread(chore.seconds * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - spreads work, hides nothing


def _spread(seconds: float) -> int:
    return int(seconds * SECOND)
