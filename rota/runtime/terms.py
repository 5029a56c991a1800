"""What a turn goes by, besides the log: the agent's definition, and what the operator and the session's budget allow."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from rota.resources.agents.prices import Price
from rota.resources.agents.tools import Tool
from rota.runtime.log import State

RUNNING_TIME = 8, 3600
"""Cents, and the seconds that they pay for."""
_MILLION = 1_000_000


class Terms(Struct, frozen=True, kw_only=True):
    """``price`` is None for a model without a list price; ``budget`` is in cents, None for no limit. ``missing`` are errors that
    are told when the session first runs, ``unreachable`` those of servers, told whenever it runs again. ``max_requests`` model requests may make up a turn; a request is tried
    ``attempts`` times."""

    thread_id: str
    agent_name: str
    tools: Sequence[Tool] = ()
    self_hosted: bool = False
    price: Price | None = None
    budget: dict[str, Any] | None = None
    missing: Sequence[dict[str, Any]] = ()
    unreachable: Sequence[dict[str, Any]] = ()
    attempts: int = 5
    max_requests: int = 500

    def cents(self, state: State, now: int) -> int | None:
        """What the session has cost so far, running time included; None if something of it had no price."""
        if self.price is None or not state.tally.priced:
            return None
        cents, seconds = RUNNING_TIME
        return rounded(state.tally.cost + state.active_at(now) * cents // seconds)

    def spent(self, state: State, now: int) -> bool:
        """Whether the budget is used up."""
        cost = self.cents(state, now)
        return self.budget is not None and cost is not None and cost >= int(self.budget["max_list_cost"]["amount"])


def rounded(millionths: int) -> int:
    """Whole cents."""
    return (millionths + _MILLION // 2) // _MILLION
