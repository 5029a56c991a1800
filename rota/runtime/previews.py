"""Showing a reply while it is being made. The contract; whoever keeps streams implements it (contract, sessions §5.1).

A preview is never kept, and promises nothing: the event of the same id that follows is what counts. If none follows, because
the request failed, the end of its span says so.
"""

from typing import Literal, Protocol


class Previews(Protocol):
    """Where previews go. Calls are made on the event loop, return at once and never fail."""

    def start(self, session_id: str, event_type: Literal["agent.message", "agent.thinking"], event_id: str) -> None:
        """An ``agent.message`` or ``agent.thinking`` has begun, and will have this id."""
        ...

    def delta(self, session_id: str, event_id: str, index: int, text: str) -> None:
        """More text of the block ``index`` of its content. Indexes come in order, without gaps."""
        ...


class NoPreviews:
    """Nobody watches."""

    def start(self, session_id: str, event_type: str, event_id: str) -> None:
        """Nothing."""

    def delta(self, session_id: str, event_id: str, index: int, text: str) -> None:
        """Nothing."""
