"""How schedules are kept: jitter, what happens to occurrences that were missed, and to those that meet a running session.

The operator sets it for the server (``ROTA_CATCH_UP`` and its kin); a deployment may depart from it. Everything here is
pure: a place in time is decided by what is given, and by nothing else.
"""

from hashlib import blake2b
from typing import Literal, TypeAlias

from msgspec import Struct

from rota.base.clock import MINUTE, SECOND

CatchUp: TypeAlias = Literal["latest", "none", "all"]
Overlap: TypeAlias = Literal["allow", "skip"]
Jitter: TypeAlias = Literal["off", "published"]

ON_TIME = MINUTE
"""An occurrence that fires less than this after it should is late; later than that it was missed. The shortest interval of
a schedule, so that at most one occurrence of a deployment is late and none is caught up with that is about to recur."""

_SHARE = (15, 100)
_FLOOR, _CEILING = 5 * SECOND, 9 * MINUTE
_FRACTIONS = 1 << 64


class Timing(Struct, frozen=True, kw_only=True):
    """One complete set of rules.

    ``catch_up``: of the occurrences that were missed, ``latest`` fires the newest if it is at most ``window`` microseconds
    old, ``all`` fires the newest ``limit`` of them, oldest first, ``none`` fires nothing. ``overlap``: ``skip`` passes an
    occurrence over while a session of its deployment is running.
    """

    jitter: Jitter = "off"
    catch_up: CatchUp = "latest"
    window: int = 60 * MINUTE
    limit: int = 100
    overlap: Overlap = "allow"


def fire_at(jitter: Jitter, deployment_id: str, due_at: int, following: int | None) -> int:
    """When an occurrence is to be fired: at its very instant, or a little later (contract, schedules: jitter).

    The delay follows from the deployment and the occurrence, so that every server comes to the same, and differs from one
    occurrence to the next. It is less than 15 % of the time until the ``following`` occurrence (at least 5 seconds, at most
    9 minutes), so that two occurrences of a deployment keep their order.
    """
    if jitter == "off":
        return due_at
    interval = _CEILING * _SHARE[1] if following is None else following - due_at
    most = min(max(interval * _SHARE[0] // _SHARE[1], _FLOOR), _CEILING)
    fraction = int.from_bytes(blake2b(f"{deployment_id} {due_at}".encode(), digest_size=8).digest())
    return due_at + fraction * most // _FRACTIONS
