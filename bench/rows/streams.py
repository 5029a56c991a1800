"""Row 12: events to 1 and to 500 listeners, held against bare transport writes of the same bytes in the same run.

A batch of events is appended by one request, which the server answers when they are durable; the batch is over when every
listener has all of it. The floor writes the same frames to as many transports and does nothing else: it decodes no request,
commits nothing and reads no log.

Each round of the server has a session of its own. A request goes through the log back to the last model request, for calls that it
may answer, and no model is ever asked here: in one session each round would be slower than the one before.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import msgspec

from bench.listen import Job
from bench.load import Outcome
from bench.report import AtLeast, Line, Section, arm, figure
from bench.rounds import LoadError, Sample, in_turn, ratio
from bench.servers import HOST, ROOT, Server, environment, free_port, rota, running
from bench.stage import Stage
from bench.workload import HEADERS, call

BATCH = 10
CROWD = 500
MARK = "event: user.interrupt"
AIM = AtLeast(0.35)


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """A whole request."""
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    length = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\n{head}{length}\r\n".encode() + body


def append(session: str) -> bytes:
    """The request that appends a batch."""
    body = msgspec.json.encode({"events": [{"type": "user.interrupt"}] * BATCH})
    return request("POST", f"/v1/sessions/{session}/events", body)


def frames(server: Server, session: str) -> list[str]:
    """The frames of one batch, as the server sends them."""
    with (
        socket.create_connection((HOST, server.port), timeout=30) as listening,
        socket.create_connection((HOST, server.port), timeout=30) as sending,
    ):
        listening.sendall(request("GET", f"/v1/sessions/{session}/events/stream"))
        received = listening.recv(65536)
        sending.sendall(append(session))
        while received.count(b"\n\n\r\n") < 1 or received.count(MARK.encode()) < BATCH:
            received += listening.recv(65536)
    body = received.partition(b"\r\n\r\n")[2]
    text = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        text += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return [f"{each}\n\n" for each in text.decode().split("\n\n")[:-1]]


def one_round(server: Server, stage: Stage, streams: int, choose: Callable[[], str]) -> Sample:
    """One round of one arm, in the session that is chosen for it."""
    session = choose()
    job = Job(
        port=server.port, listen=request("GET", f"/v1/sessions/{session}/events/stream"), append=append(session),
        streams=streams, mark=MARK, batch=BATCH, seconds=stage.plan.seconds,
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.listen"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment({}),
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
            if process.stdout.readline() != b"ready\n":
                raise LoadError("the listeners ended before they were ready")
            before = server.gauge.cpu()
            process.stdin.write(b"go\n")
            process.stdin.flush()
            line = process.stdout.readline()
            cpu = server.gauge.cpu() - before
            if not line:
                raise LoadError("the listeners ended before they were done")
        finally:
            process.kill()
    seen = msgspec.json.decode(line, type=Outcome)
    return Sample(
        rate=seen.requests / seen.seconds,
        p50=seen.p50,
        p99=seen.p99,
        cpu={"server": cpu / seen.requests * 1e3},
        client_cpu=seen.client_cpu / seen.requests * 1e3,
    )


def streams(stage: Stage) -> Section:
    """Row 12: the real server and the floor, each with one listener and with many, in turn."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(rota(stage.scratch / "rota"))
        agent = call(server, "POST", "/v1/agents", {"name": "bench agent", "model": "claude-opus-4-6"})
        office = call(server, "POST", "/v1/environments", {"name": "bench"})

        def session() -> str:
            made: str = call(server, "POST", "/v1/sessions", {"agent": agent["id"], "environment_id": office["id"]})[
                "id"
            ]
            return made

        example = session()
        file = stage.scratch / "frames.json"
        file.write_bytes(msgspec.json.encode(frames(server, example)))
        port = free_port()
        floor = stack.enter_context(
            running(
                "bare_stream", ["-m", "bench.bare_stream", str(port), str(file)], port, "/readyz", stage.scratch, {}
            )
        )
        arms = {
            f"{name}, {count} listener{'' if count == 1 else 's'}": partial(one_round, each, stage, count, choose)
            for count in (1, CROWD)
            for name, each, choose in (("rota", server, session), ("bare writes", floor, lambda: example))
        }
        seen = in_turn(arms, stage.plan.rounds, stage.tell)
    rates = {name: [sample.rate for sample in samples] for name, samples in seen.items()}
    cpu = {name: [sample.cpu["server"] * 1e3 / CROWD for sample in samples] for name, samples in seen.items()}
    crowd, bare = f"rota, {CROWD} listeners", f"bare writes, {CROWD} listeners"
    lines: list[Line] = [arm(name, samples) for name, samples in seen.items()]
    lines.append(figure(f"rota / bare writes, events to {CROWD} listeners", ratio(rates[crowd], rates[bare]), "x", AIM))
    lines.append(
        figure(
            "rota / bare writes, events to 1 listener",
            ratio(rates["rota, 1 listener"], rates["bare writes, 1 listener"]),
            "x",
        )
    )
    lines.append(
        figure(
            f"rota, {CROWD} listeners: CPU for an event and listener", ratio(cpu[crowd], [1.0] * len(cpu[crowd])), "µs"
        )
    )
    lines.append(figure(f"bare writes, {CROWD} listeners: the same", ratio(cpu[bare], [1.0] * len(cpu[bare])), "µs"))
    return Section(
        12,
        "streams",
        f"events in batches of {BATCH}, appended by one request, to all who listen",
        "committed, fsync",
        lines,
        ["a rate is events a second, each told to every listener; a batch to 1 listener is mostly its commit"],
    )
