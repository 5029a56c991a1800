"""A server that is killed in the middle of uploads leaves no file without bytes, and no bytes that are never collected."""

from pathlib import Path

from tests.crash.uploads import Toll, rounds

KILLS = 4
"""A share; ``python -m tests.crash.prove_uploads`` is the long form."""


def _is_clean(toll: Toll) -> None:
    assert toll.clean, "\n".join([f"seed {toll.seed}, killed after {toll.instants}", *toll.findings[:20]])
    assert (toll.lost, toll.without_bytes, toll.not_collected) == (0, 0, 0)
    assert toll.kills == KILLS
    assert toll.uploaded > 0


def test_on_sqlite(tmp_path: Path) -> None:
    _is_clean(rounds(tmp_path, f"sqlite:///{tmp_path / 'rota.db'}", "sqlite", 1, KILLS))


def test_on_postgres(tmp_path: Path, postgres_url: str) -> None:
    _is_clean(rounds(tmp_path, postgres_url, "postgres", 2, KILLS))
