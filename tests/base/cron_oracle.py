"""What the right occurrences are, found by looking at every minute. Shares nothing with ``rota.base.cron``.

Two oracles. ``walk`` asks the standard library for the wall-clock time of every single UTC minute; it is the definition,
and slow. ``MinuteBits`` makes every local minute of the calendar one bit of a long integer and lays these bits on the
UTC axis, one stretch of constant offset after the other; it is equally exhaustive, and looks at a year in a
fifth of a millisecond. The tests prove that the two agree.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

MINUTE_US = 60_000_000
DAY = 24 * 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DAY_BYTES = DAY // 8


def instant(text: str) -> int:
    """Microseconds UTC of ``2026-03-07 07:30``, or of any other ISO form without a zone."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def shown(instants: list[int]) -> list[str]:
    """The inverse of ``instant``, for whole minutes."""
    return [(_EPOCH + timedelta(microseconds=i)).strftime("%Y-%m-%d %H:%M") for i in instants]


@dataclass(frozen=True)
class Fields:
    """The sets of values of a valid expression, weekdays as 0 (Sunday) to 6."""

    minutes: frozenset[int]
    hours: frozenset[int]
    dates: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @classmethod
    def of(cls, expression: str) -> "Fields":
        minute, hour, dom, month, dow = expression.split()
        return cls(
            _values(minute, 0, 59),
            _values(hour, 0, 23),
            _values(dom, 1, 31),
            _values(month, 1, 12),
            frozenset(day % 7 for day in _values(dow, 0, 6)),
        )

    def on(self, day: date) -> bool:
        return day.month in self.months and day.day in self.dates and day.isoweekday() % 7 in self.weekdays

    def at(self, time: datetime) -> bool:
        return time.minute in self.minutes and time.hour in self.hours and self.on(time.date())


def _values(text: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        ends = [low, high] if span == "*" else [int(end) for end in span.split("-")]
        values.update(range(ends[0], ends[-1] + 1, int(step or 1)))
    return frozenset(values)


def walk(expression: str, zone: ZoneInfo, after_us: int, until_us: int) -> Iterator[int]:
    """Every occurrence after one instant and up to another, by asking for the local time of every minute between."""
    fields = Fields.of(expression)
    for minute in range(after_us // MINUTE_US + 1, until_us // MINUTE_US + 1):
        if fields.at((_EPOCH + timedelta(minutes=minute)).astimezone(zone)):
            yield minute * MINUTE_US


class MinuteBits:
    """One zone's clock between two UTC minutes, as stretches of constant offset."""

    def __init__(self, zone: ZoneInfo, first: int, last: int, probe_every: int = 60) -> None:
        """Find the stretches by asking for the offset every ``probe_every`` minutes, then minute by minute at a change."""
        self.first, self.last = first, last
        self.starts, self.shifts = [first], [_shift(zone, first)]
        for minute in range(first, last, probe_every):
            end = min(minute + probe_every, last)
            if _shift(zone, end) != self.shifts[-1]:
                for exact in range(minute + 1, end + 1):
                    if (shift := _shift(zone, exact)) != self.shifts[-1]:
                        self.starts.append(exact)
                        self.shifts.append(shift)

    @property
    def changes(self) -> list[int]:
        """The UTC minutes at which the wall clock jumps."""
        return self.starts[1:]

    def next_after(self, fields: Fields, after_us: int, horizon: int) -> int | None:
        """The first occurrence after an instant and at most ``horizon`` minutes later."""
        start = after_us // MINUTE_US + 1
        end, length = min(start + horizon, self.last), 3 * DAY
        while start < end:
            bits = self._bits(fields, start, min(start + length, end))
            if bits:
                return (start + (bits & -bits).bit_length() - 1) * MINUTE_US
            start, length = start + length, min(length * 6, 400 * DAY)
        return None

    def between(self, fields: Fields, after_us: int, until_us: int) -> list[int]:
        """Every occurrence after one instant and up to another."""
        start = after_us // MINUTE_US + 1
        text = bin(self._bits(fields, start, until_us // MINUTE_US + 1))[:1:-1]
        return [(start + n) * MINUTE_US for n, bit in enumerate(text) if bit == "1"]

    def _bits(self, fields: Fields, start: int, end: int) -> int:
        """Bit n is set if UTC minute ``start + n`` is an occurrence, up to but not including ``end``."""
        day_bits = sum(1 << hour * 60 + minute for hour in fields.hours for minute in fields.minutes)
        full, empty = day_bits.to_bytes(_DAY_BYTES, "little"), bytes(_DAY_BYTES)
        bits, at, n = 0, start, bisect_right(self.starts, start) - 1
        while at < end:
            stop = min(self.starts[n + 1], end) if n + 1 < len(self.starts) else end
            local, local_stop = at + self.shifts[n], stop + self.shifts[n]
            days = range(local // DAY, (local_stop - 1) // DAY + 1)
            row = b"".join(full if fields.on(date.fromordinal(_EPOCH_ORDINAL + day)) else empty for day in days)
            stretch = int.from_bytes(row, "little") >> local % DAY & (1 << stop - at) - 1
            bits |= stretch << at - start
            at, n = stop, n + 1
        return bits


def _shift(zone: ZoneInfo, minute: int) -> int:
    """The offset of the wall clock in whole minutes, rounded down: its reading has no seconds."""
    offset = (_EPOCH + timedelta(minutes=minute)).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(minutes=1)


def random_expression(random: Random) -> str:
    """A valid expression of any shape; early hours, where clocks change, more often than others."""
    hour = random.choice(["*", "*", _random_field(random, 0, 3), _random_field(random, 0, 23)])
    day_of_month = day_of_week = "*"
    match random.randrange(5):
        case 0 | 1:
            day_of_month = _random_field(random, *random.choice([(1, 31), (1, 31), (28, 31)]))
        case 2 | 3:
            day_of_week = _random_field(random, 0, 7)
        case _:
            pass
    month = _random_field(random, 1, 12) if random.random() < 0.3 else "*"
    return " ".join([_random_field(random, 0, 59), hour, day_of_month, month, day_of_week])


def _random_field(random: Random, low: int, high: int) -> str:
    a, b = sorted((random.randint(low, high), random.randint(low, high)))
    match random.randrange(8):
        case 0:
            return "*"
        case 1:
            return f"*/{random.randint(1, high - low)}"
        case 2:
            return f"{a}-{b}"
        case 3:
            return f"{a}-{b}/{random.randint(1, b - a + 1)}"
        case 4:
            return f"{a},{b},{random.randint(low, high)}"
        case _:
            return str(a)
