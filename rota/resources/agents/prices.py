"""Which models have a public list price, and so may carry a budget (contract, budgets), and what it is.

The amounts are the vendor's of October 2026; the operator may add models with others (``ROTA_PRICED_MODELS``).
"""

import re
from collections.abc import Collection
from typing import Protocol

from msgspec import Struct


class Tokens(Protocol):
    """What one request has used."""

    @property
    def input_tokens(self) -> int: ...  # noqa: D102 - named for what it is
    @property
    def output_tokens(self) -> int: ...  # noqa: D102 - named for what it is
    @property
    def cache_creation_input_tokens(self) -> int: ...  # noqa: D102 - named for what it is
    @property
    def cache_read_input_tokens(self) -> int: ...  # noqa: D102 - named for what it is


class Price(Struct, frozen=True):
    """Dollars for a million tokens; what is read from a cache costs ``read`` times the input, what is written to one 1.25 times.
    ``long`` is the price of requests whose prompt has more than 100,000 tokens, where that is another."""

    input: float
    output: float
    read: float = 0.1
    long: "Price | None" = None

    def of(self, used: Tokens) -> int:
        """What a request costs, in millionths of a cent."""
        prompt = used.input_tokens + used.cache_read_input_tokens + used.cache_creation_input_tokens
        if self.long is not None and prompt > _LONG:
            return self.long.of(used)
        weighed = used.input_tokens + self.read * used.cache_read_input_tokens + 1.25 * used.cache_creation_input_tokens
        return round(100 * (self.input * weighed + self.output * used.output_tokens))


_LONG = 100_000
_OPUS, _SONNET = Price(5, 25), Price(3, 15)
_FABLE = Price(10, 50, read=0.025)
LISTED = {
    "claude-fable-5": Price(10, 50),
    "claude-fable-5-1": _FABLE,
    "claude-fable-5-2": _FABLE,
    "claude-haiku-4-5": Price(1, 5),
    "claude-haiku-5-5": Price(0.1, 0.5, long=Price(0.5, 2.5)),
    "claude-opus-4-5": _OPUS,
    "claude-opus-4-6": _OPUS,
    "claude-opus-4-7": _OPUS,
    "claude-opus-4-8": _OPUS,
    "claude-opus-5": _OPUS,
    "claude-opus-5-5": Price(4, 20, read=0.05),
    "claude-sonnet-4-5": _SONNET,
    "claude-sonnet-4-6": _SONNET,
    "claude-sonnet-5": Price(2, 10),
    "claude-sonnet-5-5": Price(2, 10, read=0.05),
}
"""The vendor's models by their undated names, as the official client lists them. No price of claude-fable-5-2 was found; it has
that of its predecessor."""

_DATE = re.compile(r"-20\d{6}")


def price_of(model_id: str) -> Price | None:
    """The list price of a model of the vendor's, by name, or name and date."""
    return LISTED.get(model_id) or (LISTED.get(model_id[:-9]) if _DATE.fullmatch(model_id[-9:]) else None)


def has_list_price(model_id: str, extra: Collection[str] = frozenset()) -> bool:
    """Whether a model is the vendor's or among ``extra``, which the operator has set."""
    return model_id in extra or price_of(model_id) is not None
