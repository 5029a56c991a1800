"""The courier: shares announcements out, and has a lane for each endpoint in which its deliveries are attempted.

Promises: a slow or dead endpoint delays nobody but itself, because each has a lane of its own; an endpoint that failed last
is tried with one delivery at a time. Any number of couriers may run: what one has claimed, another passes over until the
claim ends. Stopping lets the attempts under way end and be written down. Sleeps until something is due or happens, and looks
on a slow beat besides.
"""

import asyncio
from collections.abc import Iterator
from typing import Final, NamedTuple

from rota.base import log
from rota.base.clock import Clock
from rota.base.errors import Fault
from rota.base.policy import Policy
from rota.courier import post
from rota.http.metrics import Count
from rota.queue import outbox
from rota.queue.wake import Wake
from rota.resources.webhooks import deliveries
from rota.store.db import Db

TOPICS: Final = (outbox.TOPIC, deliveries.TOPIC)
IN_FLIGHT: Final = 4
"""Attempts under way at once to one endpoint, as long as it takes what it is told."""
CONNECTIONS: Final = 1024
"""Attempts under way at once altogether."""
BEAT: Final = 5.0
"""Seconds after which the courier looks even if nothing woke it."""
_PAUSE: Final = 1.0

_logger = log.get("courier")


class _Lane(NamedTuple):
    """One endpoint's attempts, and the bell that says that more may be due."""

    task: asyncio.Task[None]
    bell: asyncio.Event


class Courier:
    """Delivers from ``start`` until ``stop``; see ``main.Engine``."""

    def __init__(self, db: Db, wake: Wake, clock: Clock, policy: Policy) -> None:
        self._db = db
        self._wake = wake
        self._clock = clock
        self._policy = policy
        self._lanes: dict[str, _Lane] = {}
        self._under_way = 0
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._attempts = {"delivered": 0, "failed": 0}
        self._disabled = 0

    def start(self) -> None:
        """Begin to deliver, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="courier")

    async def stop(self) -> None:
        """Begin nothing more, and wait until the attempts under way are written down."""
        self._stop.set()
        if self._task is not None:
            await self._task
            self._task = None

    def counts(self) -> Iterator[Count]:
        """Attempts by how they went, and endpoints that were disabled."""
        numbers = {(outcome,): float(number) for outcome, number in self._attempts.items()}
        yield Count("rota_webhook_attempts", "Attempts to deliver an event, by outcome.", ("outcome",), numbers)
        disabled = {(): float(self._disabled)}
        yield Count("rota_webhook_endpoints_disabled", "Endpoints that the server disabled itself.", (), disabled)

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pause = await self._look()
            except Fault as fault:  # the database is away: whatever waits is still there when it comes back
                _logger.warning("the courier cannot look", fault=type(fault).__name__, reason=str(fault))
                pause = _PAUSE
            except Exception as exc:
                _logger.error("the courier cannot look", exc_info=exc)
                pause = _PAUSE
            await self._rest(pause)
        for lane in self._lanes.values():
            lane.bell.set()
        await asyncio.gather(*(lane.task for lane in self._lanes.values()))

    async def _look(self) -> float:
        """Share out what waits, open lanes for what is due; the seconds until there is anything to do again."""
        while await self._db.write(deliveries.share_out, self._policy) == deliveries.SHARED_AT_ONCE:
            pass
        for endpoint_id in await self._db.read(deliveries.waiting_endpoints):
            lane = self._lanes.get(endpoint_id)
            if lane is None:
                self._open(endpoint_id)
            else:
                lane.bell.set()
        due = await self._db.read(deliveries.next_due)
        if due is None:
            return BEAT
        return min(BEAT, max(0.05, self._clock.seconds(due - self._clock.now())))

    async def _rest(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self._wake.wait(topic, seconds=seconds)) for topic in TOPICS]
        waits.append(asyncio.ensure_future(self._stop.wait()))
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in pending:
            each.cancel()

    def _open(self, endpoint_id: str) -> None:
        bell = asyncio.Event()
        task = asyncio.create_task(self._serve(endpoint_id, bell), name=f"courier {endpoint_id}")
        self._lanes[endpoint_id] = _Lane(task, bell)
        task.add_done_callback(lambda _: self._lanes.pop(endpoint_id))

    async def _serve(self, endpoint_id: str, bell: asyncio.Event) -> None:
        """Attempt what is due for one endpoint until nothing is: a few at once, the next as soon as one has ended."""
        running: set[asyncio.Task[bool]] = set()
        limit = IN_FLIGHT
        try:
            while not self._stop.is_set():
                bell.clear()
                room = min(limit - len(running), CONNECTIONS - self._under_way)
                if room > 0:
                    claimed = await self._db.write(deliveries.claim, self._policy, endpoint_id, room)
                    running |= {asyncio.create_task(self._attempt(delivery)) for delivery in claimed}
                if not running:
                    return
                ring = asyncio.ensure_future(bell.wait())
                done, pending = await asyncio.wait({*running, ring}, return_when=asyncio.FIRST_COMPLETED)
                ring.cancel()
                running = pending - {ring}
                if went := [task.result() for task in done if task is not ring]:
                    limit = IN_FLIGHT if all(went) else 1
        except Exception as exc:  # the claims end by themselves
            _logger.error("deliveries could not be attempted", endpoint_id=endpoint_id, exc_info=exc)
        finally:
            await asyncio.gather(*running, return_exceptions=True)

    async def _attempt(self, delivery: deliveries.Claimed) -> bool:
        self._under_way += 1
        try:
            attempt = await post.attempt(delivery, self._policy)
        finally:
            self._under_way -= 1
        disabled = await self._db.batch(deliveries.settle, attempt)
        self._attempts["delivered" if attempt.good else "failed"] += 1
        if disabled is not None:
            self._disabled += 1
            _logger.warning("a webhook endpoint was disabled", endpoint_id=delivery.endpoint_id, reason=disabled)
        return attempt.good
