"""What comes in as ``multipart/form-data``, part by part, without ever holding a whole body.

The contract that handlers see. A route with ``upload`` gets its parts from ``Request.parts()``.
"""

from collections.abc import AsyncIterator
from typing import Protocol


class Part(Protocol):
    """One part of a form. Its bytes are read, or skipped by asking for the next part; there is no going back."""

    name: str
    filename: str | None
    """The file name as sent, path and all; None for a plain field. Not trusted, not cleaned."""
    content_type: str

    def chunks(self) -> AsyncIterator[bytes]:
        """The part's bytes."""
        ...

    async def text(self, *, limit: int = 65536) -> str:
        """A plain field's text. InvalidRequest if it is longer than ``limit`` bytes or not UTF-8."""
        ...
