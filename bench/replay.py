"""Plays run-now's own SQL again with pgbench: what the database can do when nobody decodes a request.

The transactions are not written here: they are captured from the database's log while the server is under load, with
their parameters. Each becomes a pgbench script whose clients fetch the parameters once, keep them as variables, and
bind them again and again, so that they travel as the server's did. What must be new each time is found by looking, not
by knowing the schema: an id that occurs in one captured transaction only was minted in it, and so was an instant. The
time part of such an id and every such instant are replaced in SQL by a counter, so that keys stay unique and go on
growing as real ones do; everything else, the size of the batches included, stays as it was sent.

The replay does not retry differently, tune the session otherwise, or change the isolation level that was captured.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from bench.database import Cluster

ID = re.compile(r"\b[a-z]+_01([0-9A-Za-z]{22})\b")
INSTANT = re.compile(r"(?<![0-9A-Za-z_])1[0-9]{15}(?![0-9A-Za-z_])")  # microseconds since 1970
PARAMETER = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')", re.DOTALL)
PLACEHOLDER = re.compile(r"\$(\d+)")
TIME_CHARACTERS = 9  # of the 22 after `01`; the other 13 are random and keep the ids of one batch apart
ID_MARK = "~" * TIME_CHARACTERS
INSTANT_MARK = "^" * 16
RUN_TABLE = "deployment_runs"
SCRIPTS = 12
# As the server's own connections: generic plans, no sequential scans on small tables.
SESSION = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"


class Statement(msgspec.Struct):
    """One statement as it was sent; `parameters` as text, None for NULL."""

    text: str
    parameters: list[str | None]


class Transaction(msgspec.Struct):
    """One committed transaction: which connection sent it, and all statements from BEGIN to COMMIT."""

    connection: int
    statements: list[Statement]

    def text(self) -> str:
        """All parameters as one text."""
        return "\n".join(value for statement in self.statements for value in statement.parameters if value)


class Replay(msgspec.Struct):
    """Scripts that are ready to be played, the number of connections that sent them, and the mean batch."""

    scripts: list[Path]
    connections: int
    mean_runs: float


class Played(msgspec.Struct):
    """What pgbench did: runs a second, and milliseconds of the database's CPU a run."""

    rate: float
    cpu: float


class CaptureError(Exception):
    """The log held nothing that could be played again; the message says what was missing."""


def statement_of(entry: dict[str, Any]) -> Statement | None:
    """The statement of one log entry, if it is one."""
    message: str = entry.get("message", "")
    head, colon, text = message.partition(": ")
    if not colon or not (head == "statement" or head.startswith("execute ")):
        return None
    found = PARAMETER.findall(entry.get("detail", ""))
    values = {int(number): None if value == "NULL" else value[1:-1].replace("''", "'") for number, value in found}
    return Statement(text.strip().rstrip(";"), [values[number] for number in sorted(values)])


def transactions(entries: Sequence[dict[str, Any]]) -> list[Transaction]:
    """The committed transactions that recorded runs."""
    open_now: dict[int, Transaction] = {}
    committed: list[Transaction] = []
    for entry in entries:
        statement = statement_of(entry)
        if statement is None:
            continue
        connection: int = entry["pid"]
        first_word = statement.text.split(None, 1)[0].upper() if statement.text else ""
        if first_word == "BEGIN":
            open_now[connection] = Transaction(connection, [])
        transaction = open_now.get(connection)
        if transaction is None:
            continue
        transaction.statements.append(statement)
        if first_word in ("COMMIT", "ROLLBACK"):
            del open_now[connection]
            recorded = any(f"INSERT INTO {RUN_TABLE}" in one.text for one in transaction.statements)
            if first_word == "COMMIT" and recorded:
                committed.append(transaction)
    return committed


def runs_in(transaction: Transaction) -> int:
    """How many runs a transaction recorded."""
    return len({found[0] for found in re.finditer(r"\bdrun_01[0-9A-Za-z]{22}\b", transaction.text())})


def minted(captured: Sequence[Transaction]) -> set[str]:
    """Ids and instants that occur in exactly one of the transactions."""
    seen: Counter[str] = Counter()
    for transaction in captured:
        text = transaction.text()
        seen.update({found[0] for pattern in (ID, INSTANT) for found in pattern.finditer(text)})
    return {text for text, times in seen.items() if times == 1}


def marked(value: str, fresh: set[str]) -> str:
    """A parameter with marks in place of what must be new each time."""

    def mark_id(found: re.Match[str]) -> str:
        start = found.start(1) - found.start()
        text = found[0]
        return text[:start] + ID_MARK + text[start + TIME_CHARACTERS :] if text in fresh else text

    value = ID.sub(mark_id, value)
    return INSTANT.sub(lambda found: INSTANT_MARK if found[0] in fresh else found[0], value)


def expression(variable: str, value: str, kind: str | None) -> str:
    """What stands in the script in place of a parameter; `kind` is its type where PostgreSQL could say."""
    made = f":{variable}"
    if ID_MARK in value:
        made = f"replace({made}::text, '{ID_MARK}', 'z' || lpad(:turn::text, {TIME_CHARACTERS - 1}, '0'))"
    if INSTANT_MARK in value:
        made = f"replace({made}::text, '{INSTANT_MARK}', (1900000000000000 + :turn::bigint)::text)"
    return f"({made})::{kind}" if kind else made


def parameter_types(connection: psycopg.Connection[Any], text: str) -> list[str]:
    """The types that PostgreSQL gives to the parameters of a statement; empty where it cannot tell."""
    try:
        connection.execute(f"PREPARE look AS {text}".encode(), prepare=False)
    except psycopg.Error:
        return []
    found = connection.execute(
        "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'look'"
    ).fetchone()
    connection.execute("DEALLOCATE look")
    return found[0] if found else []


def script(
    connection: psycopg.Connection[Any], table: str, number: int, transaction: Transaction, fresh: set[str]
) -> str:
    """A transaction as a pgbench script; its parameters go into a table that the script's clients read once."""
    stored: dict[str, str] = {}
    body: list[str] = []
    for statement in transaction.statements:
        kinds = parameter_types(connection, statement.text) if statement.parameters else []

        def filled(
            found: re.Match[str], values: list[str | None] = statement.parameters, kinds: list[str] = kinds
        ) -> str:
            at = int(found[1]) - 1
            kind = kinds[at] if at < len(kinds) else None
            value = values[at]
            if value is None:
                return f"NULL::{kind}" if kind else "NULL"
            variable = f"s{number}_p{len(stored)}"
            stored[variable] = marked(value, fresh)
            return expression(variable, stored[variable], kind)

        text = PLACEHOLDER.sub(filled, statement.text) if statement.parameters else statement.text
        body.append(" ".join(text.split("\n")) + ";")
    with connection.cursor() as cursor:
        rows = [(number, name, value) for name, value in stored.items()]
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s, %s)".encode(), rows)
    columns = ", ".join(f"max(value) FILTER (WHERE name = '{name}') AS {name}" for name in stored)
    lines = [
        f"\\if not :loaded{number}",
        f"SELECT {columns} FROM {table} WHERE script = {number} \\gset",
        f"\\set loaded{number} true",
        "\\endif",
        "\\set count :count + 1",
        "\\set turn :count * :connections + :client_id",
    ]
    return "\n".join([*lines, *body]) + "\n"


def prepare(cluster: Cluster, entries: Sequence[dict[str, Any]], directory: Path) -> Replay:
    """Make scripts of a capture, spread evenly over it; raises CaptureError when there is too little of it."""
    captured = transactions(entries)
    if len(captured) < 2:
        raise CaptureError(f"{len(captured)} committed transactions with runs in {len(entries)} log entries")
    fresh = minted(captured)
    captured = captured[len(captured) // 4 :]  # the first ones prepare statements and are smaller than usual
    chosen = captured[:: max(1, len(captured) // SCRIPTS)][:SCRIPTS]
    directory.mkdir(parents=True, exist_ok=True)
    scripts: list[Path] = []
    table = "bench_parameters_" + re.sub(r"\W+", "_", directory.name)
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table} (script int, name text, value text)".encode())
        for number, transaction in enumerate(chosen):
            file = directory / f"{number:03d}.sql"
            file.write_text(script(connection, table, number, transaction, fresh))
            scripts.append(file)
    mean = sum(map(runs_in, chosen)) / len(chosen)
    return Replay(scripts, len({transaction.connection for transaction in captured}), mean)


def play(cluster: Cluster, replay: Replay, seconds: float, start: int) -> Played:
    """Play the scripts for some seconds; `start` (a round's number) keeps the ids of all rounds apart."""
    files = [word for file in replay.scripts for word in ("-f", str(file))]
    variables = ["-D", f"count={start * 1_000_000}", "-D", f"connections={replay.connections}"]
    variables += [word for number in range(len(replay.scripts)) for word in ("-D", f"loaded{number}=false")]
    counts = ["-c", str(replay.connections), "-j", "1", "-T", str(max(1, round(seconds)))]
    before_runs, before_cpu = cluster.count(RUN_TABLE), cluster.gauge.cpu()
    done = subprocess.run(
        [
            cluster.programs / "pgbench",
            "-n",
            "-M",
            "prepared",
            "--max-tries=20",
            *counts,
            *variables,
            *files,
            cluster.url,
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PGOPTIONS": SESSION},
    )
    after_cpu = cluster.gauge.cpu()
    runs = cluster.count(RUN_TABLE) - before_runs
    rates = re.findall(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    processed = re.findall(r"transactions actually processed: (\d+)", done.stdout)
    if done.returncode or not rates or not processed or not runs:
        raise CaptureError(f"pgbench could not play it again ({done.returncode}): {done.stderr[-1500:]}")
    took = int(processed[0]) / float(rates[0])
    return Played(runs / took, (after_cpu - before_cpu) / runs * 1e3)
