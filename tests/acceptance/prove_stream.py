"""``python -m tests.acceptance.prove_stream``: streams cut off at random bytes, slow readers, and a thousand listeners.

Prints a table. The exit code is 1 if an event was missed, told twice or out of order, if a slow reader cost more than a megabyte
or held up another, or if a listener missed something.
"""

import argparse
import contextlib
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from tests.acceptance.server import Server
from tests.acceptance.streaming import Follower, Reader, listed, send, session
from tests.databases import fresh, postgres_server, relax

HEAD = 400
"""Bytes that the head of a response takes, more or less: cuts fall into it, too."""
ROOM = 1_000_000
"""Bytes that a reader may cost."""
SEAL = {"ROTA_SEAL_KEY": "c2l4dGVlbiBzaXh0ZWVuIHNpeHRlZW4gc2l4dGVlbiE"}
"""Servers of one database share the key."""


class Cuts(NamedTuple):
    """What became of one session that was followed in pieces."""

    reconnects: int
    events: int
    twice: int
    missed: int
    wrong: bool
    seconds: float


@contextlib.contextmanager
def writing(server: Server, session_id: str, pause: float) -> Iterator[list[str]]:
    """Somebody who goes on appending to the log; what was appended."""
    written: list[str] = []
    over = threading.Event()

    def write() -> None:
        dice = random.Random(7)
        while not over.is_set():
            written.extend(send(server, session_id, dice.randint(1, 3)))
            over.wait(pause)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        over.set()
        thread.join()


def cuts(writer: Server, reader: Server, reconnects: int, seed: int = 1, pause: float = 0.01) -> Cuts:
    """Follow one session over so many connections, each cut off at a random byte, while it is written to."""
    began = time.monotonic()
    session_id = session(writer)
    dice = random.Random(seed)
    follower = Follower(reader, session_id)
    with writing(writer, session_id, pause):
        for _ in range(reconnects):
            follower.connect(dice.randint(1, HEAD + dice.choice((200, 1000, 4000))), hard=dice.random() < 0.5)
    follower.catch_up()
    log = [event["id"] for event in listed(writer, session_id)]
    missed = len(set(log) - set(follower.known))
    return Cuts(reconnects, len(log), follower.twice, missed, follower.known != log, time.monotonic() - began)


class Slow(NamedTuple):
    """What readers that take nothing cost."""

    readers: int
    sent: int
    each: float
    quick: float
    complete: bool


def slow(server: Server, readers: int, events: int) -> Slow:
    """So many readers take nothing while large events come, and one takes everything; then one of the slow goes on."""
    session_id = session(server)
    process = psutil.Process(server.process.pid)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(Reader(server, session_id, buffer=4096)).open() for _ in range(readers)]
        quick = stack.enter_context(Reader(server, session_id)).open()
        size, delays = 0, list[float]()
        before = 0
        for number in range(events):
            if number == events // 10:  # what the first ones take is the server's own
                before = process.memory_info().rss
            metadata = {f"key{each}": f"{number:06}" + "x" * 500 for each in range(16)}
            began = time.perf_counter()
            server.ask("POST", f"/v1/sessions/{session_id}", {"metadata": metadata}).ok()
            [frame] = quick.take(1)
            delays.append(time.perf_counter() - began)
            size += len(str(frame.data))
        each = (process.memory_info().rss - before) / readers
        whole = [frame.id for frame in opened[0].take(events)]
        complete = whole == [event["id"] for event in listed(server, session_id)]
    return Slow(readers, size, each, quantiles(delays, n=100)[98], complete)


class Many(NamedTuple):
    """What many listeners heard."""

    listeners: int
    events: int
    complete: int
    seconds: float
    memory: float


def many(server: Server, listeners: int, events: int) -> Many:
    """So many listen to one session in one process; each must hear everything in order."""
    session_id = session(server)
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(Reader(server, session_id)).open() for _ in range(listeners)]
        memory = (process.memory_info().rss - before) / listeners
        began = time.monotonic()
        sent = [each for _ in range(events) for each in send(server, session_id)]
        complete = sum([frame.id for frame in reader.take(events)] == sent for reader in opened)
        return Many(listeners, events, complete, time.monotonic() - began, memory)


def main() -> int:
    """Run as told; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.prove_stream", description=__doc__)
    parser.add_argument("--reconnects", type=int, default=1000, help="for each database")
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--slow", type=int, default=50, help="readers that take nothing")
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * given.listeners)), hard))
    console = Console(width=None if sys.stdout.isatty() else 150)
    good = True
    with tempfile.TemporaryDirectory(prefix="rota-streams-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        postgres = stack.enter_context(postgres_server())
        table = Table("written to", "read from", "reconnects", "events", "twice", "missed", "order", "seconds")
        for where in ("sqlite", "postgres"):
            url = stack.enter_context(fresh(where, folder, postgres))
            if where == "postgres":
                relax(url)
            with Server(folder / where, url, **SEAL) as one:
                rows = [("itself", cuts(one, one, given.reconnects))]
                if where == "postgres":
                    with Server(folder / "other", url, **SEAL) as other:
                        rows.append(("another process", cuts(one, other, given.reconnects, seed=2)))
                for reader, found in rows:
                    good = good and not found.wrong
                    table.add_row(
                        where, reader, str(found.reconnects), str(found.events), str(found.twice), str(found.missed),
                        "wrong" if found.wrong else "kept", f"{found.seconds:.1f}",
                    )  # fmt: skip
        console.print(table)
        with Server(folder / "slow") as server:
            lazy = slow(server, given.slow, 600)
            console.print(
                f"{lazy.readers} readers that take nothing, {lazy.sent / 1e6:.1f} MB of events: {lazy.each / 1e3:.0f} kB each; "
                f"another reader waits {lazy.quick * 1e3:.1f} ms at p99; one that goes on has everything: {lazy.complete}"
            )
            crowd = many(server, given.listeners, 50)
            console.print(
                f"{crowd.listeners} listeners of one session, {crowd.events} events: {crowd.complete} heard everything in order, "
                f"{crowd.listeners * crowd.events / crowd.seconds:.0f} events/s together, {crowd.memory / 1e3:.0f} kB each"
            )
        good = good and lazy.each <= ROOM and lazy.complete and crowd.complete == crowd.listeners
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
