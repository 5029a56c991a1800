"""Cursors: where a list walk goes on.

Promises: a cursor is opaque, cannot be altered (keyed BLAKE2b tag over everything), and is bound to what it was given
for: workspace, list, order, and (where the list says so) its filters. A cursor that does not fit is a 400.
Does not read rows.
"""

import base64
import hmac
from hashlib import blake2b
from typing import Literal, TypeAlias

import msgspec

from rota.base.errors import InvalidRequest

Order: TypeAlias = Literal["asc", "desc"]

_PREFIX = "page_"
_TAG = 12
_MAX_TEXT = 2048  # a place in a list of memories can be a path of 1,024 bytes


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A place in a walk: the sort key of the row at the page's edge.

    ``at`` is the row's instant in microseconds (or its sequence number), ``id`` breaks ties (and is a path where a list goes
    by paths); ``back`` is true for a cursor that leads to the page before.
    """

    at: int
    id: str
    order: Order
    back: bool = False


class Cursors:
    """Writes and reads cursors with one key, the same in every process of an installation."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(self, position: Position, binding: str) -> str:
        """The text of a cursor. ``binding`` is any text that must be the same when it comes back."""
        payload = msgspec.msgpack.encode(position)
        return _PREFIX + base64.urlsafe_b64encode(self._tag(payload, binding) + payload).rstrip(b"=").decode()

    def read(self, text: str, binding: str) -> Position:
        """The place that ``text`` names; InvalidRequest ``invalid page cursor`` if it is not ours for this list."""
        try:
            if not text.startswith(_PREFIX) or len(text) > _MAX_TEXT:
                raise ValueError(text)
            body = text[len(_PREFIX) :]
            raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            tag, payload = raw[:_TAG], raw[_TAG:]
            if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != body:
                raise ValueError(text)  # base64 that spells the same bytes otherwise
            if not hmac.compare_digest(tag, self._tag(payload, binding)):
                raise ValueError(text)
            return msgspec.msgpack.decode(payload, type=Position)
        except (ValueError, msgspec.MsgspecError):
            raise InvalidRequest("invalid page cursor") from None

    def _tag(self, payload: bytes, binding: str) -> bytes:
        return blake2b(payload + b"\0" + binding.encode(), key=self._key, digest_size=_TAG).digest()
