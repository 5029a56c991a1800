"""Admission: from the credential in the headers to a Who.

Promises: API keys, environment keys, admin keys and sessions tokens arrive in either header and are told apart by the token (contract,
credentials); a key that was revoked, here or by a command beside the server, stops working at the next request; no
token is kept in memory, only its digest. Does not know where keys are stored: ``main`` hands it the look-up.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import TypeAlias

from rota.base.clock import Clock
from rota.base.errors import Forbidden, InvalidRequest, NotFound, Unauthenticated
from rota.base.who import Who
from rota.http.route import Route, Worker
from rota.store.db import Db
from rota.store.tx import Tx

TOPIC = "keys"
"""Touched by whatever changes a key, a workspace's or an organization's state."""

Lookup: TypeAlias = Callable[[Tx, str], Who | None]
_WORKSPACE_ID = re.compile(r"wrkspc_\w{1,64}")
_MAX_REMEMBERED = 10_000


class Admission:
    """Remembers who stands behind a token for as long as nobody touches the topic ``keys``."""

    def __init__(self, db: Db, clock: Clock, lookup: Lookup) -> None:
        self._db = db
        self._clock = clock
        self._lookup = lookup
        self._known: dict[bytes, Who] = {}
        self._stamp: object = None

    async def admit(self, route: Route, params: Sequence[str], headers: Mapping[bytes, bytes]) -> Who:
        """The caller of a route about what ``params`` name. Unauthenticated, Forbidden, NotFound where a worker's credential
        is to see nothing, or InvalidRequest for a state that forbids writing."""
        token = _token(headers)
        digest = sha256(token).digest()
        stamp = self._db.stamp(TOPIC)
        if stamp != self._stamp:
            self._known.clear()
            self._stamp = stamp
        who = self._known.get(digest)
        if who is None:
            who = await self._db.read(self._lookup, token.decode("latin-1"))
            if who is None:
                raise Unauthenticated("invalid x-api-key" if b"x-api-key" in headers else "Invalid bearer token")
            remembered = who.scope != "session"  # what they may do changes with every heartbeat
            if remembered and len(self._known) < _MAX_REMEMBERED and stamp == self._stamp:
                self._known[digest] = who
        if who.expires_at is not None and who.expires_at <= self._clock.now():
            raise Unauthenticated("This API key has expired; create another one.")
        _check_access(route, params, who)
        if (asked := headers.get(b"anthropic-workspace-id")) is not None and who.scope != "admin":
            _check_workspace(asked.decode("latin-1"), who)
        if route.writes:
            if who.organization_disabled:
                raise InvalidRequest("The organization is disabled; only reading is possible.")
            if who.workspace_archived:
                raise InvalidRequest("The workspace is archived; only reading is possible.")
        return who


def _token(headers: Mapping[bytes, bytes]) -> bytes:
    key = headers.get(b"x-api-key")
    authorization = headers.get(b"authorization")
    if authorization is None:
        if not key:
            raise Unauthenticated("x-api-key header is required")
        return key
    scheme, _, bearer = authorization.partition(b" ")
    bearer = bearer.strip()
    if scheme.lower() != b"bearer" or not bearer:
        raise Unauthenticated("Invalid bearer token")
    if key is not None and key != bearer:
        raise Unauthenticated("Send one credential, either x-api-key or Authorization, not two different ones.")
    return bearer


def _check_access(route: Route, params: Sequence[str], who: Who) -> None:
    if who.scope == "environment" or who.scope == "session":
        return _check_worker(route, params, who.scope, who)
    if route.access == "workspace" and who.scope == "admin":
        raise Forbidden("An admin key opens /v1/organizations only; use a workspace's API key here.")
    if route.access == "admin" and who.scope != "admin":
        raise Forbidden("This needs an admin key: `rota keys create --admin` makes one.")
    if route.access == "environment":
        raise Forbidden("This needs an environment key: `rota keys create --environment ID` makes one.")
    return None


def _check_worker(route: Route, params: Sequence[str], scope: Worker, who: Who) -> None:
    """Workers get through where the table says so, and see one environment wherever a path names one."""
    if who.superseded and not route.late:
        raise Unauthenticated("OAuth access token has been revoked.")
    if scope not in route.opens:
        if route.unopened == "nothing":
            raise NotFound("Not found")
        if route.unopened == "scope":
            wanted = ", ".join((route.access, *route.opens) if route.access != "environment" else route.opens)
            raise Forbidden(f"OAuth token does not meet scope requirement any_of({wanted})")
        raise Unauthenticated("Authentication failed")
    named = dict(zip(route.parameters, params, strict=True))
    if named.get("environment_id", who.environment_id) != who.environment_id:
        raise Forbidden("Token not authorized for this environment")


def _check_workspace(asked: str, who: Who) -> None:
    if not _WORKSPACE_ID.fullmatch(asked):
        raise InvalidRequest("anthropic-workspace-id header must be a valid workspace ID.")
    if asked != who.workspace_id:
        raise NotFound(f"Workspace `{asked}` not found.")
