"""A worker that was frozen in the middle of a turn, and wakes when another has ended it, writes nothing and runs nothing again."""

from pathlib import Path

from tests.crash.zombies import haunt


def test_a_zombies_late_append_is_refused(tmp_path: Path, postgres_url: str) -> None:
    asking, running = haunt(tmp_path, postgres_url, {"second request": 1, "tool": 1})
    assert asking.findings + running.findings == []
    assert (asking.refused, asking.asked_again, asking.cut_short) == (1, 1, 0)
    assert (running.refused, running.asked_again, running.cut_short) == (1, 0, 1)
