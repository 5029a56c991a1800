"""Random requests that are good but for one or a few things; the same ones for the same seed, given the same answers."""

import json
from collections.abc import Callable
from random import Random
from threading import Lock
from typing import NamedTuple
from urllib.parse import quote, quote_from_bytes, urlencode

from msgspec import Struct

from rota.http.route import Route
from tests.security.hostile import texts
from tests.security.hostile.connection import request
from tests.security.hostile.instances import Instances
from tests.security.hostile.pool import Pool
from tests.security.makers import ROUTES, Home, Params, Sent, noun_of
from tests.security.references import _noun

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "LINK", "QUERY"]
PUBLIC = ["/healthz", "/readyz", "/openapi.json", "/metrics"]
HEADERS: list[tuple[str, list[str]]] = [
    ("anthropic-version", ["2023-06-01", "2026-10-21", "", "yesterday", "é"]),
    ("anthropic-beta", ["managed-agents-2026-04-01", "skills-2025-10-02", "files-api-2025-04-14", ",,,", "x" * 5_000, "a\tb", "é"]),
    ("anthropic-workspace-id", ["default", "wrkspc_01x", "", "wrkspc_" + "a" * 100]),
    ("idempotency-key", ["a", "b", "c", "", "x" * 300, "é", "a b", "\t"]),
    ("content-type", ["text/plain", "multipart/form-data", "multipart/form-data; boundary=x", "", "application/json; charset=utf-16"]),
    ("content-encoding", ["gzip", "identity", "br"]),
    ("accept", ["text/html", "*/*;q=0", "text/event-stream"]),
    ("accept-encoding", ["gzip", "identity;q=0"]),
    ("range", ["bytes=0-0", "bytes=5-1", "lines=1"]),
    ("if-none-match", ["*", '"x"']),
    ("last-event-id", ["sevt_01x", "", "\x7f"]),
    ("x-http-method-override", ["DELETE"]),
    ("x-forwarded-for", ["127.0.0.1", "', DROP"]),
    ("x-original-url", ["/healthz"]),
    ("transfer-encoding", ["identity"]),
    ("expect", ["100-continue"]),
    ("origin", ["null", "https://evil.example"]),
    ("cookie", ["a=" + "b" * 5_000]),
]  # fmt: skip


class Mutant(NamedTuple):
    """A request: its bytes, and what it was about before it was spoilt."""

    method: str
    target: bytes
    data: bytes
    route: Route | None
    params: Params


class Mutants:
    """Makes them. ``home`` gives good bodies, ``pool`` ids."""

    def __init__(self, random: Random, pool: Pool, home: Home, lock: Lock) -> None:
        self._random = random
        self._lock = lock
        self._pool = pool
        self._home = home
        self._instances = Instances(random, self._real)

    def next(self) -> Mutant:
        """One more."""
        random = self._random
        if random.random() < 0.02:
            return self._stray()
        route = random.choice(ROUTES)
        params = self._params(route)
        method = (
            random.choice(METHODS)
            if random.random() < 0.03
            else random.choice([route.method, route.method, *route.also])
        )
        target = self._target(route, params) + self._query(route)
        body, kind = self._form(route) if route.upload is not None else (None, "application/json")
        if body is None and (route.body is not None or random.random() < 0.05):
            body = self._body(route)
        headers = self._headers(route, kind if body is not None else None)
        return Mutant(method, target, request(method, target, headers, body), route, params)

    def _stray(self) -> Mutant:
        """Something about no route, or about a public one."""
        random = self._random
        paths: list[Callable[[], str]] = [
            lambda: random.choice(PUBLIC) + random.choice(["", "", "/", "?x", "/%2e%2e"]),
            lambda: "/" + quote(random.choice(texts.STRINGS)[:2_000].encode("utf-8", "surrogatepass"), safe="/%"),
            lambda: "/".join(
                ["", *(random.choice(["v1", "agents", "..", "", "{agent_id}", "%00", "a" * 50]) for _ in range(5))]
            ),
        ]
        target = random.choice(paths)().encode()
        method = random.choice(METHODS)
        headers = [("x-api-key", self._home.key)] if random.random() < 0.7 else []
        return Mutant(method, target, request(method, target, headers), None, {})

    def _good(self, route: Route) -> Sent:
        with self._lock:  # the home may have to make something first, on the one line that it has
            return self._home.body(route)

    def _params(self, route: Route) -> Params:
        if not route.parameters:
            return {}
        random = self._random
        found = self._pool.path(noun_of(route.parameters[-1])) if random.random() < 0.85 else None
        if found is None:
            found = {name: self._pool.id(noun_of(name)) or "nothing" for name in route.parameters}
        found = {name: found.get(name, "nothing") for name in route.parameters}
        if random.random() < 0.06:
            name = random.choice(route.parameters)
            found[name] = self._pool.any_id() if random.random() < 0.5 else random.choice(texts.STRINGS)[:2_000]
        return found

    def _target(self, route: Route, params: Params) -> bytes:
        random = self._random

        def encoded(text: str) -> str:
            raw = text.encode("utf-8", "surrogatepass")
            if random.random() < 0.03:
                return "".join(f"%{byte:02x}" for byte in raw)
            return quote_from_bytes(raw, safe="~")

        parts = [encoded(params[part[1:-1]]) if part.startswith("{") else part for part in route.path.split("/")]
        if random.random() < 0.03:
            spot = random.randrange(len(parts) + 1)
            parts.insert(spot, random.choice(["", ".", "..", "%2e%2e", "%2f", ";x", "%00", "*"]))
        path = "/".join(parts)
        if random.random() < 0.02:
            path = "/" + "".join(f"%{ord(letter):02X}" for letter in path.lstrip("/") if letter != "%")
        return path.encode() if path.startswith("/") else b"/" + path.encode()

    def _query(self, route: Route) -> bytes:
        random = self._random
        fields: list[tuple[str, str]] = []
        if route.query is not None and random.random() < 0.6:
            for name, value in self._instances.fields(route.query).items():
                fields += [(name, _plain(each)) for each in (value if isinstance(value, list) else [value])]
            if "page" in route.query.__struct_fields__ and self._pool.cursors and random.random() < 0.3:
                fields.append(("page", random.choice(self._pool.cursors)))
        if random.random() < 0.1:
            fields.append(
                (
                    random.choice([*texts.NAMES, "beta", "limit", "page", "limit[]"])[:500],
                    random.choice(texts.STRINGS)[:500],
                )
            )
        if random.random() < 0.02:
            return b"?" + random.choice(
                [b"&" * 600, b"=", b"%", b"limit=%zz", b"a[b][c]=1", b"?", b"limit=1&limit=0", b"%ff=%ff"]
            )
        if not fields:
            return b""
        return (
            b"?"
            + urlencode(
                [(n.encode("utf-8", "surrogatepass"), v.encode("utf-8", "surrogatepass")) for n, v in fields]
            ).encode()
        )

    def _body(self, route: Route) -> bytes:
        random = self._random
        if route.body is None or random.random() < 0.03:
            return texts.text(random, texts.value(random))
        body = self._instances.of(route.body) if random.random() < 0.45 else json.loads(self._good(route).raw or b"{}")
        for _ in range(random.choice([0, 0, 1, 1, 2, 4])):
            body = texts.spoil(random, body)
        return texts.text(random, body)

    def _form(self, route: Route) -> tuple[bytes, str]:
        """A form, and its content type; half of them are whole."""
        random = self._random
        good = self._good(route)
        raw, kind = good.raw, dict(good.headers).get("content-type", "multipart/form-data; boundary=x")
        if random.random() < 0.15:
            return raw, random.choice(
                ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 71, "text/plain",
                 kind + "; boundary=y", kind.replace("boundary=", 'boundary="') + '"', "multipart/mixed; boundary=x"]
            )  # fmt: skip
        if random.random() < 0.5:
            raw = texts.spoil_form(random, raw)
        return raw, kind

    def _headers(self, route: Route, kind: str | None) -> list[tuple[str, str]]:
        random = self._random
        with self._lock:  # what it is for may have to be made first, on the one line that all share
            key = self._home.key_for(route)
        found: list[tuple[str, str]] = []
        chance = random.random()
        if chance < 0.85:
            found.append(("x-api-key", key))
        elif chance < 0.95:
            found.append(("authorization", f"Bearer {key}"))
        else:
            found.append(
                random.choice(
                    [("x-api-key", random.choice(texts.STRINGS[3:60])), ("authorization", "Bearer"), ("x-none", "")]
                )
            )
        if kind is not None:
            found.append(("content-type", kind))
        with self._lock:
            found += self._home.headers(route).items()
        for name, values in HEADERS:
            if random.random() < 0.02:
                found.append((name, random.choice(values)))
        return [(name, _header(value)) for name, value in found]

    def _real(self, name: str) -> str | None:
        noun = _noun(((Struct, name),))
        if name == "id":
            noun = "agent"
        return self._pool.id(noun) if noun else None


def _header(value: str) -> str:
    """A value that is one line; what is not is left to the table of broken framing."""
    return (
        value.encode("utf-8", "replace").decode("latin-1").replace("\r", "").replace("\n", "").replace("\0", "")[:8_000]
    )


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)[:2_000]
