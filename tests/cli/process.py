"""The program as people run it: commands that end, and a server that listens."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

import msgspec

ROOT = Path(__file__).parents[2]
SECONDS = 120.0
"""How long anything here may take."""

_LISTENING = re.compile(r"^rota is listening on (http://(\S+):(\d+))$", re.MULTILINE)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with none of its rota settings but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROTA_", "ANTHROPIC_"))}
    return kept | {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": "/nonexistent"} | variables


def rota(*args: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "rota", *args]
    return subprocess.run(
        command, env=environment(**variables), input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def answer(*args: str, **variables: str) -> Any:
    """What a command prints with ``--json``; it must succeed."""
    done = rota(*args, "--json", **variables)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout)


def refusal(*args: str, code: int = 1, **variables: str) -> str:
    """The one line on stderr of a command that must fail, and must say nothing on stdout."""
    done = rota(*args, **variables)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def eventually(condition: Callable[[], Any]) -> Any:
    """The condition's first true value. Fails the test if there is none in time."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


class Server:
    """``rota serve`` in a process, for the length of a ``with``. ``said`` is its stdout until it listened.

    Without the duty ``worker`` unless a test asks for it: one that has no model says so at its start, and these are silent.
    """

    def __init__(self, *args: str, **variables: str) -> None:
        self._command = [sys.executable, "-m", "rota", "serve", "--port", "0", *args]
        self._variables = {"ROTA_ONLY": "api,scheduler,courier", **variables}

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command, env=environment(**self._variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.said = ""
        deadline = time.monotonic() + SECONDS
        while not (found := _LISTENING.search(self.said)):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            part = os.read(self.process.stdout.fileno(), 65536).decode() if ready else ""
            if not part:
                self.process.kill()
                raise AssertionError(f"it does not listen: {self.said}{self.process.communicate()[1].decode()}")
            self.said += part
        self.url, self.host, self.port = found[1], found[2], int(found[3])
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str]:
        """Wait for the end: the exit code and what was said on stderr."""
        stderr = self.process.communicate(timeout=SECONDS)[1]
        return self.process.returncode, stderr.decode()

    def ask(self, path: str, key: str | None = None, method: str = "GET", body: str | None = None) -> tuple[int, Any]:
        """One request: the status and the decoded body."""
        connection = HTTPConnection(self.host, self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, {} if key is None else {"x-api-key": key})
            response = connection.getresponse()
            return response.status, msgspec.json.decode(response.read())
        finally:
            connection.close()

    def begin_request(self, key: str, size: int) -> socket.socket:
        """A request that the server has begun to read and that waits for its body of ``size`` bytes."""
        connection = socket.create_connection((self.host, self.port), timeout=SECONDS)
        head = f"POST /v1/environments HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nexpect: 100-continue\r\n"
        connection.sendall(f"{head}content-length: {size}\r\n\r\n".encode())
        assert b"100 Continue" in connection.recv(1024)
        return connection

    def refuses_connections(self) -> bool:
        """Whether nobody can connect any more."""
        try:
            socket.create_connection((self.host, self.port), timeout=SECONDS).close()
        except ConnectionRefusedError:
            return True
        return False
