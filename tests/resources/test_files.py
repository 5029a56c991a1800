"""Files (contract, files): in by a form, listed in two shapes, out only if an agent wrote them."""

from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.resources.files import actions, uploads, wire
from rota.resources.files.wire import DATED, MAX_NAME, name_of, type_of
from rota.resources.workspaces import keys
from rota.store.tx import Query
from tests.api import Api
from tests.files import output, upload
from tests.forms import Field, file

OLD = {"anthropic-beta": f"something-else,{DATED}"}


def blobs_of(api: Api) -> list[Any]:
    """Where bytes lie that some file has."""
    return api.read(lambda tx: tx.all(Query("Every location.", "SELECT location FROM file_blobs")))


def session_with(api: Api, *file_ids: str) -> str:
    """A session in which files are mounted."""
    body = {
        "agent": api.agent(tools=[{"type": "agent_toolset_20260401"}])["id"],
        "environment_id": api.environment()["id"],
        "resources": [{"type": "file", "file_id": each} for each in file_ids],
    }
    return api.post("/v1/sessions", body).ok()["id"]


# Upload and metadata


def test_an_upload_answers_with_what_is_known_of_it(api: Api) -> None:
    made = api.post("/v1/files", form=[file(b"a,b\n1,2\n", "table.csv", "text/csv")]).ok()
    assert made == {
        "type": "file",
        "id": made["id"],
        "filename": "table.csv",
        "mime_type": "text/csv",
        "size_bytes": 8,
        "created_at": "2026-03-02T12:00:00Z",
        "downloadable": False,
        "expires_at": None,
    }
    assert made["id"].startswith("file_01")
    assert api.get(f"/v1/files/{made['id']}").ok() == made


def test_an_upload_may_be_empty(sqlite_api: Api) -> None:
    assert upload(sqlite_api, b"")["size_bytes"] == 0


def test_a_deleted_file_is_gone(api: Api) -> None:
    made = upload(api)
    assert api.delete(f"/v1/files/{made['id']}").ok() == {"type": "file_deleted", "id": made["id"]}
    for method in (api.get, api.delete):
        assert method(f"/v1/files/{made['id']}").refused(404, "not_found_error") == f"File not found: {made['id']}"
    assert api.get("/v1/files").ok()["data"] == []


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ([], "file: Field required"),
        ([Field("expires_in_seconds", b"3600")], "file: Field required"),
        ([file(b"x"), file(b"y")], "file: must be there only once"),
        ([file(b"x"), Field("colour", b"red")], "colour: Extra inputs are not permitted"),
        (
            [file(b"x"), Field("expires_in_seconds", b"3599")],
            "expires_in_seconds: must be greater than or equal to 3600",
        ),
        (
            [file(b"x"), Field("expires_in_seconds", b"7776001")],
            "expires_in_seconds: must be less than or equal to 7776000",
        ),
        (
            [file(b"x"), Field("expires_in_seconds", b"soon")],
            "expires_in_seconds: expected integer or null, got string",
        ),
        ([file(b"x"), *[Field("expires_in_seconds", b"3600")] * 2], "expires_in_seconds: must be there only once"),
        ([file(b"x", "a:b")], "file: the file name must not hold ':'"),
    ],
)
def test_a_form_that_does_not_fit_is_refused_and_leaves_nothing(still_api: Api, form: list[Field], said: str) -> None:
    assert still_api.post("/v1/files", form=form).refused(400).startswith(said)
    folder = Path(still_api.settings.data_dir) / "blobs" / "files"
    assert [each for each in folder.rglob("*.part") if each.is_file()] == []
    assert len([each for each in folder.rglob("*") if each.is_file()]) == len(blobs_of(still_api))


@pytest.mark.parametrize("where", ["before", "after"])
def test_fields_may_come_on_either_side_of_the_file(sqlite_api: Api, where: str) -> None:
    form = [file(b"x"), Field("expires_in_seconds", b"3600")]
    made = sqlite_api.post("/v1/files", form=form if where == "after" else form[::-1]).ok()
    assert made["expires_at"] == "2026-03-02T13:00:00Z"


def test_a_file_over_the_limit_is_413(sqlite_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_FILE", 1 << 20)
    response = sqlite_api.post("/v1/files", form=[file(b"x" * ((1 << 20) + 1))])
    assert response.refused(413, "request_too_large") == "The file is larger than 1 MB."
    assert upload(sqlite_api, b"x" * (1 << 20))["size_bytes"] == 1 << 20


def test_a_body_that_announces_more_than_a_file_may_have_is_413(sqlite_api: Api) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": str(502 << 20)}
    assert "501 MB" in sqlite_api.post("/v1/files", raw=b"", headers=headers).refused(413, "request_too_large")


def test_json_is_no_form(still_api: Api) -> None:
    assert still_api.post("/v1/files", {"file": "x"}).refused(400) == "content-type: must be multipart/form-data"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a.txt", "a.txt"), ("../../etc/passwd", "passwd"), ("C:\\Users\\me\\a.txt", "a.txt"), ("dir/", "unnamed.txt"),
        ("", "unnamed.txt"), (None, "unnamed.txt"), ("日本 (1).txt", "日本 (1).txt"), ("a" * MAX_NAME, "a" * MAX_NAME),
        (".hidden", ".hidden"), ("/", "unnamed.txt"), ("a'b", "a'b"),
    ],
)  # fmt: skip
def test_the_last_part_of_a_name_is_kept(sent: str | None, kept: str) -> None:
    assert name_of(sent, "text/plain") == kept


@pytest.mark.parametrize(
    "sent",
    ["a" * (MAX_NAME + 1), "..", ".", "x/..", "a\tb", "a\x7fb", "a\u2028b", "a\x85", *(f"a{c}b" for c in '<>:"|?*')],
)
def test_a_name_that_no_file_system_takes_is_refused(sent: str) -> None:
    with pytest.raises(wire.InvalidRequest, match=r"^file: "):
        name_of(sent, "text/plain")


@pytest.mark.parametrize(
    ("sent", "name", "kept"),
    [
        ("text/csv", "a.txt", "text/csv"), ("Text/CSV; charset=utf-8", None, "text/csv"), ("", "a.csv", "text/csv"),
        ("application/octet-stream", "a.pdf", "application/pdf"), ("application/octet-stream", "a", "application/octet-stream"),
        ("nonsense", "a.png", "image/png"), ("", None, "application/octet-stream"), ("a/b\r\nx", "a", "application/octet-stream"),
        ("image/" + "x" * 300, "a.txt", "text/plain"), ("application/vnd.ms-excel", "a", "application/vnd.ms-excel"),
    ],
)  # fmt: skip
def test_a_type_is_kept_if_it_is_one_or_guessed_from_the_name(sent: str, name: str | None, kept: str) -> None:
    assert type_of(sent, name) == kept


def test_a_file_without_a_name_gets_one_by_its_type(sqlite_api: Api) -> None:
    made = sqlite_api.post("/v1/files", form=[Field("file", b"{}", None, "application/json")]).ok()
    assert made["filename"] == "unnamed.json"


def test_an_upload_that_is_repeated_with_its_key_makes_one_file(api: Api) -> None:
    form, key = [file(b"x" * 100_000)], {"idempotency-key": "once"}
    first = api.post("/v1/files", form=form, headers=key)
    again = api.post("/v1/files", form=form, headers=key)
    assert again.raw == first.raw
    assert again.headers["idempotent-replayed"] == "true"
    assert len(api.get("/v1/files").ok()["data"]) == 1
    assert "Idempotency-Key" in api.post("/v1/files", form=[file(b"y")], headers=key).refused(400)


# Content


def test_an_upload_is_not_downloadable_in_the_recorded_words(still_api: Api) -> None:
    file_id = upload(still_api)["id"]
    response = still_api.get(f"/v1/files/{file_id}/content")
    assert response.refused(400) == (
        f"File `{file_id}` is not downloadable. Only files generated by a tool (for example, the code execution tool) can be "
        "downloaded."
    )
    assert response.body["error"]["details"] == {"error_code": "file_not_downloadable"}
    assert response.headers["x-should-retry"] == "false"


def test_what_an_agent_wrote_is_downloaded_as_an_attachment(api: Api) -> None:
    file_id = output(api, "sesn_x", b"<script>", "report.html", "text/html")
    response = api.get(f"/v1/files/{file_id}/content")
    assert response.raw == b"<script>"
    assert response.headers["content-disposition"] == "attachment; filename*=utf-8''report.html"
    assert response.headers["x-content-type-options"] == "nosniff"
    part = api.get(f"/v1/files/{file_id}/content", headers={"range": "bytes=1-3"})
    assert (part.status, part.raw) == (206, b"scr")


def test_a_file_of_another_workspace_is_not_there(api: Api) -> None:
    workspace_id = other_workspace(api)
    other = api.write(lambda tx: keys.create(tx, api.who.organization_id, workspace_id=workspace_id)).key
    file_id = upload(api)["id"]
    for path in (f"/v1/files/{file_id}", f"/v1/files/{file_id}/content"):
        assert api.get(path, key=other).refused(404, "not_found_error") == f"File not found: {file_id}"
    api.delete(f"/v1/files/{file_id}", key=other).refused(404, "not_found_error")
    assert api.get("/v1/files", key=other).ok()["data"] == []
    assert api.get("/v1/files", query={"ids[]": file_id}, key=other).ok()["data"] == []
    assert api.get(f"/v1/files?after_id={file_id}", key=other).refused(400)
    assert api.get(f"/v1/files/{file_id}").ok()


def other_workspace(api: Api) -> str:
    admin = api.write(lambda tx: keys.create(tx, api.who.organization_id)).key
    return api.post("/v1/organizations/workspaces", {"name": "Other"}, key=admin).ok()["id"]


def test_an_environments_key_is_told_that_there_is_no_content(api: Api) -> None:
    environment = api.environment(config={"type": "self_hosted"})["id"]
    key = api.write(
        lambda tx: keys.create(
            tx, api.who.organization_id, workspace_id=api.who.workspace_id, environment_id=environment
        )
    ).key
    file_id = upload(api)["id"]
    assert api.get(f"/v1/files/{file_id}/content", key=key).refused(404, "not_found_error") == "Not found"
    api.get(f"/v1/files/{file_id}", key=key).refused(401, "authentication_error")


# Expiry


def test_an_expired_file_is_still_known_but_its_content_is_404(api: Api) -> None:
    made = upload(api, expires_in_seconds=3600)
    api.clock.advance(seconds=3599)
    assert api.get(f"/v1/files/{made['id']}/content").body["error"]["details"] == {
        "error_code": "file_not_downloadable"
    }
    assert api.read(actions.find_many, [made["id"]])
    api.clock.advance(seconds=1)
    response = api.get(f"/v1/files/{made['id']}/content")
    assert response.refused(404, "not_found_error") == f"File `{made['id']}` has expired."
    assert response.body["error"]["details"] == {"error_code": "file_expired"}
    assert api.get(f"/v1/files/{made['id']}").ok() == made
    assert api.read(actions.find_many, [made["id"]]) == {}


# Lists


def test_the_list_shows_the_newest_first_page_by_page(api: Api) -> None:
    made = [upload(api, str(number).encode())["id"] for number in range(5)][::-1]
    first = api.get("/v1/files?limit=2").ok()
    assert [each["id"] for each in first["data"]] == made[:2]
    assert set(first) == {"data", "next_page"}
    second = api.get("/v1/files", query={"limit": 2, "page": first["next_page"]}).ok()
    third = api.get("/v1/files", query={"limit": 2, "page": second["next_page"]}).ok()
    assert [each["id"] for each in second["data"] + third["data"]] == made[2:]
    assert third["next_page"] is None


@pytest.mark.parametrize("headers", [OLD, {"anthropic-beta": DATED}])
def test_the_dated_beta_gets_the_old_shape(api: Api, headers: dict[str, str]) -> None:
    made = [upload(api, str(number).encode())["id"] for number in range(5)][::-1]
    first = api.get("/v1/files?limit=2", headers=headers).ok()
    assert {key: first[key] for key in first if key != "data"} == {
        "has_more": True, "first_id": made[0], "last_id": made[1],
    }  # fmt: skip
    after = api.get(f"/v1/files?limit=3&after_id={made[1]}", headers=headers).ok()
    assert [each["id"] for each in after["data"]] == made[2:]
    assert after["has_more"] is False
    before = api.get(f"/v1/files?limit=2&before_id={made[4]}", headers=headers).ok()
    assert [each["id"] for each in before["data"]] == made[2:4]
    assert before["has_more"] is True
    assert api.get(f"/v1/files?before_id={made[0]}", headers=headers).ok() == {
        "data": [], "has_more": False, "first_id": None, "last_id": None,
    }  # fmt: skip


def test_a_neighbour_asks_for_the_old_shape_by_itself(sqlite_api: Api) -> None:
    made = [upload(sqlite_api, str(number).encode())["id"] for number in range(3)][::-1]
    assert sqlite_api.get(f"/v1/files?after_id={made[0]}").ok()["last_id"] == made[2]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "limit: must be greater than or equal to 1"),
        ("limit=1001", "limit: must be less than or equal to 1000"),
        ("page=nonsense", "invalid page cursor"),
        ("scope_id=agent_01x", "scope_id: must be the id of a session, which begins with sesn_"),
        ("scope_id=", "scope_id: must be the id of a session, which begins with sesn_"),
        ("ids[]=file_01x&limit=5", "ids[]: cannot be used together with page or limit"),
        ("ids[]=file_01x&page=x", "ids[]: cannot be used together with page or limit"),
        ("&".join(f"ids[]={n}" for n in range(101)), "ids[]: must have at most 100 entries"),
        ("after_id=file_01x", "after_id: File not found: file_01x"),
        ("before_id=file_01x", "before_id: File not found: file_01x"),
        ("after_id=file_01x&before_id=file_01y", "after_id: give after_id or before_id, not both"),
    ],
)
def test_a_bad_query_is_400(still_api: Api, query: str, said: str) -> None:
    assert still_api.get(f"/v1/files?{query}").refused(400) == said


def test_files_are_found_by_id_all_on_one_page(api: Api) -> None:
    made = [upload(api, str(number).encode())["id"] for number in range(30)][::-1]
    query = {"ids[]": [*made[::-1], made[0], "file_01nothing"]}
    page = api.get("/v1/files", query=query).ok()
    assert [each["id"] for each in page["data"]] == made
    assert page["next_page"] is None


# Sessions


def test_a_session_has_copies_of_its_own_which_go_with_it(api: Api) -> None:
    original = upload(api, b"shared", "a.csv", "text/csv")
    session = session_with(api, original["id"])
    [resource] = api.get(f"/v1/sessions/{session}/resources").ok()["data"]
    [copy] = api.get(f"/v1/files?scope_id={session}").ok()["data"]
    assert copy["id"] == resource["file_id"] != original["id"]
    assert copy == {**original, "id": copy["id"], "scope": {"type": "session", "id": session}}
    assert "scope" not in api.get(f"/v1/files/{original['id']}").ok()
    assert api.get(f"/v1/files/{copy['id']}").ok() == copy
    assert [each["id"] for each in api.get("/v1/files").ok()["data"]] == [original["id"]], "no session's own"
    assert api.get(f"/v1/files/{copy['id']}/content").refused(400)
    api.delete(f"/v1/files/{original['id']}").ok()
    assert api.get(f"/v1/files/{copy['id']}").ok() == copy, "deleting the upload leaves the copy"
    api.delete(f"/v1/sessions/{session}").ok()
    api.get(f"/v1/files/{copy['id']}").refused(404, "not_found_error")
    assert api.get(f"/v1/files?scope_id={session}").ok()["data"] == []


def test_a_copy_of_what_an_agent_wrote_is_not_downloadable(sqlite_api: Api) -> None:
    session = session_with(sqlite_api, upload(sqlite_api)["id"])
    made = output(sqlite_api, session, b"done", 'a "downloadable":true.txt', "text/plain")
    [facts] = sqlite_api.read(actions.find_many, [made]).values()
    [copy] = sqlite_api.write(actions.copy_many, [(facts, "sesn_other")])
    original, shown = (sqlite_api.get(f"/v1/files/{each}").ok() for each in (made, copy))
    assert (original["downloadable"], shown["downloadable"]) == (True, False)
    assert shown["filename"] == original["filename"] == 'a "downloadable":true.txt'


def test_outputs_are_listed_beside_copies_in_both_shapes(sqlite_api: Api) -> None:
    session = session_with(sqlite_api, upload(sqlite_api)["id"])
    made = output(sqlite_api, session, b"done", "out.txt", "text/plain")
    path = f"/v1/files?scope_id={session}"
    page = sqlite_api.get(path).ok()
    assert [each["downloadable"] for each in page["data"]] == [True, False]
    assert page["data"][0]["id"] == made
    assert sqlite_api.get(path, headers=OLD).ok()["data"] == page["data"]
    assert sqlite_api.get(path + "&limit=1", headers=OLD).ok()["has_more"] is True
    walked = sqlite_api.get(f"{path}&limit=1&page=" + sqlite_api.get(path + "&limit=1").ok()["next_page"]).ok()
    assert [each["id"] for each in walked["data"]] == [page["data"][1]["id"]]
    by_id = {"ids[]": [each["id"] for each in page["data"]], "scope_id": session}
    assert len(sqlite_api.get("/v1/files", query=by_id).ok()["data"]) == 2
    assert sqlite_api.get("/v1/files", query=by_id | {"scope_id": "sesn_other"}).ok()["data"] == []


def test_facts_tell_what_a_copy_needs(api: Api) -> None:
    made = upload(api, b"12345", "n.txt", "text/plain")
    facts = api.read(actions.find_many, [made["id"], "file_01nothing"])
    assert set(facts) == {made["id"]}
    found = facts[made["id"]]
    assert (found.workspace_id, found.filename, found.mime_type, found.size_bytes) == (
        api.who.workspace_id, "n.txt", "text/plain", 5,
    )  # fmt: skip
    first, second = api.write(actions.copy_many, [(found, "sesn_a"), (found, "sesn_b")])
    assert api.get(f"/v1/files/{second}").ok()["scope"] == {"type": "session", "id": "sesn_b"}
    assert {each.blob for each in api.read(actions.find_many, [first, second]).values()} == {found.blob}
    api.write(actions.delete_scoped, "sesn_a")
    assert set(api.read(actions.find_many, [first, second])) == {second}


# A limit on what a workspace keeps


def test_a_workspace_over_its_quota_uploads_nothing_more_until_it_deletes(tmp_path: Path, clock: HandClock) -> None:
    with Api(f"sqlite:///{tmp_path / 'q.db'}", tmp_path, clock, max_workspace_storage_mb=1) as api:
        first = upload(api, b"x" * 700_000)
        second = upload(api, b"x" * 700_000)
        response = api.post("/v1/files", form=[file(b"y" * 700_000)])
        assert "1 MB together" in response.refused(400)
        assert response.body["error"]["details"] == {"error_code": "storage_quota_exceeded"}
        upload(api, b"z" * 300_000)
        api.delete(f"/v1/files/{first['id']}").ok()
        assert api.post("/v1/files", form=[file(b"y" * 700_000)]).refused(400), "the other still has these bytes"
        api.delete(f"/v1/files/{second['id']}").ok()
        upload(api, b"y" * 700_000)
        upload(api, b"w" * (api.settings.max_workspace_storage_mb * (1 << 20) - 1_000_000))
        taken = api.post("/v1/files", form=[file(b"!")]).refused(400)
        assert "1 MB together" in taken
