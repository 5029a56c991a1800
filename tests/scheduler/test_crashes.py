"""A share of the crash proof; ``python -m tests.scheduler.prove_crash --kills 1000`` is the whole."""

from pathlib import Path

import pytest

from tests.scheduler.crashes import rounds


@pytest.mark.slow
def test_no_occurrence_is_lost_doubled_or_half_made_when_servers_are_killed(database_url: str, tmp_path: Path) -> None:
    kind = "sqlite" if database_url.startswith("sqlite") else "postgres"
    toll = rounds(tmp_path, database_url, kind, 1, 4, servers=1 if kind == "sqlite" else 2)
    assert toll.findings == []
    assert toll.kills >= 4
    assert toll.runs > 200
