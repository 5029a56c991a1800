"""Power cuts, as far as they can be had without a plug: what a disk holds at some instant, opened elsewhere.

The server is frozen, its database and its write-ahead log are copied, and it goes on. The shared-memory file is left
behind, as a power cut would. A *whole* copy holds every write that was issued, and so everything that was answered. A
*torn* copy has lost the end of its log, cut at any byte behind what was already carried over into the database file: more
than a disk that obeys fsync may lose. From either, whatever is there must be whole.
"""

import random
import struct
import threading
from dataclasses import dataclass, field, fields
from pathlib import Path

from tests.acceptance.server import KEY
from tests.conftest import open_and_close
from tests.crash import tables
from tests.crash.rounds import Busy, House

_WAL_HEADER, _FRAME_HEADER = 32, 24
_MAX_FRAME, _PAGE_SIZE, _CARRIED_OVER = 16, 14, 128
"""Offsets in the shared-memory file (SQLite's WAL-index format): the last valid frame, the size of a page (16 bits), and
the frame up to which a checkpoint may have written into the database file."""


@dataclass
class Cuts:
    """What the copies have come to."""

    copies: int = 0
    torn: int = 0
    runs: int = 0
    lost: int = 0
    half_made: int = 0
    findings: list[str] = field(default_factory=list[str])

    def add(self, other: "Cuts") -> None:
        """Count another server's copies too."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


def cuts(folder: Path, seed: int, copies: int) -> Cuts:
    """Copy the files of a busy server so many times, and open each copy whole and torn."""
    chance = random.Random(seed)
    found = Cuts()
    server = House(folder, None, key=KEY)
    with server:
        busy = Busy(server)
        data = folder / "data"
        for number in range(copies):
            busy.resume()
            threading.Event().wait(chance.uniform(0.02, 0.15))  # the instant of the cut is what is being tried out
            answered = set(busy.answered())
            server.freeze()
            try:
                parts = {end: (data / f"rota.db{end}").read_bytes() for end in ("", "-wal", "-shm")}
            finally:
                server.thaw()
            _open(folder / f"whole {number}", parts[""], parts["-wal"], answered, found)
            found.copies += 1
            _open(folder / f"torn {number}", parts[""], _torn(parts["-wal"], parts["-shm"], chance), set(), found)
            found.torn += 1
        busy.finish()
    return found


def _torn(wal: bytes, shared: bytes, chance: random.Random) -> bytes:
    """The log without its end."""
    [last] = struct.unpack_from("=I", shared, _MAX_FRAME)
    [size] = struct.unpack_from("=H", shared, _PAGE_SIZE)
    [carried] = struct.unpack_from("=I", shared, _CARRIED_OVER)
    page = 65536 if size == 1 else size
    frame = _FRAME_HEADER + page
    return wal[
        : chance.randint(_WAL_HEADER + carried * frame, max(_WAL_HEADER + last * frame, _WAL_HEADER + carried * frame))
    ]


def _open(place: Path, database: bytes, wal: bytes, answered: set[str], found: Cuts) -> None:
    """What SQLite makes of it, and what is in it then."""
    place.mkdir()
    path = place / "rota.db"
    path.write_bytes(database)
    (place / "rota.db-wal").write_bytes(wal)
    found.findings += [f"{place.name}: {sentence}" for sentence in tables.sound(path)]
    seen = tables.look(f"sqlite:///{path}")
    open_and_close(f"sqlite:///{path}")  # or it fails to start: the program must be able to go on from here
    found.runs += len(seen.runs)
    found.half_made += len(seen.half_made)
    found.findings += [f"{place.name}: {sentence}" for sentence in seen.half_made]
    missing = answered - seen.runs.keys()
    found.lost += len(missing)
    found.findings += [f"{place.name}: {run_id} was answered and is not there" for run_id in missing]
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
