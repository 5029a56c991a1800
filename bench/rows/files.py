"""Row 9: a large file up and down, against copying a file of that size and flushing it, on the same disk.

The client is one blocking socket in this process: it lets the kernel send the file (``sendfile``) and throws away what comes
down, so that nearly all of the CPU is the server's. Every upload has bytes of its own; none is found to be there already.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from pathlib import Path

from bench.report import AtLeast, Section, figure
from bench.rounds import in_turn, ratio, spread
from bench.servers import API_KEY, HOST, Server, rota
from bench.stage import Stage

AIM = AtLeast(0.5)
_PIECE = 1 << 20
_BOUNDARY = "rota-bench-boundary"


class TransferError(Exception):
    """The server refused, or a transfer broke off."""


def copy(source: Path, target: Path) -> float:
    """Seconds to copy a file piece by piece and flush it."""
    began = time.perf_counter()
    with source.open("rb", buffering=0) as given, target.open("wb", buffering=0) as kept:
        while piece := given.read(_PIECE):
            kept.write(piece)
        os.fsync(kept.fileno())
    took = time.perf_counter() - began
    target.unlink()
    return took


def vary(source: Path) -> None:
    """Make the file one that the server has not seen."""
    with source.open("r+b") as file:
        file.write(os.urandom(32))


def connect(server: Server) -> socket.socket:
    """A connection to the server."""
    return socket.create_connection((HOST, server.port), timeout=120)


def head_and_body(connection: socket.socket) -> tuple[bytes, bytes]:
    """A response's head, and what of its body came with it."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        part = connection.recv(65536)
        if not part:
            raise TransferError(f"the server hung up after {seen!r}")
        seen += part
    head, _, body = seen.partition(b"\r\n\r\n")
    return head, body


def length_of(head: bytes) -> int:
    """What a head announces."""
    [value] = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(value)


def upload(server: Server, source: Path) -> tuple[float, str]:
    """Seconds to upload a file, and its id."""
    start = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n'
        "Content-Type: application/x-large\r\n\r\n"
    ).encode()
    end = f"\r\n--{_BOUNDARY}--\r\n".encode()
    size = len(start) + source.stat().st_size + len(end)
    lines = [
        "POST /v1/files HTTP/1.1", f"Host: {HOST}", f"X-Api-Key: {API_KEY}", f"Content-Length: {size}",
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}", "", "",
    ]  # fmt: skip
    with source.open("rb") as file, connect(server) as connection:
        began = time.perf_counter()
        connection.sendall("\r\n".join(lines).encode() + start)
        connection.sendfile(file)
        connection.sendall(end)
        head, body = head_and_body(connection)
        while len(body) < length_of(head):
            body += connection.recv(65536)
        took = time.perf_counter() - began
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise TransferError(body.decode())
    return took, json.loads(body)["id"]


def download(server: Server, file_id: str) -> float:
    """Seconds to fetch a file."""
    lines = [f"GET /v1/files/{file_id}/content HTTP/1.1", f"Host: {HOST}", f"X-Api-Key: {API_KEY}", "", ""]
    buffer = bytearray(_PIECE)
    with connect(server) as connection:
        began = time.perf_counter()
        connection.sendall("\r\n".join(lines).encode())
        head, body = head_and_body(connection)
        left = length_of(head) - len(body)
        while left > 0:
            count = connection.recv_into(buffer)
            if not count:
                raise TransferError(f"{left} bytes are missing")
            left -= count
        took = time.perf_counter() - began
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise TransferError(head.decode())
    return took


def allow(server: Server) -> None:
    """Let every upload be downloaded, as if an agent had written it."""
    connection = sqlite3.connect(server.directory / "rota.db", timeout=30)
    with connection:
        connection.execute("""UPDATE files SET body = replace(body, '"downloadable":false', '"downloadable":true')""")
    connection.close()


def files(stage: Stage) -> Section:
    """Row 9: copy, upload and download in turn."""
    megabytes = 100 if stage.plan.quick else 500
    source, target = stage.scratch / "source.bin", stage.scratch / "copy.bin"
    with source.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(_PIECE))
    with rota(stage.scratch / "rota") as server:
        kept = upload(server, source)[1]
        allow(server)

        def up() -> float:
            vary(source)
            return megabytes / upload(server, source)[0]

        seen = in_turn(
            {
                "copy": lambda: megabytes / copy(source, target),
                "upload": up,
                "download": lambda: megabytes / download(server, kept),
            },
            stage.plan.rounds,
            stage.tell,
        )
    lines = [figure(f"{name} of {megabytes} MB", spread(rates), "MB/s") for name, rates in seen.items()]
    lines += [figure(f"{name} / copy", ratio(seen[name], seen["copy"]), "x", AIM) for name in ("upload", "download")]
    durability = "copy and upload: fsync before the end; the upload's row, too"
    return Section(9, "files", "a large file up and down", durability, lines)
