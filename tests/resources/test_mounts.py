"""What may be mounted into a session, and where it ends up (contract, session resources)."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from rota.base.errors import InvalidRequest
from rota.resources.sessions import mounts
from rota.resources.sessions.mounts import FileParam, MemoryStoreParam, RepositoryParam
from rota.store.tx import Query
from tests.api import HELLO, Api

UPLOADS = "/mnt/session/uploads"
TOKEN = "github-canary-0123456789abcdef"
URL = "https://github.com/acme/site"


def repository(**more: Any) -> dict[str, Any]:
    return {"type": "github_repository", "url": URL, **more}


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (UNSET, f"{UPLOADS}/file_01x"),
        (None, f"{UPLOADS}/file_01x"),
        ("data.csv", f"{UPLOADS}/data.csv"),
        ("a/b/data.csv", f"{UPLOADS}/a/b/data.csv"),
        ("/data.csv", f"{UPLOADS}/data.csv"),
        ("/uploads/data.csv", f"{UPLOADS}/data.csv"),
        ("/uploadsdata.csv", f"{UPLOADS}/uploadsdata.csv"),
        (f"{UPLOADS}/data.csv", f"{UPLOADS}/data.csv"),
        (f"{UPLOADS}x/data.csv", f"{UPLOADS}{UPLOADS}x/data.csv"),
        ("//a//b/./c/", f"{UPLOADS}/a/b/c"),
        ("/etc/passwd", f"{UPLOADS}/etc/passwd"),
        ("...", f"{UPLOADS}/..."),
    ],
)
def test_a_file_ends_up_below_the_uploads(sent: Any, path: str) -> None:
    assert mounts.mount_path(FileParam(file_id="file_01x", mount_path=sent)) == path


@pytest.mark.parametrize(
    "sent", ["..", "a/../b", "/../x", "/uploads/../../etc", "a\0b", "/", "//", "/uploads", "/uploads/", UPLOADS, "."]
)
def test_a_file_path_that_leads_out_or_nowhere_is_refused(sent: str) -> None:
    with pytest.raises(InvalidRequest):
        mounts.mount_path(FileParam(file_id="file_01x", mount_path=sent))


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (UNSET, "/workspace/site"), (None, "/workspace/site"), ("/workspace/elsewhere", "/workspace/elsewhere"),
        ("/workspace/a/b/", "/workspace/a/b"), ("workspace/x", "/workspace/x"),
    ],
)  # fmt: skip
def test_a_repository_ends_up_below_the_workspace(sent: Any, path: str) -> None:
    assert mounts.mount_path(RepositoryParam(url=URL, mount_path=sent)) == path


@pytest.mark.parametrize("sent", ["/workspace", "/workspace/", "/workspaces/x", "/etc", "x", "/workspace/../etc", "/"])
def test_a_repository_path_elsewhere_is_refused(sent: str) -> None:
    with pytest.raises(InvalidRequest):
        mounts.mount_path(RepositoryParam(url=URL, mount_path=sent))


@pytest.mark.parametrize("url", [URL, "https://github.com/A-1/b_2.c-3", "https://github.com/a/.github"])
def test_a_repository_is_named_by_owner_and_name(still_api: Api, url: str) -> None:
    assert still_api.deployment(resources=[repository(url=url)])["resources"] == [repository(url=url)]


@pytest.mark.parametrize(
    "url",
    [
        "http://github.com/a/b", "https://gitlab.com/a/b", "https://github.com/a", "https://github.com/a/b/c", "https://github.com/a/b.git",
        "https://github.com/a/b/", "https://github.com/a/b?x=1", "https://github.com/a/b#x", "https://user:pw@github.com/a/b",
        "https://github.com:443/a/b", "https://github.com.evil.example/a/b", "git@github.com:a/b", "https://github.com/../b",
        "https://github.com/a/..", "https://github.com/a/b\n", "HTTPS://github.com/a/b ", "",
    ],
)  # fmt: skip
def test_any_other_url_is_refused_by_deployments_and_sessions(still_api: Api, url: str) -> None:
    body = {
        "agent": still_api.agent()["id"],
        "environment_id": still_api.environment()["id"],
        "resources": [repository(url=url)],
    }
    said = still_api.post("/v1/sessions", body).refused(400)
    deployed = still_api.post("/v1/deployments", {**body, "name": "n", "initial_events": HELLO}).refused(400)
    if url:
        assert said == (
            "Invalid `github_repository` resource: invalid github_repository url: must be https://github.com/{owner}/{repo} "
            "with no .git suffix"
        )
        assert deployed == (
            "validate deployment resources: invalid GitHub repository URL: repo URL must be https://github.com/{owner}/{repo}"
        )


@pytest.mark.parametrize(
    "resource",
    [
        {"type": "folder"},
        {"type": "file"},
        {"type": "file", "file_id": ""},
        {"type": "file", "file_id": "f" * 129},
        {"type": "file", "file_id": "file_01x", "mount_path": ""},
        {"type": "file", "file_id": "file_01x", "mount_path": "p" * 4097},
        {"type": "file", "file_id": "file_01x", "access": "read_only"},
        repository(url="https://github.com/a/" + "b" * 2048),
        repository(authorization_token=""),
        repository(authorization_token="t" * 4097),
        repository(authorization_token=None),
        repository(checkout={"type": "tag", "name": "v1"}),
        repository(checkout={"type": "branch"}),
        repository(checkout={"type": "branch", "name": ""}),
        repository(checkout={"type": "branch", "name": "b" * 256}),
        repository(checkout={"type": "commit", "sha": "abc123"}),
        repository(checkout={"type": "commit", "sha": "a" * 65}),
        repository(checkout={"type": "commit", "sha": "nothexa"}),
        {"type": "memory_store"},
        {"type": "memory_store", "memory_store_id": "memstore_01x", "access": "write_only"},
        {"type": "memory_store", "memory_store_id": "memstore_01x", "instructions": "i" * 4097},
        {"type": "memory_store", "memory_store_id": "memstore_01x", "mount_path": "/x"},
    ],
)
def test_a_malformed_resource_is_refused_by_deployments_and_sessions(still_api: Api, resource: dict[str, Any]) -> None:
    body = {
        "agent": still_api.agent()["id"],
        "environment_id": still_api.environment()["id"],
        "resources": [resource],
    }
    still_api.post("/v1/sessions", body).refused(400)
    still_api.post("/v1/deployments", {**body, "name": "n", "initial_events": HELLO}).refused(400)


def test_there_are_at_most_five_hundred_resources_and_eight_stores(still_api: Api) -> None:
    body = {"agent": still_api.agent()["id"], "environment_id": still_api.environment()["id"]}
    many = [repository(mount_path=f"/workspace/r{number}") for number in range(501)]
    still_api.post("/v1/sessions", {**body, "resources": many}).refused(400)
    assert len(still_api.post("/v1/sessions", {**body, "resources": many[:500]}).ok()["resources"]) == 500
    still_api.post("/v1/deployments", {**body, "name": "n", "initial_events": HELLO, "resources": many}).refused(400)
    [trouble] = troubles([MemoryStoreParam(memory_store_id=f"memstore_{number}") for number in range(9)])
    assert "at most 8 memory stores" in trouble


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("/workspace/site", "/workspace/site", True),
        ("/workspace/site", "/workspace/site/deep", True),
        ("/workspace/site/deep", "/workspace/site", True),
        ("/workspace/site", "/workspace/site2", False),
        ("/workspace/a", "/workspace/b", False),
    ],
)
def test_mounts_may_not_overlap(still_api: Api, one: str, other: str, collide: bool) -> None:
    resources = [repository(mount_path=one), repository(mount_path=other)]
    body = {"agent": still_api.agent()["id"], "environment_id": still_api.environment()["id"], "resources": resources}
    response = still_api.post("/v1/sessions", body)
    if collide:
        assert response.refused(400) == (
            f"Invalid `github_repository` resource: `mount_path` overlaps another resource: {one} and {other}; "
            "set distinct `mount_path` values"
        )
    else:
        response.ok()
    run = still_api.fire(still_api.deployment(resources=resources))
    assert (run["error"] or {}).get("type") == ("session_creation_rejected_error" if collide else None)


def troubles(resources: list[Any]) -> list[str]:
    return list(mounts.look_through(resources).troubles)


def test_the_same_store_twice_is_refused() -> None:
    said = troubles([MemoryStoreParam(memory_store_id="memstore_01x")] * 2)
    assert said == ["resources contains duplicate memory_store_id: memstore_01x"]


def test_every_trouble_of_a_list_is_told_and_each_place_once() -> None:
    resources = [
        FileParam(file_id="file_01x", mount_path="/a"),
        RepositoryParam(url="https://gitlab.com/a/b"),
        FileParam(file_id="file_01x", mount_path="/a/b"),
        FileParam(file_id="file_01y", mount_path="/../c"),
        FileParam(file_id="file_01y", mount_path="/a/b/c"),
    ]
    said = troubles(resources)
    assert [trouble.split("`")[1] for trouble in said] == ["github_repository", "mount_path", "file", "file"]
    assert said[2].endswith(f"{UPLOADS}/a and {UPLOADS}/a/b; set distinct `mount_path` values")
    assert said[3].endswith(f"{UPLOADS}/a and {UPLOADS}/a/b/c; set distinct `mount_path` values")


NAMES = st.lists(st.sampled_from(["a", "b", "a-", "a!", "ab"]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


@given(st.lists(st.none() | NAMES, max_size=8))
def test_overlaps_are_what_comparing_each_with_each_finds(places: list[str | None]) -> None:
    def clash(one: str | None, other: str | None) -> bool:
        if one is None or other is None:
            return False
        return one == other or one.startswith(other + "/") or other.startswith(one + "/")

    expected = []
    for later in range(len(places)):
        earlier = [index for index in range(later) if clash(places[index], places[later])]
        if earlier:
            expected.append((earlier[0], later))
    assert mounts.overlaps(places) == expected


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["Notes"], ["notes"]),
        (["User  Preferences (v2)!"], ["user-preferences-v2"]),
        (["--Notes--"], ["notes"]),
        (["Über uns"], ["ber-uns"]),
        (["\u212aelvin"], ["elvin"]),
        (["メモ"], ["memstore-01ab0"]),
        (["notes", "Notes!", "NOTES"], ["notes", "notes-2", "notes-3"]),
        (["notes-2", "notes", "notes"], ["notes-2", "notes", "notes-3"]),
        (["notes", "notes", "notes-2"], ["notes", "notes-2", "notes-2-2"]),
        (["x" * 255, "x" * 255], ["x" * 255, "x" * 253 + "-2"]),
    ],
)
def test_a_store_is_mounted_by_its_name(names: list[str], folders: list[str]) -> None:
    assert mounts.slugs([(f"memstore_01Ab{number}", name) for number, name in enumerate(names)]) == folders


@given(st.lists(st.text(max_size=12), max_size=8))
def test_folders_are_distinct_plain_names(names: list[str]) -> None:
    folders = mounts.slugs([(f"memstore_01Ab{number}", name) for number, name in enumerate(names)])
    assert len(set(folders)) == len(names)
    for folder in folders:
        assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", folder), folder


@pytest.mark.parametrize(
    "sent", ["file_none", "file_01" + "x" * 21, "file_01" + "I" * 22, "file_01" + "x" * 22 + "\n", "FILE_01" + "x" * 22]
)
def test_a_malformed_file_id_is_told_from_an_unknown_one(still_api: Api, sent: str) -> None:
    body = {
        "agent": still_api.agent()["id"],
        "environment_id": still_api.environment()["id"],
        "resources": [{"type": "file", "file_id": sent}],
    }
    said = still_api.post("/v1/sessions", body).refused(400)
    assert said == f'Invalid file resource: invalid file_id: "{sent}"'
    still_api.post("/v1/deployments", {**body, "name": "n", "initial_events": HELLO}).ok()


def test_a_repository_is_shown_with_where_it_is_and_without_its_token(api: Api) -> None:
    resources = [
        repository(authorization_token=TOKEN, checkout={"type": "commit", "sha": "0123abC"}),
        repository(url="https://github.com/acme/docs", checkout=None, mount_path=None),
    ]
    body = {"agent": api.agent()["id"], "environment_id": api.environment()["id"], "resources": resources}
    session = api.post("/v1/sessions", body).ok()
    first, second = session["resources"]
    assert set(first) == {"type", "id", "url", "mount_path", "checkout", "created_at", "updated_at"}
    assert set(second) == set(first) - {"checkout"}
    assert first["id"].startswith("sesrsc_01")
    assert (first["mount_path"], second["mount_path"]) == ("/workspace/site", "/workspace/docs")
    assert first["checkout"] == {"type": "commit", "sha": "0123abC"}
    assert first["created_at"] == session["created_at"]
    assert api.get(f"/v1/sessions/{session['id']}/resources").ok() == {"data": [first, second], "next_page": None}
    kept = api.read(lambda tx: tx.all(Query("Sealed tokens.", "SELECT resource_id, sealed FROM session_tokens")))
    assert [row[0] for row in kept] == [first["id"]]
    assert TOKEN.encode() not in bytes(kept[0][1])
    api.delete(f"/v1/sessions/{session['id']}").ok()
    assert api.read(lambda tx: tx.all(Query("Sealed tokens.", "SELECT resource_id FROM session_tokens"))) == []


def test_a_token_moves_from_a_deployment_to_its_sessions_sealed_anew(api: Api) -> None:
    deployment = api.deployment(resources=[repository(authorization_token=TOKEN)])
    sessions = [api.fire(deployment)["session_id"] for _ in range(2)]
    texts = ("SELECT deployment_id, sealed FROM deployment_tokens", "SELECT session_id, sealed FROM session_tokens")
    kept = [row for text in texts for row in api.read(lambda tx, text=text: tx.all(Query("Sealed tokens.", text)))]
    assert sorted(row[0] for row in kept) == sorted([deployment["id"], *sessions])
    assert len({bytes(row[1]) for row in kept}) == 3
    assert all(TOKEN.encode() not in bytes(row[1]) for row in kept)


def test_resources_of_an_unknown_session_are_not_found(still_api: Api) -> None:
    still_api.get("/v1/sessions/sesn_01x/resources").refused(404, "not_found_error")
