"""Files over the wire: large ones, broken ones, and what they cost a server."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

import boto3
import httpx2
import msgspec
import pytest

from rota import main
from rota.base import ids
from rota.base.policy import policy
from rota.base.settings import Settings
from rota.resources.files import content, sql
from rota.resources.workspaces import keys
from rota.store.tx import Tx
from tests.acceptance.prove_files import measure
from tests.acceptance.server import KEY, Server
from tests.buckets import ACCESS
from tests.cli.process import eventually, refusal, rota
from tests.forms import BOUNDARY, encode, file

MB = 1 << 20
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def blobs_of(server: Server) -> list[Path]:
    return [each for each in (server.folder / "data" / "blobs").rglob("*") if each.is_file()]


def output(server: Server, data: bytes) -> str:
    """The id of a file that an agent wrote, put beside the running server into its database."""
    settings = Settings(data_dir=str(server.folder / "data"))

    async def work() -> str:
        db, blobs = main.open_store(settings), main.open_place(settings)
        async with blobs.write(content.PREFIX) as writer:
            await writer.write(data)
            written = await writer.finish()

        def keep(tx: Tx) -> str:
            who = keys.admit(tx, KEY)
            assert who is not None
            blob = content.keep(tx, who.workspace_id, written, policy(settings))
            body = sql.Body(filename="out.bin", mime_type="a/b", size_bytes=len(data), downloadable=True)
            file_id = ids.new(ids.FILE)
            tx.insert(sql.INSERT, [(file_id, who.workspace_id, tx.now, None, "sesn_x", blob, sql.to_text(body))])
            return file_id

        try:
            return await db.write(keep)
        finally:
            await db.close()
            await blobs.close()

    return asyncio.run(work())


def test_a_large_file_costs_no_memory(tmp_path: Path) -> None:
    cost = measure(tmp_path, 128)
    assert cost.upload_growth < 32 * MB
    assert cost.download_growth < 32 * MB


def test_what_breaks_off_is_no_whole_answer(sqlite_server: Server) -> None:
    file_id = output(sqlite_server, b"x" * 9_000_000)
    [path] = blobs_of(sqlite_server)
    with path.open("r+b") as damaged:
        damaged.truncate(5_000_000)
    connection = sqlite_server.connection()
    connection.request("GET", f"/v1/files/{file_id}/content", headers={"x-api-key": KEY})
    response = connection.getresponse()
    assert response.status == 200
    with pytest.raises(IncompleteRead):
        response.read()
    connection.close()
    assert "a reply of 9000000 bytes had 5000000" in sqlite_server.errors()
    assert sqlite_server.ask("GET", "/healthz").status == 200


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(sqlite_server: Server) -> None:
    with sqlite_server.socket() as connection:
        head = f"POST /v1/files HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-length: {20 * MB}\r\n"
        connection.sendall(f"{head}content-type: {FORM['content-type']}\r\n\r\n".encode())
        connection.sendall(encode([file(b"x" * 5 * MB)])[0][: 5 * MB])
        assert eventually(lambda: blobs_of(sqlite_server))[0].suffix == ".part"
    eventually(lambda: not blobs_of(sqlite_server))
    assert sqlite_server.ask("GET", "/v1/files").ok()["data"] == []


HEAD = encode([file(b"")])[0].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def endless(megabytes: int) -> Iterator[bytes]:
    yield HEAD
    for _ in range(megabytes):
        yield b"x" * MB


@pytest.mark.parametrize("announced", [True, False])
def test_who_sends_too_much_gets_the_answer_and_not_a_broken_connection(shared_server: Server, announced: bool) -> None:
    headers = {"x-api-key": KEY, **FORM} | ({"content-length": str(len(HEAD) + 600 * MB)} if announced else {})
    with httpx2.Client(trust_env=False, timeout=60) as client:
        response = client.post(shared_server.url + "/v1/files", headers=headers, content=endless(600))
    assert response.status_code == 413
    assert response.json()["error"]["type"] == "request_too_large"
    assert response.headers["connection"] == "close"


def test_a_wrong_key_is_told_before_the_file_is_sent(shared_server: Server) -> None:
    with shared_server.socket() as connection:
        head = f"POST /v1/files HTTP/1.1\r\nhost: x\r\nx-api-key: wrong\r\ncontent-length: {MB}\r\nexpect: 100-continue\r\n"
        connection.sendall(f"{head}content-type: {FORM['content-type']}\r\n\r\n".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 401")


def test_several_refused_forms_do_not_hold_up_others(shared_server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(shared_server.socket())
            head = f"POST /v1/files HTTP/1.1\r\nhost: x\r\nx-api-key: wrong\r\ncontent-length: {MB}\r\n"
            connection.sendall(f"{head}content-type: {FORM['content-type']}\r\n\r\n".encode())
            connection.recv(64)
        began = time.monotonic()
        assert shared_server.ask("GET", "/healthz").status == 200
        assert time.monotonic() - began < 1


# The command line


def test_files_go_up_and_come_down_by_command(sqlite_server: Server, tmp_path: Path) -> None:
    place = {"ROTA_URL": sqlite_server.url, "ROTA_API_KEY": KEY}
    source = tmp_path / "table.csv"
    source.write_bytes(b"a,b\n" * 1000)
    done = rota("files", "upload", "--file", str(source), "--expires-in-seconds", "3600", "--json", **place)
    assert done.returncode == 0, done.stderr
    made = msgspec.json.decode(done.stdout)
    assert (made["filename"], made["mime_type"], made["size_bytes"]) == ("table.csv", "text/csv", 4000)
    assert made["expires_at"] is not None
    assert made["id"] in rota("files", "list", **place).stdout
    assert refusal("files", "download", made["id"], **place).startswith("invalid_request_error: File `")
    file_id = output(sqlite_server, bytes(range(256)) * 5000)
    target = tmp_path / "out.bin"
    assert rota("files", "download", file_id, "--output", str(target), **place).returncode == 0
    assert target.read_bytes() == bytes(range(256)) * 5000
    assert [each.name for each in tmp_path.glob("out.bin*")] == ["out.bin"]
    text = output(sqlite_server, b"plain text")
    assert rota("files", "download", text, **place).stdout == "plain text"
    assert "cannot be read" in refusal("files", "upload", "--file", str(tmp_path / "nothing"), **place)
    assert "cannot be written" in refusal("files", "download", text, "--output", str(tmp_path / "no" / "x"), **place)


def test_half_a_file_is_not_left_for_a_whole_one(sqlite_server: Server, tmp_path: Path) -> None:
    file_id = output(sqlite_server, b"x" * 9_000_000)
    [path] = blobs_of(sqlite_server)
    with path.open("r+b") as damaged:
        damaged.truncate(5_000_000)
    target = tmp_path / "out.bin"
    place = {"ROTA_URL": sqlite_server.url, "ROTA_API_KEY": KEY}
    assert refusal("files", "download", file_id, "--output", str(target), **place)
    assert list(tmp_path.glob("out.bin*")) == []


# S3


def test_bytes_are_kept_in_a_bucket_if_the_operator_says_so(tmp_path: Path, s3: str) -> None:
    name = f"serve-{time.monotonic_ns()}"
    client = boto3.client(
        "s3", endpoint_url=s3, region_name=ACCESS["region"], aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket=name)
    variables = {
        "ROTA_BLOBS": f"s3://{name}/office", "ROTA_S3_ENDPOINT": s3, "ROTA_S3_REGION": ACCESS["region"],
        "ROTA_S3_ACCESS_KEY_ID": "key", "ROTA_S3_SECRET_ACCESS_KEY": "a-secret-of-s3",
    }  # fmt: skip
    with Server(tmp_path / "server", **variables) as server:
        raw, content_type = encode([file(b"x" * 20_000_000)])
        connection = HTTPConnection(server.host, server.port, timeout=60)
        connection.request("POST", "/v1/files", raw, {"x-api-key": KEY, "content-type": content_type})
        assert connection.getresponse().status == 200
        connection.close()
        [entry] = client.list_objects_v2(Bucket=name)["Contents"]
        assert entry["Key"].startswith("office/files/")
        assert entry["Size"] == 20_000_000
        assert not (server.folder / "data" / "blobs").exists()
        done = rota("doctor", "--port", str(server.port), *server.place, **variables)
        assert done.returncode == 0, done.stdout
        assert "can be reached, written to and read from" in done.stdout
        assert "a-secret-of-s3" not in done.stdout + server.errors()
    assert len(client.list_objects_v2(Bucket=name)["Contents"]) == 1, "the doctor has left nothing"
    wrong = rota("doctor", "--port", "0", *server.place, **variables | {"ROTA_BLOBS": "s3://no-such-bucket"})
    assert wrong.returncode == 1
    assert "NoSuchBucket" in wrong.stdout
