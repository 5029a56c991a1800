"""Clients that keep notes in memory stores while the server is killed, and what must be there afterwards.

Each client is a thread with a store of its own and one request under way at most. It knows what it was answered; of the
one request that broke off it knows the two states that can have come of it, and when the server is back it looks which
one it is. A client with keys sends a creation again, with its Idempotency-Key, until it is answered.
"""

import http.client
import random
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import psycopg

from rota.store.db import is_sqlite, sqlite_path
from tests.acceptance.server import KEY
from tests.crash.clients import HOST, Gate
from tests.crash.rounds import House, Toll

_PATIENCE = 60.0
_WRITERS, _KEYED = 2, 2
_NAMES = [f"/{place}/{number}" for place in ("a", "b/c", "d") for number in range(4)]
_SIZES = [0, 40, 400, 3000, 50_000]
"""Of contents, in characters: within a page of the database, and over many."""

_STORES = "SELECT id, memories FROM memory_stores"
_MEMORIES = "SELECT id, memory_store_id, path, version_id, updated_at, body FROM memories"
_VERSIONS = (
    "SELECT id, memory_store_id, memory_id, created_at, operation, body, content FROM memory_versions "
    "ORDER BY memory_id, created_at"
)

State = dict[str, str]
"""Path to digest."""


class Answer(NamedTuple):
    """What came back, and whether it says that it is a replay."""

    status: int
    body: Any
    replayed: bool


class Writer(threading.Thread):
    """Keeps notes in a store."""

    def __init__(self, gate: Gate, store_id: str, chance: random.Random, *, keyed: bool) -> None:
        super().__init__(name=store_id, daemon=True)
        self.gate = gate
        self.store_id = store_id
        self.keyed = keyed
        self.notes: dict[str, dict[str, Any]] = {}
        """By path, as they were last answered or found."""
        self.maybe: tuple[State, State] | None = None
        """The states that a broken request may have left: before it and after."""
        self.versions: dict[str, tuple[str, str]] = {}
        """Those that were answered: id to path and digest."""
        self.old: list[str] = []
        """Versions that are no longer current."""
        self.redacted: set[str] = set()
        self.removed: set[str] = set()
        self.acknowledged = self.broken = self.repeated = self.caught_up = 0
        self.surprises: list[str] = []
        self._chance = chance
        self._number = 0
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Until closing time; what may or may not have happened is looked up first."""
        while not self.gate.closing_time.is_set() or self.maybe is not None:
            self.gate.open.wait(_PATIENCE)
            if self.maybe is not None:
                self._look()
            else:
                self._act()
        self._hang_up()

    @property
    def state(self) -> State:
        """What the store must hold."""
        return {path: note["content_sha256"] for path, note in self.notes.items()}

    def _act(self) -> None:
        free = [path for path in _NAMES if path not in self.notes]
        kinds = ["create"] * 3 * bool(free) + (["update", "move", "delete", "both"] if self.notes else [])
        kind = self._chance.choice([*kinds, "redact"] if self.old else kinds)
        content = self._chance.choice("xyé") * self._chance.choice(_SIZES) + str(self._number)
        self._number += 1
        if kind == "redact":
            self._redact(self._chance.choice(self.old))
        elif kind == "create":
            self._create(self._chance.choice(free), content)
        else:
            note = self.notes[self._chance.choice(list(self.notes))]
            if kind == "delete":
                self._remove(note)
            else:
                body: dict[str, Any] = {} if kind == "update" or not free else {"path": self._chance.choice(free)}
                body |= {} if kind == "move" and body else {"content": content}
                self._update(note, body)

    def _create(self, path: str, content: str) -> None:
        body = {"path": path, "content": content}
        headers = {"idempotency-key": f"{self.store_id}-{self._number}"} if self.keyed else {}
        tries = 1
        answer = self._ask("POST", "memories", body, headers)
        while self.keyed and (answer is None or answer.status in (409, 503)):
            tries += 1
            self.gate.open.wait(_PATIENCE)
            answer = self._ask("POST", "memories", body, headers)
        self.repeated += tries > 1
        self.caught_up += answer is not None and answer.replayed
        after = {**self.state, path: sha256(content.encode()).hexdigest()}
        if self._went(answer, after) and answer is not None:
            self._note(answer.body)

    def _update(self, note: dict[str, Any], body: dict[str, Any]) -> None:
        answer = self._ask("POST", f"memories/{note['id']}", body)
        after = self.state
        digest = after.pop(note["path"])
        if "content" in body:
            digest = sha256(body["content"].encode()).hexdigest()
        after[body.get("path", note["path"])] = digest
        if self._went(answer, after) and answer is not None:
            del self.notes[note["path"]]
            self.old.append(note["memory_version_id"])
            self._note(answer.body)

    def _remove(self, note: dict[str, Any]) -> None:
        answer = self._ask("DELETE", f"memories/{note['id']}")
        if self._went(answer, {path: digest for path, digest in self.state.items() if path != note["path"]}):
            del self.notes[note["path"]]
            self.old.append(note["memory_version_id"])
            self.removed.add(note["id"])
            self.acknowledged += 1

    def _redact(self, version_id: str) -> None:
        answer = self._ask("POST", f"memory_versions/{version_id}/redact")
        if answer is not None and answer.status == 200:
            self.redacted.add(version_id)
        elif answer is not None and answer.status != 503:
            self.surprises.append(f"{self.name}: redaction: {answer}")

    def _note(self, memory: dict[str, Any]) -> None:
        self.notes[memory["path"]] = memory
        self.versions[memory["memory_version_id"]] = (memory["path"], memory["content_sha256"])
        self.acknowledged += 1

    def _went(self, answer: Answer | None, after: State) -> bool:
        """Whether a request was answered with a success; if it broke off, both states are noted."""
        if answer is None or answer.status == 503:
            self.broken += 1
            self.maybe = (self.state, after)
        elif answer.status != 200:
            self.surprises.append(f"{self.name}: {answer}")
        return answer is not None and answer.status == 200

    def _look(self) -> None:
        """What has come of the request that broke off."""
        assert self.maybe is not None
        answer = self._ask("GET", "memories?limit=100")
        if answer is None or answer.status == 503:
            return
        found = {item["path"]: item for item in answer.body["data"]}
        state = {path: item["content_sha256"] for path, item in found.items()}
        if state not in self.maybe:
            self.surprises.append(f"{self.name} holds {state}, which is neither of {self.maybe}")
        known = {item["memory_version_id"] for item in found.values()}
        self.old += [
            note["memory_version_id"] for note in self.notes.values() if note["memory_version_id"] not in known
        ]
        self.notes = found
        self.maybe = None

    def _ask(self, method: str, what: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer | None:
        """One request; None if the connection broke before the whole answer was there."""
        payload = None if body is None else msgspec.json.encode(body)
        sent = {"x-api-key": KEY, **(headers or {})}
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(HOST, self.gate.port, timeout=_PATIENCE)
            self._connection.request(method, f"/v1/memory_stores/{self.store_id}/{what}", payload, sent)
            response = self._connection.getresponse()
            raw = response.read()
            replayed = response.getheader("idempotent-replayed") == "true"
            return Answer(response.status, msgspec.json.decode(raw), replayed)
        except (OSError, http.client.HTTPException):
            self._hang_up()
            return None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Notes:
    """A server with clients that keep notes, and what must be true of those."""

    def __init__(self, server: House) -> None:
        self.gate = Gate()
        made = [server.ask("POST", "/v1/memory_stores", {"name": "Notes"}).ok()["id"] for _ in range(_WRITERS + _KEYED)]
        self.writers = [
            Writer(self.gate, store_id, random.Random(number), keyed=number >= _WRITERS)
            for number, store_id in enumerate(made)
        ]
        self._server = server
        for writer in self.writers:
            writer.start()

    def resume(self) -> None:
        """Let the clients in."""
        self.gate.port = self._server.port
        self.gate.open.set()

    def finish(self) -> None:
        """Let every client finish what it has begun, then end."""
        self.gate.closing_time.set()
        self.resume()
        for writer in self.writers:
            writer.join(60)
            assert not writer.is_alive(), f"{writer.name} does not come to an end"

    def check(self, url: str, toll: Toll) -> None:
        """What clients were told is there, and there is no memory without its version, nor the reverse."""
        stores, memories, versions = look(url)
        wrong = [sentence for sentence in half_made(stores, memories, versions) if sentence not in toll.findings]
        toll.half_made += len(wrong)
        bodies = {row[0]: (row[4], msgspec.json.decode(row[5]), row[6]) for row in versions}
        there = {row[0] for row in memories}
        lost: list[str] = []
        for writer in self.writers:
            for version_id, told in writer.versions.items():
                _, body, content = bodies.get(version_id, ("", {}, None))
                if version_id in writer.redacted:
                    if content is not None or "redacted_at" not in body or "path" in body:
                        lost.append(f"the redaction of {version_id} was answered and is not there")
                elif "redacted_at" not in body and (body.get("path"), body.get("digest")) != told:
                    lost.append(f"version {version_id} was answered as {told} and is now {body}")
            lost += [f"memory {each} was deleted and is there" for each in writer.removed & there]
        lost = [sentence for sentence in lost if sentence not in toll.findings]
        toll.lost += len(lost)
        toll.findings += [*wrong, *lost]

    def settle(self, url: str, toll: Toll) -> None:
        """Each store has as many versions as its client must have made, and holds what the client believes."""
        _, memories, versions = look(url)
        for writer in self.writers:
            toll.acknowledged += writer.acknowledged
            toll.broken += writer.broken
            toll.repeated += writer.repeated
            toll.caught_up += writer.caught_up
            toll.findings += writer.surprises
            count = sum(row[1] == writer.store_id for row in versions)
            toll.kept_unanswered += count - writer.acknowledged
            if count > writer.acknowledged + writer.broken:
                toll.doubled += 1
                toll.findings.append(f"{writer.name}: {count} versions of {writer.acknowledged} and {writer.broken}")
            if count < writer.acknowledged:
                toll.lost += 1
                toll.findings.append(f"{writer.name}: {count} versions, {writer.acknowledged} were answered")
            held = {row[2]: msgspec.json.decode(row[5])["digest"] for row in memories if row[1] == writer.store_id}
            if held != writer.state:
                toll.lost += 1
                toll.findings.append(f"{writer.name} holds {held} in the end instead of {writer.state}")


def look(url: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Stores, memories and versions, on one consistent snapshot."""
    queries = (_STORES, _MEMORIES, _VERSIONS)
    if is_sqlite(url):
        connection = sqlite3.connect(f"file:{quote(str(sqlite_path(url)))}?mode=ro", uri=True, isolation_level=None)
        try:
            connection.execute("BEGIN")
            stores, memories, versions = [connection.execute(query).fetchall() for query in queries]
        finally:
            connection.close()
        return stores, memories, versions
    with psycopg.connect(url) as server:
        server.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        stores, memories, versions = [server.execute(query).fetchall() for query in queries]
    return stores, memories, versions


def half_made(stores: list[Any], memories: list[Any], versions: list[Any]) -> Iterator[str]:
    """A sentence for each thing that is not whole."""
    histories: dict[str, list[Any]] = defaultdict(list)
    for row in versions:
        histories[row[2]].append(row)
    for memory_id, store_id, path, version_id, updated_at, text in memories:
        body = msgspec.json.decode(text)
        if memory_id not in histories:
            yield f"memory {memory_id} has no version"
            continue
        head = histories[memory_id][-1]
        kept = msgspec.json.decode(head[5])
        if (head[0], head[1], head[3]) != (version_id, store_id, updated_at):
            yield f"memory {memory_id} does not stand at its newest version, {head[0]}"
        elif head[4] == "deleted" or head[6] is None or (kept["path"], kept["digest"]) != (path, body["digest"]):
            yield f"memory {memory_id} and its version say different things"
    there = {row[0] for row in memories}
    for memory_id, history in histories.items():
        operations = [row[4] for row in history]
        if operations[0] != "created" or "created" in operations[1:] or "deleted" in operations[:-1]:
            yield f"the history of {memory_id} is {operations}"
        if (operations[-1] == "deleted") == (memory_id in there):
            yield f"memory {memory_id} is {'there' if memory_id in there else 'gone'} after {operations[-1]}"
        for row in history:
            body = msgspec.json.decode(row[5])
            whole = "redacted_at" in body or row[4] == "deleted"
            if (row[6] is None) != whole or (not whole and sha256(row[6].encode()).hexdigest() != body["digest"]):
                yield f"version {row[0]} does not hold what it says"
    for store_id, count in stores:
        if count != sum(row[1] == store_id for row in memories):
            yield f"store {store_id} does not count right"
