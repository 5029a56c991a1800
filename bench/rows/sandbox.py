"""Row 13: a sandbox until it is ready, and one call of a tool, against the barest thing that does as little.

Held against: `bwrap … true` with the plainest flags; a bash on two pipes; a process that echoes what a socket brings. The round's
figure is the median of its attempts. What others do on the machine meanwhile shows in all arms alike.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.report import AtMost, Section, figure
from bench.rounds import in_turn, ratio, spread
from bench.stage import Stage
from rota.runtime.sandbox import Mount, Spec
from rota.runtime.sandboxes import binary, ground
from rota.runtime.sandboxes.box import HostedBox
from rota.runtime.sandboxes.bubblewrap import Bubblewrap

READY = AtMost(60.0)
CALL = AtMost(5.0)
_ECHO = "import socket, sys\ns = socket.socket(fileno=int(sys.argv[1]))\nwhile d := s.recv(65536): s.sendall(d)\n"


def milliseconds(attempt: Callable[[], object], times: int) -> float:
    """The median of some attempts."""
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        attempt()
        took.append((time.perf_counter() - began) * 1000)
    return median(took)


def bare_start(scratch: Path) -> Callable[[], object]:
    """Bubblewrap with a root, a process list and namespaces, and nothing to do."""
    flags = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent"]
    command = [str(binary.find().path), *flags, "true"]
    return lambda: subprocess.run(command, check=True, cwd=scratch)


class Shell:
    """A bash on two pipes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(["/bin/bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def ask(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"true; echo done\n")
        if self._process.stdout.readline() != b"done\n":
            raise RuntimeError("the shell is gone")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Echo:
    """A Python that echoes."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        command = [sys.executable, "-S", "-c", _ECHO, str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()

    def ask(self) -> None:
        self._ours.sendall(b"x" * 100)
        self._ours.recv(100)

    def close(self) -> None:
        self._ours.close()
        self._process.wait()


def sandbox(stage: Stage) -> Section:
    """Row 13: bare and ours in turn."""
    workspace = stage.scratch / "workspace"
    workspace.mkdir()
    (workspace / "file").write_text("a line\n")
    loop = asyncio.new_event_loop()
    driver = Bubblewrap(users=ground.uids(None))
    spec = Spec(name="bench", mounts=(Mount(workspace, "/workspace", writable=True),))
    box: HostedBox = loop.run_until_complete(driver.open(spec))
    shell, echo = Shell(), Echo()

    def ready(times: int) -> float:
        took: list[float] = []
        for _ in range(times):
            began = time.perf_counter()
            opened = loop.run_until_complete(driver.open(spec))
            took.append((time.perf_counter() - began) * 1000)
            loop.run_until_complete(opened.close())
        return median(took)

    def call(tool: str, **given: str) -> Callable[[], object]:
        return lambda: loop.run_until_complete(box.call(tool, dict(given)))

    opens, calls = (5, 100) if stage.plan.quick else (15, 500)
    bare = bare_start(stage.scratch)
    try:
        seen = in_turn(
            {
                "bwrap … true": lambda: milliseconds(bare, opens),
                "sandbox ready": lambda: ready(opens),
                "bash on pipes": lambda: milliseconds(shell.ask, calls),
                "bash": lambda: milliseconds(call("bash", command="true"), calls),
                "socket echo": lambda: milliseconds(echo.ask, calls),
                "read": lambda: milliseconds(call("read", file_path="file"), calls),
                "grep": lambda: milliseconds(call("grep", pattern="line"), calls // 5),
            },
            stage.plan.rounds,
            stage.tell,
        )
    finally:
        loop.run_until_complete(driver.close())
        loop.close()
        shell.close()
        echo.close()
    aims = {"sandbox ready": READY, "bash": CALL, "read": CALL, "grep": CALL}
    lines = [figure(name, spread(took), "ms", aims.get(name)) for name, took in seen.items()]
    for ours, theirs in (("sandbox ready", "bwrap … true"), ("bash", "bash on pipes"), ("read", "socket echo")):
        lines.append(figure(f"{ours} / {theirs}", ratio(seen[ours], seen[theirs]), "x"))
    who = "the server is root: each box has a user of its own" if os.geteuid() == 0 else "the server is not root"
    return Section(13, "sandbox", "a sandbox until it is ready, and calls of tools", who, lines)
