"""A share of the simulation; ``python -m tests.scheduler.simulate --seeds 10000`` is the whole."""

import pytest
from rich.console import Console

from tests.scheduler.sim.plants import PLANTS
from tests.scheduler.sim.world import simulate
from tests.scheduler.simulate import find

SLOW = {"fires-the-oldest"}
"""Plants that take the simulation long to live through; ``--plant all`` has them."""


@pytest.mark.parametrize("block", range(4))
def test_every_occurrence_is_matched_once_whatever_goes_wrong(block: int) -> None:
    for seed in range(block * 5, block * 5 + 5):
        assert simulate(seed).wrong == [], f"python -m tests.scheduler.simulate --seed {seed}"


def test_a_seed_is_the_same_world_every_time() -> None:
    assert simulate(3) == simulate(3)


@pytest.mark.parametrize("plant", sorted(PLANTS.keys() - SLOW))
def test_a_planted_bug_is_found(plant: str) -> None:
    assert find(plant, 1, Console(quiet=True)) is not None
