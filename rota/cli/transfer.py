"""Files on their way to a server and back, as the generated commands move them.

Promises: a file is never held in memory; who watches a terminal sees how far a large one is; what arrives gets its name when
it is whole, so that half a file is never taken for one.
"""

import mimetypes
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from rota.base.errors import Unusable
from rota.cli.call import Call, client, decoded, path_of, told
from rota.cli.show import console

_LARGE = 8 << 20
"""Bytes from which on progress is shown."""


def upload(call: Call) -> object:
    """Send a form; the decoded answer. A folder goes as the files in it, each named by its path from the folder on."""
    with ExitStack() as stack:
        total = 0
        opened: list[tuple[str, str, BinaryIO, int]] = []
        for field, path, name in _named(call.files):
            try:
                file = stack.enter_context(path.open("rb"))
                size = path.stat().st_size
            except OSError as exc:
                raise Unusable(f"{path} cannot be read: {exc.strerror}") from exc
            opened.append((field, name, file, size))
            total += size
        progress = stack.enter_context(_progress(total))
        files = [
            (field, (name, progress.wrap_file(file, size, description=name), _media_type(name)))
            for field, name, file, size in opened
        ]
        caller = stack.enter_context(client(call))
        with told(call):
            response = caller.post(path_of(call), params=call.query, data=call.fields or {}, files=files)
    return decoded(call, response)


def _named(files: list[tuple[str, Path]]) -> Iterator[tuple[str, Path, str]]:
    """Each file of a form with the name it is sent under."""
    for field, path in files:
        if not path.is_dir():
            yield field, path, path.name
            continue
        folder = path.resolve()
        for each in sorted(folder.rglob("*")):
            if not each.is_dir():
                yield field, each, each.relative_to(folder.parent).as_posix()


def download(call: Call, output: str | None) -> None:
    """Fetch a file into ``output``, or to stdout."""
    with ExitStack() as stack:
        caller = stack.enter_context(client(call))
        with told(call):
            response = stack.enter_context(caller.stream(call.route.method, path_of(call), params=call.query))
            if not response.is_success:
                response.read()
        if not response.is_success:
            decoded(call, response)
        total = int(response.headers.get("content-length", 0))
        file = stack.enter_context(_target(output))
        progress = stack.enter_context(_progress(total if output else 0))
        task = progress.add_task(Path(output).name if output else "", total=total)
        with told(call):
            for chunk in response.iter_raw():
                file.write(chunk)
                progress.update(task, advance=len(chunk))


@contextmanager
def _target(output: str | None) -> Generator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(output)
    part = target.with_name(target.name + ".part")
    try:
        try:
            with part.open("wb") as file:
                yield file
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as exc:
        raise Unusable(f"{output} cannot be written: {exc.strerror}") from exc


def _progress(total: int) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    screen = console(stderr=True)
    return Progress(*columns, console=screen, transient=True, disable=total < _LARGE or not screen.is_terminal)


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
