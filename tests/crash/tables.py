"""A look into the tables with no server in between: what is there, and what must never be."""

import sqlite3
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import psycopg

from rota.resources.sessions.sql import WAITING
from rota.store.db import is_sqlite, sqlite_path

_RUNS = "SELECT id, deployment_id, session_id, error_type, error_message FROM deployment_runs"
_SESSIONS = "SELECT id, deployment_id FROM sessions"
_THREADS = "SELECT session_id, parent_thread_id FROM session_threads"
_EVENTS = "SELECT session_id, position, type FROM session_events ORDER BY session_id, position"
_TOKENS = "SELECT session_id FROM session_tokens"
_KEYS = "SELECT key, reply FROM idempotency_keys"
_QUERIES = (_RUNS, _SESSIONS, _THREADS, _EVENTS, _TOKENS, _KEYS)

FIRST_EVENTS = ["user.message", "user.message"]
"""The types of the events with which every deployment of these tests begins."""


class Seen(NamedTuple):
    """What the tables hold, and what is wrong with it."""

    runs: dict[str, str]
    """Run id to deployment id."""
    keys: dict[str, str]
    """Idempotency-Key to the run of its reply."""
    half_made: list[str]
    """A sentence for each thing that is not whole."""

    def runs_of(self, deployment_id: str) -> int:
        """How many runs a deployment has."""
        return sum(each == deployment_id for each in self.runs.values())


def look(url: str) -> Seen:
    """One consistent snapshot of a database."""
    return judge(*(_sqlite(sqlite_path(url)) if is_sqlite(url) else _postgres(url)))


def _sqlite(path: Path) -> list[list[Any]]:
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("BEGIN")
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'deployment_runs'").fetchone() is None:
            return [[] for _ in _QUERIES]  # a power cut before the tables were made
        return [connection.execute(query).fetchall() for query in _QUERIES]
    finally:
        connection.close()


def _postgres(url: str) -> list[list[Any]]:
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return [connection.execute(query).fetchall() for query in _QUERIES]


def sound(path: Path) -> list[str]:
    """What SQLite itself finds wrong with a file that it may recover first; nothing if all is well."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    finally:
        connection.close()


def judge(
    runs: list[Any], sessions: list[Any], threads: list[Any], events: list[Any], tokens: list[Any], keys: list[Any]
) -> Seen:
    """Every run has a session or an error, never both; every session of a run is whole; nothing else is left lying about."""
    wrong: list[str] = []
    made_by = {session_id: deployment_id for session_id, deployment_id in sessions if deployment_id is not None}
    fired: Counter[str] = Counter()
    for run_id, deployment_id, session_id, error_type, error_message in runs:
        if (session_id is None) == (error_type is None) or (error_type is None) != (error_message is None):
            wrong.append(f"{run_id} does not have exactly one of session and error")
        if session_id is not None:
            fired[session_id] += 1
            if made_by.get(session_id) != deployment_id:
                wrong.append(f"{run_id} names session {session_id}, which is not there or is another deployment's")
    wrong += [f"session {each} has {fired[each]} runs" for each in made_by if fired[each] != 1]
    primary = Counter(session_id for session_id, parent in threads if parent is None)
    wrong += [f"session {each} has {primary[each]} primary threads" for each in made_by if primary[each] != 1]
    log: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for session_id, position, kind in events:
        log[session_id].append((position, kind))
    whole = list(enumerate(FIRST_EVENTS, WAITING + 1))  # nothing turns sessions here, so all of them wait
    wrong += [f"session {each} has the events {log.get(each)}" for each in made_by if log.get(each) != whole]
    sealed = Counter(row[0] for row in tokens)
    wrong += [f"session {each} has {sealed[each]} tokens" for each in made_by if sealed[each] != 1]
    there = {row[0] for row in sessions}
    for name, owners in (("thread", {row[0] for row in threads}), ("event", set(log)), ("token", set(sealed))):
        wrong += [f"a {name} is left of session {each}, which is not there" for each in owners - there]
    known = {row[0]: row[1] for row in runs}
    replies = {key: msgspec.json.decode(reply)["id"] for key, reply in keys}
    wrong += [
        f"key {key} replays {run_id}, which is not there" for key, run_id in replies.items() if run_id not in known
    ]
    return Seen(known, replies, wrong)
