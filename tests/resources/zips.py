"""A writer of ZIP archives that lies wherever it is told to.

Every field of a local header, a data descriptor, a directory entry and the end of the directory can be set by itself;
what is not set is true. So a test can say what one thing is wrong with an archive.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

REGULAR, FOLDER, LINK, FIFO, DEVICE, SOCKET = 0o100644, 0o040755, 0o120777, 0o010644, 0o020644, 0o140644
EXECUTABLE = 0o100755
FULL = 0xFFFFFFFF


def manifest(name: str = "my-skill", description: str = "Does things.", more: str = "") -> bytes:
    """A good SKILL.md."""
    return f"---\nname: {name}\ndescription: {description}\n{more}---\n\n# Instructions\n".encode()


def deflate(data: bytes) -> bytes:
    """Raw deflate, as in archives."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@dataclass
class Item:
    """One entry. ``local`` and ``central`` override fields there; ``descriptor`` is None, or how many bytes it has."""

    name: str | bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0
    mode: int = REGULAR
    system: int = 3
    dos: int = 0
    packed: bytes | None = None
    extra: bytes = b""
    local_extra: bytes | None = None
    comment: bytes = b""
    descriptor: int | None = None
    between: bytes = b""
    """Bytes before this entry that belong to nothing."""
    local: dict[str, Any] = field(default_factory=dict[str, Any])
    central: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def raw_name(self) -> bytes:
        """The name's bytes."""
        return self.name if isinstance(self.name, bytes) else self.name.encode()

    @property
    def raw(self) -> bytes:
        """The bytes as they lie in the archive."""
        if self.packed is not None:
            return self.packed
        return deflate(self.data) if self.method == 8 else self.data


def zip64(*numbers: int) -> bytes:
    """The extra field that holds what is too large for the plain ones."""
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


def extra(number: int, data: bytes) -> bytes:
    """Any extra field."""
    return struct.pack("<2H", number, len(data)) + data


def archive(
    items: Sequence[Item],
    *,
    prefix: bytes = b"",
    before_directory: bytes = b"",
    suffix: bytes = b"",
    comment: bytes = b"",
    order: Sequence[int] | None = None,
    wide_end: dict[str, Any] | None = None,
    end: dict[str, Any] | None = None,
) -> bytes:
    """The archive's bytes. ``order`` is that of the directory; ``wide_end`` adds ZIP64's end, with these fields overridden."""
    out = bytearray(prefix)
    records: list[bytes] = []
    for item in items:
        out += item.between
        at = len(out)
        true = {"crc": zlib.crc32(item.data), "packed": len(item.raw), "size": len(item.data)}
        flags = item.flags | (8 if item.descriptor is not None else 0)
        hidden = {"crc": 0, "packed": 0, "size": 0} if item.descriptor is not None else {}
        here = {"name": item.raw_name, "flags": flags, "method": item.method, **true, **hidden, **item.local}
        local_extra = item.extra if item.local_extra is None else item.local_extra
        out += struct.pack(
            "<4s5H3I2H", b"PK\x03\x04", 20, here["flags"], here["method"], 0, 33, here["crc"], here["packed"],
            here["size"], len(here["name"]), len(local_extra),
        )  # fmt: skip
        out += here["name"] + local_extra + item.raw
        if item.descriptor is not None:
            out += _descriptor(item.descriptor, *true.values())
        there = {
            "name": item.raw_name,
            "flags": flags,
            "method": item.method,
            "at": at,
            "disk": 0,
            **true,
            **item.central,
        }
        record = struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", item.system << 8 | 20, 20, there["flags"], there["method"], 0, 33,
            there["crc"], there["packed"], there["size"], len(there["name"]), len(item.extra), len(item.comment),
            there["disk"], 0, item.mode << 16 | item.dos, there["at"],
        )  # fmt: skip
        records.append(record + there["name"] + item.extra + item.comment)
    out += before_directory
    start = len(out)
    out += b"".join(records[index] for index in (order if order is not None else range(len(records))))
    true_end = {
        "disk": 0,
        "first_disk": 0,
        "here": len(items),
        "count": len(items),
        "size": len(out) - start,
        "start": start,
    }
    if wide_end is not None:
        wide = {**true_end, "record": len(out), "record_size": 44, "magic": b"PK\x06\x06", "disks": 1, **wide_end}
        out += struct.pack(
            "<4sQ2H2I4Q", wide["magic"], wide["record_size"], 45, 45, wide["disk"], wide["first_disk"], wide["here"],
            wide["count"], wide["size"], wide["start"],
        )  # fmt: skip
        out += struct.pack("<4sIQI", b"PK\x06\x07", 0, wide["record"], wide["disks"])
    said = {**true_end, "comment": len(comment), **(end or {})}
    out += struct.pack(
        "<4s4H2IH", b"PK\x05\x06", said["disk"], said["first_disk"], said["here"], said["count"], said["size"],
        said["start"], said["comment"],
    )  # fmt: skip
    return bytes(out + comment + suffix)


def _descriptor(size: int, crc: int, packed: int, unpacked: int) -> bytes:
    mark = b"PK\x07\x08" if size in (16, 24) else b""
    return mark + struct.pack("<3I" if size in (12, 16) else "<I2Q", crc, packed, unpacked)


def skill(*items: Item, **more: Any) -> bytes:
    """An archive of a good SKILL.md and these entries."""
    return archive([Item("my-skill/SKILL.md", manifest()), *items], **more)
