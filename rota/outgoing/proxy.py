"""The way out of a sandbox: an HTTP proxy on a socket that listens inside the sandbox's own network.

Whoever connects is that sandbox, so nobody has to say who they are. CONNECT makes a tunnel; a request with a whole URL is passed on.
Promises: the host is judged by its name, then resolved once; every address that it has is judged, and one of those is dialled;
this machine's own addresses are refused like private ones. What is passed on is put together anew from what was understood, one
request a connection, and redirects are answers like any other. A sandbox cannot hold more than so many connections, nor one in
silence for ever. Does not look into tunnels, and logs nothing that a request holds.
"""

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from rota.outgoing import guard
from rota.outgoing.failures import ForbiddenAddress, OutgoingFailure, Unreachable
from rota.outgoing.reach import Reach
from rota.outgoing.resolve import Resolve, is_own, system_resolve

if TYPE_CHECKING:
    import h11

CONNECTIONS: Final = 128
"""How many a sandbox may hold at a time."""
LOOK_UPS: Final = 4
HEAD_SECONDS: Final = 20.0
DIAL_SECONDS: Final = 15.0
IDLE_SECONDS: Final = 300.0
PIECE: Final = 64 * 1024

_OWN_HEADERS: Final = frozenset(
    b"connection expect host keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer upgrade".split()
)
"""What is between two neighbours only, or is put anew."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Refused(Exception):
    """An answer of the proxy's own."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Gate:
    """The proxy of one sandbox. ``reach`` may be changed; what is connected stays until ``drop``."""

    def __init__(self, listener: socket.socket, reach: Reach, resolve: Resolve = system_resolve) -> None:
        self.reach = reach
        self.refused = 0
        self._listener = listener
        self._resolve = resolve
        self._look_ups = asyncio.Semaphore(LOOK_UPS)
        self._held: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to accept."""
        # In two steps, so that there is something to close when the second is cancelled.
        self._server = await asyncio.start_server(self._accept, sock=self._listener, limit=PIECE, start_serving=False)
        await self._server.start_serving()

    def drop(self) -> None:
        """End every connection."""
        for task in self._held:
            task.cancel()

    async def close(self) -> None:
        """Accept no more, and end what is there."""
        if self._server is not None:
            self._server.close()
        self._listener.close()
        self.drop()
        if self._held:
            await asyncio.wait(self._held)
        await asyncio.sleep(0)  # transports that were aborted let go of their sockets in the loop's next round

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._held) >= CONNECTIONS:
            writer.transport.abort()
            return
        self._held.add(task)
        try:
            await _Visit(self, reader, writer).serve()
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # the sandbox went away, was silent for too long, or is being closed
        finally:
            self._held.discard(task)
            writer.transport.abort() if writer.is_closing() else writer.close()

    async def dial(self, target: guard.Target) -> Streams:
        """Connect to a target's host if that may be. Refused."""
        try:
            self.reach.check(target)
            async with asyncio.timeout(DIAL_SECONDS):
                return await self._dial(target)
        except ForbiddenAddress as exc:
            self.refused += 1
            raise Refused(403, str(exc)) from None
        except TimeoutError:
            raise Refused(504, f"{target.host} did not take the connection in time") from None
        except OutgoingFailure as exc:
            raise Refused(502, str(exc)) from None

    async def _dial(self, target: guard.Target) -> Streams:
        if target.address is not None:
            addresses = [target.address]
        else:
            async with self._look_ups:
                addresses = [ip_address(text) for text in await self._resolve(target.host, target.port)]
        self.reach.judge(target, addresses)
        allowed = self.reach.allowed
        for address in addresses:
            if not (allowed.name(target) or allowed.address(address, target.port)) and is_own(address):
                raise ForbiddenAddress(f"{target.host} is this server's own machine")
        for address in addresses:
            with suppress(OSError):
                return await asyncio.open_connection(str(address), target.port, limit=PIECE)
        raise Unreachable(f"{target.host} cannot be connected to at port {target.port}")


class _Visit:
    """One connection of a sandbox."""

    def __init__(self, gate: Gate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import h11  # 8 ms, for a server whose sandboxes ask anybody

        self._h11 = h11
        self._gate = gate
        self._reader = reader
        self._writer = writer
        self._inner = h11.Connection(h11.SERVER, max_incomplete_event_size=32 * 1024)

    async def serve(self) -> None:
        """Hear what is asked for, and do it or say why not."""
        h11 = self._h11
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                request = await _next(self._inner, self._reader)
            if not isinstance(request, h11.Request):
                return
            names = [name for name, _ in request.headers]
            if b"transfer-encoding" in names and b"content-length" in names:
                raise Refused(400, "the length of the request is given twice")
            if request.method == b"CONNECT":
                await self._tunnel(request, names)
            else:
                await self._pass_on(request)
        except h11.ProtocolError:
            await self._say(400, "this is not a request that a proxy understands")
        except Refused as exc:
            await self._say(exc.status, str(exc))

    async def _tunnel(self, request: "h11.Request", names: list[bytes]) -> None:
        if b"transfer-encoding" in names or b"content-length" in names:
            raise Refused(400, "CONNECT has no body")
        authority = request.target.decode("ascii", "replace")
        if not authority.rpartition(":")[2].isdigit():
            raise Refused(400, "CONNECT needs host:port")
        outer = await self._gate.dial(_target(f"https://{authority}"))
        try:
            await _next(self._inner, self._reader)  # that there is no body
            early, _ = self._inner.trailing_data
            self._writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            outer[1].write(early)
            await _splice((self._reader, self._writer), outer)
        finally:
            outer[1].transport.abort()

    async def _pass_on(self, request: "h11.Request") -> None:
        h11 = self._h11
        target = _target(request.target.decode("ascii", "replace"))
        if target.scheme != "http":
            raise Refused(400, "https goes by CONNECT")
        outer = await self._gate.dial(target)
        try:
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 * 1024)
            headers = [(b"host", target.authority.encode()), *_own(request.headers), (b"connection", b"close")]
            asked = h11.Request(method=request.method, target=target.path.encode(), headers=headers)
            outer[1].write(_sent(connection, asked))
            if self._inner.they_are_waiting_for_100_continue:
                self._writer.write(_sent(self._inner, h11.InformationalResponse(status_code=100, headers=[])))
            sending = asyncio.create_task(self._send_body(connection, outer[1]))
            try:
                await self._answer(connection, outer[0])
            except h11.RemoteProtocolError:
                raise Refused(502, f"{target.host} does not answer in HTTP") from None
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError, OSError, TimeoutError, h11.ProtocolError):
                    await sending
        finally:
            outer[1].transport.abort()

    async def _send_body(self, connection: "h11.Connection", outer: asyncio.StreamWriter) -> None:
        h11 = self._h11
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                event = await _next(self._inner, self._reader)
                if isinstance(event, h11.Data):
                    outer.write(_sent(connection, h11.Data(data=event.data)))
                elif isinstance(event, h11.EndOfMessage):
                    outer.write(_sent(connection, h11.EndOfMessage()))
                    return
                else:
                    return
                await outer.drain()

    async def _answer(self, connection: "h11.Connection", outer: asyncio.StreamReader) -> None:
        h11 = self._h11
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                event = await _next(connection, outer)
                if isinstance(event, h11.Response):
                    headers = [*_own(event.headers), (b"connection", b"close")]
                    event = h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)
                if isinstance(event, h11.Response | h11.Data):
                    self._writer.write(_sent(self._inner, event))
                elif isinstance(event, h11.EndOfMessage):
                    self._writer.write(_sent(self._inner, h11.EndOfMessage()))
                    await self._writer.drain()
                    return
                elif not isinstance(event, h11.InformationalResponse):
                    return
                await self._writer.drain()

    async def _say(self, status: int, sentence: str) -> None:
        h11 = self._h11
        if self._inner.our_state not in (h11.SEND_RESPONSE, h11.IDLE):
            return  # half an answer is there already
        text = f"{sentence}\n".encode()
        headers = [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(text))),
            ("connection", "close"),
        ]
        with suppress(h11.ProtocolError, OSError):
            self._writer.write(_sent(self._inner, h11.Response(status_code=status, headers=headers)))
            self._writer.write(_sent(self._inner, h11.Data(data=text)))
            await self._writer.drain()


def _target(url: str) -> guard.Target:
    try:
        return guard.parse(url)
    except ForbiddenAddress as exc:
        raise Refused(400, str(exc)) from None


def _own(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers that go on: not those between neighbours, nor those that ``connection`` names as such."""
    between, headers = set(_OWN_HEADERS), list(headers)
    for name, value in headers:
        if name == b"connection":
            between |= {word.strip().lower() for word in value.split(b",")} - {b"content-length", b"transfer-encoding"}
    if any(name == b"transfer-encoding" for name, _ in headers):
        between.add(b"content-length")
    return [(name, value) for name, value in headers if name not in between]


async def _next(connection: "h11.Connection", reader: asyncio.StreamReader) -> object:
    import h11

    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event
        connection.receive_data(await reader.read(PIECE))


def _sent(connection: "h11.Connection", event: "h11.Event") -> bytes:
    return connection.send(event) or b""


async def _splice(inner: Streams, outer: Streams) -> None:
    """Carry bytes both ways, until both have ended or neither has moved for long."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(IDLE_SECONDS) as deadline, asyncio.TaskGroup() as both:

            async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while piece := await source.read(PIECE):
                    deadline.reschedule(loop.time() + IDLE_SECONDS)
                    sink.write(piece)
                    await sink.drain()
                sink.write_eof()

            both.create_task(carry(inner[0], outer[1]))
            both.create_task(carry(outer[0], inner[1]))
    except* OSError:
        pass  # one of them broke off, or there was silence for too long; the other hears of it by the end of its connection
