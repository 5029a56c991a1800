"""What a file inside a skill may be called, and which names cannot stand beside one another.

Promises: a path that ``check`` lets through leads to a place below the folder that it is unpacked in, on every system that
a worker may run on; a ``Tree`` holds no two paths that some file system takes for one (letters that differ only in case or
in how they are composed, characters that are not seen), and no file where there is a folder.
Does not open files, and does not know where a path came from: a form and an archive are judged alike.
"""

import re
import unicodedata
from typing import Final

from rota.base.errors import InvalidRequest

MAX_PATH: Final = 512
"""Bytes of a path in UTF-8."""
MAX_NAME: Final = 255
"""Bytes of one name in it: what the usual file systems hold."""
MAX_DEPTH: Final = 16
"""Names in a path, the file's own included."""

_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def shown(text: str) -> str:
    """A name as a refusal quotes it: in double quotes, short, with nothing in it that a terminal would act upon."""
    cut = text if len(text) <= 80 else text[:77] + "..."
    return '"' + "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in cut) + '"'


def check(path: str) -> list[str]:
    """The names in a relative path, outermost first. InvalidRequest for one that is not safe to unpack anywhere."""
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH:
        raise _refusal(path, f"is longer than {MAX_PATH} bytes")
    if _CONTROL.search(path):
        raise _refusal(path, "has a control character in it")
    if "\\" in path:
        raise _refusal(path, "has a backslash in it; use forward slashes")
    if path.startswith("/"):
        raise _refusal(path, "is absolute; use a path that starts with the skill's folder")
    if _DRIVE.match(path):
        raise _refusal(path, "starts with a drive letter; use a path that starts with the skill's folder")
    names = path.split("/")
    if len(names) > MAX_DEPTH:
        raise _refusal(path, f"is nested deeper than {MAX_DEPTH} levels")
    for name in names:
        _check_name(path, name)
    return names


def _check_name(path: str, name: str) -> None:
    if not name:
        raise _refusal(path, "has an empty name in it")
    if name in (".", ".."):
        raise _refusal(path, f'has "{name}" in it')
    if ":" in name:
        raise _refusal(path, "has a colon in it, which some systems take for a drive or a stream")
    if name.endswith((".", " ")):
        raise _refusal(path, "has a name that ends in a dot or a space, which some systems drop")
    if len(name.encode()) > MAX_NAME:
        raise _refusal(path, f"has a name longer than {MAX_NAME} bytes")


def folded(name: str) -> str:
    """What a name comes to on the file system that sees the fewest differences.

    Case is ignored by those of Windows and macOS, composition by that of macOS, and format characters (a joiner, a mark for
    the direction of writing) are ignored by some and seen by nobody. Compatibility forms are folded too, so that no reader
    is shown two names that look the same.
    """
    if name.isascii():
        return name.lower()
    bare = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", bare.casefold())


class Tree:
    """The files and folders of one upload, as far as they are known."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, bool]] = {}
        self._sent: set[str] = set()

    def add(self, path: str, *, folder: bool = False) -> list[str]:
        """Take in one more; its names. InvalidRequest if it is not safe, is there already, or cannot stand beside another."""
        names = check(path)
        at = key = ""
        for depth, name in enumerate(names, 1):
            at, key = (f"{at}/{name}", f"{key}/{folded(name)}") if at else (name, folded(name))
            self._place(at, key, is_folder=folder or depth < len(names))
        if path in self._sent:
            raise InvalidRequest(f"files[]: {shown(path)} is there twice; send each file once")
        self._sent.add(path)
        return names

    def _place(self, path: str, key: str, *, is_folder: bool) -> None:
        spelled, was_folder = self._known.setdefault(key, (path, is_folder))
        if spelled != path:
            raise InvalidRequest(
                f"files[]: {shown(spelled)} and {shown(path)} are one and the same on some systems; rename one of them"
            )
        if was_folder != is_folder:
            raise InvalidRequest(f"files[]: {shown(path)} is both a file and a folder; rename one of them")


def _refusal(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"files[]: the path {shown(path)} {what}")
