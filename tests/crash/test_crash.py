"""A server that is killed at any instant has kept all that it answered, once, and nothing by halves."""

from pathlib import Path

import pytest

from tests.crash.power import cuts
from tests.crash.rounds import Toll, rounds

pytestmark = pytest.mark.slow
KILLS = 8
COPIES = 10
"""The share that every test run pays for; ``python -m tests.crash.prove`` goes on for as long as it is told."""


def _is_clean(toll: Toll) -> None:
    assert toll.clean, "\n".join([f"seed {toll.seed}, killed after {toll.instants}", *toll.findings[:20]])
    assert (toll.lost, toll.doubled, toll.half_made) == (0, 0, 0)
    assert toll.kills >= KILLS
    assert toll.acknowledged > 0


def test_a_killed_server_has_kept_what_it_answered_on_sqlite(tmp_path: Path) -> None:
    _is_clean(rounds(tmp_path, f"sqlite:///{tmp_path / 'rota.db'}", "sqlite", 1, KILLS))


def test_a_killed_server_has_kept_what_it_answered_on_postgres(tmp_path: Path, postgres_url: str) -> None:
    _is_clean(rounds(tmp_path, postgres_url, "postgres", 2, KILLS))


def test_what_a_power_cut_leaves_on_disk_is_whole(tmp_path: Path) -> None:
    found = cuts(tmp_path, 3, COPIES)
    assert not found.findings, "\n".join(found.findings[:20])
    assert (found.copies, found.lost, found.half_made) == (COPIES, 0, 0)
    assert found.runs > 0
