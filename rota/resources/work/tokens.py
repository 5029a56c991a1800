"""Sessions tokens: what a worker is given with an item, to do for its session what must be done, and nothing else.

A token belongs to one hand-out. Promises: only its SHA-256 is stored; it opens one session, the memory stores that are
attached to it, and its own item; it ends with its lease, and at once when another worker has the item or the session's next one.
Of the hand-outs that nobody has acknowledged yet, the first that sends a heartbeat keeps the item: the others' tokens end then.
"""

import base64
import hmac
from hashlib import sha256

from rota.base import ids
from rota.base.clock import DAY
from rota.base.who import Who
from rota.base.wire import encode
from rota.resources.work import sql
from rota.resources.work.items import Item
from rota.resources.workspaces import keys
from rota.store.tx import Tx

_PREFIX = "sk-rota-session01-"


def is_one(token: str) -> bool:
    """Whether a text looks like a sessions token."""
    return token.startswith(_PREFIX)


def admit(tx: Tx, token: str) -> Who | None:
    """Who stands behind a sessions token; ``superseded`` if its hand-out is over. None if there never was such a one."""
    where = keys.locator(token)
    row = None if where is None else tx.one(sql.ADMIT, id=_id(where))
    if row is None or not hmac.compare_digest(row[0], _digest(token)):
        return None
    body = sql.body_of(row[8])
    return Who(
        key_id=row[1],
        organization_id=row[9],
        workspace_id=row[4],
        environment_id=row[5],
        scope="session",
        session_id=row[6],
        work_id=row[3],
        memory_stores=body.stores,
        superseded=not _holds(row[2], row[1], body, row[7], tx.now),
        workspace_archived=row[10] is not None,
        organization_disabled=bool(row[11]),
    )


def holds(who: Who, round_: int, item: Item, now: int) -> bool:
    """Whether a hand-out of such a round still has the item."""
    return _holds(round_, who.key_id, item.body, item.lease_until, now)


def _holds(round_: int, hand_out: str, body: sql.Body, lease_until: int | None, now: int) -> bool:
    if round_ != body.round or body.holder not in (None, hand_out):
        return False
    return lease_until is not None and lease_until > now


def mint(tx: Tx, item: Item) -> str:
    """The secret of a new hand-out: URL-safe base64 of JSON, as workers expect it (contract, work: poll)."""
    locator = ids.new(ids.HAND_OUT)[-22:]
    token = keys.write_token("session", locator)
    tx.run(sql.DROP_OLD_TOKENS, work_id=item.id, before=tx.now - DAY)
    tx.insert(sql.KEEP_TOKEN, [(_id(locator), item.id, item.body.round, tx.now, _digest(token))])
    return base64.urlsafe_b64encode(encode({"sessions_token": token})).decode()


def _id(locator: str) -> str:
    return f"{ids.HAND_OUT}01{locator}"


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
