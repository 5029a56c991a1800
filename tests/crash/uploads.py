"""Kills of a server to which files are uploaded and deleted all the time: the work behind ``test_uploads`` and ``prove_uploads``.

Housekeeping with a grace of one second goes on in this process meanwhile, on the same database and the same folder, as a
second server would do it: so it is always about to collect what an upload has just left.
"""

import asyncio
import http.client
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from rota import main
from rota.base.clock import HandClock, SystemClock
from rota.base.errors import Unavailable
from rota.base.policy import policy
from rota.base.settings import Settings
from rota.queue import objects
from rota.queue.chore import Tools
from rota.resources.files import content
from rota.store.tx import Query, Tx
from tests.acceptance.server import KEY
from tests.crash.clients import HOST, Gate
from tests.crash.rounds import House
from tests.forms import encode, file

GRACE = 1
_SHORTEST, _LONGEST = 0.02, 0.6
_UPLOADERS = 4
_SIZES = (0, 10, 5_000, 300_000, 3_000_000)
_PATIENCE = 60.0

FILES = Query("Every file.", "SELECT id, blob FROM files")
BLOBS = Query("Every location.", "SELECT location, size, digest FROM file_blobs")
WAITING = Query("What is to be removed.", "SELECT location FROM buried_objects WHERE removed_at IS NULL")


@dataclass
class Toll:
    """What the kills of one seed have come to. ``unanswered`` requests may or may not have been done."""

    database: str
    seed: int
    kills: int = 0
    uploaded: int = 0
    deleted: int = 0
    unanswered: int = 0
    begun: int = 0
    """Files that were half written when the server was killed."""
    collected: int = 0
    """Whole objects without a row that housekeeping took meanwhile."""
    lost: int = 0
    without_bytes: int = 0
    not_collected: int = 0
    seconds: float = 0.0
    instants: list[float] = field(default_factory=list[float])
    findings: list[str] = field(default_factory=list[str])

    @property
    def clean(self) -> bool:
        """Whether nothing was lost and nothing left."""
        return not self.findings

    def show(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Uploader(threading.Thread):
    """Uploads and deletes files, one request at a time, and remembers what it was told."""

    def __init__(self, gate: Gate, number: int, seed: int) -> None:
        super().__init__(name=f"uploader {number}", daemon=True)
        self.gate = gate
        self.chance = random.Random(f"{seed} {number}")
        self.kept: dict[str, tuple[int, str]] = {}
        """Files that must be there: their sizes and digests."""
        self.gone: set[str] = set()
        """Files that must not."""
        self.unanswered = 0
        self.uploaded = 0
        self.surprises: list[str] = []
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Until closing time."""
        while not self.gate.closing_time.is_set():
            self.gate.open.wait(_PATIENCE)
            if self.kept and self.chance.random() < 0.4:
                self._remove_one(self.chance.choice(list(self.kept)))
            else:
                self._upload_one()
        self._hang_up()

    def _upload_one(self) -> None:
        # A few contents that everybody has, so that bytes are shared and raced for, and some that nobody else has.
        common = self.chance.random() < 0.6
        word = str(self.chance.randrange(4)).encode() if common else self.chance.randbytes(8)
        size = self.chance.choice(_SIZES)
        data = (word * (size // len(word) + 1))[:size] if size else b""
        raw, content_type = encode([file(data)])
        answer = self._ask("POST", "/v1/files", raw, {"content-type": content_type})
        if answer is not None:
            self.uploaded += 1
            self.kept[msgspec.json.decode(answer)["id"]] = (len(data), sha256(data).hexdigest())

    def _remove_one(self, file_id: str) -> None:
        del self.kept[file_id]  # if no answer comes, it may be there or not, and nobody asks for it again
        if self._ask("DELETE", f"/v1/files/{file_id}") is not None:
            self.gone.add(file_id)

    def _ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes | None:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(HOST, self.gate.port, timeout=_PATIENCE)
            self._connection.request(method, path, body, {"x-api-key": KEY, **(headers or {})})
            response = self._connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException):
            self._hang_up()
            self.unanswered += 1
            return None
        if response.status == 200:
            return raw
        if response.status != 503:  # which is what an upload gets that housekeeping was faster than
            self.surprises.append(f"{method} {path}: {response.status} {raw!r}")
        self.unanswered += 1
        return None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Housekeeper(threading.Thread):
    """Does the chores over and over, beside whatever server is up."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="housekeeper", daemon=True)
        self.settings = settings
        self.over = threading.Event()
        self.rounds = 0
        self.collected = 0
        self.surprises: list[str] = []

    def run(self) -> None:
        """Until told to end."""
        asyncio.run(self._work())

    async def _work(self) -> None:
        db, blobs = main.open_store(self.settings), main.open_place(self.settings)
        tools = Tools(db=db, blobs=blobs, policy=policy(self.settings))
        try:
            while not self.over.wait(0.02):
                try:
                    self.collected += await content.collect(tools)
                    await objects.clear(tools)
                    self.rounds += 1
                except Unavailable:  # the database is busy; as a server's sweeper would, try again later
                    pass
                except Exception as exc:
                    self.surprises.append(f"housekeeping: {exc!r}")
        finally:
            await db.close()
            await blobs.close()


def rounds(folder: Path, url: str, kind: str, seed: int, kills: int) -> Toll:
    """Kill a server so many times, and see what it has kept and what it has left."""
    chance = random.Random(seed)
    toll = Toll(kind, seed)
    began = time.monotonic()
    server = House(folder, url, key=KEY, ROTA_OBJECT_GRACE_SECONDS=str(GRACE))
    settings = Settings(database=url, data_dir=str(folder / "data"), object_grace_seconds=GRACE)
    gate = Gate()
    uploaders = [Uploader(gate, number, seed) for number in range(_UPLOADERS)]
    with server:
        port = server.port
        housekeeper = Housekeeper(settings)
        for thread in (*uploaders, housekeeper):
            thread.start()
        while toll.kills < kills:
            gate.port = port
            gate.open.set()
            delay = chance.uniform(_SHORTEST, _LONGEST)
            threading.Event().wait(delay)  # the instant of the kill is what is being tried out
            gate.open.clear()
            server.kill()
            toll.kills += 1
            toll.begun += len([*(folder / "data" / "blobs").rglob("*.part")])
            toll.instants.append(round(delay, 4))
            server.start(port)
        gate.closing_time.set()
        gate.open.set()
        for thread in uploaders:
            thread.join(_PATIENCE)
            assert not thread.is_alive(), f"{thread.name} does not come to an end"
        _ask_for_all(server, uploaders, toll)
    housekeeper.over.set()
    housekeeper.join(_PATIENCE)
    toll.findings += housekeeper.surprises
    toll.collected = housekeeper.collected
    asyncio.run(_look(settings, toll))
    toll.uploaded = sum(each.uploaded for each in uploaders)
    toll.deleted = sum(len(each.gone) for each in uploaders)
    toll.unanswered = sum(each.unanswered for each in uploaders)
    toll.findings += [surprise for each in uploaders for surprise in each.surprises]
    if not housekeeper.rounds:
        toll.findings.append("housekeeping never came round")
    toll.seconds = round(time.monotonic() - began, 1)
    return toll


def _ask_for_all(server: House, uploaders: list[Uploader], toll: Toll) -> None:
    """What was answered is so."""
    connection = server.connection()
    for uploader in uploaders:
        for file_id, expected in [*uploader.kept.items(), *((each, None) for each in uploader.gone)]:
            connection.request("GET", f"/v1/files/{file_id}", headers={"x-api-key": KEY})
            response = connection.getresponse()
            body = msgspec.json.decode(response.read())
            found = body.get("size_bytes") if response.status == 200 else None
            if found != (None if expected is None else expected[0]):
                toll.lost += 1
                toll.findings.append(f"{file_id} should be {expected}, and is {response.status} {body}")
    connection.close()


async def _look(settings: Settings, toll: Toll) -> None:
    """The tables and the folder with no server in between, before and after a last round of housekeeping."""
    clock = HandClock(SystemClock().now())
    db, blobs = main.open_store(settings, clock=clock), main.open_place(settings, clock)
    root = Path(settings.data_dir) / "blobs"
    try:
        await _whole(db, root, toll)
        clock.advance(seconds=3 * GRACE)
        tools = Tools(db=db, blobs=blobs, policy=policy(settings))
        toll.collected += await content.collect(tools)
        await objects.clear(tools)
        kept = await _whole(db, root, toll)
        left = sorted(_there(root) - kept) + [row[0] for row in await db.read(_rows, WAITING)]
        toll.not_collected = len(left)
        toll.findings += [f"not collected: {each}" for each in left]
    finally:
        await db.close()
        await blobs.close()


async def _whole(db: Any, root: Path, toll: Toll) -> set[str]:
    """The locations that rows name, each checked to be there with all of its bytes."""
    rows = await db.read(_rows, BLOBS)
    for location, size, digest in rows:
        path = root / location
        data = path.read_bytes() if path.exists() else None
        if data is None or len(data) != size or sha256(data).hexdigest() != digest:
            toll.without_bytes += 1
            toll.findings.append(
                f"{location} should have {size} bytes, and {'is gone' if data is None else 'has others'}"
            )
    kept = {row[0] for row in rows}
    for file_id, blob in await db.read(_rows, FILES):
        if blob not in kept:
            toll.without_bytes += 1
            toll.findings.append(f"{file_id} names {blob}, of which there is no row")
    return kept


def _rows(tx: Tx, query: Query) -> list[Any]:
    return tx.all(query)


def _there(root: Path) -> set[str]:
    return {str(each.relative_to(root)) for each in root.rglob("*") if each.is_file()}
