"""Taking in what clients send: what has its place in the log at once, and what waits behind it (contract, sessions §6.0).

Promises: an answer that is in order is taken up on receipt, and so is an interrupt when there is nothing to interrupt; all
else waits, in the order in which it came. Pure, but for new ids.
"""

import msgspec
from msgspec import UNSET, Struct

from rota.base import ids
from rota.resources.sessions import calls, drafts, sql
from rota.resources.sessions.calls import Calls
from rota.resources.sessions.events import (
    CustomToolResult,
    InboundEvent,
    Interrupt,
    SystemMessage,
    ToolConfirmation,
    ToolResult,
)
from rota.resources.sessions.rows import Stored
from rota.store.tx import Row


class End(Struct, frozen=True):
    """Where a log ends: the last position and instant that were given away, what waits aside."""

    position: int
    at: int

    def next_at(self, now: int) -> int:
        """When the next event is processed: no two events of a session share an instant."""
        return max(now, self.at + 1)


def spent(session: Stored) -> bool:
    """Whether the session has consumed what it may."""
    budget, cost = session.body.budget, session.body.usage.list_cost
    return budget is not None and cost is not None and int(cost.amount) >= int(budget.max_list_cost.amount)


class Receipt:
    """Where each event of a request goes.

    ``rows`` are to be stored; ``echo`` is what the caller is answered. ``wants_turn`` tells that the engine is to look,
    ``resumes`` that the session is to be shown running from now on.
    """

    def __init__(self, session: Stored, open_calls: Calls, last: End, waited: int, now: int) -> None:
        self._session = session
        self._calls = open_calls
        self._last = last
        self._waited = waited
        self._now = now
        self._anything = waited > sql.WAITING
        self._outcome = any(each.completed_at is None for each in session.body.outcome_evaluations)
        self.rows: list[Row] = []
        self.echo: list[Row] = []
        self.wants_turn = session.status != "idle"
        self.asked = False

    @property
    def resumes(self) -> bool:
        """Whether what came sets the session running: not while a call still wants something from a client."""
        if self._session.status == "idle":
            return self.asked and not calls.wanted(self._calls)
        return False

    def take_in(self, event: InboundEvent, *, spent: bool = False) -> None:
        """Give an event its place."""
        kind, body = drafts.entry_of(event)
        if isinstance(event, Interrupt):
            if spent and self._session.status == "idle":  # accepted, and of no effect (contract §15)
                self.echo.append(
                    (self._session.id, 0, ids.new(ids.EVENT), None, kind, self._last.next_at(self._now), body)
                )
                return
            wanted = bool(calls.wanted(self._calls))
            busy = self._session.status != "idle" or wanted or self._outcome or self._anything
            self._place(kind, body, now=not busy)
            self.wants_turn |= busy
            return
        if isinstance(event, ToolConfirmation | CustomToolResult | ToolResult):
            content = msgspec.to_builtins(event)
            own = event.session_thread_id is UNSET
            now = own and calls.in_order(self._calls, kind, content)
            if now:
                self._calls = calls.answered(self._calls, kind, content)
            self._place(kind, body, now=now)
            self.asked |= own
            self.wants_turn |= own
            return
        self._place(kind, body, now=False)
        if not isinstance(event, SystemMessage):
            self.asked = self.wants_turn = True

    def _place(self, kind: str, body: str, *, now: bool) -> None:
        if now:
            self._last = End(self._last.position + 1, self._last.next_at(self._now))
            row = (self._session.id, self._last.position, ids.new(ids.EVENT), None, kind, self._last.at, body)
        else:
            self._waited += 1
            self._anything = True
            row = drafts.event_row(self._session.id, self._waited, (kind, body), self._now)
        self.rows.append(row)
        self.echo.append(row)
