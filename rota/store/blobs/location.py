"""What an object is called: ``files/2026-03-02/1772452800000000-<22 letters>``.

Promises: a location is never used twice (130 random bits); it says when its object was written, by the house's clock, so
that an object keeps its age when a backup is restored or a bucket copied; locations sort by that time.
"""

import re
import secrets

from rota.base.clock import to_datetime

_LOCATION = re.compile(r"[a-z_]{1,32}/\d{4}-\d\d-\d\d/\d{16}-[\w-]{22}")


def new(prefix: str, now: int) -> str:
    """A fresh location for what is written at ``now`` (microseconds UTC)."""
    return f"{prefix}/{day(now)}/{now:016}-{secrets.token_urlsafe(16)}"


def day(now: int) -> str:
    """The day's folder."""
    return f"{to_datetime(now):%Y-%m-%d}"


def written_at(location: str) -> int:
    """When its object was written, in microseconds UTC."""
    return int(location.rsplit("/", 1)[1][:16])


def is_location(text: str) -> bool:
    """Whether a text is a location of ours; anything else found in a place is left alone."""
    return _LOCATION.fullmatch(text) is not None
