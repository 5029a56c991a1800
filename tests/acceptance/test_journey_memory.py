"""What users of the official client get of memory stores, at three versions, sync and async, on each database."""

from hashlib import sha256
from typing import Any

from tests.acceptance.conftest import Story
from tests.acceptance.test_journey import bad_request, not_found, refused


def digest(content: str) -> str:
    return sha256(content.encode()).hexdigest()


def conflict(outcome: Any, kind: str, words: str) -> None:
    """The client raised its class for a lost race, and did not try again."""
    refused(outcome, "ConflictError", 409, kind, words)


def test_stores_live_from_their_making_to_their_end(story: Story) -> None:
    seen = story.seen["memory"]["stores"]
    plain, rich = seen["plain"], seen["rich"]
    assert (plain["name"], plain["description"], plain["metadata"]) == (f"{story.style} notes", "", {})
    assert rich["metadata"] == {"floor": "2", "b": "1"}
    assert seen["retrieved"] == rich
    assert seen["updated"] == rich | {
        "name": f"{story.style} post",
        "description": "",
        "metadata": {"b": "1", "c": "3"},
        "updated_at": seen["updated"]["updated_at"],
    }
    assert "archived_at" not in plain or plain["archived_at"] is None
    assert seen["archived"]["archived_at"] == seen["archived"]["updated_at"]
    assert seen["archived again"] == seen["archived"]
    assert seen["deleted"] == {"id": plain["id"], "type": "memory_store_deleted"}
    assert seen["listed live"] == [rich["id"]]
    assert seen["listed all"] == [rich["id"], plain["id"]]


def test_stores_refuse_what_they_must(story: Story) -> None:
    seen = story.seen["memory"]["stores"]
    archived = f"cannot modify archived resource: memory store {seen['plain']['id']}"
    bad_request(seen["update of an archived one"], archived)
    bad_request(seen["write to an archived one"], archived)
    bad_request(seen["empty update"], "at least one of name, description, or metadata must be provided")
    for name in ("retrieved deleted", "memories of a deleted one"):
        not_found(seen[name], f"memory store not found: {seen['plain']['id']}")


def test_a_memory_is_shown_with_its_content_only_in_full(story: Story) -> None:
    seen = story.seen["memory"]["memories"]
    basic, full = seen["basic"], seen["full"]
    assert (basic["content"], full["content"], seen["empty"]["content"]) == (None, "Zwei.", None)
    assert (basic["content_sha256"], basic["content_size_bytes"]) == (digest("Eins."), 5)
    assert (seen["empty"]["content_sha256"], seen["empty"]["content_size_bytes"]) == (digest(""), 0)
    assert seen["retrieved"] == basic | {"content": "Eins."}
    assert seen["retrieved basic"] == basic


def test_memories_are_listed_newest_first_and_folders_by_their_paths(story: Story) -> None:
    seen = story.seen["memory"]["memories"]
    basic = [seen["empty"], seen["full"] | {"content": None}, seen["basic"]]
    assert seen["listed"] == basic
    contents = [(each["path"], each["content"]) for each in seen["listed full"]]
    assert contents == [("/c.md", ""), ("/a/b/zwei.md", "Zwei."), ("/a/one.md", "Eins.")]
    assert seen["listed below"] == basic[1:]
    assert seen["folder"] == [{"type": "memory_prefix", "path": "/a/"}, seen["empty"]]
    assert seen["inner folder"] == [{"type": "memory_prefix", "path": "/a/b/"}, seen["basic"]]


def test_a_memory_keeps_its_id_through_every_change(story: Story) -> None:
    seen = story.seen["memory"]["memories"]
    updated, moved = seen["updated"], seen["moved"]
    assert updated["id"] == moved["id"] == seen["basic"]["id"]
    assert (updated["path"], updated["content_sha256"]) == ("/a/one.md", digest("Eins!"))
    assert (moved["path"], moved["content"], moved["content_sha256"]) == ("/d/eins.md", "Eins!", digest("Eins!"))
    assert seen["basic"]["updated_at"] < updated["updated_at"] < moved["updated_at"]
    assert seen["deleted"] == {"id": moved["id"], "type": "memory_deleted"}
    not_found(seen["retrieved deleted"], f"memory not found: {moved['id']}")


def test_a_lost_race_is_one_request_and_a_conflict(story: Story) -> None:
    seen = story.seen["memory"]["memories"]
    for name in ("lost race", "lost race of a deletion"):
        conflict(
            seen[name], "memory_precondition_failed_error", "precondition content_sha256 failed: content has changed"
        )
    taken = f"path `/c.md` is already used by `{seen['empty']['id']}`; "
    conflict(seen["taken"], "memory_path_conflict_error", taken + "use update to modify it")
    conflict(seen["moved onto another"], "memory_path_conflict_error", taken + "delete it first to rename-and-replace")
    conflict(seen["below another"], "memory_path_conflict_error", "conflicts with existing memory at `/c.md`")


def test_memories_refuse_what_they_must(story: Story) -> None:
    seen = story.seen["memory"]["memories"]
    bad_request(seen["empty update"], "at least one of content or path must be provided")
    bad_request(seen["bad path"], "path: must not have a segment that is . or ..")
    bad_request(seen["too long"], "content must be at most 102400 bytes")
    bad_request(seen["null content"], "content: value is required")
    bad_request(seen["bad digest"], "expected_content_sha256: must be 64 characters (and 1 more validation errors)")
    not_found(seen["unknown store"], "memory store not found: memstore_01")


def test_the_record_of_a_memory_outlives_it(story: Story) -> None:
    seen = story.seen["memory"]["versions"]
    assert [each["operation"] for each in seen["all"]] == ["deleted", "modified", "created", "created"]
    assert [each["path"] for each in seen["all"]] == ["/c", "/c", "/b", "/a"]
    assert [each["content"] for each in seen["full"]] == [None, "two", "other", "one"]
    assert {each["created_by"]["type"] for each in seen["all"]} == {"api_actor"}
    ids = [each["id"] for each in seen["all"]]
    deleted, changed, _, first = ids
    assert first == seen["memory"]["memory_version_id"]
    assert seen["of one"] == [deleted, changed, first]
    assert seen["deletions"] == [deleted]
    assert seen["by a session"] == []
    assert seen["by this key"] == ids
    assert seen["by a service account"] == ([] if story.version != "0.121.0" else ids), "which knows no such filter"
    assert seen["from the change on"] == [deleted, changed]
    assert seen["until the first"] == [first]


def test_redaction_takes_out_what_was_written(story: Story) -> None:
    seen = story.seen["memory"]["versions"]
    whole, redacted = seen["retrieved"], seen["redacted"]
    assert whole["content"] == "one"
    assert seen["retrieved basic"] == whole | {"content": None}
    assert redacted == whole | {
        "path": None,
        "content": None,
        "content_sha256": None,
        "content_size_bytes": None,
        "redacted_at": redacted["redacted_at"],
        "redacted_by": whole["created_by"],
    }
    assert redacted["redacted_at"] > whole["created_at"]
    assert seen["redacted again"] == seen["retrieved redacted"] == redacted
    bad_request(seen["current"], f"version is the current content of {seen['memory']['id']}; write a new version first")
    not_found(seen["unknown"], "memory version not found: memver_01")
