"""A data folder that holds what the vendor's suites expect to find, under the very ids that they write.

Promises: everything is made by a real server through its public API, and only then given its literal id, in the file of
the stopped server; what no request can make (a second thread before there is a turn engine) is written beside it.
No part of the product knows any of this.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rota.api import SEALED
from rota.base import key_file
from rota.base.seal import Sealer
from rota.resources.webhooks import wire as webhooks
from rota.store.sealed import SealedColumn
from tests.acceptance.server import Server, read_answer
from tests.cli.process import answer
from tests.vendor.exceptions import CONTENT, EMPTY_SKILL, REMOVABLE, SKILL, VERSION_NUMBER
from tests.vendor.families import ENVIRONMENT

KEY = "my-anthropic-api-key"
"""The credential that the suites' clients carry."""

SETTINGS = {"ROTA_SQLITE_SYNCHRONOUS": "NORMAL", "ROTA_ONLY": "api"}
"""Of every server here: nobody cuts the power, and nothing may change but by request."""

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
    sealer = key_file.load(None, folder / "data" / "seal.key")
    with sqlite3.connect(database, isolation_level=None) as connection:
        connection.execute("BEGIN")
        secrets = list(_open(connection, sealer, names))
        _rename(connection, names)
        _seal(connection, sealer, secrets)
        _add_threads(connection)
        _allow_downloads(connection)
        _number_version(connection)
        _queue_work(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return database


def _make(server: Server) -> Iterator[tuple[str, str]]:
    """Make the things; each one's real id and the literal that it is to have."""
    yield server.ask("GET", "/v1/agents").headers["anthropic-workspace-id"], _WORKSPACE
    yield from _organization(server)
    yield from _files(server)
    yield from _skills(server)
    yield from _vaults(server)
    yield from _memory_stores(server)
    yield from _runnable(server)


def _post(server: Server, path: str, /, **fields: Any) -> dict[str, Any]:
    return server.ask("POST", path, fields).ok()


def _organization(server: Server) -> Iterator[tuple[str, str]]:
    """A workspace beside the default one, an API key of it, and a webhook endpoint of the organization."""
    admin = answer("keys", "create", "--admin", *server.place)["key"]
    workspace = server.ask("POST", "/v1/organizations/workspaces", {"name": "Another"}, key=admin).ok()
    yield workspace["id"], "workspace_id"
    endpoint = {
        "url": "https://example.com/orders",
        "name": "Orders",
        "enabled_events": ["user_profile.enforcement_action_opened"],
    }
    beta = {"anthropic-beta": webhooks.BETA}
    made = server.ask("POST", "/v1/organizations/webhooks", endpoint, key=admin, headers=beta).ok()
    yield made["id"], "webhook_endpoint_id"
    yield answer("keys", "create", "--workspace", workspace["id"], *server.place)["id"], "api_key_id"


def _files(server: Server) -> Iterator[tuple[str, str]]:
    """Two files; the second holds what the suites expect of a download."""
    for literal, content in (("file_011CNha8iCJcU1wXNR6q4V8w", "A receipt"), ("file_id", '{"foo": "bar"}')):
        yield _upload(server, "/v1/files", "file", f"{literal}.txt", content)["id"], literal


def _skills(server: Server) -> Iterator[tuple[str, str]]:
    """A skill with two versions, of which the suites know the first, and one that has no version any more."""
    skill = _upload(server, "/v1/skills", "files[]", *SKILL)
    yield skill["id"], "skill_id"
    yield skill["latest_version_id"], "version"
    _upload(server, f"/v1/skills/{skill['id']}/versions", "files[]", *SKILL)

    empty = _upload(server, "/v1/skills", "files[]", *SKILL)["id"]
    yield empty, EMPTY_SKILL
    dated = {"anthropic-beta": "skills-2025-10-02"}
    number = server.ask("GET", f"/v1/skills/{empty}", headers=dated).ok()["latest_version"]
    server.ask("DELETE", f"/v1/skills/{empty}/versions/{number}", headers=dated).ok()


def _upload(server: Server, path: str, field: str, filename: str, content: str) -> dict[str, Any]:
    """What comes of a form with one file."""
    head = f'--seed\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\n\r\n'
    headers = {"x-api-key": KEY, "content-type": "multipart/form-data; boundary=seed"}
    connection = server.connection()
    try:
        connection.request("POST", path, f"{head}{content}\r\n--seed--\r\n".encode(), headers)
        return read_answer(connection.getresponse()).ok()
    finally:
        connection.close()


def _vaults(server: Server) -> Iterator[tuple[str, str]]:
    """Two vaults, and in the first a credential that can be renewed, once for each id that the suites know.

    Its server is one that nobody may ask, so that nothing leaves this machine.
    """
    vault = _post(server, "/v1/vaults", display_name="Orders")
    yield vault["id"], "vlt_011CZkZDLs7fYzm1hXNPeRjv"
    yield _post(server, "/v1/vaults", display_name="Others")["id"], "string"
    for number, literal in enumerate(("vcrd_011CZkZEMt8gZan2iYOQfSkw", "vcrd_011CZkZEMt8gZan2iYPQfSkw")):
        refresh = {
            "client_id": "orders",
            "refresh_token": "refresh_exampletoken",
            "token_endpoint": "https://127.0.0.1/token",
            "token_endpoint_auth": {"type": "client_secret_basic", "client_secret": "secret_example"},
        }
        auth = {
            "type": "mcp_oauth",
            "mcp_server_url": f"https://127.0.0.1/mcp/{number}",
            "access_token": "access_exampletoken",
            "refresh": refresh,
        }
        yield _post(server, f"/v1/vaults/{vault['id']}/credentials", auth=auth)["id"], literal


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
    """Agents, environments, a deployment with a run, and a session that is idle and has a budget, a repository and a file."""
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
    file = _upload(server, "/v1/files", "file", "removable.txt", "Nobody needs this")
    budget = {"type": "limit", "max_list_cost": {"amount": "1000", "currency": "USD"}}
    session = _post(
        server, "/v1/sessions", **where, resources=[repository, {"type": "file", "file_id": file["id"]}], budget=budget
    )
    yield session["id"], _SESSION
    for resource, literal in zip(session["resources"], ("sesrsc_011CZkZBJq5dWxk9fVLNcPht", REMOVABLE), strict=True):
        yield resource["id"], literal
    _post(server, f"/v1/sessions/{session['id']}/events", events=[{"type": "user.interrupt"}])


def _open(
    connection: sqlite3.Connection, sealer: Sealer, names: Mapping[str, str]
) -> Iterator[tuple[SealedColumn, list[Any], str]]:
    """Every sealed secret, with the key that its row will have: an envelope opens in its own place only."""
    for column in SEALED:
        key = _key(connection, column)
        for *values, envelope in connection.execute(f"SELECT {', '.join(key)}, sealed FROM {column.table}"):
            yield column, [names.get(value, value) for value in values], sealer.open(envelope, column.place(*values))


def _seal(
    connection: sqlite3.Connection, sealer: Sealer, secrets: Sequence[tuple[SealedColumn, list[Any], str]]
) -> None:
    """Seal the secrets in their new places."""
    for column, values, secret in secrets:
        where = " AND ".join(f"{name} = ?" for name in _key(connection, column))
        envelope = sealer.seal(secret, column.place(*values))
        connection.execute(f"UPDATE {column.table} SET sealed = ? WHERE {where}", (envelope, *values))


def _key(connection: sqlite3.Connection, column: SealedColumn) -> list[str]:
    info = connection.execute(f"PRAGMA table_info({column.table})").fetchall()
    return [name for place, name in sorted((row[5], row[1]) for row in info) if place]


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


def _allow_downloads(connection: sqlite3.Connection) -> None:
    """Make the files look as if agents had written them: only those can be downloaded."""
    connection.execute("UPDATE files SET body = json_set(body, '$.downloadable', json('true'))")


def _number_version(connection: sqlite3.Connection) -> None:
    """Let the skill's first version have been made when its number says: to older clients its number is its name."""
    connection.execute("UPDATE skill_versions SET created_at = ? WHERE id = 'version'", (VERSION_NUMBER,))


def _queue_work(connection: sqlite3.Connection) -> None:
    """Queue the session, as if its environment were a self-hosted one; whoever has the item has it for long."""
    connection.execute(
        """INSERT INTO work (id, workspace_id, environment_id, session_id, created_at, state, queued_at, lease_until,
                             again, body)
           SELECT 'work_id', workspace_id, ?, id, created_at, 'queued', created_at, created_at + 86400000000, 0, '{}'
           FROM sessions WHERE id = ?""",
        (ENVIRONMENT, _SESSION),
    )


def tables(connection: sqlite3.Connection, schema: str) -> list[str]:
    """The names of a database's tables."""
    rows = connection.execute(
        f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return sorted(name for (name,) in rows)
