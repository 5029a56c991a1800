"""Renewing an OAuth access token at its token endpoint (RFC 6749, section 6).

Promises: no transaction is open while the endpoint is asked; one exchange of a credential is under way at a time in this
process, and whoever comes meanwhile shares its outcome, because endpoints take a refresh token once; whoever comes late, here
or in another process, gets what the one before has saved; what an endpoint gave is sealed and saved, a rotated refresh token
with it, unless the secrets were changed meanwhile; a failure is announced.
"""

import asyncio
from base64 import b64encode
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec
from msgspec import Struct

from rota.base import log
from rota.base.errors import InvalidRequest, NotFound, Unavailable
from rota.base.policy import Policy
from rota.base.who import Who
from rota.outgoing import client
from rota.outgoing.failures import OutgoingFailure
from rota.resources.vaults import captured, credentials
from rota.resources.vaults.auth import ClientSecretBasic, ClientSecretPost, McpOauth, Secrets
from rota.resources.vaults.credentials import Held
from rota.resources.vaults.resolve import check_bearer
from rota.resources.vaults.wire import RefreshOutcome
from rota.store.db import Db

_logger = log.get("vaults")
_PAUSES = (0.1, 0.5, 1, 2, 4, 8)
"""Seconds between attempts to save, while the database is away."""
_under_way: dict[str, "asyncio.Task[Renewed]"] = {}


class Renewed(Struct, frozen=True):
    """How it ended, and the new access token if there is one. No outcome: somebody else had put a new one there already."""

    outcome: RefreshOutcome | None
    access_token: str | None = None


class _Tokens(Struct):
    """What a token endpoint answers; other members are of no use here."""

    access_token: str
    refresh_token: str | None = None
    expires_in: Any = None


async def refresh(db: Db, policy: Policy, who: Who, used: Held) -> Renewed:
    """Renew the access token of a credential."""
    task = _under_way.get(used.credential_id)
    if task is None:
        task = _under_way[used.credential_id] = asyncio.create_task(_exchange(db, policy, who, used))
        task.add_done_callback(lambda _: _under_way.pop(used.credential_id, None))
    return await asyncio.shield(task)  # the outcome is saved, whoever waits for it


async def _exchange(db: Db, policy: Policy, who: Who, used: Held) -> Renewed:
    if not isinstance(used.auth, McpOauth) or used.auth.refresh is None or "refresh_token" not in used.secrets:
        return Renewed(RefreshOutcome("no_refresh_token"))
    if (newer := await _newer(db, policy, who, used)) is not None:
        return Renewed(None, newer)
    headers, content = _form(used.auth, used.secrets)
    try:
        answer = await client.request(
            "POST",
            used.auth.refresh.token_endpoint,
            policy=policy,
            headers=headers,
            content=content,
            size=captured.READ,
            cut=True,
        )
    except OutgoingFailure as exc:
        _logger.warning("a token endpoint cannot be asked", credential_id=used.credential_id, reason=str(exc))
        return await _failed(db, policy, who, used, RefreshOutcome("connect_error"))
    tokens = _tokens(answer)
    if tokens is None:
        # An answer that looks like a success may hold tokens in places that nobody foresaw: it is not shown.
        shown = None if 200 <= answer.status < 300 else captured.capture(answer, used.secrets.values())
        return await _failed(db, policy, who, used, RefreshOutcome("failed", shown))
    secrets: Secrets = {"access_token": tokens.access_token}
    if tokens.refresh_token:
        secrets["refresh_token"] = tokens.refresh_token
    await _save(db, policy, who, used, secrets, _seconds(tokens.expires_in))
    return Renewed(RefreshOutcome("succeeded"), tokens.access_token)


async def _save(db: Db, policy: Policy, who: Who, used: Held, secrets: Secrets, expires_in: float | None) -> None:
    """Keep what was given. It is tried more than once: the endpoint has taken the old refresh token and will not again."""
    for pause in _PAUSES:
        try:
            kept = await db.write(credentials.save_refreshed, who, used, secrets, expires_in, policy)
        except Unavailable as exc:
            _logger.warning("a renewed token is not saved yet", credential_id=used.credential_id, reason=str(exc))
            await asyncio.sleep(pause)
        else:
            if not kept:
                _logger.warning("a renewed token was not kept: the secrets changed", credential_id=used.credential_id)
            return
    await db.write(credentials.save_refreshed, who, used, secrets, expires_in, policy)


async def _newer(db: Db, policy: Policy, who: Who, used: Held) -> str | None:
    """The access token that has replaced the one that was used, if one has."""
    try:
        found = await db.read(credentials.held, who, used.vault_id, used.credential_id, policy)
    except NotFound:
        return None
    token = found.secrets.get("access_token")
    return token if token != used.secrets.get("access_token") else None


async def _failed(db: Db, policy: Policy, who: Who, used: Held, outcome: RefreshOutcome) -> Renewed:
    newer = await _newer(db, policy, who, used)
    if newer is not None:  # another process was faster with the same refresh token
        return Renewed(None, newer)
    await db.write(credentials.tell_refresh_failed, who, used)
    return Renewed(outcome)


def _form(auth: McpOauth, secrets: Secrets) -> tuple[dict[str, str], bytes]:
    """The request's headers and body."""
    settings = auth.refresh
    assert settings is not None
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    fields = {"grant_type": "refresh_token", "refresh_token": secrets["refresh_token"]}
    if settings.scope:
        fields["scope"] = settings.scope
    if settings.resource:
        fields["resource"] = settings.resource
    client_secret = secrets.get("client_secret", "")
    match settings.token_endpoint_auth:
        case ClientSecretBasic():
            pair = f"{quote_plus(settings.client_id)}:{quote_plus(client_secret)}"
            headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        case ClientSecretPost():
            fields |= {"client_id": settings.client_id, "client_secret": client_secret}
        case _:
            fields["client_id"] = settings.client_id
    return headers, urlencode(fields).encode()


def _tokens(answer: client.Answer) -> _Tokens | None:
    """What the endpoint gave, or None if it gave nothing that can be used."""
    if not 200 <= answer.status < 300 or answer.cut:
        return None
    try:
        tokens = msgspec.json.decode(answer.content, type=_Tokens)
        check_bearer(tokens.access_token, "access_token")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidRequest):
        return None
    return tokens if tokens.access_token else None


def _seconds(expires_in: Any) -> float | None:
    """A sensible lifetime in seconds; some endpoints write numbers as text."""
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError):
        return None
    return seconds if 0 < seconds < 10 * 366 * 86_400 else None
