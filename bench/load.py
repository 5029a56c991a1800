"""The load generator: one process that keeps N connections to 127.0.0.1 busy with ready-made HTTP/1.1 requests.

It promises to be several times cheaper than any server it loads, so that on a two-core machine the server is what is
measured: requests are encoded once, a response is cut out of the stream by its `content-length`, and nothing is parsed
but the status line. Every connection has one request under way at a time. It is bounded in count and in time.

It does not follow redirects, speak TLS, decode chunked bodies or connect anywhere but to the loopback address.

Run as `python -m bench.load`: one line of JSON (a `Job`) on stdin; it connects, warms up, writes `ready`; on the next
line of stdin it runs the job and writes one line of JSON (an `Outcome`). The pause in between lets the parent read the
server's CPU clock around exactly the measured stretch.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from array import array
from typing import cast

import msgspec
import uvloop

HOST = "127.0.0.1"
GRACE_SECONDS = 60.0


class Job(msgspec.Struct, frozen=True):
    """What to send.

    `requests` are whole requests, sent in turn, each connection starting at another one. A phase ends when its seconds
    are over or its count is reached. `expect` must occur in every response body ("" = do not look).
    """

    port: int
    connections: int
    requests: list[bytes]
    seconds: float
    warmup_seconds: float = 0.3
    max_requests: int = 10_000_000
    expect: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What came back. Latencies in milliseconds, `client_cpu` in seconds of this process, `refused` counts responses
    that were not 200 or lacked the expected text, with the first of them in `first_refused`."""

    requests: int
    seconds: float
    p50: float
    p99: float
    slowest: float
    client_cpu: float
    refused: int
    first_refused: str


class Phase:
    """One stretch of load: when it ends, and what was seen in it."""

    def __init__(self, connections: int, seconds: float, max_requests: int) -> None:
        self.started = time.perf_counter()
        self.deadline = self.started + seconds
        self.left = max_requests
        self.busy = connections
        self.latencies = array("d")
        self.refused = 0
        self.first_refused = ""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_idle(self) -> None:
        self.busy -= 1
        if self.busy == 0 and not self.over.done():
            self.over.set_result(None)

    def fail(self, reason: str) -> None:
        if not self.over.done():
            self.over.set_exception(ConnectionError(reason))


class Connection(asyncio.Protocol):
    """One keep-alive connection that sends the next request as soon as the last response is whole."""

    transport: asyncio.Transport
    phase: Phase | None = None

    def __init__(self, job: Job, offset: int) -> None:
        self.requests = job.requests
        self.expect = job.expect.encode()
        self.turn = offset
        self.sent_at = 0.0
        self.received = b""
        self.whole_length = 0  # of the response under way, head and body; 0 = the head is not complete yet
        self.head_length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is not a subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        if self.phase is not None:
            self.phase.fail(f"the server closed a connection: {exc!r}")

    def begin(self, phase: Phase) -> None:
        self.phase = phase
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(self.requests[self.turn % len(self.requests)])
        self.turn += 1

    def data_received(self, data: bytes) -> None:
        self.received = received = self.received + data if self.received else data
        if not self.whole_length:
            head_end = received.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = received[:head_end].lower()
            at = head.find(b"content-length:")
            if at < 0:
                if self.phase is not None:
                    self.phase.fail(f"a response without content-length: {head[:200]!r}")
                return
            line_end = head.find(b"\r\n", at)
            length = head[at + 15 : line_end if line_end > 0 else head_end]
            self.head_length = head_end + 4
            self.whole_length = self.head_length + int(length)
        if len(received) >= self.whole_length:
            self.complete(received)

    def complete(self, response: bytes) -> None:
        phase = self.phase
        assert phase is not None
        now = time.perf_counter()
        phase.latencies.append(now - self.sent_at)
        if response[9:12] != b"200" or (self.expect and response.find(self.expect, self.head_length) < 0):
            phase.refused += 1
            phase.first_refused = phase.first_refused or response[:600].decode(errors="replace")
        self.received = b""
        self.whole_length = 0
        phase.left -= 1
        if now < phase.deadline and phase.left > 0:
            self.send()
        else:
            self.phase = None
            phase.connection_idle()


async def run_phase(connections: list[Connection], seconds: float, max_requests: int) -> Phase:
    """Keep all connections busy until the phase is over; the last responses are waited for."""
    phase = Phase(len(connections), seconds, max_requests)
    for connection in connections:
        connection.begin(phase)
    await asyncio.wait_for(phase.over, seconds + GRACE_SECONDS)
    return phase


def outcome(phase: Phase, client_cpu: float) -> Outcome:
    """Sum up a finished phase."""
    seconds = time.perf_counter() - phase.started
    ordered = sorted(phase.latencies)
    last = len(ordered) - 1
    return Outcome(
        requests=len(ordered),
        seconds=seconds,
        p50=ordered[round(last * 0.50)] * 1e3,
        p99=ordered[round(last * 0.99)] * 1e3,
        slowest=ordered[last] * 1e3,
        client_cpu=client_cpu,
        refused=phase.refused,
        first_refused=phase.first_refused,
    )


def own_cpu() -> float:
    """User and system seconds of this process."""
    times = os.times()
    return times.user + times.system


def main() -> None:
    """Read a job, warm up, say `ready`, wait for a line, run, report."""
    job = msgspec.json.decode(sys.stdin.readline(), type=Job)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)

    async def connect() -> list[Connection]:
        made: list[Connection] = []
        for number in range(job.connections):
            _, connection = await loop.create_connection(lambda n=number: Connection(job, n), HOST, job.port)
            made.append(connection)
        return made

    connections = loop.run_until_complete(connect())
    loop.run_until_complete(run_phase(connections, job.warmup_seconds, job.max_requests))
    gc.collect()
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    sys.stdin.readline()
    before = own_cpu()
    phase = loop.run_until_complete(run_phase(connections, job.seconds, job.max_requests))
    print(msgspec.json.encode(outcome(phase, own_cpu() - before)).decode(), flush=True)


if __name__ == "__main__":
    main()
