"""The grammar of the contract's schedules: what may be written, and what is refused in which words."""

import string
import sys
from collections.abc import Callable
from random import Random
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.base import cron, cron_grammar
from rota.base.cron import CronError, check, next_after, parse, zone
from tests.base.cron_oracle import Fields, instant, random_expression

NOW = instant("2026-06-10 17:24:16.380044")

# --- what is refused, and in which words ---------------------------------------------------------------------------

RECORDED = [
    ("*/30 * * * * *", "expected 5 fields, got 6"),
    ("not a cron", "not a valid 5-field cron expression: expected 5 fields, got 3"),
    ("@daily", "predefined shortcuts (@daily, @hourly, ...) are not supported"),
    ("@weekly", "predefined shortcuts (@daily, @hourly, ...) are not supported"),
    ("* * * * FRI", 'invalid value "FRI" in field day-of-week'),
    ("99 20 * * 5", "field minute value 99 is out of range"),
    ("0 0 L * *", 'special character "L" is not supported (5-field POSIX cron only)'),
    ("0 0 * * ?", 'special character "?" is not supported (5-field POSIX cron only)'),
    ("0 0 * * 1#2", 'special character "#" is not supported (5-field POSIX cron only)'),
    ("0 0 1 * 1", "`schedule.expression` cannot restrict both day-of-month and day-of-week; use `*` for one"),
    ("0 0 31 2 *", "`schedule.expression` does not produce any occurrences in the next year"),
]


@pytest.mark.parametrize(("expression", "message"), RECORDED)
def test_a_recorded_refusal_has_its_recorded_words(expression: str, message: str) -> None:
    with pytest.raises(CronError) as refused:
        check(expression, "America/New_York", NOW)
    assert refused.value.message == message
    assert refused.value.field == "expression"


OF_OUR_CHOICE = [
    ("", "not a valid 5-field cron expression: expected 5 fields, got 0"),
    ("* * * *", "not a valid 5-field cron expression: expected 5 fields, got 4"),
    ("0 0 0 1 1 * 2026", "expected 5 fields, got 7"),
    ("@every 5m", "predefined shortcuts (@daily, @hourly, ...) are not supported"),
    ("0 0 * JAN *", 'invalid value "JAN" in field month'),
    ("0 0 * JUL *", 'invalid value "JUL" in field month'),
    ("0 0 * * MON-FRI", 'invalid value "MON" in field day-of-week'),
    ("0 0 * * MON,WED", 'invalid value "MON" in field day-of-week'),
    ("0 0 * * WED", 'invalid value "WED" in field day-of-week'),
    ("0 0 15W * *", 'special character "W" is not supported (5-field POSIX cron only)'),
    ("0 0 LW * *", 'special character "L" is not supported (5-field POSIX cron only)'),
    ("0 0 L-3 * *", 'special character "L" is not supported (5-field POSIX cron only)'),
    ("0 0 * * 5L", 'special character "L" is not supported (5-field POSIX cron only)'),
    ("0 0 * * FRI#2", 'special character "#" is not supported (5-field POSIX cron only)'),
    ("60 * * * *", "field minute value 60 is out of range"),
    ("* 24 * * *", "field hour value 24 is out of range"),
    ("* * 0 * *", "field day-of-month value 0 is out of range"),
    ("* * 32 * *", "field day-of-month value 32 is out of range"),
    ("* * * 0 *", "field month value 0 is out of range"),
    ("* * * 13 *", "field month value 13 is out of range"),
    ("* * * * 8", "field day-of-week value 8 is out of range"),
    ("0-99 * * * *", "field minute value 99 is out of range"),
    ("99999999999999999999999 * * * *", "field minute value 99999999999999999999999 is out of range"),
    ("5/15 * * * *", 'invalid value "5/15" in field minute'),
    ("5/1 * * * *", 'invalid value "5/1" in field minute'),
    ("*/0 * * * *", 'invalid value "*/0" in field minute'),
    ("*/61 * * * *", 'invalid value "*/61" in field minute'),
    ("0-10/12 * * * *", 'invalid value "0-10/12" in field minute'),
    ("* * * * */8", 'invalid value "*/8" in field day-of-week'),
    ("1-0 * * * *", 'invalid value "1-0" in field minute'),
    ("* * * * 6-1", 'invalid value "6-1" in field day-of-week'),
    ("-1 * * * *", 'invalid value "-1" in field minute'),
    ("1- * * * *", 'invalid value "1-" in field minute'),
    ("1-2-3 * * * *", 'invalid value "1-2-3" in field minute'),
    ("+1 * * * *", 'invalid value "+1" in field minute'),
    ("1.5 * * * *", 'invalid value "1.5" in field minute'),
    ("1_0 * * * *", 'invalid value "1_0" in field minute'),
    ("0x1 * * * *", 'invalid value "0x1" in field minute'),
    (", * * * *", 'invalid value "" in field minute'),
    ("1,,2 * * * *", 'invalid value "" in field minute'),
    ("1, * * * *", 'invalid value "" in field minute'),
    ("/5 * * * *", 'invalid value "/5" in field minute'),
    ("*/ * * * *", 'invalid value "*/" in field minute'),
    ("*/5/5 * * * *", 'invalid value "*/5/5" in field minute'),
    ("** * * * *", 'invalid value "**" in field minute'),
    ("*-5 * * * *", 'invalid value "*-5" in field minute'),
    ("\u0665 * * * *", 'invalid value "\u0665" in field minute'),  # an Arabic-Indic five
    ("\u00b2 * * * *", 'invalid value "\u00b2" in field minute'),  # a superscript two: a digit that int() refuses
    ("0\u00a00 * * * *", r'invalid value "0\xa00" in field minute'),  # a no-break space separates nothing
    ('" * * * *', r'invalid value "\"" in field minute'),
    ("\\ * * * *", r'invalid value "\\" in field minute'),
    ("\x00 * * * *", r'invalid value "\x00" in field minute'),
    ("\ud800 * * * *", r'invalid value "\ud800" in field minute'),
    ("0 0 */2 * 1", "`schedule.expression` cannot restrict both day-of-month and day-of-week; use `*` for one"),
    ("0 0 1 * */1", "`schedule.expression` cannot restrict both day-of-month and day-of-week; use `*` for one"),
    ("0 0 1-31 * 0-7", "`schedule.expression` cannot restrict both day-of-month and day-of-week; use `*` for one"),
    ("0 0 29 2 1", "`schedule.expression` cannot restrict both day-of-month and day-of-week; use `*` for one"),
]


@pytest.mark.parametrize(("expression", "message"), OF_OUR_CHOICE)
def test_where_the_records_are_silent_a_refusal_uses_their_words(expression: str, message: str) -> None:
    with pytest.raises(CronError) as refused:
        parse(expression)
    assert refused.value.message == message
    assert refused.value.message.encode()
    assert refused.value.field == "expression"


def test_the_text_of_an_error_is_the_reason_without_a_lead() -> None:
    for expression, reason in [
        ("not a cron", "expected 5 fields, got 3"),
        ("* * * * * *", "expected 5 fields, got 6"),
        ("0 0 1 * 1", "cannot restrict both day-of-month and day-of-week; use `*` for one"),
        ("0 0 30 2 *", "does not produce any occurrences in the next year"),
    ]:
        with pytest.raises(CronError) as refused:
            check(expression, "UTC", NOW)
        assert str(refused.value) == reason
        assert refused.value.message.endswith(reason)


def test_a_quoted_piece_is_bounded() -> None:
    for expression in [
        "x" * 1_000_000 + " * * * *",
        "9" * 5_000 + " * * * *",
        "9" * 1_000_000 + " * * * *",
        "* * * * 1#" + "2" * 1_000_000,
    ]:
        with pytest.raises(CronError) as refused:
            parse(expression)
        assert len(refused.value.message) < 400


# --- what is accepted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "same_as"),
    [
        ("  0\t9 \n *   * 1-5  ", "0 9 * * 1-5"),
        ("007 09 * 01 *", "7 9 * 1 *"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 0-7", "0 0 * * *"),
        ("0 0 * * 5-7", "0 0 * * 5,6,0"),
        ("0 0 * * 6-7", "0 0 * * 0,6"),
        ("0 0 * * 5-7/2", "0 0 * * 0,5"),
        ("0 0 * * */7", "0 0 * * 0"),
        ("0 0 * * */2", "0 0 * * 0,2,4,6"),
        ("*/1 * * * *", "* * * * *"),
        ("*/60 * * * *", "0 * * * *"),
        ("*/25 * * * *", "0,25,50 * * * *"),
        ("10-20/5 * * * *", "10,15,20 * * * *"),
        ("3-3/1 * * * *", "3 * * * *"),
        ("*/30,7 * * * *", "0,7,30 * * * *"),
        ("*,5 * * * *", "* * * * *"),
        ("5,5,5 * * * *", "5 * * * *"),
        ("0 0 */10 * *", "0 0 1,11,21,31 * *"),
        ("0 0 * */5 *", "0 0 * 1,6,11 *"),
    ],
)
def test_two_spellings_of_a_schedule_are_the_same_schedule(expression: str, same_as: str) -> None:
    assert parse(expression) == parse(same_as)
    assert hash(parse(expression)) == hash(parse(same_as))


@given(st.randoms(use_true_random=False).map(random_expression))
def test_the_masks_are_the_sets_of_values(expression: str) -> None:
    parsed, fields = parse(expression), Fields.of(expression)
    assert _bits(parsed.minutes) == fields.minutes
    assert _bits(parsed.hours) == fields.hours
    assert _bits(parsed.months) == fields.months
    for first, days in enumerate(parsed.days):  # 0 is a month that begins on a Monday, which oracles call 1
        assert _bits(days) == {d for d in fields.dates if (first + d) % 7 in fields.weekdays}


def _bits(mask: int) -> set[int]:
    return {n for n in range(mask.bit_length()) if mask >> n & 1}


def test_a_parsed_expression_is_remembered_unless_it_is_too_long_for_the_wire() -> None:
    assert parse("*/7 3 * * *") is parse("*/7 3 * * *")
    long = "0," * 200 + "0 * * * *"
    assert parse(long) == parse("0 * * * *")
    assert parse(long) is not parse(long)


# --- hostile input --------------------------------------------------------------------------------------------------


def work(act: Callable[[], object]) -> int:
    """How many lines of the two modules an act executes: time that does not depend on the machine."""
    lines = 0
    files = {cron.__file__, cron_grammar.__file__}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except CronError:
        pass
    finally:
        sys.settrace(before)
    return lines


def hostile_texts(random: Random, count: int) -> list[str]:
    """Texts of up to 256 characters that look like cron in one way or another."""
    alphabets = [
        "*/-, 0123456789",
        "0123456789,",
        "*,",
        "*/1,",
        "-/",
        "LW#? *",
        string.printable,
        "\u0660\u0661\u00a0\u2003 *,",
        "9",
        " ",
    ]
    texts = [
        ",".join(["*/1"] * 50) + " * * * *",
        ",".join(["0-59"] * 48) + " * * * *",
        ",".join(["0-59/1"] * 33) + " * * * *",
        " ".join(["*/1,*/1,*/1,*/1,*/1,*/1,*/1,*/1"] * 5),
        "9" * 248 + " * * * *",
        "0" * 248 + " * * * *",
        "*" * 256,
        "," * 256,
        " " * 256,
        "@" * 256,
        "/" * 256,
        "-" * 256,
        "* " * 128,
    ]
    for _ in range(count):
        alphabet = random.choice(alphabets)
        texts.append("".join(random.choices(alphabet, k=random.randint(1, 256))))
        words = ["".join(random.choices(alphabet.replace(" ", "*"), k=random.randint(1, 50))) for _ in range(5)]
        texts.append(" ".join(words)[:256])
    return texts


def test_a_hostile_text_is_answered_with_bounded_work() -> None:
    for text in hostile_texts(Random(2026), 1500):
        assert work(lambda text=text: cron_grammar._parse(text)) <= 5_000, text  # pyright: ignore[reportPrivateUsage]


def refusal(expression: str) -> str:
    """The message of a refusal, or nothing for a schedule."""
    try:
        check(expression, "America/New_York", NOW)
    except CronError as refused:
        return refused.message
    return ""


def test_a_hostile_text_is_a_schedule_or_is_refused_in_words_that_can_be_sent() -> None:
    for text in hostile_texts(Random(2027), 1500):
        message = refusal(text)
        assert message.encode() is not None
        assert message.isprintable()
        assert len(message) < 400


@pytest.mark.parametrize("piece", ["*/1,", "0-59,", "1,", "9", "0", ",", "*", "-", "/", " ", "* ", "L", "#", "\x00"])
def test_the_work_of_parsing_grows_no_faster_than_the_text(piece: str) -> None:
    short, long = ("0 0 1 1 " + piece * (length // len(piece)) for length in (2_000, 16_000))
    assert work(lambda: cron_grammar._parse(long)) <= 8.5 * work(lambda: cron_grammar._parse(short)) + 100  # pyright: ignore[reportPrivateUsage]


def test_the_search_is_bounded_for_the_sparsest_schedules() -> None:
    for expression in ["0 0 31 2 *", "0 0 31 4,6,9,11 *", "0 0 29 2 *", "30 2 14 3 *", "30 2 29 2 *", "30 2 8 3 *"]:
        for name in ("UTC", "America/New_York", "Africa/Casablanca", "Pacific/Apia"):
            for start in ("1970-01-01 00:00", "2011-12-29 00:00", "2026-06-10 17:24", "2096-03-01 00:00"):
                parsed, place, after = parse(expression), zone(name), instant(start)
                assert work(lambda: next_after(parsed, place, after)) <= 1_500
