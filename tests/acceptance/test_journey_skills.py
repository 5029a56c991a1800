"""What users of the official client get of skills: the shape that their version knows, and the worker's own download."""

from typing import Any

from tests.acceptance.conftest import Story
from tests.acceptance.test_journey import bad_request, not_found

TOP = "SKILL.md file must be exactly in the top-level folder."


def of(story: Story) -> dict[str, Any]:
    """What was seen of skills."""
    return story.seen["skills"]


def is_dated(story: Story) -> bool:
    """Whether this version of the client sends the dated beta."""
    return story.version == "0.121.0"


def test_each_generation_gets_its_own_shape(story: Story) -> None:
    seen = of(story)
    made, first = seen["made"], seen["first"]
    assert seen["retrieved"] == made
    name = f"letters-{story.style}"
    assert (first["skill_id"], first["name"], first["description"]) == (made["id"], name, "Writes letters.")
    if is_dated(story):
        assert set(made) == {"type", "id", "display_title", "latest_version", "source", "created_at", "updated_at"}
        assert (made["display_title"], made["source"]) == (f"{story.style} letters", "custom")
        assert (made["latest_version"], first["directory"]) == (first["version"], name)
        assert first["version"].isdigit()
        assert first["id"].startswith("skill_version_")
        assert seen["unnamed"]["display_title"] is None
    else:
        assert set(made) == {"type", "id", "display_name", "latest_version_id", "source", "created_at", "updated_at"}
        assert (made["display_name"], made["source"]) == (f"{story.style} letters", {"type": "custom"})
        assert made["latest_version_id"] == first["id"]
        assert set(first) == {"type", "id", "skill_id", "name", "description", "created_at"}
        assert first["id"].startswith("skver_")
        assert seen["unnamed"]["display_name"] == "stamps"


def test_the_beta_header_is_what_tells_them_apart(story: Story) -> None:
    asked = [request for request in story.requests if request["path"].startswith("/v1/skills")]
    assert len(asked) > 20
    assert {request["beta"] for request in asked} == {"skills-2025-10-02" if is_dated(story) else None}


def test_versions_are_listed_newest_first_and_the_newest_is_the_latest(story: Story) -> None:
    seen = of(story)
    first, second = seen["first"], seen["second"]
    assert seen["versions"] == [second["id"], first["id"]]
    assert second["description"] == "Writes more."
    assert seen["version"] == first
    latest = "latest_version" if is_dated(story) else "latest_version_id"
    assert seen["moved on"][latest] == second["version" if is_dated(story) else "id"]
    assert seen["moved on"]["updated_at"] == second["created_at"] > first["created_at"]
    if not is_dated(story):
        assert seen["latest"] == second
        bad_request(seen["latest deleted"], "'latest' is not accepted when deleting a skill version.")
        bad_request(seen["by number"], "Invalid version id: '1759178010641129'")


def test_skills_are_listed_newest_first(story: Story) -> None:
    seen = of(story)
    assert seen["listed"][:2] == [seen["unnamed"]["id"], seen["made"]["id"]]
    assert seen["custom"] == seen["listed"]
    assert seen["prebuilt"] == []


def test_the_content_has_one_folder_with_the_skills_name(story: Story) -> None:
    name = f"letters-{story.style}"
    assert of(story)["content"] == {f"{name}/SKILL.md": "0o100644", f"{name}/scripts/run.sh": "0o100755"}


def test_an_agent_names_a_version_and_the_session_shows_it(story: Story) -> None:
    seen = of(story)["worker"]
    assert seen["agent"] == seen["session"] == seen["asked"]
    bad_request(seen["missing"], f"`skill_id` `{of(story)['made']['id']}` version `7` not found")


def test_the_workers_own_helper_unpacks_what_a_session_names(story: Story) -> None:
    if story.style == "sync":
        return  # the helper is async
    seen, folder = of(story)["worker"], f"skills/letters-{story.style}"
    assert seen["pinned"] == {f"{folder}/SKILL.md": "0o644", f"{folder}/forms/a.md": "0o644"}
    assert seen["newest"] == {f"{folder}/SKILL.md": "0o644", f"{folder}/scripts/run.sh": "0o755"}


def test_what_is_no_skill_is_refused_in_the_clients_own_exceptions(story: Story) -> None:
    seen = of(story)
    field = "display_title" if is_dated(story) else "display_name"
    bad_request(seen["too long"], f"{field} must be at most 255 characters long")
    bad_request(seen["no folder"], TOP)
    bad_request(seen["way out"], 'has ".." in it')
    bad_request(seen["other name"], "must be consistent across all versions")
    bad_request(seen["prebuilt version"], "Invalid skill_id format: xlsx")
    not_found(seen["unknown"], "Skill not found: skill_")
    if is_dated(story):
        bad_request(seen["named twice"], f"Skill cannot reuse an existing display_title: {story.style} letters")


def test_skills_are_deleted_as_each_generation_expects(story: Story) -> None:
    seen = of(story)
    first = seen["first"]["version" if is_dated(story) else "id"]
    assert seen["version deleted"] == {"id": first, "type": "skill_version_deleted"}
    not_found(seen["deleted twice"], f"version {first}")
    if is_dated(story):
        bad_request(seen["with versions"], "Cannot delete skill with existing versions. Delete all versions first.")
    else:
        bad_request(seen["only version"], "cannot delete a Skill's only version.")
    assert seen["deleted"] == {"id": seen["unnamed"]["id"], "type": "skill_deleted"}
    not_found(seen["retrieved deleted"], "Skill not found")
