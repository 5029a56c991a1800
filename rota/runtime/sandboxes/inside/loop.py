"""A loop over descriptors, children and deadlines, in one thread: only so may a process fork without fear.

Asyncio would cost every box 60 ms to import, and ``selectors`` and the public half of ``signal`` 10, most of it for enumerations. The
process may be the first of its namespace, and then every orphan is its child: it reaps whatever ends.
"""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any
else:
    import _signal as signal

LONGEST = 3600.0
"""Seconds that the loop waits at a time, well within what the kernel can count."""


class Loop:
    """Calls back: when a descriptor can be read or written, when a child has ended, when a time has come."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, Callable[[], object]] = {}
        self._children: dict[int, Callable[[int], None]] = {}
        self._times: list[tuple[float, Callable[[], object]]] = []
        self._ended = False
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        os.set_blocking(reading, False)
        signal.signal(signal.SIGCHLD, _rung)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self.readable(reading, lambda: self._reap(reading))

    def readable(self, fd: int, then: Callable[[], object]) -> None:
        """Call whenever there is something to be read, or the end."""
        self._watch(fd, select.POLLIN, then)

    def writable(self, fd: int, then: Callable[[], object]) -> None:
        """Call whenever there is room to write."""
        self._watch(fd, select.POLLOUT, then)

    def forget(self, fd: int) -> None:
        """Watch a descriptor no longer. Nothing if it is not watched."""
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def child(self, pid: int, then: Callable[[int], None]) -> None:
        """Call with the exit code when a child has ended; negative for a signal."""
        self._children[pid] = then

    def after(self, seconds: float, then: Callable[[], object]) -> Callable[[], None]:
        """Call when so much time has passed. Gives what calls that off."""
        entry = (time.monotonic() + seconds, then)
        self._times.append(entry)

        def call_off() -> None:
            if entry in self._times:
                self._times.remove(entry)

        return call_off

    def end(self) -> None:
        """Return from ``run``."""
        self._ended = True

    def run(self) -> None:
        """Until ``end``."""
        while not self._ended:
            now = time.monotonic()
            wait = min((max(0.0, when - now) for when, _ in self._times), default=LONGEST)
            for fd, _ in self._poll.poll(int(min(wait, LONGEST) * 1000) + 1):
                if fd in self._watched:  # an earlier callback of this round may have let it go
                    self._watched[fd]()
            for entry in [entry for entry in self._times if entry[0] <= time.monotonic()]:
                if entry in self._times:  # an earlier one may have called it off
                    self._times.remove(entry)
                    entry[1]()

    def _watch(self, fd: int, event: int, then: Callable[[], object]) -> None:
        self._watched[fd] = then
        self._poll.register(fd, event)

    def _reap(self, reading: int) -> None:
        try:
            os.read(reading, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            then: Any = self._children.pop(pid, None)
            if then is not None:
                then(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


_EXPENDABLE = ["/bin/sh", "-c", 'echo 500 2>/dev/null >/proc/self/oom_score_adj; exec "$@"', "sh"]
"""When memory is short a command goes first, and not the host, from which it is inherited."""


def _rung(*_: Any) -> None:
    """A child has ended; the descriptor that is written to then wakes the loop."""


def start(command: list[str], environment: dict[str, str], stdin: int, output: int) -> int:
    """Start a program in a session of its own, output and errors to one descriptor: its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.dup2(stdin, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        own()
        os.execve("/bin/sh", [*_EXPENDABLE, *command], environment)  # noqa: S606 - a fixed script, and words
    except OSError as exc:
        os.write(2, f"{command[0]}: {exc.strerror}\n".encode())
    finally:
        os._exit(127)


def own() -> None:
    """In a child: signals as a program expects them."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def end_group(pid: int) -> None:
    """Kill a program that ``start`` started, and what it has started itself."""
    for kill in (os.killpg, os.kill):  # the group may not be there yet
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
