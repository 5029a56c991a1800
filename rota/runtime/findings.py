"""What lies under an outputs folder, which whoever runs in the box may change at any moment and in any way.

Promises: never looks or reads outside the folder: every step goes from an open folder to a name in it and follows no link; only
regular files are opened, and only those that have no name elsewhere; what is read is what was looked at. A bounded amount of
work, whatever is there. What is left out is named, with the reason. Everything here blocks and belongs in a thread.
"""

import os
import stat
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct, field

from rota.resources.files.outputs import MAX_OUTPUTS
from rota.resources.files.wire import MAX_FILE
from rota.resources.skills.paths import shown

MAX_LOOKS = 20_000
"""Names that are looked at."""
MAX_DEPTH = 16
MAX_PATH = 512
"""Bytes of a path below the folder."""
_MAX_TROUBLES = 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Finding(Struct, frozen=True):
    """A file: its path below the folder, and what it looked like. ``mark`` changes whenever the file is written to."""

    path: str
    size: int
    mark: str


class Findings(Struct):
    """All files that may be published, and why some that are there may not, by path (as it is to be shown)."""

    files: list[Finding] = field(default_factory=list[Finding])
    troubles: dict[str, str] = field(default_factory=dict[str, str])
    looks: int = 0

    def trouble(self, path: str, why: str) -> None:
        """Leave a file out."""
        if len(self.troubles) < _MAX_TROUBLES:
            self.troubles[shown(path)] = why
        else:
            self.troubles["others"] = "there are more files that cannot be published"


class _Links(Struct):
    """A file with several names: those that were found."""

    wanted: int
    names: list[Finding]


def look(folder: Path) -> Findings:
    """What is there now."""
    found = Findings()
    linked: dict[int, _Links] = {}
    try:
        root = os.open(folder, _FOLDER)
    except OSError:
        return found
    try:
        _walk(root, "", 1, os.fstat(root), found, linked)
    finally:
        os.close(root)
    for links in linked.values():
        if len(links.names) == links.wanted:
            found.files += links.names
        else:
            found.trouble(links.names[0].path, "it is linked to a file elsewhere")
    found.files.sort(key=lambda each: each.path)
    for each in found.files[MAX_OUTPUTS:]:
        found.trouble(each.path, f"a session may have {MAX_OUTPUTS} outputs")
    del found.files[MAX_OUTPUTS:]
    return found


def _walk(at: int, prefix: str, depth: int, root: os.stat_result, found: Findings, linked: dict[int, _Links]) -> None:
    names: list[str] = []
    with os.scandir(at) as listing:
        for entry in listing:
            found.looks += 1
            if found.looks > MAX_LOOKS:
                found.troubles["others"] = f"only {MAX_LOOKS} names are looked at"
                break
            names.append(entry.name)
    for name in sorted(names):
        path = prefix + name
        with suppress(OSError):  # gone in between
            looked = os.stat(name, dir_fd=at, follow_symlinks=False)
            if stat.S_ISDIR(looked.st_mode):
                _enter(at, name, path, depth, root, found, linked)
            elif why := _why_not(path, looked, root):
                found.trouble(path, why)
            else:
                finding = Finding(path, looked.st_size, mark_of(looked))
                if looked.st_nlink == 1:
                    found.files.append(finding)
                else:
                    links = linked.setdefault(looked.st_ino, _Links(looked.st_nlink, []))
                    links.names.append(finding)


def _enter(
    at: int, name: str, path: str, depth: int, root: os.stat_result, found: Findings, linked: dict[int, _Links]
) -> None:
    if depth >= MAX_DEPTH:
        found.trouble(path, f"folders are looked into {MAX_DEPTH} deep")
        return
    try:
        inner = os.open(name, _FOLDER, dir_fd=at)
    except PermissionError:
        found.trouble(path, "the folder cannot be read")
        return
    try:
        if os.fstat(inner).st_dev == root.st_dev:
            _walk(inner, f"{path}/", depth + 1, root, found, linked)
    finally:
        os.close(inner)


def _why_not(path: str, looked: os.stat_result, root: os.stat_result) -> str | None:
    """Why something that is no folder may not be published."""
    if not stat.S_ISREG(looked.st_mode):
        return "it is a link" if stat.S_ISLNK(looked.st_mode) else "it is no regular file"
    if looked.st_uid != root.st_uid or looked.st_dev != root.st_dev:
        return "it is not the session's own"
    if looked.st_size > MAX_FILE:
        return f"it is larger than {MAX_FILE >> 20} MB"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in path):
        return "its name is not UTF-8, or has a control character in it"
    if len(path.encode()) > MAX_PATH:
        return f"its path is longer than {MAX_PATH} bytes"
    return None


def mark_of(looked: os.stat_result) -> str:
    """What a file looks like. The last of these changes with every change, and nobody in a box can set it."""
    return f"{looked.st_ino}:{looked.st_size}:{looked.st_mtime_ns}:{looked.st_ctime_ns}"


@contextmanager
def opened(folder: Path, finding: Finding) -> Generator[int | None]:
    """A file that was found, open for reading; None if it is not what it was any more."""
    at = -1
    file = -1
    try:
        try:
            at = os.open(folder, _FOLDER)
            *folders, name = finding.path.split("/")
            for each in folders:
                inner = os.open(each, _FOLDER, dir_fd=at)
                os.close(at)
                at = inner
            file = os.open(name, _FILE, dir_fd=at)
            if not is_same(file, finding):
                os.close(file)
                file = -1
        except OSError:
            file = -1
        yield file if file >= 0 else None
    finally:
        for each in (at, file):
            if each >= 0:
                os.close(each)


def is_same(file: int, finding: Finding) -> bool:
    """Whether an open file is a regular one that looks as it was found."""
    looked = os.fstat(file)
    return stat.S_ISREG(looked.st_mode) and mark_of(looked) == finding.mark
