"""The request limiter: how many requests an organization may make in a minute, for a server that others call carelessly.

Promises: of creates, and of all other requests, no more than the operator's figure is let through in any sixty seconds;
who is refused is told after how many whole seconds there is room again; memory is bounded by the two figures, eight bytes
for each. What a create is follows from the route table: a route that makes something and may be repeated with an
Idempotency-Key. A run is none (contract, decisions: it counts as a read), and whatever needs no key is not counted at all.
Does not reach over processes: each API process counts for itself (decision 0023). Knows nothing of the limiter of new
sessions, which is the workspaces room's and lives in the database.
"""

from array import array
from typing import Literal, TypeAlias

from rota.base.clock import MINUTE, SECOND, Clock
from rota.base.errors import RateLimited
from rota.http.route import Route

Kind: TypeAlias = Literal["create", "read"]


def kind_of(route: Route) -> Kind:
    """Which of the two figures a route's requests count towards."""
    return "create" if route.creates and route.writes else "read"


class _Window:
    """The instants of the last requests that were let through, a ring of as many as a minute may have."""

    __slots__ = ("_at", "_instants", "_limit", "_newest")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._instants = array("q")
        self._at = 0
        self._newest = 0

    def take(self, now: int) -> int:
        """Let a request through and give 0, or give the microseconds until one would be."""
        if now < self._newest:  # the clock was set back: what is ahead of it says nothing about the last minute
            del self._instants[:]
            self._at = 0
        if len(self._instants) < self._limit:
            self._instants.append(now)
        else:
            wait = self._instants[self._at] + MINUTE - now
            if wait > 0:
                return wait
            self._instants[self._at] = now
            self._at = (self._at + 1) % self._limit
        self._newest = now
        return 0


class Limiter:
    """Counts requests by organization. A figure of 0 lets everything through."""

    def __init__(self, clock: Clock, *, creates_per_minute: int, reads_per_minute: int) -> None:
        self._clock = clock
        self._limits: dict[Kind, int] = {"create": creates_per_minute, "read": reads_per_minute}
        self._windows: dict[tuple[Kind, str], _Window] = {}

    def check(self, route: Route, organization_id: str) -> None:
        """Count a request that was admitted. RateLimited if it is one too many; it is then not counted."""
        kind = kind_of(route)
        limit = self._limits[kind]
        if not limit:
            return
        window = self._windows.get((kind, organization_id))
        if window is None:
            window = self._windows[kind, organization_id] = _Window(limit)
        if wait := window.take(self._clock.now()):
            route.tally.limited += 1
            raise RateLimited(
                f"The organization has made {limit} {kind} requests within a minute, which is its limit; "
                "try again after the seconds that retry-after names.",
                retry_after=-(-wait // SECOND),
            )


def limiter(clock: Clock, *, creates_per_minute: int, reads_per_minute: int) -> Limiter | None:
    """The limiter that the two figures ask for; None, which costs a request nothing, if neither does."""
    if not creates_per_minute and not reads_per_minute:
        return None
    return Limiter(clock, creates_per_minute=creates_per_minute, reads_per_minute=reads_per_minute)
