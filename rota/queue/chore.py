"""Chores: housekeeping that a room wants done now and then, whatever is asked of the server meanwhile.

A room exports them, ``api.py`` lists them, and ``scheduler/sweeper.py`` does them. Promises of whoever writes one: it may be
done by several servers at once, may be cut short, and does a bounded amount of work at a time.
"""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from rota.base.policy import Policy
from rota.store.blob import Blobs
from rota.store.db import Db


class Tools(Struct, frozen=True):
    """What chores work with."""

    db: Db
    blobs: Blobs
    policy: Policy


class Chore(Struct, frozen=True):
    """One kind of housekeeping: ``run`` is awaited every ``seconds`` and tells how many things it tidied away."""

    name: str
    seconds: float
    run: Callable[[Tools], Awaitable[int]]
