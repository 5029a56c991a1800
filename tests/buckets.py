"""A real S3 service on this machine, in a process of its own; it comes as a package and keeps everything in memory."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from http.client import HTTPConnection

SECONDS = 60.0
ACCESS = {"region": "us-east-1", "access_key_id": "key", "secret_access_key": "secret"}
"""It believes everybody; the client wants to have something to sign with."""


@contextlib.contextmanager
def s3_server() -> Generator[str]:
    """The URL of a running service; it ends with the ``with``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + SECONDS
        while not _answers(port):
            assert process.poll() is None, "the S3 service ended"
            assert time.monotonic() < deadline, "the S3 service does not answer"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS)


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
