"""Which models have a public list price, and so may carry a budget (contract, budgets). Knows no amounts."""

import re

LISTED = frozenset(
    {
        "claude-fable-5",
        "claude-fable-5-1",
        "claude-fable-5-2",
        "claude-haiku-4-5",
        "claude-haiku-5-5",
        "claude-opus-4-5",
        "claude-opus-4-6",
        "claude-opus-4-7",
        "claude-opus-4-8",
        "claude-opus-5",
        "claude-opus-5-5",
        "claude-sonnet-4-5",
        "claude-sonnet-4-6",
        "claude-sonnet-5",
        "claude-sonnet-5-5",
    }
)
"""The vendor's models by their undated names, as the official client lists them."""

_DATE = re.compile(r"-20\d{6}")


def has_list_price(model_id: str, extra: frozenset[str] = frozenset()) -> bool:
    """Whether a model is the vendor's (by name, or name and date) or among ``extra``, which the operator has set."""
    if model_id in extra or model_id in LISTED:
        return True
    return _DATE.fullmatch(model_id[-9:]) is not None and model_id[:-9] in LISTED
