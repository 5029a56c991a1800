"""What is taken for an output, whatever a hostile box has made of the folder."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rota.resources.files.outputs import MAX_OUTPUTS
from rota.runtime.findings import MAX_DEPTH, MAX_LOOKS, Finding, look, mark_of, opened

SECRET = "not for you"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """An outputs folder, with something beside it that must stay where it is."""
    (tmp_path / "secret").write_text(SECRET)
    folder = tmp_path / "outputs"
    folder.mkdir()
    return folder


def found(folder: Path) -> tuple[list[str], dict[str, str]]:
    result = look(folder)
    return [each.path for each in result.files], result.troubles


def _loop(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)


def _link_to_folder(folder: Path) -> None:
    (folder / "up").symlink_to(folder.parent)


def _link_to_file(folder: Path) -> None:
    (folder / "x").symlink_to(folder.parent / "secret")


def _dangling(folder: Path) -> None:
    (folder / "x").symlink_to("/nonexistent")


def _hard_link(folder: Path) -> None:
    (folder / "x").hardlink_to(folder.parent / "secret")


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "x")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "x"))


def _device(folder: Path) -> None:
    try:
        os.mknod(folder / "x", 0o020666, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices")


def _huge(folder: Path) -> None:
    with (folder / "x").open("wb") as file:
        file.truncate(1 << 40)


def _newline(folder: Path) -> None:
    (folder / "a\nb").touch()


def _escape(folder: Path) -> None:
    (folder / "\x1b[2J").touch()


def _not_utf8(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).touch()


def _long_path(folder: Path) -> None:
    deep = folder / ("d" * 250) / ("e" * 250)
    deep.mkdir(parents=True)
    (deep / ("f" * 100)).touch()


def _deep(folder: Path) -> None:
    inner = folder.joinpath(*["d"] * MAX_DEPTH)
    inner.mkdir(parents=True)
    (inner / "x").touch()


def _foreign(folder: Path) -> None:
    (folder / "x").touch()
    try:
        os.chown(folder / "x", 12345, 12345)
    except PermissionError:
        pytest.skip("only root gives files away")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_loop, "it is a link"), (_link_to_folder, "it is a link"), (_link_to_file, "it is a link"), (_dangling, "it is a link"),
        (_hard_link, "it is linked to a file elsewhere"),
        (_fifo, "it is no regular file"), (_socket, "it is no regular file"), (_device, "it is no regular file"),
        (_huge, "it is larger than 500 MB"),
        (_newline, "its name is not UTF-8, or has a control character in it"),
        (_escape, "its name is not UTF-8, or has a control character in it"),
        (_not_utf8, "its name is not UTF-8, or has a control character in it"),
        (_long_path, "its path is longer than 512 bytes"), (_deep, f"folders are looked into {MAX_DEPTH} deep"),
        (_foreign, "it is not the session's own"),
    ],
)  # fmt: skip
def test_what_is_no_output_is_left_out_and_named(outputs: Path, make: Callable[[Path], None], why: str) -> None:
    (outputs / "good.txt").write_text("good")
    make(outputs)
    paths, troubles = found(outputs)
    assert paths == ["good.txt"]
    assert list(troubles.values()) == [why]
    assert all(each.isprintable() for each in troubles)


def test_a_folder_that_is_a_link_is_not_entered(outputs: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(outputs)
    (outputs / "x").touch()
    assert found(tmp_path / "link") == ([], {})


def test_names_of_all_languages_are_fine(outputs: Path) -> None:
    names = sorted(["Bericht für März.txt", "報告.md", "🎉", "a b:c?.txt", "-rf", ".hidden"])
    for name in names:
        (outputs / name).touch()
    assert found(outputs) == (names, {})


def test_a_file_with_several_names_inside_is_several_outputs(outputs: Path) -> None:
    (outputs / "one").write_text("1")
    (outputs / "two").hardlink_to(outputs / "one")
    assert found(outputs) == (["one", "two"], {})
    (outputs.parent / "outside").hardlink_to(outputs / "one")
    assert found(outputs) == ([], {'"one"': "it is linked to a file elsewhere"})


def test_a_flood_of_files_is_cut_short(outputs: Path) -> None:
    for number in range(MAX_OUTPUTS + 500):
        (outputs / f"{number:05}").touch()
    result = look(outputs)
    assert len(result.files) == MAX_OUTPUTS
    assert len(result.troubles) <= 25
    assert set(result.troubles.values()) <= {
        f"a session may have {MAX_OUTPUTS} outputs",
        "there are more files that cannot be published",
    }


def test_the_looking_ends_however_much_there_is(outputs: Path) -> None:
    for folder in range(21):
        (outputs / f"{folder:02}").mkdir()
        for number in range(1000):
            (outputs / f"{folder:02}" / f"{number:04}").symlink_to("nowhere")
    result = look(outputs)
    assert MAX_LOOKS < result.looks < MAX_LOOKS + 50
    assert result.troubles["others"] == f"only {MAX_LOOKS} names are looked at"


def test_what_was_swapped_since_is_not_read(outputs: Path, tmp_path: Path) -> None:
    (outputs / "d").mkdir()
    (outputs / "d" / "x").write_text("mine")
    [finding] = look(outputs).files
    with opened(outputs, finding) as file:
        assert file is not None
        assert os.read(file, 100) == b"mine"
    (outputs / "d").rename(tmp_path / "moved")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_text(SECRET)
    (outputs / "d").symlink_to(tmp_path / "d")
    with opened(outputs, finding) as file:
        assert file is None
    (outputs / "d").unlink()
    (outputs / "d").mkdir()
    os.mkfifo(outputs / "d" / "x")
    with opened(outputs, finding) as file:  # and nobody waits for a writer
        assert file is None


def test_a_change_that_keeps_size_and_date_is_seen(outputs: Path) -> None:
    path = outputs / "x"
    path.write_text("one")
    before = path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert mark_of(path.stat()) != mark_of(before)


def test_racing_renames_never_lead_outside(outputs: Path, tmp_path: Path) -> None:
    """Somebody swaps a folder for a link to another one, as fast as possible, while we look and read."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text(SECRET)
    (outputs / "d").mkdir()
    (outputs / "d" / "x").write_text("mine")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (outputs / "d").rename(outputs / "e")
            (outputs / "d").symlink_to(tmp_path / "other")
            (outputs / "d").unlink()
            (outputs / "e").rename(outputs / "d")

    thread = threading.Thread(target=swap)
    thread.start()
    read: list[bytes] = []
    try:
        for _ in range(300):
            for finding in look(outputs).files:
                with opened(outputs, finding) as file:
                    if file is not None:
                        read.append(os.read(file, 100))
    finally:
        stop.set()
        thread.join()
    assert set(read) <= {b"mine"}


def test_a_finding_that_never_was_is_not_opened(outputs: Path) -> None:
    for path in ("../secret", "nothing", "d/../../secret", "/etc/passwd"):
        with opened(outputs, Finding(path, 11, "1:11:1:1")) as file:
            assert file is None
