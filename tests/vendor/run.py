"""One run of a version's suite: servers that hold the seed, the vendor's pytest beside them, and what came of each test.

Promises: every test that was collected has an outcome; a pytest that ends otherwise than by passing or failing tests
fails here, with its own words, and so does a server that met something unforeseen.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from tests.acceptance.server import Server
from tests.cli.process import environment
from tests.vendor import families
from tests.vendor.seed import KEY, SETTINGS, seed
from tests.vendor.suites import suite

SECONDS = 900
Outcome: TypeAlias = Literal["passed", "excepted", "failed", "stale", "mocked", "not yet", "skipped"]
"""``excepted``: passed once the values that ``exceptions`` names were refused and cured. ``stale``: passed, and an exception
was not needed. ``mocked``: passed, or was left out by its authors, because its response is made up beside the server.
``skipped``: left out by its authors for any other reason."""


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


def run(version: str, names: Sequence[str], folder: Path, servers: int = 2) -> list[Result]:
    """Run a version's tests of the named families below ``folder``, each test process with a server of its own."""
    of = suite(version)
    paths = [str(path) for name in names for path in families.paths(of.folder, name)]
    if not paths:  # an older version may not know any of the families
        return []
    seeded = seed(folder / "seed")
    report = folder / "report.jsonl"
    with ExitStack() as stack:
        told = [_serve(stack, folder, number, seeded) for number in range(servers)]
        options = ["-p", "restoring", "-p", "no:cacheprovider", "-n", str(servers), "--tb=short", "-q"]
        variables = {"SUITE_SERVERS": json.dumps(told), "SUITE_REPORT": str(report)}
        done = subprocess.run(
            [str(of.python), "-s", "-m", "pytest", *options, *paths],
            cwd=of.folder,
            env=environment(**variables, NO_PROXY="*", no_proxy="*", PYTHONDONTWRITEBYTECODE="1")
            | {"PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode in (0, 1), (
        f"pytest ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    )
    for log in folder.glob("server-*/server.log"):
        assert "Traceback" not in log.read_text(), (
            f"a server met something that nobody foresaw:\n{log.read_text()[-4000:]}"
        )
    return list(_results([json.loads(line) for line in report.read_text().splitlines()]))


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


def _results(lines: Sequence[dict[str, Any]]) -> Iterator[Result]:
    collected = dict.fromkeys(test for line in lines for test in line.get("collected", ()))
    outcomes = {}
    for line in lines:
        if "test" in line and outcomes.get(line["test"], {}).get("outcome") != "failed":
            outcomes[line["test"]] = line
    for test in collected:
        line = outcomes.get(test, {"outcome": "failed", "why": "it has no outcome: its process ended"})
        family = families.family_of(test)
        mocked = line.get("mocked", False)
        yield Result(test, family, line.get("asked", False) and not mocked, *judge(test, line))


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
