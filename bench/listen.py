"""The load generator of row 12: one process that listens on N streams and has events appended, a batch at a time.

A batch is over when its request has been answered and every stream has told all of it; then the next is sent. Nothing is parsed
but the length of the answer: what a stream tells is counted by a mark that is in every event once.

Run as `python -m bench.listen`, spoken to like `bench.load`: a `Job` on stdin, `ready`, a line on stdin, an `Outcome`. Its
`requests` are events, each told to every stream; its latencies are those of batches.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from array import array
from typing import cast

import msgspec
import uvloop

from bench.load import HOST, Outcome, own_cpu


class Job(msgspec.Struct, frozen=True):
    """What to do: whole requests, how many streams to open, what is counted, and how often it comes in a batch."""

    port: int
    listen: bytes
    append: bytes
    streams: int
    mark: str
    batch: int
    seconds: float
    warmup_seconds: float = 0.3


class Round:
    """What is still awaited of the batch that is under way."""

    def __init__(self) -> None:
        self.left = 0
        self.over: asyncio.Future[None] | None = None

    def begin(self, left: int) -> asyncio.Future[None]:
        """The next batch."""
        self.left = left
        self.over = asyncio.get_running_loop().create_future()
        return self.over

    def done(self, count: int) -> None:
        """So much of it came."""
        self.left -= count
        if self.left <= 0 and self.over is not None and not self.over.done():
            self.over.set_result(None)

    def fail(self, reason: str) -> None:
        """It will not come."""
        if self.over is not None and not self.over.done():
            self.over.set_exception(ConnectionError(reason))


class Counting(asyncio.Protocol):
    """A connection on which marks are counted, wherever the pieces end."""

    transport: asyncio.Transport

    def __init__(self, mark: bytes, seen: Round) -> None:
        self.mark = mark
        self.seen = seen
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is not a subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        self.seen.fail(f"the server closed a connection: {exc!r}")

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self.opened.set_result(None)
        data = self.rest + data
        if count := data.count(self.mark):
            self.seen.done(count)
            data = data[data.rfind(self.mark) + len(self.mark) :]
        self.rest = data[-(len(self.mark) - 1) :]


async def work(job: Job) -> Outcome:
    """Open everything, warm up, say `ready`, wait for a line, measure."""
    loop = asyncio.get_running_loop()
    seen = Round()
    streams: list[Counting] = []
    for _ in range(job.streams):
        _, stream = await loop.create_connection(lambda: Counting(job.mark.encode(), seen), HOST, job.port)
        stream.transport.write(job.listen)
        await stream.opened
        streams.append(stream)
    _, writer = await loop.create_connection(lambda: Counting(b"HTTP/1.1 200 ", seen), HOST, job.port)

    async def phase(seconds: float) -> array[float]:
        latencies = array("d")
        deadline = time.perf_counter() + seconds
        while (began := time.perf_counter()) < deadline:
            over = seen.begin(job.batch * job.streams + 1)
            writer.transport.write(job.append)
            await asyncio.wait_for(over, 60)
            latencies.append(time.perf_counter() - began)
        return latencies

    await phase(job.warmup_seconds)
    gc.collect()
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    cpu, began = own_cpu(), time.perf_counter()
    latencies = sorted(await phase(job.seconds))
    seconds, last = time.perf_counter() - began, len(latencies) - 1
    for stream in [*streams, writer]:
        stream.seen = Round()
        stream.transport.abort()
    return Outcome(
        requests=len(latencies) * job.batch,
        seconds=seconds,
        p50=latencies[round(last * 0.50)] * 1e3,
        p99=latencies[round(last * 0.99)] * 1e3,
        slowest=latencies[last] * 1e3,
        client_cpu=own_cpu() - cpu,
        refused=0,
        first_refused="",
    )


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.readline(), type=Job)
    print(msgspec.json.encode(uvloop.run(work(given))).decode(), flush=True)
