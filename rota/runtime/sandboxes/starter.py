"""The server's end of ``stage``: one process for all boxes of a driver, so that no box waits for the start of another interpreter."""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

from rota.runtime.sandbox import SandboxFailure

PLACE: Final = "/tmp"  # noqa: S108 - a mount of its own, in a namespace of its own
"""Where a box's starter finds the folders that only root can reach."""


class Order(Struct, frozen=True, kw_only=True):
    """A process to be started: as this user (None is the server's own), with these folders by new names in ``PLACE``."""

    command: list[str]
    user: int | None = None
    folders: dict[str, str]


class Started:
    """A process that the stage has started, and what it says until it ends."""

    def __init__(self, pid: int, said: int) -> None:
        self.pid = pid
        self._said = said
        self._heard = bytearray()

    def ends(self, seconds: float) -> bool:
        """Wait until it has ended, and all that share its standard error; False if that takes longer."""
        waiting, until = select.poll(), time.perf_counter() + seconds
        waiting.register(self._said, select.POLLIN)
        while waiting.poll(max(0.0, until - time.perf_counter()) * 1000):
            piece = os.read(self._said, 64 * 1024)
            if not piece:
                return True
            self._heard += piece
        return False

    def last_words(self) -> str:
        """What it said, once."""
        os.close(self._said)
        return self._heard.decode(errors="replace").strip()


class Starter:
    """Starts processes and ends them, from whatever thread. The stage is started with the first, and again if it is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage: subprocess.Popen[bytes] | None = None
        self._ours: socket.socket | None = None

    def start(self, order: Order, fds: list[int]) -> Started:
        """Start a process with these descriptors, from ``stage.FIRST`` on. SandboxFailure."""
        said, saying = os.pipe()
        told: dict[str, object] = {
            "command": order.command,
            "user": order.user,
            "folders": order.folders,
            "place": PLACE,
        }
        try:
            answer = self._ask(told, [saying, *fds]) or self._ask(told, [saying, *fds])
        finally:
            os.close(saying)
        if not answer:
            os.close(said)
            raise SandboxFailure("the process that starts sandboxes does not stay")
        return Started(int(answer), said)

    def end(self, started: Started) -> None:
        """See to it that a process is gone, by force if it is not."""
        if self._ours is not None:  # else it went with the stage
            self._ask({"end": started.pid}, [])

    def close(self) -> None:
        """End the stage, and with it what it has started."""
        with self._lock:
            self._end()

    def _ask(self, told: dict[str, object], fds: list[int]) -> bytes:
        """The stage's answer; none if the stage is gone."""
        with self._lock:
            try:
                ours = self._ours or self._begin()
                socket.send_fds(ours, [json.dumps(told).encode()], fds)
                answer = ours.recv(64)
            except OSError:
                answer = b""
            if not answer:
                self._end()
            return answer

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._stage = subprocess.Popen(  # noqa: S603 - a script of ours
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("stage.py")), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={},
                cwd="/",
                start_new_session=True,  # what interrupts the server in its terminal lets it close its boxes by itself
            )
        self._ours = ours
        return ours

    def _end(self) -> None:
        if self._ours is not None:
            self._ours.close()
        if self._stage is not None:
            self._stage.wait()
        self._ours = self._stage = None
