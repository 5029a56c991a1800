"""The five file tools, as the reference toolset of the public SDK defines them: what they answer is equal to its answers in every
letter, which a table of cases proves.

They work where commands work, with the same rights, so that a link that changes under them leads nowhere that a command could
not go. Paths outside of the working folder and the roots are refused none the less, as the reference does.
"""

from __future__ import annotations

import os
import stat

from rota.runtime.sandboxes.inside.paths import Failed, real_path, reason, under

TYPE_CHECKING = False  # what is for the type checker only costs a box time to load
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    Block = dict[str, Any]

TEXT_LIMIT = 256 * 1024
IMAGE_LIMIT = (5 * 1024 * 1024 // 4) * 3
"""Bytes of an image that are 5 MiB in base64."""
PDF_LIMIT = 20 * 1024 * 1024
MEDIA = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".pdf": "application/pdf",
}


class Files:
    """The file tools over a working folder. ``roots`` may be reached besides, ``read_only`` not be written."""

    def __init__(self, workdir: str, roots: list[str], read_only: list[str], environment: dict[str, str]) -> None:
        self.workdir = workdir
        self.roots = roots
        self.read_only = read_only
        self.environment = environment

    def call(self, tool: str, given: dict[str, Any]) -> list[Block]:
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

    def quick(self, tool: str, given: dict[str, Any]) -> bool:
        """Whether a call is done in no time, so that it needs no process of its own."""
        if tool in ("glob", "grep"):
            return False
        try:
            return os.stat(os.path.join(self.workdir, str(given.get("file_path", "")))).st_size <= TEXT_LIMIT
        except (OSError, ValueError):
            return True

    def load(self, tool: str) -> None:
        """Load what a tool needs, so that children of this process have it."""
        if tool in ("glob", "grep"):
            _search()

    def read(self, name: str, lines: list[int] | None) -> list[Block]:
        """A file's text or lines of it; an image or a PDF as a block."""
        target = self._within("read", name)
        if lines and len(lines) != 2:
            raise Failed("read: view_range must be [start_line, end_line]")
        try:
            size = self._regular("read", name, target)
            media = MEDIA.get(os.path.splitext(target)[1].lower())
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
            text = _content(target).decode("utf-8")
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
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _replace(target, _bytes("write", name, content))
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
            text = _content(target).decode("utf-8")
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
            _replace(target, _bytes("edit", name, text.replace(old, new, -1 if everywhere else 1)))
        except OSError as exc:
            raise Failed(f"edit: {name}: {reason(exc)}") from None
        return f"edited {name} ({found if everywhere else 1} replacement(s))"

    def glob(self, pattern: str, path: str) -> str:
        """Paths that match, newest first."""
        if pattern.startswith("/"):
            raise Failed("glob: absolute pattern not permitted; pass a relative pattern (and optionally path)")
        if ".." in pattern.split("/"):
            raise Failed("glob: '..' is not permitted in the pattern")
        return _search().glob(self._within("glob", path or "."), pattern)

    def grep(self, pattern: str, path: str) -> str:
        """Lines that match, as ``path:line:text``."""
        place = self._within("grep", path or ".")
        program = self._ripgrep()
        if program is None:
            return _search().own_search(place, pattern)
        return _search().ripgrep(place, pattern, program, self.environment)

    def _within(self, tool: str, name: str) -> str:
        """Where a path really leads. Failed if that is outside of every root."""
        try:
            real = real_path(os.path.join(os.path.realpath(self.workdir), name))
        except OSError as exc:
            raise Failed(f"{tool}: path {name!r}: {reason(exc)}") from None
        except ValueError as exc:  # a NUL in the name
            raise Failed(f"{tool}: path {name!r}: {exc}") from None
        for root in (self.workdir, *self.roots):
            if under(real, os.path.realpath(root)):
                return real
        others = " and its other permitted directories" if self.roots else ""
        raise Failed(f"{tool}: path {name!r} is outside the session's working directory{others}")

    def _writable(self, tool: str, name: str, target: str) -> None:
        for root in self.read_only:
            if under(target, os.path.realpath(root)):
                raise Failed(f"{tool}: {name} is inside read-only directory {root}")

    def _regular(self, tool: str, name: str, target: str) -> int:
        """A file's size. Failed for a folder, a pipe or a device, which is not even opened."""
        found = os.stat(target)
        if not stat.S_ISREG(found.st_mode):
            raise Failed(f"{tool}: {name}: not a regular file")
        return found.st_size

    def _ripgrep(self) -> str | None:
        for folder in self.environment.get("PATH", os.defpath).split(os.pathsep):
            found = os.path.join(folder, "rg")
            # One that an agent put where it can write is not the one that was meant.
            if not os.path.isabs(folder) or not os.path.isfile(found) or not os.access(found, os.X_OK):
                continue
            if not any(under(os.path.realpath(found), os.path.realpath(r)) for r in (self.workdir, *self.roots)):
                return found
        return None


def _search() -> Any:
    from rota.runtime.sandboxes.inside import search  # 30 ms, that a box need not spend when it starts

    return search


def _said(text: str) -> list[Block]:
    return [{"type": "text", "text": text}]


def _bytes(tool: str, name: str, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Failed(f"{tool}: {name}: the text holds half a surrogate pair, which no file can hold") from None


def _open(target: str, flags: int) -> BinaryIO:
    """A file, never a pipe that somebody put in its place to keep its reader waiting."""
    fd = os.open(target, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    return os.fdopen(fd, "rb" if flags == os.O_RDONLY else "wb")


def _content(target: str) -> bytes:
    with _open(target, os.O_RDONLY) as file:
        return file.read(PDF_LIMIT + 1)


def _replace(target: str, content: bytes) -> None:
    with _open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
        file.write(content)


def _media_block(target: str, name: str, size: int, media: str) -> Block:
    limit = PDF_LIMIT if media == "application/pdf" else IMAGE_LIMIT
    if size > limit:
        raise Failed(f"read: {name} is {size} bytes, exceeds {limit}-byte limit for image/PDF files.")
    import base64  # 2 ms, for those that look at pictures

    data = base64.standard_b64encode(_content(target)).decode("ascii")
    kind = "document" if media == "application/pdf" else "image"
    return {"type": kind, "source": {"type": "base64", "media_type": media, "data": data}}


def _some_lines(target: str, name: str, first: int, last: int) -> bytes:
    """Lines of a file that is too long to be read as a whole."""
    start = max(0, first - 1)
    end = last if last > 0 else None
    kept, line = bytearray(), 0
    if end is not None and end <= start:
        return b""
    with _open(target, os.O_RDONLY) as file:
        while end is None or line < end:
            piece = file.readline(64 * 1024)
            if not piece:
                break
            ends = piece.endswith(b"\n")
            if line >= start:
                kept += piece[:-1] if ends and end is not None and line + 1 >= end else piece
                if len(kept) > TEXT_LIMIT:
                    raise Failed(
                        _too_long(name, first, last, alone=end is not None and end - start == 1, line=start + 1)
                    )
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


def _text(tool: str, given: dict[str, Any], name: str, default: str | None = None) -> str:
    value = given.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Failed(f"{tool}: {name} is required" if value is None else f"{tool}: {name} must be a string")
    return value


def _range(given: dict[str, Any]) -> list[int] | None:
    value: Any = given.get("view_range")
    if value is not None and (not isinstance(value, list) or [each for each in map(type, value) if each is not int]):  # pyright: ignore[reportUnknownArgumentType] - as JSON had it
        raise Failed("read: view_range must be [start_line, end_line]")
    return value  # pyright: ignore[reportUnknownVariableType] - a list of integers by now
