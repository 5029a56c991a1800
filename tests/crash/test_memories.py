"""A server that is killed while it keeps notes has kept every note that it answered, each with its version."""

from pathlib import Path

from tests.crash.notes import Notes, half_made
from tests.crash.rounds import Toll, rounds

KILLS = 6
"""A share; ``python -m tests.crash.prove --of memories`` is the long form."""


def _is_clean(toll: Toll) -> None:
    assert toll.clean, "\n".join([f"seed {toll.seed}, killed after {toll.instants}", *toll.findings[:20]])
    assert (toll.lost, toll.doubled, toll.half_made) == (0, 0, 0)
    assert toll.kills >= KILLS
    assert toll.acknowledged > 0


def test_a_killed_server_has_kept_its_notes_on_sqlite(tmp_path: Path) -> None:
    _is_clean(rounds(tmp_path, f"sqlite:///{tmp_path / 'rota.db'}", "sqlite", 1, KILLS, Notes))


def test_a_killed_server_has_kept_its_notes_on_postgres(tmp_path: Path, postgres_url: str) -> None:
    _is_clean(rounds(tmp_path, postgres_url, "postgres", 2, KILLS, Notes))


def test_what_is_half_made_is_found() -> None:
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of nothing
    body = f'{{"path":"/a","digest":"{digest}","size":0}}'
    store, memory = ("s", 1), ("m", "s", "/a", "v", 5, body)
    version = ("v", "s", "m", 5, "created", body, "")
    assert list(half_made([store], [memory], [version])) == []
    for stores, memories, versions in (
        ([store], [memory], []),
        ([store], [], [version]),
        ([("s", 2)], [memory], [version]),
        ([store], [("m", "s", "/b", "v", 5, body)], [version]),
        ([store], [("m", "s", "/a", "w", 5, body)], [version]),
        ([store], [memory], [("v", "s", "m", 5, "created", body, "x")]),
        ([store], [memory], [("v", "s", "m", 5, "created", body, None)]),
        ([store], [memory], [("v", "s", "m", 5, "modified", body, "")]),
        ([store], [memory], [version, ("w", "s", "m", 6, "modified", body, "")]),
        ([store], [memory], [version, ("w", "s", "m", 6, "deleted", body, None)]),
    ):
        assert list(half_made(stores, memories, versions)), (stores, memories, versions)
