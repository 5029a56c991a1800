"""When a schedule fires: the occurrences of a cron expression in a time zone, as exact UTC instants.

Promises (contract, schedules): an occurrence is a whole UTC minute at which the zone's wall clock shows a matching minute,
hour and date. So a local time that a clock change leaves out does not fire, and one that it repeats fires twice. The
functions are pure; their work is bounded whatever the expression, the zone and the instant.
Does not read the clock, jitter, or know what was already fired.

How. Between two changes of its offset, a zone's wall clock runs as evenly as UTC. So: read the wall clock, find its next
matching reading by the calendar alone (bit masks, no zone), and see whether the clock will have run evenly until then. If
so, the difference of the readings is the time to wait. If not, continue from the minute of the change. A match that is far
away is approached first, because only a short stretch can be judged by its two ends: no zone has ever changed its offset
twice within less than ``_REACH`` (a test looks at every zone).

Readings and instants are counted in minutes. Offsets with odd seconds (Liberia until 1972) need no care of their own: at a
whole UTC minute, the wall clock's seconds are simply not looked at.

Zones come from the ``tzdata`` package and never from the machine: the same expression must give the same instants on a
laptop, in a container without a zone database, and on both servers of a pair. An operator brings a new edition by upgrading
that package and restarting. The process-wide search path of ``zoneinfo`` is left alone.
"""

from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

import tzdata

from rota.base.clock import DAY, MINUTE
from rota.base.cron_grammar import Cron, CronError, parse, quoted

__all__ = [
    "HORIZON", "Cron", "CronError", "ZoneInfo", "check", "count", "edition", "last_until", "next_after", "parse",
    "upcoming", "zone",
]  # fmt: skip

HORIZON: Final = 12 * 366 * DAY
"""How far ahead ``next_after`` looks at least, in microseconds: 29 February of 2096 and of 2104 are 8 years apart."""

_YEAR: Final = 367 * DAY
"""The year within which a new schedule must fire. Two yearly occurrences can be 366 days and the shift of a clock apart,
and a schedule that fires every year is never refused."""

_DAY_MINUTES: Final = 24 * 60
_REACH: Final = 3 * _DAY_MINUTES
"""In minutes. More than the offsets of any one zone ever differed (26 hours), less than two changes were ever apart (167)."""

_MONTHS_AHEAD: Final = 12 * 12 + 1
_FIRST: Final = int(datetime(2, 1, 1, tzinfo=UTC).timestamp()) // 60
_LAST: Final = int(datetime(9980, 1, 1, tzinfo=UTC).timestamp()) // 60
_FEBRUARY: Final = 2
_MONTH_LENGTHS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def zone(name: str) -> ZoneInfo:
    """Find the time zone of an IANA name, spelled exactly as in the database.

    Raises CronError for every other text: unknown or differently capitalised names, paths, ``localtime``, nothing.
    """
    if name not in _zone_names():
        raise CronError(f"{quoted(name)} is not a valid IANA timezone", field="timezone")
    return _load_zone(name)


def next_after(cron: Cron, zone: ZoneInfo, after_us: int) -> int | None:
    """Find the first occurrence strictly after an instant; both in microseconds UTC.

    None if there is none within ``HORIZON`` (31 February, say), or outside the years 2 to 9980.
    """
    minute = after_us // MINUTE + 1
    last = min(minute + HORIZON // MINUTE, _LAST)
    while _FIRST <= minute <= last:
        local = datetime.fromtimestamp(minute * 60, zone)
        match = _next_match(cron, local)
        if match is None:
            return None
        reading = local.toordinal() * _DAY_MINUTES + local.hour * 60 + local.minute
        wait = match - reading
        if not wait:
            return minute * MINUTE
        reach = minute + min(wait, _REACH)
        if _reading(zone, reach) - reach != reading - minute:
            minute = _change(zone, minute, reach)
        elif wait <= _REACH:
            return reach * MINUTE
        else:
            # Until ``_REACH`` before the match nothing can fire: behind an even stretch of that length, no change of the
            # clock is great enough to set it back to this reading, or forward to the match.
            minute = max(reach, minute + wait - _REACH)
    return None


def upcoming(cron: Cron, zone: ZoneInfo, after_us: int, count: int = 5) -> list[int]:
    """List the first ``count`` occurrences strictly after an instant, ascending, in microseconds UTC; fewer if there are no more."""
    instants: list[int] = []
    instant: int | None = after_us
    while len(instants) < count and (instant := next_after(cron, zone, instant)) is not None:
        instants.append(instant)
    return instants


def last_until(cron: Cron, zone: ZoneInfo, after_us: int, until_us: int) -> int | None:
    """Find the last occurrence after one instant and at or before another; None if there is none between them.

    Looks back from the later end in strides that double, and then halves the way: some thirty looks at most.
    """
    low, high = after_us // MINUTE, until_us // MINUTE
    stride, found = 1, None
    while found is None and high > low:
        start = max(high - stride, low)
        first = next_after(cron, zone, start * MINUTE)
        if first is not None and first <= high * MINUTE:
            low, found = first // MINUTE, first
        elif start == low:
            return None
        else:  # nothing in (start, high]
            high, stride = start, stride * 2
    while found is not None and high - low > 1:
        middle = (low + high) // 2
        first = next_after(cron, zone, middle * MINUTE)
        if first is not None and first <= high * MINUTE:
            low, found = first // MINUTE, first
        else:
            high = middle
    if found is not None and high > low and (first := next_after(cron, zone, low * MINUTE)) == high * MINUTE:
        return first
    return found


def count(cron: Cron, zone: ZoneInfo, after_us: int, until_us: int) -> int:
    """Count the occurrences after one instant and at or before another.

    Where the clock runs evenly to the end of a day, by the calendar; only the days on which it changes are walked in parts.
    """
    minute, last = max(after_us // MINUTE + 1, _FIRST), min(until_us // MINUTE, _LAST)
    total = 0
    while minute <= last:
        local = datetime.fromtimestamp(minute * 60, zone)
        time = local.hour * 60 + local.minute
        ahead = _DAY_MINUTES - time
        shift = local.toordinal() * _DAY_MINUTES + time - minute
        if _reading(zone, minute + ahead) - minute - ahead != shift:
            ahead = _change(zone, minute, minute + ahead) - minute
        ahead = min(ahead, last + 1 - minute)
        if cron.months >> local.month & 1 and cron.days[(local.weekday() - local.day + 1) % 7] >> local.day & 1:
            total += _times_before(cron, time + ahead) - _times_before(cron, time)
        minute += ahead
    return total


def edition() -> str:
    """The edition of the time zone database in use, such as ``2026f``; later ones sort later."""
    return tzdata.IANA_VERSION


def check(expression: str, timezone: str, now_us: int) -> Cron:
    """Check a schedule that is being written, in this order: grammar, the two day fields, zone, an occurrence within a year.

    Raises CronError, whose ``message`` is the text on record (contract, schedules).
    """
    cron = parse(expression)
    first = next_after(cron, zone(timezone), now_us)
    if first is None or first > now_us + _YEAR:
        raise CronError("does not produce any occurrences in the next year", lead="`schedule.expression` ")
    return cron


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@cache
def _load_zone(name: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as stream:
        return ZoneInfo.from_file(stream, key=name)


def _reading(zone: ZoneInfo, minute: int) -> int:
    """Read the wall clock at a UTC minute, as a count of minutes."""
    local = datetime.fromtimestamp(minute * 60, zone)
    return local.toordinal() * _DAY_MINUTES + local.hour * 60 + local.minute


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """Find the UTC minute in (low, high] at which the wall clock jumps. There is one, and only one."""
    shift = _reading(zone, low) - low
    while high - low > 1:
        middle = (low + high) // 2
        if _reading(zone, middle) - middle == shift:
            low = middle
        else:
            high = middle
    return high


def _next_match(cron: Cron, local: datetime) -> int | None:
    """Find the first matching reading at or after a wall-clock time, by the calendar alone; None if 12 years have none."""
    year, month, day = local.year, local.month, local.day
    if cron.months >> month & 1:
        days = cron.days[(local.weekday() - day + 1) % 7] >> day
        if days & 1:
            time = _next_time(cron, local.hour, local.minute)
            if time is not None:
                return local.toordinal() * _DAY_MINUTES + time
        ahead = _lowest_bit(days & ~1)
        if day < day + ahead <= _month_length(year, month):
            return (local.toordinal() + ahead) * _DAY_MINUTES + _first_time(cron)
    for _ in range(_MONTHS_AHEAD):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        if cron.months >> month & 1:
            first = date(year, month, 1)
            day = _lowest_bit(cron.days[first.weekday()])
            if 0 < day <= _month_length(year, month):
                return (first.toordinal() + day - 1) * _DAY_MINUTES + _first_time(cron)
    return None


def _next_time(cron: Cron, hour: int, minute: int) -> int | None:
    """Find the first matching minute of the day at or after ``hour:minute``."""
    if cron.hours >> hour & 1:
        minutes = cron.minutes >> minute
        if minutes:
            return hour * 60 + minute + _lowest_bit(minutes)
    hours = cron.hours >> hour + 1
    return (hour + 1 + _lowest_bit(hours)) * 60 + _lowest_bit(cron.minutes) if hours else None


def _times_before(cron: Cron, time: int) -> int:
    """How many matching minutes a matching day has before a minute of the day."""
    hour, minute = divmod(time, 60)
    whole = (cron.hours & (1 << hour) - 1).bit_count() * cron.minutes.bit_count()
    return whole + ((cron.minutes & (1 << minute) - 1).bit_count() if cron.hours >> hour & 1 else 0)


def _first_time(cron: Cron) -> int:
    return _lowest_bit(cron.hours) * 60 + _lowest_bit(cron.minutes)


def _lowest_bit(mask: int) -> int:
    """Count to the lowest bit that is set; -1 for an empty mask."""
    return (mask & -mask).bit_length() - 1


def _month_length(year: int, month: int) -> int:
    leap = month == _FEBRUARY and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _MONTH_LENGTHS[month] + leap
