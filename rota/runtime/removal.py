"""Removing folders in which anything may have been put.

Promises: nothing outside the folder is touched, whatever links are in it; folders nested so deeply that no path names them, and
folders that nobody may enter, go like all others; memory and open descriptors stay few. Nobody else may be at work in the folder.
"""

import os
import stat
from itertools import count
from pathlib import Path

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(folder: Path) -> None:
    """Remove a folder and all that is in it, if it is there. OSError if something in it cannot be removed.

    Each folder that is found is first moved up to the outermost one, so that no path is ever longer than two names.
    """
    try:
        root = os.open(folder, _OPEN)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        folder.unlink(missing_ok=True)
        return
    numbers = count()
    prefix = f".{os.urandom(6).hex()}-"
    try:
        waiting = _empty(root, root, prefix, numbers)
        while waiting:
            name = waiting.pop()
            os.chmod(name, stat.S_IRWXU, dir_fd=root)
            inner = os.open(name, _OPEN, dir_fd=root)
            try:
                waiting += _empty(inner, root, prefix, numbers)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=root)
    finally:
        os.close(root)
    folder.rmdir()


def _empty(at: int, root: int, prefix: str, numbers: "count[int]") -> list[str]:
    """Remove the files of an open folder and move its folders up; what those are called now."""
    moved: list[str] = []
    with os.scandir(at) as listing:
        names = [entry.name for entry in listing]
    for name in names:
        if stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            new = f"{prefix}{next(numbers)}"
            os.rename(name, new, src_dir_fd=at, dst_dir_fd=root)
            moved.append(new)
        else:
            os.unlink(name, dir_fd=at)
    return moved
