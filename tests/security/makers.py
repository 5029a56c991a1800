"""Real things for the matrix: workspaces with keys, and in each of them one of whatever the route table has a noun for.

A noun is a path parameter (``agent`` for ``{agent_id}``). Most things are made by the POST on their collection, with the
least body that its Struct takes; ``MAKERS`` has those that come about otherwise, ``BODIES`` the routes whose bodies must
say more, ``FILLERS`` what makes rows in lists whose rows have no path of their own.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias
from urllib.parse import quote

from msgspec.structs import replace

from rota import api as table
from rota.base import ids
from rota.http.route import Route
from rota.resources.files import sql as files_sql
from rota.resources.sessions import sql as sessions_sql
from rota.resources.work import sql as work_sql
from rota.resources.work import wants
from rota.resources.workspaces import keys
from rota.store.tx import Query, Tx
from tests.api import HELLO, KEY, Api, Response
from tests.forms import Field, encode, file
from tests.resources.zips import manifest
from tests.security.references import smallest

ROUTES: list[Route] = table.ROUTES
ROUTE = {route.name: route for route in ROUTES}
Params: TypeAlias = dict[str, str]
"""Path parameters by name."""
_numbers = count(1)


def noun_of(parameter: str) -> str:
    """What a path parameter names."""
    return parameter.removesuffix("_id")


def prefixes() -> dict[str, str]:
    """Of each noun in the table: the path that ends in it. Fails if two paths name different things alike."""
    found: dict[str, str] = {}
    for route in ROUTES:
        parts = route.path.split("/")
        for index, part in enumerate(parts):
            if part.startswith("{"):
                prefix = "/".join(parts[: index + 1]).removeprefix("/rota")  # our own routes are about the same things
                assert found.setdefault(noun_of(part[1:-1]), prefix) == prefix, prefix
    return found


PREFIXES = prefixes()


def parents(noun: str) -> set[str]:
    """The path parameters above a noun."""
    return {part[1:-1] for part in PREFIXES[noun].split("/")[:-1] if part.startswith("{")}


@dataclass(frozen=True)
class Sent:
    """A request's body: its bytes, and the headers that go with them."""

    raw: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)

    @staticmethod
    def json(body: Any) -> "Sent":
        """A body in JSON."""
        return Sent(json.dumps(body).encode())

    @staticmethod
    def form(*fields: Field) -> "Sent":
        """A form."""
        raw, content_type = encode(fields)
        return Sent(raw, (("content-type", content_type),))


NO_BODY = Sent()


def fill_path(path: str, params: Params) -> str:
    """The path with its parameters put in, percent-encoded."""
    parts = [quote(params[part[1:-1]], safe="") if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)


@dataclass
class Home:
    """A workspace, its key and its organization's admin key; makes things as they are asked for."""

    api: Api
    organization_id: str
    workspace_id: str
    key: str
    admin: str
    _one: dict[str, Params] = field(default_factory=dict[str, Params])
    _environment_keys: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Make everything anew from now on."""
        self._one = {"workspace": {"workspace_id": self.workspace_id}}

    def key_for(self, route: Route, params: Params | None = None) -> str:
        """The key that opens all of this organization that the route is about; where that is one environment's affair, the
        environment that is named, or its own for the route."""
        if route.access == "environment":
            return self.environment_key((self.params_for(route) if params is None else params)["environment_id"])
        return self.key if route.access == "workspace" else self.admin

    def environment_key(self, environment_id: str) -> str:
        """The key of an environment: always the same one. Whether there is such an environment, nobody asks here."""
        if environment_id not in self._environment_keys:

            def make(tx: Tx) -> str:
                where = {"workspace_id": self.workspace_id, "environment_id": environment_id}
                return keys.create(tx, self.organization_id, **where).key

            self._environment_keys[environment_id] = self.api.write(make)
        return self._environment_keys[environment_id]

    def ask(self, route: Route, params: Params, sent: Sent | None = None, **more: Any) -> Response:
        """A request for a route with the key that it wants; with a body that it takes, unless one is given."""
        more.setdefault("key", self.key_for(route, params))
        sent = sent or self.body(route)
        headers = dict(sent.headers) | more.pop("headers", {})
        path = fill_path(route.path, params)
        return self.api.run(self.api.call(route.method, path, raw=sent.raw, headers=headers, **more))

    def body(self, route: Route) -> Sent:
        """A body that the route takes, with things of this workspace in it."""
        if (make := BODIES.get(route.name)) is not None:
            made = make(self)
            return made if isinstance(made, Sent) else Sent.json(made)
        return Sent() if route.body is None else Sent.json(smallest(route.body, self.real))

    def real(self, noun: str) -> str:
        """The id of this workspace's thing of a kind: always the same one."""
        return list(self.params(noun).values())[-1] if noun in PREFIXES else f"{noun}_01{'A' * 22}"

    def headers(self, route: Route) -> dict[str, str]:
        """What the route wants among the headers, beside a key and a body's type."""
        sent = self.body(route).headers if route.name in BODIES else ()
        return {name: value for name, value in sent if name != "content-type"}

    def params(self, noun: str) -> Params:
        """The path parameters that lead to this workspace's thing of a kind: always the same one."""
        if noun not in self._one:
            self._one[noun] = self.fresh(noun)
        return self._one[noun]

    def params_for(self, route: Route) -> Params:
        """The path parameters that lead to this workspace's thing for a route: always the same one."""
        if route.name not in THINGS:
            return self.params(noun_of(route.parameters[-1])) if route.parameters else {}
        if route.name not in self._one:
            self._one[route.name] = THINGS[route.name](self)
        return self._one[route.name]

    def fresh(self, noun: str, above: Params | None = None) -> Params:
        """A new thing of a kind, below ``above`` if that is given, else below new things."""
        prefix = PREFIXES[noun]
        *parents, own = [part[1:-1] for part in prefix.split("/") if part.startswith("{")]
        if above is None:
            above = self.fresh(noun_of(parents[-1])) if parents else {}
        make = MAKERS.get(noun, _post)
        return {**{name: above[name] for name in parents}, own: make(self, prefix, above)}

    def fresh_for(self, route: Route) -> Params:
        """New things for all of a route's path parameters."""
        if (make := THINGS.get(route.name)) is not None:
            return make(self)
        return self.fresh(noun_of(route.parameters[-1])) if route.parameters else {}


def furnished(api: Api) -> Home:
    """The workspace that ``api`` begins with."""
    admin = api.write(lambda tx: keys.create(tx, api.who.organization_id)).key
    return Home(api, api.who.organization_id, api.who.workspace_id, KEY, admin)


def _post(home: Home, prefix: str, above: Params) -> str:
    path = prefix.rpartition("/")[0]
    [route] = [route for route in ROUTES if route.method == "POST" and route.path == path]
    return home.ask(route, above).ok()["id"]


Maker: TypeAlias = Callable[[Home, str, Params], str]


@dataclass(frozen=True)
class Shift:
    """A worker that has an item of work in hand: its environment's key, its sessions token, and what these are about."""

    home: Home
    environment_id: str
    session_id: str
    work_id: str
    memory_store_id: str
    key: str
    token: str

    def params_for(self, route: Route) -> Params:
        """The path parameters that lead to what is this worker's for a route; what belongs to no session, the workspace's."""
        found: Params = {}
        for name in route.parameters:
            own = getattr(self, name, None)
            found[name] = own or self.home.fresh(noun_of(name), found if parents(noun_of(name)) else None)[name]
        return found


def shift(home: Home, access: str = "read_write") -> Shift:
    """A worker of a new environment that has begun to serve a new session."""
    environment = _office(home)["environment_id"]
    store = home.fresh("memory_store")["memory_store_id"]
    resource = {"type": "memory_store", "memory_store_id": store, "access": access}
    agent = home.real("agent")
    body = {"agent": agent, "environment_id": environment, "initial_events": HELLO, "resources": [resource]}
    session = home.ask(ROUTE["sessions.create"], {}, Sent.json(body)).ok()["id"]
    item = home.ask(ROUTE["environments.work.poll"], {"environment_id": environment}).ok()
    token = json.loads(urlsafe_b64decode(item["secret"]))["sessions_token"]
    made = Shift(home, environment, session, item["id"], store, home.environment_key(environment), token)
    home.ask(ROUTE["environments.work.ack"], made.params_for(ROUTE["environments.work.ack"])).ok()
    return made


def _office(home: Home) -> Params:
    """A self-hosted environment."""
    body = Sent.json({"name": _named(), "config": {"type": "self_hosted"}})
    return {"environment_id": home.ask(ROUTE["environments.create"], {}, body).ok()["id"]}


def _work(home: Home, _prefix: str, above: Params) -> str:
    """An item in an environment's queue, of a session that nobody has seen."""
    environment_id = above["environment_id"]

    def make(tx: Tx) -> str:
        session_id = ids.new(ids.SESSION)
        wants.want(tx, [wants.Want(home.workspace_id, environment_id, session_id)])
        row = tx.one(work_sql.LIVE, session_id=session_id)
        assert row is not None
        return row[0]

    return home.api.write(make)


def _taken_work(home: Home) -> Params:
    """An item whose lease somebody has."""
    params = home.fresh("work")
    home.ask(ROUTE["environments.work.ack"], params).ok()
    return params


def _api_key(home: Home, _prefix: str, _above: Params) -> str:
    def make(tx: Tx) -> str:
        return keys.create(tx, home.organization_id, workspace_id=home.workspace_id).id

    return home.api.write(make)


def _deployment_run(home: Home, _prefix: str, _above: Params) -> str:
    return home.ask(ROUTE["deployments.run"], home.fresh("deployment")).ok()["id"]


def _thread(home: Home, _prefix: str, above: Params) -> str:
    return home.ask(ROUTE["sessions.threads.list"], above).ok()["data"][0]["id"]


def _resource(home: Home, _prefix: str, above: Params) -> str:
    return home.ask(ROUTE["sessions.resources.list"], above).ok()["data"][0]["id"]


def _memory_version(home: Home, _prefix: str, above: Params) -> str:
    """A version that is not the current one, which may be redacted."""
    memory = home.ask(ROUTE["memory_stores.memories.create"], above).ok()
    home.ask(
        ROUTE["memory_stores.memories.update"], {**above, "memory_id": memory["id"]}, Sent.json({"content": "new"})
    )
    return memory["memory_version_id"]


def _endpoint(home: Home, _prefix: str, _above: Params) -> str:
    return home.ask(ROUTE["webhooks.create"], {}).ok()["id"]


def _delivery(home: Home, _prefix: str, above: Params) -> str:
    """A delivery that ended, which may be sent again."""
    made = home.ask(ROUTE["webhooks.test"], above).ok()["id"]
    home.ask(ROUTE["webhooks.update"], above, Sent.json({"state": "disabled"})).ok()
    home.ask(ROUTE["webhooks.update"], above, Sent.json({"state": "enabled"})).ok()
    return made


MAKERS: dict[str, Maker] = {
    "api_key": _api_key,
    "delivery": _delivery,
    "deployment_run": _deployment_run,
    "endpoint": _endpoint,
    "memory_version": _memory_version,
    "resource": _resource,
    "thread": _thread,
    "work": _work,
}
"""Nouns whose things come about otherwise than by a POST on their collection."""


def _spent_credential(home: Home) -> Params:
    """An archived credential: whether its server takes it is answered without asking anybody."""
    params = home.fresh("credential")
    home.ask(ROUTE["vaults.credentials.archive"], params).ok()
    return params


def _output(home: Home) -> Params:
    """A file that may be downloaded, as those are that an agent wrote."""
    params = home.fresh("file")

    def change(tx: Tx) -> None:
        row = tx.one(FILE_BODY, id=params["file_id"])
        assert row is not None
        body = files_sql.to_text(replace(files_sql.to_body(row[0]), downloadable=True))
        tx.run(SET_FILE_BODY, id=params["file_id"], body=body)

    home.api.write(change)
    return params


FILE_BODY = Query("What is kept of a file.", "SELECT body FROM files WHERE id = :id")
SET_FILE_BODY = Query("Keep something else.", "UPDATE files SET body = :body WHERE id = :id")


def _mounted_file(home: Home) -> Params:
    """A resource that may be taken away, which a repository may not."""
    params = home.fresh("session")
    return {**params, "resource_id": home.ask(ROUTE["sessions.resources.add"], params).ok()["id"]}


def _child(home: Home) -> Params:
    """A thread that may be archived, which the primary one may not."""
    params = home.fresh("session")
    [primary] = home.ask(ROUTE["sessions.threads.list"], params).ok()["data"]
    child = (params["session_id"], f"sthr_01{_named()}", primary["id"])
    home.api.write(lambda tx: tx.insert(sessions_sql.INSERT_THREADS, [(*child, tx.now, tx.now, "idle", "{}")]))
    return {**params, "thread_id": child[1]}


THINGS: dict[str, Callable[[Home], Params]] = {
    "environments.work.heartbeat": _taken_work,
    "environments.work.list": _office,
    "environments.work.poll": _office,
    "environments.work.stats": _office,
    "files.download": _output,
    "sessions.resources.delete": _mounted_file,
    "sessions.threads.archive": _child,
    "vaults.credentials.mcp_oauth_validate": _spent_credential,
}
"""Routes that do not take every thing of their kind."""


def _named() -> str:
    return f"thing-{next(_numbers):06}"


REPOSITORIES = [
    {"type": "github_repository", "url": f"https://github.com/acme/site{n}", "authorization_token": "t"}
    for n in range(2)
]


def _session(home: Home) -> Any:
    return {"agent": home.real("agent"), "environment_id": home.real("environment"), "resources": REPOSITORIES}


def _file(_: Home) -> Sent:
    return Sent.form(file(_named().encode()))


def _skill(_: Home) -> Sent:
    return Sent.form(file(manifest(), "my-skill/SKILL.md", name="files[]"))


HOOK = {"url": "https://hooks.invalid/", "enabled_events": ["agent.created"]}
PUBLISHED_HOOK = {**HOOK, "enabled_events": ["external_key.failed"]}


def _hooks(body: Any = None) -> Callable[[Home], Sent]:
    """What the published routes of webhooks take: a body, and their beta, without which they are not there."""
    raw = b"" if body is None else json.dumps(body).encode()
    return lambda _: Sent(raw, (("content-type", "application/json"), ("anthropic-beta", "webhooks-2026-10-07")))


BODIES: dict[str, Callable[[Home], Any]] = {
    "agents.create": lambda _: {
        "name": "Clerk", "model": "claude-opus-5-5", "tools": [{"type": "agent_toolset_20260401"}],
    },
    "environments.create": lambda _: {"name": _named()},
    "files.upload": _file,
    "organizations.workspaces.create": lambda _: {"name": _named()},
    "sessions.create": _session,
    "sessions.events.send": lambda _: {"events": HELLO},
    "skills.create": _skill,
    "skills.versions.create": _skill,
    "vaults.credentials.create": lambda _: {
        "auth": {"type": "static_bearer", "mcp_server_url": f"https://{_named()}.invalid/mcp", "token": "token"},
    },
    "webhooks.create": lambda _: HOOK,
    "organizations.webhooks.create": _hooks(PUBLISHED_HOOK),
    "organizations.webhooks.list": _hooks(),
    "organizations.webhooks.retrieve": _hooks(),
    "organizations.webhooks.update": _hooks({}),
    "organizations.webhooks.delete": _hooks(),
    "organizations.webhooks.regenerate_signing_secret": _hooks(),
    "memory_stores.update": lambda _: {"name": "Notes"},
    "memory_stores.memories.update": lambda _: {"content": "another text"},
    "memory_stores.memories.create": lambda _: {"path": f"/{_named()}", "content": "text"},
}  # fmt: skip
"""Routes that need more than the least body: a name that is not taken, an event that an idle session takes."""


def _versions(home: Home, params: Params) -> None:
    for number in range(2):
        home.ask(ROUTE["agents.update"], params, Sent.json({"name": f"Clerk {number}"})).ok()


def _events(home: Home, params: Params) -> None:
    for _ in range(2):
        home.ask(ROUTE["sessions.events.send"], {"session_id": params["session_id"]}).ok()


FILLERS: dict[str, Callable[[Home, Params], None]] = {
    "agents.versions.list": _versions,
    "sessions.events.list": _events,
    "sessions.threads.events.list": _events,
}
"""What makes rows in lists whose rows have no path of their own; ``params`` lead to the list."""
