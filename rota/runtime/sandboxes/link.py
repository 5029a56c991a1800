"""The server's end of the socket to a tool host. What comes over it is believed no more than a caller: lengths are capped, shapes are
checked, and whatever does not fit ends the box.
"""

import asyncio
import itertools
import json
import socket
import struct
from typing import Any, Final

import msgspec
from msgspec import Struct

from rota.runtime.sandbox import SandboxFailure

LONGEST: Final = 48 << 20
"""Bytes of a frame: the longest PDF that may be read, and room."""


class Done(Struct, frozen=True):
    """What a tool host answers, of ``call`` or of ``run``."""

    op: str
    id: int = 0
    content: list[dict[str, Any]] = []
    error: bool = False
    code: int | None = None
    output: str = ""


class Link:
    """One socket, many calls under way."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Done]] = {}
        self._sending = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self.ended: asyncio.Event = asyncio.Event()

    async def begin(self, frame: dict[str, Any]) -> socket.socket | None:
        """Tell the host what box it is in, and wait until it is ready; the socket on which the box's requests arrive, if any."""
        self.theirs.close()
        await self._send(frame | {"op": "begin"})
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._ours.fileno(), lambda: None if readable.done() else readable.set_result(None))
        try:
            await readable
        finally:
            loop.remove_reader(self._ours.fileno())
        # Before any command has run, so that what comes is the host's own; what comes later can pass no descriptor.
        try:
            data, passed, _, _ = socket.recv_fds(self._ours, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            data, passed = b"", []
        sockets = [socket.socket(fileno=fd) for fd in passed]
        try:
            if len(data) < 4 or struct.unpack_from("!I", data)[0] != len(data) - 4 or _done(data[4:]).op != "ready":
                raise SandboxFailure("the tool host did not start")
        except SandboxFailure:
            for each in sockets:
                each.close()
            raise
        self._reader = asyncio.create_task(self._read())
        return sockets[0] if sockets else None

    async def ask(self, frame: dict[str, Any], seconds: float, grace: float) -> Done | None:
        """Send a call and wait for its answer; after so long it is cancelled, and None says that it was. Cancelled too if the waiting
        is. SandboxFailure if the host is gone.
        """
        number = next(self._numbers)
        waiting: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        if self.ended.is_set():
            raise SandboxFailure("the sandbox has ended")
        try:
            await self._send(frame | {"id": number})
            try:
                async with asyncio.timeout(seconds):
                    return await asyncio.shield(waiting)
            except TimeoutError:
                await self._send({"op": "cancel", "id": number})
            async with asyncio.timeout(grace):
                await asyncio.shield(waiting)
            return None
        except TimeoutError:
            self.close()
            raise SandboxFailure("the tool host no longer answers") from None
        except asyncio.CancelledError:
            if not waiting.done() and not self.ended.is_set():
                cancelling = asyncio.create_task(self._send({"op": "cancel", "id": number}))
                cancelling.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise
        finally:
            self._waiting.pop(number, None)
            if waiting.done() and not waiting.cancelled():
                waiting.exception()

    def close(self) -> None:
        """Let go of the socket; the host ends when it sees that."""
        if self._reader is not None:
            self._reader.cancel()
        self._end()
        self._ours.close()
        self.theirs.close()

    async def _send(self, frame: dict[str, Any]) -> None:
        data = json.dumps(frame).encode()  # which can say half a surrogate pair, that a model can send
        try:
            async with self._sending:
                await asyncio.get_running_loop().sock_sendall(self._ours, struct.pack("!I", len(data)) + data)
        except OSError:
            raise SandboxFailure("the sandbox has ended") from None

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        received = bytearray()
        try:
            while piece := await loop.sock_recv(self._ours, 256 * 1024):
                received += piece
                while len(received) >= 4:
                    (length,) = struct.unpack_from("!I", received)
                    if length > LONGEST:
                        return
                    if len(received) < 4 + length:
                        break
                    self._answered(_done(bytes(received[4 : 4 + length])))
                    del received[: 4 + length]
        except (OSError, SandboxFailure):
            pass
        finally:
            self._end()

    def _answered(self, done: Done) -> None:
        waiting = self._waiting.get(done.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(done)

    def _end(self) -> None:
        self.ended.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(SandboxFailure("the sandbox has ended"))


def _done(data: bytes) -> Done:
    try:
        done = msgspec.json.decode(data, type=Done)
    except msgspec.MsgspecError:
        raise SandboxFailure("the tool host said something that cannot be understood") from None
    for block in done.content:
        if block.get("type") not in ("text", "image", "document"):
            raise SandboxFailure("the tool host said something that cannot be understood")
    return done
