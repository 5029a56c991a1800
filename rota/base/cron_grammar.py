"""What a cron expression may say: five numeric fields, read into bit masks.

Promises: every refusal that is on record (contract, schedules) is refused in the recorded words; parsing takes time
linear in the text, and quotes no more than a bounded piece of it; the result is immutable and hashable.
Does not know time zones or the present: when an expression fires is the business of ``rota.base.cron``.

Where the records are silent, the grammar is: fields are separated by any ASCII white space; leading zeros are fine;
``*`` may stand in a list; ``a-b/n`` is fine, ``a/n`` is not; a step is between 1 and the number of values that it steps
over; a range does not descend (``5-7`` is Friday to Sunday); digits are ASCII. A day field is unrestricted only if it is
exactly ``*``, so that ``*/2`` beside a restricted day field is refused like any other pair.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

MAX_LENGTH: Final = 256
"""The longest expression that the wire admits, in characters. A longer one is parsed all the same, but not remembered."""

_FEW: Final = "not a valid 5-field cron expression: "
_WORDS: Final = re.compile(r"[^ \t\n\r\f\v]+")
_QUOTED_AT_MOST: Final = MAX_LENGTH
_SIX_WEEKS: Final = sum(1 << 7 * week for week in range(6))


class CronError(ValueError):
    """A schedule that is refused. ``str()`` is the reason alone; ``message`` is the whole text on record.

    The two differ where the record leads the reason in: with the path of the field (both day fields restricted, no
    occurrence), or, when there are fewer than five fields, with the words that this is no cron expression at all. Six
    fields are on record without that lead (a seconds or year field is the likely mistake), three words with it.
    """

    field: Literal["expression", "timezone"]
    message: str

    def __init__(self, reason: str, *, field: Literal["expression", "timezone"] = "expression", lead: str = "") -> None:
        super().__init__(reason)
        self.field = field
        self.message = lead + reason


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression. Bit ``n`` of a mask is set when the value ``n`` matches; all fields must match.

    At most one of the two day fields is restricted, so there is no difference here between "and" and "or".
    """

    minutes: int
    """Bits 0-59."""
    hours: int
    """Bits 0-23."""
    months: int
    """Bits 1-12."""
    days: tuple[int, ...]
    """Seven masks of bits 1-31: the days that match in a month whose first day is a Monday, a Tuesday, and so on."""


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    last: int
    """The last value of ``*``. Sunday is both 0 and 7, and ``*`` counts it once."""


_MINUTE: Final = _Field("minute", 0, 59, 59)
_HOUR: Final = _Field("hour", 0, 23, 23)
_DAY_OF_MONTH: Final = _Field("day-of-month", 1, 31, 31)
_MONTH: Final = _Field("month", 1, 12, 12)
_DAY_OF_WEEK: Final = _Field("day-of-week", 0, 7, 6)


def parse(expression: str) -> Cron:
    """Read a five-field expression: minute, hour, day of month, month, day of week (0 and 7 are Sunday).

    Raises CronError with the recorded text for anything else, and when both day fields are restricted.
    """
    return _remembered(expression) if len(expression) <= MAX_LENGTH else _parse(expression)


def quoted(text: str) -> str:
    """Put ``text`` in double quotes, cut to a bounded length, on one line whatever it holds: for messages."""
    if len(text) > _QUOTED_AT_MOST:
        text = text[:_QUOTED_AT_MOST] + "..."
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{text}"'


def _parse(expression: str) -> Cron:
    words = _WORDS.findall(expression)
    if words and words[0].startswith("@"):
        raise CronError("predefined shortcuts (@daily, @hourly, ...) are not supported")
    if len(words) != 5:
        raise CronError(f"expected 5 fields, got {len(words)}", lead=_FEW if len(words) < 5 else "")
    minute, hour, day_of_month, month, day_of_week = words
    minutes = _mask(minute, _MINUTE)
    hours = _mask(hour, _HOUR)
    dates = _mask(day_of_month, _DAY_OF_MONTH)
    months = _mask(month, _MONTH)
    weekdays = _mask(day_of_week, _DAY_OF_WEEK)
    if day_of_month != "*" and day_of_week != "*":
        raise CronError(
            "cannot restrict both day-of-month and day-of-week; use `*` for one", lead="`schedule.expression` "
        )
    # Bit 0 becomes Monday, as everywhere else in Python, and Sunday (0 or 7) bit 6. Six such weeks in a row, shifted by the
    # weekday of the first of a month, are that month's days.
    week = (weekdays >> 1 & 0x3F) | ((weekdays | weekdays >> 7) & 1) << 6
    weeks = week * _SIX_WEEKS
    return Cron(minutes, hours, months, tuple(dates & weeks >> first << 1 for first in range(7)))


_remembered = lru_cache(maxsize=4096)(_parse)


def _mask(word: str, field: _Field) -> int:
    mask = 0
    for item in word.split(","):
        mask |= _item_mask(item, field)
    return mask


def _item_mask(item: str, field: _Field) -> int:
    """Read one list member: ``*``, ``*/n``, ``a``, ``a-b`` or ``a-b/n``."""
    body, stepped, step_digits = item.partition("/")
    if body == "*":
        first, last = field.low, field.last
    else:
        first_digits, ranged, last_digits = body.partition("-")
        first = _value(first_digits, field, item)
        last = _value(last_digits, field, item) if ranged else first
        if first > last or (stepped and not ranged):
            raise _invalid(item, field)
    if not stepped:
        return (2 << last) - (1 << first)
    step = _number(step_digits)
    if step is None or not 1 <= step <= last - first + 1:
        raise _invalid(item, field)
    return sum(1 << value for value in range(first, last + 1, step))


def _value(digits: str, field: _Field, item: str) -> int:
    number = _number(digits)
    if number is None:
        raise _invalid(digits, field) if digits.isascii() and digits.isalpha() else _invalid(item, field)
    if not field.low <= number <= field.high:
        shown = digits if len(digits) <= _QUOTED_AT_MOST else digits[:_QUOTED_AT_MOST] + "..."
        raise CronError(f"field {field.name} value {shown} is out of range")
    return number


def _number(digits: str) -> int | None:
    """Read ASCII digits; None for anything else. Long ones are all simply too large, because int() is not linear."""
    if not (digits.isascii() and digits.isdigit()):
        return None
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= 3 else 1000


def _invalid(item: str, field: _Field) -> CronError:
    """Say what is wrong with something that is no number: a special character of other dialects, or just a bad value."""
    letters = {c for c in item if c.isalpha()}
    special = "#?" if not letters or letters - set("LW") else "#?LW"
    for c in item:
        if c in special:
            return CronError(f"special character {quoted(c)} is not supported (5-field POSIX cron only)")
    return CronError(f"invalid value {quoted(item)} in field {field.name}")
