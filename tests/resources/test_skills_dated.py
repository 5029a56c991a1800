"""Skills as clients of the dated beta see them: titles, version numbers, and other rules for deleting."""

import io
import zipfile

import pytest

from tests.api import Api
from tests.conftest import START
from tests.resources.skills import DATED, NEVER, form, skill, upload, version
from tests.resources.test_run_errors import second_workspace
from tests.resources.zips import manifest

NOON = "2026-03-02T12:00:00Z"


def test_a_skill_has_a_title_and_a_version_number(api: Api) -> None:
    made = skill(api, dated=True, display_title="My own")
    assert made == {
        "type": "skill",
        "id": made["id"],
        "display_title": "My own",
        "latest_version": str(START),
        "source": "custom",
        "created_at": NOON,
        "updated_at": NOON,
    }
    path = f"/v1/skills/{made['id']}"
    assert api.get(path, headers=DATED).ok() == made
    listed = api.get(f"{path}/versions", headers=DATED).ok()
    assert (listed["has_more"], listed["next_page"]) == (False, None)
    [first] = listed["data"]
    assert first == {
        "type": "skill_version",
        "id": first["id"],
        "skill_id": made["id"],
        "version": str(START),
        "name": "my-skill",
        "description": "Does things.",
        "directory": "my-skill",
        "created_at": NOON,
    }
    assert first["id"].startswith("skill_version_01")
    assert api.get(f"{path}/versions/{START}", headers=DATED).ok() == first


def test_both_shapes_are_of_one_thing(api: Api) -> None:
    made = skill(api, display_name="My own")
    old = api.get(f"/v1/skills/{made['id']}", headers=DATED).ok()
    assert (old["display_title"], old["latest_version"]) == ("My own", str(START))
    [version_] = api.get(f"/v1/skills/{made['id']}/versions", headers=DATED).ok()["data"]
    assert version_["id"].removeprefix("skill_version_") == made["latest_version_id"].removeprefix("skver_")


def test_without_a_title_it_is_null(still_api: Api) -> None:
    made = skill(still_api, dated=True)
    assert made["display_title"] is None
    assert still_api.get(f"/v1/skills/{made['id']}").ok()["display_name"] == "my-skill"


def test_the_folder_is_shown_as_it_was_uploaded(still_api: Api) -> None:
    made = upload(still_api, ("My_Skill/SKILL.md", manifest()), dated=True).ok()
    [first] = still_api.get(f"/v1/skills/{made['id']}/versions", headers=DATED).ok()["data"]
    assert (first["name"], first["directory"]) == ("my-skill", "My_Skill")


def test_a_title_cannot_be_given_twice_as_long_as_it_is_there(api: Api) -> None:
    made = skill(api, dated=True, display_title="Taken")
    assert (
        upload(api, dated=True, display_title="Taken").refused(400)
        == "Skill cannot reuse an existing display_title: Taken"
    )
    skill(api, display_name="Taken")  # today's clients may
    skill(api, dated=True)
    skill(api, dated=True)
    other = skill(api, display_name="Also taken")
    assert "Also taken" in upload(api, dated=True, display_title="Also taken").refused(400)
    api.delete(f"/v1/skills/{other['id']}").ok()
    upload(api, dated=True, display_title="Also taken").ok()
    assert made["display_title"] == "Taken"


def test_one_of_many_gets_a_title(api: Api) -> None:
    calls = [api.call("POST", "/v1/skills", form=form(display_title="Wanted"), headers=DATED) for _ in range(8)]
    answers = api.gather(calls)
    assert sorted(answer.status for answer in answers) == [200, *[400] * 7]


def test_a_title_is_taken_in_its_own_workspace_only(api: Api) -> None:
    made = skill(api, dated=True, display_title="Taken")
    _, key = second_workspace(api)
    sent = form(display_title="Taken")
    other = api.post("/v1/skills", form=sent, headers=DATED, key=key).ok()
    assert other["id"] != made["id"]
    assert "Taken" in api.post("/v1/skills", form=sent, headers=DATED, key=key).refused(400)


def test_version_numbers_tell_the_time(api: Api) -> None:
    made = skill(api, dated=True)
    api.clock.advance(seconds=1)
    added = version(api, made, dated=True)
    assert added["version"] == str(START + 1_000_000)
    assert api.get(f"/v1/skills/{made['id']}", headers=DATED).ok()["latest_version"] == added["version"]


@pytest.mark.parametrize(
    "slot", ["latest", f"skver_{NEVER}", f"skill_version_{NEVER}", "1.0", "-1", "x", "9" * 19, "١"]
)
def test_a_version_is_addressed_by_its_number(still_api: Api, slot: str) -> None:
    path = f"/v1/skills/skill_{NEVER}/versions/{slot}"
    calls = (
        still_api.get(path, headers=DATED),
        still_api.delete(path, headers=DATED),
        still_api.get(f"{path}/content", headers=DATED),
    )
    for response in calls:
        assert response.refused(400) == f"Invalid version format: {slot}"


def test_an_unknown_number_is_404(still_api: Api) -> None:
    made = skill(still_api, dated=True)
    path = f"/v1/skills/{made['id']}/versions/1"
    missing = f"Skill version not found: {made['id']} version 1"
    assert still_api.get(path, headers=DATED).refused(404, "not_found_error") == missing
    assert still_api.delete(path, headers=DATED).refused(404, "not_found_error") == missing
    assert (
        still_api.get(f"{path}/content", headers=DATED).refused(404, "not_found_error")
        == f"Skill not found: {made['id']}"
    )


def test_content_comes_by_number(api: Api) -> None:
    made = skill(api, dated=True)
    content = api.get(f"/v1/skills/{made['id']}/versions/{made['latest_version']}/content", headers=DATED)
    assert zipfile.ZipFile(io.BytesIO(content.raw)).namelist() == ["my-skill/SKILL.md"]


def test_a_skill_is_deleted_after_all_its_versions(api: Api) -> None:
    made = skill(api, dated=True)
    path = f"/v1/skills/{made['id']}"
    added = version(api, made, dated=True)
    left = "Cannot delete skill with existing versions. Delete all versions first."
    assert api.delete(path, headers=DATED).refused(400) == left
    for number in (added["version"], made["latest_version"]):
        gone = api.delete(f"{path}/versions/{number}", headers=DATED).ok()
        assert gone == {"id": number, "type": "skill_version_deleted"}
    assert api.get(path, headers=DATED).ok()["latest_version"] is None
    assert api.get(f"{path}/versions", headers=DATED).ok()["data"] == []
    assert api.delete(path, headers=DATED).ok() == {"id": made["id"], "type": "skill_deleted"}
    assert api.get(path, headers=DATED).refused(404, "not_found_error") == f"Skill not found: {made['id']}"


def test_a_skill_without_versions_can_have_one_again(api: Api) -> None:
    made = skill(api, dated=True)
    path = f"/v1/skills/{made['id']}"
    api.delete(f"{path}/versions/{made['latest_version']}", headers=DATED).ok()
    emptied = api.get(path).ok()
    assert emptied["latest_version_id"] == ""
    missing = f"Skill version not found: {made['id']} version latest"
    assert api.get(f"{path}/versions/latest").refused(404, "not_found_error") == missing
    added = version(api, made)
    assert api.get(path).ok()["latest_version_id"] == added["id"]
    api.delete(path).ok()


def test_pages_say_whether_there_is_more(sqlite_api: Api) -> None:
    made = [skill(sqlite_api, dated=True) for _ in range(3)]
    first = sqlite_api.get("/v1/skills", query={"limit": 2}, headers=DATED).ok()
    second = sqlite_api.get("/v1/skills", query={"limit": 2, "page": first["next_page"]}, headers=DATED).ok()
    assert [each["id"] for each in first["data"] + second["data"]] == [each["id"] for each in reversed(made)]
    assert (first["has_more"], second["has_more"], second["next_page"]) == (True, False, None)
    assert sqlite_api.get("/v1/skills", query={"source": "anthropic"}, headers=DATED).ok() == {
        "data": [],
        "has_more": False,
        "next_page": None,
    }


def test_the_name_of_today_is_passed_over_and_the_title_has_its_limit(still_api: Api) -> None:
    assert upload(still_api, dated=True, display_name="Ignored").ok()["display_title"] is None
    upload(still_api, dated=True, display_title="ü" * 255).ok()
    said = upload(still_api, dated=True, display_title="ü" * 256).refused(400)
    assert said == "display_title must be at most 255 characters long"


@pytest.mark.parametrize(
    ("beta", "dated"),
    [
        ("skills-2025-10-02", True),
        ("files-api-2025-04-14,skills-2025-10-02", True),
        ("skills-2025-10-02, code-execution-2025-08-25", True),
        ("managed-agents-2026-04-01", False),
        ("skills-2025-10-021", False),
        ("", False),
    ],
)
def test_the_header_chooses_the_shape(still_api: Api, beta: str, dated: bool) -> None:
    made = skill(still_api)
    assert (
        "latest_version" in still_api.get(f"/v1/skills/{made['id']}", headers={"anthropic-beta": beta}).ok()
    ) is dated
    asked = still_api.get(f"/v1/skills/{made['id']}", headers={"anthropic-beta": beta}, query={"beta": "true"}).ok()
    assert ("display_title" in asked) is dated
