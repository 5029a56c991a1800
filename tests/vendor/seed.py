"""A data folder that holds what the vendor's suites expect to find, under the very ids that they write.

Promises: everything is made by a real server through its public API, and only then given its literal id, in the file of
the stopped server; what no request can make (a second thread before there is a turn engine) is written beside it.
No part of the product knows any of this.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.acceptance.server import Server
from tests.cli.process import answer
from tests.vendor.exceptions import CONTENT

KEY = "my-anthropic-api-key"
"""The credential that the suites' clients carry."""

SETTINGS = {"ROTA_SQLITE_SYNCHRONOUS": "NORMAL"}
"""Of every server here: nobody cuts the power, and hundreds of fsyncs are not what is tested."""

_HELLO = [{"type": "user.message", "content": [{"type": "text", "text": "Where is my order #1234?"}]}]
_TOOLS = {"type": "agent_toolset_20260401"}
_WORKSPACE = "wrkspc_011CZkZaBF1tNoB5wlCeusgy"
_SESSION = "sesn_011CZkZAtmR3yMPDzynEDxu7"
_THREADS = ("sthr_011CZkZVWa6oIjw0rgXZpnBt", "sthr_011CZkZVWa6oJjw1rgXZpnBt")


def seed(folder: Path) -> Path:
    """Make the data folder below ``folder``; the path of its database. No server runs on it."""
    with Server(folder, key=KEY, **SETTINGS) as server:
        names = dict(_make(server))
    database = folder / "data" / "rota.db"
    with sqlite3.connect(database, isolation_level=None) as connection:
        connection.execute("BEGIN")
        _rename(connection, names)
        _add_threads(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return database


def _make(server: Server) -> Iterator[tuple[str, str]]:
    """Make the things; each one's real id and the literal that it is to have."""
    served = server.ask("GET", "/openapi.json").ok()["paths"]
    yield server.ask("GET", "/v1/agents").headers["anthropic-workspace-id"], _WORKSPACE
    yield from _organization(server)
    if "/v1/memory_stores" in served:
        yield from _memory_stores(server)
    yield from _runnable(server)


def _post(server: Server, path: str, /, **fields: Any) -> dict[str, Any]:
    return server.ask("POST", path, fields).ok()


def _organization(server: Server) -> Iterator[tuple[str, str]]:
    """A workspace beside the default one, and an API key of it."""
    admin = answer("keys", "create", "--admin", *server.place)["key"]
    workspace = server.ask("POST", "/v1/organizations/workspaces", {"name": "Another"}, key=admin).ok()
    yield workspace["id"], "workspace_id"
    yield answer("keys", "create", "--workspace", workspace["id"], *server.place)["id"], "api_key_id"


def _memory_stores(server: Server) -> Iterator[tuple[str, str]]:
    """A store, a memory in it, and that memory's first version, which is not its newest: only such a one can be redacted."""
    store = _post(server, "/v1/memory_stores", name="Orders")
    yield store["id"], "memory_store_id"
    memories = f"/v1/memory_stores/{store['id']}/memories"
    memory = _post(server, memories, path="/orders/1234.md", content="Where is it?")
    yield memory["id"], "memory_id"
    yield memory["memory_version_id"], "memory_version_id"
    _post(server, f"{memories}/{memory['id']}", content=CONTENT)


def _runnable(server: Server) -> Iterator[tuple[str, str]]:
    """Agents, environments, a deployment with a run, and a session that is idle and has a budget and a repository."""
    for literal in ("agent_011CZkYpogX7uDKUyvBTophP", "agent_011CZkYqphY8vELVzwCUpqiQ", "string"):
        agent = _post(server, "/v1/agents", name="My First Agent", model="claude-opus-5-5", tools=[_TOOLS])
        yield agent["id"], literal
    for literal in ("env_011CZkZ9X2dpNyB7HsEFoRfW", "x", "environment_id"):
        environment = _post(server, "/v1/environments", name=f"The one called {literal}", description="For orders")
        yield environment["id"], literal

    where = {"agent": agent["id"], "environment_id": environment["id"]}
    schedule = {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "America/Los_Angeles"}
    deployment = _post(server, "/v1/deployments", name="Order watch", **where, initial_events=_HELLO, schedule=schedule)
    yield deployment["id"], "depl_011CZkZcDH3vPqd7xnEfwTai"
    yield _post(server, f"/v1/deployments/{deployment['id']}/run")["id"], "deployment_run_id"

    repository = {
        "type": "github_repository",
        "url": "https://github.com/example-org/example-repo",
        "authorization_token": "ghp_exampletoken",
    }
    budget = {"type": "limit", "max_list_cost": {"amount": "1000", "currency": "USD"}}
    session = _post(server, "/v1/sessions", **where, resources=[repository], budget=budget)
    yield session["id"], _SESSION
    yield session["resources"][0]["id"], "sesrsc_011CZkZBJq5dWxk9fVLNcPht"
    _post(server, f"/v1/sessions/{session['id']}/events", events=[{"type": "user.interrupt"}])


def _rename(connection: sqlite3.Connection, names: Mapping[str, str]) -> None:
    """Put the literal ids in place of the real ones, wherever they stand: in columns, in bodies, in keys made of them."""
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for table in tables(connection, "main"):
        for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            if kind == "TEXT":
                for real, literal in names.items():
                    connection.execute(
                        f"UPDATE {table} SET {column} = replace({column}, :real, :literal) WHERE instr({column}, :real)",
                        {"real": real, "literal": literal},
                    )
    for _, sql in triggers:
        connection.execute(sql)


def _add_threads(connection: sqlite3.Connection) -> None:
    """Give the session two threads below its primary one, each under the id that one of the suites knows."""
    columns = [row[1] for row in connection.execute("PRAGMA table_info(session_threads)")]
    values = {"id": ":id", "parent_thread_id": "id", "created_at": "created_at + :later"}
    copied = ", ".join(values.get(column, column) for column in columns)
    for later, thread in enumerate(_THREADS, 1):
        connection.execute(
            f"INSERT INTO session_threads ({', '.join(columns)}) "
            f"SELECT {copied} FROM session_threads WHERE session_id = :session AND parent_thread_id IS NULL",
            {"id": thread, "session": _SESSION, "later": later},
        )


def tables(connection: sqlite3.Connection, schema: str) -> list[str]:
    """The names of a database's tables."""
    rows = connection.execute(
        f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return sorted(name for (name,) in rows)
