"""The one source of time. Instants are integer microseconds since 1970-01-01 UTC.

Promises: whoever needs the time is handed a Clock, so that a test can turn it.
Does not sleep, and measures no durations (``time.monotonic`` is for those).
"""

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol, TypeAlias

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


Ruler: TypeAlias = Literal["machine", "hand", "database"]
"""Whose word on the time counts where a database is at hand. ``machine``: real time, and a database that several machines
share knows it better than any of them. ``hand``: whoever turns this clock. ``database``: what is kept there, see KeptClock."""


class Clock(Protocol):
    """Tells the time."""

    ruler: Ruler

    def now(self) -> int:
        """The present instant in microseconds UTC."""
        ...

    def seconds(self, span: int) -> float:
        """Real seconds until this clock has gone on by ``span`` microseconds; infinity if it does not go by itself."""
        ...


class SystemClock:
    """The machine's clock."""

    ruler: Ruler = "machine"

    def now(self) -> int:
        """The present instant in microseconds UTC."""
        return time.time_ns() // 1000

    def seconds(self, span: int) -> float:
        """As many as there are in ``span``."""
        return span / SECOND


class HandClock:
    """A clock that stands still until it is turned; for tests."""

    ruler: Ruler = "hand"

    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        """The instant that the hands show, in microseconds UTC."""
        return self._now

    def seconds(self, span: int) -> float:
        """None for what is over, for ever otherwise."""
        return 0.0 if span <= 0 else math.inf

    def set(self, now: int) -> None:
        """Put the hands at ``now`` (microseconds UTC), forwards or backwards."""
        self._now = now

    def advance(self, *, seconds: float) -> None:
        """Turn the hands forward."""
        self._now += int(seconds * SECOND)


class KeptClock(HandClock):
    """A clock that is turned by request and kept in the database: every process reads it there, and repeats it here for
    whoever asks outside of a transaction (``rota serve --test-clock``)."""

    ruler: Ruler = "database"


def to_datetime(instant: int) -> datetime:
    """The wire's form of an instant. Exact: no floating point in between."""
    return _EPOCH + timedelta(microseconds=instant)


def to_datetime_or_none(instant: int | None) -> datetime | None:
    """As ``to_datetime``; None stays None."""
    return None if instant is None else _EPOCH + timedelta(microseconds=instant)


def from_datetime(moment: datetime) -> int:
    """Microseconds UTC of a datetime; one without a zone is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND
