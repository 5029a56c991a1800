"""A marked secret in every secret field of the API, and then a search through everything that a server leaves behind.

The fields are found by their mark (``fields.py``), so that a new one is covered by being marked. Planted are also the API
keys themselves, good and bad. Provoked are refusals of all kinds, failures of the server, and hosts that quote what was sent
to them. Searched are every answer, every webhook, the logs at their most talkative, the rows and files of the database with its log of
writes, and the metrics; the sealing key's own file is not, for it holds no secret of a user.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest

from rota import api
from rota.http.route import Route
from tests.acceptance.server import Answer, Server
from tests.api import HELLO
from tests.cli.process import answer, eventually, rota
from tests.laws.test_secrets import HOLDING, spoilt
from tests.security import search
from tests.security.fields import Planter, secret_fields

PREFIX = "cnry7f3a9"
MARKER = "plainmarker5d1e"
"""Something that is no secret, and so must be found: or the search would find nothing because it looks nowhere."""
TABLES = [column.table for column in api.SEALED]
HOOKED = {"vault_credential.created", "vault_credential.refresh_failed", "deployment.created"}


class Echo(BaseHTTPRequestHandler):
    """A host that refuses everything, and quotes all of it; what comes as a webhook is kept."""

    hooks: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        """Refuse."""
        body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
        if self.path == "/hook":
            self.hooks.append(f"{self.headers}{body}")
        text = json.dumps({"error": "no", "headers": dict(self.headers), "body": body, "path": self.path})
        self.send_response(401)
        self.send_header("content-type", "application/json")
        self.send_header("x-quoted", self.headers.get("authorization", ""))
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def echo() -> Iterator[str]:
    """The address of one."""
    Echo.hooks.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class World:
    """A server, everything that was asked of it, and the things that there are by now."""

    def __init__(self, server: Server, host: str) -> None:
        self.server = server
        self.heard: list[bytes] = []
        self.things: dict[str, str] = {}
        self.credentials: dict[str, str] = {}
        numbers = count()
        agent = self.made("POST", "/v1/agents", {"name": MARKER, "model": "claude-opus-5-5"})["id"]
        office = self.made("POST", "/v1/environments", {"name": "office"})["id"]
        self.planter = Planter(
            PREFIX,
            {
                "agent": agent,
                "environment_id": office,
                "initial_events": HELLO,
                "url": "https://github.com/a/b",
                "mcp_server_url": lambda: f"{host}/{next(numbers)}",
                "token_endpoint": lambda: f"{host}/token",
                "secret_name": lambda: f"VARIABLE_{next(numbers)}",
            },
        )

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """One request, its answer noted."""
        found = self.server.ask(method, path, body, **more)
        self.heard.append(found.raw + b"\n" + repr(found.headers).encode())
        return found

    def made(self, method: str, path: str, body: Any = None) -> Any:
        """One request that must succeed."""
        return self.ask(method, path, body).ok()

    def raw(self, path: str, body: bytes, key: str | None) -> None:
        """A POST of these very bytes."""
        connection = self.server.connection()
        try:
            connection.request("POST", path, body, {} if key is None else {"x-api-key": key})
            response = connection.getresponse()
            self.heard.append(response.read() + repr(response.getheaders()).encode())
        finally:
            connection.close()

    def path(self, route: Route, body: Any) -> str:
        """The route's path with the ids of things that are there; a credential of the kind that the body is for."""

        def find(match: re.Match[str]) -> str:
            name = match[1]
            if name == "credential_id":
                return self.credentials[body["auth"]["type"]]
            assert name in self.things, f"{route.name}: make a thing for {name} here"
            return self.things[name]

        return re.sub(r"\{(\w+)\}", find, route.path)

    def plant(self, route: Route) -> None:
        """A canary in each secret field of a route's body, by requests that succeed."""
        for body in self.planter.bodies(route.body):
            found = self.made(route.method, self.path(route, body), body)
            kind = found["type"]
            self.things[f"{'credential' if kind == 'vault_credential' else kind}_id"] = found["id"]
            if kind == "session" and found["resources"]:
                self.things["resource_id"] = found["resources"][0]["id"]
            if kind == "vault_credential" and route.creates:
                refresh = found["auth"].get("refresh") or {}
                if refresh.get("token_endpoint_auth", {}).get("type") != "client_secret_post":
                    self.credentials[found["auth"]["type"]] = found["id"]


@contextmanager
def broken(url: str) -> Iterator[None]:
    """The tables of secrets are gone: what would write to them fails in a way that nobody foresaw."""
    _rename(url, lambda table: (table, f"{table}_gone"))
    try:
        yield
    finally:
        _rename(url, lambda table: (f"{table}_gone", table))


def _rename(url: str, names: Callable[[str], tuple[str, str]]) -> None:
    texts = [f"ALTER TABLE {old} RENAME TO {new}" for old, new in map(names, TABLES)]
    if url.startswith("sqlite"):
        import sqlite3

        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
        for text in texts:
            connection.execute(text)
        connection.close()
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for text in texts:
            connection.execute(text)  # type: ignore[arg-type]


def test_no_canary_is_anywhere(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    bootstrap = f"{PREFIX}-bootstrap-key-0123456789"
    variables = {"ROTA_LOG_LEVEL": "debug", "ROTA_LOG_JSON": "true", "ROTA_ALLOW_PRIVATE_HOSTS": "127.0.0.1"}
    with echo() as host, Server(folder, database_url, key=bootstrap, **variables) as server:
        world = World(server, host)
        world.things["vault_id"] = world.made("POST", "/v1/vaults", {"display_name": "v"})["id"]
        keys = [bootstrap, f"{PREFIX}-unknown", *_made_keys(server), _hook(server, host)]

        # every secret field, by requests that succeed; things are made before they are changed
        for route in sorted(HOLDING, key=lambda route: len(route.parameters)):
            world.plant(route)
        planted = dict(world.planter.planted)
        _check_all_planted(world.planter)

        # used: fired, turned into sessions, sent to hosts that quote them
        run = world.made("POST", f"/v1/deployments/{world.things['deployment_id']}/run")
        assert run["error"] is None
        for credential in world.credentials.values():
            world.ask("POST", f"/v1/vaults/{world.things['vault_id']}/credentials/{credential}/mcp_oauth_validate")

        # refused: everything that can be wrong with a body, with good keys, bad ones and none
        for route in HOLDING:
            for raw in spoilt(route):
                raw = raw.replace(b"canary7f3a", PREFIX.encode())
                for path in (
                    re.sub(r"\{\w+\}", "x_01", route.path),
                    "/v1/nothing",
                    "/healthz",
                    f"/v1/agents/{PREFIX}-path",
                ):
                    world.raw(path, raw, bootstrap)
                for key in (None, f"{PREFIX}-unknown"):
                    world.raw(re.sub(r"\{\w+\}", "x_01", route.path), raw, key)
        for key in keys:
            for headers in (
                {"authorization": f"Bearer {key}"},
                {"authorization": f"Basic {key}"},
                {"x-api-key": key + "x"},
            ):
                world.ask("GET", "/v1/agents", key=None, headers=headers)

        # broken: failures that end in a traceback, and a key that is lost
        with broken(database_url):
            for route in HOLDING:
                for body in world.planter.bodies(route.body):
                    path = world.path(route, body)
                    assert (
                        world.ask(route.method, path, body, headers={"idempotency-key": f"{PREFIX}-idempotency"}).status
                        == 500
                    )
        _lose_the_key(world, folder / "data" / "seal.key")

        # read: everything that can be, but for streams: they have no end, and show what the lists show
        for route in api.ROUTES:
            if (
                route.method == "GET"
                and not route.streams
                and set(re.findall(r"\{(\w+)\}", route.path)) <= {*world.things, "credential_id"}
            ):
                for kind in world.credentials:
                    world.ask("GET", world.path(route, {"auth": {"type": kind}}))
        for path in ("/metrics", "/openapi.json", "/readyz"):
            world.ask("GET", path)
        _list_by_command(world)

        told = eventually(
            lambda: {name for name in HOOKED if any(name in each for each in Echo.hooks)} == HOOKED and list(Echo.hooks)
        )
        assert any(f'"vault_id":"{world.things["vault_id"]}"' in each for each in told)
        assert not [each for each in told if search.within(each.encode(), [PREFIX, *keys[2:]])]
        while_running = _search(database_url, folder, keys)
        server.kill()  # so that SQLite leaves its log of writes where it is
        assert not any(search.within(heard, [PREFIX, *keys[2:]]) for heard in world.heard)
        after = _search(database_url, folder, keys)
    assert while_running == after == []
    assert len(planted) >= 12
    assert any(MARKER in text for _, text in search.rows(database_url))
    assert any(search.in_file(path, [MARKER]) for path in search.database_files(database_url))
    assert "Traceback" in server.errors()


def _made_keys(server: Server) -> list[str]:
    """Keys of each kind, each shown once."""
    office = server.ask("GET", "/v1/environments").ok()["data"][0]["id"]
    return [
        answer("keys", "create", *server.place)["key"],
        answer("keys", "create", "--admin", *server.place)["key"],
        answer("keys", "create", "--environment", office, *server.place)["key"],
    ]


def _hook(server: Server, host: str) -> str:
    """The signing secret of a webhook endpoint, which is shown once."""
    events = ["vault.created", "vault_credential.created", "vault_credential.refresh_failed", "deployment.created"]
    made = server.ask("POST", "/rota/v1/webhooks", {"url": f"{host}/hook", "enabled_events": events}).ok()
    return made["signing_secret"].removeprefix("whsec_")


def _check_all_planted(planter: Planter) -> None:
    wanted = {field for route in HOLDING for field in secret_fields(route.body)}
    assert set(planter.planted.values()) >= wanted


def _lose_the_key(world: World, key_file: Path) -> None:
    held = key_file.read_text()
    key_file.write_text("A" * 43)
    lost = world.made("POST", f"/v1/deployments/{world.things['deployment_id']}/run")
    assert lost["error"]["type"] == "unknown_error"
    credential = world.credentials["mcp_oauth"]
    path = f"/v1/vaults/{world.things['vault_id']}/credentials/{credential}/mcp_oauth_validate"
    assert world.ask("POST", path).status == 500
    key_file.write_text(held)


def _list_by_command(world: World) -> None:
    for words in (
        ["vaults", "list"],
        ["api", "vaults", "credentials", "list", world.things["vault_id"]],
        ["deployments", "list"],
    ):
        done = rota(*words, "--json", ROTA_URL=world.server.url, ROTA_API_KEY=world.server.key or "")
        assert done.returncode == 0, done.stderr
        world.heard.append((done.stdout + done.stderr).encode())


def _search(url: str, folder: Path, keys: list[str]) -> list[str]:
    """Where there is a canary, or a key."""
    needles = [PREFIX, *keys[2:]]
    places = [*search.database_files(url), *search.files(folder)]
    found = [
        f"{path}: {hit}"
        for path in dict.fromkeys(places)
        if path.name != "seal.key"
        for hit in search.in_file(path, needles)
    ]
    found += [
        f"table {table}: {hit}"
        for table, text in search.rows(url)
        for hit in search.within(text.encode("latin-1", "replace"), needles)
    ]
    return found


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    from base64 import b64encode

    for number, text in enumerate(
        [
            PREFIX,
            PREFIX[::-1],
            PREFIX.encode().hex(),
            *(b64encode(b"x" * n + PREFIX.encode() + b"y" * 5).decode() for n in range(3)),
        ]
    ):
        file = tmp_path / str(number)
        file.write_bytes(b"\0" * ((1 << 22) - 5) + text.encode() + b"\0" * 100)
        assert search.in_file(file, [PREFIX]) == [PREFIX], text
    assert search.in_file(tmp_path / "0", [MARKER]) == []


@pytest.mark.parametrize("route", HOLDING, ids=lambda route: route.name)
def test_a_body_holds_a_canary_in_every_secret_field(route: Route) -> None:
    planter = Planter(PREFIX, dict.fromkeys(("agent", "environment_id", "initial_events"), "x"))
    bodies = planter.bodies(route.body)
    assert set(planter.planted.values()) == set(secret_fields(route.body))
    assert all(any(canary in json.dumps(body) for body in bodies) for canary in planter.planted)
