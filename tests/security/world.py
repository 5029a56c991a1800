"""Several tenants in one house, everybody's keys, and what a request comes to: its status, its body and its SQL.

``owner`` has the things that everybody is after; ``sibling`` is another workspace of the same organization, ``stranger``
one of another; ``shut`` was archived after it had been furnished, and the organization of ``stopped`` was disabled.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import msgspec
from msgspec.structs import replace

from rota.base import ids
from rota.base.clock import HandClock
from rota.http.route import Route
from rota.resources.sessions import sql as sessions_sql
from rota.resources.work import items
from rota.resources.work import sql as work_sql
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys, sql
from rota.resources.workspaces.wire import CreateWorkspace
from rota.store.postgres import PostgresTx
from rota.store.sqlite import SqliteTx
from rota.store.tx import Insert, Query, Tx
from tests.api import KEY, Api
from tests.security.makers import (
    NO_BODY,
    PREFIXES,
    ROUTE,
    THINGS,
    Home,
    Params,
    Sent,
    Shift,
    fill_path,
    shift,
)

_APART = (sql.ADMIT, work_sql.ADMIT, sessions_sql.STATE)
"""What is no part of a request: whom the server remembers is not looked up again, and streams look when they are rung."""
_OURS = re.compile(r"\b[a-z]+_01[0-9A-HJ-Za-z]{22}\b")
_UUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_NAME = re.compile(r"\bthing-\d{6}\b")
_CURSOR = re.compile(r"\bpage_[\w-]{20,}")
_NOWHERE_ID = re.compile(r"([a-z]+_)01[0-9A-Za-z]{22}")


@dataclass(frozen=True)
class Ask:
    """A request: for a route, about things, with a credential; ``hide`` are texts that may show up in the answer as they are."""

    route: Route
    params: Params
    headers: tuple[tuple[str, str], ...]
    sent: Sent = NO_BODY
    query: tuple[tuple[str, Any], ...] = ()
    hide: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a request, with everything taken out that differs between one thing and another of its kind."""

    status: int
    body: Any
    headers: tuple[str, ...]
    statements: tuple[str, ...]
    """The SQL that ran, in order."""
    raw: bytes


@contextlib.contextmanager
def traced() -> Iterator[list[str]]:
    """The SQL that the store runs meanwhile."""
    seen: list[str] = []

    def watch(kind: type, name: str) -> Any:
        original = getattr(kind, name)

        def call(tx: Any, query: Query | Insert, *args: Any, **parameters: Any) -> Any:
            if query not in _APART:
                seen.append(query.sqlite)
            return original(tx, query, *args, **parameters)

        return patch.object(kind, name, call)

    # SQLite's ``one`` goes through ``all``; PostgreSQL's does not.
    watched = [(SqliteTx, "all"), (SqliteTx, "run"), (SqliteTx, "insert")]
    watched += [(PostgresTx, "one"), (PostgresTx, "all"), (PostgresTx, "run"), (PostgresTx, "insert")]
    with contextlib.ExitStack() as stack:
        for kind, name in watched:
            stack.enter_context(watch(kind, name))
        yield seen


def header(key: str | None) -> tuple[tuple[str, str], ...]:
    """The headers that carry a key."""
    return () if key is None else (("x-api-key", key),)


def nowhere(sample: str) -> str:
    """An id of the sample's kind that nobody has."""
    if match := _NOWHERE_ID.fullmatch(sample):
        return ids.new(match[1])
    return str(int(sample) + 777) if sample.isdigit() else f"{sample}-nowhere"


class World:
    """The tenants of one house."""

    def __init__(self, api: Api) -> None:
        self.api = api
        organization = api.who.organization_id

        def admin(tx: Tx) -> str:
            return keys.create(tx, organization).key

        self.owner = Home(api, organization, api.who.workspace_id, KEY, api.write(admin))
        self.sibling = self._workspace("Sibling")
        self.stranger = self._organization("Stranger")
        self.shut = self._workspace("Shut")
        self.stopped = self._organization("Stopped")
        self.missing: dict[str, str] = {}
        """Nouns of which nothing could be made, and why; their routes have no cells, and a law fails."""
        for home in (self.owner, self.sibling, self.stranger, self.shut, self.stopped):
            for noun in PREFIXES:
                try:
                    home.params(noun)
                except (AssertionError, KeyError, ValueError) as exc:
                    self.missing[noun] = f"{type(exc).__name__}: {exc}"
            for name in THINGS:
                home.params_for(ROUTE[name])
        api.write(workspaces.set_disabled, self.stopped.organization_id, True)
        api.post(f"/v1/organizations/workspaces/{self.shut.workspace_id}/archive", key=self.owner.admin).ok()
        self.bad = self._bad_credentials()
        self.shift, self.colleague = shift(self.owner), shift(self.owner)
        """Two workers of the owner's, each with its own environment, session and memory store."""
        self.stranger_shift = shift(self.stranger)
        self.late = self._late()
        self.remember()

    def _workspace(self, name: str) -> Home:
        owner = self.owner

        def make(tx: Tx) -> tuple[str, str]:
            workspace = workspaces.create(tx, self.api.who, CreateWorkspace(name=name)).id
            return workspace, keys.create(tx, owner.organization_id, workspace_id=workspace).key

        workspace_id, key = self.api.write(make)
        return Home(self.api, owner.organization_id, workspace_id, key, owner.admin)

    def _organization(self, name: str) -> Home:
        def make(tx: Tx) -> Home:
            made = workspaces.make(tx, name)
            key = keys.create(tx, made.id, workspace_id=made.default_workspace_id).key
            return Home(self.api, made.id, made.default_workspace_id, key, keys.create(tx, made.id).key)

        return self.api.write(make)

    def _bad_credentials(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Headers with which nobody comes in, by what is wrong with them."""
        owner = self.owner

        def make(tx: Tx, **more: Any) -> keys.Made:
            return keys.create(tx, owner.organization_id, workspace_id=owner.workspace_id, **more)

        def revoked(tx: Tx) -> str:
            made = make(tx)
            keys.revoke(tx, owner.organization_id, made.id)
            return made.key

        def inactive(tx: Tx) -> str:
            made = make(tx)
            keys.update(tx, self.api.who, made.id, keys.UpdateApiKey(status="inactive"))
            return made.key

        good = self.api.write(make)
        expired = self.api.write(lambda tx: make(tx, expires_in=1)).key
        assert isinstance(self.api.clock, HandClock)
        self.api.clock.advance(seconds=2)
        last = good.key[-1]
        texts = {
            "a revoked key": self.api.write(revoked),
            "an inactive key": self.api.write(inactive),
            "an expired key": expired,
            "a key of another secret": keys.write_token("api", good.id[-22:]),
            "a key that nobody has": keys.write_token("api", ids.new(ids.API_KEY)[-22:]),
            "a key with a typing mistake": good.key[:-1] + ("0" if last != "0" else "1"),
            "half a key": good.key[: len(good.key) // 2],
            "a key and more": good.key + "0",
            "an operator's key in capitals": KEY.upper(),
            "any text": "nonsense",
            "text of another script": "schlüssel",
        }
        bad = {name: header(text) for name, text in texts.items()}
        bad["no key"] = ()
        bad["an empty key"] = header("")
        bad["a revoked key as bearer"] = (("authorization", f"Bearer {texts['a revoked key']}"),)
        bad["a good key in the wrong scheme"] = (("authorization", f"Basic {KEY}"),)
        bad["two different good keys"] = (*header(KEY), ("authorization", f"Bearer {good.key}"))
        return bad

    def _late(self) -> Shift:
        """A worker that has lost its item."""
        late = shift(self.owner)

        def lose(tx: Tx) -> None:
            row = tx.one(work_sql.LIVE, session_id=late.session_id)
            assert row is not None
            item = items.as_of(row, tx.now)
            items.save(tx, [replace(item, body=replace(item.body, round=item.body.round + 1))])

        self.api.write(lose)
        return late

    def remember(self) -> None:
        """Let the server look up once what it remembers, so that from now on a look-up is no part of what differs."""
        homes = (self.owner, self.sibling, self.stranger, self.shut, self.stopped)
        credentials = [header(key) for home in homes for key in (home.key, home.admin)]
        for headers in [*credentials, *self.bad.values()]:
            self.api.get("/v1/organizations/me", key=None, headers=dict(headers))
        for home in homes:  # agents' versions are remembered by the process once they are read
            for route in (ROUTE["sessions.retrieve"], ROUTE["deployments.run"]):
                home.ask(route, home.params_for(route))

    def outcome(self, ask: Ask) -> Outcome:
        """Ask, and see what comes of it."""
        headers = dict(ask.sent.headers) | dict(ask.headers)
        path = fill_path(ask.route.path, ask.params)
        with traced() as statements:
            response = self.api.run(
                self.api.call(
                    ask.route.method, path, raw=ask.sent.raw, key=None, headers=headers, query=dict(ask.query)
                )
            )
        kept = tuple(sorted(f"{k}: {v}" for k, v in response.headers.items() if k not in _FICKLE))
        return Outcome(response.status, alike(response.body, ask.hide), kept, tuple(statements), response.raw)

    def view(self, home: Home, routes: Sequence[Route]) -> dict[str, bytes]:
        """Everything that a tenant sees of its own by these routes."""
        seen: dict[str, bytes] = {}
        for route in routes:
            params = home.params_for(route)
            seen[route.name] = msgspec.json.encode(home.ask(route, params).body)
        return seen


_FICKLE = frozenset({"request-id", "content-length", "anthropic-organization-id", "anthropic-workspace-id"})


def alike(value: Any, hide: Sequence[str] = ()) -> Any:
    """A body with ids, names, cursors and the texts of ``hide`` taken out."""
    if isinstance(value, dict):
        return {
            alike(key, hide): "<request>" if key == "request_id" else alike(item, hide) for key, item in value.items()
        }
    if isinstance(value, list):
        return [alike(item, hide) for item in value]
    if not isinstance(value, str):
        return value
    for text in hide:
        value = value.replace(text, "<id>") if text else value
    for pattern, word in ((_CURSOR, "<cursor>"), (_OURS, "<id>"), (_UUID, "<uuid>"), (_NAME, "<name>")):
        value = pattern.sub(word, value)
    return value
