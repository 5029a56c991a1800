"""Row 9: listing a memory store with 2,000 entries, held against the bare SQL of the same rows in the same run.

The store is filled through the API. The bare statements run in this process, on the same SQLite file, while the server is
up: they are those that the server's own room has (for a folder of folders, the plain statement that somebody would
write), fetch the rows, and do nothing with them.
"""

from __future__ import annotations

import contextlib
import http.client
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlencode

import msgspec

from bench.report import AtMost, Section, arm, figure
from bench.rounds import Sample, drive, in_turn, job, ratio
from bench.servers import HOST, Server, rota
from bench.stage import Stage
from bench.workload import HEADERS, call, request
from rota.resources.memory_stores import sql
from rota.resources.memory_stores.paths import below

ENTRIES = 2_000
FOLDERS = 20
CONTENT = "What was learnt about this customer today, in a line or two. " * 16  # about 1 KB
CALLERS = 4
BASIC, FULL = 100, 20
AIM = AtMost(10.0)

_GROUPED = """SELECT DISTINCT substr(path, 1, instr(substr(path, 2), '/') + 1) FROM memories
              WHERE memory_store_id = :memory_store_id AND path >= :path_from AND path < :path_before ORDER BY 1 LIMIT :limit"""


class Page(msgspec.Struct, frozen=True):
    """A page as the API gives it, how many items it must have, and the bare statements that fetch the same rows."""

    query: dict[str, str]
    items: int
    bare: Callable[[sqlite3.Connection, str], object]


def fill(server: Server) -> str:
    """A store with its memories, in folders of equal size; its id."""
    store: str = call(server, "POST", "/v1/memory_stores", {"name": "bench"})["id"]
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    for number in range(ENTRIES):
        folder, name = divmod(number, ENTRIES // FOLDERS)
        body = {"path": f"/customers-{folder:02}/note-{name:03}.md", "content": f"{number} {CONTENT}"}
        connection.request("POST", f"/v1/memory_stores/{store}/memories", msgspec.json.encode(body), HEADERS)
        response = connection.getresponse()
        received = response.read()
        if response.status != 200:
            raise ValueError(f"{response.status} {received[:500]!r}")
    connection.close()
    return store


def newest(connection: sqlite3.Connection, store: str, limit: int) -> list[Any]:
    """The rows of a list, newest first."""
    text = sql.LIST_MEMORIES.query().sqlite
    return connection.execute(text, {"memory_store_id": store, "limit": limit + 1}).fetchall()


def newest_with_contents(connection: sqlite3.Connection, store: str) -> object:
    """The rows of a list with contents."""
    found = newest(connection, store, FULL)
    ids = msgspec.json.encode([row[5] for row in found]).decode()
    return connection.execute(sql.CONTENTS.sqlite, {"ids": ids}).fetchall()


def one_folder(connection: sqlite3.Connection, store: str) -> object:
    """The rows of a folder that holds memories only."""
    path_from, path_before = below("/customers-07/")
    where = {"memory_store_id": store, "path_from": path_from, "path_before": path_before, "limit": BASIC + 1}
    found = connection.execute(sql.IN_PATH_ORDER.sqlite, where).fetchall()
    ids = msgspec.json.encode([row[1] for row in found]).decode()
    return connection.execute(sql.GET_MEMORIES.sqlite, {"ids": ids}).fetchall()


def folders(connection: sqlite3.Connection, store: str) -> object:
    """The names of a folder that holds folders only."""
    path_from, path_before = below("/")
    where = {"memory_store_id": store, "path_from": path_from, "path_before": path_before, "limit": BASIC + 1}
    return connection.execute(_GROUPED, where).fetchall()


PAGES = {
    "basic, page of 100": Page({"limit": str(BASIC)}, BASIC, partial(newest, limit=BASIC)),
    "full, page of 20": Page({"limit": str(FULL), "view": "full"}, FULL, newest_with_contents),
    "depth 1, a folder of 100 memories": Page(
        {"limit": str(BASIC), "depth": "1", "path_prefix": "/customers-07/"}, BASIC, one_folder
    ),
    "depth 1, 20 folders of 100 memories": Page({"limit": str(BASIC), "depth": "1"}, FOLDERS, folders),
}


def served(server: Server, path: str, stage: Stage) -> Sample:
    """One round of one page, over and over."""
    return drive(job(server, [request(server, "GET", path)], CALLERS, stage.plan), {"server": server.gauge})


def alone(file: Path, store: str, page: Page, stage: Stage) -> Sample:
    """One round of the bare statements, over and over, each time in a transaction of its own as the server's are."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -16000")
    waits: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    while (now := time.perf_counter()) < began + stage.plan.seconds:
        connection.execute("BEGIN")
        page.bare(connection, store)
        connection.execute("ROLLBACK")
        waits.append((time.perf_counter() - now) * 1e3)
    used, seconds = time.process_time() - cpu, time.perf_counter() - began
    connection.close()
    hundredths = quantiles(waits, n=100)
    return Sample(len(waits) / seconds, hundredths[49], hundredths[98], {"sql": used / len(waits) * 1e3}, 0.0)


def memory(stage: Stage) -> Section:
    """Row 9: four pages of one store, each through the server and as bare SQL, in turn."""
    arms: dict[str, Callable[[], Sample]] = {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(rota(stage.scratch / "rota"))
        stage.tell(f"filling a store with {ENTRIES:,} memories")
        store = fill(server)
        file = stage.scratch / "rota" / "rota.db"
        for name, page in PAGES.items():
            path = f"/v1/memory_stores/{store}/memories?" + urlencode(page.query)
            found = len(call(server, "GET", path)["data"])
            if found != page.items:
                raise ValueError(f"{name}: {found} items instead of {page.items}")
            arms[name] = partial(served, server, path, stage)
            arms[f"{name}, bare SQL"] = partial(alone, file, store, page, stage)
        seen = in_turn(arms, stage.plan.rounds, stage.tell)
    lines = [arm(name, samples) for name, samples in seen.items()]
    for name in PAGES:
        above = [sample.cpu["server"] for sample in seen[name]]
        bare = [sample.cpu["sql"] for sample in seen[f"{name}, bare SQL"]]
        lines.append(figure(f"{name}: served / bare SQL, CPU", ratio(above, bare), "x", AIM))
    return Section(
        9,
        "memory",
        f"list a memory store with {ENTRIES:,} entries of 1 KB, SQLite, {CALLERS} callers (bare SQL: one, in process)",
        "only reads",
        lines,
        ["the bare SQL fetches rows and does nothing with them: no HTTP, no key, no decoding, no JSON"],
    )
