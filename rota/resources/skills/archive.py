"""Reading a ZIP archive that nobody vouches for.

A ZIP says everything twice: before each file's data (the local header) and once more in a directory at its end. Readers
that trust one or the other see different files in the same bytes, which is how a scanner is shown one archive and a worker
another. So this one is read in only one way, or not at all.

Promises: whatever the bytes, the outcome is a list of entries or a Refusal. From the first byte to the last, every byte of
an accepted archive is accounted for: entries one after another without a gap or an overlap, then the directory, then its
end. Both descriptions of an entry agree. What ``unpack`` gives is what the directory said, to the byte and the checksum,
and it stops at the size that was said, so that a small archive cannot become a large file. Memory does not depend on what
the archive claims.
Does not judge names beyond their encoding (``paths`` does), and does not write anything.

Accepted are stored and deflated entries with or without a data descriptor, and ZIP64 where it says the same as the plain
fields. Format: PKWARE's APPNOTE 6.3.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from msgspec import Struct

from rota.base.errors import InvalidRequest, TooLarge
from rota.resources.skills.paths import MAX_PATH, shown

MAX_ENTRIES: Final = 2000
MAX_BYTES: Final = 30 * 1024 * 1024
"""Bytes of an upload, and of all its files together when unpacked (contract, skills)."""
MAX_RATIO: Final = 100
SMALL: Final = 64 * 1024
"""Bytes up to which a file may be packed as tightly as it likes: a thousand equal lines are no attack."""
CHUNK: Final = 64 * 1024
_MAX_DIRECTORY: Final = 4 * 1024 * 1024

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")

_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_DESCRIPTOR = 0x0008
_KNOWN_FLAGS = _ENCRYPTED | 0x0006 | _DESCRIPTOR | 0x0800
_STORED, _DEFLATED = 0, 8
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ZIP64, _UNIX, _ASI_UNIX, _UNICODE_PATH = 0x0001, 0x000D, 0x756E, 0x7075
_DOS_FOLDER = 0x10


class Entry(Struct, frozen=True):
    """One entry. ``path`` has no slash at its end, folder or not; ``start`` and ``packed`` say where its data is."""

    path: str
    folder: bool
    executable: bool
    size: int
    crc: int
    deflated: bool
    start: int
    packed: int


class _Central(Struct, frozen=True):
    """An entry as the directory describes it."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    at: int
    attributes: int


def read_entries(file: BinaryIO, length: int) -> list[Entry]:
    """The entries of the archive that fills ``file`` up to ``length``, in the directory's order. InvalidRequest, TooLarge."""
    try:
        start, end, count = _find_directory(file, length)
        described = list(_read_directory(_take(file, start, end - start), count))
        return _match(file, described, start)
    except struct.error:
        raise _broken("it ends where more was announced") from None


def unpack(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """An entry's bytes, in chunks. InvalidRequest if they are not what the archive said they are."""
    made = crc = 0
    for chunk in _inflate(file, entry) if entry.deflated else _copy(file, entry):
        made += len(chunk)
        if made > entry.size:
            raise _bad(entry.path, "unpacks to more than the archive says")
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if made != entry.size:
        raise _bad(entry.path, "unpacks to less than the archive says")
    if crc != entry.crc:
        raise _bad(entry.path, "does not have the checksum that the archive says")


def _copy(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    file.seek(entry.start)
    left = entry.packed
    while left:
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            raise _broken("it ends in the middle of a file")
        left -= len(chunk)
        yield chunk


def _inflate(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    packed = _copy(file, entry)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = b""
    try:
        while not inflater.eof:
            data = data or next(packed, b"")
            chunk = inflater.decompress(data, CHUNK)
            if not chunk and not data and not inflater.eof:
                raise _bad(entry.path, "ends in the middle of its data")
            data = inflater.unconsumed_tail
            if chunk:
                yield chunk
    except zlib.error:
        raise _bad(entry.path, "is not packed as the archive says") from None
    if data or inflater.unused_data or next(packed, b""):
        raise _bad(entry.path, "has something behind its data")


def _find_directory(file: BinaryIO, length: int) -> tuple[int, int, int]:
    """Where the directory starts and ends, and how many entries it has."""
    tail_at = max(0, length - _END.size - _FULL16)
    tail = _take(file, tail_at, length - tail_at)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0 and not _is_end(tail, at):
        at = tail.rfind(b"PK\x05\x06", 0, at)
    if at < 0:
        raise _broken("it has no end of directory, or something follows it")
    _, disk, first_disk, here, count, size, start, _ = _END.unpack_from(tail, at)
    end = tail_at + at
    if end >= _LOCATOR.size and _take(file, end - _LOCATOR.size, 4) == b"PK\x06\x07":
        end, wide = _find_wide_directory(file, end - _LOCATOR.size)
        plain = (disk, first_disk, here, count, size, start)
        full = (_FULL16, _FULL16, _FULL16, _FULL16, _FULL32, _FULL32)
        if any(p not in (w, f) for p, w, f in zip(plain, wide, full, strict=True)):
            raise _broken("its two ends of directory disagree")
        disk, first_disk, here, count, size, start = wide
    if disk or first_disk or here != count:
        raise _broken("it is one part of several")
    if not count:
        raise _broken("it is empty")
    if count > MAX_ENTRIES:
        raise InvalidRequest(f"files[]: the archive has {count} entries; at most {MAX_ENTRIES} are accepted")
    if start + size != end:
        raise _broken("its directory is not where it says")
    if size > _MAX_DIRECTORY:
        raise _broken(f"its directory is larger than {_MAX_DIRECTORY // 1024 // 1024} MB")
    return start, end, count


def _is_end(tail: bytes, at: int) -> bool:
    """Whether an end of directory begins here whose comment ends where the archive does."""
    rest = len(tail) - at
    return rest >= _END.size and _END.size + _END.unpack_from(tail, at)[7] == rest


def _find_wide_directory(file: BinaryIO, at: int) -> tuple[int, tuple[int, ...]]:
    """Where ZIP64's end of directory is, given where the pointer to it is, and what it says in the order of the plain one."""
    _, disk, end, disks = _LOCATOR.unpack(_take(file, at, _LOCATOR.size))
    if disk or disks != 1 or end + _END64.size != at:
        raise _broken("its ZIP64 end of directory is not where it says")
    magic, size, _, _, disk, first_disk, here, count, extent, start = _END64.unpack(_take(file, end, _END64.size))
    if magic != b"PK\x06\x06" or size != _END64.size - 12:
        raise _broken("its ZIP64 end of directory is not one")
    return end, (disk, first_disk, here, count, extent, start)


def _read_directory(raw: bytes, count: int) -> Iterator[_Central]:
    at = 0
    for _ in range(count):
        magic, _, _, flags, method, _, _, crc, packed, size, named, extra, comment, disk, _, attributes, place = (
            _CENTRAL.unpack_from(raw, at)
        )
        at += _CENTRAL.size
        if magic != b"PK\x01\x02":
            raise _broken("its directory holds something else")
        if disk:
            raise _broken("it is one part of several")
        name = raw[at : at + named]
        fields = _extra(raw[at + named : at + named + extra])
        at += named + extra + comment
        if at > len(raw):
            raise _broken("it ends where more was announced")
        _check_links(name, fields)
        if name != fields.get(_UNICODE_PATH, bytes(5) + name)[5:]:
            raise _bad(_decode(name), "has two names")
        size, packed, place = _widen(fields.get(_ZIP64), (size, packed, place))
        yield _Central(name, flags, method, crc, packed, size, place, attributes)
    if at != len(raw):
        raise _broken("its directory holds more than it says")


def _match(file: BinaryIO, described: list[_Central], end: int) -> list[Entry]:
    """The entries as both sides describe them; they fill everything up to ``end``."""
    places = sorted((each.at, index) for index, each in enumerate(described))
    entries: dict[int, Entry] = {}
    at = total = 0
    for position, (place, index) in enumerate(places):
        if place != at:
            raise _broken("its entries overlap, or there is something between or before them")
        at = places[position + 1][0] if position + 1 < len(places) else end
        entry = _read_local(file, described[index], at)
        total += entry.size
        entries[index] = entry
    if total > MAX_BYTES:
        raise TooLarge(f"The skill's files are together larger than {MAX_BYTES // 1024 // 1024} MB.")
    if total > SMALL and total > MAX_RATIO * end:
        raise InvalidRequest(f"files[]: the archive unpacks to more than {MAX_RATIO} times its size")
    return [entries[index] for index in range(len(described))]


def _read_local(file: BinaryIO, known: _Central, until: int) -> Entry:
    """One entry, its local header compared with the directory. Its data and descriptor end at ``until``."""
    path = _decode(known.name)
    magic, _, flags, method, _, _, crc, packed, size, named, extra = _LOCAL.unpack(_take(file, known.at, _LOCAL.size))
    if magic != b"PK\x03\x04":
        raise _broken("an entry is not where its directory says")
    name = _take(file, known.at + _LOCAL.size, named)
    fields = _extra(_take(file, known.at + _LOCAL.size + named, extra))
    start = known.at + _LOCAL.size + named + extra
    _check_links(name, fields)
    size, packed, _ = _widen(fields.get(_ZIP64), (size, packed, 0))
    if (name, flags, method) != (known.name, known.flags, known.method):
        raise _bad(path, "is described differently in the archive and in its directory")
    said, true = (crc, packed, size), (known.crc, known.packed, known.size)
    if said != true and not (flags & _DESCRIPTOR and all(s in (0, t) for s, t in zip(said, true, strict=True))):
        raise _bad(path, "is described differently in the archive and in its directory")
    after = start + known.packed
    if flags & _DESCRIPTOR:
        _check_descriptor(path, _take(file, after, until - after) if 0 <= until - after <= 24 else b"", true)
    elif after != until:
        raise _broken("its entries overlap, or there is something between or before them")
    return _to_entry(path, known, start)


def _check_descriptor(path: str, raw: bytes, true: tuple[int, int, int]) -> None:
    """What follows the data of an entry that was written before its size was known. Its mark is optional, its sizes may be wide."""
    if raw[:4] == b"PK\x07\x08" and len(raw) in (16, 24):
        raw = raw[4:]
    if len(raw) not in (12, 20) or struct.unpack("<3I" if len(raw) == 12 else "<I2Q", raw) != true:
        raise _bad(path, "is described differently in the archive and in its directory")


def _to_entry(path: str, known: _Central, start: int) -> Entry:
    if known.flags & _ENCRYPTED:
        raise _bad(path, "is encrypted; send it without a password")
    if known.flags & ~_KNOWN_FLAGS or known.method not in (_STORED, _DEFLATED):
        raise _bad(path, "is packed in a way that is not accepted; use store or deflate")
    mode = known.attributes >> 16
    kind = stat.S_IFMT(mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _bad(path, "is a link or a device; only files and folders are accepted")
    folder = path.endswith("/")
    if kind == stat.S_IFDIR or known.attributes & _DOS_FOLDER:
        if not folder:
            raise _bad(path, "is named like a file and marked as a folder")
    elif folder and kind == stat.S_IFREG:
        raise _bad(path, "is named like a folder and marked as a file")
    if folder and known.size:
        raise _bad(path, "is a folder with data in it")
    if known.method == _STORED and known.size != known.packed:
        raise _bad(path, "is stored in another size than its own")
    if known.size > MAX_BYTES:
        raise TooLarge(f"The skill's files are together larger than {MAX_BYTES // 1024 // 1024} MB.")
    if known.size > SMALL and known.size > MAX_RATIO * known.packed:
        raise _bad(path, f"unpacks to more than {MAX_RATIO} times its size")
    return Entry(
        path.removesuffix("/") if folder else path,
        folder,
        bool(mode & 0o111),
        known.size,
        known.crc,
        known.method == _DEFLATED,
        start,
        known.packed,
    )


def _extra(raw: bytes) -> dict[int, bytes]:
    """The extra fields by their numbers. A number that is there twice could be read twice ways."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(raw):
        number, size = struct.unpack_from("<2H", raw, at)
        at += 4 + size
        if at > len(raw) or number in fields:
            raise _broken("an extra field is cut short or there twice")
        fields[number] = raw[at - size : at]
    return fields


def _widen(field: bytes | None, plain: tuple[int, int, int]) -> tuple[int, int, int]:
    """Size, packed size and place, each from the ZIP64 field where the plain one is full.

    A field where nothing is full may only repeat the two sizes; one that says something else is there to be read by somebody.
    """
    full = [index for index, value in enumerate(plain) if value == _FULL32]
    if field is None:
        if full:
            raise _broken("a size is missing")
        return plain
    if len(field) % 8:
        raise _broken("a ZIP64 field is cut short")
    numbers = list(struct.unpack(f"<{len(field) // 8}Q", field))
    if not full:
        if numbers[:2] != list(plain[:2]) or len(numbers) > 2:
            raise _broken("a ZIP64 field disagrees with the plain ones")
        return plain
    if len(numbers) != len(full):
        raise _broken("a ZIP64 field has more or fewer numbers than are called for")
    values = list(plain)
    for index, number in zip(full, numbers, strict=True):
        values[index] = number
    return values[0], values[1], values[2]


def _check_links(name: bytes, fields: dict[int, bytes]) -> None:
    """Refuse the two extra fields in which Unix archivers keep what a link leads to, or a device's numbers."""
    old, asi = fields.get(_UNIX, b""), fields.get(_ASI_UNIX, b"")
    if len(old) > 12 or (asi and not _is_plain(asi)):
        raise _bad(_decode(name), "is a link or a device; only files and folders are accepted")


def _is_plain(asi: bytes) -> bool:
    """Whether the field of the ASi archiver describes a file or a folder, with no link in it."""
    if len(asi) < 14:
        return False
    mode, link = struct.unpack_from("<HI", asi, 4)
    return stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR) and link == 0 and len(asi) == 14


def _decode(name: bytes) -> str:
    """A name's text. It is UTF-8 whether it is marked so or not: some archivers do not mark it, and no other code is accepted."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise _broken("a name in it is not UTF-8") from None
    if not text:
        raise _broken("a name in it is empty")
    if len(name) > MAX_PATH + 1:  # the slash of a folder
        raise InvalidRequest(f"files[]: the path {shown(text)} is longer than {MAX_PATH} bytes")
    return text


def _take(file: BinaryIO, at: int, size: int) -> bytes:
    """Exactly so many bytes from a place."""
    file.seek(at)
    raw = file.read(size)
    if len(raw) != size:
        raise _broken("it ends where more was announced")
    return raw


def _bad(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"files[]: {shown(path)} {what}")


def _broken(what: str) -> InvalidRequest:
    return InvalidRequest(f"files[]: the archive cannot be read: {what}")
