"""A process that dies at any point of a turn loses nothing, doubles nothing, and runs nothing with effects twice."""

from rota.base.clock import HandClock
from tests.api import Api
from tests.runtime.crashes import Life, baseline


def test_a_death_at_each_point_of_two_turns_changes_nothing_that_counts(sqlite_api: Api, clock: HandClock) -> None:
    expected, points = baseline(sqlite_api, clock)
    assert len(points) > 40
    for death in range(1, len(points) + 1):
        life = Life(sqlite_api, clock, death)
        sqlite_api.run(life.live())
        life.check(expected)


def test_several_deaths_in_one_session(api: Api, clock: HandClock) -> None:
    expected, points = baseline(api, clock)
    for first in range(1, len(points), 9):
        life = Life(api, clock, first, first + 2, first + 11)
        api.run(life.live())
        life.check(expected)
