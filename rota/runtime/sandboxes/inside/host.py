"""The tool host: the first process of a box. It takes calls over one socket, and is the only one inside that holds it.

    python -m rota.runtime.sandboxes.inside.host FD

Every box pays for what is imported here before it is ready, so that is little, and listed (decision 48): of some modules of the
standard library only the half that is written in C. Whatever else is needed is imported where it is, and says what it costs.

A frame is four bytes with its length, and JSON. In come ``begin`` (once), ``call``, ``run``, ``cancel``; out go ``ready`` (with the
listening socket of the box's proxy, if it is to have a network) and ``done``. Commands run with this process's user, so it does not
trust them: it cannot be traced or looked into, its socket is passed to nobody, and what may take long runs in a child of its
own, that a command may kill but not speak for. When the socket ends, so does the process, and with it everything inside.
"""

from __future__ import annotations

import os
import resource
import sys

from rota.runtime.sandboxes.inside.files import Files
from rota.runtime.sandboxes.inside.loop import Loop, end_group, own, start
from rota.runtime.sandboxes.inside.paths import Failed
from rota.runtime.sandboxes.inside.shell import Shell
from rota.runtime.sandboxes.inside.words import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from collections.abc import Callable, Iterator
    from typing import Any

    from rota.runtime.sandboxes.inside.files import Block
else:
    import _signal as signal
    import _socket as socket

PROXY = ("127.0.0.1", 3128)
TAIL = 64 * 1024
"""How much is kept of what a program of the server's own prints."""
WATCH_SECONDS = 0.25
_SET_DUMPABLE = 4


class Job:
    """A child that works for one call."""

    def __init__(self, number: int, pid: int, output: int) -> None:
        self.number = number
        self.pid = pid
        self.output = output
        self.seen = bytearray()
        self.code: int | None = None
        self.ended = False


class Host:
    """Everything that the process knows."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.loop = Loop()
        self.received = bytearray()
        self.jobs: dict[int, Job] = {}
        self.files: Files
        self.shell: Shell | None = None
        self.environment: dict[str, str] = {}
        self.loop.readable(control.fileno(), self._receive)

    def _receive(self) -> None:
        piece = self.control.recv(256 * 1024)
        if not piece:
            return self.loop.end()
        self.received += piece
        while len(self.received) >= 4:
            length = int.from_bytes(self.received[:4], "big")
            if len(self.received) < 4 + length:
                break
            frame: Any = loads(bytes(self.received[4 : 4 + length]))
            del self.received[: 4 + length]
            self._take(frame)
        return None

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["op"] == "begin":
            self._begin(frame)
        elif frame["op"] == "call" and frame["tool"] == "bash":
            number = frame["id"]
            assert self.shell is not None
            self.shell.call(number, frame["input"], lambda text, error: self._done(number, _block(text), error))
        elif frame["op"] == "call":
            self._file_tool(frame["id"], frame["tool"], frame["input"])
        elif frame["op"] == "run":
            self._run(frame["id"], frame["command"], frame["environment"])
        elif frame["op"] == "cancel":
            if self.shell is not None:
                self.shell.cancel(frame["id"])
            if frame["id"] in self.jobs:
                end_group(self.jobs[frame["id"]].pid)

    def _begin(self, frame: dict[str, Any]) -> None:
        for name, value in frame["limits"].items():
            _lower(getattr(resource, "RLIMIT_" + name), value)
        if frame["memory"]:
            self._watch_memory(frame["memory"])
        self.environment = frame["environment"]
        self.files = Files(frame["workdir"], frame["roots"], frame["read_only"], self.environment)
        self.shell = Shell(self.loop, frame["workdir"], self.environment)
        passed: list[int] = []
        if frame["network"]:
            # A socket stays in the network in which it was made: who accepts on it outside hears this box and no other.
            listener = socket.socket()
            listener.bind(PROXY)
            listener.listen(128)
            passed.append(listener.detach())
        self._send({"op": "ready"}, passed)
        for fd in passed:
            os.close(fd)

    def _file_tool(self, number: int, tool: str, given: dict[str, Any]) -> None:
        def result() -> dict[str, Any]:
            try:
                return {"content": _fit(self.files.call(tool, given)), "error": False}
            except Failed as exc:
                return {"content": _fit(_block(str(exc))), "error": True}
            except Exception as exc:
                return {"content": _fit(_block(f"{tool}: {exc!r}")), "error": True}

        if self.files.quick(tool, given):
            return self._send({"op": "done", "id": number, **result()})

        def work(output: int) -> None:
            _write(output, dumps(result()).encode())

        def finish(job: Job) -> None:
            try:
                result: Any = loads(bytes(job.seen))
                self._done(number, result["content"], result["error"])
            except ValueError:
                self._done(number, _block(f"{tool}: the tool was ended before it had a result"), error=True)

        self.files.load(tool)
        return self._child(number, work, finish, keep=None)

    def _run(self, number: int, command: list[str], environment: dict[str, str]) -> None:
        def finish(job: Job) -> None:
            end_group(job.pid)  # what it left in the background
            text = job.seen.decode(errors="replace")
            self._send({"op": "done", "id": number, "code": job.code, "output": text})

        null = os.open(os.devnull, os.O_RDONLY)
        output, writing = os.pipe()
        pid = start(["/usr/bin/env", *command], {**self.environment, **environment}, null, writing)
        os.close(null)
        os.close(writing)
        self._follow(Job(number, pid, output), finish, TAIL)

    def _child(self, number: int, work: Callable[[int], None], finish: Callable[[Job], None], keep: int | None) -> None:
        output, writing = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                self.control.close()
                os.setsid()
                own()
                work(writing)
            finally:
                os._exit(0)
        os.close(writing)
        self._follow(Job(number, pid, output), finish, keep)

    def _follow(self, job: Job, finish: Callable[[Job], None], keep: int | None) -> None:
        """Read what a child writes until it has ended, of which only the last ``keep`` bytes matter."""
        self.jobs[job.number] = job
        os.set_blocking(job.output, False)

        def read() -> bool:
            """Whether there may be more."""
            try:
                piece = os.read(job.output, 256 * 1024)
            except BlockingIOError:
                return False
            if not piece:
                job.ended = True
                self.loop.forget(job.output)
                return False
            job.seen += piece
            if keep is not None and len(job.seen) > keep:
                del job.seen[: len(job.seen) - keep]
            return True

        def gone(code: int) -> None:
            job.code = code
            while not job.ended and read():
                pass
            self.loop.forget(job.output)
            os.close(job.output)
            del self.jobs[job.number]
            finish(job)

        self.loop.readable(job.output, read)
        self.loop.child(job.pid, gone)

    def _watch_memory(self, most: int) -> None:
        """Where no control group does it: when all together hold too much, the largest goes."""
        held = sorted(_memory())
        if sum(size for size, _ in held) > most and held[-1][1] != os.getpid():
            end_group(held[-1][1])
        self.loop.after(WATCH_SECONDS, lambda: self._watch_memory(most))

    def end(self) -> None:
        """End what runs. In a namespace of its own all processes end with this one, but it may be without."""
        if self.shell is not None:
            self.shell.close()
        for job in self.jobs.values():
            end_group(job.pid)

    def _done(self, number: int, content: list[Block], error: bool) -> None:
        self._send({"op": "done", "id": number, "content": _fit(content), "error": error})

    def _send(self, frame: dict[str, Any], passed: list[int] | None = None) -> None:
        data = dumps(frame).encode()
        data = len(data).to_bytes(4, "big") + data
        try:
            if passed:
                numbers = b"".join(fd.to_bytes(4, sys.byteorder) for fd in passed)
                self.control.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])
            else:
                self.control.sendall(data)
        except OSError:
            self.loop.end()  # nobody is there any more


def _block(text: str) -> list[Block]:
    return [{"type": "text", "text": text}]


def _fit(content: list[Block]) -> list[Block]:
    """Blocks as an event can hold them: no text is empty, and none holds half a surrogate pair."""
    for block in content:
        if block["type"] == "text":
            block["text"] = _whole(block["text"]) or "(no output)"
    return content


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in text)
    return text


def _memory() -> Iterator[tuple[int, int]]:
    """Bytes that each process of the box has to itself."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/statm") as file:
                    _, resident, shared = file.read().split()[:3]
                yield (int(resident) - int(shared)) * resource.getpagesize(), int(name)
            except (OSError, ValueError):
                pass  # it has ended


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _lower(limit: int, value: int) -> None:
    _, most = resource.getrlimit(limit)
    if most != resource.RLIM_INFINITY:
        value = min(value, most)
    resource.setrlimit(limit, (value, value))


def _hide() -> None:
    """Forbid every look into this process, to those of the same user too."""
    try:
        import _ctypes  # the half of ctypes that is written in C, 5 ms less

        everything: Any = None  # that this process has loaded
        prctl = _ctypes.dlsym(_ctypes.dlopen(everything, 0), "prctl")
        refused = _ctypes.call_function(prctl, (_SET_DUMPABLE, 0, 0, 0, 0))
    except (ImportError, AttributeError):
        import ctypes

        refused = ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    if refused:
        raise OSError("this process cannot be hidden")


def _withdraw(control: int) -> None:
    """Let nobody else inside have what this process has: no look into it, no descriptor of it."""
    if sys.platform == "linux":
        _hide()
    os.set_inheritable(control, False)
    highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    highest = 65536 if highest == resource.RLIM_INFINITY else min(highest, 65536)
    os.closerange(3, control)
    os.closerange(control + 1, highest)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    for number in (signal.SIGINT, signal.SIGTERM):  # of the first process of a namespace, they are ignored by default
        signal.signal(number, signal.SIG_DFL)


def main() -> None:
    """Serve one control socket until it ends."""
    control = int(sys.argv[1])
    _withdraw(control)
    os.umask(0o022)
    host = Host(socket.socket(fileno=control))
    host.loop.run()
    host.end()


if __name__ == "__main__":
    main()
