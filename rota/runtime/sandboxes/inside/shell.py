"""One bash that lives from call to call, so that folders, variables and jobs do too. What it answers is the reference toolset's.

Where a call's output ends is marked by a word that is drawn for each call, so that no command can print it beforehand. When a call
takes too long the shell is killed with all that it runs, and the next call finds a new one; so it does after ``exit``, where
the reference would ask for a restart.
"""

from __future__ import annotations

import os

from rota.runtime.sandboxes.inside.loop import Loop, end_group, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Answer = Callable[[str, bool], None]

OUTPUT_LIMIT = 100 * 1024
MARK = 49
"""Characters of the word that ends an output, as many as the reference's has: it counts among those that are kept."""
SECONDS = 120.0


class Call:
    """One command, from when it was asked for to its answer."""

    def __init__(self, number: int, given: dict[str, Any], answer: Answer) -> None:
        self.number = number
        self.given = given
        self.answer = answer
        self.output = bytearray()
        self.cut = False
        self.mark = b""
        self.call_off: Callable[[], None] = lambda: None

    def take(self, piece: bytes) -> None:
        """Add to the output, of which the end is kept."""
        self.output += piece
        if len(self.output) > OUTPUT_LIMIT:
            del self.output[: len(self.output) - OUTPUT_LIMIT]
            self.cut = True


class Shell:
    """The shell, and the calls that wait for it: one at a time."""

    def __init__(self, loop: Loop, workdir: str, environment: dict[str, str]) -> None:
        self._loop = loop
        self._workdir = workdir
        self._environment = {**environment, "PS1": "", "PS2": "", "TERM": "dumb"}
        self._pid: int | None = None
        self._in = self._out = -1
        self._unwritten = b""
        self._early = bytearray()
        self._now: Call | None = None
        self._waiting: list[Call] = []

    def call(self, number: int, given: dict[str, Any], answer: Answer) -> None:
        """Run a command, or wait until those before it have been answered."""
        self._waiting.append(Call(number, given, answer))
        self._next()

    def cancel(self, number: int) -> None:
        """Stop a command. It is answered, though nobody may listen."""
        if self._now is not None and self._now.number == number:
            self._stop()
            self._answer("bash: the command was stopped", error=True)
            return
        for call in [call for call in self._waiting if call.number == number]:
            self._waiting.remove(call)
            call.answer("bash: the command was stopped", True)

    def close(self) -> None:
        """End the shell and what it runs."""
        self._stop()

    def _next(self) -> None:
        while self._now is None and self._waiting:
            self._now = self._waiting.pop(0)
            try:
                self._begin(self._now)
            except OSError as exc:
                self._stop()
                self._answer(f"bash: no shell can be started: {exc.strerror}", error=True)

    def _begin(self, call: Call) -> None:
        command, limit = call.given.get("command"), call.given.get("timeout_ms")
        if call.given.get("restart"):
            self._stop()
            self._start()
            self._answer("bash session restarted")
        elif not command:
            self._answer("bash: command is required", error=True)
        elif not isinstance(command, str):
            self._answer("bash: command must be a string", error=True)
        elif limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit < 0):
            self._answer("bash: timeout_ms must be a number", error=True)
        else:
            self._send(call, command, limit / 1000.0 if limit else SECONDS)

    def _send(self, call: Call, command: str, seconds: float) -> None:
        if self._pid is None:
            self._start()
        call.take(bytes(self._early))
        self._early.clear()
        word = f"__ROTA_{os.urandom(32).hex()}"[:MARK]
        call.mark = word.encode()
        # Written in two halves, so that what the shell is sent does not hold the word itself. A command that reads its input
        # finds none, rather than the commands that come after it.
        text = f"{{ {command}\n}} </dev/null 2>&1; printf '\\n{word[:8]}''{word[8:]}%d\\n' $?\n"
        self._unwritten += text.encode("utf-8", "replace")
        call.call_off = self._loop.after(seconds, lambda: self._too_long(seconds))
        self._loop.forget(self._in)
        self._loop.writable(self._in, self._write)

    def _start(self) -> None:
        stdin, self._in = os.pipe()
        self._out, output = os.pipe()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        os.chdir(self._workdir)
        try:
            self._pid = pid = start(["/bin/bash", "--noprofile", "--norc"], self._environment, stdin, output)
        finally:
            os.close(stdin)
            os.close(output)
        self._loop.readable(self._out, self._read)
        self._loop.child(pid, lambda _: self._gone(pid))

    def _stop(self) -> None:
        if self._pid is not None:
            end_group(self._pid)
        self._pid = None
        for fd in (self._in, self._out):
            if fd >= 0:
                self._loop.forget(fd)
                os.close(fd)
        self._in = self._out = -1
        self._unwritten = b""
        self._early.clear()

    def _write(self) -> None:
        try:
            self._unwritten = self._unwritten[os.write(self._in, self._unwritten) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unwritten = b""
        if not self._unwritten:
            self._loop.forget(self._in)

    def _read(self) -> None:
        try:
            piece = os.read(self._out, 64 * 1024)
        except BlockingIOError:
            return
        if not piece:
            self._closed()
        elif self._now is None:  # a job in the background; what it says is shown with the next call
            self._early += piece
            del self._early[: max(0, len(self._early) - OUTPUT_LIMIT)]
        else:
            self._now.take(piece)
            lately = self._now.output[-len(piece) - len(self._now.mark) - 8 :]
            _, marked, after = lately.rpartition(
                self._now.mark
            )  # the last: ``set -x`` shows it too, with no number behind
            code, ended, _ = after.partition(b"\n")
            if marked and ended and code.isdigit():
                self._finished(self._now, int(code))

    def _finished(self, call: Call, code: int) -> None:
        text = _plain(call.output)
        out = text.rpartition(call.mark.decode())[0].rstrip("\n")
        self._answer("[output truncated]\n" + out if call.cut else out, error=code != 0)

    def _gone(self, pid: int) -> None:
        """The shell has ended; what it wrote last may still be to be read, and somebody else may hold its output open."""
        if pid != self._pid:
            return
        try:
            while self._pid == pid and (piece := os.read(self._out, 64 * 1024)):
                if self._now is not None:
                    self._now.take(piece)
        except OSError:
            pass
        self._closed()

    def _closed(self) -> None:
        self._stop()
        if self._now is not None:
            self._answer(_plain(self._now.output).strip(), error=True)

    def _too_long(self, seconds: float) -> None:
        self._stop()
        self._answer(f"bash: bash command timed out after {seconds}s", error=True)

    def _answer(self, text: str, error: bool = False) -> None:
        call, self._now = self._now, None
        if call is not None:
            call.call_off()
            call.answer(text, error)
        self._next()


def _plain(output: bytearray) -> str:
    """Output without what would colour it in a terminal."""
    text = output.decode(errors="replace")
    if "\x1b" not in text:
        return text
    import re  # 10 ms, for those that write in colours

    return re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", text)
