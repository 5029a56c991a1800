"""Where paths lead, and the words for what can be wrong with them."""

from __future__ import annotations

import errno
import os
import stat

LINKS = 40
"""Symbolic links that one path may lead through."""

_WORDS = {
    errno.ENOENT: "no such file or directory",
    errno.ENOTDIR: "not a directory",
    errno.EISDIR: "is a directory",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EEXIST: "file already exists",
    errno.ELOOP: "too many levels of symbolic links",
}


class Failed(Exception):
    """A tool's error result."""


def reason(exc: OSError) -> str:
    """An error of the system in the words of the reference."""
    return _WORDS.get(exc.errno or 0) or (exc.strerror or "i/o error").lower()


def real_path(path: str) -> str:
    """Where an absolute path leads when every link is followed, the last one too and also where it leads to nothing yet.
    OSError for a loop, and for a folder that may not be looked into.
    """
    waiting = [part for part in reversed(os.path.normpath(path).split("/")) if part]
    here, links = "/", 0
    while waiting:
        name = waiting.pop()
        if name == "..":
            here = os.path.dirname(here)
            continue
        there = os.path.join(here, name)
        try:
            mode = os.lstat(there).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return os.path.normpath(os.path.join(there, *reversed(waiting)))
        if not stat.S_ISLNK(mode):
            here = there
            continue
        links += 1
        if links > LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = os.readlink(there)
        waiting += [part for part in reversed(target.split("/")) if part not in ("", ".")]
        here = "/" if target.startswith("/") else here
    return here


def under(path: str, root: str) -> bool:
    """Whether a path is a folder or lies in it, both without links."""
    return path == root or path.startswith(root.rstrip("/") + "/")
