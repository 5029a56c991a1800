"""Row 6: a route that touches no database, through the full route table, against a bare asyncio protocol."""

from __future__ import annotations

import contextlib
import socket
from functools import partial

from bench.report import AtMost, Line, Section, arm, figure
from bench.rounds import Sample, drive, in_turn, job, ratio
from bench.servers import HOST, Server, answering, rota
from bench.stage import Stage

PATH = "/healthz"
REQUEST = f"GET {PATH} HTTP/1.1\r\nhost: {HOST}\r\naccept: */*\r\n\r\n".encode()  # as a load balancer asks
CALLERS = 16
FULL = "rota, full route table"
RAW = "uvicorn alone, an ASGI application of two lines"
BARE = "bare protocol, uvloop"
BARE_ASYNCIO = "bare protocol, asyncio's own loop"
AIM = AtMost(3.5)


def raw_response(server: Server) -> bytes:
    """The exact bytes, head and body, that the server answers GET `PATH` with."""
    with socket.create_connection((HOST, server.port), timeout=10) as connection:
        connection.sendall(REQUEST)
        received = b""
        while True:
            received += connection.recv(65536)
            head, found, body = received.partition(b"\r\n\r\n")
            if found:
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if len(body) >= int(lengths[0].partition(b":")[2]):
                    return received


def one_round(server: Server, stage: Stage) -> Sample:
    """One round of the bare route."""
    work = job(server, [REQUEST], CALLERS, stage.plan)
    return drive(work, {"server": server.gauge})


def bare_route(stage: Stage) -> Section:
    """Row 6: GET /healthz of the real server, and the same bytes from three servers that do ever less, in turn."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(rota(stage.scratch / "rota"))
        response = raw_response(server)
        floors = {
            RAW: answering(stage.scratch / "raw", "raw", response),
            BARE: answering(stage.scratch / "bare", "bare", response, "uvloop"),
            BARE_ASYNCIO: answering(stage.scratch / "asyncio", "bare", response, "asyncio"),
        }
        arms = {FULL: partial(one_round, server, stage)}
        arms |= {name: partial(one_round, stack.enter_context(floor), stage) for name, floor in floors.items()}
        seen = in_turn(arms, stage.plan.rounds, stage.tell)
    cpu = {name: [sample.cpu["server"] for sample in samples] for name, samples in seen.items()}
    lines: list[Line] = [arm(name, samples) for name, samples in seen.items()]
    lines.append(figure("rota / bare protocol on uvloop, CPU per request", ratio(cpu[FULL], cpu[BARE]), "x", AIM))
    lines.append(figure("uvicorn alone / bare protocol on uvloop", ratio(cpu[RAW], cpu[BARE]), "x"))
    lines.append(figure("rota / uvicorn alone", ratio(cpu[FULL], cpu[RAW]), "x"))
    lines.append(figure("rota / bare protocol on asyncio's loop", ratio(cpu[FULL], cpu[BARE_ASYNCIO]), "x"))
    return Section(
        6,
        "bare-route",
        f"a route without a database (GET {PATH}), {CALLERS} callers",
        "nothing is written",
        lines,
        ["the aim is held against the bare protocol on uvloop, the loop that rota runs on"],
    )
