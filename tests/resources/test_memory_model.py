"""Random histories of one store, each request answered by the server and by a plain dictionary, and both compared."""

from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from rota.store.tx import Query
from tests.api import Api

MOST = 3
BRIEF = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=True,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
COUNTED = Query("What a store says it holds.", "SELECT memories FROM memory_stores WHERE id = :id")
ORPHANS = Query(
    "Memories without their version, and versions that say another thing than their memory.",
    """SELECT m.id FROM memories m LEFT JOIN memory_versions v ON v.id = m.version_id AND v.memory_id = m.id
       AND v.memory_store_id = m.memory_store_id AND v.created_at = m.updated_at AND v.content IS NOT NULL
       WHERE m.memory_store_id = :id AND v.id IS NULL""",
)
NAMES = ["/a", "/b", "/a/x", "/a/y", "/a/x/1", "/a-", "/b/z", "/é/日"]
WORDS = ["", "one", "two", "zwö"]
PATHS = st.sampled_from(NAMES)
CONTENTS = st.sampled_from(WORDS)
ABSENT = 7
WHICH = st.integers(0, ABSENT)
"""Which memory: by its place among those that are there, or one that is not."""
GUESS = st.sampled_from(["right", "wrong", None, None])


@dataclass(eq=False)
class Note:
    """A memory as the dictionary has it."""

    id: str
    path: str
    content: str
    version: str


@dataclass(eq=False)
class Entry:
    """A version as the history has it."""

    memory_id: str
    operation: str
    path: str
    content: str | None
    redacted: bool = False


@dataclass
class Book:
    """What the store must be like."""

    notes: dict[str, Note] = field(default_factory=dict[str, Note])
    """By path."""
    log: dict[str, Entry] = field(default_factory=dict[str, Entry])
    """By version id, in the order of the history."""
    archived: bool = False

    def in_the_way(self, path: str, moving: Note | None = None) -> Note | None:
        """Who is at a path, above it, or (the first of those) below it."""
        others = sorted(
            (note for note in self.notes.values() if note is not moving), key=lambda note: note.path.encode()
        )
        for note in others:
            if note.path == path or path.startswith(note.path + "/"):
                return note
        return next((note for note in others if note.path.startswith(path + "/")), None)


def digest(content: str) -> str:
    return sha256(content.encode()).hexdigest()


class Machine(RuleBasedStateMachine):
    """One history."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self.api = api
        self.book = Book()
        self.store = api.memory_store()["id"]

    def at(self, more: str) -> str:
        return f"/v1/memory_stores/{self.store}/{more}"

    def note(self, which: int) -> Note | None:
        there = list(self.book.notes.values())
        return there[which % len(there)] if there and which != ABSENT else None

    # Requests

    @rule(path=PATHS, content=CONTENTS)
    def create(self, path: str, content: str) -> None:
        self.api.clock.advance(seconds=1)
        response = self.api.post(self.at("memories?view=full"), {"path": path, "content": content})
        other = self.book.in_the_way(path)
        if self.book.archived:
            assert "archived" in response.refused(400)
        elif other is not None:
            self.conflicts(response, path, other, "use update to modify it")
        elif len(self.book.notes) >= MOST:
            assert f"holds {MOST} memories" in response.refused(400)
        else:
            made = response.ok()
            self.book.notes[path] = Note(made["id"], path, content, made["memory_version_id"])
            self.enter(made, "created")

    @rule(which=WHICH, path=st.none() | PATHS, content=st.none() | CONTENTS, guess=GUESS)
    def update(self, which: int, path: str | None, content: str | None, guess: str | None) -> None:
        self.api.clock.advance(seconds=1)
        note = self.note(which)
        body: dict[str, Any] = {"path": path, "content": content}
        if guess is not None:
            current = note.content if note else ""
            expected = digest(current if guess == "right" else current + "!")
            body["precondition"] = {"type": "content_sha256", "content_sha256": expected}
        memory_id = note.id if note else "mem_01AAAAAAAAAAAAAAAAAAAAAA"
        response = self.api.post(self.at(f"memories/{memory_id}?view=full"), body)
        if path is None and content is None:
            assert "at least one of" in response.refused(400)
        elif self.book.archived:
            assert "archived" in response.refused(400)
        elif note is None:
            response.refused(404, "not_found_error")
        elif guess == "wrong":
            response.refused(409, "memory_precondition_failed_error")
        else:
            self.updated(response, note, path or note.path, note.content if content is None else content)

    def updated(self, response: Any, note: Note, path: str, content: str) -> None:
        other = self.book.in_the_way(path, note)
        if path != note.path and other is not None:
            self.conflicts(response, path, other, "delete it first to rename-and-replace")
            return
        shown = response.ok()
        assert (shown["id"], shown["path"], shown["content"]) == (note.id, path, content)
        if (path, content) == (note.path, note.content):
            assert shown["memory_version_id"] == note.version
            return
        del self.book.notes[note.path]
        note.path, note.content, note.version = path, content, shown["memory_version_id"]
        self.book.notes[path] = note
        self.enter(shown, "modified")

    @rule(which=WHICH, guess=GUESS)
    def delete(self, which: int, guess: str | None) -> None:
        self.api.clock.advance(seconds=1)
        note = self.note(which)
        query = {}
        if guess is not None:
            current = note.content if note else ""
            query["expected_content_sha256"] = digest(current if guess == "right" else current + "!")
        memory_id = note.id if note else "mem_01AAAAAAAAAAAAAAAAAAAAAA"
        response = self.api.delete(self.at(f"memories/{memory_id}"), query=query)
        if note is None:
            response.refused(404, "not_found_error")
        elif guess == "wrong":
            response.refused(409, "memory_precondition_failed_error")
        else:
            assert response.ok() == {"type": "memory_deleted", "id": note.id}
            del self.book.notes[note.path]
            newest = self.api.get(self.at("memory_versions?limit=1")).ok()["data"][0]
            self.enter(newest | {"memory_version_id": newest["id"], "id": note.id, "path": note.path}, "deleted")

    @precondition(lambda self: self.book.log)
    @rule(which=st.integers(0, 200))
    def redact(self, which: int) -> None:
        version_id = list(self.book.log)[which % len(self.book.log)]
        entry = self.book.log[version_id]
        response = self.api.post(self.at(f"memory_versions/{version_id}/redact"))
        if any(note.version == version_id for note in self.book.notes.values()):
            assert response.refused(400).startswith(f"version is the current content of {entry.memory_id};")
        else:
            assert response.ok()["redacted_at"] is not None
            entry.redacted = True

    @precondition(lambda self: len(self.book.log) > 15 and not self.book.archived)
    @rule()
    def archive(self) -> None:
        self.api.post(self.at("archive")).ok()
        self.book.archived = True

    @rule(prefix=st.sampled_from(["/", "/a/", "/a/x/", "/b/", "/é/", "/c/"]), limit=st.integers(1, 5))
    def look_into_a_folder(self, prefix: str, limit: int) -> None:
        found: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"depth": 1, "path_prefix": prefix, "limit": limit, "page": cursor}
            page = self.api.get(self.at("memories"), query=query).ok()
            found += page["data"]
            cursor = page["next_page"]
        inside = [path[len(prefix) :].partition("/") for path in self.book.notes if path.startswith(prefix)]
        assert [item["path"] for item in found] == sorted(
            {prefix + name + slash for name, slash, _ in inside}, key=str.encode
        )
        for item in found:
            note = self.book.notes.get(item["path"])
            assert item.get("id") == (note and note.id)

    # What must be true then

    def enter(self, shown: Any, operation: str) -> None:
        """Note a version."""
        content = None if operation == "deleted" else self.book.notes[shown["path"]].content
        self.book.log[shown["memory_version_id"]] = Entry(shown["id"], operation, shown["path"], content)

    def conflicts(self, response: Any, path: str, other: Note, mend: str) -> None:
        said = response.refused(409, "memory_path_conflict_error")
        error = response.body["error"]
        assert (error["conflicting_path"], error["conflicting_memory_id"]) == (other.path, other.id)
        assert said.endswith(mend if other.path == path else "Delete or rename the other memory first.")

    @invariant()
    def compare(self) -> None:
        """The whole store, and the whole history."""
        listed = self.api.get(self.at("memories?view=full&limit=20")).ok()["data"]
        assert {item["path"]: (item["id"], item["content"], item["memory_version_id"]) for item in listed} == {
            path: (note.id, note.content, note.version) for path, note in self.book.notes.items()
        }
        for item in listed:
            raw = item["content"].encode()
            assert (item["content_sha256"], item["content_size_bytes"]) == (sha256(raw).hexdigest(), len(raw))
        log: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.api.get(self.at("memory_versions"), query={"view": "full", "page": cursor}).ok()
            log += page["data"]
            cursor = page["next_page"]
        assert [
            (
                each["id"],
                each["memory_id"],
                each["operation"],
                each["path"],
                each["content"],
                each["redacted_at"] is not None,
            )
            for each in reversed(log)
        ] == [
            (version_id, entry.memory_id, entry.operation)
            + ((None, None, True) if entry.redacted else (entry.path, entry.content, False))
            for version_id, entry in self.book.log.items()
        ]
        count, orphans = self.api.read(lambda tx: (tx.all(COUNTED, id=self.store), tx.all(ORPHANS, id=self.store)))
        assert count == [(len(self.book.notes),)]
        assert orphans == []


def test_a_store_is_what_a_dictionary_would_be_and_its_versions_are_its_history(lasting_api: Api) -> None:
    lasting_api.house.app.policy.max_memories = MOST
    run_state_machine_as_test(partial(Machine, lasting_api), settings=BRIEF)
