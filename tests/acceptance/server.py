"""A server process of its own, from its start to whatever end a test wants for it.

Promises: ``start`` returns when connections are accepted; stderr goes to a file, however much it is; ``stop`` insists on
exit code 0; nothing is left behind after the ``with``. The same object may start again on the same database.
"""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.cli.process import environment

KEY = "acceptance-key-0123456789"
DUTIES = "api,scheduler,courier"
"""A session that nobody turns stays as it was made, which most tests rely on; those of the turn engine add ``worker``."""
SECONDS = 60.0
"""How long a start, a stop or one answer may take before the test fails."""

_LISTENING = re.compile(r"^rota is listening on (http://(\S+):(\d+))$", re.MULTILINE)


class Answer(NamedTuple):
    """What came back over the wire."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The decoded body."""
        return json.loads(self.raw)

    def ok(self) -> Any:
        """The body of a success; fails the test otherwise."""
        assert self.status == 200, (self.status, self.raw)
        return self.body

    def refused(self, status: int, kind: str) -> str:
        """The message of an error with this status and type, in the documented envelope; fails the test otherwise."""
        assert self.status == status, (self.status, self.raw)
        body = self.body
        assert set(body) == {"type", "error", "request_id"}
        assert body["type"] == "error"
        assert body["error"]["type"] == kind
        assert body["request_id"] == self.headers["request-id"]
        return body["error"]["message"]


class Server:
    """``python -m rota serve`` on a free port, for the length of a ``with``.

    ``folder`` gets the data directory and the log; ``database`` is a URL, or None for the file in the data directory;
    ``key`` is the bootstrap key, or None to have one made. Further settings come as ``ROTA_*`` keyword arguments.
    """

    def __init__(
        self, folder: Path, database: str | None = None, *args: str, key: str | None = KEY, **variables: str
    ) -> None:
        self.folder = folder
        self.key = key
        self.place = ["--data-dir", str(folder / "data"), *(["--database", database] if database else [])]
        """The flags that make an admin command act on this server's database."""
        self.log = folder / "server.log"
        self.said = ""
        """What the server wrote to stdout until it listened."""
        self._command = [sys.executable, "-m", "rota", "serve", *self.place, *args]
        known = {"ROTA_ONLY": DUTIES} if key is None else {"ROTA_ONLY": DUTIES, "ROTA_BOOTSTRAP_API_KEY": key}
        self._variables = {**known, **variables}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        if self._process is None:
            return
        if kind is None:
            self.stop()
        else:
            self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "the server is not running"
        return self._process

    def start(self, port: int = 0) -> Self:
        """Start it and wait until it listens; fails with its stderr if it does not."""
        assert self._process is None, "the server is running"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = self._launch(port)
        self.said = ""
        while not (found := _LISTENING.search(self.said)):
            part = self._read_stdout()
            if not part:
                self.kill()
                raise AssertionError(f"the server does not listen: {self.said}{self.errors()}")
            self.said += part
        self.url, self.host, self.port = found[1], found[2], int(found[3])
        return self

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self._command, "--port", str(port)],
                env=environment(**self._variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def _read_stdout(self) -> str:
        stdout = self.process.stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], SECONDS)
        return os.read(stdout.fileno(), 65536).decode() if ready else ""

    def stop(self) -> None:
        """End it as an operator would; it must exit with code 0."""
        self.terminate()
        code = self.wait()
        assert code == 0, (code, self.errors())

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        process = self.process
        try:
            return process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            self._forget()

    def kill(self) -> None:
        """End it as a crash would (``kill -9``)."""
        self.process.kill()
        self.process.wait()
        self._forget()

    def _forget(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def errors(self) -> str:
        """Everything that was written to stderr, over all starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # Requests

    def connection(self) -> HTTPConnection:
        """A connection of the caller's, to be closed by it."""
        return HTTPConnection(self.host, self.port, timeout=SECONDS)

    def socket(self) -> socket.socket:
        """A bare connection of the caller's, to be closed by it."""
        return socket.create_connection((self.host, self.port), timeout=SECONDS)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own. ``body`` is sent as JSON; ``key=None`` sends no credential."""
        sent = dict(headers or {})
        if key is not None and "authorization" not in sent:
            sent["x-api-key"] = key or self.key or ""
        if body is not None:
            sent.setdefault("content-type", "application/json")
        payload = None if body is None else json.dumps(body).encode()
        connection = self.connection()
        try:
            connection.request(method, path, payload, sent)
            return read_answer(connection.getresponse())
        finally:
            connection.close()

    def deployment(self, name: str) -> str:
        """The id of a new deployment, of a new agent in a new environment; ``name`` must be a new one."""
        agent = self.ask("POST", "/v1/agents", {"name": name, "model": "claude-opus-5-5"}).ok()
        environment = self.ask("POST", "/v1/environments", {"name": name}).ok()
        hello = {"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}
        body = {"name": name, "agent": agent["id"], "environment_id": environment["id"], "initial_events": [hello]}
        return self.ask("POST", "/v1/deployments", body).ok()["id"]


def read_answer(response: HTTPResponse) -> Answer:
    """A response, read to its end."""
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
