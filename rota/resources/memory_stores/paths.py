"""What a path in a memory store may look like, and how paths lie to one another.

Promises: an accepted path, taken as POSIX takes it and joined below any folder, stays below that folder and names one
file there; two accepted paths that are different texts are different files; no accepted path lies both at a memory and
above another, which ``above`` and ``below`` are for. Paths are compared byte by byte: what merely looks like a dot or a
slash (percent-encoding, other alphabets, full-width forms) and what other systems reserve is ordinary text.
"""

import unicodedata

from rota.base.errors import InvalidRequest

MAX_BYTES = 1024
MAX_SEGMENTS = 20
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Categories that a path may not hold: control and format characters, and the separators U+2028 and U+2029."""


def check(path: str) -> str:
    """The path itself. InvalidRequest, naming the rule, if it breaks one (contract, memory stores)."""
    if not 2 <= len(path.encode()) <= MAX_BYTES:
        raise InvalidRequest(f"path: must be 2 to {MAX_BYTES} bytes long")
    if not path.startswith("/"):
        raise InvalidRequest("path: must start with /")
    segments = path[1:].split("/")
    if len(segments) > MAX_SEGMENTS:
        raise InvalidRequest(f"path: must have at most {MAX_SEGMENTS} segments")
    if "" in segments:
        raise InvalidRequest("path: must not have an empty segment (two slashes in a row, or one at the end)")
    if "." in segments or ".." in segments:
        raise InvalidRequest("path: must not have a segment that is . or ..")
    if any(unicodedata.category(letter) in _UNSEEN for letter in path):
        raise InvalidRequest("path: must not have control or format characters or line or paragraph separators")
    if not unicodedata.is_normalized("NFC", path):
        raise InvalidRequest("path: must be in Unicode Normalization Form C")
    return path


def above(path: str) -> list[str]:
    """The paths that the folders of ``path`` would have as memories: of ``/a/b/c``, ``/a`` and ``/a/b``."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(2, len(parts))]


def below(folder: str) -> tuple[str, str]:
    """The range of the paths below ``folder``, which ends with a slash: from the first text on, before the second."""
    return folder, folder[:-1] + "0"  # 0 is the character after the slash


def after(item: str) -> str:
    """The first text at which a path may lie behind an item of a list: behind a memory, or behind all that is in a folder."""
    # The least character that a path may have is the space, so nothing fits between a path and the same path with one.
    return below(item)[1] if item.endswith("/") else item + " "


def folder_of(path: str, folder: str) -> str | None:
    """The folder next below ``folder`` that ``path`` lies in; None if it lies in ``folder`` itself."""
    name, slash, _ = path[len(folder) :].partition("/")
    return f"{folder}{name}/" if slash else None
