"""The vendor's newest suite, as it is, against real servers; ``python -m tests.vendor.prove`` runs the older ones too."""

from pathlib import Path

import pytest

from tests.acceptance.server import Server
from tests.vendor.families import FAMILIES
from tests.vendor.ground import Ground
from tests.vendor.prove import is_trouble
from tests.vendor.run import Result, run
from tests.vendor.seed import KEY, SETTINGS, seed
from tests.vendor.suites import VERSIONS


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    return run(VERSIONS[-1], list(FAMILIES), tmp_path_factory.mktemp("suite"))


@pytest.mark.slow
def test_every_test_of_the_suite_passes_or_is_refused_for_the_reason_that_is_named(results: list[Result]) -> None:
    assert [result for result in results if is_trouble(result)] == []


@pytest.mark.slow
def test_exceptions_are_few_and_no_family_is_empty(results: list[Result]) -> None:
    for family in FAMILIES:
        of = [result for result in results if result.family == family]
        assert len(of) > 40, family
        assert sum(result.outcome == "passed" for result in of) > 0.8 * len(of), family


def test_the_seed_is_brought_back_beside_a_live_server(tmp_path: Path) -> None:
    seeded = seed(tmp_path / "seed")
    (tmp_path / "server").mkdir()
    (tmp_path / "seed" / "data").rename(tmp_path / "server" / "data")
    (tmp_path / "seed.db").write_bytes((tmp_path / "server" / "data" / seeded.name).read_bytes())
    with Server(tmp_path / "server", key=KEY, **SETTINGS) as server:
        ground = Ground(str(tmp_path / "server" / "data" / seeded.name), str(tmp_path / "seed.db"), KEY)
        agent = "/v1/agents/agent_011CZkYpogX7uDKUyvBTophP"
        before = server.ask("GET", agent).ok()
        for _ in range(2):
            assert server.ask("POST", agent, {"name": "Another"}).ok()["version"] == 2
            assert server.ask("POST", f"{agent}/archive").ok()["archived_at"] is not None
            made = server.ask("POST", "/v1/agents", {"name": "New", "model": "claude-opus-5-5"}).ok()
            ground.restore()
            assert server.ask("GET", agent).ok() == before
            server.ask("GET", f"/v1/agents/{made['id']}").refused(404, "not_found_error")
        ground.close()
