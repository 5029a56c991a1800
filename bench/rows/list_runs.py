"""Row 7: listing runs, the first page against a page deep inside, with few and with very many rows.

The rows are copies of real ones with other ids and instants, written straight into the SQLite file while the server is
down; the schema is read from the file, not known here.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from bench.report import AtMost, Section, arm, figure
from bench.rounds import Sample, drive, in_turn, job, ratio
from bench.servers import Server, rota
from bench.stage import Stage
from bench.workload import call, deploy, request
from rota.resources.deployment_runs import sql

TABLE = "deployment_runs"
SIZES = (10_000, 5_000_000)
QUICK_SIZES = (10_000, 200_000)
DEPLOYMENTS = 10
PAGE = 20
LONGEST_PAGE = 1000
CALLERS = 4
AIM = AtMost(2.0)
SPACING_MICROSECONDS = 1_000


class Walk(msgspec.Struct, frozen=True):
    """A way to list: its name, its query without the page, and how many rows it has."""

    name: str
    query: dict[str, str]
    rows: int


def database_file(directory: Path) -> Path:
    """The SQLite file that holds the runs."""
    for file in sorted(directory.rglob("*.db")) + sorted(directory.rglob("*.sqlite*")):
        with file.open("rb") as opened:
            if opened.read(15) != b"SQLite format 3":
                continue
        with sqlite3.connect(file) as connection:
            found = connection.execute(
                "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (TABLE,)
            ).fetchone()
        connection.close()
        if found:
            return file
    raise FileNotFoundError(f"no SQLite file with a table {TABLE} in the data directory")


def copies(patterns: list[dict[str, object]], count: int) -> Iterator[tuple[object, ...]]:
    """`count` rows in order of time, ending before the earliest pattern; the patterns take turns."""
    earliest = min(int(str(pattern["created_at"])) for pattern in patterns)
    for number in range(count):
        pattern = patterns[number % len(patterns)]
        # Only digits, after `01`: earlier than every real id in any alphabet, and growing with time like real ones.
        token = f"01{number:022d}"
        fresh: dict[str, object] = {
            "id": f"drun_{token}",
            "created_at": earliest - (count - number) * SPACING_MICROSECONDS,
        }
        if pattern["session_id"] is not None:
            fresh["session_id"] = f"sesn_{token}"
        yield tuple((pattern | fresh).values())


def fill(file: Path, count: int) -> None:
    """Make the table `count` rows long. Nobody analyses it: the planner knows as little as after real use."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.row_factory = sqlite3.Row
    patterns = [dict(row) for row in connection.execute(f"SELECT * FROM {TABLE} ORDER BY created_at")]
    columns = ", ".join(patterns[0])
    marks = ", ".join("?" * len(patterns[0]))
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    statement = f"INSERT INTO {TABLE} ({columns}) VALUES ({marks})"
    connection.executemany(statement, copies(patterns, count - len(patterns)))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def plan_of(file: Path, walk: Walk, *, deep: bool) -> str:
    """How SQLite finds a page: the plan of the server's own query, on one line."""
    query = sql.LIST.query(tuple(walk.query), seek=deep)
    values = {"workspace_id": "w", "limit": PAGE + 1, "seek_at": 0, "seek_id": "x"} | walk.query
    connection = sqlite3.connect(file)
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query.sqlite}", values)]
    connection.close()
    return "; ".join(steps)


def cursor_in_the_middle(server: Server, walk: Walk) -> str:
    """Walk to about half of the rows by the longest pages; the cursor there."""
    length = min(LONGEST_PAGE, walk.rows // 2)
    page: dict[str, str] = {}
    for _ in range(walk.rows // 2 // length):
        found = call(server, "GET", "/v1/deployment_runs?" + urlencode(walk.query | {"limit": str(length)} | page))
        page = {"page": found["next_page"]}
    return page["page"]


def one_round(server: Server, query: dict[str, str], stage: Stage) -> Sample:
    """One round of one page, over and over."""
    work = job(server, [request(server, "GET", "/v1/deployment_runs?" + urlencode(query))], CALLERS, stage.plan)
    return drive(work, {"server": server.gauge})


def filled(stage: Stage, rows: int) -> tuple[Path, list[Walk]]:
    """A data directory with so many runs, made by a server that is stopped again, and the ways to walk it."""
    directory = stage.scratch / str(rows)
    stage.tell(f"filling {rows:,} rows")
    with rota(directory) as server:
        deployments = deploy(server, count=DEPLOYMENTS)
        for deployment in deployments:
            call(server, "POST", f"/v1/deployments/{deployment}/run")
    fill(database_file(directory), rows)
    one = {"deployment_id": deployments[3]}
    return directory, [
        Walk(f"{rows:,} rows, all runs", {}, rows),
        Walk(f"{rows:,} rows, one deployment's", one, rows // DEPLOYMENTS),
    ]


def plans(directory: Path, walk: Walk) -> list[str]:
    """What the plans of both pages say, and whether they sort."""
    said: list[str] = []
    for deep in (False, True):
        plan = plan_of(database_file(directory), walk, deep=deep)
        sorts = "SORTS" if "TEMP B-TREE" in plan.upper() else "no sort"
        said.append(f"{walk.name}, {'deep' if deep else 'first'} page, {sorts}: {plan}")
    return said


def list_runs(stage: Stage) -> Section:
    """Row 7: pages of 20 runs, the first and one in the middle, all and of one deployment in ten, few and many rows."""
    sizes = QUICK_SIZES if stage.plan.quick else SIZES
    stores = [filled(stage, rows) for rows in sizes]
    arms: dict[str, Callable[[], Sample]] = {}
    with contextlib.ExitStack() as stack:
        for directory, walks in stores:
            server = stack.enter_context(rota(directory))
            for walk in walks:
                stage.tell(f"walking to the middle of {walk.name}")
                for place, page in (("first", {}), ("deep", {"page": cursor_in_the_middle(server, walk)})):
                    query = walk.query | {"limit": str(PAGE)} | page
                    arms[f"{walk.name}, {place} page"] = partial(one_round, server, query, stage)
        seen = in_turn(arms, stage.plan.rounds, stage.tell)
    cpu = {name: [one.cpu["server"] for one in samples] for name, samples in seen.items()}
    lines = [arm(name, samples) for name, samples in seen.items()]
    for walk in [walk for _, walks in stores for walk in walks]:
        value = ratio(cpu[f"{walk.name}, deep page"], cpu[f"{walk.name}, first page"])
        lines.append(figure(f"{walk.name}: deep / first, CPU", value, "x", AIM))
    for few, many in zip(stores[0][1], stores[1][1], strict=True):
        value = ratio(cpu[f"{many.name}, first page"], cpu[f"{few.name}, first page"])
        lines.append(figure(f"first page: {many.name} / {few.name}, CPU", value, "x"))
    notes = [said for directory, walks in stores for walk in walks for said in plans(directory, walk)]
    return Section(7, "lists", f"list deployment runs, SQLite, {CALLERS} callers", "only reads", lines, notes)
