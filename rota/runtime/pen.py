"""Writing events: each gets its place and its instant, and is folded into the state at once.

So whatever is decided next is decided on what has just been written, by the same fold that will read it from the store.
Pure, but for new ids; nothing is stored here.
"""

from typing import Any

from msgspec.structs import replace

from rota.base import ids
from rota.resources.sessions.turns import LogEvent
from rota.runtime.log import State, follow


class Pen:
    """A step in the making: the state, and what has been written on the way to it.

    ``new`` are new events, ``taken`` those that waited, each with the position where it did, ``started`` the calls that are
    about to be run.
    """

    def __init__(self, state: State, now: int) -> None:
        self.state = state
        self.now = now
        self.new: list[LogEvent] = []
        self.taken: list[tuple[int, LogEvent]] = []
        self.started: list[str] = []

    def write(
        self,
        kind: str,
        body: dict[str, Any] | None = None,
        *,
        id: str | None = None,
        notes: dict[str, Any] | None = None,
    ) -> LogEvent:
        """Put a new event at the end of the log."""
        event = LogEvent(
            id=id or ids.new(ids.EVENT),
            type=kind,
            position=self.state.position + 1,
            processed_at=self._next_at(),
            body=body or {},
            notes=notes or {},
        )
        self.new.append(event)
        self.state = follow(self.state, event)
        return event

    def take(self, event: LogEvent) -> None:
        """Take up an event that waited: here is its place."""
        placed = replace(event, position=self.state.position + 1, processed_at=self._next_at())
        self.taken.append((event.position, placed))
        self.state = follow(self.state, placed)

    def start(self, call_id: str) -> None:
        """Note that a call is about to be run."""
        self.started.append(call_id)
        marked = (replace(call, started=True) if call.id == call_id else call for call in self.state.calls)
        self.state = replace(self.state, calls=tuple(marked))

    def _next_at(self) -> int:
        return max(self.now, self.state.at + 1)
