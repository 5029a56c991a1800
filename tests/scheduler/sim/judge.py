"""What must be true of a simulated world, seen from outside: by the rows that are there and by when they came.

Every occurrence of every schedule, found by looking at each minute of the time for which it was kept, must be matched by
exactly one run or one counted lapse, and nothing else may be there (after Jepsen's checker for schedulers). How long a
schedule was kept is read off the deployments after each commit; nothing of the scheduler's own bookkeeping is believed.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rota.base import cron
from rota.base.timing import ON_TIME, Timing, fire_at
from tests.base.cron_oracle import walk
from tests.scheduler.sim.store import Core

PAUSING_EXCEPT = {"session_rate_limited_error", "session_creation_rejected_error"}
_FAR = 1 << 62

_STATE = """SELECT id, status, archived_at, updated_at, body, paused_error, expression, timezone
            FROM deployments LEFT JOIN schedules ON deployment_id = id"""


@dataclass
class Kept:
    """A stretch of time for which one schedule was kept: occurrences after ``since``, up to and including ``until``."""

    expression: str
    timezone: str
    since: int
    until: int = _FAR


@dataclass
class Fired:
    """A run that a ticker's commit made."""

    deployment_id: str
    due: int
    at: int
    error: str | None
    running: bool


@dataclass
class Record:
    """What is known of one deployment from outside."""

    timing: Timing
    kept: list[Kept] = field(default_factory=list[Kept])
    state: tuple[Any, ...] = ()
    touched_at: int = 0
    expected_pause: str | None = None


class Judge:
    """Watches every commit, and says in the end what was wrong."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.wrong: list[str] = []
        self.records: dict[str, Record] = {}
        self.fired: list[Fired] = []
        self.rules: dict[str, Timing] = {}
        self._seen_runs = 0
        self._running: set[str] = set()
        self._skipped: Counter[str] = Counter()
        core.before = self._look_before
        core.watch = self._look_after

    def _all(self, text: str, *parameters: Any) -> list[Any]:
        return self._core.connection.execute(text, parameters).fetchall()

    def _look_before(self, _who: str) -> None:
        self._running = {
            row[0] for row in self._all("SELECT DISTINCT deployment_id FROM sessions WHERE status = 'running'")
        }

    def _look_after(self, who: str, now: int) -> None:
        by_ticker = who != "api"
        for deployment_id, status, archived_at, updated_at, body, paused_error, *schedule in self._all(_STATE):
            record = self.records.get(deployment_id)
            if record is None:
                record = self.records[deployment_id] = Record(self.rules.get(deployment_id, Timing()))
            state = (status, archived_at, updated_at, body, paused_error, *schedule)
            if state == record.state:
                continue
            record.state = state
            if updated_at != record.touched_at:
                if by_ticker and archived_at is None:
                    self.wrong.append(f"{deployment_id}: a fire moved updated_at")
                record.touched_at = updated_at
            live = status == "active" and archived_at is None and schedule[0] is not None
            self._keep(record, tuple(schedule) if live else None, now)
        if by_ticker:
            self._look_at_fires(now)

    def _keep(self, record: Record, asked: tuple[str, str] | None, now: int) -> None:
        last = record.kept[-1] if record.kept and record.kept[-1].until == _FAR else None
        if last is not None and asked == (last.expression, last.timezone):
            return
        if last is not None:
            last.until = now
        if asked is not None:
            record.kept.append(Kept(*asked, since=now))

    def _look_at_fires(self, now: int) -> None:
        rows = self._all(
            "SELECT rowid, deployment_id, scheduled_at, created_at, error_type FROM deployment_runs"
            " WHERE rowid > ? AND scheduled_at IS NOT NULL", self._seen_runs,
        )  # fmt: skip
        for rowid, deployment_id, due, at, error in rows:
            self._seen_runs = rowid
            self.fired.append(Fired(deployment_id, due, at, error, deployment_id in self._running))
            if at != now:
                self.wrong.append(f"{deployment_id}: a run of {due} is dated {at} by a transaction of {now}")
        skipped = Counter(
            dict(self._all("SELECT deployment_id, sum(count) FROM lapses WHERE kind = 'skipped' GROUP BY 1"))
        )
        for deployment_id in skipped.keys() - self._running:
            if skipped[deployment_id] != self._skipped[deployment_id]:
                self.wrong.append(f"{deployment_id}: skipped although no session was running")
        self._skipped = skipped

    # In the end

    def verdict(self, now: int) -> list[str]:
        """Everything that is wrong, in sentences."""
        runs: dict[str, list[Fired]] = defaultdict(list)
        for fired in self.fired:
            runs[fired.deployment_id].append(fired)
        lapses: dict[str, list[Any]] = defaultdict(list)
        for row in self._all(
            "SELECT deployment_id, first_at, last_at, count, kind, reason, created_at, expression, timezone FROM lapses"
        ):
            lapses[row[0]].append(row[1:])
        for deployment_id, record in self.records.items():
            self._match(deployment_id, record, runs[deployment_id], lapses[deployment_id], now)
            self._settle(deployment_id, record, runs[deployment_id], now)
        self._sessions()
        self._announcements()
        return self.wrong

    def _match(
        self, deployment_id: str, record: Record, runs: Sequence[Fired], lapses: Sequence[Any], now: int
    ) -> None:
        moments = _Moments(deployment_id, record)
        targets: Counter[int] = Counter()
        for kept in record.kept:
            for due in _walk(kept, min(kept.until, now)):
                if kept.until != _FAR or moments.of(due) <= now:
                    targets[due] += 1
        found: Counter[int] = Counter(fired.due for fired in runs)
        for first, last, count, kind, reason, at, expression, timezone in lapses:
            stretch = list(_walk(Kept(expression, timezone, first - 1), last))
            if len(stretch) != count or not stretch or (stretch[0], stretch[-1]) != (first, last):
                self.wrong.append(
                    f"{deployment_id}: a lapse of {count} from {first} to {last} is {len(stretch)} occurrences"
                )
            found.update(stretch)
            if kind == "missed" and reason == "not_fired_in_time":
                for due in stretch[-3:]:
                    if moments.must_fire(due, at):
                        self.wrong.append(f"{deployment_id}: {due} was missed at {at} and should have fired")
        for due in (targets - found).elements():
            self.wrong.append(f"{deployment_id}: {due} is lost")
        for due in (found - targets).elements():
            self.wrong.append(f"{deployment_id}: {due} is there once too often, or was never to be")
        for fired in runs:
            if fired.at < moments.of(fired.due):
                self.wrong.append(f"{deployment_id}: {fired.due} fired early, at {fired.at}")
            elif not moments.may_fire(fired.due, fired.at):
                self.wrong.append(f"{deployment_id}: {fired.due} fired at {fired.at} and should have been missed")
            if fired.running and record.timing.overlap == "skip" and fired.error != "unknown_error":
                self.wrong.append(f"{deployment_id}: {fired.due} fired beside a running session")

    def _settle(self, deployment_id: str, record: Record, runs: Sequence[Fired], now: int) -> None:
        status, archived_at, _, _, paused_error, *_ = record.state
        [row] = self._all(
            "SELECT fire_at, due_at, last_run_at FROM schedules WHERE deployment_id = ?", deployment_id
        ) or [(None, None, None)]
        good = [fired.at for fired in runs if fired.error is None]
        if row[2] != (max(good) if good else None):
            self.wrong.append(
                f"{deployment_id}: last_run_at is {row[2]}, the last good run began at {max(good, default=None)}"
            )
        if row[0] is not None and row[0] <= now:
            self.wrong.append(f"{deployment_id}: something is still due")
        if (row[0] is not None) != (
            status == "active" and archived_at is None and bool(record.kept) and record.kept[-1].until == _FAR
        ):
            self.wrong.append(f"{deployment_id}: is {status}, and due at {row[0]}")
        failed = [fired for fired in runs if fired.error is not None and fired.error not in PAUSING_EXCEPT]
        ends = {kept.until for kept in record.kept}
        for fired in failed:
            if fired.at not in ends:
                self.wrong.append(f"{deployment_id}: {fired.error} at {fired.at} did not pause")
        if paused_error is not None and not any(fired.error == paused_error for fired in failed):
            self.wrong.append(f"{deployment_id}: paused by {paused_error}, which no run has")

    def _sessions(self) -> None:
        for session_id, runs in self._all(
            "SELECT s.id, count(r.id) FROM sessions s LEFT JOIN deployment_runs r ON r.session_id = s.id"
            " WHERE s.deployment_id IS NOT NULL GROUP BY s.id HAVING count(r.id) <> 1"
        ):
            self.wrong.append(f"session {session_id} has {runs} runs")
        for run_id, session_id in self._all(
            "SELECT id, session_id FROM deployment_runs WHERE session_id IS NOT NULL"
            " AND session_id NOT IN (SELECT id FROM sessions)"
        ):
            self.wrong.append(f"run {run_id} has session {session_id}, which is not there")

    def _announcements(self) -> None:
        told: dict[str, list[str]] = defaultdict(list)
        for event, of in self._all("SELECT event, resource_id FROM outbox WHERE event LIKE 'deployment_run.%'"):
            told[of].append(event.partition(".")[2])
        for run_id, due, error in self._all("SELECT id, scheduled_at, error_type FROM deployment_runs"):
            expected = [] if due is None else ["started", "succeeded" if error is None else "failed"]
            if sorted(told.get(run_id, [])) != sorted(expected):
                self.wrong.append(f"run {run_id} is announced as {told.get(run_id)}")
        paused = Counter(
            dict(self._all("SELECT resource_id, count(*) FROM outbox WHERE event = 'deployment.paused' GROUP BY 1"))
        )
        for deployment_id, record in self.records.items():
            pauses = sum(
                fired.error is not None and fired.error not in PAUSING_EXCEPT
                for fired in self.fired
                if fired.deployment_id == deployment_id
            )
            if paused[deployment_id] < pauses:
                self.wrong.append(f"{deployment_id}: {pauses} pauses by error, {paused[deployment_id]} announced")
            del record


class _Moments:
    """When occurrences are to fire, and which rule decides on them."""

    def __init__(self, deployment_id: str, record: Record) -> None:
        self._deployment_id = deployment_id
        self._record = record
        self._next: dict[int, int | None] = {}
        for kept in record.kept:
            found = list(
                _walk(
                    Kept(kept.expression, kept.timezone, kept.since), min(kept.until, kept.since + 8 * 86_400_000_000)
                )
            )
            parsed, zone = cron.parse(kept.expression), cron.zone(kept.timezone)
            for due, following in zip(found, [*found[1:], None], strict=False):
                self._next[due] = cron.next_after(parsed, zone, due) if following is None else following

    def of(self, due: int) -> int:
        if self._record.timing.jitter == "off":
            return due
        return fire_at("published", self._deployment_id, due, self._next.get(due))

    def _newer(self, due: int, at: int) -> bool:
        following = self._next.get(due)
        return following is not None and self.of(following) <= at

    def may_fire(self, due: int, at: int) -> bool:
        """Whether it is right that an occurrence fired at an instant."""
        if self._record.timing.catch_up == "all":
            return self._later(due, at) < self._record.timing.limit
        return not self._newer(due, at) and self._young(due, at)

    def must_fire(self, due: int, at: int) -> bool:
        """Whether it is wrong that an occurrence was given up as missed."""
        return self.may_fire(due, at)

    def _later(self, due: int, at: int) -> int:
        """How many later ones were due at an instant, as far as that matters."""
        later, following = 0, self._next.get(due)
        while following is not None and self.of(following) <= at and later <= self._record.timing.limit:
            later, following = later + 1, self._next.get(following)
        return later

    def _young(self, due: int, at: int) -> bool:
        timing = self._record.timing
        return at - self.of(due) < ON_TIME or (timing.catch_up == "latest" and at - due <= timing.window)


_walked: dict[tuple[str, str, int], list[int]] = {}
_DAY = 86_400_000_000


def _walk(kept: Kept, until: int) -> Sequence[int]:
    """The occurrences of a stretch, by looking at every minute; whole days are remembered."""
    found: list[int] = []
    day = kept.since // _DAY
    while day * _DAY <= until:
        key = (kept.expression, kept.timezone, day)
        of_day = _walked.get(key)
        if of_day is None:
            of_day = _walked[key] = list(
                walk(kept.expression, cron.zone(kept.timezone), day * _DAY - 1, (day + 1) * _DAY - 1)
            )
        found += of_day[bisect_left(of_day, kept.since + 1) : bisect_left(of_day, until + 1)]
        day += 1
    return found
