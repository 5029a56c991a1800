"""The worker: takes up sessions that want a turn, and turns many of them at once.

Promises: a session is turned by one worker at a time, because what it holds it renews, and what it has lost is refused to it;
a turn that ends in the middle, because the server stops or dies, is gone on with by whoever is next. Any number of workers
may run, here and elsewhere. Sleeps until something happens or is due, and looks on a slow beat besides, because a wake-up may
be lost and a hold may lapse. Does not know what a turn does.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from rota.base import log
from rota.base.clock import SECOND, Clock
from rota.base.errors import Fault
from rota.base.policy import Policy
from rota.http.metrics import Count, Spread
from rota.queue.wake import Wake
from rota.resources.agents.prices import Price
from rota.resources.sessions import turns
from rota.resources.sessions.turns import Claim, Fenced
from rota.runtime.advance import Limits
from rota.runtime.attachments import Attachments
from rota.runtime.previews import NoPreviews, Previews
from rota.runtime.provider import Provider
from rota.runtime.tallies import Tallies
from rota.runtime.tool import Workshop
from rota.runtime.turn import Parts, Turn
from rota.store.blob import Blobs
from rota.store.db import Db

TOPICS: Final = (turns.TOPIC,)
"""What wakes a worker."""
BEAT: Final = 1.0
"""Seconds between two looks at most: how long it takes to see what another process has done, where nothing rings across."""
HOLD: Final = 30 * SECOND
RENEW: Final = 8.0
"""For how long a session is held, and the seconds after which that is said again."""
AT_ONCE: Final = 32
"""Sessions that are taken up by one transaction."""
_logger = log.get("worker")


class Worker:
    """Turns sessions from ``start`` until ``stop``; see ``main.Engine``."""

    def __init__(
        self,
        db: Db,
        wake: Wake,
        clock: Clock,
        policy: Policy,
        provider: Provider,
        workshop: Workshop,
        previews: Previews | None = None,
        *,
        blobs: Blobs,
    ) -> None:
        self._db = db
        self._wake = wake
        self._clock = clock
        self._limit = policy.turning.sessions
        self._tallies = Tallies()
        self._parts = Parts(
            db=db,
            provider=provider,
            workshop=workshop,
            previews=previews or NoPreviews(),
            attachments=Attachments(db, blobs),
            limits=Limits(
                policy.turning.attempts,
                policy.turning.requests,
                {name: Price(*dollars) for name, dollars in policy.priced_models.items()},
            ),
            tallies=self._tallies,
        )
        self._patience = policy.turning.patience
        self._turns: dict[str, tuple[Turn, asyncio.Task[None]]] = {}
        self._ended = asyncio.Event()
        self._crowded = asyncio.Event()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._tasks = [
            asyncio.create_task(self._run(), name="worker"),
            asyncio.create_task(self._renew(), name="holds"),
        ]

    async def stop(self) -> None:
        """Take nothing up any more, let the steps under way end, within reason, and give the sessions up."""
        self._stop.set()
        for task in self._tasks[:1]:
            await task
        for turn, _ in self._turns.values():
            turn.stop()
        tasks = [task for _, task in self._turns.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for task in self._tasks[1:]:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        await self._parts.provider.close()

    def counts(self) -> Iterator[Count | Spread]:
        """What turns have done."""
        yield from self._tallies.counts()

    async def _run(self) -> None:
        begun = False
        while not self._stop.is_set():
            try:
                if not begun:
                    await self._begin()
                    begun = True
                pause = await self._look()
            except Fault as fault:
                _logger.warning("the worker cannot look", fault=type(fault).__name__, reason=str(fault))
                pause = BEAT
            except Exception as exc:
                _logger.error("the worker cannot look", exc_info=exc)
                pause = BEAT
            await self._rest(pause)

    async def _begin(self) -> None:
        """An embedded database has one server: whoever held sessions there is gone."""
        if self._db.name == "sqlite" and (lapsed := await self._db.write(turns.lapse)):
            _logger.info("sessions are gone on with that were under way when the server ended", sessions=lapsed)

    async def _look(self) -> float:
        """Take up what wants a turn, tell turns of their interrupts; seconds until there may be something again."""
        self._ended.clear()
        if self._turns:
            for session_id in await self._db.read(turns.interrupted, list(self._turns)):
                if session_id in self._turns:
                    self._turns[session_id][0].look()
        while (room := min(AT_ONCE, self._limit - len(self._turns))) > 0:
            wait = await self._db.read(turns.wanting_in, list(self._turns))
            claimed = [] if wait != 0 else await self._db.write(turns.claim, room, HOLD, list(self._turns))
            for claim in claimed:
                self._take(claim)
            if not claimed:  # nothing is wanted yet, or another worker is just taking it up
                self._crowded.clear()
                return min(BEAT, self._clock.seconds(wait)) if wait else BEAT
        self._crowded.set()
        return BEAT

    async def _rest(self, seconds: float) -> None:
        waits = [
            asyncio.ensure_future(self._wake.wait(turns.TOPIC, seconds=seconds)),
            asyncio.ensure_future(self._stop.wait()),
            asyncio.ensure_future(self._ended.wait()),
        ]
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in pending:
            each.cancel()

    def _take(self, claim: Claim) -> None:
        turn = Turn(self._parts, claim)
        task = asyncio.create_task(self._turn(turn), name=f"turn {claim.session_id}")
        self._turns[claim.session_id] = turn, task

    async def _turn(self, turn: Turn) -> None:
        """One turn, whatever becomes of it. One that fails keeps its hold, which lapses: a failure is not tried again at once."""
        end = "failed"
        try:
            end = "rest" if await turn.run(crowded=self._crowded) else "parted"
        except Fenced:
            end = "lost"
            _logger.info("a turn was lost", session_id=turn.claim.session_id)
        except Fault as fault:
            _logger.warning("a turn cannot go on", session_id=turn.claim.session_id, reason=str(fault))
        except asyncio.CancelledError:
            if turn.lost:
                end = "lost"
                _logger.info("a turn was lost, and is stopped", session_id=turn.claim.session_id)
                return
            end = "parted"
            with suppress(Exception):
                await self._db.write(turns.hand_back, [turn.claim])
            raise
        except Exception as exc:
            _logger.error("a turn failed", session_id=turn.claim.session_id, exc_info=exc)
        finally:
            self._tallies.turns[end] += 1
            del self._turns[turn.claim.session_id]
            self._ended.set()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW)
            held = [turn.claim for turn, _ in self._turns.values()]
            if not held:
                continue
            try:
                for session_id in await self._db.write(turns.renew, held, HOLD):
                    if session_id in self._turns:
                        turn, task = self._turns[session_id]
                        turn.lost = True
                        task.cancel()
            except Exception as exc:
                _logger.warning("holds could not be renewed", reason=str(exc))
