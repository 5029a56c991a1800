"""From an upload to the one archive that is kept of it.

Promises: whatever comes in, loose files or an archive, what is kept is a ZIP that we wrote: the files below one folder with
the skill's name, in the order of their paths, each with the same date, each either executable or not, and nothing else: no
folders, links, owners, comments or extra fields. The same files give the same ``digest``, whoever packed them and however.
Nothing is kept in memory but a chunk at a time: an upload lies in a temporary file, and so does what is made of it.
Does not know HTTP, the database, or where archives are kept. Everything here blocks and belongs in a thread.
"""

import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import BinaryIO, cast

from msgspec import Struct

from rota.base.errors import InvalidRequest
from rota.resources.skills import archive, manifest
from rota.resources.skills.archive import CHUNK, MAX_ENTRIES
from rota.resources.skills.paths import Tree, shown

ARCHIVES = (".zip", ".skill")
"""An upload of one file with one of these endings is an archive, whatever its bytes look like (contract, skills)."""
_TOP = "SKILL.md file must be exactly in the top-level folder."


class Sent(Struct, frozen=True):
    """A file of an upload: its name as sent, and where its bytes lie in the upload's temporary file."""

    filename: str
    start: int
    size: int


class PackedFile(Struct, frozen=True):
    """A file of a skill, for whoever wants to know what is in it without unpacking it. ``path`` starts below the skill's folder."""

    path: str
    size: int
    executable: bool = False


class Bundle(Struct, frozen=True):
    """What an upload came to. ``directory`` is the folder's name as sent; ``file`` holds the archive, ``size`` bytes long.

    ``digest`` is SHA-256, in lower-case hex, over every file's path, mode and SHA-256: of what is in the skill, not of the
    archive, whose bytes also depend on the compressor.
    """

    name: str
    description: str
    directory: str
    digest: str
    files: list[PackedFile]
    file: BinaryIO
    size: int


class _Member(Struct, frozen=True):
    """One file, wherever it comes from. ``read`` gives its bytes, once for each call; only one reading at a time."""

    names: list[str]
    size: int
    executable: bool
    read: Callable[[], Iterator[bytes]]


def pack(upload: BinaryIO, sent: Sequence[Sent]) -> Bundle:
    """The bundle of an upload. InvalidRequest for anything that is not a skill, TooLarge. The caller closes ``Bundle.file``."""
    if len(sent) == 1 and sent[0].filename.lower().endswith(ARCHIVES):
        members = list(_unpacked(upload, sent[0]))
    else:
        members = list(_loose(upload, sent))
    folder = _top(members)
    main = next((each for each in members if each.names[1:] == [manifest.FILE]), None)
    if main is None:
        raise InvalidRequest(_TOP)
    said = manifest.read(_head(main), folder)
    members.sort(key=lambda each: each.names)
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - it is the caller's to close
    try:
        files, digest = _write(file, said.name, members)
        return Bundle(said.name, said.description, folder, digest, files, file, file.tell())
    except BaseException:
        file.close()
        raise


def _loose(upload: BinaryIO, sent: Sequence[Sent]) -> Iterator[_Member]:
    if len(sent) > MAX_ENTRIES:
        raise InvalidRequest(f"files[]: there are {len(sent)} files; at most {MAX_ENTRIES} are accepted")
    tree = Tree()
    for each in sent:
        yield _Member(tree.add(each.filename), each.size, False, _slice(upload, each))


def _slice(upload: BinaryIO, each: Sent) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        upload.seek(each.start)
        left = each.size
        while left:
            chunk = upload.read(min(CHUNK, left))
            left -= len(chunk)
            yield chunk

    return read


def _unpacked(upload: BinaryIO, sent: Sent) -> Iterator[_Member]:
    tree = Tree()
    for entry in archive.read_entries(upload, sent.size):
        names = tree.add(entry.path, folder=entry.folder)
        if entry.folder:
            list(archive.unpack(upload, entry))  # there is nothing in it, and it says so correctly
        else:
            yield _Member(names, entry.size, entry.executable, _entry(upload, entry))


def _entry(upload: BinaryIO, entry: archive.Entry) -> Callable[[], Iterator[bytes]]:
    return lambda: archive.unpack(upload, entry)


def _top(members: Sequence[_Member]) -> str:
    """The one folder that everything lies in."""
    if not members:
        raise InvalidRequest(_TOP)
    outside = next((each.names[0] for each in members if len(each.names) == 1), None)
    if outside == manifest.FILE:
        raise InvalidRequest(_TOP)
    if outside is not None:
        raise InvalidRequest(f"All files must be inside the top-level folder; {shown(outside)} is not")
    tops = sorted({each.names[0] for each in members})
    if len(tops) > 1:
        raise InvalidRequest(
            f"All files must be inside the top-level folder; found {shown(tops[0])} and {shown(tops[1])}"
        )
    return tops[0]


def _head(member: _Member) -> bytes:
    """The beginning of a file, as much of it as ``manifest.read`` wants."""
    head = b""
    for chunk in member.read():
        head += chunk
        if len(head) > manifest.MAX_FRONT_MATTER:
            break
    return head


def _write(file: BinaryIO, name: str, members: Sequence[_Member]) -> tuple[list[PackedFile], str]:
    files: list[PackedFile] = []
    whole = sha256()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in members:
            path = "/".join(member.names[1:])
            info = zipfile.ZipInfo(f"{name}/{path}")  # dated 1 January 1980, the earliest that the format knows
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | (0o755 if member.executable else 0o644)) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            info.file_size = member.size
            content = sha256()
            with packed.open(info, "w") as target:
                for chunk in member.read():
                    content.update(chunk)
                    target.write(chunk)
            files.append(PackedFile(path, member.size, member.executable))
            whole.update(f"{path}\0{member.executable:d}\0{content.hexdigest()}\n".encode())
    file.seek(0, 2)
    return files, whole.hexdigest()
