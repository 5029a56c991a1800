"""Archives that somebody could send, each with what must be said of it; None where it is a good one.

They are the starting points of ``prove_archives`` too, which breaks them further.
"""

import io
import struct
import zipfile
import zlib
from typing import NamedTuple

from tests.resources.zips import (
    DEVICE,
    EXECUTABLE,
    FIFO,
    FOLDER,
    FULL,
    LINK,
    SOCKET,
    Item,
    archive,
    deflate,
    extra,
    manifest,
    skill,
    zip64,
)

DIFFERENT = "is described differently in the archive and in its directory"
OVERLAP = "its entries overlap, or there is something between or before them"
LINKED = "is a link or a device; only files and folders are accepted"
TOP = "SKILL.md file must be exactly in the top-level folder."
SAME = "are one and the same on some systems"
MAIN = "my-skill/SKILL.md"


class Case(NamedTuple):
    """One archive, and what its refusal says (a part of it), or None."""

    name: str
    raw: bytes
    said: str | None


def standard(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """What the standard library makes of some files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as packed:
        for name, data in files:
            packed.writestr(name, data)
        packed.comment = comment
    return out.getvalue()


def streamed(*files: tuple[str, bytes], wide: bool = False) -> bytes:
    """The same, written to something that cannot seek, so with data descriptors; ``wide`` in ZIP64."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.kept = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.kept += data
            return len(data)

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:  # type: ignore[type-var]
        for name, data in files:
            with packed.open(name, "w", force_zip64=wide) as target:
                target.write(data)
    return bytes(out.kept)


def path(name: str | bytes) -> bytes:
    """A skill with one more file of this name."""
    return skill(Item(name, b"x"))


def _named(name: str) -> str:
    return f"my-skill/{name}"


GOOD = standard((MAIN, manifest()), ("my-skill/scripts/run.py", b"print('hello')\n"))
BLANK = bytes(200_000)

ACCEPTED = [
    Case("one file", standard((MAIN, manifest())), None),
    Case("stored", standard((MAIN, manifest()), method=zipfile.ZIP_STORED), None),
    Case("data descriptors", streamed((MAIN, manifest()), ("my-skill/a.txt", b"a" * 1000)), None),
    Case("zip64 data descriptors", streamed((MAIN, manifest()), wide=True), None),
    Case("descriptor without its mark", archive([Item(MAIN, manifest(), descriptor=12)]), None),
    Case("wide descriptor without its mark", archive([Item(MAIN, manifest(), descriptor=20)]), None),
    Case("descriptor beside true sizes", archive([Item(MAIN, manifest(), descriptor=16, local={
        "crc": zlib.crc32(manifest()), "packed": len(deflate(manifest())), "size": len(manifest())})]), None),
    Case("a comment", standard((MAIN, manifest()), comment=b"9f2c1e7a" * 5), None),
    Case("comments of entries", skill(Item("my-skill/a", b"a", comment=b"hello")), None),
    Case("folders", skill(Item("my-skill/", mode=FOLDER, dos=16), Item("my-skill/a/", mode=FOLDER, method=0)), None),
    Case("a folder with an empty deflated body", skill(Item("my-skill/a/", mode=0, packed=b"\x03\x00")), None),
    Case("an executable", skill(Item("my-skill/run.sh", b"#!/bin/sh\n", mode=EXECUTABLE)), None),
    Case("made on Windows", skill(Item("my-skill/a.txt", b"a", mode=0, system=0)), None),
    Case("another order in the directory", skill(Item("my-skill/a", b"a"), Item("my-skill/b", b"b"), order=[2, 0, 1]), None),
    Case("zip64 where it says the same", skill(Item("my-skill/a", b"aa", method=0, extra=zip64(2, 2))), None),
    Case("zip64 in the directory", archive([Item(MAIN, manifest(), extra=zip64(len(manifest()), len(deflate(manifest()))),
        central={"size": FULL, "packed": FULL}, local={"size": FULL, "packed": FULL})]), None),
    Case("zip64's end", skill(wide_end={}), None),
    Case("zip64's end, the plain one full", skill(wide_end={}, end={"count": 0xFFFF, "here": 0xFFFF, "size": FULL, "start": FULL}), None),
    Case("a name in UTF-8, marked", skill(Item("my-skill/grüße.md", b"x", flags=0x800)), None),
    Case("a name in UTF-8, not marked", path("my-skill/grüße.md"), None),
    Case("a second name that is the same", skill(Item("my-skill/a", b"x", extra=extra(0x7075, b"\x01" + bytes(4) + b"my-skill/a"))), None),
    Case("times and owners", skill(Item("my-skill/a", b"x", extra=extra(0x5455, b"\x01" + bytes(4)) + extra(0x7875, b"\x01\x04" + bytes(4) + b"\x04" + bytes(4)))), None),
    Case("an archive as a file", skill(Item("my-skill/assets/template.zip", GOOD, method=0)), None),
    Case("a second SKILL.md further down", skill(Item("my-skill/examples/SKILL.md", b"any text")), None),
    Case("sixteen levels", path("/".join(["my-skill", *"abcdefghijklmno"])), None),
    Case("a small file packed tightly", skill(Item("my-skill/lines.txt", b"a" * 60_000)), None),
    Case("an empty file", skill(Item("my-skill/__init__.py", b"", method=0)), None),
    Case("a hidden file", path("my-skill/.gitignore"), None),
    Case("dots in names", path("my-skill/..a/b..c/...d"), None),
]  # fmt: skip

PATHS = [
    Case("up and out", path("my-skill/../../etc/passwd"), 'has ".." in it'),
    Case("up at the start", path("../my-skill/a"), 'has ".." in it'),
    Case("up at the end", path("my-skill/.."), 'has ".." in it'),
    Case("up, as a folder", skill(Item("my-skill/../", mode=FOLDER, method=0)), 'has ".." in it'),
    Case("here", path("my-skill/./a"), 'has "." in it'),
    Case("absolute", path("/etc/passwd"), "is absolute"),
    Case("absolute twice", path("//server/share"), "is absolute"),
    Case("a drive", path("C:/Windows/a"), "starts with a drive letter"),
    Case("a drive without a slash", path("c:a"), "starts with a drive letter"),
    Case("a stream", path("my-skill/a.txt:hidden"), "has a colon in it"),
    Case("a backslash", path("my-skill\\..\\a"), "has a backslash in it"),
    Case("a backslash at the start", path("\\\\server\\share"), "has a backslash in it"),
    Case("NUL", path(b"my-skill/a\x00.txt"), "has a control character in it"),
    Case("a line break", path("my-skill/a\nb"), "has a control character in it"),
    Case("an escape", path("my-skill/\x1b[2J"), "has a control character in it"),
    Case("delete", path("my-skill/a\x7f"), "has a control character in it"),
    Case("a C1 control", path("my-skill/a\x85b"), "has a control character in it"),
    Case("a line separator", path("my-skill/a\u2028b"), "has a control character in it"),
    Case("two slashes", path("my-skill//a"), "has an empty name in it"),
    Case("only a slash", skill(Item("/", mode=FOLDER, method=0)), "has an empty name in it"),
    Case("a dot at the end", path("my-skill/a."), "ends in a dot or a space"),
    Case("a space at the end", path("my-skill/a /b"), "ends in a dot or a space"),
    Case("no name", path(""), "a name in it is empty"),
    Case("a long path", path("my-skill/" + "/".join(["a" * 100] * 6)), "is longer than 512 bytes"),
    Case("a very long path", path("my-skill/" + "a" * 60_000), "is longer than 512 bytes"),
    Case("a long name", path("my-skill/" + "a" * 256), "has a name longer than 255 bytes"),
    Case("a long name in few letters", path("my-skill/" + "ü" * 128), "has a name longer than 255 bytes"),
    Case("seventeen levels", path("/".join(["my-skill", *"abcdefghijklmnop"])), "is nested deeper than 16 levels"),
    Case("not UTF-8", path(b"my-skill/gr\xfc\xdfe"), "a name in it is not UTF-8"),
    Case("a surrogate", path(b"my-skill/\xed\xa0\x80"), "a name in it is not UTF-8"),
    Case("an overlong slash", path(b"my-skill/..\xc0\xaf"), "a name in it is not UTF-8"),
]

COLLISIONS = [
    Case("twice", skill(Item("my-skill/a", b"1"), Item("my-skill/a", b"2")), '"my-skill/a" is there twice'),
    Case("SKILL.md twice", skill(Item(MAIN, manifest("other"))), f'"{MAIN}" is there twice'),
    Case("a folder twice", skill(Item("my-skill/a/", mode=FOLDER, method=0), Item("my-skill/a/", mode=FOLDER, method=0)), "is there twice"),
    Case("case", skill(Item("my-skill/readme", b"1"), Item("my-skill/README", b"2")), SAME),
    Case("case of a folder", skill(Item("my-skill/A/x", b"1"), Item("my-skill/a/y", b"2")), SAME),
    Case("case of SKILL.md", skill(Item("my-skill/skill.md", b"1")), SAME),
    Case("sharp s", skill(Item("my-skill/straße", b"1"), Item("my-skill/STRASSE", b"2")), SAME),
    Case("a Kelvin sign", skill(Item("my-skill/\u212a", b"1"), Item("my-skill/k", b"2")), SAME),
    Case("composed and decomposed", skill(Item("my-skill/\u00fc", b"1"), Item("my-skill/u\u0308", b"2")), SAME),
    Case("a ligature", skill(Item("my-skill/\ufb01le", b"1"), Item("my-skill/file", b"2")), SAME),
    Case("full width", skill(Item("my-skill/\uff41", b"1"), Item("my-skill/a", b"2")), SAME),
    Case("a joiner that nobody sees", skill(Item("my-skill/a\u200db", b"1"), Item("my-skill/ab", b"2")), SAME),
    Case("writing direction", skill(Item("my-skill/\u202eab", b"1"), Item("my-skill/ab", b"2")), SAME),
    Case("a file, then a folder", skill(Item("my-skill/a", b"1"), Item("my-skill/a/b", b"2")), "is both a file and a folder"),
    Case("a folder, then a file", skill(Item("my-skill/a/b", b"1"), Item("my-skill/a", b"2")), "is both a file and a folder"),
    Case("a folder's entry and a file", skill(Item("my-skill/a/", mode=FOLDER, method=0), Item("my-skill/a", b"2")), "is both a file and a folder"),
]  # fmt: skip

KINDS = [
    Case("a symbolic link", skill(Item("my-skill/a", b"/etc/passwd", mode=LINK)), LINKED),
    Case("a symbolic link from Windows", skill(Item("my-skill/a", b"/etc/passwd", mode=LINK, system=0)), LINKED),
    Case("SKILL.md as a link", archive([Item(MAIN, manifest(), mode=LINK)]), LINKED),
    Case("a pipe", skill(Item("my-skill/a", b"", mode=FIFO)), LINKED),
    Case("a device", skill(Item("my-skill/a", b"", mode=DEVICE)), LINKED),
    Case("a socket", skill(Item("my-skill/a", b"", mode=SOCKET)), LINKED),
    Case("a link in a Unix field", skill(Item("my-skill/a", b"", extra=extra(0x000D, bytes(12) + b"/etc/passwd"))), LINKED),
    Case("a link in a local Unix field", skill(Item("my-skill/a", b"", local_extra=extra(0x000D, bytes(12) + b"/etc"))), LINKED),
    Case("a link in an ASi field", skill(Item("my-skill/a", b"", extra=extra(0x756E, struct.pack("<IHI2H", 0, LINK, 4, 0, 0) + b"/etc"))), LINKED),
    Case("a hard link in an ASi field", skill(Item("my-skill/a", b"", extra=extra(0x756E, struct.pack("<IHI2H", 0, 0o100644, 4, 0, 0) + b"/etc"))), LINKED),
    Case("a short ASi field", skill(Item("my-skill/a", b"", extra=extra(0x756E, b"1234"))), LINKED),
    Case("a folder with data", skill(Item("my-skill/a/", b"data", mode=FOLDER)), "is a folder with data in it"),
    Case("a folder with hidden data", skill(Item("my-skill/a/", packed=deflate(b"data"), mode=FOLDER)), "unpacks to more than the archive says"),
    Case("a folder named like a file", skill(Item("my-skill/a", mode=FOLDER, method=0)), "is named like a file and marked as a folder"),
    Case("a DOS folder named like a file", skill(Item("my-skill/a", mode=0, dos=16, method=0)), "is named like a file and marked as a folder"),
    Case("a file named like a folder", skill(Item("my-skill/a/", mode=0o100644, method=0)), "is named like a folder and marked as a file"),
    Case("encrypted", skill(Item("my-skill/a", b"x", flags=1)), "is encrypted"),
    Case("strongly encrypted", skill(Item("my-skill/a", b"x", flags=0x41)), "is encrypted"),
    Case("a masked header", skill(Item("my-skill/a", b"x", flags=0x2000)), "is encrypted"),
    Case("AES", skill(Item("my-skill/a", b"x", flags=1, method=99)), "is encrypted"),
    Case("bzip2", standard((MAIN, manifest()), method=zipfile.ZIP_BZIP2), "is packed in a way that is not accepted"),
    Case("LZMA", standard((MAIN, manifest()), method=zipfile.ZIP_LZMA), "is packed in a way that is not accepted"),
    Case("zstd", skill(Item("my-skill/a", b"x", method=93)), "is packed in a way that is not accepted"),
    Case("deflate64", skill(Item("my-skill/a", b"x", method=9)), "is packed in a way that is not accepted"),
    Case("a patch", skill(Item("my-skill/a", b"x", flags=0x20)), "is packed in a way that is not accepted"),
]  # fmt: skip

LIES = [
    Case("a larger size", skill(Item("my-skill/a", b"abc", local={"size": 9}, central={"size": 9})), "unpacks to less than"),
    Case("a smaller size", skill(Item("my-skill/a", b"abc" * 50_000, local={"size": 9}, central={"size": 9})), "unpacks to more than"),
    Case("no size", skill(Item("my-skill/a", b"abc", local={"size": 0}, central={"size": 0})), "unpacks to more than"),
    Case("a wrong checksum", skill(Item("my-skill/a", b"abc", local={"crc": 1}, central={"crc": 1})), "does not have the checksum"),
    Case("a wrong checksum of SKILL.md", archive([Item(MAIN, manifest(), local={"crc": 1}, central={"crc": 1})]), "does not have the checksum"),
    Case("stored in another size", skill(Item("my-skill/a", b"abc", method=0, local={"size": 9}, central={"size": 9})), "is stored in another size than its own"),
    Case("another name inside", skill(Item("my-skill/a", b"x", local={"name": b"my-skill/b"})), DIFFERENT),
    Case("a way up inside", skill(Item("my-skill/abcd", b"x", local={"name": b"my-skill/../d"})), DIFFERENT),
    Case("another method inside", skill(Item("my-skill/a", b"x", local={"method": 0})), DIFFERENT),
    Case("other flags inside", skill(Item("my-skill/a", b"x", local={"flags": 1})), DIFFERENT),
    Case("another checksum inside", skill(Item("my-skill/a", b"x", local={"crc": 7})), DIFFERENT),
    Case("another size inside", skill(Item("my-skill/a", b"x", local={"size": 7})), DIFFERENT),
    Case("another packed size inside", skill(Item("my-skill/a", b"x", local={"packed": 1})), DIFFERENT),
    Case("no sizes and no descriptor", skill(Item("my-skill/a", b"x", local={"crc": 0, "size": 0, "packed": 0})), DIFFERENT),
    Case("another size beside a descriptor", skill(Item("my-skill/a", b"x", descriptor=16, local={"size": 7})), DIFFERENT),
    Case("a missing descriptor", skill(Item("my-skill/a", b"x", flags=8)), DIFFERENT),
    Case("a wrong descriptor", skill(Item("my-skill/a", b"x", flags=8, packed=deflate(b"x") + bytes(16), local={"packed": 3}, central={"packed": 3})), DIFFERENT),
    Case("a descriptor of an odd size", skill(Item("my-skill/a", b"x", flags=8, packed=deflate(b"x") + bytes(13), local={"packed": 3}, central={"packed": 3})), DIFFERENT),
    Case("two names", skill(Item("my-skill/a", b"x", extra=extra(0x7075, b"\x01" + bytes(4) + b"my-skill/b"))), "has two names"),
    Case("not deflated", skill(Item("my-skill/a", b"x", packed=b"\xff\xff\xff")), "is not packed as the archive says"),
    Case("cut short", skill(Item("my-skill/a", b"x" * 99, packed=deflate(b"x" * 99)[:-2])), "ends in the middle of its data"),
    Case("something behind the data", skill(Item("my-skill/a", b"x", packed=deflate(b"x") + b"more")), "has something behind its data"),
    Case("two streams in one", skill(Item("my-skill/a", b"x", packed=deflate(b"x") + deflate(b"y"))), "has something behind its data"),
    Case("zip64 that disagrees", skill(Item("my-skill/a", b"aa", method=0, extra=zip64(9, 2))), "a ZIP64 field disagrees"),
    Case("zip64 that is missing", skill(Item("my-skill/a", b"a", central={"size": FULL})), "a size is missing"),
    Case("zip64 with too few numbers", skill(Item("my-skill/a", b"a", extra=zip64(1), central={"size": FULL, "packed": FULL})), "more or fewer numbers"),
    Case("zip64 with too many numbers", skill(Item("my-skill/a", b"a", extra=zip64(1, 3, 0, 0), central={"size": FULL})), "more or fewer numbers"),
    Case("zip64 cut short", skill(Item("my-skill/a", b"a", extra=extra(1, b"1234"), central={"size": FULL})), "a ZIP64 field is cut short"),
    Case("zip64 with a huge size", skill(Item("my-skill/a", b"a", extra=zip64(2**63, 3), local={"size": FULL, "packed": FULL}, central={"size": FULL, "packed": FULL})), "together larger than 30 MB"),
    Case("an extra field cut short", skill(Item("my-skill/a", b"a", extra=b"\x55\x54\xff\x00ab")), "an extra field is cut short"),
    Case("an extra field twice", skill(Item("my-skill/a", b"a", extra=zip64(1, 3) + zip64(1, 3))), "or there twice"),
]  # fmt: skip

FRAMES = [
    Case("not an archive", b"Once upon a time", "it has no end of directory"),
    Case("nothing", b"", "it has no end of directory"),
    Case("an empty archive", archive([]), "it is empty"),
    Case("cut in the middle", GOOD[: len(GOOD) // 2], "it has no end of directory"),
    Case("cut at the start", GOOD[10:], "its directory is not where it says"),
    Case("something before it", b"#!/bin/sh\n" + GOOD, "its directory is not where it says"),
    Case("something before it, counted in", skill(prefix=b"#!/bin/sh\n"), OVERLAP),
    Case("something behind it", GOOD + b"\n", "or something follows it"),
    Case("two in a row", GOOD + GOOD, "its directory is not where it says"),
    Case("one in the other's comment", standard((MAIN, manifest()), comment=GOOD), "its directory is not where it says"),
    Case("an end in the comment", standard((MAIN, manifest()), comment=GOOD[-22:]), "its directory is not where it says"),
    Case("a gap between entries", skill(Item("my-skill/a", b"x", between=b"hidden")), OVERLAP),
    Case("a gap before the directory", skill(before_directory=b"hidden"), OVERLAP),
    Case("an entry that only the archive has", skill(Item("my-skill/a", b"x"), order=[0], end={"count": 1, "here": 1}), OVERLAP),
    Case("one entry under two names", skill(Item("my-skill/a", b"x"), Item("my-skill/b", b"x", central={"at": 0})), OVERLAP),
    Case("an entry inside another", skill(Item("my-skill/a", b"x"), Item("my-skill/b", b"x", central={"at": 5})), OVERLAP),
    Case("an entry behind the end", skill(Item("my-skill/a", b"x", central={"at": 10**9})), OVERLAP),
    Case("fewer entries than said", skill(end={"count": 2, "here": 2}), "it ends where more was announced"),
    Case("more entries than said", skill(Item("my-skill/a", b"x"), end={"count": 1, "here": 1}), "its directory holds more than it says"),
    Case("two counts", skill(end={"here": 2}), "it is one part of several"),
    Case("a second disk", skill(end={"disk": 1}), "it is one part of several"),
    Case("a directory on another disk", skill(end={"first_disk": 1}), "it is one part of several"),
    Case("an entry on another disk", skill(Item("my-skill/a", b"x", central={"disk": 3})), "it is one part of several"),
    Case("a directory elsewhere", skill(end={"start": 0}), "its directory is not where it says"),
    Case("a directory of another size", skill(end={"size": 3}), "its directory is not where it says"),
    Case("zip64's end with another count", skill(wide_end={"count": 2, "here": 2}), "its two ends of directory disagree"),
    Case("zip64's end elsewhere", skill(wide_end={"record": 0}), "is not where it says"),
    Case("zip64's end on several disks", skill(wide_end={"disks": 2}), "is not where it says"),
    Case("zip64's end of another size", skill(wide_end={"record_size": 60}), "its ZIP64 end of directory is not one"),
    Case("zip64's end that is none", skill(wide_end={"magic": b"PK\x01\x01"}), "its ZIP64 end of directory is not one"),
    Case("zip64's end with a huge start", skill(wide_end={"start": 2**63}, end={"start": FULL}), "its directory is not where it says"),
]  # fmt: skip

LIMITS = [
    Case("many entries", archive([Item(MAIN, manifest()), *(Item(_named(f"{n}"), b"") for n in range(2000))]), "at most 2000 are accepted"),
    Case("ten thousand entries, said only", skill(end={"count": 10_001, "here": 10_001}), "the archive has 10001 entries"),
    Case("a bomb", skill(Item("my-skill/a", BLANK)), "unpacks to more than 100 times its size"),
    Case("many small bombs", archive([Item(MAIN, manifest()), *(Item(_named(f"{n}"), bytes(65_000)) for n in range(20))]), "the archive unpacks to more than 100 times its size"),
    Case("a large bomb", skill(Item("my-skill/a", packed=deflate(bytes(40_000_000)), local={"size": 40_000_000}, central={"size": 40_000_000})), "together larger than 30 MB"),
    Case("a bomb that says it is small", skill(Item("my-skill/a", packed=deflate(bytes(40_000_000)), local={"size": 100}, central={"size": 100})), "unpacks to more than the archive says"),
    Case("a large directory", skill(*(Item(_named(f"{n}"), b"", comment=bytes(60_000)) for n in range(80))), "its directory is larger than 4 MB"),
    Case("two large files", skill(*(Item(_named(n), bytes(16_000_000), method=0) for n in "ab")), "together larger than 30 MB"),
]  # fmt: skip

SKILLS = [
    Case("no SKILL.md", archive([Item("my-skill/a", b"x")]), TOP),
    Case("SKILL.md at the root", archive([Item("SKILL.md", manifest())]), TOP),
    Case("SKILL.md too deep", archive([Item("my-skill/docs/SKILL.md", manifest())]), TOP),
    Case("SKILL.md in small letters", archive([Item("my-skill/skill.md", manifest())]), TOP),
    Case("SKILL.md as a folder", archive([Item("my-skill/SKILL.md/a", b"x")]), TOP),
    Case("only folders", archive([Item("my-skill/", mode=FOLDER, method=0)]), TOP),
    Case("two folders", skill(Item("other/a", b"x")), 'found "my-skill" and "other"'),
    Case("what a Mac adds", skill(Item("__MACOSX/my-skill/._SKILL.md", b"x")), 'found "__MACOSX" and "my-skill"'),
    Case("a file beside the folder", skill(Item("notes.md", b"x")), 'inside the top-level folder; "notes.md" is not'),
    Case("another folder's name", archive([Item("skills/SKILL.md", manifest())]), "The folder name 'skills' must match the skill name 'my-skill' in SKILL.md."),
]  # fmt: skip

CASES = [*ACCEPTED, *PATHS, *COLLISIONS, *KINDS, *LIES, *FRAMES, *LIMITS, *SKILLS]
