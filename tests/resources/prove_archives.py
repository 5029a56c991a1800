"""``python -m tests.resources.prove_archives --count 20000``: break archives in every way, and see that each is taken or refused.

Starts from the archives of ``archives``, of which it flips bytes, cuts, repeats and moves parts, puts striking numbers where
numbers are, and splices the headers of one into another. Of each it is asked: does reading end in a bundle or in a Refusal,
and in nothing else? And of a bundle: is every path in it below its one folder, does it come out again byte by byte when it
is sent once more, and do the standard library's reader and the official worker's own unpacking see the same files? The exit
code is 1 if any answer is no. A seed that failed is tried again with ``--first SEED --count 1``.
"""

import argparse
import io
import random
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from anthropic.lib.tools._skills import _extract_skill_archive

from rota.base.errors import Refusal
from rota.resources.skills.bundle import Bundle, Sent, pack
from tests.resources.archives import CASES

MARKS = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08")
NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    9,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
)
NAMES = (
    b"../",
    b"/",
    b"\\",
    b"\x00",
    b"C:",
    b"..",
    b".",
    b"SKILL.md",
    b"my-skill/",
    b"\xff",
    "ü".encode(),
    "\u202e".encode(),
)
_LARGEST = 20_000


def starts() -> list[bytes]:
    """The archives of the corpus that are small enough to be broken by the thousand."""
    return [case.raw for case in CASES if 0 < len(case.raw) <= _LARGEST]


def broken(raw: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """One archive, broken in one to four ways."""
    data = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        if not data:
            break
        chance.choice(WAYS)(data, others, chance)
    if data and chance.random() < 0.5:
        _mend(data, others, chance)
    return bytes(data)


def _flip(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.randrange(256)


def _cut(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(data))
    if chance.random() < 0.5:
        del data[at:]
    else:
        del data[at : at + chance.randrange(1, 40)]


def _repeat(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(data))
    part = data[at : at + chance.randrange(1, 200)]
    place = chance.randrange(len(data))
    data[place:place] = part


def _number(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    """A striking number in a field of a header."""
    mark, at = _mark(data, chance)
    if at < 0:
        return
    place = at + chance.randrange(4, 46)
    size = chance.choice((2, 4, 8))
    if place + size <= len(data):
        value = chance.choice((*NUMBERS, len(data), at, len(data) - at, len(mark)))
        data[place : place + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _name(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    """Another name of the same length, in one of the two places or in both."""
    at = data.find(b"my-skill/")
    if at < 0:
        return
    piece = chance.choice(NAMES)
    target = bytes(data[at : at + 9])
    new = (piece + target)[: len(target)] if chance.random() < 0.5 else (target + piece)[-len(target) :]
    data[:] = data.replace(target, new) if chance.random() < 0.7 else data.replace(target, new, 1)


def _splice(data: bytearray, others: list[bytes], chance: random.Random) -> None:
    """A header of another archive in place of one here, or its whole second half."""
    other = chance.choice(others)
    _, here = _mark(data, chance)
    _, there = _mark(bytearray(other), chance)
    if here < 0 or there < 0:
        return
    if chance.random() < 0.5:
        data[here:] = other[there:]
    else:
        size = chance.randrange(4, 60)
        data[here : here + size] = other[there : there + size]


def _mend(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    """The end of the directory made to fit again after other changes, so that reading gets past it."""
    end, start = data.rfind(b"PK\x05\x06"), data.find(b"PK\x01\x02")
    if 0 <= start < end <= len(data) - 22:
        count = data[start:end].count(b"PK\x01\x02")
        data[end + 8 : end + 20] = struct.pack("<2H2I", count & 0xFFFF, count & 0xFFFF, end - start, start)
        data[end + 20 : end + 22] = struct.pack("<H", (len(data) - end - 22) & 0xFFFF)


def _mark(data: bytearray, chance: random.Random) -> tuple[bytes, int]:
    mark = chance.choice(MARKS)
    places = [at for at in range(len(data)) if data.startswith(mark, at)] if len(data) < _LARGEST * 2 else []
    return mark, chance.choice(places) if places else -1


WAYS = (_flip, _overwrite, _cut, _repeat, _number, _number, _name, _splice)


@dataclass
class Toll:
    """What came of it. ``reasons`` counts refusals by the beginning of their words."""

    tried: int = 0
    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter[str])
    findings: list[str] = field(default_factory=list[str])


def attempt(raw: bytes, toll: Toll, name: str) -> None:
    """One archive, and what is wrong with what became of it."""
    toll.tried += 1
    started = time.perf_counter()
    try:
        bundle = pack(io.BytesIO(raw), [Sent("a.zip", 0, len(raw))])
    except Refusal as refusal:
        toll.refused += 1
        toll.reasons[_reason(refusal.message)] += 1
    except Exception as exc:  # anything else is what is being looked for
        toll.findings.append(f"{name}: {type(exc).__name__}: {exc}")
    else:
        toll.accepted += 1
        with bundle.file:
            toll.findings += [f"{name}: {sentence}" for sentence in wrong_with(bundle)]
    toll.slowest = max(toll.slowest, time.perf_counter() - started)


def wrong_with(bundle: Bundle) -> list[str]:
    """What is not as promised with a bundle; nothing if all is well."""
    bundle.file.seek(0)
    kept = bundle.file.read()
    found: list[str] = []
    with pack(io.BytesIO(kept), [Sent("a.zip", 0, len(kept))]).file as again:
        again.seek(0)
        if again.read() != kept:
            found.append("what is kept comes back otherwise when it is sent again")
    with zipfile.ZipFile(io.BytesIO(kept)) as archive:
        names = archive.namelist()
        if archive.testzip() is not None or sorted(set(names)) != sorted(names):
            found.append("the standard library finds fault with it")
        contents = {name.partition("/")[2]: archive.read(name) for name in names}
    if any(PurePosixPath(name).parts[0] != bundle.name or ".." in PurePosixPath(name).parts for name in names):
        found.append(f"a path leads out of the folder: {names}")
    if [(each.path, each.size) for each in bundle.files] != [(name, len(data)) for name, data in contents.items()]:
        found.append("the index is not what is in the archive")
    with tempfile.TemporaryDirectory(prefix="rota-skill-") as folder:
        root = Path(folder)
        (root / "kept.zip").write_bytes(kept)
        _extract_skill_archive(root / "kept.zip", root / "inside")
        unpacked = {
            str(path.relative_to(root / "inside")): path.read_bytes()
            for path in (root / "inside").rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        if unpacked != contents or {path.name for path in root.iterdir()} != {"kept.zip", "inside"}:
            found.append("the official worker unpacks something else")
    return found


def _reason(message: str) -> str:
    return (
        message.rsplit('"', 1)[-1].strip()
        if message.startswith("files[]: ") and '"' in message
        else message.split(":")[-1].strip()
    )


def prove(count: int, first: int) -> Toll:
    """So many broken archives, each from a seed of its own."""
    toll, others = Toll(), starts()
    for seed in range(first, first + count):
        chance = random.Random(seed)
        attempt(broken(chance.choice(others), others, chance), toll, f"seed {seed}")
    return toll


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.resources.prove_archives", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="archives to try")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    given = parser.parse_args()
    toll = prove(given.count, given.first)
    print(
        f"{toll.tried:,} archives from {len(starts())}: {toll.accepted:,} accepted, {toll.refused:,} refused,", end=" "
    )
    print(f"{len(toll.findings)} findings; the slowest took {toll.slowest * 1000:.0f} ms")
    for reason, times in toll.reasons.most_common(40):
        print(f"  {times:7,}  {reason}")
    for finding in toll.findings[:20]:
        print(finding)
    return int(bool(toll.findings))


if __name__ == "__main__":
    sys.exit(main())
