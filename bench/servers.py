"""Starts and stops the server processes that are measured: rota, the usual server, the bare protocol.

It promises that a started server answers before it is handed out, that it is stopped by its own process id when the
`with` ends, and that a server which does not come up is an error that shows the end of its log. Settings of the
caller's environment (`ROTA_*`) are not passed on, so that they cannot change a figure.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from bench.gauge import Gauge

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
API_KEY = "rota-bench-key-0123456789-0123456789-0123456789"
START_SECONDS = 30.0
STOP_SECONDS = 20.0


class Server:
    """A running server: where it listens, what it uses."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.name = name
        self.port = port
        self.process = process
        self.directory = directory
        self.gauge = Gauge(process.pid)


class StartError(Exception):
    """A server did not come up; the message ends with the last lines of its log."""


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int, path: str) -> bool:
    """Whether GET `path` is a 200 now."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    except http.client.HTTPException:
        return False
    finally:
        connection.close()


def wait_until_answers(process: subprocess.Popen[bytes], port: int, path: str, log: Path, pause: float = 0.01) -> None:
    """Ask until there is a 200; raises StartError if the process ends or the deadline passes first."""
    deadline = time.monotonic() + START_SECONDS
    while not answers(port, path):
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            how = f"ended with {process.returncode}" if ended else f"no 200 on {path} within {START_SECONDS:.0f} s"
            raise StartError(f"{how}\n{tail}")
        time.sleep(pause)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here: SIGTERM, then SIGKILL after the deadline."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without rota's settings, plus `extra`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ROTA_")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {**kept, **extra}


@contextlib.contextmanager
def running(
    name: str, arguments: Sequence[str], port: int, path: str, directory: Path, extra: Mapping[str, str]
) -> Generator[Server]:
    """A Python process `python ARGUMENTS`, up when GET `path` is 200, down when the block ends."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=output, stderr=output, cwd=ROOT, env=environment(extra)
        )
    try:
        wait_until_answers(process, port, path, log)
        yield Server(name, port, process, directory)
    finally:
        stop(process)


def rota_arguments(port: int, directory: Path, database: str | None) -> list[str]:
    """The command line of the server that is measured, after `python`."""
    chosen = ["--database", database] if database else []
    return ["-m", "rota", "serve", "--host", HOST, "--port", str(port), "--data-dir", str(directory), *chosen]


def rota_settings(synchronous: str = "FULL") -> dict[str, str]:
    """The environment of the server that is measured."""
    return {"ROTA_BOOTSTRAP_API_KEY": API_KEY, "ROTA_SQLITE_SYNCHRONOUS": synchronous}


@contextlib.contextmanager
def rota(
    directory: Path,
    *,
    database: str | None = None,
    synchronous: str = "FULL",
    extra: Mapping[str, str] | None = None,
) -> Generator[Server]:
    """A rota server with its data in `directory` (SQLite unless `database` is given)."""
    port = free_port()
    settings = {**rota_settings(synchronous), **(extra or {})}
    with running("rota", rota_arguments(port, directory, database), port, "/readyz", directory, settings) as server:
        yield server


@contextlib.contextmanager
def usual(directory: Path) -> Generator[Server]:
    """The server of `bench/usual`, one uvicorn process."""
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    settings = {"USUAL_API_KEY": API_KEY, "USUAL_DATABASE": str(directory / "usual.sqlite3")}
    arguments = [
        *("-m", "uvicorn", "bench.usual.app:app", "--host", HOST, "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ]
    with running("usual", arguments, port, "/healthz", directory, settings) as server:
        yield server


@contextlib.contextmanager
def answering(directory: Path, name: str, response: bytes, *options: str) -> Generator[Server]:
    """The floor `bench/NAME.py`, which answers `response` to everything."""
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "response.http"
    file.write_bytes(response)
    arguments = ["-m", f"bench.{name}", str(port), str(file), *options]
    with running(name, arguments, port, "/", directory, {}) as server:
        yield server
