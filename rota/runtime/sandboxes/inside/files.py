"""The five file tools, as the reference toolset of the public SDK defines them: what they answer is equal to its answers in every
letter, which a table of cases proves.

They work where commands work, with the same rights, so that a link that changes under them leads nowhere that a command could
not go. Paths outside of the working folder and the roots are refused none the less, as the reference does.
"""

import base64
import errno
import os
import re
import shutil
import signal
import stat
import subprocess
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, Optional, Sequence

TEXT_LIMIT = 256 * 1024
IMAGE_LIMIT = (5 * 1024 * 1024 // 4) * 3
"""Bytes of an image that are 5 MiB in base64."""
PDF_LIMIT = 20 * 1024 * 1024
GREP_LIMIT = 100 * 1024
GREP_LINE = 2000
GREP_SECONDS = 30
GLOB_SHOWN = 200
WALK_LIMIT = 50_000
LINKS = 40
"""Symbolic links that one path may lead through."""

MEDIA = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".pdf": "application/pdf",
}

Block = Dict[str, Any]


class Failed(Exception):
    """A tool's error result."""


class Files:
    """The file tools over a working folder. ``roots`` may be reached besides, ``read_only`` not be written."""

    def __init__(self, workdir: str, roots: Sequence[str], read_only: Sequence[str], environment: Dict[str, str]) -> None:
        self.workdir = workdir
        self.roots = roots
        self.read_only = read_only
        self.environment = environment

    def call(self, tool: str, given: Dict[str, Any]) -> List[Block]:
        """Run one tool. Failed, or the blocks of its result."""
        if tool == "read":
            return self.read(_text(tool, given, "file_path"), _range(given))
        if tool == "write":
            return _said(self.write(_text(tool, given, "file_path"), _text(tool, given, "content")))
        if tool == "edit":
            texts = [_text(tool, given, name) for name in ("file_path", "old_string", "new_string")]
            return _said(self.edit(texts[0], texts[1], texts[2], everywhere=bool(given.get("replace_all"))))
        pattern, path = _text(tool, given, "pattern"), _text(tool, given, "path", default="")
        return _said(self.glob(pattern, path) if tool == "glob" else self.grep(pattern, path))

    def read(self, name: str, lines: Optional[List[int]]) -> List[Block]:
        """A file's text or lines of it; an image or a PDF as a block."""
        target = self._within("read", name)
        if lines and len(lines) != 2:
            raise Failed("read: view_range must be [start_line, end_line]")
        try:
            size = self._regular("read", name, target)
            media = MEDIA.get(target.suffix.lower())
            if media is not None:
                if lines:
                    raise Failed("read: view_range is not supported for image/PDF files")
                return [_media_block(target, name, size, media)]
            if size > TEXT_LIMIT and not lines:
                raise Failed(
                    f"read: {name} is {size} bytes, exceeds {TEXT_LIMIT}-byte limit. "
                    "Use the view_range parameter to read specific line ranges, e.g. view_range: [1, 500]."
                )
            if size > TEXT_LIMIT and lines:
                return _said(_some_lines(target, name, lines[0], lines[1]).decode("utf-8"))
            text = target.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise Failed(
                f"read: {name}: not valid UTF-8 text (binary files are only supported for image/PDF extensions)"
            ) from None
        except OSError as exc:
            raise Failed(f"read: {name}: {reason(exc)}") from None
        if lines:
            every = text.split("\n")
            text = "\n".join(every[max(0, lines[0] - 1) : lines[1] if lines[1] > 0 else len(every)])
        return _said(text)

    def write(self, name: str, content: str) -> str:
        """A file with this content, its folders made as needed."""
        target = self._within("write", name)
        self._writable("write", name, target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_bytes("write", name, content))
        except OSError as exc:
            raise Failed(f"write: {name}: {reason(exc)}") from None
        return f"wrote {len(content)} bytes to {name}"

    def edit(self, name: str, old: str, new: str, *, everywhere: bool) -> str:
        """A file with one text in the place of another that it holds once, or of each that it holds."""
        target = self._within("edit", name)
        self._writable("edit", name, target)
        try:
            size = self._regular("edit", name, target)
            if size > TEXT_LIMIT:
                raise Failed(
                    f"edit: {name} is {size} bytes, exceeds {TEXT_LIMIT}-byte limit. "
                    "The edit tool loads the whole file and cannot modify a file this large."
                )
            text = target.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise Failed(f"edit: {name}: not valid UTF-8 text (cannot edit binary files)") from None
        except OSError as exc:
            raise Failed(f"edit: {name}: {reason(exc)}") from None
        found = text.count(old)
        if not found:
            raise Failed(f"edit: old_string not found in {name}")
        if found > 1 and not everywhere:
            raise Failed(f"edit: old_string appears {found} times in {name} (must be unique)")
        try:
            target.write_bytes(_bytes("edit", name, text.replace(old, new, -1 if everywhere else 1)))
        except OSError as exc:
            raise Failed(f"edit: {name}: {reason(exc)}") from None
        return f"edited {name} ({found if everywhere else 1} replacement(s))"

    def glob(self, pattern: str, path: str) -> str:
        """Paths that match, newest first."""
        if pattern.startswith("/"):
            raise Failed("glob: absolute pattern not permitted; pass a relative pattern (and optionally path)")
        if ".." in PurePosixPath(pattern).parts:
            raise Failed("glob: '..' is not permitted in the pattern")
        root = self._within("glob", path) if path else Path(os.path.realpath(self.workdir))
        try:
            found = list(islice(root.glob(pattern), WALK_LIMIT))
        except (ValueError, OSError) as exc:
            raise Failed(f"glob: {exc}") from None
        # A link in the middle of a pattern leads on; what it leads to belongs to the search only if it is inside.
        inside = [path for path in found if _leads_into(path, root)]
        inside.sort(key=_modified, reverse=True)
        return "\n".join(map(str, inside[:GLOB_SHOWN])) if inside else "no matches"

    def grep(self, pattern: str, path: str) -> str:
        """Lines that match, as ``path:line:text``: by ripgrep where there is one, else by a search of our own."""
        place = self._within("grep", path) if path else Path(os.path.realpath(self.workdir))
        ripgrep = self._ripgrep()
        if ripgrep is not None:
            command = [ripgrep, "--no-config", "-n", "--no-heading", "-e", pattern, "--", str(place)]
            done = subprocess.run(command, capture_output=True, check=False, env=self.environment)  # noqa: S603 - no shell
            if done.returncode == 1:
                return "no matches"
            if done.returncode != 0:
                raise Failed(f"grep: rg failed: {done.stderr.decode(errors='replace')}")
            out = done.stdout.decode(errors="replace")
            if len(out) > GREP_LIMIT:
                out = out[:GREP_LIMIT] + f"\n[output truncated at {GREP_LIMIT} bytes]"
            return out
        try:
            expression = re.compile(pattern)
        except re.error as exc:
            raise Failed(f"grep: invalid regex: {exc}") from None
        _limit_processor_time()
        return _search(expression, place)

    def _within(self, tool: str, name: str) -> Path:
        """Where a path really leads. Failed if that is outside of every root."""
        try:
            real = real_path(os.path.join(os.path.realpath(self.workdir), name))
        except OSError as exc:
            raise Failed(f"{tool}: path {name!r}: {reason(exc)}") from None
        except ValueError as exc:  # a NUL in the name
            raise Failed(f"{tool}: path {name!r}: {exc}") from None
        for root in (self.workdir, *self.roots):
            if _under(real, os.path.realpath(root)):
                return Path(real)
        others = " and its other permitted directories" if self.roots else ""
        raise Failed(f"{tool}: path {name!r} is outside the session's working directory{others}")

    def _writable(self, tool: str, name: str, target: Path) -> None:
        for root in self.read_only:
            if _under(str(target), os.path.realpath(root)):
                raise Failed(f"{tool}: {name} is inside read-only directory {root}")

    def _regular(self, tool: str, name: str, target: Path) -> int:
        """A file's size. Failed for a folder, a pipe or a device, which is not even opened."""
        found = target.stat()
        if not stat.S_ISREG(found.st_mode):
            raise Failed(f"{tool}: {name}: not a regular file")
        return found.st_size

    def _ripgrep(self) -> Optional[str]:
        for folder in self.environment.get("PATH", os.defpath).split(os.pathsep):
            found = shutil.which(os.path.join(folder, "rg")) if os.path.isabs(folder) else None
            # One that an agent put where it can write is not the one that was meant.
            if found and not any(_under(os.path.realpath(found), os.path.realpath(r)) for r in (self.workdir, *self.roots)):
                return found
        return None


def reason(exc: OSError) -> str:
    """An error of the system in the words of the reference."""
    known = {
        errno.ENOENT: "no such file or directory",
        errno.ENOTDIR: "not a directory",
        errno.EISDIR: "is a directory",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.EEXIST: "file already exists",
        errno.ELOOP: "too many levels of symbolic links",
    }
    return known.get(exc.errno or 0) or (exc.strerror or "i/o error").lower()


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


def _under(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _leads_into(path: Path, root: Path) -> bool:
    try:
        return _under(real_path(str(path)), str(root))
    except OSError:
        return False


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _said(text: str) -> List[Block]:
    return [{"type": "text", "text": text}]


def _bytes(tool: str, name: str, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Failed(f"{tool}: {name}: the text holds half a surrogate pair, which no file can hold") from None


def _media_block(target: Path, name: str, size: int, media: str) -> Block:
    limit = PDF_LIMIT if media == "application/pdf" else IMAGE_LIMIT
    if size > limit:
        raise Failed(f"read: {name} is {size} bytes, exceeds {limit}-byte limit for image/PDF files.")
    data = base64.standard_b64encode(target.read_bytes()).decode("ascii")
    kind = "document" if media == "application/pdf" else "image"
    return {"type": kind, "source": {"type": "base64", "media_type": media, "data": data}}


def _some_lines(target: Path, name: str, first: int, last: int) -> bytes:
    """Lines of a file that is too long to be read as a whole."""
    start = max(0, first - 1)
    end = last if last > 0 else None
    kept, line = bytearray(), 0
    if end is not None and end <= start:
        return b""
    with target.open("rb") as file:
        while end is None or line < end:
            piece = file.readline(64 * 1024)
            if not piece:
                break
            ends = piece.endswith(b"\n")
            if line >= start:
                kept += piece[:-1] if ends and end is not None and line + 1 >= end else piece
                if len(kept) > TEXT_LIMIT:
                    raise Failed(_too_long(name, first, last, alone=end is not None and end - start == 1, line=start + 1))
            line += ends
    return bytes(kept)


def _too_long(name: str, first: int, last: int, *, alone: bool, line: int) -> str:
    if alone:
        return (
            f"read: line {line} of {name} alone exceeds {TEXT_LIMIT}-byte limit. "
            "The read tool cannot return part of a line, so view_range cannot narrow this further."
        )
    return (
        f"read: view_range [{first}, {last}] of {name} exceeds {TEXT_LIMIT}-byte limit. "
        "Narrow the view_range to read a smaller portion."
    )


def _limit_processor_time() -> None:
    """An expression may need for ever: after so much processor time the search ends. The process is the search's own."""

    def expire(*_: Any) -> None:
        raise Failed(f"grep: timed out after {GREP_SECONDS}s")

    signal.signal(signal.SIGVTALRM, expire)
    signal.setitimer(signal.ITIMER_VIRTUAL, GREP_SECONDS)


def _search(expression: "re.Pattern[str]", place: Path) -> str:
    found: List[str] = []
    room = [GREP_LIMIT]

    def scan(path: str) -> bool:
        """Take a file's lines that match; False when there is no more room."""
        try:
            with open(path, "rb") as file:
                if b"\0" in file.read(512):
                    return True
                file.seek(0)
                for number, raw in enumerate(file, 1):
                    if len(raw) > GREP_LINE:
                        continue
                    line = raw.decode(errors="replace").rstrip("\r\n")
                    if not expression.search(line):
                        continue
                    hit = f"{path}:{number}:{line}"
                    room[0] -= len(hit) + 1
                    if room[0] < 0:
                        found.append(f"[output truncated at {GREP_LIMIT} bytes]")
                        return False
                    found.append(hit)
        except OSError:
            pass
        return True

    if place.is_file():
        scan(str(place))
    else:
        _walk(place, scan)
    return "\n".join(found) if found else "no matches"


def _walk(place: Path, scan: Any) -> None:
    """Show every regular file below to ``scan``, until it says False. No link is followed."""
    seen = 0
    for folder, folders, names in os.walk(place):
        folders[:] = [
            name
            for name in folders
            if name not in (".git", "node_modules") and not os.path.islink(os.path.join(folder, name))
        ]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            seen += 1
            if seen > WALK_LIMIT or not scan(path):
                return


def _text(tool: str, given: Dict[str, Any], name: str, default: Optional[str] = None) -> str:
    value = given.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Failed(f"{tool}: {name} is required" if value is None else f"{tool}: {name} must be a string")
    return value


def _range(given: Dict[str, Any]) -> Optional[List[int]]:
    value = given.get("view_range")
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, int) for each in value):
        raise Failed("read: view_range must be [start_line, end_line]")
    return value
