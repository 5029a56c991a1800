"""How a skill comes in over HTTP: the parts of the form, what is refused of it, and that nobody waits for a large one."""

import asyncio
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rota.base.errors import DiskFull
from rota.resources.skills import bundle, uploads
from tests.api import KEY, Api
from tests.forms import Field, file
from tests.resources.archives import GOOD, standard
from tests.resources.skills import form, skill, upload
from tests.resources.test_run_errors import second_workspace
from tests.resources.test_workspaces import WORKSPACES, admin
from tests.resources.zips import Item, manifest
from tests.resources.zips import skill as archive_of

MAIN = ("my-skill/SKILL.md", manifest())
LARGE = 30 * 1024 * 1024
ONE_LINE = "display_name must be one line of text, and not be empty"


def names(api: Api, made: dict[str, Any]) -> list[str]:
    """The files in a skill's archive."""
    raw = api.get(f"/v1/skills/{made['id']}/versions/{made['latest_version_id']}/content").raw
    return zipfile.ZipFile(io.BytesIO(raw)).namelist()


def test_several_files_of_one_folder_are_a_skill(still_api: Api) -> None:
    made = upload(still_api, MAIN, ("my-skill/b.py", b"b"), ("my-skill/a/c.py", b"c")).ok()
    assert names(still_api, made) == ["my-skill/SKILL.md", "my-skill/a/c.py", "my-skill/b.py"]


@pytest.mark.parametrize("filename", ["my-skill.zip", "anything.skill", "UPPER.ZIP"])
def test_one_archive_is_a_skill(still_api: Api, filename: str) -> None:
    made = upload(still_api, (filename, GOOD)).ok()
    assert names(still_api, made) == ["my-skill/SKILL.md", "my-skill/scripts/run.py"]


def test_the_parts_may_be_called_files_without_brackets(still_api: Api) -> None:
    made = still_api.post("/v1/skills", form=[file(MAIN[1], MAIN[0], name="files")]).ok()
    assert names(still_api, made) == ["my-skill/SKILL.md"]


@pytest.mark.parametrize(
    "fields",
    [[], [Field("display_name", b"x")], [file(MAIN[1], MAIN[0], name="file")], [Field("nope", b"x")]],
    ids=["nothing", "only a name", "another part", "another field"],
)
def test_a_form_without_files(still_api: Api, fields: list[Field]) -> None:
    response = still_api.post("/v1/skills", form=fields)
    assert response.refused(400) == "files[]: Field required"
    assert response.headers["x-should-retry"] == "false"


def test_a_file_without_a_file_name(still_api: Api) -> None:
    said = still_api.post("/v1/skills", form=[Field("files[]", MAIN[1])]).refused(400)
    assert said == "files[]: each file needs a file name, such as my-skill/SKILL.md"


def test_a_body_that_is_no_form(still_api: Api) -> None:
    assert "multipart/form-data" in still_api.post("/v1/skills", {"display_name": "x"}).refused(400)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([("SKILL.md", manifest())], "SKILL.md file must be exactly in the top-level folder."),
        ([("my-skill/a.md", b"x")], "SKILL.md file must be exactly in the top-level folder."),
        ([("my-skill/docs/SKILL.md", manifest())], "SKILL.md file must be exactly in the top-level folder."),
        (
            [("skills/SKILL.md", manifest())],
            "The folder name 'skills' must match the skill name 'my-skill' in SKILL.md.",
        ),
        ([MAIN, ("other/a.md", b"x")], 'All files must be inside the top-level folder; found "my-skill" and "other"'),
        ([MAIN, ("a.md", b"x")], 'All files must be inside the top-level folder; "a.md" is not'),
        ([MAIN, ("my-skill/../a.md", b"x")], 'files[]: the path "my-skill/../a.md" has ".." in it'),
        ([MAIN, ("/my-skill/a.md", b"x")], "is absolute"),
        ([MAIN, ("my-skill\\\\a.md", b"x")], "has a backslash in it"),
        ([MAIN, ("", b"x")], "has an empty name in it"),
        ([MAIN, MAIN], 'files[]: "my-skill/SKILL.md" is there twice; send each file once'),
        ([MAIN, ("my-skill/A", b"x"), ("my-skill/a", b"x")], "are one and the same on some systems"),
        ([("my-skill/SKILL.md", b"# No front matter")], "SKILL.md must start with YAML frontmatter (---)"),
        ([("my-skill/SKILL.md", manifest(description="<b>"))], "SKILL.md description cannot contain XML tags"),
        ([("a.zip", b"PK\x03\x04 and no more")], "files[]: the archive cannot be read"),
        ([("a.zip", archive_of(Item("my-skill/../../x", b"x")))], 'has ".." in it'),
    ],
    ids=range(16),
)
def test_what_is_no_skill_is_refused(still_api: Api, files: list[tuple[str, bytes]], said: str) -> None:
    assert said in upload(still_api, *files).refused(400)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("n" * 256, "display_name must be at most 255 characters long"),
        ("名" * 256, "display_name must be at most 255 characters long"),
        ("", ONE_LINE),
        ("  ", ONE_LINE),
        ("a\nb", ONE_LINE),
        ("a\x1bb", ONE_LINE),
        ("a\u2028b", ONE_LINE),
        ("a\0b", "display_name: holds U+0000, which cannot be stored"),
    ],
    ids=range(8),
)
def test_a_name_that_is_none(still_api: Api, name: str, said: str) -> None:
    assert upload(still_api, display_name=name).refused(400) == said


def test_a_name_is_given_once(still_api: Api) -> None:
    sent = [*form(MAIN), Field("display_name", b"One"), Field("display_name", b"Other")]
    assert still_api.post("/v1/skills", form=sent).refused(400) == "display_name: must be there only once"


@pytest.mark.parametrize("name", ["n" * 255, "名" * 255, "Grüße 👋", '"quoted"', "<b>"])
def test_a_name_comes_back_as_it_was_sent(still_api: Api, name: str) -> None:
    assert upload(still_api, display_name=name).ok()["display_name"] == name


def test_files_that_are_together_too_large(still_api: Api) -> None:
    noise = os.urandom(LARGE // 2)
    response = upload(still_api, MAIN, ("my-skill/a.bin", noise), ("my-skill/b.bin", noise))
    assert response.refused(413, "request_too_large") == "The skill's files are together larger than 30 MB."
    assert upload(still_api, ("a.zip", standard(("my-skill/a", noise), method=0) * 3)).refused(413, "request_too_large")


def test_files_of_almost_30_mb_are_a_skill(still_api: Api) -> None:
    noise = os.urandom(LARGE - 1000)
    made = upload(still_api, MAIN, ("my-skill/a.bin", noise)).ok()
    raw = still_api.get(f"/v1/skills/{made['id']}/versions/{made['latest_version_id']}/content").raw
    assert zipfile.ZipFile(io.BytesIO(raw)).read("my-skill/a.bin") == noise


def test_others_are_served_while_an_upload_is_unpacked(still_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def both() -> None:
        loop = asyncio.get_running_loop()

        def slow(*args: Any) -> Any:
            loop.call_soon_threadsafe(began.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            return bundle.pack(*args)

        monkeypatch.setattr(uploads, "pack", slow)
        uploading = asyncio.ensure_future(still_api.call("POST", "/v1/skills", form=form(MAIN)))
        await began.wait()
        (await still_api.call("GET", "/v1/skills")).ok()
        assert not uploading.done()
        go_on.set()
        (await uploading).ok()

    still_api.run(both())


def test_an_upload_leaves_nothing_in_the_temporary_folder(
    still_api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    upload(still_api, MAIN).ok()
    upload(still_api, MAIN, MAIN).refused(400)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_to_be_one(still_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads, "pack", full)
    assert upload(still_api, MAIN).refused(503, "overloaded_error") == DiskFull.sentence


def test_a_server_without_a_temporary_folder_says_that_it_cannot(
    still_api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    upload(still_api, MAIN).refused(503, "overloaded_error")


def test_an_archived_workspace_takes_no_uploads(sqlite_api: Api) -> None:
    workspace_id, key = second_workspace(sqlite_api)
    made = sqlite_api.post("/v1/skills", form=form(MAIN), key=key).ok()
    sqlite_api.post(f"{WORKSPACES}/{workspace_id}/archive", key=admin(sqlite_api)).ok()
    said = sqlite_api.post("/v1/skills", form=form(MAIN), key=key).refused(400)
    assert said == "The workspace is archived; only reading is possible."
    assert sqlite_api.get(f"/v1/skills/{made['id']}", key=key).ok() == made


def test_another_workspaces_skill_is_not_there(api: Api) -> None:
    made = skill(api)
    _, other = second_workspace(api)
    path, version = f"/v1/skills/{made['id']}", f"/v1/skills/{made['id']}/versions/{made['latest_version_id']}"
    missing = f"Skill not found: {made['id']}"
    for each in (path, f"{path}/versions", version, f"{version}/content", f"{path}/versions/latest"):
        assert api.get(each, key=other).refused(404, "not_found_error") == missing
    for each in (path, version):
        assert api.delete(each, key=other).refused(404, "not_found_error") == missing
    assert api.post(f"{path}/versions", form=form(MAIN), key=other).refused(404, "not_found_error") == missing
    assert api.get("/v1/skills", key=other).ok()["data"] == []
    assert api.get(path, key=KEY).ok() == made
