"""Keys: how they are written, made, admitted and taken away.

A key reads ``sk-rota-api01-<22 characters of its id>-<43 random characters>-<6 characters of checksum>``; admin keys say
``admin01``, environment keys ``env01`` and sessions tokens, which rest elsewhere (``work/tokens``), ``session01``. Promises: the random part holds 256 bits; only SHA-256 of the whole text is
stored, which is enough for text that cannot be guessed; a mistyped key is refused by its checksum without a look-up; the
comparison takes the same time wherever the texts differ. A key that the operator has chosen may be any text.
"""

import hmac
import re
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from rota.base import ids
from rota.base.clock import SECOND
from rota.base.errors import InvalidRequest, NotFound, Unauthenticated
from rota.base.who import Scope, Who
from rota.resources.workspaces import sql
from rota.resources.workspaces.wire import ApiKey, ApiKeyList, ListApiKeys, Status, UpdateApiKey, neighbour
from rota.store.tx import Row, Tx, page

if TYPE_CHECKING:
    from collections.abc import Mapping

TOPIC = "keys"
"""Touched by every change that admission must see. Is ``http.admit.TOPIC``, which actions may not import."""

Kind: TypeAlias = Literal["api", "admin", "env", "session"]

_KINDS: "Mapping[Scope, Kind]" = {"workspace": "api", "admin": "admin", "environment": "env"}
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET = 43  # 62**43 > 2**256
_CHECKSUM = 6
_SHAPE = re.compile(
    rf"(sk-rota-(?:api|admin|env|session)01-([0-9A-Za-z]{{22}})-[0-9A-Za-z]{{{_SECRET}}})-([0-9A-Za-z]{{{_CHECKSUM}}})"
)


class Made(Struct, frozen=True):
    """A key on the one occasion on which its text is known."""

    id: str
    key: str


class KeyFacts(Struct, frozen=True, kw_only=True):
    """Any key, for the operator: what the API shows of API keys, and of the other kinds too."""

    id: str
    name: str
    scope: Scope
    status: str
    hint: str
    workspace_id: str | None
    environment_id: str | None
    created_at: int
    expires_at: int | None


def admit(tx: Tx, token: str) -> Who | None:
    """Who stands behind a key; None if it is unknown, mistyped, or its key is not active. Unauthenticated, in the recorded
    words, for an environment key that was revoked.

    ``expires_at`` is for the caller to compare: the answer may be remembered for longer than the key lives.
    """
    where = locator(token)
    row = None if where is None else tx.one(sql.ADMIT, locator=where)
    if row is None or not hmac.compare_digest(row[0], _digest(token)):
        return None
    if row[9] != "active":
        if row[5] == "environment":
            raise Unauthenticated("OAuth access token has been revoked.")
        return None
    return Who(
        key_id=row[1],
        organization_id=row[2],
        workspace_id=row[3] or "",
        environment_id=row[4],
        scope=row[5],
        expires_at=row[6],
        workspace_archived=row[7] is not None,
        organization_disabled=bool(row[8]),
    )


def locator(token: str) -> str | None:
    """The text that finds a token's row; None if the token is one of ours with a wrong checksum."""
    match = _SHAPE.fullmatch(token)
    if match is None:
        return sha256(b"rota key locator\0" + token.encode()).hexdigest()[:32]
    return match[2] if match[3] == _checksum(match[1]) else None


def write_token(kind: Kind, id_part: str) -> str:
    """A fresh key's text around the 22 characters of its id."""
    text = f"sk-rota-{kind}01-{id_part}-{''.join(secrets.choice(_ALPHABET) for _ in range(_SECRET))}"
    return f"{text}-{_checksum(text)}"


def create(
    tx: Tx,
    organization_id: str,
    *,
    workspace_id: str | None = None,
    environment_id: str | None = None,
    name: str = "",
    token: str | None = None,
    expires_in: int | None = None,
) -> Made:
    """Make a key: an admin key without ``workspace_id``, an environment key with ``environment_id``.

    ``token`` is the operator's own text; ``expires_in`` is in seconds. The caller has checked that what the ids name exists.
    """
    scope: Scope = "admin" if workspace_id is None else "workspace" if environment_id is None else "environment"
    key_id = ids.new(ids.ENVIRONMENT_KEY if scope == "environment" else ids.API_KEY)
    text = write_token(_KINDS[scope], key_id[-22:]) if token is None else token
    where = locator(text)
    if where is None:
        raise InvalidRequest(
            "The given key looks like one of rota's own, but its checksum is wrong; check for typing mistakes."
        )
    expires_at = None if expires_in is None else tx.now + expires_in * SECOND
    row = (
        key_id, organization_id, workspace_id, environment_id, scope, tx.now, expires_at, "active",
        where, _digest(text), _hint(text, ours=token is None), name or f"{scope} key",
    )  # fmt: skip
    tx.insert(sql.INSERT_KEY, [row])
    tx.touch(TOPIC)
    return Made(key_id, text)


def any_active(tx: Tx) -> bool:
    """Whether there is a key, of a workspace or an admin's, that opens anything now."""
    return tx.one(sql.ANY_ACTIVE_KEY, now=tx.now) is not None


def facts(tx: Tx, organization_id: str) -> list[KeyFacts]:
    """All keys of an organization, newest first; for the operator at the command line."""
    rows = tx.all(sql.LIST_KEYS.query(), organization_id=organization_id, limit=10_000)
    return [_to_facts(row, tx.now) for row in rows]


def revoke(tx: Tx, organization_id: str, key_id: str) -> KeyFacts:
    """Take a key of any kind away for good; again is the same answer. NotFound."""
    row = tx.one(sql.GET_KEY, id=key_id, organization_id=organization_id)
    if row is None:
        raise NotFound(f"Key {key_id} not found.")
    _set(tx, row, name=row[4], status="archived")
    return _to_facts((*row[:3], "archived", *row[4:]), tx.now)


def get(tx: Tx, who: Who, key_id: str) -> ApiKey:
    """An API key that the caller may see: an admin any of the organization's, a workspace key those of its workspace."""
    return sql.to_api_key(_row(tx, who, key_id), tx.now)


def list_(tx: Tx, who: Who, query: ListApiKeys) -> ApiKeyList:
    """A page of API keys, newest first. No key has a user for its creator, so that filter leaves none."""
    position = neighbour(query, lambda key_id: _row(tx, who, key_id)[1])
    if query.created_by_user_id:
        return ApiKeyList(data=[], has_more=False, first_id=None, last_id=None)
    filters: dict[str, Any] = {"scope": "workspace", "workspace_id": query.workspace_id}
    if who.scope != "admin":
        if query.workspace_id not in (None, who.workspace_id):
            return ApiKeyList(data=[], has_more=False, first_id=None, last_id=None)
        filters["workspace_id"] = who.workspace_id
    if query.status is not None:
        filters[query.status] = tx.now
    found = page(
        tx, sql.LIST_KEYS, limit=query.limit, position=position, filters=filters, organization_id=who.organization_id
    )
    keys = [sql.to_api_key(row, tx.now) for row in found.items]
    return ApiKeyList(
        data=keys,
        has_more=(found.prev if position is not None and position.back else found.next) is not None,
        first_id=keys[0].id if keys else None,
        last_id=keys[-1].id if keys else None,
    )


def update(tx: Tx, who: Who, key_id: str, body: UpdateApiKey) -> ApiKey:
    """Rename an API key, or make it inactive, active again, or archived for good."""
    row = _row(tx, who, key_id)
    name, status = body.name or row[4], body.status or row[3]
    if row[3] == "archived" and (name, status) != (row[4], row[3]):
        raise InvalidRequest("An archived API key cannot be changed; create another one.")
    _set(tx, row, name=name, status=status)
    return sql.to_api_key((*row[:3], status, name, *row[5:]), tx.now)


def _row(tx: Tx, who: Who, key_id: str) -> Row:
    row = tx.one(sql.GET_KEY, id=key_id, organization_id=who.organization_id)
    if row is None or row[6] != "workspace" or (who.scope != "admin" and row[7] != who.workspace_id):
        raise NotFound(f"API key {key_id} not found.")
    return row


def _set(tx: Tx, row: Row, *, name: str, status: Status) -> None:
    if (name, status) != (row[4], row[3]):
        tx.run(sql.UPDATE_KEY, id=row[0], name=name, status=status)
        tx.touch(TOPIC)


def _to_facts(row: Row, now: int) -> KeyFacts:
    return KeyFacts(
        id=row[0],
        name=row[4],
        scope=row[6],
        status=sql.to_status(row, now),
        hint=row[5],
        workspace_id=row[7],
        environment_id=row[8],
        created_at=row[1],
        expires_at=row[2],
    )


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    number = int.from_bytes(sha256(b"rota key checksum\0" + text.encode()).digest()[:8], "big")
    digits: list[str] = []
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def _hint(token: str, *, ours: bool) -> str:
    """Enough to tell keys apart; of a text that the operator chose, which may be short, only its end."""
    if ours:
        head = token.rindex("-", 0, token.index("01-") + 3) + 1
        return f"{token[: head + 4]}…{token[-4:]}"
    return f"…{token[-4:]}" if len(token) >= 32 else f"…{token[-2:]}"
