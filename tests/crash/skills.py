"""Clients that upload versions of skills while the server is killed, and what must be there afterwards.

Each client is a thread with a skill of its own and one request under way at most. It knows which versions it was told of and
which it was told are gone; of a request that broke off it knows that both may be true. A client with keys sends an upload
again, with its Idempotency-Key, until it is answered.
"""

import asyncio
import http.client
import io
import random
import threading
import zipfile
from pathlib import Path
from typing import Any

import msgspec

from rota import main
from rota.base.clock import HandClock, SystemClock
from rota.base.policy import policy
from rota.base.settings import Settings
from rota.queue import objects
from rota.queue.chore import Tools
from rota.resources.skills import chores
from rota.store.tx import Query, Tx
from tests.acceptance.server import KEY
from tests.crash.clients import HOST, Gate
from tests.crash.rounds import House, Toll
from tests.forms import Field, encode, file
from tests.resources.archives import standard
from tests.resources.zips import manifest

_PATIENCE = 60.0
_UPLOADERS, _KEYED = 3, 2
_SIZES = (10, 5_000, 300_000, 2_000_000)
_MAIN = ("my-skill/SKILL.md", manifest())

VERSIONS = Query("Every version.", "SELECT id, skill_id, location, body FROM skill_versions")
LATEST = Query("Every skill.", "SELECT id, latest_version_id FROM skills")
WAITING = Query("What is to be removed.", "SELECT location FROM buried_objects WHERE removed_at IS NULL")


class Uploader(threading.Thread):
    """Uploads versions of a skill, as loose files and as archives, and now and then deletes one."""

    def __init__(self, gate: Gate, skill_id: str, number: int) -> None:
        super().__init__(name=skill_id, daemon=True)
        self.gate = gate
        self.skill_id = skill_id
        self.keyed = number >= _UPLOADERS
        self.kept: dict[str, bytes] = {}
        """Versions that must be there, and what must be in them."""
        self.gone: set[str] = set()
        """Versions that must not."""
        self.maybe: set[str] = set()
        """Versions whose deletion broke off."""
        self.broken = self.repeated = self.caught_up = 0
        self.surprises: list[str] = []
        self._chance = random.Random(number)
        self._number = 0
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Until closing time; what was begun with a key is finished."""
        while not self.gate.closing_time.is_set():
            self.gate.open.wait(_PATIENCE)
            if len(self.kept) > 1 and self._chance.random() < 0.3:
                self._remove(self._chance.choice(list(self.kept)))
            else:
                self._upload()
        self._hang_up()

    def _upload(self) -> None:
        self._number += 1
        size = self._chance.choice(_SIZES)
        content = self._chance.randbytes(8) * (size // 80) + self._chance.randbytes(size // 10 + 1)
        files = [_MAIN, ("my-skill/content", content)]
        if self._chance.random() < 0.5:
            files = [("a.zip", standard(*files))]
        body = encode([file(data, name, "", name="files[]") for name, data in files])
        headers = {"idempotency-key": f"{self.skill_id}-{self._number}"} if self.keyed else {}
        tries = 1
        answer = self._ask("POST", "versions", body, headers)
        while self.keyed and answer is None:
            tries += 1
            self.gate.open.wait(_PATIENCE)
            answer = self._ask("POST", "versions", body, headers)
        self.repeated += tries > 1
        if answer is None:
            self.broken += 1
        else:
            self.caught_up += answer.get("replayed", False)
            self.kept[answer["id"]] = content

    def _remove(self, version_id: str) -> None:
        del self.kept[version_id]
        if self._ask("DELETE", f"versions/{version_id}") is None:
            self.maybe.add(version_id)
        else:
            self.gone.add(version_id)

    def _ask(
        self, method: str, what: str, body: tuple[bytes, str] = (b"", ""), headers: dict[str, str] | None = None
    ) -> dict[str, Any] | None:
        """The answer to one request; None if there is none, or none yet."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(HOST, self.gate.port, timeout=_PATIENCE)
            sent = {"x-api-key": KEY, "content-type": body[1], **(headers or {})}
            self._connection.request(method, f"/v1/skills/{self.skill_id}/{what}", body[0], sent)
            response = self._connection.getresponse()
            answer = msgspec.json.decode(response.read())
        except (OSError, http.client.HTTPException):
            self._hang_up()
            return None
        if response.status == 200:
            return {**answer, "replayed": response.getheader("idempotent-replayed") == "true"}
        if response.status not in (409, 503):
            self.surprises.append(f"{method} {what}: {response.status} {answer}")
        return None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Skills:
    """A server with clients that upload, and what must be true of what it keeps."""

    def __init__(self, server: House) -> None:
        self.gate = Gate()
        self._server = server
        self._settings = Settings(database=None, data_dir=str(server.folder / "data"))
        made = [self._make() for _ in range(_UPLOADERS + _KEYED)]
        self.uploaders = [Uploader(self.gate, skill_id, number) for number, skill_id in enumerate(made)]
        for uploader in self.uploaders:
            uploader.start()

    def _make(self) -> str:
        raw, content_type = encode([file(_MAIN[1], _MAIN[0], "", name="files[]"), Field("display_name", b"Mine")])
        connection = self._server.connection()
        connection.request("POST", "/v1/skills", raw, {"x-api-key": KEY, "content-type": content_type})
        made = msgspec.json.decode(connection.getresponse().read())
        connection.close()
        return made["id"]

    def resume(self) -> None:
        """Let the clients in."""
        self.gate.port = self._server.port
        self.gate.open.set()

    def finish(self) -> None:
        """Let every client finish what it has begun, then end."""
        self.gate.closing_time.set()
        self.resume()
        for uploader in self.uploaders:
            uploader.join(_PATIENCE)
            assert not uploader.is_alive(), f"{uploader.name} does not come to an end"

    def check(self, url: str, toll: Toll) -> None:
        """Every row has all of its bytes; what was answered is there; what was deleted is not."""
        asyncio.run(self._look(url, toll, settle=False))

    def settle(self, url: str, toll: Toll) -> None:
        """No version is there twice, each can be downloaded, and nothing is left that no row names."""
        asyncio.run(self._look(url, toll, settle=True))
        for uploader in self.uploaders:
            toll.acknowledged += len(uploader.kept) + len(uploader.gone) + len(uploader.maybe)
            toll.broken += uploader.broken
            toll.repeated += uploader.repeated
            toll.caught_up += uploader.caught_up
            toll.findings += uploader.surprises
            self._download(uploader, toll)

    def _download(self, uploader: Uploader, toll: Toll) -> None:
        connection = self._server.connection()
        for version_id, content in uploader.kept.items():
            path = f"/v1/skills/{uploader.skill_id}/versions/{version_id}/content"
            connection.request("GET", path, headers={"x-api-key": KEY})
            raw = connection.getresponse().read()
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                if archive.read("my-skill/content") != content:
                    toll.lost += 1
                    toll.findings.append(f"{version_id} does not hold what was uploaded")
        connection.close()

    async def _look(self, url: str, toll: Toll, *, settle: bool) -> None:
        """The tables and the folder, beside the server; with ``settle`` after housekeeping hours later."""
        settings = msgspec.structs.replace(self._settings, database=url)
        clock = HandClock(SystemClock().now())
        db, blobs = main.open_store(settings, clock=clock), main.open_place(settings, clock)
        root = Path(settings.data_dir) / "blobs"
        try:
            rows = await db.read(_rows, VERSIONS)
            self._judge(rows, await db.read(_rows, LATEST), root, toll)
            if settle:
                self._count(rows, toll)
                clock.advance(seconds=2 * settings.object_grace_seconds)
                tools = Tools(db=db, blobs=blobs, policy=policy(settings))
                await chores.collect(tools)
                await objects.clear(tools)
                left = there(root) - {row[2] for row in rows}
                left |= {row[0] for row in await db.read(_rows, WAITING)}
                _find(toll, "half_made", [f"{each} is not collected" for each in left])
                _find(toll, "lost", [f"{row[2]} was collected" for row in rows if row[2] not in there(root)])
        finally:
            await db.close()
            await blobs.close()

    def _judge(self, rows: list[Any], skills: list[Any], root: Path, toll: Toll) -> None:
        _find(toll, "half_made", half_made(rows, skills, root))
        there_are = {row[0] for row in rows}
        for uploader in self.uploaders:
            _find(toll, "lost", [f"{each} was answered and is not there" for each in uploader.kept.keys() - there_are])
            _find(toll, "lost", [f"{each} was deleted and is there" for each in uploader.gone & there_are])

    def _count(self, rows: list[Any], toll: Toll) -> None:
        for uploader in self.uploaders:
            there_are = sum(row[1] == uploader.skill_id for row in rows) - 1  # the first came with the skill
            least, most = len(uploader.kept), len(uploader.kept) + len(uploader.maybe) + uploader.broken
            toll.kept_unanswered += there_are - least
            if there_are > most:
                toll.doubled += 1
                toll.findings.append(f"{uploader.name} has {there_are} versions, at most {most} were uploaded")
            if there_are < least:
                toll.lost += 1
                toll.findings.append(f"{uploader.name} has {there_are} versions, {least} were answered")


def half_made(rows: list[Any], skills: list[Any], root: Path) -> list[str]:
    """A sentence for each version without all of its bytes, and each skill whose latest version is not there."""
    sizes = {row[0]: (row[2], msgspec.json.decode(row[3])["size"]) for row in rows}
    return [
        *(
            f"version {version_id} has no bytes at {location}"
            for version_id, (location, size) in sizes.items()
            if not (root / location).is_file() or (root / location).stat().st_size != size
        ),
        *(f"skill {each} has no latest version" for each, latest in skills if latest not in sizes),
    ]


def there(root: Path) -> set[str]:
    """The objects in a folder, half-written ones too."""
    return {str(each.relative_to(root)) for each in root.rglob("*") if each.is_file()}


def _find(toll: Toll, kind: str, sentences: list[str]) -> None:
    """Note what was not noted before."""
    new = [sentence for sentence in sentences if sentence not in toll.findings]
    setattr(toll, kind, getattr(toll, kind) + len(new))
    toll.findings += new


def _rows(tx: Tx, query: Query) -> list[Any]:
    return tx.all(query)
