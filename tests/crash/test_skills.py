"""A server that is killed during uploads of skills has no version without its bytes, and leaves nothing lying about."""

from pathlib import Path

from tests.crash.rounds import Toll, rounds
from tests.crash.skills import Skills, half_made

KILLS = 3
"""A share; ``python -m tests.crash.prove --of skills`` is the long form."""


def _is_clean(toll: Toll) -> None:
    assert toll.clean, "\n".join([f"seed {toll.seed}, killed after {toll.instants}", *toll.findings[:20]])
    assert (toll.lost, toll.doubled, toll.half_made) == (0, 0, 0)
    assert toll.kills >= KILLS
    assert toll.acknowledged > 0


def test_a_killed_server_has_kept_its_versions_on_sqlite(tmp_path: Path) -> None:
    _is_clean(rounds(tmp_path, f"sqlite:///{tmp_path / 'rota.db'}", "sqlite", 1, KILLS, Skills))


def test_a_killed_server_has_kept_its_versions_on_postgres(tmp_path: Path, postgres_url: str) -> None:
    _is_clean(rounds(tmp_path, postgres_url, "postgres", 2, KILLS, Skills))


def test_what_is_half_made_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    row, skill = ("v", "s", "a", '{"size":5}'), ("s", "v")
    assert half_made([row], [skill], tmp_path) == []
    for rows, skills in (
        ([("v", "s", "b", '{"size":5}')], [skill]),
        ([("v", "s", "a", '{"size":6}')], [skill]),
        ([row], [("s", "w")]),
        ([row], [("s", None)]),
    ):
        assert half_made(rows, skills, tmp_path), (rows, skills)
