"""Folders in which anything may have been put go, and nothing else does."""

import os
from pathlib import Path

from rota.runtime.removal import remove


def test_everything_inside_goes_and_nothing_outside(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "link").symlink_to(kept)
    (folder / "a" / "file").hardlink_to(kept / "file")
    os.mkfifo(folder / "fifo")
    (folder / "closed").mkdir()
    (folder / "closed" / "x").touch()
    (folder / "closed").chmod(0)
    remove(folder)
    assert not folder.exists()
    assert (kept / "file").read_text() == "kept"


def test_folders_deeper_than_any_path_go(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    at = os.open(folder, os.O_DIRECTORY)
    for _ in range(3000):  # 750 KB of path
        os.mkdir("d" * 250, dir_fd=at)
        inner = os.open("d" * 250, os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    remove(folder)
    assert not folder.exists()


def test_what_is_not_there_is_no_error_and_a_link_is_just_a_link(tmp_path: Path) -> None:
    remove(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder").is_dir()
