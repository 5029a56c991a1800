"""``python -m tests.acceptance.prove_files --megabytes 500``: what a large file costs a server in memory, up and down."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rota import main as rota
from rota.base.settings import Settings
from rota.store.tx import Query, Tx
from tests.acceptance.server import KEY, Server
from tests.forms import BOUNDARY, encode, file

MB = 1 << 20
_DOWNLOADABLE = Query(
    "Let an upload be downloaded, as if an agent had written it.",
    "UPDATE files SET body = replace(body, '\"downloadable\":false', '\"downloadable\":true')",
)


class Cost(NamedTuple):
    """How far the server's resident memory rose at most, in bytes, and how long each way took."""

    upload_growth: int
    download_growth: int
    upload_seconds: float
    download_seconds: float


def measure(folder: Path, megabytes: int) -> Cost:
    """Send a file of so many megabytes to a server of its own, and fetch it again."""
    with Server(folder / "server") as server:
        _send(server, 1)  # everything is loaded once
        before = _reset(server)
        began = time.monotonic()
        file_id = _send(server, megabytes)
        up = time.monotonic() - began
        upload_growth = _peak(server) - before
        asyncio.run(_let_out(Settings(data_dir=str(server.folder / "data"))))
        before = _reset(server)
        began = time.monotonic()
        assert _fetch(server, file_id) == megabytes * MB
        return Cost(upload_growth, _peak(server) - before, up, time.monotonic() - began)


def _body(megabytes: int) -> Iterator[bytes]:
    head, tail = encode([file(b"\0")])[0].split(b"\0")
    yield head
    for number in range(megabytes):
        yield bytes([number % 251]) * MB
    yield tail


def _send(server: Server, megabytes: int) -> str:
    connection = server.connection()
    length = len(encode([file(b"")])[0]) + megabytes * MB
    headers = {
        "x-api-key": KEY,
        "content-type": f"multipart/form-data; boundary={BOUNDARY}",
        "content-length": str(length),
    }
    connection.request("POST", "/v1/files", _body(megabytes), headers)
    response = connection.getresponse()
    raw = response.read()
    assert response.status == 200, raw
    connection.close()
    return raw.decode().split('"id":"')[1].split('"')[0]


def _fetch(server: Server, file_id: str) -> int:
    connection = server.connection()
    connection.request("GET", f"/v1/files/{file_id}/content", headers={"x-api-key": KEY})
    response = connection.getresponse()
    assert response.status == 200
    total = 0
    while chunk := response.read(MB):
        total += len(chunk)
    connection.close()
    return total


async def _let_out(settings: Settings) -> None:
    db = rota.open_store(settings)

    def change(tx: Tx) -> None:
        tx.run(_DOWNLOADABLE)

    await db.write(change)
    await db.close()


def _status(server: Server, name: str) -> int:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def _reset(server: Server) -> int:
    """Forget the highest mark; what is resident now."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
    return _status(server, "VmRSS:")


def _peak(server: Server) -> int:
    return _status(server, "VmHWM:")


def main() -> int:
    """Measure and tell; 1 if it cost 32 MB or more either way."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.prove_files", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rota-files-") as folder:
        cost = measure(Path(folder), given.megabytes)
    for way, growth, seconds in (
        ("upload", cost.upload_growth, cost.upload_seconds),
        ("download", cost.download_growth, cost.download_seconds),
    ):
        rate = given.megabytes / seconds
        print(
            f"{way} of {given.megabytes} MB: resident memory rose by {growth / MB:.1f} MB; {seconds:.2f} s, {rate:.0f} MB/s"
        )
    return int(max(cost.upload_growth, cost.download_growth) >= 32 * MB)


if __name__ == "__main__":
    sys.exit(main())
