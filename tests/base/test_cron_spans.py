"""Counting occurrences and finding the last one, against an oracle that looks at every minute."""

from importlib import resources

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rota.base import cron
from rota.base.cron import count, last_until, parse, zone
from tests.base.cron_oracle import MINUTE_US, instant, random_expression, walk

ZONE_NAMES = sorted(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())
EXPRESSIONS = [
    "* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "30 1 * * *", "0 0 * * *", "0,15,30,45 6-22 * * *",
    "0 9 * * 1-5", "0 4 1 1 *", "59 23 31 12 *", "0 0 29 2 *", "0 0 31 2 *",
]  # fmt: skip
EDGES = ["2026-03-08 06:59:59", "2026-11-01 05:00", "2026-04-04 14:00", "2011-12-29 09:00", "2026-10-25 00:10"]


@settings(max_examples=150, deadline=None)
@given(
    expression=st.sampled_from(EXPRESSIONS) | st.randoms(use_true_random=False).map(random_expression),
    name=st.sampled_from(ZONE_NAMES),
    start=st.integers(instant("2010-01-01"), instant("2037-12-31")),
    length=st.integers(0, 4 * 24 * 60 * MINUTE_US),
)
@example("30 2 * * *", "America/New_York", instant("2026-03-07 12:00"), 3 * 24 * 60 * MINUTE_US)
@example("30 1 * * *", "America/New_York", instant("2026-10-31 12:00"), 3 * 24 * 60 * MINUTE_US)
@example("45 1 * * *", "Australia/Lord_Howe", instant("2026-04-04"), 2 * 24 * 60 * MINUTE_US)
@example("0 12 * * *", "Pacific/Apia", instant("2011-12-28"), 4 * 24 * 60 * MINUTE_US)
@example("* * * * *", "UTC", instant("2026-01-01"), 0)
def test_what_is_counted_and_what_is_last_is_what_every_minute_says(
    expression: str, name: str, start: int, length: int
) -> None:
    found = list(walk(expression, zone(name), start, start + length))
    assert count(parse(expression), zone(name), start, start + length) == len(found)
    assert last_until(parse(expression), zone(name), start, start + length) == (found[-1] if found else None)


@pytest.mark.parametrize("name", ["America/New_York", "Australia/Lord_Howe", "Europe/Berlin", "Pacific/Apia", "UTC"])
@pytest.mark.parametrize("edge", EDGES)
def test_the_hours_around_a_change_of_the_clock_are_counted_exactly(name: str, edge: str) -> None:
    for expression in EXPRESSIONS:
        for minutes in (1, 59, 60, 61, 119, 181, 1441):
            after = instant(edge)
            until = after + minutes * MINUTE_US
            found = list(walk(expression, zone(name), after, until))
            assert count(parse(expression), zone(name), after, until) == len(found), (expression, minutes)
            assert last_until(parse(expression), zone(name), after, until) == (found[-1] if found else None)


def test_ten_years_of_minutes_are_counted_and_not_walked() -> None:
    start, end = instant("2026-01-01"), instant("2036-01-01")
    assert count(parse("* * * * *"), zone("Europe/Berlin"), start, end) == (end - start) // MINUTE_US
    assert last_until(parse("0 4 1 1 *"), zone("UTC"), start, end) == instant("2035-01-01 04:00")


def test_nothing_is_counted_backwards() -> None:
    start, end = instant("2026-01-02"), instant("2026-01-01")
    assert count(parse("* * * * *"), zone("UTC"), start, end) == 0
    assert last_until(parse("* * * * *"), zone("UTC"), start, end) is None


def test_the_edition_is_that_of_the_package() -> None:
    assert cron.edition() >= "2025b"
