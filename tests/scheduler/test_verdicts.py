"""What becomes of the occurrences of a schedule that came due, as a table and as a law."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rota.base.clock import DAY, MINUTE, SECOND
from rota.base.timing import ON_TIME, Timing
from rota.base.who import Who
from rota.resources.deployments import schedules
from rota.resources.deployments.verdicts import Pending, Verdict, decide
from rota.resources.deployments.wire import Cron
from tests.base.cron_oracle import instant, walk

HOUR = 60 * MINUTE
NOON = instant("2026-03-02 12:00")
EVERY_MINUTE, HOURLY, DAILY = "* * * * *", "0 * * * *", "0 12 * * *"


def pending(expression: str, first: int, zone: str = "UTC", **more: Any) -> Pending:
    fields: dict[str, Any] = {
        "deployment_id": "depl_1",
        "who": Who(organization_id="o", workspace_id="w", key_id=""),
        "agent": ("agent_1", 1),
        "live": True,
        "due_at": first,
        "accounted_at": first - 1,
        "skipping": False,
        "rewound_at": None,
        "rules": None,
        "schedule": Cron(type="cron", expression=expression, timezone=zone),
    }
    return Pending(**fields | more)


def after_downtime(expression: str, down: int, **rules: Any) -> Verdict:
    """The verdict when the server was away from a schedule's noon on, for so long."""
    return decide(pending(expression, NOON), NOON + down, Timing(**rules))


def missed(verdict: Verdict) -> int:
    return sum(lapse.count for lapse in verdict.lapses)


TABLE: Sequence[tuple[str, int, dict[str, Any], int | None, int]] = [
    # schedule, time away, rules, what fires (after noon; None: nothing), how many are missed
    (HOURLY, 0, {}, 0, 0),
    (HOURLY, 59 * SECOND, {}, 0, 0),
    (HOURLY, 59 * SECOND, {"catch_up": "none"}, 0, 0),
    (HOURLY, 61 * SECOND, {}, 0, 0),
    (HOURLY, 61 * SECOND, {"catch_up": "none"}, None, 1),
    (HOURLY, 61 * SECOND, {"catch_up": "all"}, 0, 0),
    (EVERY_MINUTE, 59 * SECOND, {}, 0, 0),
    (EVERY_MINUTE, 61 * SECOND, {}, MINUTE, 1),
    (EVERY_MINUTE, 61 * SECOND, {"catch_up": "none"}, MINUTE, 1),
    (EVERY_MINUTE, 61 * SECOND, {"catch_up": "all"}, 0, 0),
    (HOURLY, HOUR, {}, HOUR, 1),
    (HOURLY, HOUR - 1, {}, 0, 0),
    (DAILY, HOUR, {}, 0, 0),
    (DAILY, HOUR + 1, {}, None, 1),
    (DAILY, HOUR + 1, {"window": 2 * HOUR}, 0, 0),
    (DAILY, HOUR + 1, {"catch_up": "all"}, 0, 0),
    (DAILY, HOUR, {"window": 0}, None, 1),
    (EVERY_MINUTE, 30 * DAY, {}, 30 * DAY, 43_200),
    (EVERY_MINUTE, 30 * DAY, {"catch_up": "none"}, 30 * DAY, 43_200),
    (EVERY_MINUTE, 30 * DAY, {"catch_up": "all"}, 30 * DAY - 99 * MINUTE, 43_101),
    (DAILY, 30 * DAY + 2 * HOUR, {}, None, 31),
    (DAILY, 30 * DAY + 2 * HOUR, {"catch_up": "all", "limit": 7}, 24 * DAY, 24),
    (EVERY_MINUTE, 3650 * DAY, {}, 3650 * DAY, 5_256_000),
    (DAILY, 3650 * DAY + 2 * HOUR, {"catch_up": "none"}, None, 3651),
    (DAILY, 3650 * DAY + 2 * HOUR, {"catch_up": "all", "limit": 100}, 3551 * DAY, 3551),
]


@pytest.mark.parametrize(("expression", "down", "rules", "fires", "lost"), TABLE)
def test_after_downtime(expression: str, down: int, rules: dict[str, Any], fires: int | None, lost: int) -> None:
    verdict = after_downtime(expression, down, **rules)
    assert verdict.fires == (None if fires is None else NOON + fires)
    assert missed(verdict) == lost
    assert {lapse.reason for lapse in verdict.lapses} <= {"not_fired_in_time"}


def test_all_goes_on_with_the_next_oldest() -> None:
    due, now, fired = pending(HOURLY, NOON), NOON + 3 * HOUR + 5 * MINUTE, []
    while due.due_at <= now:
        verdict = decide(due, now, Timing(catch_up="all", limit=3))
        assert verdict.fires is not None
        assert verdict.due_at is not None
        fired.append(verdict.fires - NOON)
        due = pending(HOURLY, verdict.due_at, accounted_at=verdict.accounted_at)
    assert fired == [HOUR, 2 * HOUR, 3 * HOUR]


def test_a_running_session_makes_the_occurrence_skipped_and_never_missed() -> None:
    skip = Timing(overlap="skip")
    verdict = decide(pending(HOURLY, NOON), NOON + SECOND, skip, running=True)
    assert verdict.fires is None
    assert [(lapse.kind, lapse.reason, lapse.count) for lapse in verdict.lapses] == [("skipped", "session_running", 1)]
    assert verdict.due_at == NOON + HOUR
    assert decide(pending(HOURLY, NOON), NOON + SECOND, skip).fires == NOON
    assert decide(pending(HOURLY, NOON), NOON + SECOND, Timing(), running=True).fires == NOON


def test_what_was_missed_before_a_skip_stays_missed() -> None:
    verdict = decide(pending(HOURLY, NOON), NOON + 2 * HOUR, Timing(overlap="skip"), running=True)
    assert [(lapse.kind, lapse.count) for lapse in verdict.lapses] == [("missed", 2), ("skipped", 1)]


def test_an_occurrence_whose_moment_has_not_come_is_neither_fired_nor_missed() -> None:
    timing = Timing(jitter="published")
    due = pending(EVERY_MINUTE, NOON)
    moment = schedules.moment(timing, due.deployment_id, due.schedule, NOON + MINUTE)
    verdict = decide(due, moment - 1, timing)
    assert (verdict.fires, verdict.due_at) == (NOON, NOON + MINUTE)
    assert decide(due, moment, timing).fires == NOON + MINUTE


def test_where_the_clock_was_set_back_what_has_fired_is_passed_over() -> None:
    rewound = pending(HOURLY, NOON, rewound_at=NOON + HOUR)
    assert decide(rewound, NOON, Timing(), fired={NOON}) == Verdict(accounted_at=NOON, due_at=NOON + HOUR)
    assert decide(rewound, NOON, Timing(), fired={NOON + HOUR}).fires == NOON
    late = decide(rewound, NOON + 2 * HOUR, Timing(), fired={NOON + HOUR})
    assert (late.fires, missed(late), late.due_at) == (None, 1, NOON + HOUR)


@settings(max_examples=300, deadline=None)
@given(
    expression=st.sampled_from([EVERY_MINUTE, HOURLY, "*/17 * * * *", "30 1 * * *", "30 2 * * *", "0 9 * * 1-5"]),
    zone=st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Europe/Berlin"]),
    start=st.integers(instant("2026-03-05"), instant("2026-04-06"))
    | st.integers(instant("2026-10-23"), instant("2026-11-03")),
    away=st.one_of(st.integers(0, 2 * MINUTE), st.integers(0, 3 * HOUR), st.integers(0, 4 * DAY)),
    catch_up=st.sampled_from(["latest", "none", "all"]),
    window=st.sampled_from([0, MINUTE, HOUR, DAY]),
    limit=st.integers(1, 50),
    overlap=st.sampled_from(["allow", "skip"]),
    jitter=st.sampled_from(["off", "published"]),
    running=st.booleans(),
)
def test_every_occurrence_is_accounted_for_once(
    expression: str, zone: str, start: int, away: int, running: bool, **rules: Any
) -> None:
    timing = Timing(**rules)
    schedule = Cron(type="cron", expression=expression, timezone=zone)
    first = schedules.following(schedule, start)
    assert first is not None
    now = schedules.moment(timing, "depl_1", schedule, first) + away
    assume(now >= first)
    verdict = decide(pending(expression, first, zone), now, timing, running=running)

    moments: Callable[[int], int] = lambda due: schedules.moment(timing, "depl_1", schedule, due)  # noqa: E731
    zoned = schedules._read(expression, zone)[1]
    ripe = [due for due in walk(expression, zoned, first - 1, now) if moments(due) <= now]
    lapsed = [due for lapse in verdict.lapses for due in walk(expression, zoned, lapse.first_at - 1, lapse.last_at)]
    assert len(lapsed) == missed(verdict)
    assert all(lapse.first_at in lapsed and lapse.last_at in lapsed for lapse in verdict.lapses)
    accounted = sorted(lapsed + ([] if verdict.fires is None else [verdict.fires]))
    assert accounted == ripe[: len(accounted)], "some were left out, or counted twice"
    assert verdict.accounted_at == accounted[-1]
    assert verdict.due_at == schedules.following(schedule, accounted[-1])
    if timing.catch_up == "all":
        assert len(ripe) - len(accounted) < timing.limit
    else:
        assert accounted == ripe
    skipped = [lapse for lapse in verdict.lapses if lapse.kind == "skipped"]
    assert bool(skipped) <= (running and timing.overlap == "skip")
    if now - moments(ripe[-1]) < ON_TIME and timing.catch_up != "all":
        assert verdict.fires == ripe[-1] or skipped


@given(
    away=st.integers(0, 90 * MINUTE),
    fired=st.sets(st.integers(0, 90)),
    catch_up=st.sampled_from(["latest", "none", "all"]),
    window=st.sampled_from([0, HOUR]),
    limit=st.integers(1, 20),
    jitter=st.sampled_from(["off", "published"]),
)
def test_where_the_clock_was_set_back_every_occurrence_is_in_one_place_after_few_steps(
    away: int, fired: set[int], **rules: Any
) -> None:
    timing, now = Timing(**rules), NOON + 10 * SECOND + away
    schedule = pending(EVERY_MINUTE, NOON).schedule
    ran = {NOON + minute * MINUTE for minute in fired if NOON + minute * MINUTE <= now}
    at: int | None = NOON
    found, made, steps = list[int](), list[int](), 0
    while at is not None and schedules.moment(timing, "depl_1", schedule, at) <= now:
        verdict = decide(pending(EVERY_MINUTE, at, rewound_at=max(ran, default=None)), now, timing, fired=ran)
        for lapse in verdict.lapses:
            found += range(lapse.first_at, lapse.last_at + MINUTE, MINUTE)
        if verdict.fires is not None:
            made.append(verdict.fires)
        at, steps = verdict.due_at, steps + 1
    assert at is not None
    passed = sorted(due for due in ran if due < at)
    assert sorted([*found, *made, *passed]) == list(range(NOON, at, MINUTE))
    assert not ran & set(made)
    assert steps <= 2 * len(passed) + 1 + len(made)
    assert len(made) <= limit_of(timing, len(passed))


def limit_of(timing: Timing, ran: int) -> int:
    """How many may fire at one instant: the newest, or so many of each stretch that has not fired."""
    return timing.limit * (ran + 1) if timing.catch_up == "all" else 1
