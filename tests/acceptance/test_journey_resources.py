"""What users of the official client get when sessions are given files, memory stores, repositories and vaults."""

from typing import Any

from tests.acceptance.conftest import Story
from tests.acceptance.test_journey import bad_request, not_found


def of(story: Story) -> dict[str, Any]:
    """What was seen of resources."""
    return story.seen["resources"]


def test_a_session_shows_what_it_was_given(story: Story) -> None:
    seen = of(story)
    session = seen["session"]
    first, notes, repository, twin, second = session["resources"]
    assert session["vault_ids"] == [seen["vault"]]
    assert seen["table"] not in (first["file_id"], second["file_id"])
    assert first["file_id"] != second["file_id"]
    assert first["mount_path"] == f"/mnt/session/uploads/{seen['table']}"
    assert second["mount_path"] == "/mnt/session/uploads/again.csv"
    assert notes == {
        "type": "memory_store",
        "memory_store_id": seen["notes"],
        "name": f"{story.style} Desk notes",
        "description": "Of the day.",
        "access": "read_only",
        "instructions": "Read first.",
        "mount_path": f"/mnt/memory/{story.style}-desk-notes",
    }
    assert (twin["mount_path"], twin["access"]) == (f"/mnt/memory/{story.style}-desk-notes-2", "read_write")
    assert "instructions" not in twin
    assert repository["mount_path"] == "/workspace/archive"
    assert "ghp-secret" not in str(seen)
    assert seen["listed"] == session["resources"]


def test_resources_are_rotated_added_and_removed(story: Story) -> None:
    seen = of(story)
    repository = seen["session"]["resources"][2]
    assert seen["retrieved"] == repository
    assert seen["rotated"] == repository | {"updated_at": seen["rotated"]["updated_at"]}
    assert seen["rotated"]["updated_at"] > repository["updated_at"]
    added = seen["added"]
    assert (added["type"], added["mount_path"]) == ("file", "/mnt/session/uploads/late.csv")
    mounted = {each["file_id"] for each in seen["session"]["resources"] if each["type"] == "file"}
    assert set(seen["copies"]) == mounted | {added["file_id"]}
    assert seen["removed"] == {"id": added["id"], "type": "session_resource_deleted"}
    assert set(seen["copies after"]) == mounted
    assert seen["copies at the end"] == []


def test_refusals_are_the_clients_own_exceptions(story: Story) -> None:
    seen = of(story)
    not_found(seen["removed again"], f"Resource not found: {seen['added']['id']}")
    not_found(seen["unknown file"], "One or more files not found.")
    bad_request(seen["repository removed"], "cannot be removed")
    bad_request(seen["taken place"], "`mount_path` overlaps another resource")
    bad_request(seen["store added"], 'Failed to parse request: type: "memory_store" is not a valid value')


def test_a_run_gives_its_session_the_same_anew(story: Story) -> None:
    seen = of(story)
    ran, made = seen["of the run"], seen["session"]
    assert seen["run"] is None
    assert [each["mount_path"] for each in ran["resources"]] == [each["mount_path"] for each in made["resources"]]
    assert ran["vault_ids"] == [seen["vault"]]
    ids = [each["file_id"] for session in (ran, made) for each in session["resources"] if each["type"] == "file"]
    assert len(set(ids)) == 4
    assert [set(each) for each in seen["deployment"]] == [
        {"type", "file_id"},
        {"type", "memory_store_id", "access", "instructions"},
        {"type", "url", "checkout"},
        {"type", "memory_store_id"},
        {"type", "file_id", "mount_path"},
    ]
    assert ran["id"] in seen["by store"] or seen["by store"] == [made["id"]]


def test_what_goes_is_recorded_by_kind_and_leaves_sessions_alone(story: Story) -> None:
    seen = of(story)
    for name, kind, words in (
        ("archived vault", "vault_archived_error", seen["vault"]),
        ("deleted vault", "vault_not_found_error", seen["vault"]),
        ("deleted store", "session_resource_not_found_error", "a referenced resource was not found"),
        ("archived store", "memory_store_archived_error", "a referenced memory store is archived"),
        ("deleted file", "file_not_found_error", seen["table"]),
    ):
        run = seen[name]
        assert (run["session_id"], run["error"]["type"]) == (None, kind)
        assert words in run["error"]["message"]
    assert seen["unchanged"]["resources"][3] == seen["session"]["resources"][3], "a deleted store stays shown"
    assert len(seen["unchanged"]["resources"]) == 5
