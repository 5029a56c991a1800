"""Which models carry a list price."""

import typing

import pytest
from anthropic.types.beta import beta_managed_agents_model_param as official

from rota.resources.agents.prices import LISTED, has_list_price


def test_every_model_that_the_official_client_lists_has_a_price() -> None:
    listed, _ = typing.get_args(official.BetaManagedAgentsModelParam)
    names = typing.get_args(listed)
    assert len(names) > 10
    assert all(has_list_price(name) for name in names)
    assert set(names) >= LISTED.keys()


@pytest.mark.parametrize(
    ("model", "priced"),
    [
        ("claude-opus-5-5", True),
        ("claude-opus-5-5-20261101", True),
        ("claude-opus-5-5-latest", False),
        ("claude-opus-5-5-99999999", False),
        ("claude-opus-5-5-20261101-20261101", False),
        ("claude-opus", False),
        ("llama-4", False),
        ("house-model", True),
        ("house-model-20261101", False),
        ("", False),
    ],
)
def test_a_price_is_known_for_listed_models_their_dated_names_and_the_operators_own(model: str, priced: bool) -> None:
    assert has_list_price(model, frozenset({"house-model"})) is priced
