"""The base of small objects that go out exactly as they came in, so that one Struct says both."""

from msgspec import Struct


class Echo(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Closed like ``base.wire.Wire``, and frozen like everything that goes out."""
