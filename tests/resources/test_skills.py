"""Skills and their versions as clients of today see them."""

import io
import zipfile
from typing import Any

import pytest

from rota.base.clock import HandClock
from tests.api import Api
from tests.conftest import START
from tests.forms import Field
from tests.resources.skills import DATED, NEVER, form, skill, upload, version
from tests.resources.zips import manifest

NOON = "2026-03-02T12:00:00Z"
ALIAS = (
    "Address a specific version id: read the skill's latest_version_id, or GET /v1/skills/{skill_id}/versions/latest, "
    "and use that id."
)


@pytest.fixture(scope="module")
def made(still_api: Api) -> dict[str, Any]:
    """A skill that no test changes."""
    return skill(still_api, "still-skill")


def test_a_skill_and_its_first_version_are_made_together(api: Api) -> None:
    made = skill(api, display_name="My own")
    assert made == {
        "type": "skill",
        "id": made["id"],
        "display_name": "My own",
        "source": {"type": "custom"},
        "latest_version_id": made["latest_version_id"],
        "created_at": NOON,
        "updated_at": NOON,
    }
    assert made["id"].startswith("skill_01")
    assert made["latest_version_id"].startswith("skver_01")
    assert api.get(f"/v1/skills/{made['id']}").ok() == made
    [listed] = api.get(f"/v1/skills/{made['id']}/versions").ok()["data"]
    assert listed == {
        "type": "skill_version",
        "id": made["latest_version_id"],
        "skill_id": made["id"],
        "name": "my-skill",
        "description": "Does things.",
        "created_at": NOON,
    }
    assert api.get(f"/v1/skills/{made['id']}/versions/{listed['id']}").ok() == listed
    assert api.get(f"/v1/skills/{made['id']}/versions/latest").ok() == listed


def test_without_a_display_name_it_is_called_what_its_manifest_says(still_api: Api) -> None:
    assert skill(still_api, "plain-name")["display_name"] == "plain-name"


def test_two_skills_may_have_one_display_name_and_one_name(still_api: Api) -> None:
    first, second = (skill(still_api, display_name="Twin") for _ in range(2))
    assert first["id"] != second["id"]
    assert first["display_name"] == second["display_name"] == "Twin"


def test_a_new_version_becomes_the_latest(api: Api) -> None:
    made = skill(api)
    api.clock.advance(seconds=60)
    added = version(api, made)
    assert added["created_at"] == "2026-03-02T12:01:00Z"
    now = api.get(f"/v1/skills/{made['id']}").ok()
    assert now == {**made, "latest_version_id": added["id"], "updated_at": "2026-03-02T12:01:00Z"}
    assert api.get(f"/v1/skills/{made['id']}/versions/latest").ok() == added
    assert [each["id"] for each in api.get(f"/v1/skills/{made['id']}/versions").ok()["data"]] == [
        added["id"],
        made["latest_version_id"],
    ]


def test_versions_of_one_instant_have_an_order(api: Api) -> None:
    made = skill(api)
    added = [version(api, made) for _ in range(3)]
    assert [each["created_at"] for each in added] == [f"2026-03-02T12:00:00.00000{n}Z" for n in (1, 2, 3)]
    listed = api.get(f"/v1/skills/{made['id']}/versions").ok()["data"]
    assert [each["id"] for each in listed] == [*(each["id"] for each in reversed(added)), made["latest_version_id"]]


def test_a_version_keeps_the_skills_name(still_api: Api, made: dict[str, Any]) -> None:
    said = upload(still_api, ("other/SKILL.md", manifest("other")), to=f"/v1/skills/{made['id']}/versions").refused(400)
    assert said == (
        "Skill name 'other' in SKILL.md must be consistent across all versions for a given `skill_id`. "
        "Expected 'still-skill'."
    )


def test_the_content_is_a_zip_to_be_saved(api: Api) -> None:
    made = skill(api, "my-skill", ("my-skill/a/b.txt", b"hello"))
    content = api.get(f"/v1/skills/{made['id']}/versions/{made['latest_version_id']}/content")
    assert content.status == 200
    assert content.headers["content-type"] == "application/zip"
    assert content.headers["content-disposition"] == "attachment; filename*=utf-8''my-skill.zip"
    assert content.headers["content-length"] == str(len(content.raw))
    with zipfile.ZipFile(io.BytesIO(content.raw)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "my-skill/SKILL.md": manifest(),
            "my-skill/a/b.txt": b"hello",
        }


def test_each_version_keeps_its_own_content(api: Api) -> None:
    made = skill(api)
    added = version(api, made, b"second")
    sizes = []
    for each in (made["latest_version_id"], added["id"]):
        raw = api.get(f"/v1/skills/{made['id']}/versions/{each}/content").raw
        sizes.append(len(zipfile.ZipFile(io.BytesIO(raw)).namelist()))
    assert sizes == [1, 2]


def test_a_deleted_version_is_gone_and_the_one_before_is_the_latest_again(api: Api) -> None:
    made = skill(api)
    second, third = version(api, made), version(api, made)
    path = f"/v1/skills/{made['id']}"
    api.clock.advance(seconds=60)
    assert api.delete(f"{path}/versions/{third['id']}").ok() == {"id": third["id"], "type": "skill_version_deleted"}
    now = api.get(path).ok()
    assert (now["latest_version_id"], now["updated_at"]) == (second["id"], "2026-03-02T12:01:00Z")
    for call in (api.get, api.delete):
        said = call(f"{path}/versions/{third['id']}").refused(404, "not_found_error")
        assert said == f"Skill version not found: {made['id']} version {third['id']}"
    api.delete(f"{path}/versions/{made['latest_version_id']}").ok()
    assert api.get(path).ok()["latest_version_id"] == second["id"]


def test_the_only_version_cannot_be_deleted(api: Api) -> None:
    made = skill(api)
    path = f"/v1/skills/{made['id']}/versions/{made['latest_version_id']}"
    response = api.delete(path)
    assert response.refused(400) == (
        "cannot delete a Skill's only version. Delete the Skill, or create another version first"
    )
    assert response.headers["x-should-retry"] == "false"
    api.get(path).ok()
    added = version(api, made)
    api.delete(path).ok()
    assert "only version" in api.delete(f"/v1/skills/{made['id']}/versions/{added['id']}").refused(400)


def test_a_deleted_skill_takes_its_versions_and_archives_with_it(api: Api) -> None:
    made = skill(api)
    version(api, made)
    assert len(blobs(api)) == 2
    assert api.delete(f"/v1/skills/{made['id']}").ok() == {"id": made["id"], "type": "skill_deleted"}
    for path in ("", "/versions", "/versions/latest", f"/versions/{made['latest_version_id']}",
                 f"/versions/{made['latest_version_id']}/content"):  # fmt: skip
        assert (
            api.get(f"/v1/skills/{made['id']}{path}").refused(404, "not_found_error")
            == f"Skill not found: {made['id']}"
        )
    assert api.delete(f"/v1/skills/{made['id']}").refused(404, "not_found_error") == f"Skill not found: {made['id']}"
    assert blobs(api) == []


def test_a_refused_upload_leaves_no_archive(api: Api) -> None:
    made = skill(api)
    before = blobs(api)
    upload(api, ("other/SKILL.md", manifest("other")), to=f"/v1/skills/{made['id']}/versions").refused(400)
    upload(api, ("my-skill/SKILL.md", b"nothing")).refused(400)
    assert blobs(api) == before


def blobs(api: Api) -> list[str]:
    """All archives that are kept, whether or not a row names them."""

    async def collect() -> list[str]:
        return [each async for each in api.house.blobs.orphans("skills", older_than=START * 2)]

    return api.run(collect())


@pytest.mark.parametrize(
    "path", ["", "/versions", "/versions/latest", f"/versions/skver_{NEVER}", f"/versions/skver_{NEVER}/content"]
)
@pytest.mark.parametrize("skill_id", [f"skill_{NEVER}", "skill_x", "xlsx", "agent_x", ".."])
def test_an_unknown_skill_is_404(still_api: Api, skill_id: str, path: str) -> None:
    response = still_api.get(f"/v1/skills/{skill_id}{path}")
    assert response.refused(404, "not_found_error") == f"Skill not found: {skill_id}"
    assert response.headers["x-should-retry"] == "false"


def test_an_unknown_version_is_404_and_its_content_in_other_words(still_api: Api, made: dict[str, Any]) -> None:
    path = f"/v1/skills/{made['id']}/versions/skver_{NEVER}"
    missing = f"Skill version not found: {made['id']} version skver_{NEVER}"
    assert still_api.get(path).refused(404, "not_found_error") == missing
    assert still_api.delete(path).refused(404, "not_found_error") == missing
    assert still_api.get(f"{path}/content").refused(404, "not_found_error") == f"Skill not found: {made['id']}"


def test_a_version_of_another_skill_is_404(still_api: Api, made: dict[str, Any]) -> None:
    other = skill(still_api)
    path = f"/v1/skills/{made['id']}/versions/{other['latest_version_id']}"
    missing = f"Skill version not found: {made['id']} version {other['latest_version_id']}"
    assert still_api.get(path).refused(404, "not_found_error") == missing
    assert still_api.delete(path).refused(404, "not_found_error") == missing
    assert still_api.get(f"{path}/content").refused(404, "not_found_error") == f"Skill not found: {made['id']}"


@pytest.mark.parametrize("slot", ["1759178010641129", "1", "0", "9" * 40])
def test_a_version_is_not_addressed_by_its_number(still_api: Api, made: dict[str, Any], slot: str) -> None:
    path = f"/v1/skills/{made['id']}/versions/{slot}"
    for response in (still_api.get(path), still_api.delete(path), still_api.get(f"{path}/content")):
        assert response.refused(400) == f"Invalid version id: '{slot}'"


@pytest.mark.parametrize("slot", ["x", "skillver_01", "skill_version_01", "LATEST", "1.0"])
def test_what_is_no_version_id_is_not_there(still_api: Api, made: dict[str, Any], slot: str) -> None:
    said = still_api.get(f"/v1/skills/{made['id']}/versions/{slot}").refused(404, "not_found_error")
    assert said == f"Skill version not found: {made['id']} version {slot}"


def test_latest_is_for_reading_only(still_api: Api, made: dict[str, Any]) -> None:
    path = f"/v1/skills/{made['id']}/versions/latest"
    assert still_api.delete(path).refused(400) == f"'latest' is not accepted when deleting a skill version. {ALIAS}"
    said = still_api.get(f"{path}/content").refused(400)
    assert said == f"'latest' is not accepted when downloading a skill version. {ALIAS}"


@pytest.mark.parametrize("name", ["docx", "pdf", "pptx", "xlsx"])
def test_a_prebuilt_skill_takes_no_versions(still_api: Api, name: str) -> None:
    assert upload(still_api, to=f"/v1/skills/{name}/versions").refused(400) == f"Invalid skill_id format: {name}"
    assert still_api.delete(f"/v1/skills/{name}").refused(404, "not_found_error") == f"Skill not found: {name}"


def test_a_version_of_an_unknown_skill_is_refused_before_the_form_is_read(still_api: Api) -> None:
    response = still_api.post(
        f"/v1/skills/skill_{NEVER}/versions",
        raw=b"no form",
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert response.refused(404, "not_found_error") == f"Skill not found: skill_{NEVER}"


def test_lists_are_walked_page_by_page_newest_first(api: Api) -> None:
    made = [skill(api, f"skill-{n}") for n in range(5)]
    ids = [each["id"] for each in reversed(made)]
    seen, page = list[str](), None
    while True:
        body = api.get("/v1/skills", query={"limit": 2, **({"page": page} if page else {})}).ok()
        assert set(body) == {"data", "next_page"}
        seen += [each["id"] for each in body["data"]]
        page = body["next_page"]
        if page is None:
            break
    assert seen == ids
    of = made[0]["id"]
    for n in range(3):
        upload(
            api, ("skill-0/SKILL.md", manifest("skill-0")), ("skill-0/a", bytes([n])), to=f"/v1/skills/{of}/versions"
        ).ok()
    first = api.get(f"/v1/skills/{of}/versions", query={"limit": 3}).ok()
    second = api.get(f"/v1/skills/{of}/versions", query={"limit": 3, "page": first["next_page"]}).ok()
    assert [len(first["data"]), len(second["data"]), second["next_page"]] == [3, 1, None]


def test_the_source_filter_knows_two(sqlite_api: Api) -> None:
    made = skill(sqlite_api)
    assert sqlite_api.get("/v1/skills", query={"source": "custom"}).ok()["data"] == [made]
    assert sqlite_api.get("/v1/skills", query={"source": "anthropic"}).ok() == {"data": [], "next_page": None}
    said = sqlite_api.get("/v1/skills", query={"source": "plugin"}).refused(400)
    assert said == "source must be one of custom, anthropic"


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "1.5", "", "null"])
def test_a_limit_is_between_1_and_1000(still_api: Api, made: dict[str, Any], limit: str) -> None:
    for path in ("/v1/skills", f"/v1/skills/{made['id']}/versions"):
        response = still_api.get(path, query={"limit": limit})
        assert response.refused(400) == "limit must be between 1 and 1000"
        assert response.headers["x-should-retry"] == "false"
        still_api.get(path, query={"limit": 1000}).ok()


def test_a_page_that_is_none(still_api: Api, made: dict[str, Any]) -> None:
    skill(still_api)
    assert still_api.get("/v1/skills", query={"page": "page_x"}).refused(400) == "page is not a valid page token."
    of_skills = still_api.get("/v1/skills", query={"limit": 1}).ok()["next_page"]
    said = still_api.get("/v1/skills", query={"page": of_skills, "source": "custom"}).refused(400)
    assert said == "page is not a valid page token."
    versions = f"/v1/skills/{made['id']}/versions"
    assert still_api.get(versions, query={"page": of_skills}).refused(400) == "invalid page cursor"


def test_an_upload_with_an_idempotency_key_is_done_once(api: Api) -> None:
    sent = form()
    first = api.post("/v1/skills", form=sent, headers={"idempotency-key": "once"}).ok()
    again = api.post("/v1/skills", form=sent, headers={"idempotency-key": "once"})
    assert again.ok() == first
    assert again.headers["idempotent-replayed"] == "true"
    assert len(api.get("/v1/skills").ok()["data"]) == 1
    other = api.post(
        "/v1/skills",
        form=form(("my-skill/SKILL.md", manifest(description="Other."))),
        headers={"idempotency-key": "once"},
    )
    assert "Idempotency-Key" in other.refused(400)


def test_a_number_is_never_given_twice_although_the_clock_goes_back(api: Api) -> None:
    made = skill(api)
    numbers = set[str]()
    clock: HandClock = api.clock
    for back in range(4):
        clock.set(START - back * 1_000_000)
        added = version(api, made, dated=True)
        assert added["version"] not in numbers
        numbers.add(added["version"])
        api.delete(f"/v1/skills/{made['id']}/versions/{added['version']}", headers=DATED).ok()
    assert len(numbers) == 4


def test_fields_that_are_not_known_are_passed_over(still_api: Api) -> None:
    made = upload(still_api, display_title="Ignored", description="Ignored", xyzzy="Ignored").ok()
    assert made["display_name"] == "my-skill"
    sent = [
        *form(("still-skill/SKILL.md", manifest("still-skill"))),
        Field("display_name", b"ignored on this form" * 99),
    ]
    of = skill(still_api, "still-skill")
    still_api.post(f"/v1/skills/{of['id']}/versions", form=sent).ok()


def test_versions_that_come_at_once_are_all_kept_in_an_order(api: Api) -> None:
    made = skill(api)
    path = f"/v1/skills/{made['id']}"
    answers = api.gather([api.call("POST", f"{path}/versions", form=form()) for _ in range(12)])
    added = {answer.ok()["id"] for answer in answers}
    listed = api.get(f"{path}/versions").ok()["data"]
    assert {each["id"] for each in listed} == added | {made["latest_version_id"]}
    assert len({each["created_at"] for each in listed}) == 13
    assert api.get(path).ok()["latest_version_id"] == listed[0]["id"]


def test_the_last_version_survives_whoever_deletes_at_once(api: Api) -> None:
    made = skill(api)
    path = f"/v1/skills/{made['id']}"
    versions = [made["latest_version_id"], *(version(api, made)["id"] for _ in range(3))]
    answers = api.gather([api.call("DELETE", f"{path}/versions/{each}") for each in versions])
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 400]
    [left] = api.get(f"{path}/versions").ok()["data"]
    assert api.get(path).ok()["latest_version_id"] == left["id"]
    assert len(blobs(api)) == 1


def test_a_skill_that_is_deleted_meanwhile_takes_everything_with_it(api: Api) -> None:
    made = skill(api)
    path = f"/v1/skills/{made['id']}"
    calls = [api.call("POST", f"{path}/versions", form=form()) for _ in range(6)]
    answers = api.gather([*calls[:3], api.call("DELETE", path), *calls[3:]])
    assert answers[3].status == 200
    assert {answer.status for answer in answers} <= {200, 404}
    api.get(path).refused(404, "not_found_error")
    assert blobs(api) == []
