"""The vendor's newest suite, as it is, against real servers; ``python -m tests.vendor.prove`` runs the older ones too."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import Server
from tests.vendor.exceptions import CASES, steps_of
from tests.vendor.families import FAMILIES, family_of, is_not_yet, plain
from tests.vendor.ground import Ground
from tests.vendor.prove import is_trouble
from tests.vendor.run import DiedOnceWarning, deal, judge, run, share
from tests.vendor.seed import KEY, SETTINGS, seed
from tests.vendor.suites import VERSIONS, Suite, suite

AGENT = "/v1/agents/agent_011CZkYpogX7uDKUyvBTophP"
AGENTS = "tests/api_resources/beta/test_agents.py::TestAgents::"


@pytest.mark.slow
@pytest.mark.filterwarnings("default::tests.vendor.run.DiedOnceWarning")  # to be read by whoever looks at the summary
def test_every_test_of_the_suite_passes_or_is_refused_for_the_reason_that_is_named(tmp_path: Path) -> None:
    results = run(VERSIONS[-1], list(FAMILIES), tmp_path)
    assert [result for result in results if is_trouble(result)] == []
    assert {result.family for result in results} == set(FAMILIES)
    assert len(results) > 2500
    assert sum(result.asked for result in results) > 0.8 * len(results)
    counts = Counter(result.outcome for result in results)
    assert counts["passed"] > 0.83 * len(results)
    assert counts["mocked"] + counts["not yet"] < 0.05 * len(results)


def test_the_seed_is_brought_back_beside_a_live_server(kept: Path, tmp_path: Path) -> None:
    ground, server = _grounds(kept, tmp_path)
    with server:
        before = server.ask("GET", AGENT).ok()
        for _ in range(2):
            assert server.ask("POST", AGENT, {"name": "Another"}).ok()["version"] == 2
            assert server.ask("POST", f"{AGENT}/archive").ok()["archived_at"] is not None
            made = server.ask("POST", "/v1/agents", {"name": "New", "model": "claude-opus-5-5"}).ok()
            ground.restore()
            assert server.ask("GET", AGENT).ok() == before
            server.ask("GET", f"/v1/agents/{made['id']}").refused(404, "not_found_error")
        ground.close()


def test_the_bytes_of_a_file_are_brought_back_with_it(kept: Path, tmp_path: Path) -> None:
    ground, server = _grounds(kept, tmp_path)
    with server:
        for path in (tmp_path / "server" / "data" / "blobs").rglob("*"):
            if path.is_file():
                path.unlink()
        server.ask("DELETE", "/v1/files/file_id").ok()
        ground.restore()
        assert server.ask("GET", "/v1/files/file_id/content").raw == b'{"foo": "bar"}'
        ground.close()


def test_the_callers_key_is_an_admins_where_it_must_be(kept: Path, tmp_path: Path) -> None:
    ground, server = _grounds(kept, tmp_path)
    with server:
        for _ in range(2):
            ground.restore()
            server.ask("GET", AGENT).ok()
            server.ask("POST", "/v1/organizations/workspaces", {"name": "x"}).refused(403, "permission_error")
            ground.restore(scope="admin")
            server.ask("GET", AGENT).refused(403, "permission_error")
            server.ask("POST", "/v1/organizations/workspaces", {"name": "x"}).ok()
        ground.close()


DYING = """
import os, signal
from pathlib import Path

class TestAgents:
    def test_one(self): pass
    def test_two(self):
        if not Path("{marker}").exists():
            Path("{made}").touch()
            os.kill(os.getpid(), signal.{signal})
    def test_three(self): pass
"""


@pytest.fixture
def told(kept: Path, tmp_path: Path) -> dict[str, str]:
    """A place with the seed in it that no test asks anything of."""
    live = tmp_path / "server-0" / "data"
    shutil.copytree(kept.parent, live)
    return {"url": "http://127.0.0.1:1", "database": str(live / kept.name), "seed": str(kept), "key": KEY}


def _dying(folder: Path, *, marker: str, made: str, signal: str) -> Suite:
    """A suite of which one test ends its process, unless a file is there."""
    file = folder / "tests" / "api_resources" / "beta" / "test_agents.py"
    file.parent.mkdir(parents=True)
    file.write_text(DYING.format(marker=folder / marker, made=folder / made, signal=signal))
    return Suite(VERSIONS[-1], suite(VERSIONS[-1]).python, folder)


def test_a_test_that_ends_its_process_is_named_with_its_last_words(told: dict[str, str], tmp_path: Path) -> None:
    of = _dying(tmp_path / "suite", marker="never", made="began", signal="SIGSEGV")
    one, two, three = share(of, told, ["tests/api_resources/beta/test_agents.py"], tmp_path)
    assert one.outcome == "passed"
    assert two.test == f"{AGENTS}test_two"
    assert two.outcome == three.outcome == "failed"
    assert two.why.startswith(f"its process was ended by SIGSEGV, in {two.test}:")
    assert "Fatal Python error: Segmentation fault" in two.why
    assert "test_agents.py" in two.why
    assert three.why == f"it has no outcome: its process was ended by SIGSEGV, in {two.test}"


def test_what_a_process_that_died_once_had_left_is_run_in_a_fresh_one(told: dict[str, str], tmp_path: Path) -> None:
    of = _dying(tmp_path / "suite", marker="began", made="began", signal="SIGKILL")
    with pytest.warns(DiedOnceWarning, match=f"ended by SIGKILL, in {AGENTS}test_two"):
        results = share(of, told, ["tests/api_resources/beta/test_agents.py"], tmp_path)
    assert [result.outcome for result in results] == ["passed"] * 3
    begun = [path.read_text().count('"begun"') for path in sorted(tmp_path.glob("report-*.jsonl"))]
    assert begun == [2, 2], "one and two, then two and three"


def test_a_pytest_that_cannot_do_its_work_says_so(told: dict[str, str], tmp_path: Path) -> None:
    of = _dying(tmp_path / "suite", marker="never", made="began", signal="SIGKILL")
    with pytest.raises(
        AssertionError, match=r"(?s)its process ended with 4, in no test yet.*file or directory not found"
    ):
        share(of, told, ["tests/nothing.py"], tmp_path)


def test_files_are_dealt_out_evenly() -> None:
    assert deal([("a", 5), ("b", 4), ("c", 3), ("d", 2)], 2) == [["a", "d"], ["b", "c"]]
    assert deal([("a", 5)], 2) == [["a"]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seed's database."""
    return seed(tmp_path_factory.mktemp("seed"))


def _grounds(kept: Path, folder: Path) -> tuple[Ground, Server]:
    """A server that holds the seed and has yet to start, and what brings it back to that."""
    live = folder / "server" / "data"
    live.parent.mkdir()
    shutil.copytree(kept.parent, live)
    return Ground(str(live / kept.name), str(kept), KEY), Server(folder / "server", key=KEY, **SETTINGS)


def _line(outcome: str = "passed", **more: Any) -> dict[str, Any]:
    return {"outcome": outcome, "done": [], "undone": [], "why": "", **more}


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        (_line(), "passed"),
        (_line(done=["a limit of 0"]), "excepted"),
        (_line(done=["a limit of 0"], undone=["a cursor called `page`"]), "stale"),
        (_line("failed", done=["a limit of 0"], why="BadRequestError"), "failed"),
        (_line("failed", done=["a null"], foreseen=True), "excepted"),
        (_line("failed", mocked=True), "failed"),
        (_line(mocked=True), "mocked"),
        (_line("skipped", mocked=True), "mocked"),
        (_line("skipped", why="for another day"), "skipped"),
    ],
)
def test_an_outcome_is_what_the_steps_of_its_exception_make_of_it(line: dict[str, Any], outcome: str) -> None:
    assert judge(f"{AGENTS}test_method_list[loose]", line)[0] == outcome


def test_steps_are_found_by_file_function_and_version() -> None:
    def reasons(test: str, version: str = "2.12.0") -> list[str]:
        return [step.reason for step in steps_of(plain(test), version)]

    listed = ["a limit of 0", "a cursor called `page`"]
    assert reasons(f"{AGENTS}test_method_list_with_all_params[strict]") == listed
    assert reasons(f"{AGENTS}test_method_list[strict]") == []
    created = "tests/api_resources/beta/test_environments.py::TestEnvironments::test_method_create[loose]"
    assert reasons(created, "0.121.0") == ["an environment's description, which is null since"]
    assert reasons(created) == []
    assert all(case.steps for case in CASES), "a case without steps hides those below it"


def test_tests_belong_to_the_family_of_their_file() -> None:
    assert family_of(f"{AGENTS}test_method_list") == "agents"
    stream = "tests/api_resources/beta/sessions/threads/test_events.py::TestEvents::test_method_stream[loose]"
    assert family_of(stream) == "sessions"
    assert not is_not_yet(stream)
    limits = (
        "tests/api_resources/organizations/workspaces/test_rate_limits.py::TestRateLimits::test_method_update[loose]"
    )
    assert is_not_yet(limits)
    for other in ("test_method_list", "test_path_params_update"):
        assert not is_not_yet(limits.replace("test_method_update", other))
    with pytest.raises(ValueError, match="belongs to no family"):
        family_of("tests/api_resources/beta/test_dreams.py::TestDreams::test_method_list")
