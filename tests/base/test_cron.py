"""The schedule rules of the contract: which zones there are, what is checked on writing, and when a schedule fires."""

import os
import struct
import subprocess
import sys
from datetime import timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rota.base import cron
from rota.base.cron import CronError, check, next_after, parse, upcoming, zone
from tests.base.cron_oracle import DAY, MINUTE_US, Fields, MinuteBits, instant, random_expression, shown, walk

DAY_US = DAY * MINUTE_US
ZONE_NAMES = sorted(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())
NOW = instant("2026-06-10 17:24:16.380044")

# --- zones ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Phobos",
        "",
        " ",
        "UTC ",
        "utc",
        "america/new_york",
        "AMERICA/NEW_YORK",
        "America/New York",
        "America",
        "America/",
        "/America/New_York",
        "America//New_York",
        "America/./New_York",
        "Europe/../America/New_York",
        "../zoneinfo/UTC",
        "/usr/share/zoneinfo/UTC",
        "/etc/localtime",
        "localtime",
        "Local",
        "local",
        "posixrules",
        "posix/UTC",
        "right/UTC",
        "tzdata.zi",
        "zone.tab",
        "leapseconds",
        "__init__.py",
        "America/__init__.py",
        "C:\\UTC",
        "Europe\\London",
        "EST5EDT,M3.2.0,M11.1.0",
        "<+03>-3",
        "UTC+3",
        "+03:00",
        "UTC\x00",
        "\ud800",
        "A" * 1_000_000,
    ],
)
def test_a_name_that_is_not_in_the_database_is_refused(name: str) -> None:
    with pytest.raises(CronError) as refused:
        check("0 9 * * *", name, NOW)
    assert refused.value.field == "timezone"
    assert refused.value.message.endswith(" is not a valid IANA timezone")
    assert len(refused.value.message.encode()) < 400


def test_the_recorded_zone_refusal_quotes_the_name() -> None:
    with pytest.raises(CronError) as refused:
        zone("Mars/Phobos")
    assert refused.value.message == '"Mars/Phobos" is not a valid IANA timezone'


def test_every_name_of_the_database_is_a_zone_and_is_loaded_once() -> None:
    assert len(ZONE_NAMES) > 590
    for name in ZONE_NAMES:
        assert zone(name).key == name
        assert zone(name) is zone(name)


def test_zones_do_not_come_from_the_machine(tmp_path: Path) -> None:
    tokyo = resources.files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").read_bytes()
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "London").write_bytes(tokyo)
    (tmp_path / "Europe" / "Atlantis").write_bytes(tokyo)
    program = """
from rota.base.cron import CronError, parse, upcoming, zone
print(upcoming(parse("0 0 * * *"), zone("Europe/London"), 0, 1))
try:
    zone("Europe/Atlantis")
except CronError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONTZPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    midnight = instant("1970-01-01 23:00")  # London kept summer time all through that winter
    assert done.stdout.splitlines() == [f"[{midnight}]", '"Europe/Atlantis" is not a valid IANA timezone']


# --- the check of a schedule that is written ------------------------------------------------------------------------


def test_the_checks_come_in_a_fixed_order() -> None:
    for expression, timezone, message in [
        ("99 0 1 * 1", "Mars/Phobos", "field minute value 99 is out of range"),
        (
            "0 0 1 * 1",
            "Mars/Phobos",
            "`schedule.expression` cannot restrict both day-of-month and day-of-week; use `*` for one",
        ),
        ("0 0 31 2 *", "Mars/Phobos", '"Mars/Phobos" is not a valid IANA timezone'),
        ("0 0 31 2 *", "UTC", "`schedule.expression` does not produce any occurrences in the next year"),
    ]:
        with pytest.raises(CronError) as refused:
            check(expression, timezone, NOW)
        assert refused.value.message == message


def test_a_yearly_schedule_whose_next_time_does_not_exist_is_refused() -> None:
    with pytest.raises(CronError, match="does not produce any occurrences"):
        check("30 2 14 3 *", "America/New_York", NOW)  # 14 March 2027 is the Sunday of the change
    assert check("30 2 * * *", "America/New_York", NOW) == parse("30 2 * * *")
    assert check("30 2 15 3 *", "America/New_York", NOW) == parse("30 2 15 3 *")


def test_29_february_alone_is_accepted_only_in_the_year_before_it() -> None:
    with pytest.raises(CronError, match="does not produce any occurrences"):
        check("0 0 29 2 *", "UTC", NOW)
    assert check("0 0 29 2 *", "UTC", instant("2027-06-10 00:00")) == parse("0 0 29 2 *")


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])
def test_a_schedule_that_fires_every_year_is_accepted_at_every_instant(timezone: str) -> None:
    for expression in ["30 9 6 11 *", "0 0 1 1 *", "0 4 1 3 *", "30 3 8 3 *"]:
        for now in upcoming(parse(expression), zone(timezone), instant("2020-01-01 00:00"), 12):
            assert check(expression, timezone, now)


# --- when it fires --------------------------------------------------------------------------------------------------


def fires(expression: str, timezone: str, after: str, until: str) -> list[str]:
    """Every occurrence in a window, of which the first instant is not part and the last is."""
    instants: list[int] = []
    at: int | None = instant(after)
    while (at := next_after(parse(expression), zone(timezone), at)) is not None and at <= instant(until):
        instants.append(at)
    assert instants == list(walk(expression, zone(timezone), instant(after), instant(until)))
    return shown(instants)


def test_a_local_time_that_does_not_exist_is_skipped() -> None:
    assert fires("30 2 * * *", "America/New_York", "2026-03-07 05:00", "2026-03-10 04:00") == [
        "2026-03-07 07:30",
        "2026-03-09 06:30",
    ]


def test_a_local_time_that_is_repeated_fires_twice() -> None:
    assert fires("30 1 * * *", "America/New_York", "2026-10-31 04:00", "2026-11-03 05:00") == [
        "2026-10-31 05:30",
        "2026-11-01 05:30",
        "2026-11-01 06:30",
        "2026-11-02 06:30",
    ]
    assert shown(upcoming(parse("30 1 1 11 *"), zone("America/New_York"), NOW, 2)) == [
        "2026-11-01 05:30",
        "2026-11-01 06:30",
    ]


def test_every_second_hour_over_a_spring_change_neither_stops_nor_doubles() -> None:
    hours = [f"2023-03-12 {h:02}:00" for h in (1, 3, 5, 8, 10, 12, 14, 16, 18, 20, 22)]
    assert fires("0 */2 * * *", "America/Toronto", "2023-03-11 23:59", "2023-03-12 23:59") == hours


def test_every_fourth_hour_over_a_spring_change_goes_on() -> None:
    assert fires("20 */4 * * *", "America/Los_Angeles", "2023-03-11 23:59", "2023-03-12 23:59") == [
        f"2023-03-12 {time}" for time in ("00:20", "04:20", "08:20", "11:20", "15:20", "19:20", "23:20")
    ]


def test_a_quarter_hourly_schedule_over_an_autumn_change_loses_nothing() -> None:
    times = fires("0,15,30,45 6-22 * * *", "Europe/Brussels", "2023-10-27 22:00", "2023-10-30 22:59")
    assert len(times) == 204
    assert len(set(times)) == 204


def test_times_after_a_spring_change_keep_to_the_wall_clock() -> None:
    assert fires("0 7,9 * * *", "America/Los_Angeles", "2020-03-07 00:00", "2020-03-09 00:00") == [
        "2020-03-07 15:00",
        "2020-03-07 17:00",
        "2020-03-08 14:00",
        "2020-03-08 16:00",
    ]


def test_a_clock_that_is_put_back_by_half_an_hour_repeats_half_an_hour() -> None:
    assert fires("45 1 * * *", "Australia/Lord_Howe", "2026-04-03 12:00", "2026-04-05 16:00") == [
        "2026-04-03 14:45",
        "2026-04-04 14:45",
        "2026-04-04 15:15",
        "2026-04-05 15:15",
    ]


def test_a_midnight_that_does_not_exist_does_not_fire() -> None:
    assert fires("0 0 * * *", "America/Havana", "2026-03-06 12:00", "2026-03-09 12:00") == [
        "2026-03-07 05:00",
        "2026-03-09 04:00",
    ]


def test_a_day_that_was_skipped_does_not_fire() -> None:
    assert fires("0 12 30 12 *", "Pacific/Apia", "2011-12-01 00:00", "2012-01-31 00:00") == []
    assert fires("0 12 * * *", "Pacific/Apia", "2011-12-29 00:00", "2011-12-31 12:00") == [
        "2011-12-29 22:00",
        "2011-12-30 22:00",
    ]
    assert fires("0 12 * 8 *", "Pacific/Kwajalein", "1993-08-19 12:00", "1993-08-22 12:00") == [
        "1993-08-20 00:00",
        "1993-08-21 00:00",
        "1993-08-22 00:00",
    ]


def test_a_clock_put_back_over_midnight_goes_through_two_dates_twice() -> None:
    # St. John's put its clocks back at one minute past midnight: 00:01 on the 7th became 23:01 on the 6th.
    assert fires("0,30 0,23 6,7 11 *", "America/St_Johns", "2010-11-06 12:00", "2010-11-07 06:00") == [
        "2010-11-07 01:30",  # the 6th, 23:00
        "2010-11-07 02:00",  # the 6th, 23:30
        "2010-11-07 02:30",  # the 7th, midnight
        "2010-11-07 03:00",  # the 6th, 23:30 again; 23:00 is not
        "2010-11-07 03:30",  # the 7th, midnight again
        "2010-11-07 04:00",  # the 7th, 00:30
    ]
    assert fires("30 23 6 11 *", "America/St_Johns", "2010-11-07 02:30", "2010-11-07 06:00") == ["2010-11-07 03:00"]


def test_an_offset_with_odd_seconds_still_gives_whole_utc_minutes() -> None:
    # Liberia was 44 minutes and 30 seconds behind until 7 January 1972; the date is read at whole UTC minutes.
    assert fires("0 0 * * *", "Africa/Monrovia", "1972-01-04 12:00", "1972-01-09 12:00") == [
        "1972-01-05 00:45",
        "1972-01-06 00:45",
        "1972-01-08 00:00",
        "1972-01-09 00:00",
    ]


def test_29_february_is_found_over_a_century_without_one() -> None:
    assert shown(upcoming(parse("0 0 29 2 *"), zone("UTC"), instant("2092-03-01 00:00"), 3)) == [
        "2096-02-29 00:00",
        "2104-02-29 00:00",
        "2108-02-29 00:00",
    ]


def test_an_occurrence_is_strictly_after_the_instant() -> None:
    midnight = instant("2026-01-01 00:00")
    every_minute, utc = parse("* * * * *"), zone("UTC")
    assert next_after(every_minute, utc, midnight - 1) == midnight
    assert next_after(every_minute, utc, midnight) == midnight + MINUTE_US
    assert next_after(every_minute, utc, midnight + 1) == midnight + MINUTE_US
    assert next_after(every_minute, utc, midnight + MINUTE_US - 1) == midnight + MINUTE_US


def test_a_scheduler_that_was_down_for_years_resumes_at_the_next_occurrence() -> None:
    # The next occurrence depends on the present alone: not on when the schedule was written, nor on what was missed.
    now = instant("2036-03-09 06:59:59.999999")
    assert shown(upcoming(parse("*/5 * * * *"), zone("America/New_York"), now, 1)) == ["2036-03-09 07:00"]


def test_changing_the_zone_on_the_night_of_a_clock_change_does_not_bring_the_next_occurrence_to_now() -> None:
    now = instant("2026-03-08 07:00")
    for name in ("America/New_York", "America/Chicago", "Europe/London", "Asia/Tokyo", "UTC"):
        first = next_after(parse("0 18 * * *"), zone(name), now)
        assert first is not None
        assert first >= now + 119 * MINUTE_US
        assert [first] == list(walk("0 18 * * *", zone(name), now, first))


def test_a_date_that_never_comes_has_no_occurrence() -> None:
    for expression in ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"]:
        assert next_after(parse(expression), zone("Europe/Berlin"), NOW) is None
        assert upcoming(parse(expression), zone("Europe/Berlin"), NOW) == []


def test_the_ends_of_the_calendar_are_no_error() -> None:
    for name in ("UTC", "Asia/Manila", "America/Metlakatla", "Europe/Amsterdam"):
        for expression in ("* * * * *", "0 0 29 2 *", "59 23 31 12 *"):
            for year in (-100_000, -1, 1, 1600, 9979, 9999, 300_000):
                at = next_after(parse(expression), zone(name), (year - 1970) * 366 * DAY_US)
                assert at is None or at % MINUTE_US == 0


def test_upcoming_is_next_after_over_and_over() -> None:
    assert upcoming(parse("0 4 1 1 *"), zone("UTC"), NOW) == [instant(f"{y}-01-01 04:00") for y in range(2027, 2032)]
    assert upcoming(parse("* * * * *"), zone("UTC"), NOW, 0) == []


# --- properties -----------------------------------------------------------------------------------------------------

expressions = st.randoms(use_true_random=False).map(random_expression)
zone_names = st.one_of(
    st.sampled_from(ZONE_NAMES),
    st.sampled_from(
        ["America/New_York", "Australia/Lord_Howe", "America/Havana", "America/St_Johns", "Africa/Casablanca"]
    ),
)
starts = st.integers(0, instant("2037-12-31 00:00"))


@settings(max_examples=200, deadline=None)
@given(expressions, zone_names, starts)
@example("30 23 6 11 *", "America/St_Johns", instant("2010-11-07 02:31"))
@example("* * 30 12 *", "Pacific/Apia", instant("2011-12-29 12:00"))
@example("0 0 * * *", "Africa/Monrovia", instant("1972-01-06 00:45"))
def test_the_next_occurrence_is_the_first_minute_that_matches(expression: str, name: str, after: int) -> None:
    window = 6 * DAY_US
    expected = next(walk(expression, zone(name), after, after + window), None)
    found = next_after(parse(expression), zone(name), after)
    if expected is None:
        assert found is None or found > after + window
    else:
        assert found == expected


@settings(max_examples=100, deadline=None)
@given(expressions, zone_names, starts)
def test_far_occurrences_are_right_too(expression: str, name: str, after: int) -> None:
    start = after // MINUTE_US
    clock = MinuteBits(zone(name), start, start + 800 * DAY, probe_every=12 * 60)
    expected = clock.next_after(Fields.of(expression), after, 799 * DAY)
    found = next_after(parse(expression), zone(name), after)
    if expected is None:
        assert found is None or found > after + 799 * DAY_US
    else:
        assert found == expected


@settings(max_examples=150, deadline=None)
@given(expressions, zone_names, starts, st.integers(1, 12), st.data())
def test_occurrences_ascend_and_are_the_same_from_every_instant_between(
    expression: str, name: str, after: int, count: int, data: st.DataObject
) -> None:
    parsed, place = parse(expression), zone(name)
    instants = upcoming(parsed, place, after, count)
    assert all(a < b for a, b in pairwise([after, *instants]))
    assert all(at % MINUTE_US == 0 for at in instants)
    for earlier, later in pairwise([after, *instants]):
        assert next_after(parsed, place, data.draw(st.integers(earlier, later - 1))) == later


@settings(max_examples=60, deadline=None)
@given(expressions, zone_names, starts)
def test_the_two_oracles_agree(expression: str, name: str, after: int) -> None:
    start, until = after // MINUTE_US, after + 4 * DAY_US
    clock = MinuteBits(zone(name), start, start + 5 * DAY, probe_every=60)
    assert clock.between(Fields.of(expression), after, until) == list(walk(expression, zone(name), after, until))
    assert clock.next_after(Fields.of(expression), after, 4 * DAY) == next(
        walk(expression, zone(name), after, until + MINUTE_US), None
    )


@pytest.mark.parametrize(
    "name",
    [
        "America/New_York",
        "Europe/Dublin",
        "Australia/Lord_Howe",
        "America/Havana",
        "America/Santiago",
        "Africa/Casablanca",
        "Asia/Beirut",
        "Antarctica/Troll",
        "Pacific/Chatham",
        "America/Nuuk",
    ],
)
def test_every_clock_change_of_a_zone_is_right_for_every_kind_of_expression(name: str) -> None:
    first = instant("2024-01-01 00:00") // MINUTE_US
    clock = MinuteBits(zone(name), first, instant("2031-01-02 00:00") // MINUTE_US)
    assert clock.changes
    for change in clock.changes:
        after, until = (change - DAY) * MINUTE_US, (change + DAY) * MINUTE_US
        for expression in ("*/15 * * * *", "30 2 * * *", "30 1 * * *", "0 0 * * *", "45 0-3 * * 0", "59 23 28-31 * *"):
            found: list[int] = []
            at: int | None = after
            while (at := next_after(parse(expression), zone(name), at)) is not None and at <= until:
                found.append(at)
            assert found == clock.between(Fields.of(expression), after, until)


def test_no_zone_changes_its_offset_twice_within_the_reach_of_one_step() -> None:
    # What ``next_after`` relies on, looked up in the compiled zone files: of every change, and of every possible offset.
    reach = timedelta(minutes=cron._REACH)  # pyright: ignore[reportPrivateUsage]
    for name in ZONE_NAMES:
        instants, offsets, possible = _compiled(name)
        changes = [at for at, (before, after) in zip(instants, pairwise(offsets), strict=True) if before != after]
        assert all(timedelta(seconds=b - a) > reach for a, b in pairwise(changes)), name
        assert timedelta(seconds=max(possible) - min(possible)) < reach, name
        # What follows the last change in the file is two changes a year by rule; they too are far apart.
        place, start = zone(name), instant("2037-06-01 00:00") // MINUTE_US
        days = range(start, start + 400 * DAY, DAY)
        readings = [cron._reading(place, day) - day for day in days]  # pyright: ignore[reportPrivateUsage]
        jumps = [n for n, (before, after) in enumerate(pairwise(readings)) if before != after]
        assert all((b - a - 1) * DAY > cron._REACH for a, b in pairwise(jumps)), name  # pyright: ignore[reportPrivateUsage]


def _compiled(name: str) -> tuple[tuple[int, ...], list[int], list[int]]:
    """Of a zone file (RFC 9636, version 2 block): the transitions, the offset before, between and after them, all offsets."""
    blob = resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", blob[20:44])
    at = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", blob[at + 20 : at + 44])
    at += 44
    instants = struct.unpack(f">{times}q", blob[at : at + 8 * times])
    indices = blob[at + 8 * times : at + 9 * times]
    at += 9 * times
    possible = [struct.unpack(">l", blob[at + 6 * n : at + 6 * n + 4])[0] for n in range(types)]
    return instants, [possible[0], *(possible[n] for n in indices)], possible
