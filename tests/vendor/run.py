"""One run of a version's suite: servers that hold the seed, the vendor's pytest beside them, and what came of each test.

Each server has a pytest of its own, which runs a share of the files: plain processes, so that one that dies takes nothing
with it but what it had not come to. Promises: every test that was collected has an outcome; tests whose process died are run
once more in a fresh one, and if that dies too, the test that was under way is named, with the last words of its
process; a pytest that ends by itself otherwise than by passing or failing tests fails here, and so does a server that
met something unforeseen.
"""

import json
import re
import shutil
import signal
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from tests.acceptance.server import Server
from tests.cli.process import environment
from tests.vendor import families
from tests.vendor.seed import KEY, SETTINGS, seed
from tests.vendor.suites import Suite, suite

SECONDS = 900
_STUCK = 120
"""Seconds after which a test that does not end shows where it is."""
_WORDS = 8000
Outcome: TypeAlias = Literal["passed", "excepted", "failed", "stale", "mocked", "not yet", "skipped"]
"""``excepted``: passed once the values that ``exceptions`` names were refused and cured. ``stale``: passed, and an exception
was not needed. ``mocked``: passed, or was left out by its authors, because its response is made up beside the server.
``skipped``: left out by its authors for any other reason."""


class DiedOnceWarning(UserWarning):
    """A test process died, and in a fresh one the same tests have ended as they should."""


class Result(NamedTuple):
    """What came of one test.

    ``asked`` tells whether it sent the server anything: many only look at what the client does with its arguments.
    ``reasons`` are those of its exceptions, ``why`` is the error that ended it.
    """

    test: str
    family: str
    asked: bool
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    why: str = ""


class Process(NamedTuple):
    """One pytest process that has ended: what it wrote down, test by test, and how it ended."""

    lines: list[dict[str, Any]]
    code: int | None
    """None if it took too long."""
    said: str

    @property
    def died(self) -> bool:
        """Whether it did not end by itself."""
        return self.code is None or self.code < 0

    @property
    def end(self) -> str:
        """How it ended, in words."""
        if self.code is None:
            return f"its process had not ended after {SECONDS} seconds"
        if self.code < 0:
            return f"its process was ended by {signal.Signals(-self.code).name}"
        return f"its process ended with {self.code}"

    @property
    def collected(self) -> list[str]:
        """The tests that it found; none if it died before."""
        return [test for line in self.lines for test in line.get("collected", ())]

    @property
    def left(self) -> list[str]:
        """The collected tests that have no outcome."""
        known = {line["test"] for line in self.lines if "test" in line}
        return [test for test in self.collected if test not in known]

    @property
    def under_way(self) -> str | None:
        """The last test that was begun."""
        return next((line["begun"] for line in reversed(self.lines) if "begun" in line), None)

    def last_words(self) -> str:
        """How it ended, where, and what it said last."""
        return f"{self.end}, in {self.under_way or 'no test yet'}:\n{self.said[-_WORDS:]}"


def run(version: str, names: Sequence[str], folder: Path, servers: int = 2) -> list[Result]:
    """Run a version's tests of the named families below ``folder``, each test process with a server of its own."""
    of = suite(version)
    paths = [path for name in names for path in families.paths(of.folder, name)]
    if not paths:  # an older version may not know any of the families
        return []
    seeded = seed(folder / "seed")
    shares = deal([(str(path), _weight(of.folder / path)) for path in paths], servers)
    with ExitStack() as stack:
        told = [_serve(stack, folder, number, seeded) for number in range(len(shares))]
        with ThreadPoolExecutor(len(shares)) as pool:
            found = list(pool.map(lambda at: share(of, at[0], at[1], folder), zip(told, shares, strict=True)))
    for log in folder.glob("server-*/server.log"):
        assert "Traceback" not in log.read_text(), (
            f"a server met something that nobody foresaw:\n{log.read_text()[-4000:]}"
        )
    return [result for results in found for result in results]


def deal(weighed: Sequence[tuple[str, int]], shares: int) -> list[list[str]]:
    """Paths in at most so many shares of about the same weight, none of them empty: the heaviest first, to whoever has least."""
    dealt: list[list[str]] = [[] for _ in range(min(shares, len(weighed)))]
    weights = [0] * len(dealt)
    for path, weight in sorted(weighed, key=lambda each: -each[1]):
        least = weights.index(min(weights))
        dealt[least].append(path)
        weights[least] += weight
    return dealt


def _weight(path: Path) -> int:
    """About how many tests a file has: those that do not wait come in two kinds, the others in three."""
    return sum(3 if found[1] else 2 for found in re.finditer(r"^ +(async )?def test_", path.read_text(), re.MULTILINE))


def share(of: Suite, told: dict[str, str], tests: Sequence[str], folder: Path) -> list[Result]:
    """What came of some files or tests beside one server, told by as many processes as it takes, at most two."""
    first = last = _process(of, told, tests, folder)
    lines = first.lines
    if first.left or not first.collected:
        last = _process(of, told, first.left or tests, folder)
        lines = [*lines, *last.lines]
    if first.died and not last.left:
        warnings.warn(DiedOnceWarning(first.last_words()), stacklevel=1)
    return list(results_of(lines, last))


def _process(of: Suite, told: dict[str, str], tests: Sequence[str], folder: Path) -> Process:
    """Run pytest on these."""
    number = len(list(folder.glob("report-*.jsonl")))
    report = folder / f"report-{Path(told['database']).parents[1].name}-{number}.jsonl"
    report.touch()
    options = ["-p", "restoring", "-p", "no:cacheprovider", "-n", "0", "--tb=short", "-q"]
    words = folder / f"{report.stem}.txt"
    code: int | None = None
    with words.open("wb") as said:
        process = subprocess.Popen(
            [str(of.python), "-s", "-X", "faulthandler", "-m", "pytest", *options,
             "-o", f"faulthandler_timeout={_STUCK}", *tests],
            cwd=of.folder,
            env=environment(SUITE_SERVER=json.dumps(told), SUITE_REPORT=str(report), NO_PROXY="*", no_proxy="*")
            | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )  # fmt: skip
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    ended = Process(
        [json.loads(line) for line in report.read_text().splitlines()], code, words.read_text(errors="replace")
    )
    assert ended.died or code in (0, 1), ended.last_words()
    return ended


def _serve(stack: ExitStack, folder: Path, number: int, seeded: Path) -> dict[str, str]:
    """Start a server on a copy of the seed; what the plug-in must know of it."""
    place = folder / f"server-{number}"
    shutil.copytree(seeded.parent, place / "data")
    server = stack.enter_context(Server(place, key=KEY, **SETTINGS))
    served = server.ask("GET", "/openapi.json").ok()["paths"]
    waiting = [route.split() for route in families.NOT_YET]
    late = [f"{method} {path}" for method, path in waiting if method.lower() in served.get(path, {})]
    assert not late, f"no longer to be waited for: {', '.join(late)}"
    return {"url": server.url, "database": str(place / "data" / seeded.name), "seed": str(seeded), "key": KEY}


def results_of(lines: Sequence[dict[str, Any]], last: Process) -> Iterator[Result]:
    """What came of each test that was collected; ``last`` is the process that should have come to all that have no outcome."""
    collected = dict.fromkeys(test for line in lines for test in line.get("collected", ()))
    outcomes: dict[str, dict[str, Any]] = {}
    for line in lines:
        if "test" in line and outcomes.get(line["test"], {}).get("outcome") != "failed":
            outcomes[line["test"]] = line
    for test in collected:
        line = outcomes.get(test) or {"outcome": "failed", "why": _why(test, last)}
        family = families.family_of(test)
        mocked = line.get("mocked", False)
        yield Result(test, family, line.get("asked", False) and not mocked, *judge(test, line))


def _why(test: str, last: Process) -> str:
    """Why a test has no outcome: the one that was under way has the last words, the others name it."""
    if test == last.under_way:
        return last.last_words()
    return f"it has no outcome: {last.end}, in {last.under_way or 'no test yet'}"


def judge(test: str, line: dict[str, Any]) -> tuple[Outcome, tuple[str, ...], str]:
    """The outcome of a test as the plug-in has told it, with the reasons of its exceptions and what ended it."""
    done, undone = tuple(line.get("done", ())), tuple(line.get("undone", ()))
    match line["outcome"]:
        case "skipped" if families.is_not_yet(test):
            return "not yet", (), ""
        case "passed" if undone:
            return "stale", undone, "it passes without this exception"
        case "passed" | "skipped" if line.get("mocked"):
            return "mocked", (), ""
        case "passed":
            return ("excepted" if done else "passed"), done, ""
        case "skipped":
            return "skipped", (), line["why"]
        case _ if line.get("foreseen"):
            return "excepted", done, ""
        case _:
            return "failed", done, line["why"]
